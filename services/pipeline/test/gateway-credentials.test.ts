/** Credentials of the gateway, each story told twice: in one process, and over HTTP as five processes do. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { IssuedCredential, LogonOutcome } from '@lucid-sessions/contract';
import { gatewayUserOf, makeSecret, readPipelineEnv, secretAlphabet } from '@lucid-sessions/pipeline';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { bothWays } from './both-ways.ts';
import type { World } from './world.ts';

const serviceSecret = 'test secret of the services, 32 or more';
const minuteUs = 60_000_000;

/** The world's stand-in for an NT hash. */
const hashOf = (secret: string): Uint8Array => new Uint8Array(createHash('md5').update(secret, 'utf16le').digest());

async function issued(made: World, sessionId: string): Promise<IssuedCredential> {
  await made.pipeline.create({ session: sampleSession(sessionId), routeTokenSha256: null });
  return (await made.pipeline.issueCredential({ sessionId })).credential;
}

let connections = 0;

/** What a door does: looks the account up, compares, tells. */
async function logOn(
  made: World,
  user: string,
  secret: string,
): Promise<'unknown' | 'burnt' | 'expired' | LogonOutcome> {
  const connectionId = `logon-${++connections}`;
  const { account } = await made.pipeline.logonAccount({ connectionId, user });
  if (account === null) return 'unknown';
  if (account.ntHash === null) return 'burnt';
  const outcome = Buffer.from(account.ntHash).equals(hashOf(secret)) ? 'proven' : 'wrong';
  const tried = { connectionId, user, clientAddress: '10.0.0.9:4000', outcome } as const;
  await made.pipeline.logonTried(tried);
  // Its answer was lost, and it is told again.
  await made.pipeline.logonTried(tried);
  return outcome === 'proven' && account.standing === 'expired' ? 'expired' : outcome;
}

const joined = async (made: World, user: string, token?: string): Promise<string> => {
  const admission = await made.connect({ kind: 'credential', user, ...(token === undefined ? {} : { token }) });
  return admission.admitted ? admission.ticket.sessionId : admission.code;
};

test('secrets are typed easily, and all characters are as likely', () => {
  const filled = (byte: number) => (length: number) => new Uint8Array(length).fill(byte);
  assert.match(makeSecret(filled(7)), /^(?:[2-9a-hjkmnp-z]{4}-){5}[2-9a-hjkmnp-z]{4}$/);
  assert.doesNotMatch(secretAlphabet, /[01ilo]|[^a-z0-9]/);
  const byCharacter = Map.groupBy(
    Array.from({ length: 248 }, (_, byte) => makeSecret(filled(byte))[0]),
    (character) => character,
  );
  assert.deepEqual([...byCharacter.keys()].sort(), [...secretAlphabet].sort());
  for (const times of byCharacter.values()) assert.equal(times.length, 8);
  // What would make some likelier is thrown away.
  let asked = 0;
  const secret = makeSecret((length) => filled(asked++ === 0 ? 248 : 0)(length));
  assert.equal(secret, '2222-2222-2222-2222-2222-2222');
  assert.equal(asked, 2);
});

test('a session has one user name, and two have two', () => {
  assert.match(gatewayUserOf('s1'), /^lucid-[2-9a-hjkmnp-z]{12}$/);
  assert.equal(gatewayUserOf('s1'), gatewayUserOf('s1'));
  assert.notEqual(gatewayUserOf('s1'), gatewayUserOf('s2'));
});

test('how long a credential lasts is set, within bounds', () => {
  const read = (minutes?: string) =>
    readPipelineEnv({
      LUCID_SERVICE_SECRET: serviceSecret,
      ...(minutes === undefined ? {} : { LUCID_GATEWAY_CREDENTIAL_MINUTES: minutes }),
    }).limits.gatewayCredentialMinutes;
  assert.deepEqual([read(), read('1'), read('1440')], [10, 1, 1440]);
  for (const wrong of ['0', '1441', 'x']) assert.throws(() => read(wrong), /LUCID_GATEWAY_CREDENTIAL_MINUTES/);
});

bothWays('a credential lets its session’s client in, whatever the case of its name', async (made) => {
  const { user, secret, issuedUs, expiresUs } = await issued(made, 's1');
  assert.equal(expiresUs - issuedUs, 10 * minuteUs);
  assert.equal(await logOn(made, user.toUpperCase(), secret), 'proven');
  assert.equal(await joined(made, user.toUpperCase()), 's1');
  const { session } = await made.storage.getSession({ sessionId: 's1' });
  assert.deepEqual(session?.gateway_logon, {
    user,
    issued_at: new Date(issuedUs / 1000).toISOString(),
    expires_at: new Date(expiresUs / 1000).toISOString(),
  });
  assert.equal(JSON.stringify(session).includes(secret), false);
});

bothWays('nobody has a name that was never issued', async (made) => {
  await issued(made, 's1');
  for (const user of ['lucid-222222222222', 'administrator', '', 'lucid-', `${'x'.repeat(5000)}`, 's1'])
    assert.equal(await logOn(made, user, 'x'), 'unknown');
  assert.equal(await joined(made, 'lucid-222222222222'), 'unknown_session');
});

bothWays('three wrong tries burn it, and that is told once', async (made) => {
  const { user, secret } = await issued(made, 's1');
  for (const outcome of ['wrong', 'wrong', 'wrong']) assert.equal(await logOn(made, user, 'guess'), outcome);
  assert.equal(await logOn(made, user, secret), 'burnt');
  const { events } = await made.storage.listAudit({ eventType: 'credential_burnt', limit: 10, offset: 0 });
  assert.deepEqual(
    events.map(({ resourceId, ipAddress, success }) => [resourceId, ipAddress, success]),
    [['s1', '10.0.0.9:4000', false]],
  );
  const again = (await made.pipeline.issueCredential({ sessionId: 's1' })).credential;
  assert.equal(again.user, user);
  assert.equal(await logOn(made, user, again.secret), 'proven');
});

bothWays('tries at once are no more than tries one after the other', async (made) => {
  const { user } = await issued(made, 's1');
  const lookups = await Promise.all(
    Array.from({ length: 10 }, (_, at) => made.pipeline.logonAccount({ connectionId: `many-${at}`, user })),
  );
  assert.equal(lookups.filter(({ account }) => account !== null).length, 3);
  for (let at = 0; at < 10; at++)
    await made.pipeline.logonTried({ connectionId: `many-${at}`, user, clientAddress: 'a', outcome: 'left' });
  assert.equal(await logOn(made, user, 'guess'), 'wrong');
  // A recorder that died with two of them leaves them behind for a minute.
  for (const connectionId of ['dead-1', 'dead-2']) await made.pipeline.logonAccount({ connectionId, user });
  assert.equal(await logOn(made, user, 'guess'), 'unknown');
  made.clock.us += minuteUs + 1;
  assert.equal(await logOn(made, user, 'guess'), 'wrong');
});

bothWays('one that was not used in time is told to be too old, to who knows it alone', async (made) => {
  const { user, secret } = await issued(made, 's1');
  made.clock.us += 10 * minuteUs + 1;
  assert.equal(await logOn(made, user, 'guess'), 'wrong');
  assert.equal(await logOn(made, user, secret), 'expired');
});

bothWays(
  'after its first use it is good for reconnections until the session is over, and then forgotten',
  async (made) => {
    const { user, secret } = await issued(made, 's1');
    assert.equal(await joined(made, user), 's1');
    await made.start('s1');
    await made.putChunk('s1', 0);
    made.clock.us += 60 * minuteUs;
    assert.equal(await logOn(made, user, secret), 'proven');
    const finding = await made.pipeline.find({
      connectionId: 'again',
      route: { kind: 'credential', user },
      clientAddress: '10.0.0.1:6000',
      clientName: null,
      recorderId: 'recorder-1',
    });
    assert.equal(finding.found && finding.ticket.reconnects, true);
    const statistics = {
      framesCount: 1,
      relayedBytes: 1,
      framesDropped: 0,
      errorsCount: 0,
      durationUs: 1,
      updatesCount: 1,
    };
    const end = { reason: 'client_disconnected', message: 'bye', failed: false } as const;
    await made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: made.clock.us, ...end, statistics });
    assert.equal(await logOn(made, user, secret), 'unknown');
    assert.equal((await made.storage.getSession({ sessionId: 's1' })).session?.gateway_logon, null);
    await assert.rejects(made.pipeline.issueCredential({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' });
  },
);

bothWays('a session that ends before it recorded anything takes the same credential again', async (made) => {
  const { user, secret } = await issued(made, 's1');
  assert.equal(await joined(made, user), 's1');
  const attempt = {
    connectionId: 'connection-1',
    sessionId: 's1',
    atUs: made.clock.us,
    clientAddress: 'a',
    clientName: null,
    outcome: 'target_failed',
    reason: 'target_unreachable',
    message: 'gone',
    count: 1,
  } as const;
  await made.pipeline.attempted(attempt);
  assert.equal(await logOn(made, user, secret), 'proven');
  assert.equal(await joined(made, user), 's1');
});

bothWays('a session that is stopped, deleted, imported or a listener’s has none', async (made) => {
  const { user } = await issued(made, 's1');
  await made.pipeline.start({ sessionId: 's1' });
  await made.pipeline.stop({ sessionId: 's1', reason: 'not needed' });
  assert.equal(await logOn(made, user, 'x'), 'unknown');
  const second = await issued(made, 's2');
  await made.pipeline.remove({ sessionId: 's2' });
  assert.equal(await logOn(made, second.user, second.secret), 'unknown');
  await made.pipeline.create({ session: sampleSession('s3', { created_by: null }), routeTokenSha256: null });
  for (const sessionId of ['s1', 's2', 's3'])
    await assert.rejects(made.pipeline.issueCredential({ sessionId }), { code: 'LUCID_ERR_3004' });
  await assert.rejects(made.pipeline.issueCredential({ sessionId: 'nobody' }), { code: 'LUCID_ERR_3001' });
});

bothWays('a token beside it has to lead to the same session', async (made) => {
  const { user } = await issued(made, 's1');
  await issued(made, 's2');
  const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
  await made.storage.setRouteToken({ sessionId: 's1', tokenSha256: sha256('of s1') });
  await made.storage.setRouteToken({ sessionId: 's2', tokenSha256: sha256('of s2') });
  assert.equal(await joined(made, user, 'of s2'), 'unknown_session');
  assert.equal(await joined(made, user, 'of nobody'), 'unknown_session');
  assert.equal(await joined(made, user, 'of s1'), 's1');
});

bothWays('where there is a credential a name alone is not enough', async (made) => {
  await issued(made, 's1');
  await made.pipeline.start({ sessionId: 's1' });
  assert.deepEqual(await made.connect({ kind: 'cookie', name: 's1' }), {
    admitted: false,
    code: 'unknown_session',
    message: 'this session takes its .rdp file or its credential only',
  });
});

bothWays('sealed under another key it is worth nothing, and the log says so', async (made) => {
  const { user, secret } = await issued(made, 's1');
  const known = (await made.deps().journal.findCredential(user))!;
  assert.ok(known.sealed !== null);
  assert.equal(Buffer.from(known.sealed).includes(hashOf(secret)), false);
  await made.deps().journal.putCredential({ ...known, sealed: known.sealed.map((byte) => byte ^ 1) });
  assert.equal(await logOn(made, user, secret), 'unknown');
  assert.match(made.failures.join('\n'), /credential of session s1 does not open/);
});
