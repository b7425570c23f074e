/** A walk of the index thread between two chunks of a session. */
export interface IndexRun {
  readonly run: number;
  /** The chunk it continues with. */
  next: number;
  /** So many chunks are behind the state that is stored. */
  stored: number;
}

/** Each holds up to 5 MB of what compressed streams may refer to. */
const keptMax = 16;
/** A session's chunks come every half minute. Who has been away for longer begins at the stored state again. */
const idleMsMax = 5 * 60_000;

/**
 * Walks that wait in the thread for their session's next chunk. Storing a state, reading it and beginning with it cost more than most
 * chunks do, so it is stored for sessions without a place here, and now and then: what is lost is indexed again.
 */
export class KeptRuns {
  readonly #nowMs: () => number;
  readonly #close: (run: number) => void;
  readonly #kept = new Map<string, { run: IndexRun; sinceMs: number }>();

  constructor(close: (run: number) => void, nowMs: () => number = () => performance.now()) {
    this.#close = close;
    this.#nowMs = nowMs;
  }

  /** The session's, which is not kept any more. */
  take(sessionId: string): IndexRun | null {
    const kept = this.#kept.get(sessionId);
    this.#kept.delete(sessionId);
    return kept?.run ?? null;
  }

  get hasRoom(): boolean {
    for (const [sessionId, { run, sinceMs }] of this.#kept) {
      if (this.#nowMs() - sinceMs <= idleMsMax) continue;
      this.#kept.delete(sessionId);
      this.#close(run.run);
    }
    return this.#kept.size < keptMax;
  }

  keep(sessionId: string, run: IndexRun): void {
    this.#kept.set(sessionId, { run, sinceMs: this.#nowMs() });
  }
}
