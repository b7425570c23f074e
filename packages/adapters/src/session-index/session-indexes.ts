import { type KeyWrap, LucidError, type SessionDocument, type StoragePort } from '@lucid-sessions/contract';
import { openSidecar, sealSidecar } from '@lucid-sessions/evidence';
import { decodeIndexSegment, type IndexSegment, type KeepPolicy } from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import { nodeCrypto } from '../node-crypto.ts';
import { type ContentItem, ContentItems } from './content-items.ts';
import { IndexThread } from './thread.ts';

const stateName = 'index-state';
const stateHeadBytes = 4;
const segmentName = (index: number): string => `index-${String(index + 1).padStart(6, '0')}`;
/** Place of "last chunk" in a chunk's flags. */
const flagFinal = 0x04;
const followedMax = 10_000;

export interface SessionIndexesOptions {
  storage: StoragePort;
  /** Opens wraps with keys this host holds; null when it holds none of them. */
  unwrapKey: (wraps: KeyWrap[]) => Promise<Uint8Array | null>;
  onError?: (where: string, thrown: unknown) => void;
}

interface Recording {
  sessionId: string;
  dek: Uint8Array | null;
  input: KeepPolicy;
  clipboard: KeepPolicy;
}

/**
 * The index of every session, as encrypted sidecars beside its chunks: one segment per chunk, and the state the next
 * segment begins with. `follow` makes them while sessions are recorded; whatever was skipped, lost or spoiled is made again
 * from the chunks when it is read. A recording is walked once: one thread, one walk at a time.
 */
export class SessionIndexes {
  readonly #options: SessionIndexesOptions;
  readonly #thread = new IndexThread();
  readonly #followed = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #following = false;
  #disposed = false;

  constructor(options: SessionIndexesOptions) {
    this.#options = options;
  }

  /** The session has chunks that are not in its index yet. Never waits, and may forget: reading makes what is missing. */
  follow(sessionId: string): void {
    if (this.#disposed || this.#followed.size >= followedMax) return;
    this.#followed.add(sessionId);
    if (!this.#following) void this.#drain();
  }

  /** The index up to the last stored chunk, in order. Throws `recordNotFound` when this host has no key to it. */
  async *segments(sessionId: string): AsyncGenerator<IndexSegment, void, undefined> {
    const recording = await this.#recording(sessionId);
    const count = await this.#inTurn(() => this.#extend(recording));
    for (let index = 0; index < count; index += 1) {
      let segment = await this.#segment(recording, index);
      if (segment === null) {
        await this.#inTurn(() => this.remake(recording));
        segment = await this.#segment(recording, index);
      }
      if (segment !== null) yield segment;
    }
  }

  /** What crossed clipboard and drives, read from the chunks themselves. */
  async *contents(sessionId: string): AsyncGenerator<ContentItem, void, undefined> {
    const recording = await this.#recording(sessionId);
    const count = await this.#chunksCount(sessionId);
    const run = await this.#open(recording, null, true);
    const items = new ContentItems();
    try {
      for (let index = 0; index < count; index += 1) {
        const { pieces } = await this.#chunk(recording, run, index, index === count - 1);
        for (const piece of pieces) {
          const item = items.add(piece);
          if (item !== null) yield item;
        }
      }
    } finally {
      await this.#thread.close(run);
    }
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#followed.clear();
    await this.#thread.dispose();
    await this.#turn.catch(() => {});
  }

  async #drain(): Promise<void> {
    this.#following = true;
    for (const sessionId of this.#followed) {
      this.#followed.delete(sessionId);
      try {
        const recording = await this.#recording(sessionId);
        await this.#inTurn(() => this.#extend(recording));
      } catch (thrown) {
        if (!this.#disposed) this.#options.onError?.('making a session index', thrown);
      }
    }
    this.#following = false;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #recording(sessionId: string): Promise<Recording> {
    const { storage, unwrapKey } = this.#options;
    const { session } = await storage.getSession({ sessionId });
    if (session === null) throw new LucidError('sessionNotFound', 'there is no such session');
    const policies = policiesOf(session);
    if (!session.storage_config.encryption_enabled) return { sessionId, dek: null, ...policies };
    const { wraps } = await storage.getWraps({ sessionId });
    const dek = wraps.length === 0 ? null : await unwrapKey(wraps);
    if (dek === null)
      throw new LucidError('recordNotFound', 'this host holds no key that opens the recording, or it was destroyed');
    return { sessionId, dek, ...policies };
  }

  async #chunksCount(sessionId: string): Promise<number> {
    return (await this.#options.storage.listChunks({ sessionId, limit: 1, offset: 0 })).total;
  }

  /** Makes what is missing at the end. Answers how many chunks the index covers. */
  async #extend(recording: Recording): Promise<number> {
    const count = await this.#chunksCount(recording.sessionId);
    const { next, state } = await this.#state(recording);
    if (next < count) await this.#walk(recording, next, count, state);
    return count;
  }

  /** Makes the whole index again from the chunks. */
  async remake(recording: Recording): Promise<void> {
    await this.#walk(recording, 0, await this.#chunksCount(recording.sessionId), null);
  }

  async #walk(recording: Recording, first: number, count: number, state: Uint8Array | null): Promise<void> {
    const { sessionId } = recording;
    const resumed = state === null ? null : await this.#open(recording, state, false).catch(() => null);
    // A state of another version: begin again.
    const run = resumed ?? (await this.#open(recording, null, false));
    try {
      for (let index = resumed === null ? 0 : first; index < count; index += 1) {
        const { chunk } = await this.#options.storage.getChunk({ sessionId, index });
        const last = ((chunk?.flags ?? 0) & flagFinal) !== 0;
        const made = await this.#chunk(recording, run, index, last);
        // The segment first: a state says that all before it is there.
        await this.#put(recording, segmentName(index), made.segment);
        await this.#put(recording, stateName, stateFile(index + 1, made.state));
      }
    } finally {
      await this.#thread.close(run);
    }
  }

  #open({ input, clipboard }: Recording, state: Uint8Array | null, collect: boolean): Promise<number> {
    return this.#thread.open({ state, input, clipboard, collect });
  }

  async #chunk({ sessionId, dek }: Recording, run: number, index: number, last: boolean) {
    const { file } = await this.#options.storage.readChunk({ sessionId, index });
    return this.#thread.chunk({ run, index, last, file, dek });
  }

  async #put({ sessionId, dek }: Recording, name: string, plain: Uint8Array): Promise<void> {
    const bytes = await sealSidecar(nodeCrypto, dek, { sessionId, name }, plain);
    await this.#options.storage.putSidecar({ sessionId, name, bytes });
  }

  async #get({ sessionId, dek }: Recording, name: string): Promise<Uint8Array | null> {
    const { bytes } = await this.#options.storage.getSidecar({ sessionId, name });
    if (bytes === null) return null;
    return orNull(() => openSidecar(nodeCrypto, dek, { sessionId, name }, bytes));
  }

  async #state(recording: Recording): Promise<{ next: number; state: Uint8Array | null }> {
    const file = await this.#get(recording, stateName);
    if (file === null || file.length <= stateHeadBytes) return { next: 0, state: null };
    const next = new DataView(file.buffer, file.byteOffset).getUint32(0);
    return { next, state: file.slice(stateHeadBytes) };
  }

  async #segment(recording: Recording, index: number): Promise<IndexSegment | null> {
    const bytes = await this.#get(recording, segmentName(index));
    const segment = bytes === null ? null : await orNull(() => decodeIndexSegment(bytes));
    return segment?.chunkIndex === index ? segment : null;
  }
}

/** What was spoiled, or made by another version, is made again. */
async function orNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

function stateFile(next: number, state: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(stateHeadBytes + state.length);
  new DataView(bytes.buffer).setUint32(0, next);
  bytes.set(state, stateHeadBytes);
  return bytes;
}

function policiesOf({ recording_config }: SessionDocument): { input: KeepPolicy; clipboard: KeepPolicy } {
  const { input_policy: input = 'full', clipboard_policy: clipboard = 'full' } = recording_config;
  return { input, clipboard };
}
