/** Entry of a chunk worker thread: compresses a chunk, keeps the result, and seals it when its header is known. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { compress, loadCodec } from './compress.ts';
import { encryptAndHash } from './encrypt.ts';
import type { WorkerAnswer, WorkerRequest } from './messages.ts';
import { sealInputs } from './seal-inputs.ts';
import { bodyRoom } from './slot.ts';
import { WorkerStatus } from './worker-status.ts';

const port = parentPort;
if (port === null) throw new Error('the chunk worker runs as a worker thread only');

/** Where cores are short frames come first: chunks wait in the spool. The index thread comes after both. */
const niceness = 5;

const status = new WorkerStatus(workerData as SharedArrayBuffer);
/** Compressed chunks waiting for their header; the pool bounds how many. */
const waiting = new Map<number, { body: Uint8Array; memory: WebAssembly.Memory; prefixBytes: number }>();

/** The slots' memories and the buffers of payloads, sent once each. */
const memories = new Map<number, WebAssembly.Memory>();
const buffers = new Map<number, SharedArrayBuffer>();

function payloadOf(request: Extract<WorkerRequest, { kind: 'compress' }>): Uint8Array {
  const { buffer, offset, length } = request.payload;
  const memory = buffer === null ? memories.get(request.slot)?.buffer : buffers.get(buffer);
  if (memory === undefined) throw new Error('the memory of the payload was not sent');
  return new Uint8Array(memory, offset, length);
}

function answer(request: WorkerRequest): WorkerAnswer | null {
  const startedNs = process.hrtime.bigint();
  const elapsedNs = (): number => Number(process.hrtime.bigint() - startedNs);
  switch (request.kind) {
    case 'compress': {
      if (request.memory !== undefined) memories.set(request.slot, request.memory);
      if (request.buffer !== undefined) buffers.set(request.payload.buffer!, request.buffer);
      const memory = memories.get(request.slot)!;
      const given = payloadOf(request);
      const payload = request.sealInputs ? sealInputs(given, memory) : given;
      const { prefixBytes } = request;
      const { compression, bytes } = compress(payload, request, bodyRoom(memory, prefixBytes, payload.length));
      waiting.set(request.job, { body: bytes, memory, prefixBytes });
      return {
        kind: 'compressed',
        job: request.job,
        compression,
        compressedBytes: bytes.length,
        elapsedNs: elapsedNs(),
      };
    }
    case 'seal': {
      const chunk = waiting.get(request.job);
      if (chunk === undefined) throw new Error('seal was asked for before compress');
      waiting.delete(request.job);
      const sealed = encryptAndHash(chunk, request);
      return { kind: 'sealed', job: request.job, ...sealed, elapsedNs: elapsedNs() };
    }
    case 'forget':
      waiting.delete(request.job);
      return { kind: 'forgotten', job: request.job };
    case 'drop':
      buffers.delete(request.buffer);
      return null;
  }
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

async function take(request: WorkerRequest): Promise<void> {
  status.begin(request.job);
  try {
    if (request.kind === 'compress') await loadCodec(request.compression);
    const reply = answer(request);
    if (reply !== null) port?.postMessage(reply);
  } catch (cause) {
    waiting.delete(request.job);
    const message = cause instanceof Error ? cause.message : String(cause);
    const stage = request.kind === 'compress' ? 'compress' : 'seal';
    port?.postMessage({ kind: 'failed', job: request.job, stage, message } satisfies WorkerAnswer);
  } finally {
    status.end();
  }
}

/** One after the other: a chunk's seal must not overtake the codec its compressing waits for. */
let turn: Promise<void> = Promise.resolve();
port.on('message', (request: WorkerRequest) => {
  turn = turn.then(() => take(request));
});
