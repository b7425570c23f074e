/** So many at once, and so many more as time passes: a pace that leaves room for bursts. */
export interface Pace {
  burst: number;
  perSecond: number;
}

export interface BucketState {
  left: number;
  atUs: number;
}

/** Times are of any clock in µs; one that goes back gives nothing. */
export class TokenBucket {
  readonly #pace: Pace;
  #left: number;
  #atUs: number;

  /** Begins full, or as it was left. */
  constructor(pace: Pace, nowUs: number, { left, atUs }: BucketState = { left: pace.burst, atUs: nowUs }) {
    this.#pace = pace;
    this.#left = left;
    this.#atUs = atUs;
  }

  get state(): BucketState {
    return { left: this.#left, atUs: this.#atUs };
  }

  /** Whether one more is allowed now. */
  has(nowUs: number): boolean {
    const { burst, perSecond } = this.#pace;
    this.#left = Math.min(burst, this.#left + (Math.max(0, nowUs - this.#atUs) / 1e6) * perSecond);
    this.#atUs = nowUs;
    return this.#left >= 1;
  }

  /** Takes one, where there is one. */
  take(nowUs: number): boolean {
    if (!this.has(nowUs)) return false;
    this.#left -= 1;
    return true;
  }
}
