/**
 * The chunk worker with a weakness: bytes before the payload, in its shared memory, say how often it dies while compressing
 * (byte 0), while sealing (byte 1), and whether it fails instead of working (bytes 2 and 3).
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerRequest } from '../../src/pool/messages.ts';
import { WorkerStatus } from '../../src/pool/worker-status.ts';

const port = parentPort!;
const status = new WorkerStatus(workerData as SharedArrayBuffer);
const buffers = new Map<number, SharedArrayBuffer>();
const weaknesses = new Map<number, Uint8Array>();

function die(weakness: Uint8Array | undefined, at: number): void {
  if (weakness === undefined || weakness[at] === 0) return;
  weakness[at]! -= 1;
  // Both ways a thread ends without an answer.
  if (weakness[at]! % 2 === 0) process.exit(3);
  throw new Error('out of luck');
}

function weaken(request: WorkerRequest): WorkerRequest {
  if (request.kind === 'forget' || request.kind === 'drop') return request;
  if (request.kind === 'compress' && request.payload.buffer !== null && request.payload.offset === 4) {
    if (request.buffer !== undefined) buffers.set(request.payload.buffer, request.buffer);
    weaknesses.set(request.job, new Uint8Array(buffers.get(request.payload.buffer)!, 0, 4));
  }
  const weakness = weaknesses.get(request.job);
  const stage = request.kind === 'compress' ? 0 : 1;
  status.begin(request.job);
  die(weakness, stage);
  if (weakness === undefined || weakness[stage + 2] === 0) return request;
  if (request.kind === 'compress') return { ...request, payload: { ...request.payload, length: -1 } };
  return { ...request, aadBytes: 1n } as unknown as WorkerRequest;
}

const listen = port.on.bind(port);
port.on = ((event: string, listener: (request: WorkerRequest) => void) =>
  listen(event as 'message', (request: WorkerRequest) => listener(weaken(request)))) as typeof port.on;

await import('../../src/pool/worker.ts');
