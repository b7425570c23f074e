/** Doors for RDP clients on the API's port: what goes on to a recorder, what it is told, and who gets no further. */
import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { type ApiConfig, readProxyTrust } from '@lucid-sessions/api';
import { createServiceHttp, type DoorVisit, doorHeader, refuseUpgrade, ServiceCaller } from '@lucid-sessions/kit';
import type { DoorRoute } from '../src/doors.ts';
import { apiWorld } from './world.ts';

const serviceSecret = 'the secret of the services, for tests only';
const path = '/browser/rdp';
const headers = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  'sec-websocket-version': '13',
};

/** Answers as a recorder: says 101 and echoes in capitals, or what `answer` says. */
async function recorder(t: TestContext, visits: DoorVisit[], answer: (visit: DoorVisit) => void = echo) {
  const port = { health: async () => ({ service: 'recorder', status: 'healthy', message: null, details: {} }) };
  const app = createServiceHttp({
    name: 'recorder',
    port: port as never,
    serviceSecret,
    doors: {
      browser(visit) {
        visits.push(visit);
        answer(visit);
      },
    },
  });
  t.after(() => {
    for (const { socket } of visits) socket.destroy();
    return app.close();
  });
  return app.listen({ port: 0, host: '127.0.0.1' });
}

function echo({ socket, head }: DoorVisit): void {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Inner: no\r\n\r\n');
  const shout = (bytes: Buffer): void => void socket.write(bytes.toString().toUpperCase());
  if (head.length > 0) shout(head);
  socket.on('data', shout).on('end', () => socket.end());
}

async function api(t: TestContext, urls: readonly string[], changes: Partial<ApiConfig> = {}) {
  const world = await apiWorld(changes, {
    recorderDoor: { urls: async () => urls, caller: new ServiceCaller({ serviceSecret }) },
  });
  t.after(() => world.dispose());
  return world;
}

interface Opened {
  response: IncomingMessage;
  socket: Duplex | null;
}

function open(address: string, more: Record<string, string> = {}, to = path): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const origin = { origin: address };
    httpRequest(address + to, { headers: { ...headers, ...origin, ...more }, agent: false })
      .on('upgrade', (response, socket) => {
        socket.on('error', () => {});
        resolve({ response, socket });
      })
      .on('response', (response) => {
        response.resume();
        resolve({ response, socket: null });
      })
      .on('error', reject)
      .end();
  });
}

const nextText = (socket: Duplex) => new Promise<string>((resolve) => socket.once('data', (b) => resolve(String(b))));

test('an upgrade passes through with the address of its client, and bytes both ways', async (t) => {
  const visits: DoorVisit[] = [];
  const world = await api(t, [await recorder(t, visits)], { trustProxy: readProxyTrust({ P: '1' }, 'P') });
  const { response, socket } = await open(world.address, {
    'x-forwarded-for': '6.6.6.6, 203.0.113.9',
    [doorHeader.clientAddress]: '1.2.3.4',
    authorization: 'Basic bWU6c2VjcmV0',
    cookie: 'of=others',
  });
  assert.equal(response.statusCode, 101);
  assert.equal(response.headers['x-inner'], undefined, 'headers within stay within');
  const [visit] = visits;
  assert.equal(visit!.clientAddress, '203.0.113.9');
  assert.equal(visit!.request.headers[doorHeader.authorization], 'Basic bWU6c2VjcmV0');
  assert.equal(visit!.request.headers.cookie, undefined);
  assert.equal(visit!.request.headers['sec-websocket-key'], headers['sec-websocket-key']);
  socket!.write('hello');
  assert.equal(await nextText(socket!), 'HELLO');
  const closed = new Promise((resolve) => visit!.socket.once('close', resolve));
  socket!.destroy();
  await closed;
});

test('the recorder that answers has it; where none does the client is told so', async (t) => {
  const visits: DoorVisit[] = [];
  const full: DoorVisit[] = [];
  const dead = 'http://127.0.0.1:9';
  const busy = await recorder(t, full, ({ socket }) => refuseUpgrade(socket, '503 Service Unavailable'));
  const world = await api(t, [dead, busy, await recorder(t, visits)]);
  const { socket } = await open(world.address);
  assert.ok(socket !== null);
  assert.equal(full.length, 1);
  socket.end();
  await new Promise((resolve) => socket.once('close', resolve));
  const lonely = await api(t, [dead, busy]);
  assert.equal((await open(lonely.address)).response.statusCode, 503);
});

test('who is refused within reads that and nothing of the inside', async (t) => {
  const visits: DoorVisit[] = [];
  const within = await recorder(t, visits, ({ socket }) =>
    refuseUpgrade(socket, '401 Unauthorized', ['WWW-Authenticate: Basic', 'X-Inner: no']),
  );
  const { response } = await open((await api(t, [within])).address);
  assert.equal(response.statusCode, 401);
  assert.equal(response.headers['www-authenticate'], 'Basic');
  assert.equal(response.headers['x-inner'], undefined);
  const wrongSecret = await apiWorld(
    {},
    {
      recorderDoor: {
        urls: async () => [within],
        caller: new ServiceCaller({ serviceSecret: serviceSecret.toUpperCase() }),
      },
    },
  );
  t.after(() => wrongSecret.dispose());
  assert.equal((await open(wrongSecret.address)).response.statusCode, 502);
  assert.equal(visits.length, 1);
  assert.equal((await open((await api(t, [within])).address, {}, '/remoteDesktopGateway/')).response.statusCode, 404);
});

test('a session in the path says which recorder it is, and no recorder is named from outside', async (t) => {
  const asked: DoorRoute[] = [];
  const url = await recorder(t, []);
  const recorderDoor = {
    urls: async (route: DoorRoute) => {
      asked.push(route);
      return [url];
    },
    caller: new ServiceCaller({ serviceSecret }),
  };
  const world = await apiWorld({}, { recorderDoor });
  t.after(() => world.dispose());
  for (const to of [`${path}/session-1`, `${path}/session-1?token=x`, path])
    assert.equal((await open(world.address, {}, to)).response.statusCode, 101, to);
  assert.deepEqual(
    asked.map(({ sessionId }) => sessionId),
    ['session-1', 'session-1', null],
  );
  const elsewhere = ['/', '/..', '/a/b', '/a.b', '/http:%2f%2fhost', `/${'x'.repeat(101)}`].map((end) => path + end);
  for (const to of [...elsewhere, '/browser/session-1', '/remoteDesktopGateway/session-1'])
    assert.equal((await open(world.address, {}, to)).socket, null, to);
  assert.equal(asked.length, 3);
});

test("only the console's own pages open the browser's door", async (t) => {
  const visits: DoorVisit[] = [];
  const url = await recorder(t, visits);
  const world = await api(t, [url]);
  for (const origin of ['', 'null', 'https://evil.example', `${world.address}0`])
    assert.equal((await open(world.address, { origin })).response.statusCode, 403, origin);
  assert.equal(visits.length, 0);
  const named = await api(t, [url], { publicUrl: 'https://sessions.example' });
  for (const origin of [named.address, 'https://sessions.example'])
    assert.equal((await open(named.address, { origin })).response.statusCode, 101);
});

test('an upgrade anywhere else is a request like any, and the recorder takes none but from the API', async (t) => {
  const url = await recorder(t, []);
  const world = await api(t, [url]);
  assert.equal((await open(world.address, {}, '/health')).response.statusCode, 200);
  assert.equal((await open(world.address, {}, '/api/v1/sessions')).response.statusCode, 401);
  assert.equal((await open(url, { authorization: '' }, '/doors/browser')).response.statusCode, 401);
  const { response } = await open(url, { authorization: `Bearer ${serviceSecret}` }, '/doors/browser');
  assert.equal(response.statusCode, 400, 'whose client it is must be said');
});

test('one address has so many on their way in, and no more; who came in makes room', async (t) => {
  const visits: DoorVisit[] = [];
  const world = await api(t, [await recorder(t, visits, () => {})]);
  const statuses: (number | undefined)[] = [];
  const opening = Array.from({ length: 120 }, async () =>
    statuses.push((await open(world.address)).response.statusCode),
  );
  while (statuses.length < 20) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(new Set(statuses), new Set([429]));
  while (visits.length < 100) await new Promise((resolve) => setImmediate(resolve));
  for (const visit of visits) echo(visit);
  await Promise.all(opening);
  assert.equal(statuses.filter((status) => status !== 429).length, 100);
});
