/** Who there is, put together for one API process; the truth is in the store, so that any number of them agree. */
import { randomBytes } from 'node:crypto';
import { LucidError, type StoragePort } from '@lucid-sessions/contract';
import type { SignInBy } from '../oidc/config.ts';
import { OidcFlows } from '../oidc/flows.ts';
import { OidcIdentities } from '../oidc/identities.ts';
import { OidcProvider } from '../oidc/provider.ts';
import { redirectUriOf } from '../oidc/redirect-uri.ts';
import { Accounts, isSameAccount, type KeptAccount } from './accounts.ts';
import type { EntryStorage } from './entry-set.ts';
import { Grants } from './grants.ts';
import { Invites } from './invites.ts';
import { Passkeys } from './passkeys.ts';
import { Passwords } from './password.ts';
import type { AccountSeal } from './second-factor.ts';
import { SignIns, type SignInTimes } from './sign-ins.ts';
import { ApiTokens } from './tokens.ts';
import { Tries } from './tries.ts';

export interface PeopleOptions {
  storage: StoragePort;
  nowUs: () => number;
  times: SignInTimes;
  /** Null: this installation has no key for it, and offers no authenticator apps. */
  seal: AccountSeal | null;
  signInBy: SignInBy;
  publicUrl: string;
}

/** 256 bits. */
const newSecret = (): string => randomBytes(32).toString('base64url');

export class People {
  readonly accounts: Accounts;
  readonly signIns: SignIns;
  readonly tokens: ApiTokens;
  readonly invites: Invites;
  readonly grants: Grants;
  readonly passkeys: Passkeys;
  readonly passwords = new Passwords();
  readonly tries: Tries;
  readonly seal: AccountSeal | null;
  readonly oidc: {
    providers: ReadonlyMap<string, OidcProvider>;
    flows: OidcFlows;
    identities: OidcIdentities;
  };
  readonly newSecret = newSecret;

  constructor({ storage, nowUs, times, seal, signInBy, publicUrl }: PeopleOptions) {
    const entries: EntryStorage = storage;
    this.accounts = new Accounts(entries);
    this.signIns = new SignIns(entries, times, nowUs, newSecret);
    this.tokens = new ApiTokens(entries, nowUs, newSecret);
    this.grants = new Grants(entries);
    this.invites = new Invites(entries, newSecret);
    this.passkeys = new Passkeys(entries, nowUs, newSecret);
    this.tries = new Tries(entries, nowUs, newSecret);
    this.seal = seal;
    this.oidc = {
      providers: new Map(
        signInBy.providers.map((each) => [each.id, new OidcProvider(each, redirectUriOf(publicUrl, each.id))]),
      ),
      flows: new OidcFlows(entries, nowUs, newSecret),
      identities: new OidcIdentities(entries),
    };
  }

  /**
   * For what was made for an account a moment ago: takes it back and throws `notFound` where the account has ended. It is made first and
   * the account looked at then, while who removes an account ends it first and clears up then: one of the two sees the other.
   */
  async onlyWhileThere({ id, value }: KeptAccount, takeBack: () => Promise<unknown>): Promise<void> {
    const now = await this.accounts.get(id);
    if (now !== null && isSameAccount(now.value, value) && (value.disabled || !now.value.disabled)) return;
    await takeBack();
    throw new LucidError('notFound', 'this account was removed or disabled at this moment');
  }

  /** Everything that lets this account in, but not the account. */
  async shutOut(userId: string): Promise<number> {
    await this.tokens.revokeAll(userId);
    await this.invites.dropAll(userId);
    await this.grants.revokeAll(userId);
    await this.oidc.identities.removeAll(userId);
    return this.signIns.revokeAll(userId);
  }
}
