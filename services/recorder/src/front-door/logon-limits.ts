/** How many logons may go wrong from one client address: beyond it secrets are not even compared. */
import { type Pace, TokenBucket } from '@lucid-sessions/kit';
import { clientGroup, ipOf } from './door-limits.ts';

/** People mistype; who tries secrets does so thousands of times. */
const pace: Pace = { burst: 20, perSecond: 1 / 6 };
const addressesMax = 10_000;

export class LogonLimits {
  readonly #nowUs: () => number;
  /** Of addresses logons of which went wrong, in the order of their last one. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  mayTry(clientAddress: string): boolean {
    return this.#buckets.get(groupOf(clientAddress))?.has(this.#nowUs()) ?? true;
  }

  wentWrong(clientAddress: string): void {
    const group = groupOf(clientAddress);
    const nowUs = this.#nowUs();
    const bucket = this.#buckets.get(group) ?? new TokenBucket(pace, nowUs);
    bucket.take(nowUs);
    this.#buckets.delete(group);
    this.#buckets.set(group, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > addressesMax && oldest !== undefined) this.#buckets.delete(oldest);
  }
}

const groupOf = (clientAddress: string): string => clientGroup(ipOf(clientAddress));
