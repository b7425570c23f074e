/** Services on machines that share no directory: what each is given, and what it says when it is not. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { startLucid } from '../src/server/compose.ts';
import { type ServiceName, serviceNames } from '../src/server/environment.ts';
import { apart, keysOf } from './support/apart.ts';
import { startFive } from './support/five.ts';
import { readRecording, recordSession, verifySession } from './support/gateway.ts';

test('five processes with no directory in common record, replay and verify a session', {
  timeout: 180_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const { more, options, dataOf, root } = await apart(t);
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

test('a key that is missing or open to others is named, with what mends it, and none is made', async (t) => {
  const { more, options, mountOf, dataOf, keys } = await apart(t);
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

test('a secret in a file is one; both it and its variable, or a file that others read, are not', async (t) => {
  const { more, root } = await apart(t);
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
