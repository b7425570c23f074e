/** The relaying thread's side of the spool: sessions write frames, closed segments come back as chunks to seal. */
import { Worker } from 'node:worker_threads';
import { type ChunkReceipt, type ChunkToSeal, type ErrorName, isLucidError } from '@lucid-sessions/contract';
import { encodeNote, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import { BatchPool, createBatchMemory } from './batch-pool.ts';
import { FrameBatch, type FullBatch } from './frame-batch.ts';
import type { SpoolLimits } from './spool-engine.ts';
import type {
  AppendItem,
  LiveAnswer,
  ReadyChunk,
  RecoveredSession,
  SessionEnd,
  SpoolCommand,
  SpoolEvent,
  SpoolFailureCode,
  SpoolStatistics,
} from './spool-messages.ts';
import type { SpoolThreadData } from './spool-thread.ts';

/** Larger than two PDUs of 64 KiB with their headers: one may be open in each direction. */
export const batchSlotBytes = 192 * 1024;
/** Below that many free slots sockets are paused: what each may still bring, in both directions, must fit. */
const batchSlotsReservePerSession = 2;
const batchSlotsReserveMin = 16;

export interface SpoolOptions {
  /** Segments go into `<dataDir>/spool`, the key into `<dataDir>/keys/spool.key`. */
  directory: string;
  keyPath: string;
  /** Somebody put it there: none is made. */
  keyGiven?: boolean;
  limits: SpoolLimits;
  /** µs on the recorder's monotonic clock begin here (`process.hrtime.bigint()`). */
  originNs: bigint;
  batchSlotsCount: number;
  /** Sessions that record, or whose chunks are not all stored. */
  sessionsMax: number;
  /** Closed segments being sealed at the same time. */
  chunkSlotsCount: number;
  /** Frames are handed to the spool thread this long after the first of them came. */
  flushEveryMs: number;
  diskModule?: string;
  /** It was copied while it was written: chunks that its recorder stored may hold more than the copy, and count. */
  isCopy?: boolean;
  seal: (chunk: ChunkToSeal) => Promise<ChunkReceipt>;
  /** Every chunk of the session has its receipt; the session's spool goes when this resolves. */
  onDrained: (sessionId: string, chunksCount: number, recording: number) => Promise<void>;
  /** A chunk of the session is refused again and again for a reason that waiting does not mend. It is kept and tried on. */
  onUnstorable: (sessionId: string, message: string, recording: number) => void;
  /** True while sessions wait for something beside the spool: no more is read from sockets. */
  holdsBack?: () => boolean;
  /** Something an operator should know. */
  onProblem: (message: string) => void;
}

/**
 * So much that waits when it is to be handed over came at a bulk rate: then it may wait until the oldest frame of a batch has waited so long. A record
 * costs the spool thread some 10 µs whatever is in it; of 80 KiB each a GB costs it half of what it costs in records of 20 KiB.
 */
const bulkBytesMin = 64 * 1024;
const bulkWaitUsMax = 20_000;

/** Codes of refusals that the same chunk meets every time; others pass: storage that is away, a full disk. */
const lastingRefusals: readonly ErrorName[] = [
  'invalidRequest',
  'notInThisState',
  'compression',
  'encryption',
  'tooLarge',
  'conflict',
];
/** So many lasting refusals one after the other are no accident: some two seconds with the spool's pauses. */
const refusalsMax = 4;

export interface SpoolSessionEvents {
  /** Frames can't be persisted from here on; `onGap` says when that is over, with the same `fromUs`. */
  onFailed: (code: SpoolFailureCode, message: string, fromUs: number) => void;
  /** They can again (or the session has ended). */
  onGap: (gap: { fromUs: number; toUs: number; framesLost: number; reason: string }) => void;
}

/** One session's way into the spool. */
export class SpoolSession {
  readonly sessionId: string;
  readonly number: number;
  readonly batch: FrameBatch;
  readonly #spool: Spool;
  readonly #originUs: number;
  /** Frames handed to the spool thread. */
  framesHandedOver = 0;

  constructor(spool: Spool, sessionId: string, number: number, originUs: number) {
    this.#spool = spool;
    this.sessionId = sessionId;
    this.number = number;
    this.#originUs = originUs;
    this.batch = new FrameBatch(
      spool.pool,
      originUs,
      () => spool.started(this),
      (batch) => spool.handOver(this, batch),
    );
  }

  /** µs since the session's start. */
  nowUs(): number {
    return this.#spool.monotonicUs() - this.#originUs;
  }

  note(note: GatewayNote): void {
    this.batch.frame(frameKinds.note, 0, 0, encodeNote(note), this.nowUs());
  }

  /** Closes the chunk to be and starts the next one. */
  rotate(gapBefore: boolean): void {
    this.batch.flush(this.nowUs());
    this.#spool.command({ kind: 'rotate', session: this.number, gapBefore });
  }

  end(end: SessionEnd): void {
    this.batch.finish(this.nowUs());
    this.#spool.ended(this.number, end);
  }

  /** Frames that can't be lost any more. */
  get durableFrames(): number {
    return Number(Atomics.load(this.#spool.watermarks, this.number));
  }

  /** Resolves when everything written so far is durable. */
  async durable(): Promise<void> {
    this.batch.flush(this.nowUs());
    this.#spool.flush();
    const frames = BigInt(this.framesHandedOver);
    const { watermarks } = this.#spool;
    for (let known = Atomics.load(watermarks, this.number); known < frames; ) {
      await Atomics.waitAsync(watermarks, this.number, known).value;
      known = Atomics.load(watermarks, this.number);
    }
  }
}

/** The empty chunk that ends a recovered session, where the chain got its end before the crash: nothing is in it. */
function isNeedless(chunk: Pick<ReadyChunk, 'final' | 'recovered' | 'framesCount'>, error: unknown): boolean {
  const refused = isLucidError(error, 'notInThisState');
  return refused && chunk.final && chunk.recovered && chunk.framesCount === 0;
}

export class Spool {
  readonly #options: SpoolOptions;
  /** The recorder's start on this thread's clock. */
  readonly #originMs: number;
  readonly #worker: Worker;
  readonly #chunkSlots: SharedArrayBuffer[];
  readonly pool: BatchPool;
  /** Left by an earlier process; their chunks are being sealed. */
  recovered: RecoveredSession[] = [];
  readonly #sessions = new Map<number, { session: SpoolSession; events: SpoolSessionEvents }>();
  /** Ids whose chunks are not all stored. */
  readonly #known = new Map<string, number>();
  readonly #started = new Set<SpoolSession>();
  /** Sessions that may still write frames. */
  #recording = 0;
  #pending: AppendItem[] = [];
  #flushTimer: NodeJS.Timeout | null = null;
  /** By session number; the spool thread writes, everybody reads. */
  readonly watermarks: BigInt64Array<SharedArrayBuffer>;
  readonly #freeNumbers: number[];
  #statisticsWaiters: ((statistics: SpoolStatistics) => void)[] = [];
  readonly #liveWaiters = new Map<number, (answer: LiveAnswer) => void>();
  #liveId = 0;
  #onRecovered: () => void = () => {};
  #onClosed: () => void = () => {};
  #closing: Promise<void> | null = null;
  /** Set when the spool thread has died: nothing can be recorded any more. */
  failure: string | null = null;
  /** Sessions whose latest chunk was refused: why, and how often for a lasting reason. */
  readonly #refused = new Map<string, { message: string; lasting: number }>();

  private constructor(options: SpoolOptions) {
    this.#options = options;
    this.#originMs = performance.now() - Number(process.hrtime.bigint() - options.originNs) / 1e6;
    const batches = createBatchMemory(options.batchSlotsCount, batchSlotBytes);
    this.pool = new BatchPool(batches);
    this.watermarks = new BigInt64Array(new SharedArrayBuffer(8 * options.sessionsMax));
    this.#freeNumbers = Array.from({ length: options.sessionsMax }, (_, i) => options.sessionsMax - 1 - i);
    this.#chunkSlots = Array.from(
      { length: options.chunkSlotsCount },
      () => new SharedArrayBuffer(options.limits.segmentBytesMax),
    );
    const workerData: SpoolThreadData = {
      directory: options.directory,
      keyPath: options.keyPath,
      keyGiven: options.keyGiven === true,
      limits: options.limits,
      batches,
      chunks: this.#chunkSlots,
      watermarks: this.watermarks.buffer,
      originNs: options.originNs,
      diskModule: options.diskModule ?? new URL('./spool-disk.ts', import.meta.url).href,
    };
    this.#worker = new Worker(new URL('./spool-thread.ts', import.meta.url), { workerData, name: 'lucid-spool' });
    this.#worker.on('message', (event: SpoolEvent) => this.#on(event));
  }

  /** Resolves when the spool of an earlier process has been taken up. Rejects when it can't be. */
  static async start(options: SpoolOptions): Promise<Spool> {
    const spool = new Spool(options);
    await new Promise<void>((resolve, reject) => {
      spool.#onRecovered = resolve;
      spool.#worker.on('error', (error: Error) => {
        spool.#die(error.message);
        reject(error);
      });
    });
    return spool;
  }

  monotonicUs(): number {
    return Math.floor((performance.now() - this.#originMs) * 1000);
  }

  /** Whether one more read of a socket surely fits. */
  get hasRoom(): boolean {
    const isHeld = this.#options.holdsBack?.() === true;
    return !isHeld && this.pool.hasMoreThan(batchSlotsReserveMin + batchSlotsReservePerSession * this.#recording);
  }

  /** What keeps a chunk out of storage now; null when nothing does. */
  get sealProblem(): string | null {
    const [problem] = this.#refused.values();
    return problem?.message ?? null;
  }

  /** Sessions, live ones too, whose chunks are not all stored. */
  get undrainedCount(): number {
    return this.#known.size;
  }

  get undrained(): string[] {
    return [...this.#known.keys()];
  }

  /** False while chunks of a session of this id are still on their way. */
  canOpen(sessionId: string): boolean {
    return this.failure === null && !this.#known.has(sessionId) && this.#freeNumbers.length > 0;
  }

  /** `recording`: which of the session's it is; 0: not known. */
  open(sessionId: string, events: SpoolSessionEvents, recording = 0): SpoolSession {
    const number = this.canOpen(sessionId) ? this.#freeNumbers.pop() : undefined;
    if (number === undefined) throw new Error(this.failure ?? `session ${sessionId} is still being stored`);
    Atomics.store(this.watermarks, number, 0n);
    const session = new SpoolSession(this, sessionId, number, this.monotonicUs());
    this.#known.set(sessionId, recording);
    this.#recording += 1;
    this.#sessions.set(number, { session, events });
    this.command({ kind: 'open', session: number, sessionId, recording });
    return session;
  }

  async statistics(): Promise<SpoolStatistics> {
    if (this.failure !== null) throw new Error(this.failure);
    return new Promise((resolve) => {
      this.#statisticsWaiters.push(resolve);
      this.command({ kind: 'statistics' });
    });
  }

  /**
   * Frames of a session from number `afterFrame` on, as they were recorded: what the spool has of them, else what comes within
   * `waitMs`. They are read back by the spool thread; the relaying thread only passes them on.
   */
  live(sessionId: string, afterFrame: number, waitMs: number): Promise<LiveAnswer> {
    if (this.failure !== null) return Promise.reject(new Error(this.failure));
    this.#liveId += 1;
    const id = this.#liveId;
    return new Promise((resolve) => {
      this.#liveWaiters.set(id, resolve);
      this.#worker.postMessage({
        kind: 'live',
        request: { id, sessionId, afterFrame, waitMs },
      } satisfies SpoolCommand);
    });
  }

  /** After a last sync; segments without a receipt are taken up at the next start. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    if (this.failure !== null) return;
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    this.command({ kind: 'close' });
    await closed;
    await this.#worker.terminate();
  }

  // ---- called by SpoolSession

  /** Sends a command after the batches that were handed over before it. */
  command(command: SpoolCommand): void {
    this.flush();
    this.#worker.postMessage(command);
  }

  ended(session: number, end: SessionEnd): void {
    this.#recording -= 1;
    this.command({ kind: 'end', session, end });
  }

  started(session: SpoolSession): void {
    this.#started.add(session);
    this.#flushTimer ??= setTimeout(() => this.#flushStarted(), this.#options.flushEveryMs);
  }

  handOver(session: SpoolSession, batch: FullBatch): void {
    session.framesHandedOver += batch.framesCount;
    this.#pending.push({ session: session.number, ...batch });
    if (this.#flushTimer === null || batch.bytes > batchSlotBytes / 2) this.flush();
  }

  #flushStarted(): void {
    this.#flushTimer = null;
    const started = [...this.#started];
    this.#started.clear();
    // Armed again at once by a batch that had to keep a PDU that is still arriving.
    const waitingBytes = started.reduce((sum, { batch }) => sum + batch.waitingBytes, 0);
    const waitUs = waitingBytes < bulkBytesMin ? 0 : bulkWaitUsMax;
    for (const session of started)
      if (session.nowUs() - session.batch.oldestUs >= waitUs) session.batch.flush(session.nowUs());
    this.flush();
    for (const session of started) if (session.batch.isStarted) this.started(session);
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const items = this.#pending;
    this.#pending = [];
    this.#worker.postMessage({ kind: 'append', items } satisfies SpoolCommand);
  }

  // ---- the spool thread's events

  #on(event: SpoolEvent): void {
    switch (event.kind) {
      case 'ready':
        void this.#seal(event.chunk);
        return;
      case 'failed':
        this.#sessions.get(event.session)?.events.onFailed(event.code, event.message, event.fromUs);
        return;
      case 'gap':
        this.#sessions.get(event.session)?.events.onGap(event);
        return;
      case 'complete':
        void this.#drained(event.sessionId, event.chunksCount);
        return;
      case 'recovered':
        this.recovered = event.sessions;
        for (const { sessionId, recording } of event.sessions) this.#known.set(sessionId, recording);
        for (const sessionId of event.unreadable)
          this.#options.onProblem(
            `the spool of session ${sessionId} can't be opened with this spool key; it was moved to spool/unreadable`,
          );
        this.#onRecovered();
        return;
      case 'statistics':
        this.#statisticsWaiters.shift()?.(event.statistics);
        return;
      case 'live':
        this.#liveWaiters.get(event.id)?.(event.answer);
        this.#liveWaiters.delete(event.id);
        return;
      case 'closed':
        this.#endLive();
        this.#onClosed();
        return;
    }
  }

  async #seal({ slot, payloadBytes, firstFrameNumber: _, ...chunk }: ReadyChunk): Promise<void> {
    const { sessionId, index } = chunk;
    const memory = this.#chunkSlots[slot];
    if (memory === undefined) return;
    try {
      const receipt = await this.#options.seal({ ...chunk, payload: new Uint8Array(memory, 0, payloadBytes) });
      if (this.#refused.delete(sessionId)) this.#options.onProblem(`session ${sessionId} is being stored again`);
      const stored = chunk.final && receipt.final === false ? 'not_final' : 'as_asked';
      this.command({ kind: 'sealed', sessionId, index, slot, stored });
    } catch (error) {
      if (this.#options.isCopy === true && isLucidError(error, 'conflict')) {
        const stored = chunk.final ? 'not_final' : 'as_asked';
        this.command({ kind: 'sealed', sessionId, index, slot, stored });
        return;
      }
      if (isNeedless(chunk, error)) {
        this.command({ kind: 'sealed', sessionId, index, slot, stored: 'chain_closed' });
        return;
      }
      this.#refuse(sessionId, index, error);
      this.command({ kind: 'not_sealed', sessionId, index, slot });
    }
  }

  #refuse(sessionId: string, index: number, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const message = `chunk ${index} of session ${sessionId}: ${why}`;
    const known = this.#refused.get(sessionId);
    const isLasting = isLucidError(error, ...lastingRefusals);
    const lasting = isLasting ? (known?.lasting ?? 0) + 1 : 0;
    this.#refused.set(sessionId, { message, lasting });
    if (known === undefined) this.#options.onProblem(`${message}; it waits in the spool and is tried again`);
    if (lasting >= refusalsMax)
      this.#options.onUnstorable(sessionId, `chunk ${index} can't be stored: ${why}`, this.#known.get(sessionId) ?? 0);
  }

  async #drained(sessionId: string, chunksCount: number): Promise<void> {
    await this.#options.onDrained(sessionId, chunksCount, this.#known.get(sessionId) ?? 0);
    this.command({ kind: 'forget', sessionId });
    this.#refused.delete(sessionId);
    this.#known.delete(sessionId);
    for (const [number, { session }] of this.#sessions)
      if (session.sessionId === sessionId) {
        this.#sessions.delete(number);
        this.#freeNumbers.push(number);
      }
  }

  /** The spool thread answers nobody any more. */
  #endLive(): void {
    const frames = new Uint8Array(0);
    for (const answer of this.#liveWaiters.values())
      answer({ state: 'unknown', chunkIndex: 0, firstFrame: 0, framesCount: 0, frames });
    this.#liveWaiters.clear();
  }

  #die(message: string): void {
    this.#endLive();
    this.failure = `the spool thread has died: ${message}`;
    for (const { events } of this.#sessions.values()) events.onFailed('disk_failed', this.failure, Date.now() * 1000);
    this.#onClosed();
  }
}
