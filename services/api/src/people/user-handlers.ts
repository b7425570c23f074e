/** Accounts as administrators see them. */
import { isoOf, isPermitted, LucidError, permissions, type Role } from '@lucid-sessions/contract';
import type { Api, Call, Handlers } from '../call.ts';
import { fieldChanges } from '../changes.ts';
import { type Account, type KeptAccount, newAccount } from './accounts.ts';
import { mayDo } from './callers.ts';
import type { Invite } from './invites.ts';
import { signInViewOf, tokenViewOf, userViewOf } from './views.ts';

type UserOperations =
  | 'listUsers'
  | 'createUser'
  | 'setUp'
  | 'getUser'
  | 'updateUser'
  | 'removeUser'
  | 'inviteUser'
  | 'listUserSignIns'
  | 'revokeUserSignIns'
  | 'listUserTokens'
  | 'revokeUserToken';

const minuteUs = 60_000_000;
const setUpMinutes = 24 * 60;

const userIdOf = ({ params }: Pick<Call, 'params'>): string => params.user_id ?? '';

async function viewOf({ people }: Api, account: KeptAccount) {
  return userViewOf(account, (await people.passkeys.list(account.id)).length);
}

/** Nobody gives what they have not, or a token with few rights would make itself all of them. */
function checkGives({ user }: Pick<Call, 'user'>, roles: readonly Role[]): void {
  const missing = permissions.filter((permission) => isPermitted(roles, permission) && !mayDo(user, permission));
  if (missing.length === 0) return;
  throw new LucidError('forbidden', `this gives rights you have not yourself: ${missing.join(', ')}`, {
    details: { permissions: missing },
  });
}

async function linkFor(
  call: Pick<Call, 'api' | 'user'>,
  account: KeptAccount | null,
  purpose: Invite['purpose'],
  minutes: number,
) {
  const { api, user } = call;
  const userId = account?.id ?? null;
  checkGives(call, account?.value.roles ?? ['admin']);
  const untilUs = api.deps.nowUs() + minutes * minuteUs;
  const token = await api.people.invites.create(userId, { purpose, createdBy: user.userId }, untilUs);
  if (account !== null) await api.people.onlyWhileThere(account, () => api.people.invites.dropAll(account.id));
  const path = `/enter#${token}`;
  const { publicUrl } = api.config;
  return { token, path, url: publicUrl === '' ? null : new URL(path, publicUrl).href, expires_at: isoOf(untilUs) };
}

/** Nobody shuts everybody out, not even by taking their own right. */
async function checkAdministrator(
  { api }: Pick<Call, 'api'>,
  { id, value }: KeptAccount,
  next: Account | null,
): Promise<void> {
  const was = value.roles.includes('admin') && !value.disabled;
  const stays = next?.roles.includes('admin') === true && !next.disabled;
  if (was && !stays && !(await api.people.accounts.hasAdministrator(id)))
    throw new LucidError('conflict', 'this is the last administrator; give somebody else the role first');
}

const toldOf = ({ displayName, roles, disabled, scope = null }: Account) => ({
  display_name: displayName,
  ...{ roles, disabled, scope },
});

/** Whoever manages accounts could give themselves all the rest. */
function checkScope({ roles, scope }: Pick<Account, 'roles' | 'scope'>): void {
  if (scope && roles.includes('admin'))
    throw new LucidError('invalidRequest', 'an administrator is not limited: take the role away, or the scope');
}

async function updateUser(call: Call<'updateUser'>) {
  const { api, body } = call;
  const { people } = api;
  const before = await people.accounts.need(userIdOf(call));
  // What only takes away needs no more than the right to manage.
  const givesNothing = Object.keys(body).length === 1 && body.disabled === true;
  const next = (present: Account): Account => {
    if (!givesNothing) checkGives(call, [...present.roles, ...(body.roles ?? [])]);
    if (body.roles !== undefined && present.provider !== null && body.reset !== 'provider')
      throw new LucidError('conflict', 'the roles of this account are those of its groups at its provider');
    const changed = {
      ...present,
      displayName: body.display_name ?? present.displayName,
      roles: body.roles ?? present.roles,
      disabled: body.disabled ?? present.disabled,
      scope: body.scope === undefined ? (present.scope ?? null) : body.scope,
      ...(body.reset === 'second_factor' ? { totp: null, recovery: [] } : {}),
      ...(body.reset === 'password' ? { password: null, browsers: [] } : {}),
      ...(body.reset === 'provider' ? { provider: null } : {}),
    };
    checkScope(changed);
    return changed;
  };
  await checkAdministrator(call, before, next(before.value));
  const account = await people.accounts.change(before.id, next);
  if (body.reset === 'provider') await people.oidc.identities.removeAll(account.id);
  if (body.reset === 'passkeys') await people.passkeys.removeAll(account.id);
  if (body.reset !== undefined || account.value.disabled) await people.signIns.revokeAll(account.id);
  call.told.changes = fieldChanges(toldOf(before.value), toldOf(account.value));
  if (body.reset !== undefined) call.told.reset = body.reset;
  return viewOf(api, account);
}

async function removeUser(call: Call<'removeUser'>) {
  const { people } = call.api;
  const account = await people.accounts.need(userIdOf(call));
  await checkAdministrator(call, account, null);
  // Disabled first: nothing new comes while the rest goes, and an account of this name made later inherits nothing.
  await people.accounts.change(account.id, (present) => ({ ...present, disabled: true }));
  await people.shutOut(account.id);
  await people.passkeys.removeAll(account.id);
  await people.accounts.remove(account.id);
  return { user_id: account.id, removed: true } as const;
}

export const userHandlers: Handlers<UserOperations> = {
  async listUsers({ api, query: { after, limit } }) {
    const page = await api.people.accounts.page(after, limit);
    const users = await Promise.all(page.map((account) => viewOf(api, account)));
    return { users, next: page.length < limit ? null : page.at(-1)!.id };
  },
  async createUser(call) {
    const { api, body, user } = call;
    const fields = {
      displayName: body.display_name,
      roles: body.roles,
      scope: body.scope,
      createdUs: api.deps.nowUs(),
      createdBy: user.userId,
    };
    checkScope(body);
    call.told.roles = body.roles;
    if (body.scope !== null) call.told.scope = body.scope;
    checkGives(call, body.roles);
    return viewOf(api, await api.people.accounts.create(body.user_id, newAccount(fields)));
  },
  async setUp(call) {
    if (await call.api.people.accounts.hasAdministrator())
      throw new LucidError('conflict', 'there is an administrator already; a link for an account is made by its name');
    return linkFor(call, null, 'first', setUpMinutes);
  },
  getUser: async (call) => viewOf(call.api, await call.api.people.accounts.need(userIdOf(call))),
  updateUser,
  removeUser,
  async inviteUser(call) {
    const account = await call.api.people.accounts.need(userIdOf(call));
    if (account.value.provider !== null)
      throw new LucidError('conflict', 'this account signs in by its provider: reset that first');
    call.told.purpose = call.body.purpose;
    return linkFor(call, account, call.body.purpose, call.body.minutes);
  },
  async listUserSignIns(call) {
    const account = await call.api.people.accounts.need(userIdOf(call));
    const own = call.user.browser?.signIn.id ?? null;
    return { sign_ins: (await call.api.people.signIns.list(account.id)).map((kept) => signInViewOf(kept, own)) };
  },
  async revokeUserSignIns(call) {
    const account = await call.api.people.accounts.need(userIdOf(call));
    return { revoked: await call.api.people.signIns.revokeAll(account.id) };
  },
  async listUserTokens(call) {
    const account = await call.api.people.accounts.need(userIdOf(call));
    return { tokens: (await call.api.people.tokens.list(account.id)).map(tokenViewOf) };
  },
  async revokeUserToken(call) {
    const account = await call.api.people.accounts.need(userIdOf(call));
    call.told.token_id = call.params.token_id;
    if (await call.api.people.tokens.revoke(account.id, call.params.token_id ?? '')) return { revoked: 1 };
    throw new LucidError('notFound', 'there is no such token');
  },
};
