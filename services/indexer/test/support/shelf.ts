/** Recordings on a shelf in memory, and what is made of them. Tests only. */
import type { SessionDocument, StoragePort } from '@lucid-sessions/contract';
import { openSidecar, sessionKeys, toHex } from '@lucid-sessions/evidence';
import type { SessionSnapshot } from '@lucid-sessions/graphics';
import { createH264Decoder, indexerPlatform, nodeCrypto } from '@lucid-sessions/node';
import type { Frame } from '@lucid-sessions/recording';
import { type ReplayTally, ReplayWalk } from '@lucid-sessions/recording/replay';
import {
  type KeyframeList,
  keyframeHead,
  keyframeName,
  keyframeState,
  type ListedKeyframe,
  type OpenedKeyframe,
  openKeyframe,
} from '@lucid-sessions/recording/session-index';
import { eventually, loopedFrames } from '@lucid-sessions/testkit';
import { type AlertKeeper, type KeyframePolicy, SessionIndexes } from '../../src/index.ts';
import { chunkFile } from './chunk-files.ts';

export const sessionId = 'session-1';
const dek = new Uint8Array(32).fill(9);
const dekId = new Uint8Array(16).fill(8);
const sealedSession = { sessionId, dek, dekId };
const { view } = await sessionKeys(nodeCrypto, dek, dekId);
const captures = new URL('../../../../testkit/captures/', import.meta.url).pathname;

/** A recording on a shelf in memory: `seconds` of a capture looped, in chunks of 10 s. */
export class Shelf {
  readonly sidecars = new Map<string, Uint8Array>();
  readonly frames: Frame[][] = [];
  readonly files: (Uint8Array | null)[] = [];
  shown = 0;
  reads = 0;

  /** `more` frames come behind those of the capture in a chunk. */
  static async of(capture: string, seconds: number, more: (index: number) => Frame[] = () => []): Promise<Shelf> {
    const shelf = new Shelf();
    for (const frame of loopedFrames(`${captures}${capture}.rdpcap.gz`, seconds * 1e6)) {
      const index = Math.floor(frame.timeUs / 10e6);
      while (shelf.frames.length <= index) shelf.frames.push([]);
      shelf.frames[index]!.push(frame);
    }
    for (const [index, frames] of shelf.frames.entries()) frames.push(...more(index));
    for (const [index, frames] of shelf.frames.entries())
      shelf.files.push(await chunkFile(sealedSession, index, frames));
    shelf.shown = shelf.files.length;
    return shelf;
  }

  get port(): StoragePort {
    const session = { session_id: sessionId, storage_config: { encryption_enabled: true }, recording_config: {} };
    const calls = {
      getSession: async () => ({ session: session as unknown as SessionDocument }),
      getWraps: async () => ({ wraps: [{ scheme: 'x', recipient: '', keyId: toHex(dekId), wrapped: dek }] }),
      listChunks: async () => ({ chunks: [], total: this.shown }),
      sessionTotals: async () => ({
        storedBytes: this.files.slice(0, this.shown).reduce((bytes, file) => bytes + (file?.length ?? 0), 0),
      }),
      getChunk: async ({ index }: { index: number }) => ({
        chunk: { flags: index === this.files.length - 1 ? 4 : 0, fileBytes: this.files[index]?.length ?? 0 },
      }),
      readChunk: async ({ index }: { index: number }) => {
        this.reads += 1;
        return { file: this.files[index] ?? null };
      },
      putSidecar: async ({ name, bytes }: { name: string; bytes: Uint8Array }) => void this.sidecars.set(name, bytes),
      getSidecar: async ({ name }: { name: string }) => ({ bytes: this.sidecars.get(name) ?? null }),
    };
    return calls as unknown as StoragePort;
  }

  async plain(number: number): Promise<Uint8Array> {
    const name = keyframeName(number);
    return openSidecar(nodeCrypto, view, { sessionId, name }, this.sidecars.get(name)!);
  }

  /** The state of a keyframe, as the player gets it. */
  async state({ number }: ListedKeyframe): Promise<SessionSnapshot> {
    return keyframeState(await this.opened(number));
  }

  async opened(number: number): Promise<OpenedKeyframe> {
    const plain = await this.plain(number);
    const { base } = keyframeHead(plain);
    return openKeyframe(plain, base === 0 ? null : await this.opened(base));
  }
}

/** What a walk that nothing is known to says. */
export async function walked(shelf: Shelf): Promise<ReplayTally> {
  const walk = new ReplayWalk(createH264Decoder);
  for (const [index, frames] of shelf.frames.entries()) await walk.chunk(shelf.files[index] === null ? null : frames);
  const tally = await walk.end();
  walk.close();
  return tally;
}

export const indexesOf = (shelf: Shelf, keyframes?: KeyframePolicy, alerts?: AlertKeeper) =>
  new SessionIndexes({
    storage: shelf.port,
    crypto: nodeCrypto,
    platform: indexerPlatform,
    unwrapKey: async (wraps) => wraps[0]!.wrapped,
    ...(keyframes && { keyframes }),
    ...(alerts && { alerts }),
  });

/** Asks until all chunks were looked at. */
export async function complete(indexes: SessionIndexes, shelf: Shelf): Promise<KeyframeList> {
  let list = await indexes.keyframes(sessionId);
  await eventually(
    'keyframes of every chunk',
    async () => {
      list = await indexes.keyframes(sessionId);
      return list.covered === shelf.shown || list.ended !== null;
    },
    300_000,
  );
  return list;
}
