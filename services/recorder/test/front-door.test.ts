import assert from 'node:assert/strict';
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Admission, SessionTicket } from '@lucid-sessions/contract';
import { ClientError, connectClient, type Desktop, type DesktopOptions, startDesktop } from '@lucid-sessions/desktop';
import { Connector, clientInfoPdu, ErrorInfo, InfoFlag, requestFrame, SecurityFlag } from '@lucid-sessions/rdp';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const password = 'Corr3ct-Horse';

async function desktop(t: TestContext, options: DesktopOptions = {}): Promise<Desktop> {
  const started = await startDesktop(options);
  t.after(() => started.stop());
  return started;
}

/** Waits on a condition; the test's own limit is the only one. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const admitted = (ticket: SessionTicket): Admission => ({ admitted: true, ticket });

async function gatewayTo(t: TestContext, target: Desktop, more: Partial<SessionTicket> = {}): Promise<Gateway> {
  return startGateway(t, { admit: () => admitted(ticketFor(target.port, more)) });
}

const client = (port: number, more: object = {}) =>
  connectClient({ port, cookie: 'alice', userName: 'alice', password, ...more });

test('a session is relayed, recorded whole, and reported from start to drained', async (t) => {
  // A clock that stands still: nothing is under way when the client closes.
  const target = await desktop(t, { now: () => new Date(0) });
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port, { screenshots: true });
  await rdp.type('whoami\n', 5);
  while (target.typedLines().length === 0) await rdp.nextUpdates(1, 100);
  assert.deepEqual(target.typedLines(), ['whoami']);
  assert.deepEqual(target.users(), ['alice']);
  assert.deepEqual(gateway.routes, [{ kind: 'cookie', name: 'alice' }]);
  await rdp.settled();
  const live = await gateway.recorder.port.live();
  assert.deepEqual(
    live.sessions.map(({ sessionId, paused }) => [sessionId, paused]),
    [['session-1', false]],
  );
  await rdp.close();
  const drained = await gateway.reported('drained');
  assert.equal(drained.chunksCount, gateway.chunks.length);
  const kinds = gateway.reports.map((report) => report.kind).filter((kind) => kind !== 'progress');
  assert.deepEqual(kinds, ['started', 'fact', 'fact', 'client', 'ended', 'drained']);
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected');
  assert.equal(ended.failed, false);
  assert.ok(ended.statistics.updatesCount > 0 && ended.statistics.relayedBytes > 10_000);

  const frames = gateway.frames();
  assert.equal(frames.length, ended.statistics.framesCount);
  const beforeTls = frames.filter((frame) => frame.flags & frameFlags.beforeTls);
  assert.deepEqual(
    beforeTls.map((frame) => frame.flags & ~frameFlags.beforeTls),
    [
      frameFlags.receivedOnly,
      frameFlags.deliveredOnly,
      frameFlags.serverToClient | frameFlags.receivedOnly,
      frameFlags.serverToClient | frameFlags.deliveredOnly,
    ],
  );
  // Per direction, what the recording says was received is what the client really sent and got.
  const bytes = (direction: number, without: number): number =>
    frames
      .filter((frame) => frame.kind === frameKinds.pdu && (frame.flags & frameFlags.beforeTls) === 0)
      .filter((frame) => (frame.flags & 1) === direction && (frame.flags & without) === 0)
      .reduce((sum, frame) => sum + frame.body.length, 0);
  const x224 = beforeTls[0]!.body.length;
  assert.equal(bytes(0, frameFlags.deliveredOnly), rdp.statistics.sentBytes - x224);
  assert.equal(bytes(1, frameFlags.receivedOnly), rdp.statistics.receivedBytes - beforeTls[3]!.body.length);
  for (const frame of frames) assert.equal(Buffer.from(frame.body).includes(Buffer.from(password, 'utf16le')), false);
  assert.deepEqual(
    gateway.notes().map((note) => note.type),
    ['connected', 'target_certificate', 'client', 'ended'],
  );
});

test('a routing token names the session, is not sent on and not recorded', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port, { cookie: undefined, routingToken: 'deadbeef-token' });
  await rdp.close();
  await gateway.reported('drained');
  assert.deepEqual(gateway.routes, [{ kind: 'token', token: 'deadbeef-token' }]);
  for (const frame of gateway.frames()) assert.equal(Buffer.from(frame.body).includes('deadbeef-token'), false);
});

test('a fixed listener leads to its target whatever the client says', async (t) => {
  const target = await desktop(t);
  const rule = `127.0.0.1:${target.port}`;
  const gateway = await startGateway(t, {
    admit: () => admitted(ticketFor(target.port)),
    config: { listeners: [{ host: '127.0.0.1', port: 0, target: rule }] },
  });
  await (await client(gateway.port)).close();
  assert.deepEqual(gateway.routes, [{ kind: 'listener', target: rule }]);
});

for (const [code, errorInfo] of [
  ['unknown_session', ErrorInfo.serverDeniedConnection.code],
  ['not_startable', ErrorInfo.serverDeniedConnection.code],
  ['at_capacity', ErrorInfo.cbDestinationPoolNotFree.code],
  ['unavailable', ErrorInfo.serverDeniedConnection.code],
] as const)
  test(`a refusal (${code}) is told as an RDP error`, async (t) => {
    const gateway = await startGateway(t, { admit: () => ({ admitted: false, code, message: 'no' }) });
    await assert.rejects(
      finished(client(gateway.port)),
      (error) => error instanceof ClientError && error.code === 'refused' && error.detail === errorInfo,
    );
    assert.deepEqual(gateway.reports, []);
  });

/** Connecting as a refused client experiences it: the sequence may complete before the error comes. */
async function finished(connecting: ReturnType<typeof client>): Promise<never> {
  const { errorInfo, errorText } = await (await connecting).ended;
  throw new ClientError('refused', errorText, errorInfo);
}

test('a pipeline that can not be reached is a refusal too, and so is a client that names nothing', async (t) => {
  const gateway = await startGateway(t, {
    admit: () => {
      throw new Error('connection refused');
    },
  });
  await assert.rejects(finished(client(gateway.port)), /denied/);
  await assert.rejects(finished(client(gateway.port, { cookie: undefined })), /denied/);
  assert.deepEqual(gateway.routes.length, 1);
});

async function failing(t: TestContext, ticket: SessionTicket): Promise<Gateway> {
  const gateway = await startGateway(t, { admit: () => admitted(ticket) });
  await assert.rejects(finished(client(gateway.port)), (error) => error instanceof ClientError && error.detail !== 0);
  const { outcome, sessionId, count } = await gateway.attempted();
  assert.deepEqual([outcome, sessionId, count], ['target_failed', 'session-1', 1]);
  assert.deepEqual(gateway.reports, [], 'no session began');
  return gateway;
}

test('a target that is down: the client is told, the reason is for people', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const gateway = await failing(t, ticketFor(port));
  const ended = await gateway.attempted();
  assert.equal(ended.reason, 'target_unreachable');
  assert.match(ended.message, /127\.0\.0\.1:\d+ can't be reached by RDP$/);
});

test('a target that does not speak RDP', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const gateway = await failing(t, ticketFor((server.address() as AddressInfo).port));
  assert.match((await gateway.attempted()).message, /can't be reached by RDP$/);
});

test('a target that demands NLA', async (t) => {
  const failure = Buffer.from('030000130ed000000000000300080005000000', 'hex');
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(failure)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const gateway = await failing(t, ticketFor((server.address() as AddressInfo).port));
  const ended = await gateway.attempted();
  assert.equal(ended.reason, 'target_credentials_missing');
  assert.match(ended.message, /demands network level authentication/);
});

test('a target that offers no TLS is refused, unless the session says so', async (t) => {
  const confirm = Buffer.from('0300000b06d00000000000', 'hex');
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.write(confirm)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const gateway = await failing(t, ticketFor((server.address() as AddressInfo).port));
  assert.match((await gateway.attempted()).message, /does not offer TLS/);
});

test("a target's certificate is checked: unknown roots are refused", async (t) => {
  const target = await desktop(t);
  const ticket = ticketFor(target.port);
  const gateway = await failing(t, { ...ticket, target: { ...ticket.target, ignoreCert: false } });
  const ended = await gateway.attempted();
  assert.equal(ended.reason, 'target_tls_failed');
  assert.match(ended.message, /certificate is not trusted: it is signed only by itself/);
});

test('a pinned certificate is trusted without a CA, another one is not', async (t) => {
  const target = await desktop(t);
  const base = ticketFor(target.port);
  const pinned = { ...base.target, ignoreCert: false, pinnedSha256: target.certificateSha256 };
  const gateway = await startGateway(t, { admit: () => admitted({ ...base, target: pinned }) });
  const rdp = await client(gateway.port);
  const fact = gateway.reports.find((report) => report.kind === 'fact' && report.fact.kind === 'target_certificate');
  assert.ok(fact?.kind === 'fact' && fact.fact.kind === 'target_certificate');
  assert.deepEqual([fact.fact.check, fact.fact.valid], ['pinned', true]);
  await rdp.close();
  const wrong = { ...pinned, pinnedSha256: '0'.repeat(64) };
  const refusing = await failing(t, { ...base, target: wrong });
  assert.match((await refusing.attempted()).message, /not the pinned one/);
});

test('a client without TLS gets RDP_NEG_FAILURE: all it understands', async (t) => {
  const gateway = await startGateway(t, { admit: () => ({ admitted: false, code: 'unavailable', message: '' }) });
  const socket = connectTcp(gateway.port, '127.0.0.1');
  socket.write(Buffer.from('030000130ee00000000000010008000000000000'.slice(0, 38), 'hex'));
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  socket.destroy();
  assert.equal(answer.toString('hex'), '030000130ed000001234000300080001000000');
});

for (const garbage of ['GET / HTTP/1.1\r\n\r\n', '\x03\x00\xff\xff', '\x03\x00\x00\x08\x03\x00\x00\x00'])
  test(`a connection that begins with ${JSON.stringify(garbage)} is closed`, async (t) => {
    const gateway = await startGateway(t, { admit: () => ({ admitted: false, code: 'unavailable', message: '' }) });
    const socket = connectTcp(gateway.port, '127.0.0.1').on('error', () => {});
    socket.write(garbage, 'latin1');
    await new Promise((resolve) => socket.on('close', resolve).resume());
    assert.deepEqual(gateway.routes, []);
  });

// The smallest TPKT there is and one byte of the next thing, in one segment: it once kept the process busy for ever.
const helloAndMore = Buffer.from('0300000b06e0000000000000', 'hex');

test('bytes that come behind the hello in the same segment do no harm', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const socket = connectTcp(gateway.port, '127.0.0.1').on('error', () => {});
  socket.write(helloAndMore);
  await new Promise((resolve) => socket.on('close', resolve).resume());
  await (await client(gateway.port)).close();
});

test('so do bytes that a target sends behind its confirm', async (t) => {
  const confirm = Buffer.from('030000130ed00000123400020008000100000000', 'hex');
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.write(confirm)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  await failing(t, ticketFor((server.address() as AddressInfo).port));
});

test('a connection that says nothing is closed in time', async (t) => {
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: false, code: 'unavailable', message: '' }),
    config: { handshakeMs: 50 },
  });
  const socket = connectTcp(gateway.port, '127.0.0.1').on('error', () => {});
  await new Promise((resolve) => socket.on('close', resolve).resume());
});

test('a client that only looks at the certificate has begun no session', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  await assert.rejects(client(gateway.port, { serverSha256: '0'.repeat(64) }), /server has certificate/);
  const { reason, outcome } = await gateway.attempted();
  assert.match(reason, /^client_(disconnected|tls_failed)$/);
  assert.equal(outcome, 'client_left');
  assert.equal(
    gateway.reports.some((report) => report.kind === 'started'),
    false,
  );
  // The next one records.
  const rdp = await client(gateway.port);
  await rdp.close();
  await gateway.reported('started');
});

test('stop ends the session with an error the user reads', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port);
  const { stopped } = await gateway.recorder.port.stop({
    sessionId: 'session-1',
    reason: 'stopped',
    message: 'stopped by admin',
  });
  assert.equal(stopped, true);
  const end = await rdp.ended;
  assert.equal(end.errorInfo, ErrorInfo.rpcInitiatedDisconnect.code);
  assert.equal(end.orderly, true);
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.message, ended.failed], ['stopped', 'stopped by admin', false]);
  assert.deepEqual(await gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: '' }), {
    stopped: false,
  });
});

test('pause: the relay goes on, nothing is recorded, and the gap says so', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port);
  await rdp.nextUpdates(1);
  const { port } = gateway.recorder;
  const { pausedAtUs } = await port.pause({ sessionId: 'session-1' });
  assert.equal((await port.pause({ sessionId: 'session-1' })).pausedAtUs, pausedAtUs);
  await rdp.type('secret\n');
  while (target.typedLines().length === 0) await rdp.nextUpdates(1, 100);
  assert.equal((await port.live()).sessions[0]!.paused, true);
  const { resumedAtUs } = await port.resume({ sessionId: 'session-1' });
  assert.ok(resumedAtUs >= pausedAtUs);
  await rdp.type('public\n');
  while (target.typedLines().length === 1) await rdp.nextUpdates(1, 100);
  await rdp.close();
  await gateway.reported('drained');
  const notes = gateway.notes().map((note) => note.type);
  assert.deepEqual(notes.slice(notes.indexOf('pause')), ['pause', 'resume', 'gap', 'ended']);
  const facts = gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
  const gaps = facts.filter((fact) => fact.kind === 'gap');
  assert.deepEqual(
    gaps.map(({ fromUs, toUs, reason }) => [fromUs, toUs, reason]),
    [
      [pausedAtUs, null, 'paused'],
      [pausedAtUs, resumedAtUs, 'paused'],
    ],
  );
  assert.ok(gaps[1]!.framesLost >= 7);
  assert.ok(facts.some((fact) => fact.kind === 'pause' && fact.fromUs === pausedAtUs && fact.toUs === resumedAtUs));
  assert.equal(gateway.chunks.find((chunk) => chunk.gapBefore)?.index, gateway.chunks.length - 1);
  // One key is two events in a PDU of 6 bytes: only the second line's keys are there.
  const typed = frameFlags.fastPath | frameFlags.inputs;
  const input = gateway.frames().filter((frame) => frame.flags === typed);
  assert.equal(input.length, 'public\n'.length);
});

test('pausing a session that is not here is an error', async (t) => {
  const gateway = await startGateway(t, { admit: () => ({ admitted: false, code: 'unavailable', message: '' }) });
  await assert.rejects(gateway.recorder.port.pause({ sessionId: 'nobody' }), /no connection at this recorder/);
  await assert.rejects(gateway.recorder.port.resume({ sessionId: 'nobody' }), /no connection at this recorder/);
});

test('the target ending the session is told apart from the client leaving', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port);
  await target.stop();
  await rdp.ended;
  assert.equal((await gateway.reported('ended')).reason, 'server_disconnected');
});

test('a pulled cable ends the recording properly', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port);
  rdp.destroy();
  assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
  await gateway.reported('drained');
});

test('an idle session is ended in time', async (t) => {
  const target = await desktop(t);
  const gateway = await startGateway(t, { admit: () => admitted(ticketFor(target.port)), config: { idleMs: 100 } });
  const rdp = await client(gateway.port);
  assert.equal((await rdp.ended).errorInfo, ErrorInfo.idleTimeout.code);
  assert.equal((await gateway.reported('ended')).reason, 'idle_timeout');
});

test('a screen that moves keeps no session, and what its user does keeps it', async (t) => {
  const idleMs = 1500;
  // Its clock ticks every second: the client gets updates all the time.
  const target = await desktop(t);
  const gateway = await startGateway(t, { admit: () => admitted(ticketFor(target.port)), config: { idleMs } });
  const rdp = await client(gateway.port);
  const begunMs = Date.now();
  const sentMs = [begunMs];
  /** The machine let nobody work for so long that the limit was met. */
  let stalled = false;
  while (gateway.reports.at(-1)?.kind !== 'ended' && sentMs.at(-1)! - begunMs < 2 * idleMs) {
    rdp.move(100, 100);
    sentMs.push(Date.now());
    stalled ||= sentMs.at(-1)! - sentMs.at(-2)! > idleMs / 2;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (!stalled)
    assert.ok(!gateway.reports.some(({ kind }) => kind === 'ended'), 'twice the limit, but its user is there');
  const before = rdp.statistics.updatesCount;
  assert.equal((await rdp.ended).errorInfo, ErrorInfo.idleTimeout.code);
  assert.ok(rdp.statistics.updatesCount > before, 'the screen went on moving');
  const { reason, atUs } = await gateway.reported('ended');
  assert.equal(reason, 'idle_timeout');
  if (!stalled) assert.ok(atUs / 1000 - sentMs.at(-1)! >= idleMs - 50, 'counted from the last input');
});

test('classic graphics is a recorded downgrade', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target, { graphics: 'classic' });
  const rdp = await client(gateway.port, { earlyCapabilityFlags: 0x0100 });
  await rdp.close();
  await gateway.reported('drained');
  const downgrades = gateway.notes().flatMap((note) => (note.type === 'downgrade' ? [note.what] : []));
  assert.ok(downgrades.some((what) => what.includes('graphics pipeline')));
});

test('what comes on channels of unknown use is counted, also of sessions that are over, and their names are in the log', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const rdp = await client(gateway.port, { channels: [{ name: 'contoso', options: 0x8000_0000 }] });
  const { channelId } = rdp.channels.find(({ name }) => name === 'contoso') ?? assert.fail('no such channel');
  const unread = async () => (await gateway.recorder.port.health()).details.unknownChannelPdus;
  assert.equal(await unread(), 0);
  for (let sent = 0; sent < 3; sent++) rdp.sendChannel(channelId, Uint8Array.of(1, 2, 3));
  while ((await unread()) !== 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await rdp.close();
  await gateway.reported('ended');
  assert.equal(await unread(), 3);
  assert.ok(gateway.lines.some((line) => line.endsWith('channels of unknown use, kept as inputs are: contoso (3)')));
});

test('health tells what an operator wants to know', async (t) => {
  const gateway = await startGateway(t, { admit: () => ({ admitted: false, code: 'unavailable', message: '' }) });
  const health = await gateway.recorder.port.health();
  assert.equal(health.status, 'healthy');
  assert.equal(health.details.sessions, 0);
});

/** A client that speaks X.224 and TLS properly, then whatever it likes. */
async function halfClient(port: number): Promise<TLSSocket> {
  const raw = connectTcp(port, '127.0.0.1');
  raw.write(Buffer.from('0300002a25e00000000000436f6f6b69653a206d737473686173683d746573740d0a0100080003000000', 'hex'));
  await new Promise((resolve) => raw.once('data', resolve));
  const socket = connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

/** A real client's first PDU after TLS. */
function connectInitial(): Uint8Array {
  const connector = new Connector({ desktopWidth: 800, desktopHeight: 600 });
  connector.start();
  connector.step(Buffer.from('030000130ed000001234000200080001000000', 'hex'));
  return connector.tlsEstablished().output;
}

test('bytes that are no RDP end the session as a violation, and what came before stays recorded', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const socket = await halfClient(gateway.port);
  socket.write(Buffer.concat([connectInitial(), Buffer.from('GET / HTTP/1.1\r\n\r\n')]));
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['protocol_violation', true]);
  assert.match(ended.message, /^client: no PDU begins with byte 71/);
  assert.equal(ended.statistics.errorsCount, 1);
  await gateway.reported('drained');
  assert.ok(gateway.frames().length >= 4);
});

test('sessions without a desktop can not fill the gateway from one address', async (t) => {
  const target = await desktop(t);
  let admitted = 0;
  const gateway = await startGateway(t, {
    config: { sessionsMax: 24 },
    admit: () => {
      admitted += 1;
      return { admitted: true, ticket: ticketFor(target.port, { sessionId: `session-${admitted}` }) };
    },
  });
  const started = () => gateway.reports.filter(({ kind }) => kind === 'started').length;
  const begun = await Promise.all(Array.from({ length: 14 }, () => halfClient(gateway.port)));
  for (const client of begun) client.write(connectInitial());
  const { reason, message } = await gateway.attempted();
  assert.deepEqual([reason, message], ['rate_limited', 'too many sessions of this client address show no desktop yet']);
  await eventually('twelve sessions', () => started() === 12);
  // Who has shown a desktop is not counted, and who has left makes room.
  for (const client of begun) client.destroy();
  await eventually('they have ended', () => gateway.reports.filter(({ kind }) => kind === 'ended').length === 12);
  for (let i = 0; i < 14; i += 1) {
    const client = await connectClient({ port: gateway.port, cookie: 'alice' });
    t.after(() => client.destroy());
    await client.settled();
  }
  assert.equal(started(), 26);
});

test('a client that says the same a thousand times has it written down once', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target, { graphics: 'classic' });
  const socket = await halfClient(gateway.port);
  const strings = { domain: '', userName: 'a', password: '', alternateShell: '', workingDir: '' };
  const info = { codePage: 0, flags: InfoFlag.unicode | InfoFlag.compression, ...strings };
  const data = encode(clientInfoPdu, { flags: SecurityFlag.infoPkt, flagsHi: 0, info });
  const said = Buffer.from(requestFrame(1007, 1003, data));
  socket.write(connectInitial());
  await gateway.reported('started');
  socket.write(Buffer.concat(Array<Buffer>(1000).fill(said)));
  await gateway.reported('client');
  socket.destroy();
  await gateway.reported('drained');
  const infos = gateway.frames().filter(({ body }) => body.length === said.length).length;
  assert.ok(infos > 10, `${infos} recorded`);
  // Each report is a durable write, and waits in memory for it.
  const told = gateway.reports.map((report) => (report.kind === 'fact' ? report.fact.kind : report.kind));
  assert.equal(told.filter((kind) => kind === 'client').length, 1);
  assert.equal(told.filter((kind) => kind === 'downgrade').length, 1);
});

for (const [what, bytes] of [
  ['no RDP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['something else than a Connect Initial', Buffer.from('0300000802f08028', 'hex')],
] as const)
  test(`a client that sends ${what} after TLS has begun no session`, async (t) => {
    const target = await desktop(t);
    const gateway = await gatewayTo(t, target);
    (await halfClient(gateway.port)).write(bytes);
    const { outcome, reason } = await gateway.attempted();
    assert.deepEqual([outcome, reason], ['client_left', 'protocol_violation']);
    assert.deepEqual(gateway.reports, []);
  });

test('a client that begins and never finishes connecting is ended in time', async (t) => {
  const target = await desktop(t);
  const gateway = await startGateway(t, {
    admit: () => admitted(ticketFor(target.port)),
    config: { activationMs: 50 },
  });
  const socket = await halfClient(gateway.port);
  socket.write(connectInitial());
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['handshake_timeout', true]);
});

test('a client that sends nothing after TLS, or half a PDU, has begun no session', async (t) => {
  const target = await desktop(t);
  const gateway = await startGateway(t, {
    admit: () => admitted(ticketFor(target.port)),
    config: { handshakeMs: 500 },
  });
  await halfClient(gateway.port);
  (await halfClient(gateway.port)).write(connectInitial().subarray(0, 50));
  assert.equal((await gateway.attempted()).reason, 'handshake_timeout');
  await until(() => gateway.attempts.length === 2);
  assert.deepEqual(gateway.reports, []);
});

test('a target that closes while the client still does TLS is no session either, and the client is told', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target);
  const socket = await halfClient(gateway.port);
  await target.stop();
  const { outcome, reason } = await gateway.attempted();
  assert.deepEqual([outcome, reason], ['target_failed', 'server_disconnected']);
  socket.write(connectInitial());
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  assert.equal(answer.readUInt16BE(7), 0x7f66, 'the gateway itself continues the connection sequence');
  socket.destroy();
});

test('more connections of one address than may wait are closed at once', async (t) => {
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: false, code: 'unavailable', message: '' }),
    config: { waitingPerAddressMax: 5 },
  });
  const sockets = Array.from({ length: 8 }, () => connectTcp(gateway.port, '127.0.0.1').on('error', () => {}));
  const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve).resume()));
  await Promise.any(closed);
  await until(() => gateway.attempts.length > 0);
  assert.deepEqual([gateway.attempts[0]?.reason, gateway.attempts[0]?.count], ['rate_limited', 1]);
  for (const socket of sockets) socket.destroy();
});
