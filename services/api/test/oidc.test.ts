/** Sign-in by OpenID Connect with a real provider over HTTP. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiConfig } from '@lucid-sessions/api';
import { entryKinds, type Role } from '@lucid-sessions/contract';
import { clientSecret, OidcPeer, ProviderBrowser, type Tamper } from '@lucid-sessions/testkit/oidc-peer';
import { type PeopleWorld, peopleWorld, TestBrowser } from './people-world.ts';
import type { Answer, ApiWorld } from './world.ts';

const minuteUs = 60_000_000;
const publicUrl = 'https://console.example';

type ProviderConfig = ApiConfig['signInBy']['providers'][number];

const table: [string, Role][] = [
  ['ops', 'session_operator'],
  ['audit', 'auditor'],
  ['root', 'admin'],
];

function providerOf(peer: OidcPeer, changes: Partial<ProviderConfig> = {}): ProviderConfig {
  return {
    ...{ id: 'corp', name: 'Corp', issuer: peer.issuer, clientId: 'lucid', clientSecret, clientAuth: 'basic' },
    ...{ scopes: ['openid', 'profile', 'groups'], groupsClaim: 'groups', userClaim: 'preferred_username' },
    ...{ roles: new Map(table), accounts: 'create', tokenDays: 7 },
    ...changes,
  };
}

let peer: OidcPeer;
let people: PeopleWorld;

const clientsOf = (address: string) => [
  {
    client_id: 'lucid',
    client_secret: clientSecret,
    redirect_uris: [`${publicUrl}/sign-in/corp`],
    post_logout_redirect_uris: [`${publicUrl}/`],
    backchannel_logout_uri: `${address}/api/v1/auth/oidc/corp/logout`,
    backchannel_logout_session_required: true,
  },
  {
    client_id: 'public',
    token_endpoint_auth_method: 'none' as const,
    redirect_uris: [`${publicUrl}/sign-in/corp`],
  },
];

before(async () => {
  peer = await OidcPeer.open();
  people = await peopleWorld({ publicUrl, signInBy: { local: true, providers: [providerOf(peer)] } });
  peer.configure(clientsOf(people.world.address));
});
after(async () => {
  await people.dispose();
  await peer.close();
});

const errorOf = ({ status, body }: Answer) => `${status} ${body.error?.message}`;

interface Visit {
  browser: TestBrowser;
  there: ProviderBrowser;
}

const newVisit = (world: ApiWorld = people.world): Visit => ({
  browser: new TestBrowser(world),
  there: new ProviderBrowser(),
});

async function begin({ browser, there }: Visit, login: string, body: object = {}, provider = 'corp'): Promise<URL> {
  const started = await browser.call('startOidc', { params: { provider_id: provider }, body });
  assert.equal(started.status, 200, errorOf(started));
  return there.leave(String(started.body.url), login);
}

const finish = ({ browser }: Visit, back: URL, provider = 'corp'): Promise<Answer> =>
  browser.call('finishOidc', { params: { provider_id: provider }, body: { query: back.search.slice(1) } });

async function signIn(login: string, visit = newVisit(), body: object = {}): Promise<Answer> {
  return finish(visit, await begin(visit, login, body));
}

const told = async (userId: string | null) =>
  (await people.storage.listAudit({ eventType: 'user_login', limit: 1000, offset: 0 })).events.filter(
    (event) => event.userId === userId,
  );

test('a person of the provider signs in, gets an account, and what their groups give', async () => {
  const ways = await people.world.call('signInWays', { roles: null });
  assert.deepEqual(ways.body.providers, [{ provider_id: 'corp', name: 'Corp' }]);
  peer.people.set('1001', {
    groups: ['ops', 'audit', 'unknown'],
    preferred_username: 'Änn.B@corp.example',
    name: 'Ann B',
  });
  const visit = newVisit();
  const { body, status } = await signIn('1001', visit, { return_to: '/sessions?search=a' });
  assert.equal(status, 200);
  assert.deepEqual(
    [body.user_id, body.display_name, body.roles, body.method, body.return_to],
    ['ann.b@corp', 'Ann B', ['session_operator', 'auditor'], 'oidc', '/sessions?search=a'],
  );
  assert.equal((await visit.browser.call('listSessions')).status, 200);
  assert.equal((await visit.browser.call('listUsers')).status, 403);
  const account = (await people.world.call('getUser', { params: { user_id: 'ann.b@corp' } })).body;
  assert.deepEqual([account.provider, account.has_password, account.created_by], ['corp', false, 'Corp']);
  assert.equal((await told('ann.b@corp')).at(-1)?.success, true);
  // The same person, under another name at the provider and in another browser.
  peer.people.set('1001', { groups: ['ops'], preferred_username: 'renamed', name: 'Ann B' });
  const again = await signIn('1001');
  assert.deepEqual([again.body.user_id, again.body.roles], ['ann.b@corp', ['session_operator']]);
  // Who is called as they were is somebody else.
  peer.people.set('1002', { groups: ['ops'], preferred_username: 'ann.b' });
  assert.equal((await signIn('1002')).body.user_id, 'ann.b.2@corp');
});

test('two browsers in which somebody signs in for the first time make one account', async () => {
  peer.people.set('2001', { groups: ['ops'], preferred_username: 'twin' });
  const visits = [newVisit(), newVisit(await people.another())];
  const backs = await Promise.all(visits.map((visit) => begin(visit, '2001')));
  const answers = await Promise.all(visits.map((visit, at) => finish(visit, backs[at]!)));
  for (const { status, body } of answers)
    assert.deepEqual([status, body.user_id].join(' '), `200 ${answers[0]!.body.user_id}`);
  const { body } = await people.world.call('listUsers', { query: { limit: 500 } });
  const twins = (body.users as { user_id: string }[]).filter(({ user_id }) => user_id.startsWith('twin'));
  assert.equal(twins.length, 1);
});

test('what one API process begins another ends', async () => {
  peer.people.set('2101', { groups: ['ops'], preferred_username: 'hop' });
  const other = await people.another();
  const browser = new TestBrowser(people.world);
  const visit = { browser, there: new ProviderBrowser() };
  const back = await begin(visit, '2101');
  const elsewhere = new TestBrowser(other);
  for (const [name, value] of browser.cookies) elsewhere.cookies.set(name, value);
  assert.equal((await finish({ browser: elsewhere, there: visit.there }, back)).body.user_id, 'hop@corp');
});

test('groups may be elsewhere: at the userinfo endpoint, deeper, or one alone', async () => {
  peer.configure(clientsOf(people.world.address), false);
  peer.people.set('3001', { groups: 'audit', preferred_username: 'cleo' });
  assert.deepEqual((await signIn('3001')).body.roles, ['auditor']);
  peer.configure(clientsOf(people.world.address));
  const provider = providerOf(peer, { groupsClaim: 'groups.lucid' });
  const world = await people.another({ signInBy: { local: true, providers: [provider] } });
  peer.people.set('3002', { groups: { lucid: ['root'] }, preferred_username: 'dora' });
  assert.deepEqual((await signIn('3002', newVisit(world))).body.roles, ['admin']);
});

test('without a group there is no access, with words that say so, and no account', async () => {
  for (const [sub, groups] of [
    ['4001', ['unknown']],
    ['4002', undefined],
    ['4003', []],
    ['4004', [{ a: 1 }, null]],
  ] as const) {
    peer.people.set(sub, { groups, preferred_username: 'nobody' });
    assert.match(errorOf(await signIn(sub)), /^403 Corp knows you, but none of your groups/);
  }
  assert.equal((await people.world.call('getUser', { params: { user_id: 'nobody@corp' } })).status, 404);
  assert.ok((await told(null)).some(({ errorMessage }) => errorMessage?.startsWith('Corp knows you') === true));
});

test('a role that is taken away at the provider is gone with the next sign-in, in every browser and token', async () => {
  peer.people.set('5001', { groups: ['root'], preferred_username: 'rita' });
  const first = newVisit();
  assert.deepEqual((await signIn('5001', first, { fresh: true })).body.roles, ['admin']);
  const { body } = await first.browser.call('createToken', { body: { name: 'x', days: 300 } });
  const headers = { authorization: `Bearer ${body.token}` };
  const byToken = async () => (await people.world.call('listUsers', { roles: null, headers })).status;
  assert.equal(await byToken(), 200);
  peer.people.set('5001', { groups: ['ops'], preferred_username: 'rita' });
  assert.equal((await first.browser.call('listUsers')).status, 200, 'until then nobody has heard of it');
  await signIn('5001');
  assert.equal((await first.browser.call('listUsers')).status, 403);
  assert.equal(await byToken(), 403);
  peer.people.set('5001', { groups: [], preferred_username: 'rita' });
  assert.match(errorOf(await signIn('5001')), /^403 Corp knows you/);
  assert.equal((await first.browser.call('whoAmI')).status, 401);
  assert.equal((await people.world.call('listSessions', { roles: null, headers })).status, 403);
  assert.equal(
    (await told('rita@corp')).some(({ success }) => !success),
    true,
  );
});

test('nobody keeps a role longer than a sign-in lasts, and a token longer than its days without one', async () => {
  const own = await peopleWorld({ publicUrl, signInBy: { local: true, providers: [providerOf(peer)] } });
  try {
    peer.people.set('5101', { groups: ['root'], preferred_username: 'mona' });
    const visit = newVisit(own.world);
    await signIn('5101', visit, { fresh: true });
    const { body } = await visit.browser.call('createToken', { body: { name: 'x', days: 300 } });
    const headers = { authorization: `Bearer ${body.token}` };
    const byToken = () => own.world.call('listUsers', { roles: null, headers });
    for (let hours = 0; hours < 12; hours++) {
      assert.equal((await visit.browser.call('listUsers')).status, 200);
      for (let half = 0; half < 2; half++) {
        own.clock.us += 30 * minuteUs;
        await visit.browser.call('whoAmI');
      }
    }
    assert.equal((await visit.browser.call('listUsers')).status, 401);
    own.clock.us += 7 * 24 * 60 * minuteUs - 13 * 60 * minuteUs;
    assert.equal((await byToken()).status, 200);
    own.clock.us += 2 * 60 * minuteUs;
    assert.match(errorOf(await byToken()), /^401 this API token rests until its owner signs in by Corp again/);
  } finally {
    await own.dispose();
  }
});

test('accounts that are disabled stay out; removed ones begin anew', async () => {
  peer.people.set('6001', { groups: ['ops'], preferred_username: 'dan' });
  const visit = newVisit();
  await signIn('6001', visit);
  await people.world.call('updateUser', { params: { user_id: 'dan@corp' }, body: { disabled: true } });
  assert.equal((await visit.browser.call('whoAmI')).status, 401);
  assert.match(errorOf(await signIn('6001')), /^403 your account here is disabled/);
  await people.world.call('removeUser', { params: { user_id: 'dan@corp' } });
  assert.equal((await signIn('6001')).body.user_id, 'dan@corp');
});

test('keys are rotated between going there and coming back, and those of before count no more', async () => {
  peer.people.set('7001', { groups: ['ops'], preferred_username: 'kim' });
  assert.equal((await signIn('7001')).status, 200);
  const visit = newVisit();
  const back = await begin(visit, '7001');
  peer.rotate();
  assert.equal((await finish(visit, back)).status, 200);
  peer.tamper = (claims) => ({ claims, header: { kid: 'key-1' } });
  assert.match(errorOf(await signIn('7001')), /^401 what Corp answered is not valid/);
  peer.tamper = null;
});

test('an ID token that is not for this sign-in, or not from this provider, lets nobody in', async () => {
  peer.people.set('8001', { groups: ['root'], preferred_username: 'eve' });
  const now = Math.floor(Date.now() / 1000);
  const wrong: Record<string, Tamper> = {
    nonce: (claims) => ({ claims: { ...claims, nonce: 'of another' } }),
    'no nonce': ({ nonce: _, ...claims }) => ({ claims }),
    issuer: (claims) => ({ claims: { ...claims, iss: 'https://evil.example' } }),
    audience: (claims) => ({ claims: { ...claims, aud: 'another client' } }),
    'another party': (claims) => ({ claims: { ...claims, aud: ['lucid', 'other'], azp: 'other' } }),
    expired: (claims) => ({ claims: { ...claims, iat: now - 7200, exp: now - 3600 } }),
    'no end': ({ exp: _, ...claims }) => ({ claims }),
    'of the future': (claims) => ({ claims: { ...claims, nbf: now + 3600 } }),
    'alg none': (claims) => ({ claims, header: { alg: 'none' } }),
    'alg HS256 by the client secret': (claims) => ({ claims, header: { alg: 'HS256' }, secret: clientSecret }),
    'signed by another': (claims) => ({ claims, header: { kid: 'key-of-nobody' } }),
    'no subject': ({ sub: _, ...claims }) => ({ claims }),
  };
  for (const [what, tamper] of Object.entries(wrong)) {
    peer.tamper = tamper;
    const visit = newVisit();
    const answer = await signIn('8001', visit);
    assert.match(errorOf(answer), /^401 what Corp answered is not valid/, what);
    assert.equal((await visit.browser.call('whoAmI')).body.user_id, null, what);
  }
  // Clocks that are a little apart keep nobody out.
  peer.tamper = (claims) => ({ claims: { ...claims, exp: now - 10, nbf: now + 10 } });
  assert.equal((await signIn('8001')).status, 200);
  peer.tamper = null;
});

test('an answer counts once, in the browser that asked, at the provider that was asked, for ten minutes', async () => {
  peer.people.set('8101', { groups: ['ops'], preferred_username: 'joe' });
  const late = /^401 this sign-in took too long, was ended before, or was begun in another browser/;
  const visit = newVisit();
  const back = await begin(visit, '8101');
  const victim = newVisit();
  assert.match(errorOf(await finish(victim, back)), late, 'login CSRF: no cookie');
  await begin(victim, '8101');
  assert.match(errorOf(await finish(victim, back)), late, 'login CSRF: a cookie of its own');
  const state = new URL(back);
  state.searchParams.set('state', 'x'.repeat(43));
  assert.match(errorOf(await finish(visit, state)), late, 'wrong state');
  state.searchParams.delete('state');
  assert.match(errorOf(await finish(visit, state)), late, 'no state');
  const foreign = {
    params: { provider_id: 'corp' },
    body: { query: back.search.slice(1) },
    headers: { origin: 'https://evil.example' },
  };
  assert.equal((await visit.browser.call('finishOidc', foreign)).status, 403);
  assert.equal((await finish(visit, back)).status, 200, 'none of that spoiled it');
  assert.match(errorOf(await finish(visit, back)), late, 'replayed');
  const other = newVisit();
  const unused = await begin(other, '8101');
  const begun = await begin(other, '8101');
  const mixed = new URL(begun);
  mixed.searchParams.set('code', unused.searchParams.get('code')!);
  assert.match(errorOf(await finish(other, mixed)), /^401/, 'a code of another sign-in');
  const own = await begin(other, '8101');
  people.clock.us += 11 * minuteUs;
  assert.match(errorOf(await finish(other, own)), late);
});

test('an answer of another provider is told apart, by its path and by its issuer', async () => {
  const second = await OidcPeer.open();
  try {
    second.configure([{ ...clientsOf('https://x.example')[0]!, redirect_uris: [`${publicUrl}/sign-in/other`] }]);
    second.people.set('8201', { groups: ['root'], preferred_username: 'mix' });
    peer.people.set('8201', { groups: ['ops'], preferred_username: 'mix' });
    const providers = [providerOf(peer), providerOf(second, { id: 'other', name: 'Other' })];
    const world = await people.another({ signInBy: { local: true, providers } });
    const visit = newVisit(world);
    const back = await begin(visit, '8201');
    assert.match(errorOf(await finish(visit, back, 'other')), /^401 this sign-in/);
    const evil = new URL(back);
    evil.searchParams.set('iss', second.issuer);
    assert.match(errorOf(await finish(visit, evil)), /^401 what Corp answered is not valid/);
    // One subject, two issuers: two people.
    assert.equal((await signIn('8201', newVisit(world))).body.user_id, 'mix@corp');
    const there = newVisit(world);
    assert.equal((await finish(there, await begin(there, '8201', {}, 'other'), 'other')).body.user_id, 'mix@other');
  } finally {
    await second.close();
  }
});

test('the way back leads into the console and nowhere else', async () => {
  for (const path of [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    'javascript:alert(1)',
    '',
    '/a\\b',
    '/a\nb',
  ]) {
    const call = { params: { provider_id: 'corp' }, body: { return_to: path } };
    assert.equal((await new TestBrowser(people.world).call('startOidc', call)).status, 400, JSON.stringify(path));
  }
});

test('a sign-in replaces what was there before: another session, another person', async () => {
  peer.people.set('8301', { groups: ['ops'], preferred_username: 'fix' });
  const visit = newVisit();
  visit.browser.cookies.set('__Host-lucid-session', 'a'.repeat(43));
  await begin(visit, '8301').catch(() => {});
  visit.browser.cookies.set('__Host-lucid-session', 'a'.repeat(43));
  assert.equal((await signIn('8301', visit)).status, 200);
  const first = visit.browser.cookies.get('__Host-lucid-session')!;
  assert.notEqual(first, 'a'.repeat(43), 'nobody chooses the session for somebody else');
  assert.equal((await signIn('8301', visit)).status, 200);
  const old = new TestBrowser(people.world);
  old.cookies.set('__Host-lucid-session', first);
  assert.equal((await old.call('whoAmI')).status, 401);
});

test('a provider that is away, slow, too long or wrong is said, and the others sign in', async () => {
  const local = await people.person('lou');
  assert.equal((await local.call('whoAmI')).status, 200);
  const start = (world: ApiWorld) =>
    new TestBrowser(world).call('startOidc', { params: { provider_id: 'corp' }, body: {} });
  const fresh = () => people.another();
  peer.failsWith = 503;
  const world = await fresh();
  assert.match(errorOf(await start(world)), /^503 Corp can not be asked who you are: it answered HTTP 503/);
  const asked = peer.asked.length;
  await Promise.all([start(world), start(world)]);
  assert.equal(peer.asked.length, asked, 'it is not asked with every request');
  peer.failsWith = 404;
  assert.match(
    errorOf(await start(await fresh())),
    /^503 Corp can not be asked who you are: what it says of itself is not valid/,
  );
  peer.failsWith = null;
  peer.isMute = true;
  assert.match(errorOf(await start(await fresh())), /^503 Corp can not be asked who you are/);
  peer.isMute = false;
  const browser = new TestBrowser(world);
  assert.equal((await browser.signIn('lou')).status, 200);
  // Away between going there and coming back.
  peer.people.set('8401', { groups: ['ops'], preferred_username: 'gap' });
  const visit = newVisit();
  const back = await begin(visit, '8401');
  peer.failsWith = 502;
  assert.match(errorOf(await finish(visit, back)), /^503 Corp can not be asked who you are: it answered HTTP 502/);
  peer.failsWith = null;
  assert.equal((await signIn('8401', visit)).status, 200);
});

test('who says no at the provider is told so', async () => {
  const visit = newVisit();
  assert.match(errorOf(await signIn('of nobody', visit)), /^401 Corp does not let you in \(access_denied\)/);
  assert.equal(
    (await new TestBrowser(people.world).call('startOidc', { params: { provider_id: 'x' }, body: {} })).status,
    404,
  );
});

test('a public client proves itself by PKCE alone; a wrong secret is said to whoever set it up', async () => {
  peer.people.set('8501', { groups: ['ops'], preferred_username: 'pub' });
  const worldOf = (changes: Partial<ProviderConfig>) =>
    people.another({ signInBy: { local: true, providers: [providerOf(peer, changes)] } });
  const open = await worldOf({ clientId: 'public', clientSecret: null });
  assert.equal((await signIn('8501', newVisit(open))).status, 200);
  const wrong = await worldOf({ clientSecret: 'not the secret' });
  assert.match(
    errorOf(await signIn('8501', newVisit(wrong))),
    /^401 Corp does not take this installation’s client id or secret \(invalid_client\)/,
  );
});

test('with LUCID_SIGN_IN=oidc no password or passkey is taken; a link of an administrator’s is', async () => {
  await people.person('max');
  const world = await people.another({ signInBy: { local: false, providers: [providerOf(peer)] } });
  const ways = (await world.call('signInWays', { roles: null })).body;
  assert.deepEqual([ways.password, ways.passkey], [false, false]);
  const browser = new TestBrowser(world);
  assert.match(errorOf(await browser.signIn('max')), /^403 people sign in by Corp here/);
  assert.equal((await browser.call('passkeyChallenge')).status, 403);
  const body = { purpose: 'sign_in' };
  const { token } = (await world.call('inviteUser', { params: { user_id: 'max' }, body })).body;
  assert.equal((await browser.call('redeemInvite', { body: { token } })).status, 200);
});

test('signing out ends the session at the provider, too, and the other way round', async () => {
  peer.people.set('9001', { groups: ['ops'], preferred_username: 'out' });
  const visit = newVisit();
  await signIn('9001', visit);
  const elsewhere = newVisit();
  await signIn('9001', elsewhere);
  const left = await visit.browser.call('signOut');
  const url = new URL(String(left.body.redirect));
  assert.equal(url.origin + url.pathname, `${peer.issuer}/session/end`);
  assert.equal(url.searchParams.get('post_logout_redirect_uri'), `${publicUrl}/`);
  assert.ok(url.searchParams.get('id_token_hint'));
  assert.equal((await elsewhere.browser.call('whoAmI')).body.user_id, 'out@corp');
  // At the provider, in the other browser: its form, then what it tells us behind the browser's back.
  const end = async ({ there }: Visit, address: string) => {
    const page = await (await there.fetch(address)).text();
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)?.[1] ?? '';
    return there.fetch(`${peer.issuer}/session/end/confirm`, new URLSearchParams({ xsrf, logout: 'yes' }));
  };
  assert.equal((await end(visit, url.href)).headers.get('location'), `${publicUrl}/`);
  assert.equal((await elsewhere.browser.call('whoAmI')).status, 200, 'another session at the provider');
  await end(elsewhere, `${peer.issuer}/session/end`);
  assert.equal((await elsewhere.browser.call('whoAmI')).status, 401);
  const { events } = await people.storage.listAudit({ eventType: 'user_logout', limit: 100, offset: 0 });
  assert.ok(events.some(({ userId, details }) => userId === 'out@corp' && details.signed_out === 1));
});

test('a logout token counts once, only for whom it is, and until it is carried out', async (t) => {
  peer.people.set('9101', { groups: ['ops'], preferred_username: 'bac' });
  const now = Math.floor(Date.now() / 1000);
  const good = {
    ...{ iss: peer.issuer, aud: 'lucid', iat: now, exp: now + 120, jti: 'one', sub: '9101' },
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  };
  const send = async (logoutToken: string) =>
    people.world.raw('/api/v1/auth/oidc/corp/logout', {
      method: 'POST',
      body: new URLSearchParams({ logout_token: logoutToken }),
    });
  const visit = newVisit();
  const isIn = async () => (await visit.browser.call('whoAmI')).status === 200;
  await signIn('9101', visit);
  const { events: _events, ...noEvents } = good;
  const { jti: _jti, ...noJti } = good;
  const { sub: _sub, ...nobody } = good;
  const wrong = [
    await peer.sign({ ...good, aud: 'other' }),
    await peer.sign({ ...good, iss: 'https://evil.example' }),
    await peer.sign({ ...good, iat: now - 3600 }),
    await peer.sign({ ...good, nonce: 'x' }),
    await peer.sign(noEvents),
    await peer.sign(noJti),
    await peer.sign(nobody),
    `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.`,
    'not a token',
    '',
  ];
  for (const [at, text] of wrong.entries()) assert.equal((await send(text)).status, 400, `number ${at}`);
  assert.ok(await isIn());
  assert.equal((await send(await peer.sign({ ...good, jti: 'of another', sub: 'nobody here' }))).status, 200);
  assert.ok(await isIn());
  // One that broke off is no logout: the provider sends it again.
  const removing = t.mock.method(people.storage, 'removeEntry', () => Promise.reject(new Error('the store is away')));
  assert.equal((await send(await peer.sign(good))).status, 500);
  removing.mock.restore();
  assert.ok(await isIn());
  assert.equal((await send(await peer.sign(good))).status, 200);
  assert.equal(await isIn(), false);
  await signIn('9101', visit);
  assert.equal((await send(await peer.sign(good))).status, 200, 'the same again');
  assert.ok(await isIn(), 'does nothing');
  const asJson = { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } };
  assert.equal((await people.world.raw('/api/v1/auth/oidc/corp/logout', asJson)).status, 415);
});

test('a local account is linked once, recently, and signs in by the provider alone from then on', async () => {
  const provider = providerOf(peer, { accounts: 'linked' });
  const world = await people.another({ signInBy: { local: true, providers: [provider] } });
  peer.people.set('9201', { groups: ['audit'], preferred_username: 'liz' });
  assert.match(errorOf(await signIn('9201', newVisit(world))), /^403 Corp knows you, but no account here is linked/);
  const browser = await people.person('liz');
  const linking = { params: { provider_id: 'corp' } };
  const visit: Visit = { browser: new TestBrowser(world), there: new ProviderBrowser() };
  for (const [name, value] of browser.cookies) visit.browser.cookies.set(name, value);
  visit.browser.csrfToken = browser.csrfToken;
  const started = await visit.browser.call('linkOidc', linking);
  assert.equal(started.status, 200, errorOf(started));
  const back = await visit.there.leave(String(started.body.url), '9201');
  const stranger = newVisit(world);
  stranger.browser.cookies.set('__Host-lucid-oidc', visit.browser.cookies.get('__Host-lucid-oidc')!);
  const { body } = await finish(visit, back);
  assert.deepEqual([body.user_id, body.roles, body.return_to], ['liz', ['auditor'], '/account']);
  assert.equal((await signIn('9201', newVisit(world))).body.user_id, 'liz');
  assert.equal((await new TestBrowser(world).signIn('liz')).status, 401, 'the password is gone');
  const next = { body: { new_password: 'another good one, surely' } };
  assert.match(errorOf(await visit.browser.call('changePassword', next)), /^409 this account signs in by Corp/);
  assert.match(errorOf(await visit.browser.call('linkOidc', linking)), /^409/);
  const user = { params: { user_id: 'liz' } };
  assert.equal((await world.call('updateUser', { ...user, body: { roles: ['admin'] } })).status, 409);
  assert.equal((await world.call('inviteUser', { ...user, body: {} })).status, 409);
  assert.equal((await world.call('updateUser', { ...user, body: { reset: 'provider' } })).body.provider, null);
  assert.match(errorOf(await signIn('9201', newVisit(world))), /^403 Corp knows you, but no account here is linked/);
  assert.equal((await world.call('inviteUser', { ...user, body: {} })).status, 201);
  // Whoever is somebody here already links nobody else's account.
  peer.people.set('9202', { groups: ['audit'], preferred_username: 'kay' });
  assert.equal((await signIn('9202')).body.user_id, 'kay@corp');
  const third = await people.person('third');
  const url = String((await third.call('linkOidc', linking)).body.url);
  const other: Visit = { browser: third, there: new ProviderBrowser() };
  assert.match(errorOf(await finish(other, await other.there.leave(url, '9202'))), /^409 Corp knows you as kay@corp/);
});

/** Once, when `userId` is written for the `turn`th time: before it is, or behind it. */
function meanwhile(userId: string, turn: number, when: 'before' | 'behind', work: () => Promise<unknown>): void {
  const { storage } = people;
  const put = storage.putEntry;
  let turns = 0;
  storage.putEntry = async (entry) => {
    const isMeant = entry.kind === 'user' && entry.id === userId && ++turns === turn;
    if (!isMeant) return put.call(storage, entry);
    storage.putEntry = put;
    if (when === 'before') await work();
    const answer = await put.call(storage, entry);
    if (when === 'behind') await work();
    return answer;
  };
}

async function linkingOf(userId: string, login: string): Promise<{ visit: Visit; back: URL }> {
  const browser = await people.person(userId);
  const visit: Visit = { browser, there: new ProviderBrowser() };
  const started = await browser.call('linkOidc', { params: { provider_id: 'corp' } });
  assert.equal(started.status, 200, errorOf(started));
  return { visit, back: await visit.there.leave(String(started.body.url), login) };
}

test('no password, passkey or link is left of an account that is linked, whatever is set at that moment', async () => {
  peer.people.set('9501', { groups: ['audit'], preferred_username: 'zoe' });
  const { visit, back } = await linkingOf('zoe', '9501');
  const another = 'another good one, surely';
  const answers: Answer[] = [];
  meanwhile('zoe', 1, 'behind', async () => {
    answers.push(await visit.browser.call('changePassword', { body: { new_password: another } }));
  });
  assert.equal((await finish(visit, back)).status, 200);
  assert.match(errorOf(answers[0]!), /^409/);
  assert.equal((await new TestBrowser(people.world).signIn('zoe', another)).status, 401);
  // One an earlier version left.
  const { entry } = await people.storage.getEntry({ kind: 'user', id: 'zoe' });
  await people.person('yan');
  const { entry: other } = await people.storage.getEntry({ kind: 'user', id: 'yan' });
  const value = { ...entry!.value, password: (other!.value as { password: unknown }).password };
  await people.storage.putEntry({ ...entry!, value, version: entry!.version + 1 });
  assert.equal((await new TestBrowser(people.world).signIn('yan')).status, 200);
  assert.equal((await new TestBrowser(people.world).signIn('zoe')).status, 401);
});

test('a link to an account that is linked meanwhile, or of an administrator’s that was made meanwhile, is none', async () => {
  peer.people.set('9511', { groups: ['audit'], preferred_username: 'xia' });
  const { visit, back } = await linkingOf('xia', '9511');
  await people.world.call('inviteUser', { params: { user_id: 'xia' }, body: {} });
  const { entries } = await people.storage.listEntries({ kind: 'invite', owner: 'xia', after: '', limit: 9 });
  const invited = await people.world.call('inviteUser', { params: { user_id: 'xia' }, body: {} });
  const [now] = (await people.storage.listEntries({ kind: 'invite', owner: 'xia', after: '', limit: 9 })).entries;
  assert.notEqual(entries[0]!.id, now!.id);
  assert.equal((await finish(visit, back)).status, 200);
  await people.storage.putEntry({ ...now!, version: 1 });
  const redeemed = await new TestBrowser(people.world).call('redeemInvite', {
    body: { token: invited.body.token, password: 'another good one, surely' },
  });
  assert.match(errorOf(redeemed), /^409/);
});

test('whom two accounts are linked to at once is one of them, and the other one keeps its password', async () => {
  peer.people.set('9521', { groups: ['audit'], preferred_username: 'one' });
  const first = await linkingOf('one', '9521');
  const second = await linkingOf('two', '9521');
  const { storage } = people;
  const put = storage.putEntry;
  const results: Answer[] = [];
  storage.putEntry = async (entry) => {
    if (entry.kind === 'identity' && entry.owner === 'two') {
      storage.putEntry = put;
      results.push(await finish(first.visit, first.back));
    }
    return put.call(storage, entry);
  };
  results.push(await finish(second.visit, second.back));
  assert.deepEqual(
    results.map(({ status }) => status),
    [200, 409],
  );
  assert.equal((await new TestBrowser(people.world).signIn('two')).status, 200);
  assert.equal((await signIn('9521')).body.user_id, 'one');
});

test('who is disabled while the provider answers, or whose account is another’s then, is not let in', async () => {
  peer.people.set('9531', { groups: ['audit'], preferred_username: 'wim' });
  const visit = newVisit();
  await signIn('9531', visit);
  const user = { params: { user_id: 'wim@corp' } };
  const back = await begin(visit, '9531');
  meanwhile('wim@corp', 1, 'before', () => people.world.call('updateUser', { ...user, body: { disabled: true } }));
  assert.equal((await finish(visit, back)).status, 403);
  assert.equal((await people.world.call('updateUser', { ...user, body: { disabled: false } })).status, 200);
  assert.equal((await visit.browser.call('getAccount')).status, 401, 'nothing of it is good later');
  await signIn('9531', visit);
  const again = await begin(visit, '9531');
  meanwhile('wim@corp', 1, 'before', async () => {
    await people.world.call('removeUser', user);
    await people.world.call('createUser', { body: { user_id: 'wim@corp', roles: ['admin'] } });
  });
  assert.ok((await finish(visit, again)).status >= 400);
  const { body } = await people.world.call('getUser', user);
  assert.deepEqual([body.roles, body.provider], [['admin'], null]);
});

test('what lets somebody in is changed only soon after they proved themselves at the provider', async () => {
  peer.people.set('9301', { groups: ['ops'], preferred_username: 'old' });
  const visit = newVisit();
  await signIn('9301', visit, { fresh: true });
  assert.equal((await visit.browser.call('createToken', { body: { name: 'a', days: 1 } })).status, 201);
  people.clock.us += 20 * minuteUs;
  await signIn('9301', visit);
  assert.equal(
    (await visit.browser.call('createToken', { body: { name: 'b', days: 1 } })).status,
    403,
    'nobody was asked',
  );
});

test('no secret is kept in clear, written to the audit log or the log', async () => {
  peer.people.set('9401', { groups: ['ops'], preferred_username: 'sec' });
  const visit = newVisit();
  const back = await begin(visit, '9401');
  const secrets = [clientSecret, ...visit.browser.cookies.values(), back.searchParams.get('code')!];
  const state = back.searchParams.get('state')!;
  const keptNow = async () => {
    const kept: unknown[] = [(await people.storage.listAudit({ limit: 1000, offset: 0 })).events, people.world.lines];
    for (const kind of entryKinds)
      kept.push((await people.storage.listEntries({ kind, after: '', limit: 1000 })).entries);
    return JSON.stringify(kept);
  };
  const during = await keptNow();
  const { body } = await finish(visit, back);
  const { redirect } = (await visit.browser.call('signOut')).body;
  secrets.push(...visit.browser.cookies.values(), String(body.csrf_token));
  secrets.push(new URL(String(redirect)).searchParams.get('id_token_hint')!, state);
  const text = during + (await keptNow());
  assert.ok(text.includes('sec@corp'));
  for (const secret of secrets) {
    assert.ok(secret.length > 15);
    assert.equal(text.includes(secret), false, 'a secret stands in clear');
  }
  assert.equal(String(redirect).includes(clientSecret), false);
});
