/** So much may be used in one go after a rest. */
const burstMs = 1000;
/** A wait too short for a timer is waited for later. */
const waitMsMin = 20;
const waitMsMax = 1000;

/** Keeps work within a share of the processor's cores: says how long to rest before going on. */
export class CpuPace {
  readonly #cores: number;
  /** Processor time used beyond the share; below zero after a rest. */
  #debtMs: number;
  #usedMs: number;
  #atMs: number;

  /** `cores`: 0.5 is half of one. `usedMs` counts processor time, `atMs` is a clock. */
  constructor(cores: number, usedMs: number, atMs: number) {
    if (!(cores > 0)) throw new RangeError('the share of cores must be above 0');
    this.#cores = cores;
    this.#debtMs = -burstMs * cores;
    this.#usedMs = usedMs;
    this.#atMs = atMs;
  }

  waitMs(usedMs: number, atMs: number): number {
    const earnedMs = (atMs - this.#atMs) * this.#cores;
    this.#debtMs = Math.max(-burstMs * this.#cores, this.#debtMs + (usedMs - this.#usedMs) - earnedMs);
    this.#usedMs = usedMs;
    this.#atMs = atMs;
    const waitMs = this.#debtMs / this.#cores;
    return waitMs < waitMsMin ? 0 : Math.min(waitMsMax, waitMs);
  }
}
