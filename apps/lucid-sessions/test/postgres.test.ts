/** The whole product with PostgreSQL behind it: sessions, a restart, another process's view, and what files alone can do. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { eventually, PostgresServer, skipUnlessPeers, temporaryDirectory } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { runCli } from './support/cli.ts';
import { readRecording, recordSession, startGateway, verifySession } from './support/gateway.ts';

test('sessions live in PostgreSQL: recorded, verified, deleted, across a restart; the data directory has no database', async (t) => {
  if (skipUnlessPeers(t, 'postgres')) return;
  const server = await PostgresServer.start();
  t.after(() => server.stop());
  const dataDir = temporaryDirectory('postgres-app');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const passwordPath = join(dataDir, 'password');
  writeFileSync(passwordPath, `${server.password}\n`, { mode: 0o600 });
  const environment = {
    LUCID_DATA_DIR: join(dataDir, 'data'),
    SESSION_METADATA_DB: server.url('lucid').replace(`:${server.password}`, ''),
    SESSION_METADATA_DB_PASSWORD_FILE: passwordPath,
  };
  const gateway = await startGateway(t, environment);
  const id = await recordSession(gateway, desktop.port, { text: 'kept elsewhere\n' });
  assert.equal((await verifySession(gateway, id)).clean, true);
  // The server goes and comes back while a session is recorded.
  const other = recordSession(gateway, desktop.port, { text: 'while it is away\n' });
  await server.end('SIGQUIT');
  await server.begin();
  assert.equal((await verifySession(gateway, await other)).clean, true);
  await gateway.lucid.dispose();
  assert.deepEqual(
    readdirSync(environment.LUCID_DATA_DIR).filter((name) => /\.db/.test(name)),
    [],
  );

  await server.copyTo('restored');
  const restored = environment.SESSION_METADATA_DB.replace('/lucid?', '/restored?');
  const again = await startGateway(t, { ...environment, SESSION_METADATA_DB: restored });
  assert.equal((await verifySession(again, id)).clean, true, 'what pg_dump wrote is enough, beside the files');
  assert.ok((await readRecording(again, id)).length > 0);
  const listed = await again.api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions');
  assert.equal(listed.sessions.length, 2);
  await again.api.json('DELETE', `/sessions/${id}`);
  await eventually('the session to be deleted', async () => {
    const { status } = await again.api.json<SessionAnswer>('GET', `/sessions/${id}`);
    return status === 'deleted';
  });
  await again.lucid.dispose();

  for (const command of [['backup', join(dataDir, 'backup')], ['check']]) {
    const { code, stderr } = await runCli(['--data-dir', environment.LUCID_DATA_DIR, ...command], environment);
    assert.match(
      stderr,
      /SESSION_METADATA_DB names a database outside of the data directory: back it up with its own tools/,
    );
    assert.equal(code, 2);
  }
});

test('a database that can not be had is told at the start, without its password', async (t) => {
  if (skipUnlessPeers(t, 'postgres')) return;
  const directory = temporaryDirectory('postgres-app');
  const started = runCli(['--data-dir', join(directory, 'data'), 'up', '--services', 'storage'], {
    SESSION_STORAGE_PORT: '0',
    SESSION_METADATA_DB: 'postgres://ada:hidden@127.0.0.1:1/lucid',
    LUCID_DATABASE_WAIT_SECONDS: '0',
  });
  const { code, stderr, stdout } = await started;
  assert.match(
    stderr,
    /SESSION_METADATA_DB names postgres:\/\/127\.0\.0\.1:1\/lucid, which can't be opened: nothing listens there/,
  );
  assert.doesNotMatch(stderr + stdout, /hidden/);
  assert.equal(code, 2);
});
