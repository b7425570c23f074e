/** Clients that come to a recorder while another one holds their session: they go on to that one, and notice nothing. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import type { Admission, RecorderPresence } from '@lucid-sessions/contract';
import { ClientError, connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import { createServiceHttp, doorHeader, openDoor, ServiceCaller } from '@lucid-sessions/kit';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { eventually, startTunnel } from '@lucid-sessions/testkit';
import type { RecorderConfig } from '../src/index.ts';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const serviceSecret = 'x'.repeat(32);
const words = 'this session is under way at another gateway; connect through that one';

/** The internal door of a recorder. */
async function doorOf(t: TestContext, { recorder }: Gateway, secret = serviceSecret): Promise<string> {
  const { port, doors } = recorder;
  const app = createServiceHttp({ name: 'recorder', port, serviceSecret: secret, doors });
  t.after(() => app.close());
  return app.listen({ host: '127.0.0.1', port: 0 });
}

const presenceAt = (url: string): RecorderPresence => ({
  ...{ recorderId: 'owner', url, sessions: 1, sessionsMax: 10, draining: false },
});

interface World {
  target: Desktop;
  owner: Gateway;
  other: Gateway;
  /** Where the session is, as the other one is told. */
  holder: { url: string };
  otherUrl: string;
  connect: (gateway: Gateway) => Promise<RdpClient>;
}

/** A pipeline that knows one session: the first connection to the owner begins it, the others would continue it there. */
async function world(t: TestContext, config: Partial<RecorderConfig> = {}): Promise<World> {
  const target = await startDesktop({ now: () => new Date(0) });
  t.after(() => target.stop());
  const owner = await startGateway(t, {
    admit: (): Admission => {
      const reconnects = owner.reports.some(({ kind }) => kind === 'started');
      return { admitted: true, ticket: ticketFor(target.port, { reconnects, reconnectSeconds: 60 }) };
    },
  });
  const holder = { url: await doorOf(t, owner) };
  const other = await startGateway(t, {
    admit: () => ({ admitted: false, code: 'in_use', message: words, heldBy: presenceAt(holder.url) }) as Admission,
    config: { recorderId: 'other', ...config },
  });
  const otherUrl = await doorOf(t, other);
  const connectTo = ({ port }: Gateway) =>
    connectClient({ port, routingToken: 'token', userName: 'alice', screenshots: true });
  return { target, owner, other, holder, otherUrl, connect: connectTo };
}

const passedOn = async ({ recorder }: Gateway) => (await recorder.port.health()).details.connectionsPassedOn;

async function types(client: RdpClient, target: Desktop, text: string): Promise<void> {
  await client.type(`${text}\n`, 5);
  while (!target.typedLines().includes(text)) await client.nextUpdates(1, 100);
}

async function lose(owner: Gateway, client: RdpClient, times: number): Promise<void> {
  client.destroy();
  await eventually(
    'the client is lost',
    async () => owner.reports.filter(({ kind }) => kind === 'lost').length === times,
  );
}

/** It is told no, and not that something else went wrong. */
async function refused(connecting: Promise<RdpClient>): Promise<void> {
  const code = await connecting.then(
    async (client) => (await client.ended).errorInfo,
    (thrown: unknown) => (thrown instanceof ClientError ? thrown.detail : thrown),
  );
  assert.equal(code, ErrorInfo.serverDeniedConnection.code);
}

/** The RD Gateway's door of a recorder, as the API leads to it. */
async function rdgDoorOf(t: TestContext, { recorder }: Gateway): Promise<string> {
  const server = createServer();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    recorder.doors.rdg?.({ request, socket, head, clientAddress: '192.0.2.9' }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a lost client comes back through another recorder, is lost there, and comes back again', async (t) => {
  const { target, owner, other, connect } = await world(t);
  const first = await connect(owner);
  await types(first, target, 'before');
  await lose(owner, first, 1);
  const second = await connect(other);
  await types(second, target, 'passed on');
  assert.equal(await passedOn(other), 1);
  await lose(owner, second, 2);
  await eventually('it is let go', async () => (await passedOn(other)) === 0);
  const third = await connect(other);
  await types(third, target, 'again');
  await third.close();
  assert.equal((await owner.reported('ended')).reason, 'client_disconnected');
  await owner.reported('drained');
  await eventually('it is let go', async () => (await passedOn(other)) === 0);
  assert.deepEqual(target.typedLines(), ['before', 'passed on', 'again']);
  assert.equal(owner.reports.filter(({ kind }) => kind === 'reconnected').length, 2);
  assert.deepEqual([other.reports, other.attempts, other.problems, owner.attempts], [[], [], [], []]);
  const addresses = owner.reports.flatMap((report) =>
    report.kind === 'started' || report.kind === 'reconnected' ? [report.clientAddress] : [],
  );
  assert.equal(addresses.length, 3);
  assert.ok(addresses.every((address) => /^127\.0\.0\.1:\d+$/.test(address)) && new Set(addresses).size === 3);
});

test('a second client beside a living one is refused by the recorder that knows', async (t) => {
  const { target, owner, other, connect } = await world(t);
  const first = await connect(owner);
  await types(first, target, 'before');
  await refused(connect(other));
  assert.equal((await owner.attempted()).reason, 'in_use');
  assert.deepEqual(other.attempts, []);
  await types(first, target, 'undisturbed');
  await first.close();
});

test('where its recorder does not answer, or does not let this one in, a client is refused in words', async (t) => {
  const silent = () => 'http://127.0.0.1:9';
  const strange = ({ owner }: World) => doorOf(t, owner, serviceSecret.toUpperCase());
  for (const urlOf of [silent, strange, () => 'no address']) {
    const made = await world(t);
    const { other, holder, owner, connect } = made;
    holder.url = await urlOf(made);
    await refused(connect(other));
    const { reason, message, outcome } = await other.attempted();
    assert.deepEqual([outcome, reason, message], ['refused', 'in_use', words]);
    assert.deepEqual(owner.routes, []);
  }
});

test('a door for recorders takes nothing else than what a recorder says', async (t) => {
  const { owner } = await world(t);
  const url = await doorOf(t, owner);
  const say = (said: unknown) => Buffer.from(JSON.stringify(said)).toString('base64url');
  const wrong = [
    null,
    { port: -1 },
    { token: 1 },
    { wanted: {} },
    { wanted: { names: [1], port: 1 } },
    'x'.repeat(9000),
  ];
  for (const said of ['', '{', ...wrong.map(say)]) {
    const answer = await openDoor({
      ...{ caller: new ServiceCaller({ serviceSecret }), service: 'recorder', url, name: 'passed', waitMs: 10_000 },
      headers: { upgrade: 'rdp', [doorHeader.clientAddress]: '192.0.2.1', [doorHeader.passedClient]: said },
      first: new Uint8Array(0),
      visitor: duplexPair()[0],
    });
    assert.equal(answer?.response.statusCode, 400, said);
  }
  assert.deepEqual(owner.routes, []);
});

test('who was passed on goes no further', async (t) => {
  const { other, otherUrl, holder, connect } = await world(t);
  holder.url = otherUrl;
  await refused(connect(other));
  assert.equal((await other.attempted()).message, words);
  assert.equal(other.routes.length, 2);
});

test('so many are passed on at a time, and who leaves makes room', async (t) => {
  const { target, owner, other, connect } = await world(t, { sessionsMax: 1 });
  const first = await connect(owner);
  await types(first, target, 'before');
  await lose(owner, first, 1);
  const second = await connect(other);
  await types(second, target, 'passed on');
  await refused(connect(other));
  assert.equal((await other.attempted()).message, words);
  await lose(owner, second, 2);
  await eventually('it is let go', async () => (await passedOn(other)) === 0);
  const third = await connect(other);
  await types(third, target, 'again');
  await third.close();
});

test('a client of the RD Gateway goes on with its token and the host it named, which its recorder judges', async (t) => {
  const { target, owner, other, connect } = await world(t);
  const first = await connect(owner);
  await types(first, target, 'before');
  await lose(owner, first, 1);
  const url = await rdgDoorOf(t, other);
  const tunnel = { url, form: 'webSocket', cookie: 'a secret cookie', host: '127.0.0.1', port: target.port } as const;
  const wrong = await startTunnel({ ...tunnel, host: 'elsewhere.example' });
  t.after(wrong.stop);
  await refused(connectClient({ port: wrong.port, userName: 'alice' }));
  assert.equal((await owner.attempted()).reason, 'target_denied');
  const right = await startTunnel(tunnel);
  t.after(right.stop);
  const second = await connectClient({ port: right.port, userName: 'alice', screenshots: true });
  await types(second, target, 'through 443');
  await second.close();
  assert.deepEqual(owner.routes.at(-1), { kind: 'token', token: 'a secret cookie' });
  const { clientAddress } = await owner.reported('reconnected');
  assert.equal(clientAddress, '192.0.2.9');
});
