/**
 * Sign-ins that are under way. What binds them is in the store and in a cookie of the browser, so that each process ends what another began, and
 * only the browser that began it can. Nonce and PKCE verifier are made of the cookie's secret, so that the store holds nothing of use.
 */
import { createHmac } from 'node:crypto';
import { LucidError } from '@lucid-sessions/contract';
import { sha256Hex } from '../people/accounts.ts';
import { EntrySet, type EntryStorage } from '../people/entry-set.ts';
import type { FlowChecks } from './provider.ts';

export interface Flow {
  providerId: string;
  /** SHA-256 of the cookie's secret. */
  browser: string;
  returnTo: string;
  fresh: boolean;
  /** Id of the sign-in whose account is to be linked; null: somebody signs in. */
  linkFor: string | null;
  startedUs: number;
}

export const flowUs = 10 * 60_000_000;

const checksOf = (secret: string, state: string): FlowChecks => {
  const derived = (use: string) =>
    createHmac('sha256', secret).update(`lucid-sessions/v1/oidc/${use}\0${state}`).digest('base64url');
  return { state, nonce: derived('nonce'), verifier: derived('verifier') };
};

const refused = () =>
  new LucidError(
    'unauthenticated',
    'this sign-in took too long, was ended before, or was begun in another browser; sign in again',
  );

export class OidcFlows {
  readonly #set: EntrySet<Flow>;
  readonly #seen: EntrySet<{ seen: true }>;
  readonly #nowUs: () => number;
  readonly #secret: () => string;

  constructor(storage: EntryStorage, nowUs: () => number, secret: () => string) {
    this.#set = new EntrySet(storage, 'challenge');
    this.#seen = new EntrySet(storage, 'challenge');
    this.#nowUs = nowUs;
    this.#secret = secret;
  }

  async begin(secret: string, facts: Omit<Flow, 'browser' | 'startedUs'>): Promise<FlowChecks> {
    const state = this.#secret();
    const startedUs = this.#nowUs();
    const flow = { ...facts, browser: sha256Hex(secret), startedUs };
    await this.#set.add(`oidc ${sha256Hex(state)}`, flow, { untilUs: startedUs + flowUs });
    return checksOf(secret, state);
  }

  /** Once. Throws `unauthenticated`. */
  async take(providerId: string, secret: string | null, state: string): Promise<{ flow: Flow; checks: FlowChecks }> {
    const kept = await this.#set.get(`oidc ${sha256Hex(state)}`);
    if (kept === null || secret === null) throw refused();
    // Another browser, or another provider, doesn't end it.
    if (kept.value.browser !== sha256Hex(secret) || kept.value.providerId !== providerId) throw refused();
    if (!(await this.#set.remove(kept.id, kept.version))) throw refused();
    return { flow: kept.value, checks: checksOf(secret, state) };
  }

  /** Whether this logout token was carried out before. */
  async isDone(providerId: string, jti: string): Promise<boolean> {
    return (await this.#seen.get(logoutId(providerId, jti))) !== null;
  }

  /** Once it is carried out: one that broke off is sent again. */
  async setDone(providerId: string, jti: string): Promise<void> {
    await this.#seen.add(logoutId(providerId, jti), { seen: true }, { untilUs: this.#nowUs() + flowUs });
  }
}

const logoutId = (providerId: string, jti: string): string => `logout ${sha256Hex(`${providerId}\0${jti}`)}`;
