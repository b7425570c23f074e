/** Tokens that let one connection ask for one session: good once, for a minute, at the recorder that has the session. */
import { createHash, randomBytes } from 'node:crypto';
import { LucidError } from '@lucid-sessions/contract';

export interface SteerClaim {
  sessionId: string;
  by: string;
}

const lifetimeUs = 60_000_000;
const tokensMax = 1000;

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');

export class SteerTokens {
  readonly #nowUs: () => number;
  /** By SHA-256, in the order of their issue, which is that of their end. */
  readonly #issued = new Map<string, SteerClaim & { untilUs: number }>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  issue(claim: SteerClaim): { token: string; expiresUs: number } {
    this.#dropEnded();
    if (this.#issued.size >= tokensMax)
      throw new LucidError('rateLimited', 'too many people are about to steer sessions; try again in a moment');
    const token = randomBytes(24).toString('base64url');
    const expiresUs = this.#nowUs() + lifetimeUs;
    this.#issued.set(digestOf(token), { ...claim, untilUs: expiresUs });
    return { token, expiresUs };
  }

  /** Null: it leads nowhere, for whatever reason. */
  use(token: string): SteerClaim | null {
    this.#dropEnded();
    const digest = digestOf(token);
    const claim = this.#issued.get(digest) ?? null;
    this.#issued.delete(digest);
    return claim;
  }

  #dropEnded(): void {
    const nowUs = this.#nowUs();
    for (const [digest, { untilUs }] of this.#issued) {
      if (untilUs > nowUs) return;
      this.#issued.delete(digest);
    }
  }
}
