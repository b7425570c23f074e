/** Browsers that are signed in. Each holds a secret in a cookie; here is its SHA-256 alone. */
import { createHmac } from 'node:crypto';
import type { SignInMethod } from '@lucid-sessions/contract';
import { sha256Hex } from './accounts.ts';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';

export interface SignIn {
  /** Of the account, which another of the same name has not. */
  key?: string;
  method: SignInMethod;
  createdUs: number;
  /** Last request, to the minute. */
  seenUs: number;
  ipAddress: string | null;
  userAgent: string | null;
  /** What the identity provider is told at the end, sealed, base64; null: it was another way. */
  idToken: string | null;
  /** By which it signed in, its session there, and when the person proved there who they are; null: it doesn't say. */
  provider?: { id: string; sid: string | null; provedUs: number | null };
}

export type KeptSignIn = Kept<SignIn>;

export interface SignInTimes {
  /** Without a request. */
  idleUs: number;
  /** Whatever happens. */
  wholeUs: number;
}

const seenEveryUs = 60_000_000;
/** Of one account: the oldest goes where there are more. */
const perAccountMax = 50;

export class SignIns {
  readonly #set: EntrySet<SignIn>;
  readonly #times: SignInTimes;
  readonly #nowUs: () => number;
  readonly #secret: () => string;

  constructor(storage: EntryStorage, times: SignInTimes, nowUs: () => number, secret: () => string) {
    this.#set = new EntrySet(storage, 'sign_in');
    this.#times = times;
    this.#nowUs = nowUs;
    this.#secret = secret;
  }

  #endOf(createdUs: number, seenUs: number): number {
    return Math.min(createdUs + this.#times.wholeUs, seenUs + this.#times.idleUs);
  }

  /** Answers the secret for the cookie, and what is kept. */
  async create(
    userId: string,
    facts: Pick<SignIn, 'key' | 'method' | 'ipAddress' | 'userAgent' | 'idToken' | 'provider'>,
  ): Promise<{ secret: string; kept: KeptSignIn }> {
    const nowUs = this.#nowUs();
    const value: SignIn = { ...facts, createdUs: nowUs, seenUs: nowUs };
    const secret = this.#secret();
    const id = sha256Hex(secret);
    const untilUs = this.#endOf(nowUs, nowUs);
    await this.#set.add(id, value, { owner: userId, untilUs });
    await this.#dropOldest(userId);
    return { secret, kept: { id, owner: userId, value, version: 1, untilUs } };
  }

  async #dropOldest(userId: string): Promise<void> {
    const all = await this.list(userId);
    if (all.length <= perAccountMax) return;
    const oldest = all.toSorted((a, b) => a.value.seenUs - b.value.seenUs)[0]!;
    await this.#set.remove(oldest.id);
  }

  /** Null: it is none, or over. A request puts its end off. */
  async find(secret: string): Promise<KeptSignIn | null> {
    const kept = await this.#set.get(sha256Hex(secret));
    if (kept?.owner == null) return null;
    const nowUs = this.#nowUs();
    if (nowUs - kept.value.seenUs < seenEveryUs) return kept;
    const untilUs = this.#endOf(kept.value.createdUs, nowUs);
    return this.#set.change(kept.id, ({ value }) => ({ value: { ...value, seenUs: nowUs }, untilUs }));
  }

  async list(userId: string): Promise<KeptSignIn[]> {
    const all: KeptSignIn[] = [];
    for await (const kept of this.#set.all(userId)) all.push(kept);
    return all;
  }

  /** False where this account has none of this id. */
  async revoke(userId: string, id: string): Promise<boolean> {
    const kept = await this.#set.get(id);
    return kept?.owner === userId && (await this.#set.remove(id));
  }

  /** All of an account but one; answers how many. */
  async revokeAll(userId: string, but: string | null = null): Promise<number> {
    let count = 0;
    for (const { id } of await this.list(userId)) if (id !== but && (await this.#set.remove(id))) count += 1;
    return count;
  }
}

/** What a page of ours sends back: whoever only makes a browser send its cookie doesn't know it. */
export const csrfTokenOf = (secret: string): string =>
  createHmac('sha256', secret).update('lucid-sessions/v1/csrf').digest('base64url');
