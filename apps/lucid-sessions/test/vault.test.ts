/** Session keys wrapped by Vault's transit engine, through the whole product; Vault is the testkit's. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { EnvironmentError } from '@lucid-sessions/kit';
import { SqliteThread } from '@lucid-sessions/sqlite';
import { FakeVault, temporaryDirectory } from '@lucid-sessions/testkit';
import { readVault, readVaultCredentials } from '../src/server/vault.ts';
import { runCli } from './support/cli.ts';
import { armSession, type Gateway, recordSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

const token = 'hvs.a-token-of-the-test';

/** A session's wraps in the stopped installation's store, where those `keep` refuses are taken out. */
async function storedWraps(
  dataDir: string,
  sessionId: string,
  keep: (scheme: string) => boolean = () => true,
): Promise<string[]> {
  const thread = new SqliteThread();
  const metadata = await thread.metadata(join(dataDir, 'metadata.db'));
  try {
    const wraps = (await metadata.getWraps(sessionId)).filter(({ scheme }) => keep(scheme));
    await metadata.putWraps(sessionId, wraps);
    return wraps.map(({ scheme, recipient }) => `${scheme} ${recipient}`);
  } finally {
    await metadata.dispose();
  }
}

async function record(t: TestContext, gateway: Gateway, meanwhile: () => Promise<void> = async () => {}) {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  return recordSession(gateway, desktop.port, { meanwhile });
}

const readabilityOf = async (gateway: Gateway, id: string) => (await verifySession(gateway, id)).verdicts.readability;

test('session keys are wrapped to Vault, and opened by it when the local key is gone', {
  timeout: 240_000,
}, async (t) => {
  const directory = temporaryDirectory('vault');
  const vault = new FakeVault({ token, keys: ['transit/lucid', 'transit/next'] });
  const url = await vault.start();
  t.after(() => vault.stop());
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  const dataDir = join(directory, 'data');
  const environment = {
    LUCID_DATA_DIR: dataDir,
    LUCID_VAULT_URL: url,
    LUCID_VAULT_KEY: 'lucid',
    LUCID_VAULT_TOKEN_FILE: tokenFile,
  };

  const first = await startGateway(t, environment);
  // Vault is away from the middle of the session on, and while it is played.
  const id = await record(t, first, () => vault.stop());
  assert.equal(await readabilityOf(first, id), 'readable');
  assert.deepEqual(
    vault.requests.map(({ path }) => path),
    ['/v1/transit/encrypt/lucid'],
  );
  await t.test('a session can not begin while Vault is away, and the log says why', async () => {
    const desktop = await startDesktop();
    t.after(() => desktop.stop());
    const { id: later, routingToken } = await armSession(first, desktop.port);
    const client = await connectClient({ port: first.rdpPort, routingToken, userName: 'ada' });
    assert.notEqual((await client.ended).errorInfo, 0);
    const why = /could not be wrapped: Vault can not be reached \(ECONNREFUSED\)/;
    assert.ok(
      first.logged.some((line) => why.test(line)),
      first.logged.join('\n'),
    );
    await vault.start(Number(new URL(url).port));
    const again = await connectClient({ port: first.rdpPort, routingToken, userName: 'ada' });
    await again.close();
    await sessionIn(first, later, 'completed');
    await vault.stop();
  });
  await first.lucid.dispose();

  const outside = 'vault-transit transit/lucid';
  assert.deepEqual((await storedWraps(dataDir, id)).slice(1), [outside]);
  assert.deepEqual(await storedWraps(dataDir, id, (scheme) => scheme !== 'local'), [outside]);

  const second = await startGateway(t, environment);
  await t.test('while Vault is away the recording stays closed, with a reason', async () => {
    await assert.rejects(second.api.json('GET', `/sessions/${id}/key`), /Vault can not be reached/);
    await assert.rejects(verifySession(second, id), /Vault can not be reached/);
  });
  await vault.start(Number(new URL(url).port));
  assert.equal(await readabilityOf(second, id), 'readable');
  await second.api.json('GET', `/sessions/${id}/key`);
  assert.ok(vault.requests.some(({ path }) => path === '/v1/transit/decrypt/lucid'));
  for (const line of [...first.logged, ...second.logged]) assert.equal(line.includes(token), false, line);
  await second.lucid.dispose();

  await t.test('rotating recipients follows what is configured', async () => {
    const forgotten = await runCli(['keys', 'rotate', 'recipients'], { ...environment, LUCID_VAULT_KEY: 'next' });
    assert.equal(forgotten.code, 2);
    assert.match(forgotten.stderr, /\d sessions? would no longer open for transit\/lucid/);
    const consent = ['--confirm', 'transit/lucid', 'transit/next', '--reason', 'moved'];
    const rotate = (more: Record<string, string>) =>
      runCli(['--json', 'keys', 'rotate', 'recipients', ...consent], { ...environment, ...more });
    // Only Vault's old key opens it: without that the wraps stay as they are.
    const stuck = await rotate({ LUCID_VAULT_KEY: 'next' });
    assert.equal(stuck.code, 1, stuck.stdout);
    assert.match(stuck.stdout, /no key of this installation opens its wraps/);
    const none = await rotate({ LUCID_VAULT_URL: '', LUCID_VAULT_KEY: '' });
    assert.equal(none.code, 1, none.stdout);
    assert.match(none.stdout, /without a wrap/);
    assert.deepEqual(await storedWraps(dataDir, id), [outside]);

    const third = await startGateway(t, environment);
    const whole = await record(t, third);
    await third.lucid.dispose();
    await rotate({ LUCID_VAULT_KEY: 'next' });
    assert.deepEqual((await storedWraps(dataDir, whole)).slice(1), ['vault-transit transit/next']);
    await rotate({ LUCID_VAULT_URL: '', LUCID_VAULT_KEY: '' });
    assert.equal((await storedWraps(dataDir, whole)).length, 1);
  });
});

test('a wrong setting is refused by its name', () => {
  const good = { LUCID_VAULT_URL: 'https://vault:8200/', LUCID_VAULT_KEY: 'lucid', LUCID_VAULT_TOKEN_FILE: '/t' };
  assert.equal(readVault({}), null);
  assert.equal(readVault(good)?.recipient, 'transit/lucid');
  assert.equal(readVault({ ...good, LUCID_VAULT_MOUNT: 'team/engine' })?.recipient, 'team/engine/lucid');
  for (const [variable, values] of Object.entries({
    LUCID_VAULT_URL: ['', 'vault:8200', 'ftp://vault', 'https://user:pass@vault', 'https://vault?x=1'],
    LUCID_VAULT_KEY: ['', 'a/b', '..', 'a b', 'x'.repeat(300)],
    LUCID_VAULT_MOUNT: ['/transit', 'a//b', 'a/../b', 'a?b'],
    LUCID_VAULT_TOKEN_FILE: [''],
    LUCID_VAULT_NAMESPACE: ['a\nb', '/a'],
  }))
    for (const value of values)
      assert.throws(
        () => readVault({ ...good, [variable]: value }),
        (error) => error instanceof EnvironmentError && error.variable === variable && !error.message.includes('pass@'),
        `${variable}=${value}`,
      );
});

test('where credentials for targets come from: a wrong setting is refused by its name', () => {
  const directory = temporaryDirectory('vault');
  const file = join(directory, 'secret');
  writeFileSync(file, 'a secret\n', { mode: 0o600 });
  const prefix = 'LUCID_CREDENTIALS_VAULT_';
  const good = {
    [`${prefix}URL`]: 'https://vault:8200',
    [`${prefix}SECRET_ID_FILE`]: file,
    [`${prefix}ROLE_ID`]: 'a1b2-c3',
    [`${prefix}PATHS`]: 'secret/rdp/{host}, database/rdp-*',
  };
  assert.equal(readVaultCredentials({}), null);
  const one = { engine: 'kv', mount: 'secret', path: 'rdp/srv', username: null, domain: null } as const;
  assert.deepEqual(
    [readVaultCredentials(good)?.allows(one, 'srv'), readVaultCredentials(good)?.allows(one, 'x')],
    [true, false],
  );
  const byToken = { ...good, [`${prefix}SECRET_ID_FILE`]: '', [`${prefix}TOKEN_FILE`]: file };
  assert.notEqual(readVaultCredentials(byToken), null);
  const wrong: [string, string][] = [
    ['URL', 'https://user:pass@vault'],
    ['URL', ''],
    ['SECRET_ID_FILE', join(directory, 'missing')],
    ['PATHS', ''],
    ['PATHS', 'secret'],
    ['PATHS', 'secret/rdp/../*'],
    ['PATHS', 'secret/rdp/*,'],
    ['ROLE_ID', ''],
    ['NAMESPACE', '/a'],
    ['APPROLE_MOUNT', 'a//b'],
  ];
  for (const [name, value] of wrong)
    assert.throws(
      () => readVaultCredentials({ ...good, [prefix + name]: value }),
      (error) =>
        error instanceof EnvironmentError && error.variable === prefix + name && !error.message.includes('pass@'),
      `${name}=${value}`,
    );
  for (const both of [
    { ...good, [`${prefix}TOKEN_FILE`]: file },
    { ...good, [`${prefix}SECRET_ID_FILE`]: '' },
  ])
    assert.throws(() => readVaultCredentials(both), { variable: `${prefix}TOKEN_FILE` });
});

test('a token that others can read is not sent', async (t) => {
  const directory = temporaryDirectory('vault');
  const vault = new FakeVault({ token, keys: ['transit/lucid'] });
  const url = await vault.start();
  t.after(() => vault.stop());
  const tokenFile = join(directory, 'token');
  const transit = readVault({
    LUCID_VAULT_URL: url,
    LUCID_VAULT_KEY: 'lucid',
    LUCID_VAULT_TOKEN_FILE: tokenFile,
  });
  await assert.rejects(transit!.wrap(new Uint8Array(32), 'k'), /no token for Vault: ENOENT/);
  writeFileSync(tokenFile, token);
  chmodSync(tokenFile, 0o644);
  await assert.rejects(transit!.wrap(new Uint8Array(32), 'k'), /chmod 640/);
  assert.equal(vault.requests.length, 0);
});
