/** Clients that log on to the gateway before it lets them anywhere: by real TLS, with a client of our own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { LogonAccount } from '@lucid-sessions/contract';
import { type ClientError, type ClientOptions, connectClient, startDesktop } from '@lucid-sessions/desktop';
import { ErrorInfo, Protocol, tsRequest, x224ConnectionRequest, x224Frame } from '@lucid-sessions/rdp';
import { CredSspClient, ntHashOf, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { eventually } from '@lucid-sessions/testkit';
import { decode, encode } from '@lucid-sessions/wire';
import type { RecorderConfig } from '../src/index.ts';
import { type Gateway, type GatewayOptions, startGateway, ticketFor } from './gateway-kit.ts';

const user = 'lucid-222222222222';
const secret = 'abcd-efgh-jkmn-pqrs-tuvw-xyz2';
const both = Protocol.ssl | Protocol.hybrid;

const good = (): LogonAccount => ({ sessionId: 'session-1', ntHash: ntHashOf(secret), standing: 'good' });

interface World extends Gateway {
  users: () => readonly string[];
}

async function world(t: TestContext, more: Partial<GatewayOptions> = {}): Promise<World> {
  const target = await startDesktop({ now: () => new Date(0) });
  t.after(() => target.stop());
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(target.port) }),
    logonAccount: async (name) => (name.toLowerCase() === user ? good() : null),
    ...more,
  });
  return { ...gateway, users: () => target.users() };
}

const required: Partial<RecorderConfig> = { nla: 'required' };

const client = (port: number, more: Partial<ClientOptions> = {}) =>
  connectClient({
    port,
    requestedProtocols: both,
    logon: { username: user, password: secret },
    userName: user,
    password: secret,
    ...more,
  });

const failure = (code: string, detail?: number) => (error: ClientError) =>
  error.code === code && (detail === undefined || error.detail >>> 0 === detail);

/** Nothing of a gateway's secret may be in what is kept or told, in any of the forms it comes in. */
function assertUnspoken(gateway: World): void {
  const told = JSON.stringify([gateway.reports, gateway.attempts, gateway.lines, gateway.problems]);
  const kept = Buffer.concat(gateway.chunks.map(({ copy }) => Buffer.from(copy)));
  for (const form of [Buffer.from(secret), Buffer.from(secret, 'utf16le'), Buffer.from(ntHashOf(secret))]) {
    assert.equal(kept.includes(form), false, 'a secret in a recording');
    assert.equal(told.includes(form.toString('latin1')), false, 'a secret in a report or a log line');
  }
}

for (const envelope of ['raw', 'spnego'] as const)
  for (const protocols of [both, Protocol.hybrid, Protocol.ssl | Protocol.hybridEx])
    test(`who knows the secret gets its session (${envelope}, offering ${protocols})`, async (t) => {
      const gateway = await world(t);
      const rdp = await client(gateway.port, {
        requestedProtocols: protocols,
        logon: { username: user.toUpperCase(), domain: 'WORKGROUP', password: secret, envelope },
      });
      await rdp.close();
      await gateway.reported('drained');
      assert.deepEqual(gateway.routes, [{ kind: 'credential', user: user.toUpperCase() }]);
      assert.deepEqual(
        gateway.tries.map(({ outcome }) => outcome),
        ['proven'],
      );
      // What opens the gateway is no business of the target's.
      assert.deepEqual(gateway.users(), ['']);
      const logon = gateway.notes().find((note) => note.type === 'client_logon');
      assert.ok(logon?.type === 'client_logon');
      assert.deepEqual([logon.user, logon.version, logon.targetName], [user.toUpperCase(), 6, 'TERMSRV/127.0.0.1']);
      const fact = gateway.reports.find((report) => report.kind === 'fact' && report.fact.kind === 'client_logon');
      assert.ok(fact);
      assertUnspoken(gateway);
    });

const refusals: [string, LogonAccount | null, string, number, string][] = [
  ['a wrong secret', good(), 'guess', 0xc000006d, 'logon_failed'],
  ['a name that nobody has', null, secret, 0xc000006d, 'logon_failed'],
  ['a credential that is too old', { ...good(), standing: 'expired' }, secret, 0xc0000193, 'logon_expired'],
  ['one that is too old, and a wrong secret', { ...good(), standing: 'expired' }, 'guess', 0xc000006d, 'logon_failed'],
  [
    'a burnt one, like a name nobody has',
    { ...good(), ntHash: null, standing: 'burnt' },
    secret,
    0xc000006d,
    'logon_burnt',
  ],
];

for (const [what, account, password, status, reason] of refusals)
  test(`${what} is refused in CredSSP (0x${status.toString(16)}) and told of`, async (t) => {
    const gateway = await world(t, { logonAccount: async () => account });
    const refused = client(gateway.port, { logon: { username: user, password } });
    await assert.rejects(refused, failure('logon_failed', status));
    const attempt = await gateway.attempted();
    assert.deepEqual(
      [attempt.outcome, attempt.reason, attempt.sessionId, attempt.clientName],
      ['refused', reason, account === null ? null : 'session-1', user],
    );
    assert.deepEqual(gateway.routes, [], 'nothing is looked up for who has not logged on');
    const wrong = status === 0xc000006d && account !== null && account.ntHash !== null ? ['wrong'] : [];
    const told = reason === 'logon_expired' ? ['proven'] : wrong;
    assert.deepEqual(
      gateway.tries.map(({ outcome }) => outcome),
      told,
    );
    assertUnspoken(gateway);
  });

test('too many wrong secrets of one address, and they are not compared any more', async (t) => {
  let asked = 0;
  const gateway = await world(t, {
    logonAccount: async () => {
      asked += 1;
      return good();
    },
  });
  for (let times = 0; times < 20; times++)
    await assert.rejects(client(gateway.port, { logon: { username: user, password: 'guess' } }));
  await assert.rejects(client(gateway.port), failure('logon_failed', 0xc000006d));
  assert.equal(asked, 20);
});

test('where the pipeline does not answer, the client is told that nobody can look it up', async (t) => {
  const gateway = await world(t, { logonAccount: () => Promise.reject(new Error('down')) });
  await assert.rejects(client(gateway.port), failure('logon_failed', 0xc000005e));
  assert.equal((await gateway.attempted()).reason, 'unavailable');
});

/** Behind X.224 and TLS, as far as a client is honest: what it says from here on is the test's. */
async function secured(port: number, requestedProtocols = both): Promise<{ tls: TLSSocket; closed: Promise<void> }> {
  const tcp = connectTcp({ host: '127.0.0.1', port, noDelay: true });
  tcp.on('error', () => {});
  tcp.write(
    x224Frame(x224ConnectionRequest, {
      destinationReference: 0,
      sourceReference: 0,
      classOption: 0,
      negotiation: { flags: 0, requestedProtocols },
    }),
  );
  const [confirm] = (await once(tcp, 'data')) as [Buffer];
  assert.equal(confirm.readUInt32LE(confirm.length - 4), Protocol.hybrid);
  const tls = connectTls({ socket: tcp, rejectUnauthorized: false }).on('error', () => {});
  await once(tls, 'secureConnect');
  const closed = new Promise<void>((resolve) => tls.once('close', () => resolve()));
  return { tls, closed };
}

/** What becomes of the client's message of this number; null: it says nothing more. */
type Spoil = (bytes: Uint8Array, index: number) => Uint8Array[] | null;

/** Plays the client's part of CredSSP until it is over or the gateway closes. Answers how many messages it had sent. */
async function play({ tls, closed }: { tls: TLSSocket; closed: Promise<void> }, spoil: Spoil): Promise<number> {
  const logon = new CredSspClient({
    credentials: { username: user, domain: '', password: secret },
    targetName: 'TERMSRV/127.0.0.1',
    workstation: 'PC',
    publicKey: subjectPublicKeyOf(new Uint8Array(tls.getPeerX509Certificate()!.raw)),
    envelope: 'raw',
    earlyAuthorization: false,
    restrictedAdmin: false,
    minimumVersion: 5,
    platform: { randomBytes: (length) => new Uint8Array(randomBytes(length)), nowMs: Date.now },
  });
  let sent = 0;
  let stopped = false;
  const run = ({ output }: { output: Uint8Array }): void => {
    if (output.length === 0 || stopped) return;
    const said = spoil(output, sent++);
    stopped = said === null;
    for (const bytes of said ?? []) tls.write(bytes);
  };
  tls.on('data', (bytes: Buffer) => run(logon.step(bytes)));
  run(logon.start());
  await closed;
  return sent;
}

test('a client that leaves while it is looked up has tried nothing', async (t) => {
  const looking = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<LogonAccount>();
  const gateway = await world(t, {
    logonAccount: () => {
      looking.resolve();
      return answer.promise;
    },
  });
  const connection = await secured(gateway.port);
  const playing = play(connection, (bytes) => [bytes]);
  await looking.promise;
  connection.tls.destroy();
  await playing;
  assert.equal((await gateway.attempted()).outcome, 'client_left');
  answer.resolve(good());
  await eventually('the outcome is told', async () => gateway.tries.length === 1);
  assert.equal(gateway.tries[0]?.outcome, 'left');
});

const nonsense = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at % 3 === 0 ? byte ^ 0x5a : byte));
/** Of another step: a client can't have it yet, or said it before. */
const empty = encode(tsRequest, { version: 6 });
const withVersion = (bytes: Uint8Array, version: number): Uint8Array =>
  encode(tsRequest, { ...decode(tsRequest, bytes), version });

const lies: Record<string, (bytes: Uint8Array) => Uint8Array[] | null> = {
  stops: () => null,
  'repeats itself': (bytes) => [bytes, bytes, bytes],
  'sends nonsense': (bytes) => [nonsense(bytes)],
  'says that a megabyte follows': () => [Uint8Array.of(0x30, 0x83, 0x10, 0x00, 0x00)],
  floods: () => [new Uint8Array(200_000).fill(0x30)],
  'says nothing in many words': () => [empty, empty],
  'changes its version': (bytes) => [withVersion(bytes, 5), withVersion(bytes, 6)],
  'is too old': (bytes) => [withVersion(bytes, 4)],
  'is ended by an error of its own': () => [encode(tsRequest, { version: 6, errorCode: 0xc000006d })],
  'begins RDP too early': () => [Buffer.from('0300000902f0807f65', 'hex')],
};

test('whatever a client does at whichever step of the logon, it ends in time, proves nothing and hurts nobody', async (t) => {
  const gateway = await world(t, { config: { handshakeMs: 700 } });
  for (const [what, lie] of Object.entries(lies))
    for (const step of [0, 1]) {
      const ended = play(await secured(gateway.port), (bytes, index) => (index === step ? lie(bytes) : [bytes]));
      assert.ok((await ended) <= 3, `${what} at ${step}`);
    }
  assert.deepEqual(gateway.routes, []);
  assert.deepEqual(gateway.problems, []);
  assert.equal(
    gateway.tries.some(({ outcome }) => outcome === 'wrong'),
    false,
    'what ends by itself is no wrong secret',
  );
  // The third message is its own secret: without it there is no session either.
  for (const lie of [lies.stops!, lies['sends nonsense']!, lies.floods!])
    await play(await secured(gateway.port), (bytes, index) => (index === 2 ? lie(bytes) : [bytes]));
  assert.deepEqual(gateway.routes, []);
  const rdp = await client(gateway.port);
  await rdp.close();
  await gateway.reported('drained');
  assertUnspoken(gateway);
});

test('who has a token goes in as ever, whatever else the client offers', async (t) => {
  const gateway = await world(t);
  const { logon: _, ...plain } = { logon: null };
  const rdp = await connectClient({ port: gateway.port, requestedProtocols: both, routingToken: 'token', ...plain });
  await rdp.close();
  assert.deepEqual(gateway.routes, [{ kind: 'token', token: 'token' }]);
});

test('a name that is a route goes on without a logon where names are, and the name of a credential does not', async (t) => {
  const gateway = await world(t);
  const rdp = await connectClient({ port: gateway.port, requestedProtocols: both, cookie: 'alice' });
  await rdp.close();
  assert.deepEqual(gateway.routes, [{ kind: 'cookie', name: 'alice' }]);
  const named = connectClient({ port: gateway.port, requestedProtocols: both, cookie: user.slice(0, 9) });
  await assert.rejects(named, failure('logon_failed'));
  const off = await world(t, { config: { cookieRoute: false } });
  await assert.rejects(
    connectClient({ port: off.port, requestedProtocols: both, cookie: 'alice' }),
    failure('logon_failed'),
  );
});

test('where a logon is demanded, a client without is told so before TLS; a token has to be of the same session', async (t) => {
  const gateway = await world(t, { config: required });
  const without = connectClient({ port: gateway.port, routingToken: 'token' });
  await assert.rejects(without, failure('negotiation_failed', 5));
  assert.equal((await gateway.attempted()).reason, 'nla_required');
  const rdp = await client(gateway.port, { routingToken: 'token' });
  await rdp.close();
  assert.deepEqual(gateway.routes, [{ kind: 'credential', user, token: 'token' }]);
});

test('where there is none, nobody is asked', async (t) => {
  const gateway = await world(t, { config: { nla: 'off' } });
  await assert.rejects(client(gateway.port, { requestedProtocols: Protocol.hybrid }), failure('negotiation_failed', 1));
  const rdp = await client(gateway.port, { cookie: 'alice' });
  await rdp.close();
  assert.deepEqual(gateway.routes, [{ kind: 'cookie', name: 'alice' }]);
});

test('a fixed listener leads to its target without a logon, also where one is demanded', async (t) => {
  const target = await startDesktop();
  t.after(() => target.stop());
  const listeners = [{ host: '127.0.0.1', port: 0, target: `127.0.0.1:${target.port}`, ignoreCert: true }];
  const gateway = await world(t, { config: { ...required, listeners } });
  const rdp = await connectClient({ port: gateway.port, requestedProtocols: both });
  await rdp.close();
  assert.equal(gateway.routes[0]?.kind, 'listener');
});

test('who has logged on and may not have the session reads why, as anybody', async (t) => {
  const gateway = await world(t, { admit: () => ({ admitted: false, code: 'in_use', message: 'it has one already' }) });
  const rdp = await client(gateway.port).catch((error: ClientError) => error);
  const end = 'ended' in rdp ? await rdp.ended : rdp;
  assert.equal('errorInfo' in end ? end.errorInfo : end.detail, ErrorInfo.serverDeniedConnection.code);
  assert.equal((await gateway.attempted()).reason, 'in_use');
});
