/** Sign-in under attack: guesses at once, strangers behind the same address, a browser that was left open. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Entry, OperationId } from '@lucid-sessions/contract';
import { Secret, TOTP } from 'otpauth';
import { goodPassword, type PeopleWorld, peopleWorld, TestBrowser } from './people-world.ts';
import { apiWorld } from './world.ts';

const minuteUs = 60_000_000;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let people: PeopleWorld;
before(async () => {
  people = await peopleWorld();
});
after(() => people.dispose());

const signInsTold = async () =>
  (await people.storage.listAudit({ eventType: 'user_login', limit: 100, offset: 0 })).events;

test('guesses sent at once are counted as those sent one after the other', async () => {
  await people.person('abe');
  const guesses = Array.from({ length: 24 }, () =>
    new TestBrowser(people.world, '198.51.100.20').signIn('abe', 'a wrong password'),
  );
  const tried = (await Promise.all(guesses)).filter(({ status }) => status === 401);
  assert.ok(tried.length <= 8, `${tried.length} passwords were tried`);
});

test('strangers behind the same address do not lock out a browser that signed in before', async () => {
  const known = await people.person('bea');
  known.cookies.delete('lucid-session');
  people.clock.us += minuteUs;
  const neighbour = new TestBrowser(people.world, known.address);
  for (let left = 8; left > 0; left--) await neighbour.signIn('bea', 'a wrong password');
  assert.equal((await neighbour.signIn('bea')).status, 429);
  assert.equal((await known.signIn('bea')).status, 200);
  known.cookies.delete('lucid-session');
  for (let left = 8; left > 0; left--) {
    known.address = `203.0.113.${left}`;
    assert.equal((await known.signIn('bea', 'a wrong password')).status, 401);
  }
  known.address = '203.0.113.99';
  assert.equal((await known.signIn('bea')).status, 429, 'nor does it guess from one address after the other');
});

test('names that are none are counted as accounts are, by all processes together', async () => {
  await people.person('eli');
  people.clock.us += minuteUs;
  const other = await people.another();
  for (const name of ['eli', 'nobody-of-this-name']) {
    const statuses: number[] = [];
    for (let at = 0; at < 10; at++) {
      const browser = new TestBrowser(at % 2 === 0 ? people.world : other, '198.51.100.40');
      statuses.push((await browser.signIn(name, 'a wrong password')).status);
    }
    assert.deepEqual(statuses, [...Array<number>(8).fill(401), 429, 429], name);
  }
});

test('a first password is set soon after signing in, also where a present one is made up', async () => {
  await people.world.call('createUser', { body: { user_id: 'cat', roles: ['session_viewer'] } });
  const body = { purpose: 'sign_in' };
  const { token } = (await people.world.call('inviteUser', { params: { user_id: 'cat' }, body })).body;
  const browser = new TestBrowser(people.world);
  assert.equal((await browser.call('redeemInvite', { body: { token } })).status, 200);
  people.clock.us += 16 * minuteUs;
  for (const password of [undefined, 'made up'])
    assert.equal(
      (await browser.call('changePassword', { body: { ...(password && { password }), new_password: goodPassword } }))
        .status,
      403,
    );
});

test('who is stopped, a passkey that is none and a link that is over leave a trace', async () => {
  const world = await people.another({ publicUrl: 'https://console.example' });
  await people.person('dot');
  people.clock.us += minuteUs;
  const stranger = new TestBrowser(world, '198.51.100.30');
  const refused: [number, string][] = [];
  const note = ({ status, body }: { status: number; body: { error?: { message: string } } }) =>
    refused.push([status, String(body.error?.message)]);
  for (let left = 8; left > 0; left--) await stranger.signIn('dot', 'a wrong password');
  note(await stranger.signIn('dot'));
  const { body } = await stranger.call('passkeyChallenge');
  note(await stranger.call('passkeySignIn', { body: { challenge_id: body.challenge_id, response: { id: 'x' } } }));
  note(await stranger.call('redeemInvite', { body: { token: 'x'.repeat(43), password: goodPassword } }));
  assert.deepEqual(
    refused.map(([status]) => status),
    [429, 401, 401],
  );
  const told = (await signInsTold()).filter(({ success }) => !success).map(({ errorMessage }) => errorMessage);
  for (const [, message] of refused) assert.ok(told.includes(message), message);
});

test('the right password without a code leaves a trace, and a sign-in with one no failure beside it', async () => {
  const browser = await people.person('fay');
  const { secret } = (await browser.call('startTotp')).body as { secret: string };
  const codeAt = (us: number) => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: us / 1000 });
  await browser.call('confirmTotp', { body: { code: codeAt(people.clock.us) } });
  people.clock.us += minuteUs;
  const stranger = new TestBrowser(people.world, '198.51.100.60');
  assert.equal((await stranger.signIn('fay')).status, 401);
  const failures = async () =>
    (await signInsTold())
      .filter(({ userId, success }) => userId === 'fay' && !success)
      .map(({ errorMessage, ipAddress }) => `${ipAddress} ${errorMessage}`);
  assert.deepEqual(await failures(), ['198.51.100.60 the password was right; no code came with it']);
  assert.equal((await browser.signIn('fay', goodPassword, codeAt(people.clock.us))).status, 200);
  assert.equal((await failures()).length, 1);
});

test('a token that may manage users gives nobody more than it has, itself least', async () => {
  const admin = await people.person('gus', ['admin']);
  await people.person('hal');
  const tokenOf = async (permissions?: string[]) => {
    const { body } = await admin.call('createToken', {
      body: { name: 'x', days: 1, ...(permissions && { permissions }) },
    });
    return { authorization: `Bearer ${body.token}` };
  };
  const viewer = ['sessions:read', 'chunks:read', 'pipeline:read', 'statistics:read'];
  const may = async (headers: Record<string, string>, operation: OperationId, userId: string | null, body?: object) => {
    const params = userId === null ? {} : { user_id: userId };
    const call = { roles: null, headers, params, ...(body && { body }) };
    return (await people.world.call(operation, call)).status;
  };
  const few = await tokenOf(['users:manage']);
  assert.equal(await may(few, 'createUser', null, { user_id: 'mal', roles: ['admin'] }), 403);
  assert.equal(await may(few, 'createUser', null, { user_id: 'mal', roles: ['session_viewer'] }), 403);
  for (const userId of ['gus', 'hal']) {
    assert.equal(await may(few, 'inviteUser', userId, { purpose: 'sign_in' }), 403, userId);
    assert.equal(await may(few, 'updateUser', userId, { reset: 'password' }), 403, userId);
    assert.equal(await may(few, 'updateUser', userId, { roles: ['admin'] }), 403, userId);
  }
  assert.equal(
    await may(few, 'updateUser', 'hal', { disabled: true }),
    200,
    'taking away is what it has the right for',
  );
  assert.equal(await may(few, 'updateUser', 'hal', { disabled: false }), 403);
  const more = await tokenOf(['users:manage', ...viewer]);
  assert.equal(await may(more, 'updateUser', 'hal', { disabled: false }), 200);
  assert.equal(await may(more, 'inviteUser', 'hal', {}), 201);
  assert.equal(await may(more, 'updateUser', 'hal', { roles: ['auditor'] }), 403);
  assert.equal(await may(more, 'createUser', null, { user_id: 'ivy', roles: ['session_viewer'] }), 201);
  assert.equal(await may(await tokenOf(), 'updateUser', 'hal', { roles: ['auditor'] }), 200);
  const { body } = await people.world.call('getUser', { params: { user_id: 'hal' } });
  assert.deepEqual([body.roles, body.disabled], [['auditor'], false]);
});

test('nothing made for an account while it is removed outlives it, nor does the next of its name inherit it', async () => {
  for (const again of [false, true]) {
    let removal: (() => Promise<void>) | null = null;
    const storage = {
      ...people.storage,
      async putEntry(entry: Entry) {
        const work = entry.kind === 'token' ? removal : null;
        removal = null;
        await work?.();
        return people.storage.putEntry(entry);
      },
    };
    const slow = await apiWorld({ trustProxy: { kind: 'hops', count: 1 } }, { storage, nowUs: () => people.clock.us });
    try {
      const browser = await people.person('joy');
      const late = new TestBrowser(slow);
      assert.equal((await late.signIn('joy')).status, 200);
      removal = async () => {
        assert.equal((await people.world.call('removeUser', { params: { user_id: 'joy' } })).status, 200);
        if (again) await people.person('joy');
      };
      assert.equal((await late.call('createToken', { body: { name: 'late', days: 1 } })).status, 404);
      assert.equal(
        (await people.storage.listEntries({ kind: 'token', owner: 'joy', after: '', limit: 9 })).entries.length,
        0,
      );
      assert.equal((await browser.call('getAccount')).status, 401);
      if (!again) continue;
      // As an API process leaves it that died in between.
      const entry = { kind: 'token', id: 'left', owner: 'joy', version: 1, untilUs: null } as const;
      const value = {
        name: 'left',
        secretSha256: sha256('x'.repeat(43)),
        permissions: null,
        createdUs: 0,
        usedUs: null,
      };
      await people.storage.putEntry({ ...entry, value: { ...value, key: 'of the one before', usedFrom: null } });
      const headers = { authorization: `Bearer lst_left_${'x'.repeat(43)}` };
      assert.equal((await people.world.call('listSessions', { roles: null, headers })).status, 401);
    } finally {
      await slow.dispose();
    }
  }
});
