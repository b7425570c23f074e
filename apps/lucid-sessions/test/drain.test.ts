/** What managers of containers and services ask: whether services may be given work, and that a recorder ends without a lost session. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { healthMetrics } from '@lucid-sessions/kit';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { dataDirectory } from '../src/server/environment.ts';
import { type CliResult, runCli, startCli } from './support/cli.ts';
import { armSession, attemptedSession, type Gateway, sessionIn, startGateway } from './support/gateway.ts';
import { openPorts } from './support/ports.ts';
import { RawClient } from './support/raw-client.ts';

const portOf = (address: string | undefined): string => new URL(address ?? '').port;

/** The command line as it runs beside the services: same environment, same data directory. */
function beside({ lucid }: Gateway): (...args: string[]) => Promise<CliResult> {
  const { storage, processor, pipeline, recorder, api } = lucid.addresses;
  const environment = {
    LUCID_DATA_DIR: lucid.directory.root,
    SESSION_STORAGE_PORT: portOf(storage),
    CHUNK_PROCESSOR_PORT: portOf(processor),
    SESSION_PIPELINE_PORT: portOf(pipeline),
    SESSION_RECORDER_PORT: portOf(recorder),
    SESSION_API_PORT: portOf(api),
  };
  return (...args) => runCli(args, environment);
}

test('a recorder that drains keeps its sessions, their lost clients too, takes no other, and says when all are stored', async (t) => {
  const [desktop, gateway] = [await startDesktop(), await startGateway(t)];
  t.after(() => desktop.stop());
  const cli = beside(gateway);
  const first = await armSession(gateway, desktop.port);
  const connect = (routingToken: string) =>
    connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada', password: 'x' });
  const client = await connect(first.routingToken);
  await client.type('kept\n', 5);
  await client.settled();
  assert.equal((await cli('health')).code, 0);

  const begun = await cli('drain', '--wait', '0');
  assert.equal(begun.code, 1);
  assert.match(begun.stderr, /not drained in time: sessions that go on: 1;/);
  const unready = await cli('health');
  assert.equal(unready.code, 1);
  assert.match(unready.stdout, /^recorder +not ready: takes no new work$/m);
  assert.match(unready.stderr, /^not ready: recorder\n$/);
  assert.equal((await cli('health', '--live')).code, 0);
  assert.equal((await cli('health', '--services', 'storage,api')).code, 0);

  const second = await armSession(gateway, desktop.port);
  assert.ok((await (await connect(second.routingToken)).ended).errorInfo > 0, 'a new client is told');
  assert.match((await attemptedSession(gateway, second.id)).last_attempt?.message ?? '', /takes no new sessions/);

  client.destroy();
  const waits = async () => (await sessionIn(gateway, first.id, 'recording')).reconnect_until;
  await eventually('the loss', async () => ((await waits()) ?? null) !== null);
  const back = await connect(first.routingToken);
  await back.type('back\n', 5);
  await back.settled();
  await back.close();
  await sessionIn(gateway, first.id, 'completed');
  const drained = await cli('--json', 'drain', '--wait', '60');
  assert.equal(drained.code, 0, drained.stderr);
  assert.deepEqual(JSON.parse(drained.stdout), { sessions: 0, spooled: 0 });
});

test('a signal waits for the sessions that run: until they are over, the next signal, or the time that was given', {
  timeout: 400_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const dataDir = temporaryDirectory('drain');
  const ports = await openPorts();
  const up = async (LUCID_DRAIN_SECONDS: string) => {
    const environment = { ...ports, LUCID_DATA_DIR: dataDir, LUCID_DRAIN_SECONDS };
    const process = await startCli(t, ['up'], environment, /^token +\//m);
    const admin = await loadAdminToken(dataDirectory(environment), environment);
    const api = new RawClient({ url: `http://127.0.0.1:${ports.SESSION_API_PORT}`, token: admin?.token ?? '' });
    return { process, api };
  };
  const session = async ({ api }: Pick<Awaited<ReturnType<typeof up>>, 'api'>) => {
    const { id, routingToken } = await armSession({ api }, desktop.port);
    const client = await connectClient({
      port: Number(ports.RDP_LISTEN_PORT),
      routingToken,
      userName: 'ada',
      password: 'x',
    });
    await client.type('kept\n', 5);
    await client.settled();
    return { id, client };
  };
  const draining = () =>
    eventually('it to take nothing new', async () => {
      const answer = await fetch(`http://127.0.0.1:${ports.SESSION_RECORDER_PORT}/readyz`);
      return answer.status === 503;
    });
  const first = await up('600');
  const patient = await session(first);
  const over = first.process.stop('SIGTERM');
  await draining();
  await patient.client.type('and on\n', 5);
  await patient.client.settled();
  await patient.client.close();
  assert.equal(await over, 0, first.process.stderr());

  const second = await up('600');
  assert.equal((await sessionIn(second, patient.id, 'completed')).end_reason, 'client_disconnected');
  const hurried = await session(second);
  const ended = second.process.stop('SIGTERM');
  await draining();
  assert.equal(await Promise.all([ended, second.process.stop('SIGTERM')]).then(([code]) => code), 0);

  const third = await up('1');
  assert.equal((await sessionIn(third, hurried.id, 'completed')).end_reason, 'recorder_shutdown');
  const late = await session(third);
  assert.equal(await third.process.stop('SIGTERM'), 0);
  assert.ok((await late.client.ended).errorInfo > 0, 'its user is told');
});

test('nobody there is told with the exit codes of the help', async () => {
  const environment = { SESSION_RECORDER_PORT: '1', LUCID_SERVICE_SECRET: 'x'.repeat(40), LUCID_SERVICES: 'recorder' };
  const health = await runCli(['health'], environment);
  assert.equal(health.code, 1);
  assert.match(health.stdout, /^recorder +not ready: .*ECONNREFUSED/m);
  assert.equal((await runCli(['drain'], environment)).code, 3);
  const { code, stderr } = await runCli(['health'], { ...environment, LUCID_SERVICES: 'coffee' });
  assert.equal(code, 2);
  assert.match(stderr, /unknown service coffee/);
});

test('every service has its probes, and counts in Prometheus’ text', async (t) => {
  const { lucid } = await startGateway(t);
  for (const [service, address] of Object.entries(lucid.addresses)) {
    for (const path of ['/livez', '/readyz']) assert.equal((await fetch(address + path)).status, 200, service + path);
    const text = await (await fetch(`${address}/metrics`)).text();
    if (service !== 'api') assert.match(text, new RegExp(`^lucid_${service}_health 0$`, 'm'));
  }
  const { recorder } = lucid.addresses;
  const text = await (await fetch(`${recorder}/metrics`)).text();
  assert.match(text, /^lucid_recorder_sessions 0$/m);
  assert.match(text, /^lucid_recorder_spooled_bytes 0$/m);
  assert.match(text, /^process_resident_memory_bytes \d+$/m);
  assert.equal(text.includes('undefined'), false);
});

test('of what health says only numbers and switches become metrics', () => {
  const details = { freeBytes: 5, keyframes: 'off', draining: true };
  const text = healthMetrics({ service: 'storage', status: 'unhealthy', message: 'x', details });
  assert.match(text, /^lucid_storage_health 2$/m);
  assert.match(text, /^lucid_storage_free_bytes 5$/m);
  assert.match(text, /^lucid_storage_draining 1$/m);
  assert.doesNotMatch(text, /keyframes| off$/m);
});
