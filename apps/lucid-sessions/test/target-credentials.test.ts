/** Who is to log on to a target, as the command line says it: passwords come from a file or a pipe, and stand in no message. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { SqliteJournalStore } from '@lucid-sessions/sqlite';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { CliError } from '../src/cli/output.ts';
import { targetCredentials } from '../src/commands/target-credentials.ts';
import { runCli } from './support/cli.ts';
import { armSession, startGateway } from './support/gateway.ts';

const folder = temporaryDirectory('credentials');
const secret = ' pässword with blanks ';
const fileOf = (name: string, content: string | Buffer, mode = 0o600): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};

test('a password comes from a file of its owner’s, or from a pipe', async () => {
  const user = { targetUser: 'CORP\\svc' };
  for (const end of ['', '\n', '\r\n']) {
    const file = fileOf('password', `${secret}${end}`);
    assert.deepEqual(await targetCredentials({ ...user, targetPasswordFile: file }), {
      username: 'CORP\\svc',
      password: secret,
    });
    const piped = Readable.from([Buffer.from(secret), Buffer.from(end)]);
    assert.deepEqual(await targetCredentials({ targetPasswordFile: '-', targetOnce: true }, piped), {
      password: secret,
      keep: 'once',
    });
  }
});

test('Vault, the client, or nobody', async () => {
  assert.equal(await targetCredentials({}), null);
  assert.deepEqual(await targetCredentials({ targetClient: true }), { provider: 'client' });
  const kv = { provider: 'vault', engine: 'kv', mount: 'secret', path: 'rdp/srv-01' };
  assert.deepEqual(await targetCredentials({ targetVault: 'kv:secret/rdp/srv-01' }), kv);
  const dynamic = { provider: 'vault', engine: 'dynamic', mount: 'database', path: 'rdp' };
  assert.deepEqual(await targetCredentials({ targetVault: 'dynamic:database/rdp', targetOnce: true }), {
    ...dynamic,
    keep: 'once',
  });
});

test('what is no password, or says two things, is refused without being repeated', async () => {
  const typed = Object.assign(Readable.from([Buffer.from(secret)]), { isTTY: true });
  const cases: [Parameters<typeof targetCredentials>, RegExp][] = [
    [[{ targetPasswordFile: fileOf('open', secret, 0o644) }], /chmod 600/],
    [[{ targetPasswordFile: fileOf('two', `${secret}\n${secret}\n`) }], /one line/],
    [[{ targetPasswordFile: fileOf('none', '\n') }], /one line/],
    [[{ targetPasswordFile: fileOf('latin', Buffer.from('p\xe4ss', 'latin1')) }], /UTF-8/],
    [[{ targetPasswordFile: fileOf('long', secret.repeat(1000)) }], /holds no password/],
    [[{ targetPasswordFile: join(folder, 'nosuch') }], /ENOENT/],
    [[{ targetPasswordFile: '-' }, typed], /pipe the password in/],
    [[{ targetPasswordFile: '-' }, Readable.from([Buffer.alloc(5000, 'x')])], /too long/],
    [[{ targetPasswordFile: '-', targetVault: 'kv:a/b' }], /one of/],
    [[{ targetUser: 'svc' }], /go with/],
    [[{ targetVault: 'secret/rdp' }], /kv:MOUNT/],
  ];
  for (const [given, message] of cases)
    await assert.rejects(targetCredentials(...given), (error: unknown) => {
      assert.ok(error instanceof CliError);
      assert.match(error.message, message);
      assert.equal(error.message.includes('ssword with'), false);
      return true;
    });
});

test('a backup has the sealed form alone, and its key only where it has keys', async (t) => {
  const gateway = await startGateway(t, {});
  const password = 'Backed-Up-Pässwörd';
  const { id } = await armSession(gateway, 3389, { target_credentials: { username: 'svc', password } });
  const environment = { LUCID_DATA_DIR: gateway.lucid.directory.root };
  for (const withKeys of [false, true]) {
    const path = join(folder, `backup-${withKeys}`);
    const done = await runCli(['backup', path, ...(withKeys ? [] : ['--without-keys'])], environment);
    assert.equal(done.code, 0, done.stderr);
    const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { parentPath, name } of files)
      for (const encoding of ['utf8', 'utf16le'] as const)
        assert.equal(readFileSync(join(parentPath, name)).includes(Buffer.from(password, encoding)), false, name);
    assert.equal(
      files.some(({ name }) => name === 'secrets.key'),
      withKeys,
    );
    const [journal] = files.filter(({ name }) => name === 'pipeline-journal.db');
    const copied = new SqliteJournalStore(join(journal!.parentPath, journal!.name));
    assert.deepEqual(await copied.listSealed(), [{ sessionId: id, name: 'target' }]);
    await copied.dispose();
  }
});
