/** Group commit: one round of fdatasync over everything touched since the last, never two at once. */
import type { OpenSegment } from './open-segment.ts';
import type { SpoolDisk } from './spool-disk.ts';

export interface CommitRoundsOptions {
  disk: SpoolDisk;
  /** Between the starts of two rounds, at least. */
  everyMs: number;
  monotonicUs: () => number;
  /** A segment or the directory that names it could not be made durable; told once. */
  onFailed: (segment: OpenSegment, error: unknown) => void;
}

/** Segments of which something may be lost. */
export type FailedSegments = Pick<ReadonlySet<OpenSegment>, 'has'>;

/** A disk that is slow rests as long as a round took, but not so long that frames become late. */
const restMsMax = 15;

/** Each answers what cancels it. */
function startTimer(begin: () => void, waitMs: number): () => void {
  const timer = setTimeout(begin, waitMs);
  return () => clearTimeout(timer);
}
/** Behind what the present turn appends, and before the thread sleeps: a timer would wake it for that, a millisecond later. */
function startTurn(begin: () => void): () => void {
  const turn = setImmediate(begin);
  return () => clearImmediate(turn);
}

export class CommitRounds {
  readonly #options: CommitRoundsOptions;
  #segments = new Set<OpenSegment>();
  #directories = new Set<string>();
  #afterwards: ((failed: FailedSegments) => void)[] = [];
  /** A file system tells of a lost page once: the next sync of the file succeeds, and proves nothing. */
  readonly #failed = new WeakSet<OpenSegment>();
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  /** On the monotonic clock, µs. */
  #nextUs = Number.NEGATIVE_INFINITY;
  #stopped = false;
  /** Rounds done. */
  roundsCount = 0;

  constructor(options: CommitRoundsOptions) {
    this.#options = options;
  }

  touch(segment: OpenSegment): void {
    this.#segments.add(segment);
    this.#schedule();
  }

  touchDirectory(path: string): void {
    this.#directories.add(path);
    this.#schedule();
  }

  /** Calls back when everything touched until now is durable, or has failed: now or in a round before. */
  afterwards(callback: (failed: FailedSegments) => void): void {
    this.#afterwards.push(callback);
    this.#schedule();
  }

  /** A last round, then none. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
    await this.#round();
  }

  #schedule(): void {
    if (this.#stopped || this.#cancel !== null || this.#running !== null) return;
    const begin = (): void => {
      this.#cancel = null;
      this.#running = this.#round().finally(() => {
        this.#running = null;
        if (this.#segments.size + this.#directories.size + this.#afterwards.length > 0) this.#schedule();
      });
    };
    const waitMs = (this.#nextUs - this.#options.monotonicUs()) / 1000;
    this.#cancel = waitMs > 0 ? startTimer(begin, waitMs) : startTurn(begin);
  }

  async #round(): Promise<void> {
    const startedUs = this.#options.monotonicUs();
    const segments = [...this.#segments];
    const directories = [...this.#directories];
    const afterwards = this.#afterwards;
    this.#segments = new Set();
    this.#directories = new Set();
    this.#afterwards = [];
    const fail = (segment: OpenSegment, error: unknown): void => {
      if (this.#failed.has(segment)) return;
      this.#failed.add(segment);
      this.#options.onFailed(segment, error);
    };
    const syncs = segments.map((segment) => segment.sync().catch((error: unknown) => fail(segment, error)));
    const directorySyncs = directories.map((path) =>
      this.#options.disk.syncDirectory(path).catch((error: unknown) => {
        // A file whose name may be lost is as good as lost: a directory's failure is its segments' failure.
        for (const segment of segments) if (segment.directory.startsWith(path)) fail(segment, error);
      }),
    );
    await Promise.all([...syncs, ...directorySyncs]);
    const endedUs = this.#options.monotonicUs();
    const restUs = Math.min(endedUs - startedUs, restMsMax * 1000);
    this.#nextUs = Math.max(startedUs + this.#options.everyMs * 1000, endedUs + restUs);
    // One that was closed during the round still has its close record to be made durable.
    for (const segment of segments) if (segment.closed && !this.#segments.has(segment)) segment.release();
    for (const callback of afterwards) callback(this.#failed);
    this.roundsCount += 1;
  }
}
