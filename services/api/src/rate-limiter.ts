/** Counts requests per user, kind of work and minute. A store of several processes implements the same interface. */
export interface RateState {
  allowed: boolean;
  limit: number;
  remaining: number;
  /** Seconds since 1970. */
  resetSeconds: number;
  retryAfterSeconds: number;
}

export interface RateLimiter {
  take(key: string, limit: number, nowMs: number): Promise<RateState>;
}

const windowMs = 60_000;
const countersMax = 100_000;

export class MemoryRateLimiter implements RateLimiter {
  readonly #countersMax: number;
  readonly #counters = new Map<string, { window: number; count: number }>();

  constructor(counters = countersMax) {
    this.#countersMax = counters;
  }

  async take(key: string, limit: number, nowMs: number): Promise<RateState> {
    const window = Math.floor(nowMs / windowMs);
    const known = this.#counters.get(key);
    const counter = known?.window === window ? known : { window, count: 0 };
    if (known !== counter) {
      this.#makeRoom(window);
      this.#counters.set(key, counter);
    }
    const allowed = counter.count < limit;
    if (allowed) counter.count += 1;
    const resetMs = (window + 1) * windowMs;
    return {
      allowed,
      limit,
      remaining: limit - counter.count,
      resetSeconds: resetMs / 1000,
      retryAfterSeconds: Math.max(1, Math.ceil((resetMs - nowMs) / 1000)),
    };
  }

  /** Counters of past minutes go first; then the oldest, so that the memory is bounded whoever calls. */
  #makeRoom(window: number): void {
    if (this.#counters.size < this.#countersMax) return;
    for (const [key, counter] of this.#counters) if (counter.window !== window) this.#counters.delete(key);
    for (const key of this.#counters.keys()) {
      if (this.#counters.size < this.#countersMax) return;
      this.#counters.delete(key);
    }
  }
}
