/** Accounts: who there is, and what they may. */
import { createHash, randomBytes } from 'node:crypto';
import { LucidError, type Role, type Scope } from '@lucid-sessions/contract';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';
import type { PasswordHash } from './password.ts';

export interface Account {
  /** Of this account alone, also where one of its name was removed before. Absent: it was made by an older version. */
  key?: string;
  displayName: string;
  roles: Role[];
  /** What of the sessions they see; null, and absent in what was kept before: all. */
  scope?: Scope | null;
  disabled: boolean;
  password: PasswordHash | null;
  /** The app's secret, sealed, base64; `step`: of the last code that was taken, which none before it and it itself are again. */
  totp: { sealed: string; confirmed: boolean; step: number } | null;
  /** SHA-256 of those not used yet. */
  recovery: string[];
  /** SHA-256 of what browsers keep that signed in before. */
  browsers: string[];
  /** Of the identity provider that knows this person; null: a local account. */
  provider: string | null;
  /** When it last signed in by the provider, which said its groups then. */
  provedUs?: number;
  createdUs: number;
  createdBy: string;
  signedInUs: number | null;
  /** Of the list of sessions, by name; absent: none. */
  filters?: { name: string; query: string }[];
}

export type KeptAccount = Kept<Account>;

export const isSameAccount = (one: Pick<Account, 'key'>, other: Pick<Account, 'key'>): boolean => one.key === other.key;

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

export const newAccount = (
  fields: Pick<Account, 'displayName' | 'roles' | 'createdUs' | 'createdBy'> & Partial<Account>,
): Account => ({
  key: randomBytes(16).toString('hex'),
  disabled: false,
  password: null,
  totp: null,
  recovery: [],
  browsers: [],
  provider: null,
  signedInUs: null,
  ...fields,
});

const noAccount = (): LucidError => new LucidError('notFound', 'there is no account of this name');

export class Accounts {
  readonly #set: EntrySet<Account>;

  constructor(storage: EntryStorage) {
    this.#set = new EntrySet(storage, 'user');
  }

  get(userId: string): Promise<KeptAccount | null> {
    return this.#set.get(userId);
  }

  /** Throws `notFound`. */
  async need(userId: string): Promise<KeptAccount> {
    const account = await this.get(userId);
    if (account === null) throw noAccount();
    return account;
  }

  /** Throws `conflict` where the name is taken. */
  async create(userId: string, account: Account): Promise<KeptAccount> {
    if (!(await this.#set.add(userId, account))) throw new LucidError('conflict', 'this name is taken');
    return { id: userId, owner: null, value: account, version: 1, untilUs: null };
  }

  /** Throws `notFound`. `change` answers null to leave it as it is. */
  async change(userId: string, change: (account: Account) => Account | null): Promise<KeptAccount> {
    const changed = await this.#set.change(userId, ({ value }) => {
      const next = change(value);
      return next === null ? null : { value: next };
    });
    if (changed === null) throw noAccount();
    return changed;
  }

  async remove(userId: string): Promise<void> {
    if (!(await this.#set.remove(userId))) throw noAccount();
  }

  page(after: string, limit: number): Promise<KeptAccount[]> {
    return this.#set.page(after, limit);
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#set.page('', 1)).length === 0;
  }

  /** Whether anybody but `except` can administer this installation. */
  async hasAdministrator(except?: string): Promise<boolean> {
    for await (const { id, value } of this.#set.all())
      if (id !== except && !value.disabled && value.roles.includes('admin')) return true;
    return false;
  }
}
