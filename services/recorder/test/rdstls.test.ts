/** Targets that send their client on by RDSTLS: a broker of our own to hosts of our own, and to FreeRDP's library as one. */
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, makeCertificate, startDesktop } from '@lucid-sessions/desktop';
import {
  Protocol,
  RdstlsResult,
  RedirectionFlag,
  type ServerRedirection,
  targetCertificateContainer,
} from '@lucid-sessions/rdp';
import {
  eventually,
  type RdstlsHost,
  type RdstlsHostOptions,
  rdstlsBytes,
  skipUnlessPeers,
  startRdstlsHost,
  startShadow3Rdstls,
  startXfreerdp,
  startXfreerdp3,
} from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import { assertNowhere, assertReplayable, type Broker, broker, utf16 } from './broker-kit.ts';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

/** As a broker makes it: under the next host's key, no text. */
const blob = randomBytes(256);
const guid = utf16(Buffer.from('{5f0a2c11-5a59-4f6e-9a0c-0f6de3c1c0aa}', 'utf16le').toString('base64'));
const guidBits = guid.subarray(0, 40);

/** LB_TARGET_CERTIFICATE as it is sent. */
function named(pem: string): Uint8Array {
  const container = encode(targetCertificateContainer, [{ type: 32, encoding: 1, data: new X509Certificate(pem).raw }]);
  return utf16(Buffer.from(container).toString('base64'));
}

interface Scene {
  gateway: Gateway;
  broker: Broker;
  host: RdstlsHost;
  desktop: Desktop;
}

interface Options {
  host?: Partial<RdstlsHostOptions>;
  fields?: Partial<ServerRedirection['fields']>;
  flags?: number;
  target?: Partial<SessionTicket['target']>;
  /** What the redirection says the host shows: what it does show, something else, nothing. */
  names?: 'it' | 'another' | 'nothing';
}

async function sentByRdstls(t: TestContext, { host: lies, fields, flags = 0, target, names = 'it' }: Options = {}) {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const certificate = await makeCertificate();
  const brokers = await makeCertificate();
  const shown = names === 'it' ? certificate.cert : brokers.cert;
  const redirection = {
    redirFlags:
      flags |
      (RedirectionFlag.targetNetAddress | RedirectionFlag.username | RedirectionFlag.domain) |
      (RedirectionFlag.password | RedirectionFlag.passwordIsPkEncrypted | RedirectionFlag.redirectionGuid) |
      (names === 'nothing' ? 0 : RedirectionFlag.targetCertificate),
    fields: {
      ...{ targetNetAddress: utf16('127.0.0.2'), userName: utf16('brokered'), domain: utf16('FARM') },
      ...{ password: Uint8Array.from(blob), redirectionGuid: Uint8Array.from(guid) },
      ...(names === 'nothing' ? {} : { targetCertificate: named(shown) }),
      ...fields,
    },
  };
  const first = await broker(t, redirection, { certificate: brokers });
  const behind = { host: '127.0.0.1', port: desktop.port };
  const host = await startRdstlsHost({ host: '127.0.0.2', port: first.port, desktop: behind, certificate, ...lies });
  t.after(() => host.stop());
  const ticket = ticketFor(first.port);
  ticket.target = { ...ticket.target, ...target };
  // The broker is trusted by its pin unless a test wants it otherwise.
  if (target === undefined) ticket.target = { ...ticket.target, ignoreCert: false, pinnedSha256: brokers.sha256 };
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket }),
    deps: { resolve: async (name) => [name === 'farm-7.example' ? '127.0.0.2' : name] },
  });
  return { gateway, broker: first, host, desktop } satisfies Scene;
}

async function work({ gateway, desktop }: Scene): Promise<void> {
  const client = await connectClient({
    ...{ port: gateway.port, cookie: 'alice', userName: 'alice', password: 'own-Passw0rd', screenshots: true },
  });
  await client.type('followed\n', 5);
  while (desktop.typedLines().length === 0) await client.nextUpdates(1, 100);
  await client.settled();
  await client.close();
  await gateway.reported('drained');
}

function assertSecret({ gateway }: Scene): void {
  // Parts of it are as bad as the whole.
  for (const secret of [blob.subarray(0, 16), blob.subarray(120, 136), blob.subarray(240), guidBits])
    assertNowhere(gateway, secret);
  assertNowhere(gateway, 'own-Passw0rd');
}

for (const [what, options, check] of [
  ['a broker that is pinned vouches for its host’s certificate', {}, { check: 'pinned', valid: true }],
  ['one that is not trusted does not', { target: { ignoreCert: true } }, { check: 'ignored', valid: false }],
  [
    'a host whose certificate nobody named is judged like every other',
    { target: { ignoreCert: true }, names: 'nothing' },
    { check: 'ignored', valid: false },
  ],
] as const)
  test(`sent on by RDSTLS: ${what}`, async (t) => {
    const scene = await sentByRdstls(t, options);
    await work(scene);
    const { gateway, host, desktop } = scene;
    assert.deepEqual(host.asked, [Protocol.ssl | Protocol.rdstls]);
    assert.equal(host.requests.length, 1);
    const [request] = host.requests;
    assert.deepEqual(Buffer.from(request!.password), blob);
    assert.deepEqual(Buffer.from(request!.redirectionGuid), guid);
    assert.deepEqual(Buffer.from(request!.userName), utf16('brokered'));
    assert.deepEqual(Buffer.from(request!.domain), utf16('FARM'));
    assert.deepEqual(desktop.users(), ['brokered']);
    const notes = gateway.notes();
    const shown = notes.filter((note) => note.type === 'target_certificate').at(-1)!;
    assert.deepEqual({ check: shown.check, valid: shown.valid }, check);
    assert.equal(shown.sha256, host.certificate.sha256);
    assert.ok(notes.some((note) => note.type === 'downgrade' && /sent the client on by RDSTLS/.test(note.what)));
    assert.ok(notes.some((note) => note.type === 'client' && note.security === 'rdstls'));
    assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
    assertSecret(scene);
    await assertReplayable(gateway);
  });

const response = (resultCode: number, version = 1): Uint8Array =>
  rdstlsBytes({ version, kind: 'response', resultCode });
const capabilities = (supportedVersions = 1, version = 1): Uint8Array =>
  rdstlsBytes({ version, kind: 'capabilities', supportedVersions });
const twice = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, bytes]);

for (const [what, options, message, told] of [
  ['a wrong password', { host: { response: response(RdstlsResult.logonFailure) } }, /password is wrong/, 1],
  ['a locked account', { host: { response: response(RdstlsResult.accountLockedOut) } }, /is locked out/, 1],
  ['an expired password', { host: { response: response(RdstlsResult.passwordExpired) } }, /has expired/, 1],
  ['no right to log on', { host: { response: response(RdstlsResult.accessDenied) } }, /may not log on by Remote/, 1],
  ['a code nobody knows', { host: { response: response(0x1234) } }, /without a reason we know.*0x00001234/, 1],
  ['another version', { host: { capabilities: capabilities(1, 2) } }, /broke the rules of RDSTLS/, 0],
  ['no version we know', { host: { capabilities: capabilities(2) } }, /broke the rules of RDSTLS/, 0],
  ['its capabilities twice', { host: { capabilities: twice(capabilities()) } }, /broke the rules of RDSTLS/, 0],
  ['an answer unasked', { host: { capabilities: response(0) } }, /broke the rules of RDSTLS/, 0],
  ['far too much', { host: { capabilities: Buffer.alloc(10_000) } }, /broke the rules of RDSTLS/, 0],
  ['capabilities for an answer', { host: { response: twice(capabilities()) } }, /broke the rules of RDSTLS/, 1],
  ['the answer twice', { host: { response: twice(response(0)) } }, /broke the rules of RDSTLS/, 1],
  ['nothing more', { host: { closes: true } }, /did not finish RDSTLS/, 1],
  ['another protocol', { host: { selects: Protocol.ssl } }, /does not speak RDSTLS/, 0],
  ['another certificate than the redirection’s', { names: 'another' }, /not the redirection's/, 0],
  [
    'another certificate, where certificates are ignored',
    { names: 'another', target: { ignoreCert: true } },
    /not the redirection's/,
    0,
  ],
  [
    'a certificate that can’t be read',
    { fields: { targetCertificate: utf16('%%') } },
    /certificate of that host that can not be read/,
    0,
  ],
] as const)
  test(`a host that answers RDSTLS with ${what} ends it in words, and is told once at most`, async (t) => {
    // A second name of the host: nobody else may be told what this one was.
    const scene = await sentByRdstls(t, {
      ...options,
      flags: RedirectionFlag.targetFqdn,
      fields: {
        targetFqdn: utf16('farm-7.example'),
        targetNetAddress: utf16('127.0.0.2'),
        ...('fields' in options ? options.fields : {}),
      },
    });
    const { gateway, host, desktop } = scene;
    await assert.rejects(async () => {
      const client = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice' });
      throw new Error((await client.ended).errorText);
    });
    const ended = await gateway.reported('ended');
    assert.match(ended.message, message);
    assert.equal(ended.failed, true);
    assert.equal(host.requests.length, told);
    assert.deepEqual(desktop.users(), []);
    await gateway.reported('drained');
    assertSecret(scene);
  });

/** A broker on 127.0.0.2 that sends to what listens on that port of 127.0.0.1, with a password that is a text. */
const sendsTo = (t: TestContext, port: number, password: string, certificate?: string): Promise<Broker> =>
  broker(
    t,
    {
      redirFlags:
        RedirectionFlag.targetNetAddress |
        RedirectionFlag.username |
        RedirectionFlag.domain |
        (RedirectionFlag.password | RedirectionFlag.passwordIsPkEncrypted | RedirectionFlag.redirectionGuid) |
        (certificate === undefined ? 0 : RedirectionFlag.targetCertificate),
      fields: {
        ...{ targetNetAddress: utf16('127.0.0.1'), userName: utf16('brokered'), domain: utf16('FARM') },
        ...{ password: utf16(password), redirectionGuid: Uint8Array.from(guid) },
        ...(certificate === undefined ? {} : { targetCertificate: named(certificate) }),
      },
    },
    { host: '127.0.0.2', port },
  );

test('the RDSTLS server of FreeRDP 3 takes who a redirection says, and refuses another', async (t) => {
  if (skipUnlessPeers(t, 'shadow3Rdstls', 'xfreerdp')) return;
  const password = 'f00d-for-the-next-host';
  const shadow = await startShadow3Rdstls({ userName: 'brokered', domain: 'FARM', password });
  t.after(() => shadow.stop());
  for (const given of ['another-password', password]) {
    const first = await sendsTo(t, shadow.port, given);
    const { target } = ticketFor(shadow.port);
    const ticket = ticketFor(shadow.port, { target: { ...target, host: '127.0.0.2' } });
    const gateway = await startGateway(t, { admit: () => ({ admitted: true, ticket }) });
    const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, '/u:ada', '/p:none', '/sec:tls');
    t.after(() => client.stop());
    if (given === password) {
      await eventually(
        'a line typed on the desktop',
        async () => {
          await client.click(200, 200);
          await client.type('by-rdstls');
          return shadow.typedLines().some((line) => line.includes('by-rdstls'));
        },
        40_000,
      );
      await client.closeClient();
    } else assert.match((await gateway.reported('ended')).message, /password is wrong \(0x0000052e\)/);
    await gateway.reported('drained');
    assertNowhere(gateway, given);
    if (given === password) await assertReplayable(gateway);
    first.stop();
  }
});

test('our broker and host are what the client of FreeRDP 3 takes for such', async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp3')) return;
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const behind = { host: '127.0.0.1', port: desktop.port };
  const host = await startRdstlsHost({ host: '127.0.0.1', port: 0, desktop: behind });
  t.after(() => host.stop());
  await sendsTo(t, host.port, 'f00d', host.certificate.cert);
  const client = await startXfreerdp3(`127.0.0.2:${host.port}`, '/u:ada', '/p:none', '/sec:tls');
  t.after(() => client.stop());
  await eventually('the client on the desktop', async () => desktop.users().length > 0, 40_000);
  assert.deepEqual(host.asked, [Protocol.ssl | Protocol.rdstls]);
  assert.deepEqual(
    host.requests.map(({ password }) => Buffer.from(password)),
    [utf16('f00d')],
  );
  assert.deepEqual(
    host.requests.map(({ redirectionGuid }) => Buffer.from(redirectionGuid)),
    [guid],
  );
});
