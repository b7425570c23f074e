/** Sign-in under attack: guesses at once, strangers behind the same address, a browser that was left open. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { goodPassword, type PeopleWorld, peopleWorld, TestBrowser } from './people-world.ts';

const minuteUs = 60_000_000;

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
