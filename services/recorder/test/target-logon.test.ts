/** Network level authentication towards a target: what is said, what is not, and what a refusal is called. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { RecordingFact } from '@lucid-sessions/contract';
import { makeCertificate } from '@lucid-sessions/desktop';
import { ErrorInfo, Protocol } from '@lucid-sessions/rdp';
import { subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { eventually, shadowUser, skipUnlessPeers, startShadow3, startShadowNla } from '@lucid-sessions/testkit';
import {
  type DialledTarget,
  type DialOptions,
  dialTarget,
  resolveAll,
  type TargetAddress,
} from '../src/front-door/dial.ts';
import { ConnectFailure } from '../src/front-door/failure.ts';
import { type NlaTargetOptions, startNlaTarget } from './support/nla-target.ts';

const credentials = { username: 'alice', domain: 'LAB', password: 'correct horse' };

interface Dialling {
  facts: RecordingFact[];
  dialled: Promise<DialledTarget>;
}

function dial(
  t: TestContext,
  port: number,
  more: Partial<TargetAddress> = {},
  options: Partial<DialOptions> = {},
): Dialling {
  const facts: RecordingFact[] = [];
  const dialled = dialTarget(
    { host: '127.0.0.1', port, useTls: true, ignoreCert: true, ...more },
    {
      resolve: resolveAll,
      denied: () => null,
      credentials,
      wallUs: () => 1,
      kerberos: null,
      timeoutMs: 10_000,
      signal: new AbortController().signal,
      onFact: (fact) => facts.push(fact),
      ...options,
    },
  );
  dialled.then(
    ({ driver }) => t.after(() => driver.destroy('the test is over')),
    () => {},
  );
  return { facts, dialled };
}

async function failure({ dialled }: Dialling): Promise<ConnectFailure> {
  const error = await dialled.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ConnectFailure, String(error));
  for (const text of [error.message, error.detail]) assert.ok(!text.includes(credentials.password));
  return error;
}

for (const selected of [Protocol.hybrid, Protocol.hybridEx])
  test(`a target that selects ${selected} is logged on to, and that is a fact`, async (t) => {
    const target = await startNlaTarget(t, { selected, ...(selected === Protocol.hybridEx ? { result: 0 } : {}) });
    const { facts, dialled } = dial(t, target.port);
    const { hello } = await dialled;
    assert.deepEqual(target.requested, [11]);
    assert.equal(hello.selectedProtocol, selected);
    assert.deepEqual(
      facts.map(({ kind }) => kind),
      ['target_certificate', 'target_logon'],
    );
    assert.deepEqual(facts[1], {
      kind: 'target_logon',
      atUs: 1,
      user: 'LAB\\alice',
      method: 'ntlm',
      envelope: 'raw',
      credsspVersion: 6,
    });
    await eventually('the credentials', () => target.events.length === 2);
    const [asked, authenticated] = target.events;
    assert.ok(asked?.kind === 'account' && authenticated?.kind === 'authenticated');
    assert.equal(asked.claimed.targetName, 'TERMSRV/127.0.0.1');
    assert.equal(authenticated.delegated, 'password');
  });

test('a user name with its domain is told apart as Windows does', async (t) => {
  for (const [username, domain, user, of] of [
    ['LAB\\alice', '', 'alice', 'LAB'],
    ['alice@lab.test', '', 'alice@lab.test', ''],
    ['a\\b', 'LAB', 'a\\b', 'LAB'],
  ] as const) {
    const target = await startNlaTarget(t);
    await dial(t, target.port, {}, { credentials: { ...credentials, username, domain } }).dialled;
    const [asked] = target.events;
    assert.ok(asked?.kind === 'account');
    assert.deepEqual([asked.claimed.user, asked.claimed.domain], [user, of]);
    assert.match(asked.claimed.workstation, /^[^.a-z]{1,15}$/);
  }
});

test('a target that takes NTLM inside SPNEGO alone is asked so, once; which of both fails is told once', async (t) => {
  for (const refusesRaw of ['closes', 'says'] as const) {
    const target = await startNlaTarget(t, { refusesRaw });
    const { hello } = await dial(t, target.port).dialled;
    assert.deepEqual(hello.logon, { method: 'ntlm', envelope: 'spnego', version: 6 });
    assert.equal(target.requested.length, 2);
    const wrong = await failure(dial(t, target.port, {}, { credentials: { ...credentials, password: 'another' } }));
    assert.equal(wrong.reason, 'target_logon_failed');
  }
  const closing = await startNlaTarget(t, { closes: 'first' });
  assert.match((await failure(dial(t, closing.port))).message, /its NTLM challenge was due/);
  assert.equal(closing.requested.length, 2);
});

test('an old CredSSP is refused, but for a target that is named as old: then it is a recorded downgrade', async (t) => {
  for (const version of [2, 4]) {
    const target = await startNlaTarget(t, { version });
    assert.equal((await failure(dial(t, target.port))).reason, 'target_credssp_failed');
    const { facts, dialled } = dial(t, target.port, { legacyTls: true });
    assert.equal((await dialled).hello.logon?.version, version);
    const said = facts.flatMap((fact) => (fact.kind === 'downgrade' ? [fact.what] : []));
    assert.deepEqual(said, [`old CredSSP to the target (legacy_tls): version ${version}`]);
  }
});

test('restricted admin hands no password over, and a target without it is refused', async (t) => {
  const target = await startNlaTarget(t, { flags: 8 });
  await dial(t, target.port, { restrictedAdmin: true }).dialled;
  await eventually('the credentials', () => target.events.length === 2);
  const [, authenticated] = target.events;
  assert.ok(authenticated?.kind === 'authenticated');
  assert.equal(authenticated.delegated, 'restrictedAdmin');
  const nobody = await failure(dial(t, target.port, { restrictedAdmin: true }, { credentials: null }));
  assert.equal(nobody.reason, 'target_credentials_missing');
  const without = await startNlaTarget(t);
  const error = await failure(dial(t, without.port, { restrictedAdmin: true }));
  assert.equal(error.reason, 'target_credssp_failed');
  assert.match(error.message, /no restricted admin mode/);
  assert.deepEqual(without.received, []);
});

test('a target that does not want it is taken without', async (t) => {
  const target = await startNlaTarget(t, { selected: Protocol.ssl });
  const { facts, dialled } = dial(t, target.port);
  assert.equal((await dialled).hello.logon, null);
  assert.deepEqual(
    facts.map(({ kind }) => kind),
    ['target_certificate'],
  );
});

test('without credentials a target is asked for TLS alone', async (t) => {
  const target = await startNlaTarget(t, {});
  const error = await failure(dial(t, target.port, {}, { credentials: null }));
  assert.deepEqual(target.requested, [Protocol.ssl]);
  assert.equal(error.reason, 'target_tls_failed');
});

test('a target whose certificate is not trusted hears nothing of CredSSP', async (t) => {
  const target = await startNlaTarget(t, {});
  const wrongPin = { pinnedSha256: '0'.repeat(64) };
  for (const more of [{}, wrongPin]) {
    const { dialled, facts } = dial(t, target.port, { ...more, ignoreCert: false });
    assert.equal((await failure({ dialled, facts })).reason, 'target_tls_failed');
  }
  assert.deepEqual(target.received, []);
  const pinned = dial(t, target.port, { ignoreCert: false, pinnedSha256: target.certificateSha256 });
  assert.equal((await pinned.dialled).hello.logon?.version, 6);
});

const refusals: [NlaTargetOptions, string, RegExp][] = [
  [{ password: 'another' }, 'target_logon_failed', /user name or password is wrong \(0xc000006d\)/],
  [{ refuseWith: 0xc000006d }, 'target_logon_failed', /is wrong/],
  [{ refuseWith: 0x8009030c }, 'target_logon_failed', /is wrong/],
  [{ refuseWith: 0xc0000071 }, 'target_password_expired', /has expired/],
  [{ refuseWith: 0xc0000224 }, 'target_password_expired', /must be changed/],
  [{ refuseWith: 0xc0000234 }, 'target_account_locked', /locked out/],
  [{ refuseWith: 0xc0000072 }, 'target_account_disabled', /disabled/],
  [{ refuseWith: 0xc0000193 }, 'target_account_expired', /account has expired/],
  [{ refuseWith: 0xc000006f }, 'target_logon_denied', /at this time/],
  [{ refuseWith: 0xc000015b }, 'target_logon_denied', /by Remote Desktop/],
  [{ refuseWith: 0x80090302 }, 'target_ntlm_refused', /does not take NTLM/],
  [{ refuseWith: 0xc00000bb }, 'target_credssp_failed', /no version/],
  [{ refuseWith: 0xc000005e }, 'target_logon_failed', /domain controller/],
  [{ refuseWith: 0x12345678 }, 'target_logon_failed', /without a reason we know.*0x12345678/],
  [{ closes: 'last' }, 'target_logon_failed', /without a reason we know/],
  [{ closes: 'reset' }, 'target_logon_failed', /without a reason we know/],
  [{ closes: 'first' }, 'target_credssp_failed', /did not finish/],
  [{ selected: Protocol.hybridEx, result: 5 }, 'target_logon_denied', /by Remote Desktop/],
  [{ selected: Protocol.hybridEx, result: 7 }, 'target_logon_failed', /0x00000007/],
  [{ selected: Protocol.hybridEx, lateRefusal: 0xc0000234 }, 'target_account_locked', /locked out/],
  [{ spoil: (bytes) => bytes.with(8, 9) }, 'target_credssp_failed', /rules of CredSSP/],
  [{ minimumVersion: 7 }, 'target_credssp_failed', /no version/],
];

for (const [options, reason, message] of refusals)
  test(`a target that ${JSON.stringify(options)}: ${reason}`, async (t) => {
    const target = await startNlaTarget(t, options);
    const error = await failure(dial(t, target.port));
    assert.equal(error.reason, reason);
    assert.match(error.message, message);
    const isDenied = reason === 'target_logon_denied';
    const { serverInsufficientPrivileges, serverDeniedConnection } = ErrorInfo;
    assert.equal(error.errorInfo, (isDenied ? serverInsufficientPrivileges : serverDeniedConnection).code);
  });

test('a refusal behind the credentials, where no result was agreed on, ends the wait for the client', async (t) => {
  const target = await startNlaTarget(t, { lateRefusal: 0xc000015b });
  const { dialled } = dial(t, target.port);
  const ended = await dialled.then(
    ({ driver }) => driver.over.catch((error: { event: { how: string } }) => error.event.how),
    (error: ConnectFailure) => error.reason,
  );
  assert.ok(['logonNotGranted', 'target_logon_denied'].includes(String(ended)), String(ended));
});

test('a password is sent only to who holds the key of the certificate', async (t) => {
  const target = await startNlaTarget(t, { otherKey: true });
  await failure(dial(t, target.port));
  // NEGOTIATE and AUTHENTICATE with pubKeyAuth, and nothing behind them.
  assert.equal(target.received.length, 2);
});

for (const [name, peer, start, isRefusalTold] of [
  ['freerdp-shadow 2', 'shadow', startShadowNla, false],
  ['freerdp-shadow 3', 'shadow3', startShadow3, true],
] as const)
  test(`${name} with NLA: logged on to with the right password, and refuses a wrong one`, {
    timeout: 60_000,
  }, async (t) => {
    if (skipUnlessPeers(t, peer)) return;
    const server = await start();
    t.after(() => server.stop());
    const known = { username: shadowUser.userName, domain: '', password: shadowUser.password };
    const { hello } = await dial(t, server.port, {}, { credentials: known }).dialled;
    assert.deepEqual(hello.logon, { method: 'ntlm', envelope: 'raw', version: 6 });
    const wrong = { ...known, password: 'wrong' };
    const error = await failure(dial(t, server.port, {}, { credentials: wrong }));
    assert.equal(error.reason, 'target_logon_failed');
    assert.equal(/0x/.test(error.message), isRefusalTold, error.message);
    const none = await failure(dial(t, server.port, {}, { credentials: null }));
    assert.equal(none.reason, 'target_credentials_missing');
    assert.match(none.message, /demands network level authentication/);
  });

test('freerdp-shadow 3 has no restricted admin mode, and gets no credentials in it', { timeout: 60_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow3')) return;
  const server = await startShadow3();
  t.after(() => server.stop());
  const known = { username: shadowUser.userName, domain: '', password: shadowUser.password };
  const refused = await failure(dial(t, server.port, { restrictedAdmin: true }, { credentials: known }));
  assert.match(refused.message, /no restricted admin mode/);
});

test('the public key of a certificate is the content of its BIT STRING', async () => {
  const { cert } = await makeCertificate();
  const { raw, publicKey: key } = new X509Certificate(cert);
  const found = subjectPublicKeyOf(raw);
  assert.deepEqual(Buffer.from(found), key.export({ type: 'pkcs1', format: 'der' }));
  for (const length of [0, 1, 40, 200, 300])
    assert.throws(() => subjectPublicKeyOf(raw.subarray(0, length)), { name: 'DecodeError' });
});
