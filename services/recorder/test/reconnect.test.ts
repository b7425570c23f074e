/** A session whose connection is lost and comes back: the real recorder between a test desktop and test clients. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Admission, SessionTicket } from '@lucid-sessions/contract';
import {
  ClientError,
  connectClient,
  type Desktop,
  type DesktopOptions,
  type RdpClient,
  startDesktop,
} from '@lucid-sessions/desktop';
import { beginsConnection, SessionDecoder } from '@lucid-sessions/graphics';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { type Gateway, type GatewayOptions, startGateway, ticketFor } from './gateway-kit.ts';
import { temporaryDirectory } from './spool-kit.ts';

interface World {
  gateway: Gateway;
  target: Desktop;
  connect: () => Promise<RdpClient>;
}

/** A pipeline that knows one session: the first connection begins it, the others would continue it. */
async function world(
  t: TestContext,
  more: Partial<SessionTicket> = {},
  options: Partial<GatewayOptions> = {},
  host: DesktopOptions = {},
): Promise<World> {
  const target = await startDesktop({ now: () => new Date(0), ...host });
  t.after(() => target.stop());
  const gateway = await startGateway(t, {
    admit: (): Admission => {
      const reconnects = gateway.reports.some(({ kind }) => kind === 'started');
      return { admitted: true, ticket: ticketFor(target.port, { reconnects, reconnectSeconds: 60, ...more }) };
    },
    ...options,
  });
  return {
    gateway,
    target,
    connect: () => connectClient({ port: gateway.port, routingToken: 'token', userName: 'alice', screenshots: true }),
  };
}

const drop = async (gateway: Gateway, client: RdpClient, times = 1): Promise<void> => {
  client.destroy();
  while (gateway.reports.filter(({ kind }) => kind === 'lost').length < times) await nextTurn();
};
const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));
const kindsOf = (gateway: Gateway): string[] =>
  gateway.reports.map((report) => (report.kind === 'fact' ? report.fact.kind : report.kind));

/** Every PDU that was delivered, as a reader draws and indexes it. */
function replay(frames: readonly Frame[]): { decoder: SessionDecoder; indexer: SessionIndexer } {
  const decoder = new SessionDecoder();
  const indexer = new SessionIndexer();
  for (const frame of frames) {
    // As a reader who may see what was typed gets them.
    indexer.push({ ...frame, flags: frame.flags & ~frameFlags.inputs });
    if (frame.kind !== frameKinds.pdu || (frame.flags & frameFlags.receivedOnly) !== 0) continue;
    const fromServer = (frame.flags & frameFlags.serverToClient) !== 0;
    const beforeTls = (frame.flags & frameFlags.beforeTls) !== 0;
    decoder.push({ fromServer, bytes: frame.body, beforeTls });
  }
  return { decoder, indexer };
}

test('a lost connection comes back: one recording, a declared gap, two connections that both replay', async (t) => {
  const { gateway, target, connect } = await world(t);
  const first = await connect();
  await first.type('before\n', 5);
  while (target.typedLines().length < 1) await first.nextUpdates(1, 100);
  await drop(gateway, first);
  const lost = await gateway.reported('lost');
  assert.ok(lost.untilUs - lost.atUs === 60_000_000 && /connection was lost/.test(lost.message));
  const [waiting] = (await gateway.recorder.port.live()).sessions;
  const standing = waiting!.statistics.durationUs;
  const second = await connect();
  await second.type('after\n', 5);
  while (target.typedLines().length < 2) await second.nextUpdates(1, 100);
  await second.settled();
  const shown = second.screenshot();
  await second.close();
  const ended = await gateway.reported('ended');
  await gateway.reported('drained');
  assert.deepEqual(target.typedLines(), ['before', 'after']);
  assert.deepEqual(
    kindsOf(gateway).filter((kind) => kind !== 'progress'),
    [
      ...['started', 'connected', 'target_certificate', 'client', 'lost', 'gap'],
      ...['reconnected', 'connected', 'target_certificate', 'client', 'ended', 'drained'],
    ],
  );
  const gap = gateway.reports.find((report) => report.kind === 'fact' && report.fact.kind === 'gap');
  assert.ok(gap?.kind === 'fact' && gap.fact.kind === 'gap');
  assert.deepEqual([gap.fact.fromUs, gap.fact.framesLost, gap.fact.reason], [lost.atUs, 0, 'connection_lost']);
  assert.deepEqual(
    gateway.notes().map(({ type }) => type),
    ['connected', 'target_certificate', 'client', 'gap', 'connected', 'target_certificate', 'client', 'ended'],
  );
  const frames = gateway.frames();
  assert.equal(frames.length, ended.statistics.framesCount);
  assert.ok(frames.every(({ timeUs }, i) => i === 0 || timeUs >= frames[i - 1]!.timeUs));
  assert.ok(ended.statistics.durationUs >= standing);
  assert.equal(gateway.chunks.filter(({ final }) => final).length, 1, 'one chain');
  const { decoder, indexer } = replay(frames);
  assert.deepEqual(Object.fromEntries(decoder.screen.unsupported), {});
  assert.deepEqual([decoder.screen.width, decoder.screen.height], [shown.width, shown.height]);
  assert.ok(Buffer.from(decoder.screen.pixels.data).equals(shown.rgba));
  const { events } = indexer.take(0, true);
  assert.deepEqual(
    events.flatMap((event) => (event.kind === 'typed' ? [event.text] : [])),
    ['before', 'after'],
  );
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'error'),
    [],
  );
});

test('a client that says goodbye ends its session at once', async (t) => {
  const { gateway, connect } = await world(t);
  const client = await connect();
  await client.settled();
  await client.close();
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected');
  assert.equal(kindsOf(gateway).includes('lost'), false);
});

test('a client that asked to end and is denied has left when it closes without a word, unless it goes on working', async (t) => {
  for (const [worksOn, ends] of [
    [false, 'ended'],
    [true, 'lost'],
  ] as const) {
    const { gateway, target, connect } = await world(t, {}, {}, { deniesShutdown: true });
    const client = await connect();
    await client.settled(50);
    client.requestShutdown();
    await client.shutdownDenied;
    if (worksOn) {
      await client.type('x\n');
      while (target.typedLines().length < 1) await nextTurn();
    }
    client.destroy();
    while (!gateway.reports.some(({ kind }) => kind === 'ended' || kind === 'lost')) await nextTurn();
    const last = gateway.reports.find(({ kind }) => kind === 'ended' || kind === 'lost');
    assert.equal(last?.kind, ends);
    if (last?.kind === 'ended') assert.equal(last.reason, 'client_disconnected');
  }
});

test('a target that ends the session when it is asked to has ended it', async (t) => {
  const { gateway, connect } = await world(t);
  const client = await connect();
  await client.settled(50);
  client.requestShutdown();
  await gateway.reported('ended');
  assert.equal(kindsOf(gateway).includes('lost'), false);
});

test('a target that goes without a word ends the session, and its client is told not to try again', async (t) => {
  const { gateway, target, connect } = await world(t);
  const client = await connect();
  await client.settled();
  await target.stop();
  assert.equal((await client.ended).orderly, true);
  assert.equal((await gateway.reported('ended')).reason, 'server_disconnected');
});

test('nobody comes back: the session ends when its window does, and is no longer than it was', async (t) => {
  const { gateway, connect } = await world(t, { reconnectSeconds: 1 });
  const client = await connect();
  await client.settled();
  await drop(gateway, client);
  const [waiting] = (await gateway.recorder.port.live()).sessions;
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['client_disconnected', false]);
  assert.match(ended.message, /did not come back within 1 seconds?/);
  assert.equal(ended.statistics.durationUs, waiting!.statistics.durationUs);
  // The window is open already when the loss is told.
  assert.ok(ended.atUs - (await gateway.reported('lost')).atUs >= 500_000);
  await gateway.reported('drained');
  assert.equal(gateway.frames().at(-1)!.timeUs, ended.statistics.durationUs);
});

test('a second client beside the first is refused and told, and the first works on', async (t) => {
  const { gateway, target, connect } = await world(t);
  const first = await connect();
  await first.settled();
  await assert.rejects(
    connect().then(async (second) => {
      const { errorInfo } = await second.ended;
      throw new ClientError('refused', '', errorInfo);
    }),
    (error) => error instanceof ClientError && error.detail === ErrorInfo.serverDeniedConnection.code,
  );
  const { outcome, reason } = await gateway.attempted();
  assert.deepEqual([outcome, reason], ['refused', 'in_use']);
  await first.type('still here\n', 5);
  while (target.typedLines().length < 1) await first.nextUpdates(1, 100);
  await first.close();
});

test('stop, pause, resume and shutdown while the client is away', async (t) => {
  const { gateway, connect } = await world(t);
  const client = await connect();
  await client.settled();
  await drop(gateway, client);
  const { port } = gateway.recorder;
  await port.pause({ sessionId: 'session-1' });
  await port.resume({ sessionId: 'session-1' });
  const again = await connect();
  await again.settled();
  await drop(gateway, again, 2);
  assert.equal((await port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'enough' })).stopped, true);
  assert.deepEqual([(await gateway.reported('ended')).reason, (await port.live()).sessions.length], ['stopped', 0]);
  await gateway.reported('drained');
  const other = await world(t);
  const last = await other.connect();
  await last.settled();
  await drop(other.gateway, last);
  await other.gateway.recorder.dispose();
  assert.equal((await other.gateway.reported('ended')).reason, 'recorder_shutdown');
});

test('a recorder that dies while the client is away: recovered, with what was there', async (t) => {
  const dataDir = temporaryDirectory(t);
  const { gateway, connect } = await world(
    t,
    {},
    { dataDir, deps: { processor: { seal: () => new Promise<never>(() => {}) } } },
  );
  const client = await connect();
  await client.settled();
  await drop(gateway, client);
  await gateway.recorder.spool.close();
  const next = await startGateway(t, {
    dataDir,
    admit: () => ({ admitted: false, code: 'unknown_session', message: '' }),
  });
  const ended = await next.reported('ended');
  assert.deepEqual([ended.reason, ended.recovered, ended.failed], ['recorder_crashed', true, false]);
  await next.reported('drained');
  const frames = next.frames();
  assert.equal(frames.length, ended.statistics.framesCount);
  assert.equal(
    frames.filter((frame) =>
      beginsConnection({ fromServer: false, bytes: frame.body, beforeTls: (frame.flags & frameFlags.beforeTls) !== 0 }),
    ).length,
    2,
  );
});

test('a connection comes and goes many times and stays one session', async (t) => {
  const { gateway, connect } = await world(t);
  for (let times = 1; times <= 6; times += 1) {
    const client = await connect();
    // At once, in the middle of the desktop, and in the middle of PDUs.
    if (times % 2 === 0) await client.nextUpdates(1, 100);
    await drop(gateway, client, times);
  }
  const client = await connect();
  await client.settled();
  await client.close();
  const ended = await gateway.reported('ended');
  await gateway.reported('drained');
  assert.equal(gateway.frames().length, ended.statistics.framesCount);
  assert.equal(gateway.notes().filter(({ type }) => type === 'connected').length, 7);
  assert.deepEqual(Object.fromEntries(replay(gateway.frames()).decoder.screen.unsupported), {});
});
