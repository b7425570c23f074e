/** Counts that all processes of the API share. Without Redis each counts for itself. */
import { createHash } from 'node:crypto';
import type { RateLimiter, RateState } from '@lucid-sessions/api';
import type { Cluster, Redis } from 'ioredis';

export interface RedisRateLimiterOptions {
  redis: Redis | Cluster;
  /** Counts while Redis does not. */
  local: RateLimiter;
  /** What an operator should see: when Redis is lost, and when it is back. */
  say: (line: string) => void;
}

const windowMs = 60_000;
/** After a failure Redis is left alone for so long: calls must not wait for it one by one. */
const restMs = 1000;

/** One step for whoever asks at the same time. A count ends with its minute, and some more for clocks that differ. */
const take = `
  local count = tonumber(redis.call('GET', KEYS[1]) or '0')
  if count >= tonumber(ARGV[1]) then return {0, count} end
  count = redis.call('INCR', KEYS[1])
  if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {1, count}`;

export class RedisRateLimiter implements RateLimiter {
  readonly #options: RedisRateLimiterOptions;
  #restUntilMs = 0;
  #isLost = false;

  constructor(options: RedisRateLimiterOptions) {
    this.#options = options;
  }

  async take(key: string, limit: number, nowMs: number): Promise<RateState> {
    const { redis, local, say } = this.#options;
    if (performance.now() < this.#restUntilMs) return local.take(key, limit, nowMs);
    const window = Math.floor(nowMs / windowMs);
    // Users' names are of any length and form.
    const name = `lucid:rate:${createHash('sha256').update(key).digest('hex')}:${window}`;
    try {
      const [allowed, count] = (await redis.eval(take, 1, name, limit, 2 * windowMs)) as [number, number];
      if (this.#isLost) say('redis: it is back; requests are counted together again');
      this.#isLost = false;
      const resetMs = (window + 1) * windowMs;
      return {
        allowed: allowed === 1,
        limit,
        remaining: Math.max(0, limit - count),
        resetSeconds: resetMs / 1000,
        retryAfterSeconds: Math.max(1, Math.ceil((resetMs - nowMs) / 1000)),
      };
    } catch {
      if (!this.#isLost) say('redis: it does not answer; each process counts requests for itself until it does');
      this.#isLost = true;
      this.#restUntilMs = performance.now() + restMs;
      return local.take(key, limit, nowMs);
    }
  }
}
