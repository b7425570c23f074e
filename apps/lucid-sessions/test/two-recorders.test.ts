/** Two recorders of one installation: who comes through the one that does not hold the session goes on where it is. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, freePorts, skipUnlessPeers, temporaryDirectory } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { runCli } from './support/cli.ts';
import { armSession } from './support/gateway.ts';
import { type House, startHouse } from './support/house.ts';
import { comesBackByItself, connectionsOf, verifiedWithGap } from './support/reconnecting.ts';

interface Two {
  house: House;
  rdpPorts: [first: number, second: number];
}

async function two(t: TestContext): Promise<Two> {
  const root = temporaryDirectory('two');
  const keys = join(root, 'keys');
  assert.equal((await runCli(['keys', 'init', keys])).code, 0);
  const [first = 0, second = 0, firstRdp = 0, secondRdp = 0] = await freePorts(4);
  const own = (name: string, port: number, rdp: number) => ({
    LUCID_DATA_DIR: join(root, name),
    LUCID_RECORDER_ID: name,
    SESSION_RECORDER_PORT: `${port}`,
    RDP_LISTEN_PORT: `${rdp}`,
  });
  const house = await startHouse({
    processes: { rest: 'storage,processor,pipeline,api', first: 'recorder', second: 'recorder' },
    environment: {
      LUCID_KEYS_PATH: keys,
      LUCID_SERVICE_SECRET: 'a secret the services of this test share',
      SESSION_RECORDER_URL: `http://127.0.0.1:${first},http://127.0.0.1:${second}`,
    },
    own: { first: own('first', first, firstRdp), second: own('second', second, secondRdp) },
  });
  t.after(() => house.stop());
  await eventually(
    'both recorders are known',
    async () => (await house.service('pipeline').recorders()).recorders.length === 2,
  );
  return { house, rdpPorts: [firstRdp, secondRdp] };
}

async function types(client: RdpClient, desktop: Desktop, text: string): Promise<void> {
  await client.type(`${text}\n`, 5);
  // Bounded: a client that was refused sees a screen of the gateway's own, and types on it.
  await eventually(`"${text}" on the desktop`, async () => {
    await client.nextUpdates(1, 100);
    return desktop.typedLines().includes(text);
  });
}

/** What the gateway says first to somebody who wants to steer. */
async function steers(house: House, id: string): Promise<string> {
  const { token, path } = await house.api.json<{ token: string; path: string }>('POST', `/sessions/${id}/steer`);
  assert.ok(path.endsWith(`/${id}`) && !path.includes(token));
  const origin = `http://127.0.0.1:${house.environment.SESSION_API_PORT}`;
  const socket = new WebSocket(origin.replace('http', 'ws') + path, { headers: { origin } } as never);
  socket.binaryType = 'arraybuffer';
  const said = new Promise<string>((resolve, reject) => {
    socket.addEventListener('message', ({ data }) => resolve(Buffer.from(data as ArrayBuffer).toString()));
    socket.addEventListener('close', () => reject(new Error('it was closed without a word')));
  });
  socket.addEventListener('open', () => socket.send(Buffer.from(`${JSON.stringify({ token })}\n`)));
  const { state } = JSON.parse((await said).split('\n')[0]!) as { state: string };
  socket.close();
  return state;
}

test('a client comes back through either recorder, and who steers comes to the one that holds the session', {
  timeout: 600_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const { house, rdpPorts } = await two(t);
  const { id, routingToken } = await armSession(house, desktop.port, { recording_config: { join: 'unasked' } });
  const connectTo = (port: number) => connectClient({ port, routingToken, userName: 'ada' });
  const first = await connectTo(rdpPorts[0]);
  await types(first, desktop, 'before');
  first.destroy();
  const waits = () =>
    eventually('the session waits', async () => {
      const session = await house.api.json<SessionAnswer>('GET', `/sessions/${id}`);
      return (session.reconnect_until ?? null) !== null;
    });
  await waits();
  const second = await connectTo(rdpPorts[1]);
  await types(second, desktop, 'passed on');
  // The other recorder has more room: who is not led comes there.
  assert.equal(await steers(house, id), 'steering');
  second.destroy();
  await waits();
  const third = await connectTo(rdpPorts[1]);
  await types(third, desktop, 'again');
  await third.close();
  assert.equal(await connectionsOf(house, id), 3);
  await verifiedWithGap(house, id);
});

test('xfreerdp reconnects by itself through the other recorder into the same session', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  const { house, rdpPorts } = await two(t);
  await comesBackByItself(t, house, rdpPorts);
});
