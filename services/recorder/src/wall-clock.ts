/**
 * Wall-clock time that runs evenly: the clock as it was at the start, moved on by the monotonic clock. When the system's
 * clock is set, `check` says by how much and follows.
 */
export class WallClock {
  readonly #systemUs: () => number;
  readonly #monotonicUs: () => number;
  #offsetUs: number;

  constructor(systemUs = () => Date.now() * 1000, monotonicUs = () => Math.floor(performance.now() * 1000)) {
    this.#systemUs = systemUs;
    this.#monotonicUs = monotonicUs;
    this.#offsetUs = systemUs() - monotonicUs();
  }

  /** µs since 1970. */
  nowUs(): number {
    return this.#offsetUs + this.#monotonicUs();
  }

  /** The step since the last check in µs, 0 for drift below `toleranceUs`, which is taken over silently. */
  check(toleranceUs = 250_000): number {
    const offsetUs = this.#systemUs() - this.#monotonicUs();
    const stepUs = offsetUs - this.#offsetUs;
    this.#offsetUs = offsetUs;
    return Math.abs(stepUs) < toleranceUs ? 0 : stepUs;
  }
}
