/** Entry of the spool thread: a SpoolEngine behind a message port. */
import { parentPort, workerData } from 'node:worker_threads';
import { type BatchMemory, slotViews } from './batch-pool.ts';
import type { SpoolDisk } from './spool-disk.ts';
import { SpoolEngine, type SpoolLimits } from './spool-engine.ts';
import { loadSpoolKey } from './spool-key.ts';
import type { SpoolCommand } from './spool-messages.ts';

export interface SpoolThreadData {
  directory: string;
  keyPath: string;
  keyGiven: boolean;
  limits: SpoolLimits;
  batches: BatchMemory;
  chunks: SharedArrayBuffer[];
  /** One BigInt64 per session number: frames that are durable. */
  watermarks: SharedArrayBuffer;
  /** hrtime of the recorder's start, ns. */
  originNs: bigint;
  /** Module that exports `createDisk()`. */
  diskModule: string;
}

const data = workerData as SpoolThreadData;
const port = parentPort;
if (port === null) throw new Error('spool-thread.ts is the entry of a worker thread');

const { createDisk } = (await import(data.diskModule)) as { createDisk: () => SpoolDisk };
const states = new Int32Array(data.batches.states);
const watermarks = new BigInt64Array(data.watermarks);
const engine = new SpoolEngine({
  disk: createDisk(),
  directory: data.directory,
  key: loadSpoolKey(data.keyPath, data.keyGiven),
  limits: data.limits,
  batchSlots: slotViews(data.batches),
  releaseBatch: (slot) => void Atomics.store(states, slot, 0),
  chunkSlots: data.chunks.map((memory) => new Uint8Array(memory)),
  // Frames for a viewer are moved, not copied; an empty answer shares its buffer with others.
  emit: (event) =>
    port.postMessage(event, event.kind === 'live' && event.answer.framesCount > 0 ? [event.answer.frames.buffer] : []),
  publish: (session, framesDurable) => {
    Atomics.store(watermarks, session, BigInt(framesDurable));
    Atomics.notify(watermarks, session);
  },
  // The system's clock, steps included: chunks and records are dated by one clock, and the manifest declares its steps.
  wallUs: () => Date.now() * 1000,
  monotonicUs: () => Number((process.hrtime.bigint() - data.originNs) / 1000n),
});

async function obey(command: SpoolCommand): Promise<void> {
  switch (command.kind) {
    case 'append':
      return engine.append(command.items);
    case 'open':
      return engine.open(command.session, command.sessionId, command.recording);
    case 'rotate':
      return engine.rotate(command.session, command.gapBefore);
    case 'end':
      return engine.end(command.session, command.end);
    case 'sealed':
      return engine.sealed(command.sessionId, command.index, command.slot, command.stored);
    case 'not_sealed':
      return engine.notSealed(command.sessionId, command.index, command.slot);
    case 'forget':
      return engine.forget(command.sessionId);
    case 'statistics':
      port?.postMessage({ kind: 'statistics', statistics: engine.statistics() });
      return;
    case 'live':
      return engine.live(command.request);
    case 'close':
      await engine.close();
      port?.postMessage({ kind: 'closed' });
      port?.close();
  }
}

port.on('message', (command: SpoolCommand) => void obey(command));
engine.recover();
