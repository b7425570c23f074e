/** Signing in and out. */
import { isoOf, LucidError, permissions, type SignInMethod, toLucidError } from '@lucid-sessions/contract';
import { tellAudit } from '../audit.ts';
import type { Call, Handlers } from '../call.ts';
import { addressGroup } from '../client-address.ts';
import { type Account, type KeptAccount, newAccount, sha256Hex } from './accounts.ts';
import { mayDo, nobody, type User } from './callers.ts';
import { checkNewPassword } from './password.ts';
import { recoveryHash, stepOf } from './second-factor.ts';
import { csrfTokenOf, type SignIn } from './sign-ins.ts';

type AuthOperations =
  | 'signInWays'
  | 'signIn'
  | 'signOut'
  | 'whoAmI'
  | 'lookAtInvite'
  | 'redeemInvite'
  | 'passkeyChallenge'
  | 'passkeySignIn';

type Caller = Pick<Call, 'api' | 'browser'>;

/** A browser that signed in before is known for so long. */
const knownSeconds = 400 * 86_400;
const browsersMax = 20;

const told = (
  { api, browser: { ipAddress, userAgent } }: Caller,
  userId: string | null,
  method: SignInMethod | null,
  error: string | null,
): Promise<void> =>
  tellAudit(api, {
    ...{ event: 'user_login', userId, resourceId: userId, ipAddress, userAgent },
    ...{ success: error === null, errorMessage: error, details: method === null ? {} : { method } },
  });

function whoIs(user: Omit<User, 'again'>, account: Account | null) {
  const until = user.browser?.signIn.untilUs ?? null;
  return {
    user_id: user.userId,
    display_name: account?.displayName ?? '',
    roles: [...user.roles],
    permissions: permissions.filter((permission) => mayDo(user, permission)),
    method: user.browser?.signIn.value.method ?? ('bearer' as const),
    csrf_token: user.browser?.csrfToken ?? null,
    expires_at: until === null ? null : isoOf(until),
  };
}

/** The browser is this person's from here on. */
export async function startSignIn(
  { api, browser }: Caller,
  account: KeptAccount,
  method: SignInMethod,
  more: Pick<SignIn, 'idToken' | 'provider'> = { idToken: null },
) {
  const { people, deps } = api;
  const { ipAddress, userAgent } = browser;
  // Another who was signed in here is not any more: one cookie, one person.
  const before = browser.cookie('session');
  if (before !== null) {
    const old = await people.signIns.find(before);
    if (old?.owner != null) await people.signIns.revoke(old.owner, old.id);
  }
  const { key } = account.value;
  const facts = { ...(key === undefined ? {} : { key }), method, ipAddress, userAgent, ...more };
  const { secret, kept } = await people.signIns.create(account.id, facts);
  await people.onlyWhileThere(account, () => people.signIns.revoke(account.id, kept.id));
  browser.setCookie('session', secret, api.config.signIn.wholeUs / 1_000_000);
  const known = browser.cookie('known');
  const browserSecret = known !== null && isKnown(account.value, known) ? known : people.newSecret();
  browser.setCookie('known', browserSecret, knownSeconds);
  const hash = sha256Hex(browserSecret);
  const { value } = await people.accounts.change(account.id, (present) => ({
    ...present,
    signedInUs: deps.nowUs(),
    browsers: [hash, ...present.browsers.filter((other) => other !== hash)].slice(0, browsersMax),
  }));
  await told({ api, browser }, account.id, method, null);
  const user = {
    ...{ userId: account.id, roles: value.roles, limit: null },
    ...{ scope: value.scope ?? null, tokenScope: null },
    browser: { signIn: kept, csrfToken: csrfTokenOf(secret) },
  };
  return whoIs(user, value);
}

const isKnown = ({ browsers }: Account, secret: string | null): boolean =>
  secret !== null && browsers.includes(sha256Hex(secret));

const wrong = () => new LucidError('unauthenticated', 'user name or password is wrong');

async function failed(caller: Caller, userId: string | null, error: LucidError): Promise<never> {
  await told(caller, userId, null, error.message);
  throw error;
}

/** What lets nobody in leaves a trace. */
export const orTold = <T>(caller: Caller, work: Promise<T>, userId: string | null = null): Promise<T> =>
  work.catch((thrown: unknown) => failed(caller, userId, toLucidError(thrown)));

/** Throws `forbidden` where people sign in by a provider alone. */
function needLocal({ api }: Caller): void {
  const { local, providers } = api.config.signInBy;
  if (local) return;
  const names = providers.map(({ name }) => name).join(' or ');
  throw new LucidError(
    'forbidden',
    `people sign in by ${names} here (LUCID_SIGN_IN=oidc), or by a link of an administrator’s`,
  );
}

/** Takes a code of the app, or a recovery code: none twice, whoever else sends it at this moment. */
async function takeCode({ api }: Caller, account: KeptAccount, code: string): Promise<SignInMethod | null> {
  const { people, deps } = api;
  const { totp } = account.value;
  if (totp === null || people.seal === null) return null;
  const step = await stepOf(people.seal, account.id, totp, code, deps.nowUs() / 1000);
  let method: SignInMethod | null = null;
  await people.accounts.change(account.id, (present) => {
    method = null;
    const hash = recoveryHash(code);
    if (step !== null && present.totp !== null && present.totp.sealed === totp.sealed && step > present.totp.step) {
      method = 'password_and_code';
      return { ...present, totp: { ...present.totp, step } };
    }
    if (!present.recovery.includes(hash)) return null;
    method = 'recovery_code';
    return { ...present, recovery: present.recovery.filter((other) => other !== hash) };
  });
  return method;
}

async function signIn(call: Call<'signIn'>) {
  const { api, browser, body } = call;
  const { people } = api;
  needLocal(call);
  const account = await people.accounts.get(body.user_id);
  const isAccount = account !== null;
  // A name that is none may be a password in the wrong field.
  const toldUser = isAccount ? body.user_id : null;
  const knownSecret = browser.cookie('known');
  const known = isAccount && isKnown(account.value, knownSecret);
  const place = known ? `browser ${sha256Hex(knownSecret!)}` : addressGroup(browser.ipAddress);
  await people.tries
    .begin(body.user_id, place, isAccount, known)
    .catch((thrown: unknown) => failed(call, toldUser, toLucidError(thrown)));
  const kept = account?.value.password ?? null;
  const right = await people.passwords.verify(body.password, kept).catch(async (thrown: unknown) => {
    await people.tries.takeBack(body.user_id, place, known);
    throw thrown;
  });
  if (!right || account === null || account.value.disabled || account.value.provider !== null)
    return failed(call, toldUser, wrong());
  let method: SignInMethod = 'password';
  if (account.value.totp?.confirmed === true) {
    if (body.code === undefined) {
      await people.tries.takeBack(account.id, place, known);
      // Whoever goes no further has the password: its person has to hear of that.
      await told(call, account.id, null, 'the password was right; no code came with it');
      throw new LucidError('unauthenticated', 'now the code of your authenticator app, or a recovery code', {
        details: { second_factor: true },
      });
    }
    const taken = await takeCode(call, account, body.code);
    if (taken === null) {
      const error = new LucidError('unauthenticated', 'this code is wrong, or was used', {
        details: { second_factor: true },
      });
      return failed(call, account.id, error);
    }
    method = taken;
  }
  await people.tries.succeeded(account.id, place, known);
  return startSignIn(call, account, method);
}

/** Whom a provider lets in nothing else does, also where it was made before the account was linked. */
function checkLocal({ provider }: Account): void {
  if (provider !== null) throw new LucidError('conflict', 'this account signs in by its provider, and no other way');
}

async function redeem(call: Call<'redeemInvite'>) {
  const { api, body } = call;
  const { people } = api;
  const invite = await orTold(call, people.invites.look(body.token));
  const { purpose, createdBy } = invite.value;
  if (purpose === 'sign_in') {
    const account = await people.accounts.need(invite.owner!);
    checkLocal(account.value);
    await people.invites.take(invite);
    if (account.value.disabled) throw wrong();
    return startSignIn(call, account, 'link');
  }
  needLocal(call);
  const userId = invite.owner ?? body.user_id;
  if (userId === undefined || body.password === undefined)
    throw new LucidError('invalidRequest', purpose === 'first' ? 'choose a name and a password' : 'choose a password');
  checkNewPassword(body.password, userId);
  if (purpose === 'first') {
    if (await people.accounts.hasAdministrator()) throw new LucidError('conflict', 'there is an administrator already');
    if ((await people.accounts.get(userId)) !== null) throw new LucidError('conflict', 'this name is taken');
    await people.invites.take(invite);
    const password = await people.passwords.hash(body.password);
    const createdUs = api.deps.nowUs();
    const fields = { displayName: '', roles: ['admin' as const], createdUs, createdBy, password };
    return startSignIn(call, await people.accounts.create(userId, newAccount(fields)), 'link');
  }
  const { value: before } = await people.accounts.need(userId);
  if (before.disabled) throw wrong();
  checkLocal(before);
  const password = await people.passwords.hash(body.password);
  await people.invites.take(invite);
  const account = await people.accounts.change(userId, (present) => {
    checkLocal(present);
    return { ...present, password };
  });
  await people.signIns.revokeAll(userId);
  return startSignIn(call, account, 'link');
}

/** Where the browser goes to end the session at the provider, too. */
async function endThere({ people, config }: Call['api'], userId: string, signIn: SignIn): Promise<string | null> {
  const provider = people.oidc.providers.get(signIn.provider?.id ?? '');
  if (provider === undefined) return null;
  const sealed = signIn.idToken === null ? null : Buffer.from(signIn.idToken, 'base64');
  const idToken = sealed === null ? null : ((await people.seal?.open(`id_token\0${userId}`, sealed)) ?? null);
  return provider.endSession(idToken && Buffer.from(idToken).toString('utf8'), new URL('/', config.publicUrl).href);
}

export const authHandlers: Handlers<AuthOperations> = {
  async signInWays({ api, browser }) {
    return {
      password: api.config.signInBy.local,
      passkey: api.config.signInBy.local && browser.relyingParty !== null,
      providers: api.config.signInBy.providers.map(({ id, name }) => ({ provider_id: id, name })),
      has_accounts: !(await api.people.accounts.isEmpty()),
    };
  },
  signIn,
  async signOut({ api, browser, user }) {
    if (user.browser === null) throw new LucidError('invalidRequest', 'no browser is signed in by this call');
    const { id, value } = user.browser.signIn;
    await api.people.signIns.revoke(user.userId, id);
    browser.setCookie('session', '', null);
    return { redirect: await endThere(api, user.userId, value) };
  },
  async whoAmI({ api, user }) {
    if (user === nobody) return { ...whoIs(user, null), user_id: null, method: null };
    const account = user.browser === null ? null : await api.people.accounts.get(user.userId);
    return whoIs(user, account?.value ?? null);
  },
  async lookAtInvite({ api, body }) {
    const { owner, value, untilUs } = await api.people.invites.look(body.token);
    return { user_id: owner, purpose: value.purpose, expires_at: isoOf(untilUs ?? 0) };
  },
  redeemInvite: redeem,
  async passkeyChallenge(call) {
    needLocal(call);
    return call.api.people.passkeys.challenge(call.browser.needRelyingParty());
  },
  async passkeySignIn(call) {
    const { challenge_id: challengeId, response } = call.body;
    const { people } = call.api;
    needLocal(call);
    const answer = { challengeId, response };
    const userId = await orTold(call, people.passkeys.verify(call.browser.needRelyingParty(), answer));
    const account = await people.accounts.get(userId);
    if (account === null || account.value.disabled || account.value.provider !== null)
      return failed(call, userId, wrong());
    return startSignIn(call, account, 'passkey');
  },
};
