/** Browsers at the gateway: RDCleanPath in a WebSocket, to a desktop of our own and one that demands NLA. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { SessionTicket } from '@lucid-sessions/contract';
import { type Desktop, keyOf, startDesktop } from '@lucid-sessions/desktop';
import {
  conferenceCreateRequest,
  ErrorInfo,
  type FastPathInputEvent,
  frameLength,
  mcsConnectInitial,
  Protocol,
  type RdCleanPath,
  rdCleanPath,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
import { decode, encode } from '@lucid-sessions/wire';
import { type Gateway, type GatewayOptions, startGateway, ticketFor } from './gateway-kit.ts';
import { BrowserClient, type BrowserOptions, browserUrl } from './support/browser-client.ts';
import { startNlaTarget } from './support/nla-target.ts';

const token = 'the-token-of-one-browser';
const password = 'Corr3ct-Horse';

async function desktop(t: TestContext): Promise<Desktop> {
  const started = await startDesktop({ now: () => new Date(0) });
  t.after(() => started.stop());
  return started;
}

/** What stands in one message behind the Font Map is lost on IronRDP's client. */
function checkNoneOfTwo(messages: readonly Buffer[]): void {
  const all = Buffer.concat(messages);
  const ends = new Set<number>();
  let sum = 0;
  for (const { length } of messages) {
    sum += length;
    ends.add(sum);
  }
  for (let at = 0; at < all.length; ) {
    at += frameLength(all, at, all.length);
    assert.ok(at >= all.length || ends.has(at), `a message goes on behind the PDU that ends at ${at}`);
  }
}

type Door = Gateway & { browse: (options?: Partial<BrowserOptions>) => BrowserClient };

async function door(
  t: TestContext,
  port: number,
  more: Partial<SessionTicket> = {},
  options: Partial<GatewayOptions> = {},
): Promise<Door> {
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(port, more) }),
    ...options,
  });
  const url = await browserUrl(t, gateway.recorder, '2001:db8::7');
  return { ...gateway, browse: (browser = {}) => new BrowserClient({ url, token, ...browser }) };
}

const until = (what: string, holds: () => boolean): Promise<unknown> => eventually(what, holds, 10_000);

/** Nothing that was recorded or said holds it. */
function checkSecret(gateway: Gateway, secret: string): void {
  const texts = [
    ...gateway.lines,
    ...gateway.problems,
    JSON.stringify(gateway.reports),
    JSON.stringify(gateway.attempts),
  ];
  for (const text of texts) assert.ok(!text.includes(secret));
  for (const { copy } of gateway.chunks)
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(Buffer.from(copy).includes(Buffer.from(secret, encoding)), false);
}

const key = (character: string): FastPathInputEvent[] =>
  [0, 1].map((flags) => ({ kind: 'scancode', flags, keyCode: keyOf(character)!.scancode }));

/** What the client asked for, and what the target was asked for. */
function colours(gateway: Gateway): { received: number | undefined; delivered: number | undefined } {
  const found: Record<number, number | undefined> = {};
  for (const { kind, flags, body } of gateway.frames()) {
    if (kind !== frameKinds.pdu || (flags & 1) !== 0 || body[7] !== 0x7f) continue;
    const { userData } = decode(mcsConnectInitial, decode(x224Data, decode(tpkt, body).payload).payload);
    const core = decode(conferenceCreateRequest, userData).blocks.find((block) => block.kind === 'core')!;
    found[flags & (frameFlags.receivedOnly | frameFlags.deliveredOnly)] = core.earlyCapabilityFlags! & 2;
  }
  return { received: found[frameFlags.receivedOnly], delivered: found[frameFlags.deliveredOnly] };
}

test('a session in a browser is relayed and recorded like any other', async (t) => {
  const target = await desktop(t);
  const gateway = await door(t, target.port);
  const browser = gateway.browse({ password });
  await until('there is a desktop', () => browser.isActive && browser.updatesCount > 0);
  assert.deepEqual(gateway.routes, [{ kind: 'browser', token }]);
  const { answer } = browser;
  assert.equal(answer!.certificates!.length, 1);
  assert.equal(answer!.serverAddress, `127.0.0.1:${target.port}`);
  for (const character of 'hi\n') browser.send(browser.connector.input(key(character)));
  await until('it was typed', () => target.typedLines().length > 0);
  assert.deepEqual(target.typedLines(), ['hi']);
  browser.webSocket.close();
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected', ended.message);
  await gateway.reported('drained');
  const connected = gateway.notes().find((note) => note.type === 'connected')!;
  assert.equal(connected.clientAddress, '[2001:db8::7]');
  assert.ok(gateway.notes().some((note) => note.type === 'downgrade' && /32 bits/.test(note.what)));
  assert.deepEqual(colours(gateway), { received: 0, delivered: 2 });
  checkNoneOfTwo(browser.received);
  checkSecret(gateway, password);
  checkSecret(gateway, token);
  assert.deepEqual(gateway.problems, []);
});

for (const selected of [Protocol.hybrid, Protocol.hybridEx])
  test(`a browser logs on by itself to a target that selects ${selected}, and nothing of that is recorded`, async (t) => {
    const isEx = selected === Protocol.hybridEx;
    const target = await startNlaTarget(t, { selected, password, ...(isEx ? { result: 0 } : {}) });
    const gateway = await door(t, target.port);
    const browser = gateway.browse({ password, domain: 'LAB' });
    await until('its first PDU is there', () => Buffer.concat(target.received).includes(Buffer.from([0x7f, 0x65])));
    assert.deepEqual(target.requested, [0xb]);
    assert.equal(browser.answer!.x224!.at(-4), selected);
    const authenticated = target.events.find((event) => event.kind === 'authenticated');
    assert.ok(authenticated !== undefined, JSON.stringify(target.events));
    browser.webSocket.close();
    await gateway.reported('ended');
    await gateway.reported('drained');
    const recorded = Buffer.concat(gateway.chunks.map(({ copy }) => copy));
    assert.equal(recorded.includes(Buffer.from('NTLMSSP')), false);
    checkSecret(gateway, password);
  });

test('where the gateway has the credentials it logs on, and the browser hears of TLS alone', async (t) => {
  const target = await startNlaTarget(t, { password: 'injected one' });
  const credentials = { username: 'service', domain: '', password: 'injected one' };
  const gateway = await door(
    t,
    target.port,
    { credentials: 'injected' },
    { targetCredentials: async () => ({ credentials }) },
  );
  const browser = gateway.browse({ password });
  await until('its first PDU is there', () => Buffer.concat(target.received).includes(Buffer.from([0x7f, 0x65])));
  assert.equal(browser.answer!.x224!.at(-4), Protocol.ssl);
  browser.webSocket.close();
  await gateway.reported('ended');
  await gateway.reported('drained');
  assert.ok(gateway.notes().some((note) => note.type === 'target_logon' && note.user === 'service'));
  for (const secret of [password, 'injected one']) checkSecret(gateway, secret);
  assert.equal(Buffer.concat(browser.received).includes(Buffer.from('injected')), false);
});

test('a target that refuses the browser or hangs up during its logon is no session', async (t) => {
  for (const options of [{ refuseWith: 0xc000006d }, { closes: 'first' }] as const) {
    const target = await startNlaTarget(t, options);
    const gateway = await door(t, target.port);
    const browser = gateway.browse({ password: 'wrong' });
    const { reason } = await browser.closed;
    assert.match(reason, /the target closed the connection during the logon/);
    const attempt = await gateway.attempted();
    assert.deepEqual([attempt.outcome, attempt.reason], ['target_failed', 'target_logon_failed']);
    assert.equal(gateway.reports.length, 0);
    assert.equal(browser.logonProblem, 'closes' in options ? null : 'wrongPassword');
  }
});

test('who is not let in hears a status and reads why', async (t) => {
  const refusals = [
    { code: 'expired', message: 'this link was used already', status: 401 },
    { code: 'unknown_session', message: 'no such session', status: 404 },
    { code: 'in_use', message: 'this session has a connection already', status: 409 },
    { code: 'at_capacity', message: 'too many', status: 429 },
    { code: 'unavailable', message: 'not now', status: 503 },
  ] as const;
  for (const { code, message, status } of refusals) {
    const gateway = await door(t, 1, {}, { admit: () => ({ admitted: false, code, message }) });
    const browser = gateway.browse();
    assert.deepEqual(await browser.closed, { code: 1008, reason: message });
    assert.deepEqual(browser.answer!.error, { code: 1, httpStatus: status });
    const attempt = await gateway.attempted();
    assert.deepEqual([attempt.outcome, attempt.reason], ['refused', code]);
  }
  const gateway = await door(t, 1);
  const unreachable = gateway.browse();
  assert.match((await unreachable.closed).reason, /the target 127\.0\.0\.1:1 can't be reached by RDP/);
  assert.equal(unreachable.answer!.error!.httpStatus, 502);
  const without = gateway.browse({ hello: ({ proxyAuth: _proxyAuth, ...rest }) => encode(rdCleanPath, rest) });
  assert.deepEqual(await without.closed, { code: 1008, reason: 'the browser shows no token' });
  const plain = await door(t, 1, { target: { host: '127.0.0.1', port: 1, useTls: false, ignoreCert: true } });
  assert.match((await plain.browse().closed).reason, /by TLS only/);
});

test('a client that went too far to be told by a status is told by RDP', async (t) => {
  const target = await desktop(t);
  const gateway = await door(t, target.port);
  const browser = gateway.browse();
  await until('there is a desktop', () => browser.isActive);
  await gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'by an operator' });
  await browser.closed;
  assert.equal(browser.errorInfo, ErrorInfo.rpcInitiatedDisconnect.code);
});

const pieces = (message: RdCleanPath): Buffer => Buffer.from(encode(rdCleanPath, message));
const hostile: [string, (message: RdCleanPath) => Uint8Array][] = [
  ['nothing that is DER', () => Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['RDP without RDCleanPath', (message) => message.x224!],
  ['random bytes', () => randomBytes(2000)],
  ['a length without an end', () => Buffer.from('3084ffffffff', 'hex')],
  ['a message that is too long', (message) => pieces({ ...message, destination: 'x'.repeat(20_000) })],
  ['another version', (message) => pieces({ ...message, version: 3391 })],
  ['no connection request', ({ x224: _x224, ...message }) => pieces(message)],
  ['a connection request that is none', (message) => pieces({ ...message, x224: randomBytes(50) })],
  ['more than it may say before it is answered', (message) => Buffer.concat([pieces(message), randomBytes(17_000)])],
  ['more than a door takes', () => Buffer.concat([Buffer.from('3082ffff', 'hex'), Buffer.alloc(400_000)])],
];

test('whatever a browser says first costs its own connection alone', async (t) => {
  const target = await desktop(t);
  const gateway = await door(t, target.port, {}, { config: { handshakeMs: 1500 } });
  for (const [what, hello] of hostile) {
    const browser = gateway.browse({ hello });
    await browser.closed;
    assert.equal(browser.isActive, false, what);
  }
  // One that never says anything, and one that stops in the middle.
  const silent = [
    gateway.browse({ hello: () => new Uint8Array(0) }),
    gateway.browse({ hello: (m) => pieces(m).subarray(0, 9) }),
  ];
  for (const browser of silent) await browser.closed;
  assert.deepEqual(gateway.problems, []);
  assert.equal(gateway.reports.length, 0);
  const browser = gateway.browse();
  await until('there is a desktop', () => browser.isActive);
});

test('a browser is held too, where its user has something to acknowledge', async (t) => {
  const target = await desktop(t);
  const gateway = await door(t, target.port, { consentText: 'Everything is recorded.' });
  const browser = gateway.browse({ password });
  await until('the text is shown', () => browser.isActive && browser.updatesCount > 0);
  assert.equal(gateway.reports.length, 0);
  assert.equal(browser.answer!.serverAddress, '');
  checkNoneOfTwo(browser.received);
  browser.send(browser.connector.input(key('\n')));
  await gateway.reported('started');
  await until('it was typed', () => {
    for (const character of 'hi\n') browser.send(browser.connector.input(key(character)));
    return target.typedLines().length > 0;
  });
  browser.webSocket.close();
  await gateway.reported('drained');
  assert.ok(gateway.notes().some((note) => note.type === 'consent'));
  checkSecret(gateway, password);
});

test('a browser that is held and says no more of itself is let go', async (t) => {
  const gateway = await door(t, 1, { consentText: 'Everything is recorded.' }, { config: { handshakeMs: 300 } });
  const browser = gateway.browse();
  const send = browser.send.bind(browser);
  let left = 1;
  browser.send = (bytes) => {
    if (left-- > 0) send(bytes);
  };
  assert.equal((await gateway.attempted()).reason, 'handshake_timeout');
  await browser.closed;
});
