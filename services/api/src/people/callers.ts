/** Who calls: by a token of the identity provider, an API token, or a browser that is signed in. */
import { timingSafeEqual } from 'node:crypto';
import {
  apiTokenPrefix,
  csrfHeader,
  isPermitted,
  LucidError,
  type Permission,
  type Scope,
} from '@lucid-sessions/contract';
import type { FastifyRequest } from 'fastify';
import type { Authenticator } from '../auth.ts';
import type { ApiConfig } from '../config.ts';
import { isSameAccount, type KeptAccount } from './accounts.ts';
import { isForeign, readCookie } from './browser.ts';
import type { People } from './people.ts';
import { csrfTokenOf, type KeptSignIn } from './sign-ins.ts';

export interface User {
  userId: string;
  roles: readonly string[];
  /** Of what the roles give only this; null: all. */
  limit: readonly Permission[] | null;
  /** What of the sessions its person sees, and within that the token; null: all. */
  scope: Scope | null;
  tokenScope: Scope | null;
  /** Null: by a token. */
  browser: { signIn: KeptSignIn; csrfToken: string } | null;
  /** Of the API token that calls. */
  tokenId?: string;
  /** Who it is now, for answers that go on for long. Throws `unauthenticated` where it is let in no more. */
  again: () => Promise<User>;
}

/** Who calls routes that are open to everyone. */
export const nobody: User = {
  userId: '',
  roles: [],
  limit: [],
  scope: null,
  tokenScope: null,
  browser: null,
  again: async () => nobody,
};

export const mayDo = ({ roles, limit }: Pick<User, 'roles' | 'limit'>, permission: Permission): boolean =>
  isPermitted(roles, permission) && (limit === null || limit.includes(permission));

const unauthenticated = (message: string) => new LucidError('unauthenticated', message);

export class Callers {
  readonly #config: ApiConfig;
  readonly #people: People;
  readonly #bearer: Authenticator;
  readonly #nowUs: () => number;

  constructor(config: ApiConfig, people: People, bearer: Authenticator, nowUs: () => number) {
    this.#nowUs = nowUs;
    this.#config = config;
    this.#people = people;
    this.#bearer = bearer;
  }

  /** Whether it says at all who calls. */
  hasProof(request: FastifyRequest): boolean {
    return request.headers.authorization !== undefined || this.#secretOf(request) !== null;
  }

  #secretOf(request: FastifyRequest): string | null {
    return readCookie(this.#config, request.headers.cookie, 'session');
  }

  /** Throws `unauthenticated`, or `forbidden` where another site's page calls. */
  async identify(request: FastifyRequest): Promise<User> {
    const { authorization } = request.headers;
    const secret = authorization === undefined ? this.#secretOf(request) : null;
    if (secret !== null) return this.#byBrowser(request, secret);
    const token = /^Bearer (\S{1,300})$/i.exec(authorization ?? '')?.[1];
    if (token?.startsWith(apiTokenPrefix)) return this.#byToken(token, request.clientAddress);
    // What an identity provider signed can't be taken back.
    const user: User = {
      ...(await this.#bearer(authorization)),
      limit: null,
      scope: null,
      tokenScope: null,
      browser: null,
      again: async () => user,
    };
    return user;
  }

  async #byToken(token: string, address: string): Promise<User> {
    const kept = await this.#people.tokens.find(token, address);
    const account = kept === null ? null : await this.#people.accounts.get(kept.owner!);
    if (kept === null || account === null || account.value.disabled || !isSameAccount(kept.value, account.value))
      throw unauthenticated('this API token is not valid: it was revoked, or has expired');
    this.#checkProved(account);
    const again = () => this.#byToken(token, address);
    return {
      ...{ userId: account.id, roles: account.value.roles, limit: kept.value.permissions, tokenId: kept.id },
      ...{ scope: account.value.scope ?? null, tokenScope: kept.value.scope ?? null, browser: null, again },
    };
  }

  /** What the groups of a provider give is not given for good. */
  #checkProved({ value: { provider, provedUs } }: KeptAccount): void {
    if (provider === null) return;
    const found = this.#people.oidc.providers.get(provider);
    if (found === undefined)
      throw unauthenticated('the provider this token’s owner signs in by is not set up any more');
    const restsFromUs = (provedUs ?? 0) + found.config.tokenDays * 86_400_000_000;
    if (this.#nowUs() < restsFromUs) return;
    throw unauthenticated(`this API token rests until its owner signs in by ${found.config.name} again`);
  }

  async #byBrowser(request: FastifyRequest, secret: string): Promise<User> {
    const user = await this.#signedIn(secret);
    if (isForeign(this.#config, request)) throw new LucidError('forbidden', 'another site’s page asked for this');
    if (request.method !== 'GET' && !isSame(request.headers[csrfHeader], csrfTokenOf(secret)))
      throw new LucidError('forbidden', `send ${csrfHeader} as GET /auth/session told it`);
    return user;
  }

  async #signedIn(secret: string): Promise<User> {
    const signIn = await this.#people.signIns.find(secret);
    const account = signIn === null ? null : await this.#people.accounts.get(signIn.owner!);
    if (signIn === null || account === null || account.value.disabled || !isSameAccount(signIn.value, account.value))
      throw unauthenticated('the sign-in has ended; sign in again');
    const browser = { signIn, csrfToken: csrfTokenOf(secret) };
    return {
      userId: account.id,
      roles: account.value.roles,
      limit: null,
      scope: account.value.scope ?? null,
      tokenScope: null,
      browser,
      again: () => this.#signedIn(secret),
    };
  }
}

function isSame(given: string | string[] | undefined, wanted: string): boolean {
  if (typeof given !== 'string') return false;
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
