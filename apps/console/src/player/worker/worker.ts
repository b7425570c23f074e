/** The decode worker: one recording at a time, asked for by message. */

import type { FromWorker, ToWorker } from '../protocol.ts';
import { PlayerSession } from './player-session.ts';

interface WorkerScope {
  postMessage(message: FromWorker, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToWorker>) => void): void;
}
const scope = globalThis as unknown as WorkerScope;
const send = (message: FromWorker, transfer: Transferable[] = []): void => scope.postMessage(message, transfer);

let session: PlayerSession | null = null;

scope.addEventListener('message', ({ data }) => {
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
