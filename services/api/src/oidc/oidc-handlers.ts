/** Sign-in by OpenID Connect: to the provider and back, logout from either side. */
import { isLucidError, LucidError, restRoutes } from '@lucid-sessions/contract';
import { tellAudit } from '../audit.ts';
import type { Api, Call, Handlers } from '../call.ts';
import { ownSignIn, recentAccount } from '../people/account-handlers.ts';
import { type Account, isSameAccount, type KeptAccount, newAccount } from '../people/accounts.ts';
import { orTold, startSignIn } from '../people/auth-handlers.ts';
import { readUpload } from '../upload.ts';
import { displayNameOf, groupsOf, hasTooManyGroups, rolesOf, userIdOf } from './claims.ts';
import type { Flow } from './flows.ts';
import type { OidcProvider, ProviderAnswer } from './provider.ts';

type OidcOperations = 'startOidc' | 'finishOidc' | 'endOidc' | 'linkOidc';

const cookieSeconds = 600;
const namesMax = 50;
const idTokenCharactersMax = 16 * 1024;
const logoutStallMs = 10_000;

function providerOf({ api, params }: Pick<Call, 'api' | 'params'>): OidcProvider {
  const found = api.people.oidc.providers.get(params.provider_id ?? '');
  if (found !== undefined) return found;
  throw new LucidError('notFound', 'no provider of this name is set up here');
}

async function begin(
  call: Pick<Call, 'api' | 'browser'>,
  provider: OidcProvider,
  facts: Pick<Flow, 'returnTo' | 'fresh' | 'linkFor'>,
): Promise<{ url: string }> {
  const { api, browser } = call;
  // One secret for all tabs: a second sign-in does not spoil the first.
  const secret = browser.cookie('oidc') ?? api.people.newSecret();
  const checks = await api.people.oidc.flows.begin(secret, { ...facts, providerId: provider.config.id });
  const url = await provider.begin(checks, facts.fresh);
  browser.setCookie('oidc', secret, cookieSeconds);
  return { url };
}

const forbidden = (message: string) => new LucidError('forbidden', message);

/** The roles that the groups give; empty: none. Throws where the provider didn't tell of them. */
function rolesIn({ config }: OidcProvider, { claims }: ProviderAnswer) {
  const groups = groupsOf(claims, config.groupsClaim);
  if (groups === null && hasTooManyGroups(claims, config.groupsClaim))
    throw forbidden(
      `${config.name} sends no groups of yours, since they are too many: your administrator lets it send only those that matter here`,
    );
  return rolesOf(groups ?? [], config.roles);
}

const noRole = ({ config }: OidcProvider) =>
  forbidden(`${config.name} knows you, but none of your groups there has a role here: ask your administrator for one`);

/** An account of their own, named after them; who was here at the same moment is taken in its place. */
async function newcomer(api: Api, provider: OidcProvider, answer: ProviderAnswer): Promise<KeptAccount> {
  const { people, deps } = api;
  const { config } = provider;
  if (config.accounts === 'linked')
    throw forbidden(
      `${config.name} knows you, but no account here is linked to you: ask your administrator for a link, and then link ${config.name} on your account page`,
    );
  const createdUs = deps.nowUs();
  const account = newAccount({
    ...{ displayName: displayNameOf(answer.claims), roles: [], createdUs },
    ...{ createdBy: config.name, provider: config.id },
  });
  for (let attempt = 1; attempt <= namesMax; attempt++) {
    const userId = userIdOf(answer.claims, config.userClaim, config.id, attempt);
    if ((await people.accounts.get(userId)) !== null) continue;
    const made = await people.accounts.create(userId, account).catch((thrown: unknown) => {
      if (isLucidError(thrown, 'conflict')) return null;
      throw thrown;
    });
    if (made === null) continue;
    if (await people.oidc.identities.add(userId, identityOf(api, provider, answer, made))) return made;
    await people.accounts.remove(userId);
    const other = await known(api, answer);
    if (other !== null) return other;
    throw new LucidError('conflict', 'this account was made and removed at this moment; sign in again');
  }
  throw new LucidError('conflict', 'too many accounts have your name: ask your administrator');
}

function identityOf({ deps }: Api, { config }: OidcProvider, answer: ProviderAnswer, { value }: KeptAccount) {
  const { issuer, subject } = answer;
  const key = value.key === undefined ? {} : { key: value.key };
  return { providerId: config.id, issuer, subject, ...key, createdUs: deps.nowUs() };
}

/** The account of this issuer and subject. What is left over of one that was removed goes. */
async function known({ people }: Api, { issuer, subject }: ProviderAnswer): Promise<KeptAccount | null> {
  const identity = await people.oidc.identities.find(issuer, subject);
  if (identity?.owner == null) return null;
  const account = await people.accounts.get(identity.owner);
  if (account !== null && account.value.key === identity.value.key) return account;
  await people.oidc.identities.remove(issuer, subject, identity.version);
  return null;
}

/** Of this very account, while it is not disabled. */
function changed({ people }: Api, account: KeptAccount, change: (present: Account) => Account): Promise<KeptAccount> {
  return people.accounts.change(account.id, (present) => {
    if (!isSameAccount(present, account.value)) throw forbidden('your account here was removed at this moment');
    if (present.disabled) throw isDisabled();
    return change(present);
  });
}

const isDisabled = () => forbidden('your account here is disabled: ask your administrator');

/** Its roles are what the groups give from now on. Without one everything that lets it in ends. */
async function withRoles(api: Api, provider: OidcProvider, answer: ProviderAnswer, account: KeptAccount) {
  const given = rolesIn(provider, answer);
  const next = await changed(api, account, (present) => ({
    ...present,
    roles: given,
    provider: provider.config.id,
    provedUs: api.deps.nowUs(),
  }));
  if (given.length > 0) return next;
  await api.people.signIns.revokeAll(account.id);
  throw noRole(provider);
}

async function signInBy(
  call: Call<'finishOidc'>,
  provider: OidcProvider,
  answer: ProviderAnswer,
  found: KeptAccount | null,
): Promise<KeptAccount> {
  const { api } = call;
  if (found === null && rolesIn(provider, answer).length === 0) throw noRole(provider);
  const account = found ?? (await newcomer(api, provider, answer));
  if (account.value.disabled) throw isDisabled();
  return withRoles(api, provider, answer, account);
}

/** The account that is signed in here is this person's at the provider from now on, and signs in by it alone. */
async function link(
  call: Call<'finishOidc'>,
  provider: OidcProvider,
  answer: ProviderAnswer,
  other: KeptAccount | null,
  signInId: string,
) {
  const { api, browser } = call;
  const { people } = api;
  const signIn = await people.signIns.find(browser.cookie('session') ?? '');
  const account = signIn?.id === signInId ? await people.accounts.get(signIn.owner!) : null;
  if (signIn === null || account === null || account.value.disabled || account.value.key !== signIn.value.key)
    throw new LucidError('unauthenticated', 'the sign-in that was to be linked has ended; sign in again');
  const given = rolesIn(provider, answer);
  if (given.length === 0) throw noRole(provider);
  const isAdministrator = account.value.roles.includes('admin');
  if (isAdministrator && !given.includes('admin') && !(await people.accounts.hasAdministrator(account.id)))
    throw new LucidError('conflict', 'this is the last administrator, which your groups would make less');
  if (other !== null && other.id !== account.id)
    throw new LucidError('conflict', `${provider.config.name} knows you as ${other.id} here already`);
  if (other === null && !(await people.oidc.identities.add(account.id, identityOf(api, provider, answer, account))))
    throw new LucidError('conflict', `another account was linked to you at ${provider.config.name} at this moment`);
  const { issuer, subject } = answer;
  // At once, so that nothing that lets in another way is made between.
  const linked = await changed(api, account, (present) => {
    if (present.provider !== null) throw new LucidError('conflict', 'this account was linked to a provider meanwhile');
    const proved = { roles: given, provider: provider.config.id, provedUs: api.deps.nowUs() };
    return { ...present, ...proved, password: null, totp: null, recovery: [] };
  }).catch(async (thrown: unknown) => {
    if (other === null) await people.oidc.identities.remove(issuer, subject);
    throw thrown;
  });
  await people.passkeys.removeAll(account.id);
  await people.invites.dropAll(account.id);
  await people.signIns.revokeAll(account.id, signIn.id);
  await tellAudit(api, {
    ...{ event: 'account_changed', userId: account.id, resourceId: account.id, success: true, errorMessage: null },
    ...{ ipAddress: browser.ipAddress, userAgent: browser.userAgent, details: { provider: provider.config.id } },
  });
  return linked;
}

async function sealedIdToken({ people }: Api, userId: string, { idToken }: ProviderAnswer): Promise<string | null> {
  if (people.seal === null || idToken.length > idTokenCharactersMax) return null;
  const sealed = await people.seal.seal(`id_token\0${userId}`, Buffer.from(idToken));
  return Buffer.from(sealed).toString('base64');
}

async function finish(call: Call<'finishOidc'>) {
  const { api, body, browser } = call;
  const { people, deps, config } = api;
  const provider = providerOf(call);
  const state = new URLSearchParams(body.query).get('state') ?? '';
  const { flow, checks } = await orTold(
    call,
    people.oidc.flows.take(provider.config.id, browser.cookie('oidc'), state),
  );
  const answer = await orTold(call, provider.finish(body.query, checks));
  const nowUs = deps.nowUs();
  const found = await known(api, answer);
  const work =
    flow.linkFor === null ? signInBy(call, provider, answer, found) : link(call, provider, answer, found, flow.linkFor);
  const account = await orTold(call, work, found?.id ?? null);
  const { issuer, sid, authUs } = answer;
  if (sid !== null) await people.oidc.identities.noteSession(issuer, sid, account.id, nowUs + config.signIn.wholeUs);
  const provedUs = authUs === null ? (flow.fresh ? nowUs : null) : Math.min(authUs, nowUs);
  const signedIn = await startSignIn(call, account, 'oidc', {
    idToken: await sealedIdToken(api, account.id, answer),
    provider: { id: provider.config.id, sid, provedUs },
  });
  return { ...signedIn, return_to: flow.returnTo };
}

/** Back-channel logout: of one session at the provider, or of all of a person. */
async function end(call: Call<'endOidc'>) {
  const { api, browser, upload } = call;
  const { people } = api;
  const provider = providerOf(call);
  const bounds = { bytesMax: restRoutes.endOidc.upload.bytesMax, stallMs: logoutStallMs, what: 'the logout token' };
  const form = new URLSearchParams((await readUpload(upload!, bounds)).toString('utf8'));
  const { issuer, subject, sid, jti } = await provider.logoutToken(form.get('logout_token') ?? '');
  if (await people.oidc.flows.isDone(provider.config.id, jti)) return { done: true } as const;
  const owner =
    subject === null
      ? await people.oidc.identities.ownerOfSession(issuer, sid!)
      : ((await people.oidc.identities.find(issuer, subject))?.owner ?? null);
  if (owner === null) {
    await people.oidc.flows.setDone(provider.config.id, jti);
    return { done: true } as const;
  }
  let count = 0;
  for (const { id, value } of await people.signIns.list(owner))
    if (value.provider?.id === provider.config.id && (sid === null || value.provider.sid === sid))
      if (await people.signIns.revoke(owner, id)) count += 1;
  await people.oidc.flows.setDone(provider.config.id, jti);
  await tellAudit(api, {
    ...{ event: 'user_logout', userId: owner, resourceId: owner, success: true, errorMessage: null },
    ...{ ipAddress: browser.ipAddress, userAgent: browser.userAgent },
    details: { provider: provider.config.id, signed_out: count },
  });
  return { done: true } as const;
}

export const oidcHandlers: Handlers<OidcOperations> = {
  startOidc: async (call) =>
    begin(call, providerOf(call), { returnTo: call.body.return_to, fresh: call.body.fresh, linkFor: null }),
  finishOidc: finish,
  endOidc: end,
  async linkOidc(call) {
    const account = await recentAccount(call);
    const provider = providerOf(call);
    if (account.value.provider !== null)
      throw new LucidError('conflict', 'this account signs in by a provider already');
    return begin(call, provider, { returnTo: '/account', fresh: true, linkFor: ownSignIn(call).id });
  },
};
