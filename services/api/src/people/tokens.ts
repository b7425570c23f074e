/** API tokens: `lst_ID_SECRET`, of which the SHA-256 of the secret is kept. */
import { timingSafeEqual } from 'node:crypto';
import { apiTokenPrefix, LucidError, type Permission, type Scope, tokensPerUserMax } from '@lucid-sessions/contract';
import { sha256Hex } from './accounts.ts';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';

export interface ApiToken {
  /** Of the account, which another of the same name has not. */
  key?: string;
  name: string;
  secretSha256: string;
  /** Null: all that its owner may. */
  permissions: Permission[] | null;
  /** Within what its owner sees; null, and absent in what was kept before: all of it. */
  scope?: Scope | null;
  createdUs: number;
  /** To the minute. */
  usedUs: number | null;
  usedFrom: string | null;
}

export type KeptToken = Kept<ApiToken>;

const usedEveryUs = 60_000_000;
const form = new RegExp(`^${apiTokenPrefix}([A-Za-z0-9-]{1,64})_([A-Za-z0-9_-]{43})$`);

export class ApiTokens {
  readonly #set: EntrySet<ApiToken>;
  readonly #nowUs: () => number;
  readonly #secret: () => string;

  constructor(storage: EntryStorage, nowUs: () => number, secret: () => string) {
    this.#set = new EntrySet(storage, 'token');
    this.#nowUs = nowUs;
    this.#secret = secret;
  }

  async create(
    userId: string,
    id: string,
    {
      key,
      name,
      permissions,
      scope,
      untilUs,
    }: Pick<ApiToken, 'key' | 'name' | 'permissions' | 'scope'> & { untilUs: number },
  ): Promise<{ token: string; kept: KeptToken }> {
    if ((await this.list(userId)).length >= tokensPerUserMax)
      throw new LucidError('conflict', `an account has at most ${tokensPerUserMax} tokens; revoke one first`);
    const secret = this.#secret();
    const value: ApiToken = {
      ...(key === undefined ? {} : { key }),
      name,
      secretSha256: sha256Hex(secret),
      permissions,
      scope: scope ?? null,
      createdUs: this.#nowUs(),
      usedUs: null,
      usedFrom: null,
    };
    if (!(await this.#set.add(id, value, { owner: userId, untilUs })))
      throw new LucidError('conflict', 'this id is taken; try again');
    return { token: `${apiTokenPrefix}${id}_${secret}`, kept: { id, owner: userId, value, version: 1, untilUs } };
  }

  /** Null: it is none that is good now. */
  async find(token: string, address: string): Promise<KeptToken | null> {
    const [, id, secret] = form.exec(token) ?? [];
    if (id === undefined || secret === undefined) return null;
    const kept = await this.#set.get(id);
    if (kept?.owner == null) return null;
    if (!timingSafeEqual(Buffer.from(sha256Hex(secret)), Buffer.from(kept.value.secretSha256))) return null;
    const nowUs = this.#nowUs();
    if (nowUs - (kept.value.usedUs ?? 0) < usedEveryUs) return kept;
    return this.#set.change(id, ({ value }) => ({ value: { ...value, usedUs: nowUs, usedFrom: address } }));
  }

  async list(userId: string): Promise<KeptToken[]> {
    const all: KeptToken[] = [];
    for await (const kept of this.#set.all(userId)) all.push(kept);
    return all;
  }

  async revoke(userId: string, id: string): Promise<boolean> {
    const kept = await this.#set.get(id);
    return kept?.owner === userId && (await this.#set.remove(id));
  }

  async revokeAll(userId: string): Promise<void> {
    for (const { id } of await this.list(userId)) await this.#set.remove(id);
  }
}
