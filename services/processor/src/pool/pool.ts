import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { LucidError } from '@lucid-sessions/contract';
import type { Compression } from './compress.ts';
import type { WorkerAnswer, WorkerRequest } from './messages.ts';
import { Pace, type PaceDecision } from './pace.ts';
import { SharedBuffers } from './shared-buffers.ts';
import {
  createSlot,
  fileView,
  inputsSecretView,
  placePayload,
  prefixBytesMax,
  type Slot,
  secretsView,
} from './slot.ts';
import { WorkerStatus } from './worker-status.ts';

/** One in a worker's hands, one next, one on its way to storage. More would only make each of them wait longer. */
const slotsPerWorker = 3;
/** A chunk that brought down this many workers is refused: it would bring down the next, too. */
const deathsMax = 3;
/** Workers that die one after the other without finishing a chunk are replaced at once only so often, then ever later. */
const crashesInARowMax = 8;
const restartMsMin = 1000;
const restartMsMax = 30_000;

export interface TakeRequest {
  compression: Compression;
  /** What will stand before the body of the file. */
  prefixBytes: number;
  /** Repeats an earlier decision. */
  pace?: PaceDecision | undefined;
  /** Key and counter block for the bodies of frames flagged `inputs`; null seals none of them apart (suite 0). */
  inputs: Uint8Array | null;
}

export interface ChunkPoolOptions {
  /** CHUNK_PROCESSING_WORKERS; bounded by the cores there are. */
  workersMax: number;
  /** COMPRESSION_LEVEL. */
  levelWish: number;
  payloadBytesMax: number;
  /** Chunks that may wait for a slot before further ones are refused. */
  waitingMax: number;
  /** Entry of the worker thread where it is not the file beside this one (bundles, tests). */
  workerUrl?: URL;
}

/** What stands before the ciphertext and how it is encrypted. `key` null stores the body in clear. */
export interface SealRequest {
  prefix: Uint8Array;
  /** The first bytes of the prefix, authenticated as AAD. */
  aadBytes: number;
  secrets: { key: Uint8Array; nonce: Uint8Array } | null;
}

export interface SealedBody {
  /** Shared, page-aligned memory; zeros follow up to the next 4096. Valid until `release`. */
  file: Uint8Array;
  sha256: Uint8Array;
}

export interface CompressedBody {
  compression: Compression;
  compressedBytes: number;
}

/** One chunk's stay in the pool: compress ran by itself, seal is asked for when the header is known. */
export interface PooledChunk {
  /** What was decided for this chunk: the same decision on the same payload gives the same file again. */
  pace: PaceDecision;
  compressed: Promise<CompressedBody>;
  seal(request: SealRequest): Promise<SealedBody>;
  /** Gives the slot to the next chunk. Must be called exactly once, whatever happened. */
  release(): void;
}

export interface ChunkPoolHealth {
  workers: number;
  chunksInFlight: number;
  chunksWaiting: number;
  crashes: number;
  /** Since a worker last answered. */
  crashesInARow: number;
  lastCrash: string | null;
}

interface Job {
  readonly id: number;
  readonly slot: Slot;
  readonly payload: Uint8Array;
  /** Where the payload was copied to in the slot; null when it is in shared memory of its own. */
  readonly copyOffset: number | null;
  readonly compression: Compression;
  readonly prefixBytes: number;
  readonly inputs: Uint8Array | null;
  readonly pace: PaceDecision;
  readonly compressed: PromiseWithResolvers<CompressedBody>;
  result: CompressedBody | null;
  sealing: { request: SealRequest; done: PromiseWithResolvers<SealedBody> } | null;
  /** The worker that holds the chunk; null when it is done with it. */
  lane: Lane | null;
  /** Workers that died of it. */
  deaths: number;
  failure: LucidError | null;
  released: boolean;
}

interface Lane {
  worker: Worker;
  status: WorkerStatus;
  jobs: Set<Job>;
  /** Bytes of each slot's memory when it was sent. */
  slotBytes: Map<number, number>;
  /** Numbers of the shared buffers that were sent. */
  buffers: Set<number>;
}

/**
 * The worker threads of the chunk line. A few chunks per worker are inside, each in a slot of shared memory that is
 * used again; further ones wait in order, and beyond a bound they are refused. A worker that dies is replaced and its chunks
 * start again on the living ones.
 */
export class ChunkPool {
  readonly #options: ChunkPoolOptions;
  readonly #pace: Pace;
  readonly #lanes = new Set<Lane>();
  readonly #buffers = new SharedBuffers();
  readonly #free: Slot[] = [];
  readonly #waiting: PromiseWithResolvers<Slot>[] = [];
  readonly #jobs = new Map<number, Job>();
  #nextJob = 1;
  #crashes = 0;
  #crashesInARow = 0;
  #lastCrash: string | null = null;
  readonly #restarts = new Set<NodeJS.Timeout>();
  #disposed = false;

  constructor(options: ChunkPoolOptions) {
    this.#options = options;
    this.#pace = new Pace(options.levelWish);
    const workers = Math.max(1, Math.min(options.workersMax, availableParallelism()));
    for (let i = 0; i < workers; i += 1) this.#addLane();
    for (let i = 0; i < workers * slotsPerWorker; i += 1) this.#free.push(createSlot(i, options.payloadBytesMax));
  }

  /**
   * Waits for a slot, places the payload there and starts to compress it. Slots are given in the order of the calls.
   * Throws `unavailable` when too many chunks wait already, `tooLarge` on a payload above the limit.
   */
  async take(payload: Uint8Array, request: TakeRequest): Promise<PooledChunk> {
    if (!(payload.length <= this.#options.payloadBytesMax))
      throw new LucidError('tooLarge', `a chunk's payload is at most ${this.#options.payloadBytesMax} bytes`);
    if (!(request.prefixBytes <= prefixBytesMax))
      throw new LucidError('encryption', 'the chunk header does not fit its place');
    return this.#start(await this.#takeSlot(), payload, request);
  }

  health(): ChunkPoolHealth {
    return {
      workers: this.#lanes.size,
      chunksInFlight: this.#jobs.size,
      chunksWaiting: this.#waiting.length,
      crashes: this.#crashes,
      crashesInARow: this.#crashesInARow,
      lastCrash: this.#lastCrash,
    };
  }

  /** Ends the workers. Chunks inside are refused. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    for (const timer of this.#restarts) clearTimeout(timer);
    const gone = new LucidError('unavailable', 'the chunk processor is shutting down');
    for (const waiter of this.#waiting.splice(0)) waiter.reject(gone);
    for (const job of this.#jobs.values()) this.#fail(job, gone);
    const lanes = [...this.#lanes];
    this.#lanes.clear();
    await Promise.all(lanes.map((lane) => lane.worker.terminate()));
  }

  async #takeSlot(): Promise<Slot> {
    if (this.#disposed) throw new LucidError('unavailable', 'the chunk processor is shutting down');
    const slot = this.#free.pop();
    if (slot !== undefined) return slot;
    if (this.#waiting.length >= this.#options.waitingMax)
      throw new LucidError('unavailable', 'too many chunks wait for the chunk processor; send this one again later');
    const waiter = Promise.withResolvers<Slot>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  #giveSlot(slot: Slot): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#free.push(slot);
    else waiter.resolve(slot);
  }

  #start(slot: Slot, payload: Uint8Array, { compression, prefixBytes, pace, inputs }: TakeRequest): PooledChunk {
    // Chunks on their way to storage count: the next one follows them in a moment.
    const busy = this.#jobs.size >= this.#lanes.size || this.#waiting.length > 0;
    const job: Job = {
      id: this.#nextJob,
      slot,
      payload,
      copyOffset: placePayload(slot, payload),
      compression,
      prefixBytes,
      inputs,
      pace: pace ?? this.#pace.choose(compression, payload.length, busy),
      compressed: Promise.withResolvers(),
      result: null,
      sealing: null,
      lane: null,
      deaths: 0,
      failure: null,
      released: false,
    };
    // Its number has to fit the worker's status; nothing of that age is still inside.
    this.#nextJob = (this.#nextJob % 0x7fffffff) + 1;
    this.#jobs.set(job.id, job);
    // Whoever waits for the seal learns of the failure there; nobody has to wait for this one.
    job.compressed.promise.catch(() => {});
    this.#dispatch(job);
    return {
      pace: job.pace,
      compressed: job.compressed.promise,
      seal: (request) => this.#seal(job, request),
      release: () => this.#release(job),
    };
  }

  /** Gives the chunk to the worker with the least to do, from its beginning. */
  #dispatch(job: Job): void {
    let lane: Lane | null = null;
    for (const candidate of this.#lanes) {
      if (lane === null || candidate.jobs.size < lane.jobs.size) lane = candidate;
    }
    if (lane === null) {
      this.#fail(job, new LucidError('unavailable', 'no chunk worker runs at present; send the chunk again'));
      return;
    }
    job.lane = lane;
    lane.jobs.add(job);
    this.#postCompress(lane, job);
    if (job.sealing !== null) this.#postSeal(job, job.sealing.request);
  }

  #postCompress(lane: Lane, job: Job): void {
    const { slot, payload, copyOffset, compression, prefixBytes, pace, inputs } = job;
    if (inputs !== null) inputsSecretView(slot.memory).set(inputs);
    const memoryBytes = slot.memory.buffer.byteLength;
    const memoryKnown = lane.slotBytes.get(slot.index) === memoryBytes;
    lane.slotBytes.set(slot.index, memoryBytes);
    const shared = copyOffset === null ? (payload.buffer as SharedArrayBuffer) : null;
    const buffer = shared === null ? null : this.#numberOf(shared);
    const bufferKnown = buffer === null || lane.buffers.has(buffer);
    if (buffer !== null) lane.buffers.add(buffer);
    this.#post(lane, {
      kind: 'compress',
      job: job.id,
      slot: slot.index,
      ...(memoryKnown ? {} : { memory: slot.memory }),
      payload: { buffer, offset: copyOffset ?? payload.byteOffset, length: payload.length },
      ...(bufferKnown ? {} : { buffer: shared! }),
      prefixBytes,
      compression,
      ...pace,
      sealInputs: inputs !== null,
    });
  }

  #numberOf(shared: SharedArrayBuffer): number {
    const { number, dropped } = this.#buffers.numberOf(shared);
    if (dropped !== null) {
      for (const lane of this.#lanes)
        if (lane.buffers.delete(dropped)) this.#post(lane, { kind: 'drop', job: 0, buffer: dropped });
    }
    return number;
  }

  #seal(job: Job, request: SealRequest): Promise<SealedBody> {
    if (job.failure !== null) return Promise.reject(job.failure);
    if (job.sealing !== null || job.lane === null)
      return Promise.reject(new LucidError('encryption', 'a chunk is sealed once, before its slot is released'));
    if (!(request.prefix.length === job.prefixBytes && request.aadBytes <= request.prefix.length))
      return Promise.reject(new LucidError('encryption', 'the chunk header does not fit its place'));
    job.sealing = { request, done: Promise.withResolvers() };
    this.#postSeal(job, request);
    return job.sealing.done.promise;
  }

  #postSeal(job: Job, request: SealRequest): void {
    const { memory } = job.slot;
    const { prefix, aadBytes, secrets } = request;
    fileView(memory, prefix.length).set(prefix);
    if (secrets !== null) {
      const place = secretsView(memory);
      place.set(secrets.key);
      place.set(secrets.nonce, secrets.key.length);
    }
    const encrypted = secrets !== null;
    this.#post(job.lane!, { kind: 'seal', job: job.id, aadBytes, encrypted });
  }

  #post(lane: Lane, request: WorkerRequest): void {
    lane.worker.postMessage(request);
  }

  #release(job: Job): void {
    if (job.released) return;
    job.released = true;
    secretsView(job.slot.memory).fill(0);
    inputsSecretView(job.slot.memory).fill(0);
    job.inputs?.fill(0);
    if (job.lane === null) this.#freeSlotOf(job);
    // Given up half-way: the worker may still write into the slot until it has passed this message.
    else this.#post(job.lane, { kind: 'forget', job: job.id });
  }

  #freeSlotOf(job: Job): void {
    this.#jobs.delete(job.id);
    this.#giveSlot(job.slot);
  }

  #leaveLane(job: Job): void {
    job.lane?.jobs.delete(job);
    job.lane = null;
  }

  #fail(job: Job, failure: LucidError): void {
    job.failure = failure;
    job.sealing?.request.secrets?.key.fill(0);
    job.compressed.reject(failure);
    job.sealing?.done.reject(failure);
  }

  #addLane(): void {
    const status = new WorkerStatus();
    const entry = this.#options.workerUrl ?? new URL('./worker.ts', import.meta.url);
    const worker = new Worker(entry, { workerData: status.memory, name: 'lucid-chunks' });
    const lane: Lane = { worker, status, jobs: new Set(), slotBytes: new Map(), buffers: new Set() };
    this.#lanes.add(lane);
    worker.on('message', (answer: WorkerAnswer) => this.#answered(lane, answer));
    worker.on('error', (thrown) => {
      this.#lastCrash = thrown instanceof Error ? thrown.message : String(thrown);
    });
    // Only now the thread is gone: what it died of said `error`, which comes first.
    worker.on('exit', () => this.#crashed(lane));
  }

  #answered(lane: Lane, answer: WorkerAnswer): void {
    const job = this.#jobs.get(answer.job);
    if (job === undefined || job.lane !== lane) return;
    this.#crashesInARow = 0;
    if (answer.kind === 'forgotten') {
      this.#leaveLane(job);
      this.#freeSlotOf(job);
    } else if (job.released) {
      // Its owner is gone; `forgotten` follows.
    } else if (answer.kind === 'compressed') {
      this.#onCompressed(job, answer);
    } else if (answer.kind === 'sealed') {
      this.#leaveLane(job);
      job.sealing!.request.secrets?.key.fill(0);
      job.sealing!.done.resolve({ file: fileView(job.slot.memory, answer.fileBytes), sha256: answer.sha256 });
    } else {
      this.#leaveLane(job);
      this.#fail(job, stageError(answer.stage, answer.message));
    }
  }

  #onCompressed(job: Job, answer: Extract<WorkerAnswer, { kind: 'compressed' }>): void {
    const { compression, compressedBytes } = answer;
    // The header made from the first attempt binds what it measured; another result would seal a lie.
    if (
      job.result !== null &&
      (job.result.compression !== compression || job.result.compressedBytes !== compressedBytes)
    ) {
      this.#fail(job, new LucidError('compression', 'compressing the same chunk again gave another result'));
      return;
    }
    job.result = { compression, compressedBytes };
    if (compression !== 'none') this.#pace.learn(compression, job.pace.effort, job.payload.length, answer.elapsedNs);
    job.compressed.resolve(job.result);
  }

  #crashed(lane: Lane): void {
    if (!this.#lanes.delete(lane) || this.#disposed) return;
    this.#crashes += 1;
    this.#crashesInARow += 1;
    this.#replaceLane();
    const guilty = lane.status.job();
    for (const job of lane.jobs) {
      if (guilty === 0 || guilty === job.id) job.deaths += 1;
      this.#retry(job);
    }
    lane.jobs.clear();
  }

  #replaceLane(): void {
    const tooMany = this.#crashesInARow - crashesInARowMax;
    if (tooMany <= 0) {
      this.#addLane();
      return;
    }
    const restartMs = Math.min(restartMsMax, restartMsMin * 2 ** Math.min(tooMany - 1, 10));
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      this.#addLane();
    }, restartMs);
    this.#restarts.add(timer.unref());
  }

  #retry(job: Job): void {
    job.lane = null;
    if (job.released) {
      this.#freeSlotOf(job);
    } else if (job.failure !== null) {
      // Refused already; its owner releases the slot.
    } else if (job.deaths >= deathsMax) {
      this.#fail(job, stageError(job.sealing === null ? 'compress' : 'seal', `${deathsMax} workers died of it`));
    } else {
      // The copy in the slot may hold frames that were sealed already: sealing them again would open them.
      placePayload(job.slot, job.payload);
      this.#dispatch(job);
    }
  }
}

function stageError(stage: 'compress' | 'seal', message: string): LucidError {
  return stage === 'compress'
    ? new LucidError('compression', `the chunk could not be compressed: ${message}`)
    : new LucidError('encryption', `the chunk could not be encrypted: ${message}`);
}
