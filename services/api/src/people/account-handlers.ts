/** What people do with their own account. Only in a browser that is signed in: a token that leaked must not make more of itself. */
import { LucidError, savedFiltersMax } from '@lucid-sessions/contract';
import type { Call, Handlers } from '../call.ts';
import { type Account, isSameAccount, type KeptAccount } from './accounts.ts';
import { mayDo } from './callers.ts';
import { checkNewPassword } from './password.ts';
import { newRecoveryCodes, newTotp, stepOf } from './second-factor.ts';
import type { KeptSignIn } from './sign-ins.ts';
import { passkeyViewOf, signInViewOf, tokenViewOf, userViewOf } from './views.ts';

type AccountOperations =
  | 'getAccount'
  | 'changePassword'
  | 'startTotp'
  | 'confirmTotp'
  | 'removeTotp'
  | 'renewRecoveryCodes'
  | 'newPasskeyChallenge'
  | 'addPasskey'
  | 'removePasskey'
  | 'listSignIns'
  | 'revokeSignIn'
  | 'listTokens'
  | 'createToken'
  | 'revokeToken'
  | 'listFilters'
  | 'saveFilter'
  | 'removeFilter';

type Caller = Pick<Call, 'api' | 'user'>;

/** Whoever finds a browser open must not make a way in that stays. */
const recentUs = 15 * 60_000_000;
const dayUs = 86_400_000_000;

export function ownSignIn({ user }: Caller): KeptSignIn {
  if (user.browser === null)
    throw new LucidError('forbidden', 'an account is changed in a browser that is signed in, not by a token');
  return user.browser.signIn;
}

async function ownAccount(caller: Caller): Promise<KeptAccount> {
  const signIn = ownSignIn(caller);
  const account = await caller.api.people.accounts.need(caller.user.userId);
  if (account.value.disabled || !isSameAccount(account.value, signIn.value))
    throw new LucidError('unauthenticated', 'the sign-in has ended; sign in again');
  return account;
}

export async function recentAccount(caller: Caller): Promise<KeptAccount> {
  const { createdUs, provider } = ownSignIn(caller).value;
  // A provider that knows the browser lets it in without asking anybody.
  const provedUs = provider === undefined ? createdUs : (provider.provedUs ?? 0);
  if (caller.api.deps.nowUs() - provedUs > recentUs)
    throw new LucidError(
      'forbidden',
      'sign in again: what lets somebody in is changed within 15 minutes of signing in',
      {
        details: { sign_in_again: true },
      },
    );
  return ownAccount(caller);
}

/** One that signs in by what is kept here. */
async function localAccount(caller: Caller, account: Promise<KeptAccount>): Promise<KeptAccount> {
  const found = await account;
  const { provider } = found.value;
  if (provider === null) return found;
  const name = caller.api.people.oidc.providers.get(provider)?.config.name ?? provider;
  throw new LucidError('conflict', `this account signs in by ${name}, and no other way`);
}

const gone = (what: string) => new LucidError('notFound', `there is no such ${what}`);
const isDone = { done: true } as const;

const filtersOf = ({ value }: KeptAccount) => ({ filters: value.filters ?? [] });
const withoutFilter = ({ filters = [] }: Account, name: string) => filters.filter((filter) => filter.name !== name);

async function changePassword(call: Call<'changePassword'>) {
  const { api, body } = call;
  const { people } = api;
  const account = await localAccount(call, ownAccount(call));
  const known = account.value.password;
  // Only a present password proves as much as signing in.
  if (known === null) await recentAccount(call);
  if (known !== null) {
    if (body.password === undefined) throw new LucidError('invalidRequest', 'give the present password, too');
    await people.tries.begin(account.id, 'own account', true, true);
    if (!(await people.passwords.verify(body.password, known)))
      throw new LucidError('invalidRequest', 'the present password is wrong', { details: { password: 'wrong' } });
    await people.tries.succeeded(account.id, 'own account', true);
  }
  checkNewPassword(body.new_password, account.id);
  const password = await people.passwords.hash(body.new_password);
  await people.accounts.change(account.id, (present) => {
    if (present.provider !== null) throw new LucidError('conflict', 'this account was linked to a provider meanwhile');
    return { ...present, password };
  });
  await people.signIns.revokeAll(account.id, ownSignIn(call).id);
  return isDone;
}

async function confirmTotp(call: Call<'confirmTotp'>) {
  const { api, body } = call;
  const account = await recentAccount(call);
  const { totp } = account.value;
  const { seal } = api.people;
  if (totp === null || totp.confirmed || seal === null)
    throw new LucidError('notInThisState', 'no authenticator app waits for its first code');
  const step = await stepOf(seal, account.id, totp, body.code, api.deps.nowUs() / 1000);
  if (step === null)
    throw new LucidError('invalidRequest', 'this code is not the app’s; check the clock of the telephone');
  const { codes, hashes } = newRecoveryCodes();
  await api.people.accounts.change(account.id, (present) => {
    if (present.totp?.sealed !== totp.sealed) throw new LucidError('conflict', 'another app was begun meanwhile');
    return { ...present, totp: { ...totp, confirmed: true, step }, recovery: hashes };
  });
  return { recovery_codes: codes };
}

export const accountHandlers: Handlers<AccountOperations> = {
  async getAccount(call) {
    const account = await ownAccount(call);
    const passkeys = await call.api.people.passkeys.list(account.id);
    return {
      user: userViewOf(account, passkeys.length),
      passkeys: passkeys.map(passkeyViewOf),
      totp_possible: call.api.people.seal !== null,
    };
  },
  changePassword,
  async startTotp(call) {
    const { people, deps } = call.api;
    if (people.seal === null)
      throw new LucidError('notInThisState', 'this installation has no accounts.key: see docs/users.md');
    const account = await localAccount(call, recentAccount(call));
    const { totp, secret, uri } = await newTotp(people.seal, account.id, deps.randomBytes);
    await people.accounts.change(account.id, (present) => {
      if (present.totp?.confirmed) throw new LucidError('notInThisState', 'there is an app already; remove it first');
      return { ...present, totp };
    });
    return { secret, uri };
  },
  confirmTotp,
  async removeTotp(call) {
    const account = await recentAccount(call);
    await call.api.people.accounts.change(account.id, (present) => ({ ...present, totp: null, recovery: [] }));
    return isDone;
  },
  async renewRecoveryCodes(call) {
    const account = await recentAccount(call);
    const { codes, hashes } = newRecoveryCodes();
    await call.api.people.accounts.change(account.id, (present) => {
      if (!present.totp?.confirmed)
        throw new LucidError('notInThisState', 'recovery codes stand beside an authenticator app');
      return { ...present, recovery: hashes };
    });
    return { recovery_codes: codes };
  },
  async newPasskeyChallenge(call) {
    const account = await localAccount(call, recentAccount(call));
    return call.api.people.passkeys.newChallenge(
      call.browser.needRelyingParty(),
      account.id,
      account.value.displayName,
    );
  },
  async addPasskey(call) {
    const account = await localAccount(call, recentAccount(call));
    const { challenge_id: challengeId, name, response } = call.body;
    const answer = { challengeId, name, response };
    const { people } = call.api;
    const kept = await people.passkeys.add(call.browser.needRelyingParty(), account.id, answer);
    await people.onlyWhileThere(account, () => people.passkeys.remove(account.id, kept.id));
    return passkeyViewOf(kept);
  },
  async removePasskey(call) {
    const account = await recentAccount(call);
    if (!(await call.api.people.passkeys.remove(account.id, call.params.passkey_id ?? ''))) throw gone('passkey');
    return isDone;
  },
  async listSignIns(call) {
    const { id } = ownSignIn(call);
    const all = await call.api.people.signIns.list(call.user.userId);
    return { sign_ins: all.map((kept) => signInViewOf(kept, id)) };
  },
  async revokeSignIn(call) {
    ownSignIn(call);
    if (!(await call.api.people.signIns.revoke(call.user.userId, call.params.sign_in_id ?? ''))) throw gone('sign-in');
    return { revoked: 1 };
  },
  async listTokens(call) {
    const account = await ownAccount(call);
    return { tokens: (await call.api.people.tokens.list(account.id)).map(tokenViewOf) };
  },
  async createToken(call) {
    const { api, body, user } = call;
    const account = await recentAccount(call);
    const missing = (body.permissions ?? []).filter((permission) => !mayDo(user, permission));
    if (missing.length > 0) throw new LucidError('forbidden', `you have no right to ${missing.join(', ')} yourself`);
    const untilUs = api.deps.nowUs() + body.days * dayUs;
    const { key } = account.value;
    const wanted = {
      ...(key === undefined ? {} : { key }),
      name: body.name,
      permissions: body.permissions ?? null,
      scope: body.scope,
      untilUs,
    };
    const { token, kept } = await api.people.tokens.create(account.id, api.deps.newId(), wanted);
    await api.people.onlyWhileThere(account, () => api.people.tokens.revoke(account.id, kept.id));
    call.told.token_id = kept.id;
    call.told.name = body.name;
    return { ...tokenViewOf(kept), token };
  },
  async revokeToken(call) {
    const { token_id: tokenId = '' } = call.params;
    // A token may end itself, and nothing else.
    const owner = call.user.tokenId === tokenId ? call.user.userId : (await ownAccount(call)).id;
    call.told.token_id = tokenId;
    if (!(await call.api.people.tokens.revoke(owner, tokenId))) throw gone('token');
    return { revoked: 1 };
  },
  async listFilters(call) {
    return filtersOf(await ownAccount(call));
  },
  async saveFilter(call) {
    const { name, query } = call.body;
    const { id } = await ownAccount(call);
    const changed = await call.api.people.accounts.change(id, (account) => {
      const filters = [...withoutFilter(account, name), { name, query }];
      if (filters.length > savedFiltersMax)
        throw new LucidError('conflict', `an account keeps at most ${savedFiltersMax} filters; forget one first`);
      return { ...account, filters: filters.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    });
    return filtersOf(changed);
  },
  async removeFilter(call) {
    const { id } = await ownAccount(call);
    const changed = await call.api.people.accounts.change(id, (account) => {
      const filters = withoutFilter(account, call.query.name);
      if (filters.length === (account.filters ?? []).length) throw gone('filter');
      return { ...account, filters };
    });
    return filtersOf(changed);
  },
};
