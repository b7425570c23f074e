/** The worker of the court page: plays a bundle at hand as the player's own worker does, or verifies it. Asks nothing of a network. */
import {
  DEK_BYTES,
  parsePolicy,
  type SessionKeys,
  trustNobody,
  unreadableBundle,
  verifyBundle,
  webCrypto,
} from '@lucid-sessions/evidence';
import { portableDecompressor } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import type { FromWorker } from '../player/protocol.ts';
import { ChunkStore } from '../player/worker/chunk-store.ts';
import { PlayerSession } from '../player/worker/player-session.ts';
import { leavesOf, openBlob } from './court-bundle.ts';
import { factsOf, noFacts } from './facts.ts';
import { localApi } from './local-api.ts';
import { LocalIndex } from './local-index.ts';
import type { FromCourtWorker, ToCourtWorker } from './protocol.ts';

interface WorkerScope {
  postMessage(message: FromWorker | FromCourtWorker, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToCourtWorker>) => void): void;
}
const scope = globalThis as unknown as WorkerScope;
const send = (message: FromWorker | FromCourtWorker, transfer: Transferable[] = []): void =>
  scope.postMessage(message, transfer);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const keysOf = (viewKey: Uint8Array | null): SessionKeys => ({
  view: viewKey ?? new Uint8Array(DEK_BYTES),
  inputs: null,
});

async function verify({ file, policy, viewKey }: Extract<ToCourtWorker, { type: 'verify' }>): Promise<void> {
  const crypto = webCrypto(globalThis.crypto);
  let trusted = trustNobody;
  try {
    if (policy !== null) trusted = parsePolicy(policy);
  } catch (error) {
    send({ type: 'policyRefused', message: messageOf(error) });
    return;
  }
  try {
    const source = await openBlob(file);
    const total = (await leavesOf(source).catch(() => [])).length;
    const report = await verifyBundle(source, {
      crypto,
      policy: trusted,
      decompressor: portableDecompressor,
      ...(viewKey === null ? {} : { dek: keysOf(viewKey) }),
      progress: (checked) => send({ type: 'verifying', checked, total }),
    });
    send({ type: 'verified', report, facts: await factsOf(source, crypto) });
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    send({ type: 'verified', report: unreadableBundle(error), facts: noFacts });
  }
}

const chunkLimits = { openBytesMax: 1, fileBytesMax: 0 };
let session: PlayerSession | null = null;

async function open({ source, canvas, startUs }: Extract<ToCourtWorker, { type: 'open' }>): Promise<void> {
  if (source.bundle === undefined) throw new Error('there is no bundle to play');
  const { file, viewKey } = source.bundle;
  const bundle = await openBlob(file);
  const leaves = await leavesOf(bundle);
  const api = localApi(bundle, leaves, viewKey);
  const chunks = new ChunkStore(
    async ({ index }) => {
      const params = { session_id: source.sessionId, chunk_id: String(index) };
      return new Uint8Array(await (await api.rest.downloadChunk({ params })).arrayBuffer());
    },
    webCrypto(globalThis.crypto),
    keysOf(viewKey),
    chunkLimits,
  );
  session = new PlayerSession(source, canvas, send, { api, index: new LocalIndex(leaves, chunks) });
  await session.open(startUs);
}

scope.addEventListener('message', ({ data }) => {
  const failed = (error: unknown): void => send({ type: 'failed', message: messageOf(error) });
  if (data.type === 'verify') verify(data).catch(failed);
  else if (data.type === 'open') open(data).catch(failed);
  else session?.handle(data);
});
