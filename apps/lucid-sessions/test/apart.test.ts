/** Services on machines that share no directory: what each is given, and what it says when it is not. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isLucidError, rpcClient } from '@lucid-sessions/contract';
import { startDesktop } from '@lucid-sessions/desktop';
import { startLucid } from '../src/server/compose.ts';
import { type ServiceName, serviceNames } from '../src/server/environment.ts';
import { apart, keysOf, withCertificates, withSigningKeys } from './support/apart.ts';
import { type FiveProcesses, startFive } from './support/five.ts';
import { readRecording, recordSession, verifySession } from './support/gateway.ts';

const isUnavailable = (error: unknown) => isLucidError(error, 'unavailable');

test('five processes with no directory in common record, replay and verify a session', {
  timeout: 180_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const { more, options, dataOf, root } = await apart();
  const filesMounted = () => readdirSync(join(root, 'mounts'), { recursive: true }).sort();
  const before = filesMounted();
  const five = await startFive(t, more, options);
  const id = await recordSession(five, desktop.port);
  const report = await verifySession(five, id);
  assert.deepEqual([report.findings, report.clean, report.verdicts.completeness], [[], true, 'whole']);
  assert.ok((await readRecording(five, id)).length > 0);
  assert.deepEqual(filesMounted(), before, 'nothing is made beside the keys');
  const owners = serviceNames.filter((name) => existsSync(dataOf(name)));
  assert.deepEqual(owners, ['storage', 'pipeline', 'recorder'], 'a data directory only for who owns something');
});

/** A session by a client's TCP connection, and one by a door on the API's port; what is watched live and a capture come over the doors, too. */
async function recordsAndOpensDoors(t: TestContext, five: FiveProcesses): Promise<void> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const id = await recordSession(five, desktop.port, {
    async meanwhile() {
      const { sessions } = await five.api.json<{ sessions: { session_id: string }[] }>('GET', '/sessions');
      const answer = await five.api.send('GET', `/sessions/${sessions[0]!.session_id}/live`);
      assert.equal(answer.status, 200);
      await answer.body?.cancel();
    },
  });
  const report = await verifySession(five, id);
  assert.deepEqual([report.findings, report.clean, report.verdicts.completeness], [[], true, 'whole']);
  assert.ok((await readRecording(five, id)).length > 0);
  const { services } = await five.api.json<{ services: Record<string, { status: string }> }>('GET', '/health');
  assert.ok(Object.values(services).every(({ status }) => status === 'healthy'));
  const address = `http://127.0.0.1:${five.environment.SESSION_API_PORT}`;
  // The recorder's own word about a request that is no RDP behind it: it was asked.
  const socket = new WebSocket(`${address.replace('http', 'ws')}/browser/rdp`, {
    headers: { origin: address },
  } as never);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  socket.close();
}

test('by certificates and signed tokens, without a secret, five processes record, show, verify and open their doors', {
  timeout: 240_000,
}, async (t) => {
  const house = await apart();
  const { LUCID_SERVICE_SECRET_FILE: _, ...more } = house.more;
  const five = await startFive(t, more, await withCertificates({ ...house, options: withSigningKeys(house) }));
  await recordsAndOpensDoors(t, five);
  const url = five.environment.SESSION_STORAGE_URL!;
  await assert.rejects(rpcClient('storage', url, { token: 'x'.repeat(32) }).statistics(), isUnavailable);
  await assert.rejects(rpcClient('storage', url.replace('https', 'http'), { token: '' }).statistics(), isUnavailable);
});

test('a key that is missing or open to others is named, with what mends it, and none is made', async (_t) => {
  const { more, options, mountOf, dataOf, keys } = await apart();
  const startOf = (name: ServiceName) =>
    startLucid({ environment: { ...more, ...options.own?.[name], LUCID_LOG_ORIGIN: 'a/b' }, services: [name] });
  for (const name of serviceNames)
    for (const file of keysOf[name].filter((each) => each !== 'log.pub' || name === 'api')) {
      const path = join(mountOf(name), file);
      rmSync(path);
      await assert.rejects(startOf(name), {
        variable: 'LUCID_KEYS_PATH',
        message: `LUCID_KEYS_PATH names ${mountOf(name)}, where ${file} is missing, which the ${name} needs: "lucid-sessions keys init DIR" makes all keys of an installation, once`,
      });
      assert.deepEqual([existsSync(path), existsSync(dataOf(name))], [false, false], 'nothing is made');
      copyFileSync(join(keys, file), path);
      chmodSync(path, 0o440);
    }
  chmodSync(join(mountOf('pipeline'), 'secrets.key'), 0o444);
  await assert.rejects(startOf('pipeline'), /secrets\.key may be read or written by others; set its mode to 440/);
});

test('a secret in a file is one; both it and its variable, or a file that others read, are not', async (_t) => {
  const { more, root } = await apart();
  const startWith = (environment: Record<string, string>) =>
    startLucid({ environment: { LUCID_DATA_DIR: join(root, 'none'), ...environment }, services: ['processor'] });
  const path = more.LUCID_SERVICE_SECRET_FILE;
  await assert.rejects(startWith({ ...more, LUCID_SERVICE_SECRET: 'x'.repeat(32) }), {
    message: 'LUCID_SERVICE_SECRET_FILE and LUCID_SERVICE_SECRET are both set: leave one of them out',
  });
  await assert.rejects(startWith({ LUCID_SERVICE_SECRET_FILE: join(root, 'nowhere') }), {
    message: `LUCID_SERVICE_SECRET_FILE names ${join(root, 'nowhere')}, which can't be read: there is no such place`,
  });
  chmodSync(path, 0o444);
  await assert.rejects(startWith(more), /^EnvironmentError: LUCID_SERVICE_SECRET_FILE names .+ can be read by others/);
  assert.equal(existsSync(join(root, 'none')), false);
});
