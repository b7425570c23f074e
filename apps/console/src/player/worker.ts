/** The decode worker: one recording at a time, asked for by message. The same file is the scout's. */
import { PlayerSession } from './player-session.ts';
import type { FromWorker, ToWorker } from './protocol.ts';
import { type FromScout, Scout, type ToScout } from './scout.ts';

interface WorkerScope {
  postMessage(message: FromWorker | FromScout, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToWorker | ToScout>) => void): void;
}
const scope = globalThis as unknown as WorkerScope;
const send = (message: FromWorker | FromScout, transfer: Transferable[] = []): void =>
  scope.postMessage(message, transfer);

let session: PlayerSession | null = null;
let scout: Scout | null = null;

scope.addEventListener('message', ({ data }) => {
  if (data.type === 'scout' || data.type === 'file') {
    scout ??= new Scout(send);
    scout.handle(data);
    return;
  }
  if (data.type !== 'open') {
    session?.handle(data);
    return;
  }
  session?.handle({ type: 'close' });
  session = new PlayerSession(data.source, data.canvas, send);
  session.open(data.startUs).catch((error: unknown) => {
    send({ type: 'failed', message: error instanceof Error ? error.message : 'the recording could not be opened' });
  });
});
