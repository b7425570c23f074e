import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { entryKinds, type OperationId, type RestRoute, restRoutes } from '@lucid-sessions/contract';
import { Secret, TOTP } from 'otpauth';
import { goodPassword, type PeopleWorld, peopleWorld, TestBrowser } from './people-world.ts';

const minuteUs = 60_000_000;

let people: PeopleWorld;
before(async () => {
  people = await peopleWorld();
});
after(() => people.dispose());

const codeOf = (secret: string, us: number) =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: us / 1000 });
const errorOf = (answer: { status: number; body: { error?: { message: string } } }) =>
  `${answer.status} ${answer.body.error?.message}`;

test('the first administrator comes by a link, once, and only as long as there is none', async () => {
  const fresh = await peopleWorld();
  try {
    const ways = await fresh.world.call('signInWays', { roles: null });
    assert.deepEqual(ways.body, { password: true, passkey: false, providers: [], has_accounts: false });
    assert.equal((await fresh.world.call('setUp', { roles: null })).status, 401, 'no open door');
    assert.equal((await fresh.world.call('setUp', { roles: ['session_manager'] })).status, 403);
    const [one, other] = [await fresh.world.call('setUp'), await fresh.world.call('setUp')];
    const token = String(one.body.token);
    assert.equal(one.body.path, `/enter#${token}`);
    const browser = new TestBrowser(fresh.world);
    const look = await browser.call('lookAtInvite', { body: { token } });
    assert.deepEqual([look.body.purpose, look.body.user_id], ['first', null]);
    const redeem = (body: object) => browser.call('redeemInvite', { body });
    assert.match(errorOf(await redeem({ token })), /^400 choose a name/);
    assert.match(errorOf(await redeem({ token, user_id: 'root', password: 'aaaaaaaaaaaaaaaa' })), /repeats too few/);
    assert.match(errorOf(await redeem({ token, user_id: 'groot', password: 'I am groot, really' })), /user name/);
    const { body, headers } = await redeem({ token, user_id: 'grace', password: goodPassword });
    assert.deepEqual([body.user_id, body.roles, body.method], ['grace', ['admin'], 'link']);
    for (const line of headers.getSetCookie()) assert.match(line, /; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    assert.equal((await redeem({ token, user_id: 'mallory', password: goodPassword })).status, 401, 'once');
    const late = { token: other.body.token, user_id: 'mallory', password: goodPassword };
    assert.match(errorOf(await redeem(late)), /^409 there is an administrator/);
    assert.equal((await fresh.world.call('setUp')).status, 409);
    assert.equal((await browser.call('whoAmI')).body.user_id, 'grace');
    assert.equal((await fresh.world.call('signInWays', { roles: null })).body.has_accounts, true);
  } finally {
    await fresh.dispose();
  }
});

test('a link ends, and a newer one of the same account ends it', async () => {
  await people.world.call('createUser', { body: { user_id: 'link', roles: ['auditor'] } });
  const invite = async (body: object) =>
    (await people.world.call('inviteUser', { params: { user_id: 'link' }, body })).body.token;
  const [old, next] = [await invite({}), await invite({ purpose: 'sign_in', minutes: 5 })];
  const browser = new TestBrowser(people.world);
  assert.equal((await browser.call('lookAtInvite', { body: { token: old } })).status, 401);
  people.clock.us += 5 * minuteUs;
  assert.equal((await browser.call('redeemInvite', { body: { token: next } })).status, 401);
  const token = await invite({ purpose: 'sign_in' });
  const both = await Promise.all(
    [0, 1].map(() => new TestBrowser(people.world).call('redeemInvite', { body: { token } })),
  );
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401], 'of two at once one is let in');
});

test('a password lets in, and what is wrong is said alike', async () => {
  await people.person('pat');
  people.clock.us += minuteUs;
  const browser = new TestBrowser(people.world);
  const wrong = await browser.signIn('pat', 'not the password');
  const unknown = await browser.signIn('who-is-that', 'not the password');
  assert.deepEqual([wrong.status, wrong.body.error?.message], [401, 'user name or password is wrong']);
  assert.deepEqual(unknown.body.error?.message, wrong.body.error?.message);
  const { body } = await browser.signIn(' Pat ');
  assert.deepEqual([body.user_id, body.method], ['pat', 'password']);
  assert.deepEqual(body.permissions, ['sessions:read', 'chunks:read', 'pipeline:read', 'statistics:read']);
  assert.equal((await browser.call('listSessions')).status, 200);
  assert.equal((await browser.call('listUsers')).status, 403);
  const { events } = await people.storage.listAudit({ eventType: 'user_login', limit: 3, offset: 0 });
  assert.deepEqual(
    events.map(({ userId, success, ipAddress }) => `${userId} ${success} ${ipAddress}`).sort(),
    ['null false 192.0.2.1', 'pat false 192.0.2.1', 'pat true 192.0.2.1'],
    'a name that is none may be a password in the wrong field',
  );
});

test('what a page of another site makes the browser send is refused', async () => {
  const browser = await people.person('cass');
  const { csrfToken } = browser;
  for (const wrong of [null, 'x', `${csrfToken}x`]) {
    browser.csrfToken = wrong;
    assert.match(errorOf(await browser.call('signOut')), /^403 send x-csrf-token/);
  }
  browser.csrfToken = csrfToken;
  const host = new URL(people.world.address).host;
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ] as Record<string, string>[])
    assert.match(errorOf(await browser.call('signOut', { headers })), /^403 another site/);
  assert.equal(
    (await browser.call('getSession', { params: { session_id: 'x' }, headers: { 'sec-fetch-site': 'cross-site' } }))
      .status,
    403,
  );
  const foreign = { headers: { origin: 'https://evil.example' }, body: { user_id: 'cass', password: goodPassword } };
  assert.equal(
    (await new TestBrowser(people.world).call('signIn', foreign)).status,
    403,
    'nobody is signed in as somebody else',
  );
  assert.equal((await browser.call('whoAmI', { headers: { 'sec-fetch-site': 'same-origin' } })).status, 200);
  assert.equal((await browser.call('signOut', { headers: { origin: `http://${host}` } })).status, 200);
  assert.equal(browser.cookies.has('lucid-session'), false);
  const { user_id, permissions, csrf_token } = (await browser.call('whoAmI')).body;
  assert.deepEqual([user_id, permissions, csrf_token], [null, [], null]);
});

test('behind HTTPS cookies are for it alone', async () => {
  const world = await people.another({ publicUrl: 'https://console.example' });
  await people.person('sec');
  const { headers } = await new TestBrowser(world).signIn('sec');
  for (const line of headers.getSetCookie()) assert.match(line, /^__Host-lucid-\w+=.*; Secure$/);
  assert.equal((await world.call('signInWays', { roles: null })).body.passkey, true);
});

test('guessing from one address stops that address, and nobody else', async () => {
  await people.person('una');
  const guesser = new TestBrowser(people.world, '198.51.100.9');
  for (let left = 8; left > 0; left--) assert.equal((await guesser.signIn('una', 'a wrong password')).status, 401);
  const stopped = await guesser.signIn('una');
  assert.equal(stopped.status, 429, 'also with the right one');
  assert.ok(Number(stopped.headers.get('retry-after')) > 60);
  assert.equal((await new TestBrowser(people.world, '198.51.100.10').signIn('una')).status, 200);
  people.clock.us += 16 * minuteUs;
  assert.equal((await guesser.signIn('una')).status, 200);
});

test('guessing from everywhere stops strange browsers, and lets in those that were here before', async () => {
  const known = await people.person('vic');
  for (let at = 0; at < 50; at++)
    assert.equal(
      (await new TestBrowser(people.world, `203.0.113.${at + 1}`).signIn('vic', 'a wrong password')).status,
      401,
    );
  const strange = await new TestBrowser(people.world, '203.0.113.200').signIn('vic');
  assert.match(errorOf(strange), /^429 .*signed in here before/);
  known.cookies.delete('lucid-session');
  assert.equal((await known.signIn('vic')).status, 200);
  const link = await people.world.call('inviteUser', { params: { user_id: 'vic' }, body: { purpose: 'sign_in' } });
  const browser = new TestBrowser(people.world, '203.0.113.201');
  assert.equal((await browser.call('redeemInvite', { body: { token: link.body.token } })).status, 200);
  people.clock.us += 16 * minuteUs;
  assert.equal((await new TestBrowser(people.world, '203.0.113.202').signIn('vic')).status, 200);
});

test('names that are none are stopped like those that are', async () => {
  const guesser = new TestBrowser(people.world, '198.51.100.77');
  for (let left = 8; left > 0; left--) await guesser.signIn('no-such-name', 'a wrong password');
  assert.equal((await guesser.signIn('no-such-name')).status, 429);
});

test('a second factor: codes and recovery codes, none of them twice', async () => {
  const browser = await people.person('tom');
  const { body: begun } = await browser.call('startTotp');
  const secret = String(begun.secret);
  assert.match(String(begun.uri), /^otpauth:\/\/totp\/Lucid%20Sessions:tom\?/);
  assert.equal((await browser.call('confirmTotp', { body: { code: '000000' } })).status, 400);
  const first = codeOf(secret, people.clock.us);
  const { body: confirmed } = await browser.call('confirmTotp', { body: { code: first } });
  const recovery = confirmed.recovery_codes as string[];
  assert.equal(new Set(recovery).size, 10);
  assert.equal((await browser.call('startTotp')).status, 409, 'not beside the one there is');

  const next = new TestBrowser(people.world);
  const asked = await next.signIn('tom');
  assert.deepEqual([asked.status, asked.body.error?.details], [401, { second_factor: true }]);
  assert.equal((await next.signIn('tom', goodPassword, first)).status, 401, 'it confirmed the app');
  people.clock.us += 30_000_000;
  const code = codeOf(secret, people.clock.us);
  const both = await Promise.all([0, 1].map(() => new TestBrowser(people.world).signIn('tom', goodPassword, code)));
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
  const twice = [recovery[0]!.toUpperCase(), recovery[0]!.replaceAll('-', '')];
  const used = await Promise.all(twice.map((text) => new TestBrowser(people.world).signIn('tom', goodPassword, text)));
  assert.deepEqual(used.map(({ status }) => status).sort(), [200, 401]);
  const { body } = await browser.call('getAccount');
  const { has_totp, recovery_codes } = body.user as Record<string, unknown>;
  assert.deepEqual([has_totp, recovery_codes], [true, 9]);
  const renewed = (await browser.call('renewRecoveryCodes')).body.recovery_codes as string[];
  assert.equal((await new TestBrowser(people.world).signIn('tom', goodPassword, recovery[1])).status, 401);
  assert.equal((await new TestBrowser(people.world).signIn('tom', goodPassword, renewed[0])).status, 200);
  assert.equal((await browser.call('removeTotp')).status, 200);
  assert.equal((await new TestBrowser(people.world).signIn('tom')).status, 200);
});

test('signed-in browsers are seen and revoked, by their person and by administrators', async () => {
  const one = await people.person('sue');
  const two = new TestBrowser(people.world, '198.51.100.3');
  await two.signIn('sue');
  const { body } = await one.call('listSignIns');
  const signIns = body.sign_ins as { sign_in_id: string; current: boolean; ip_address: string }[];
  assert.deepEqual(signIns.map(({ current, ip_address }) => [current, ip_address]).sort(), [
    [false, '198.51.100.3'],
    [true, '192.0.2.1'],
  ]);
  const other = signIns.find(({ current }) => !current)!;
  const stranger = await people.person('sid');
  const params = { sign_in_id: other.sign_in_id };
  assert.equal((await stranger.call('revokeSignIn', { params })).status, 404, 'not another’s');
  assert.equal((await one.call('revokeSignIn', { params })).status, 200);
  assert.equal((await two.call('whoAmI')).status, 401);
  const all = await people.world.call('revokeUserSignIns', { params: { user_id: 'sue' } });
  assert.deepEqual([all.body.revoked, (await one.call('whoAmI')).status], [1, 401]);
});

test('a sign-in ends when nothing is asked for long, and whatever is asked at last', async () => {
  const idle = await people.person('ida');
  people.clock.us += 59 * minuteUs;
  assert.equal((await idle.call('whoAmI')).status, 200);
  people.clock.us += 60 * minuteUs;
  assert.equal((await idle.call('whoAmI')).status, 401);
  const busy = new TestBrowser(people.world);
  await busy.signIn('ida');
  for (let at = 1; at < 24; at++) {
    people.clock.us += 30 * minuteUs;
    assert.equal((await busy.call('whoAmI')).status, 200, `after ${at * 30} minutes`);
  }
  people.clock.us += 30 * minuteUs;
  assert.equal((await busy.call('whoAmI')).status, 401, 'after 12 hours');
});

test('what lets somebody in is changed soon after signing in; a changed password signs the others out', async () => {
  const browser = await people.person('pia');
  const other = new TestBrowser(people.world);
  await other.signIn('pia');
  people.clock.us += 16 * minuteUs;
  for (const operation of ['startTotp', 'removeTotp'] as const) {
    const { status, body } = await browser.call(operation);
    assert.deepEqual([status, body.error?.details], [403, { sign_in_again: true }], operation);
  }
  const change = (password: string | undefined, next: string) =>
    browser.call('changePassword', { body: { ...(password === undefined ? {} : { password }), new_password: next } });
  assert.equal((await change('a wrong password', 'another good password')).status, 400);
  assert.equal((await change(goodPassword, 'another good password')).status, 200);
  assert.equal((await browser.call('whoAmI')).status, 200);
  assert.equal((await other.call('whoAmI')).status, 401);
  assert.equal((await other.signIn('pia')).status, 401);
  assert.equal((await other.signIn('pia', 'another good password')).status, 200);
});

test('an API token may what it was given of what its owner may, as long as both last', async () => {
  const browser = await people.person('ted', ['session_operator']);
  const create = (body: object) => browser.call('createToken', { body: { name: 'ci', days: 30, ...body } });
  assert.match(errorOf(await create({ permissions: ['audit:read'] })), /^403 you have no right/);
  const { body } = await create({ permissions: ['sessions:read'] });
  const token = String(body.token);
  assert.match(token, /^lst_/);
  const by = (operation: OperationId, text = token) =>
    people.world.call(operation, { roles: null, headers: { authorization: `Bearer ${text}` } });
  assert.equal((await by('listSessions')).status, 200);
  assert.equal((await by('systemStatistics')).status, 403, 'its owner may');
  assert.equal((await by('listSessions', `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`)).status, 401);
  assert.deepEqual((await by('whoAmI')).body.permissions, ['sessions:read']);
  assert.match(errorOf(await by('getAccount')), /^403 an account is changed in a browser/);
  const { tokens } = (await browser.call('listTokens')).body as { tokens: Record<string, unknown>[] };
  assert.deepEqual([tokens[0]!.name, 'token' in tokens[0]!, tokens[0]!.used_at === null], ['ci', false, false]);

  const whole = String((await create({ days: 365 })).body.token);
  assert.equal((await by('systemStatistics', whole)).status, 200);
  await people.world.call('updateUser', { params: { user_id: 'ted' }, body: { roles: ['auditor'] } });
  assert.equal((await by('listAudit', whole)).status, 200, 'as its owner, from now on');
  assert.equal((await by('getPipeline', whole)).status, 403);
  assert.equal((await browser.call('revokeToken', { params: { token_id: String(body.token_id) } })).status, 200);
  assert.equal((await by('listSessions')).status, 401);
  await people.world.call('updateUser', { params: { user_id: 'ted' }, body: { disabled: true } });
  assert.equal((await by('listSessions', whole)).status, 401);
  await people.world.call('updateUser', { params: { user_id: 'ted' }, body: { disabled: false } });
  assert.equal((await by('listSessions', whole)).status, 200);
  people.clock.us += 365 * 24 * 60 * minuteUs;
  assert.equal((await by('listSessions', whole)).status, 401, 'expired');
});

test('an account keeps filters of the list by name, its own alone, no more than it may, and none that the list does not take', async () => {
  const browser = await people.person('fil');
  const other = await people.person('oth');
  const save = (name: string, query: string) => browser.call('saveFilter', { body: { name, query } });
  assert.deepEqual((await browser.call('listFilters')).body, { filters: [] });
  assert.equal((await save('Mine', 'user=fil&sort=size')).status, 200);
  assert.equal((await save('Gaps', 'outcome=gap&from=2026-01-01T00%3A00%3A00%2B01%3A00')).status, 200);
  const again = await save(' Mine ', 'user=fil');
  const kept = [
    { name: 'Gaps', query: 'outcome=gap&from=2026-01-01T00%3A00%3A00%2B01%3A00' },
    { name: 'Mine', query: 'user=fil' },
  ];
  assert.deepEqual(again.body, { filters: kept });
  assert.deepEqual((await browser.call('listFilters')).body, { filters: kept });
  assert.deepEqual((await other.call('listFilters')).body, { filters: [] });
  for (const wrong of ['outcome=lost', 'colour=blue', 'limit=5', 'x'.repeat(1001)])
    assert.match(errorOf(await save('Wrong', wrong)), /^400 /, wrong);
  for (const name of ['', 'a\nb', 'x'.repeat(61)]) assert.match(errorOf(await save(name, '')), /^400 /);
  for (let at = 0; at < 18; at += 1) assert.equal((await save(`f${at}`, '')).status, 200);
  assert.match(errorOf(await save('one more', '')), /^409 an account keeps at most 20 filters/);
  assert.equal((await save('f1', 'status=failed')).status, 200, 'one that is there is replaced all the same');
  assert.equal((await browser.call('removeFilter', { query: { name: 'Gaps' } })).status, 200);
  assert.match(
    errorOf(await browser.call('removeFilter', { query: { name: 'Gaps' } })),
    /^404 there is no such filter/,
  );
  const nobody = await people.world.call('listFilters');
  assert.match(errorOf(nobody), /^403 an account is changed in a browser/);
});

test('administrators make, change and remove accounts; the last of them stays', async () => {
  const boss = await people.person('boss', ['admin']);
  const user = { params: { user_id: 'boss' } };
  for (const body of [{ disabled: true }, { roles: ['auditor'] }])
    assert.match(errorOf(await boss.call('updateUser', { ...user, body })), /^409 this is the last administrator/);
  assert.equal((await boss.call('removeUser', user)).status, 409);
  assert.equal((await boss.call('createUser', { body: { user_id: 'boss', roles: ['admin'] } })).status, 409);
  for (const user_id of ['Boss', '', '-x', 'a b', 'x'.repeat(101)])
    assert.equal((await boss.call('createUser', { body: { user_id, roles: ['admin'] } })).status, 400, user_id);
  const viewer = await people.person('viv');
  const param = { params: { user_id: 'viv' } };
  const changed = await boss.call('updateUser', { ...param, body: { roles: ['auditor'], display_name: 'Vivian' } });
  assert.deepEqual([changed.body.roles, changed.body.display_name], [['auditor'], 'Vivian']);
  assert.equal((await viewer.call('listAudit')).status, 200, 'from now on');
  const { events } = await people.storage.listAudit({
    eventType: 'user_updated',
    resourceId: 'viv',
    limit: 1,
    offset: 0,
  });
  assert.deepEqual(events[0]!.details.changes, {
    display_name: { from: '', to: 'Vivian' },
    roles: { from: ['session_viewer'], to: ['auditor'] },
  });
  const token = String((await viewer.call('createToken', { body: { name: 'x', days: 1 } })).body.token);
  assert.equal((await boss.call('removeUser', param)).status, 200);
  assert.equal((await boss.call('getUser', param)).status, 404);
  assert.equal((await viewer.call('whoAmI')).status, 401);
  await boss.call('createUser', { body: { user_id: 'viv', roles: ['admin'] } });
  assert.equal((await viewer.call('whoAmI')).status, 401, 'one of the same name inherits nothing');
  const headers = { authorization: `Bearer ${token}` };
  assert.equal((await people.world.call('whoAmI', { roles: null, headers })).status, 401);
  assert.equal((await new TestBrowser(people.world).signIn('viv')).status, 401);
});

test('every API process knows who is signed in, and who is not any more', async () => {
  const other = await people.another();
  const browser = await people.person('many');
  const there = new TestBrowser(other);
  for (const [name, value] of browser.cookies) there.cookies.set(name, value);
  assert.equal((await there.call('whoAmI')).body.user_id, 'many');
  assert.equal((await browser.call('signOut')).status, 200);
  assert.equal((await there.call('whoAmI')).status, 401);
});

test('of whoever is signed in: refused to tokens of an identity provider, whatever their roles', async () => {
  const params = { passkey_id: 'x', sign_in_id: 'x', token_id: 'x' };
  const own = Object.entries<RestRoute>(restRoutes).filter(([, route]) => route.permissions?.length === 0);
  for (const [operation, route] of own) {
    const body = route.body === undefined ? {} : { body: samples[operation as keyof typeof samples] };
    const { status, body: answer } = await people.world.call(operation as OperationId, {
      params,
      ...(operation === 'removeFilter' ? { query: { name: 'x' } } : {}),
      ...body,
    });
    assert.deepEqual(
      [status, answer.error?.code],
      operation === 'signOut' ? [400, 'LUCID_ERR_3002'] : [403, 'LUCID_ERR_3012'],
      operation,
    );
  }
  assert.equal((await people.world.call('whoAmI', { roles: ['auditor'] })).body.method, 'bearer');
});

const samples = {
  changePassword: { password: 'x', new_password: goodPassword },
  confirmTotp: { code: '123456' },
  addPasskey: { challenge_id: 'x', name: 'x', response: {} },
  createToken: { name: 'x', days: 1 },
  saveFilter: { name: 'x', query: 'status=failed' },
};

test('passkeys are not offered where browsers refuse them, and made-up ones let nobody in', async () => {
  const browser = await people.person('kay');
  assert.match(errorOf(await browser.call('newPasskeyChallenge')), /^400 passkeys need HTTPS/);
  const world = await people.another({ publicUrl: 'https://console.example' });
  const stranger = new TestBrowser(world);
  const { body } = await stranger.call('passkeyChallenge');
  const answer = (challenge_id: unknown, response: object) =>
    stranger.call('passkeySignIn', { body: { challenge_id, response } });
  assert.equal((await answer(body.challenge_id, { id: 'made-up' })).status, 401);
  assert.match(errorOf(await answer(body.challenge_id, { id: 'made-up' })), /answered before/);
});

test('no secret is kept in clear, or written to the audit log', async () => {
  const browser = await people.person('zoe');
  const secrets = [goodPassword, ...browser.cookies.values(), browser.csrfToken!];
  const { body } = await browser.call('startTotp');
  secrets.push(String(body.secret), Buffer.from(Secret.fromBase32(String(body.secret)).buffer).toString('base64'));
  const code = codeOf(String(body.secret), people.clock.us);
  secrets.push(...((await browser.call('confirmTotp', { body: { code } })).body.recovery_codes as string[]));
  const { token } = (await browser.call('createToken', { body: { name: 'x', days: 1 } })).body;
  // A secret may begin with the sign that stands before it.
  secrets.push(String(token), String(token).replace(/^lst_[^_]+_/, ''));
  const invite = await people.world.call('inviteUser', { params: { user_id: 'zoe' }, body: {} });
  secrets.push(String(invite.body.token));
  const kept: unknown[] = [(await people.storage.listAudit({ limit: 1000, offset: 0 })).events, people.world.lines];
  for (const kind of entryKinds)
    kept.push((await people.storage.listEntries({ kind, after: '', limit: 1000 })).entries);
  const text = JSON.stringify(kept);
  assert.ok(text.includes('zoe') && secrets.length > 15);
  for (const secret of secrets) {
    assert.ok(secret.length > 15);
    assert.equal(text.includes(secret), false, 'a secret stands in clear');
  }
});
