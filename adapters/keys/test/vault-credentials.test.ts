/** Credentials for targets from Vault: a real OpenBao, one that fails in every way, and what sessions may name. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type CredentialReference, isLucidError } from '@lucid-sessions/contract';
import { FakeBroker, FakeVault, OpenBao, peersMissing, skipUnlessPeers } from '@lucid-sessions/testkit';
import { VaultCredentials, type VaultCredentialsOptions } from '../src/index.ts';

const password = 'n0t-in-any-error, pässword';
const host = 'srv-01.corp.example';
const kv = (path: string, more: Partial<CredentialReference> = {}): CredentialReference => ({
  ...{ engine: 'kv', mount: 'secret', path, username: null, domain: null },
  ...more,
});
const dynamic: CredentialReference = {
  engine: 'dynamic',
  mount: 'rabbitmq',
  path: 'rdp',
  username: null,
  domain: 'CORP',
};

let bao: OpenBao | null = null;
const broker = new FakeBroker();
before(async () => {
  if (peersMissing('openbao').length > 0) return;
  bao = await OpenBao.start();
  const brokerUrl = await broker.start();
  await bao.ask('POST', 'secret/data/rdp/one', { data: { username: 'svc', domain: 'CORP', password } });
  await bao.ask('POST', `secret/data/rdp/${host}`, { data: { password } });
  await bao.ask('POST', 'secret/data/rdp/odd', { data: { username: 'svc', password: 7 } });
  await bao.ask('POST', 'secret/data/rdp/gone', { data: { password } });
  await bao.ask('DELETE', 'secret/data/rdp/gone');
  await bao.ask('POST', 'secret/data/other/one', { data: { username: 'svc', password } });
  await bao.ask('POST', 'sys/mounts/rabbitmq', { type: 'rabbitmq' });
  const connection = { connection_uri: brokerUrl, username: 'a', password: 'b', verify_connection: false };
  await bao.ask('POST', 'rabbitmq/config/connection', connection);
  await bao.ask('POST', 'rabbitmq/config/lease', { ttl: 600, max_ttl: 3600 });
  await bao.ask('POST', 'rabbitmq/roles/rdp', { vhosts: '{"/":{"configure":".*","write":".*","read":".*"}}' });
  const policy = [
    'path "secret/data/rdp/*" { capabilities = ["read"] }',
    'path "rabbitmq/creds/rdp" { capabilities = ["read"] }',
    ...['renew', 'revoke'].map((what) => `path "sys/leases/${what}" { capabilities = ["update"] }`),
  ];
  await bao.ask('POST', 'sys/policies/acl/rdp', { policy: policy.join('\n') });
  await bao.ask('POST', 'sys/auth/approle', { type: 'approle' });
  await bao.ask('POST', 'auth/approle/role/gateway', { token_policies: 'rdp', token_ttl: 60 });
});
after(async () => {
  await bao?.stop();
  await broker.stop();
});

async function roleOf(server: OpenBao): Promise<{ roleId: string; secretId: string }> {
  const { data: role } = (await server.ask('GET', 'auth/approle/role/gateway/role-id')) as {
    data: { role_id: string };
  };
  const { data } = (await server.ask('POST', 'auth/approle/role/gateway/secret-id')) as { data: { secret_id: string } };
  return { roleId: role.role_id, secretId: data.secret_id };
}

async function provider(server: OpenBao, more: Partial<VaultCredentialsOptions> = {}): Promise<VaultCredentials> {
  const { roleId, secretId } = await roleOf(server);
  return new VaultCredentials({
    url: server.address,
    login: { kind: 'approle', mount: 'approle', roleId, readSecretId: () => secretId },
    paths: ['secret/rdp/*', 'secret/other/*', 'rabbitmq/*'],
    ...more,
  });
}

const noSecret = (error: unknown): boolean => {
  assert.ok(error instanceof Error);
  for (const part of [password, 'root-of-the-test', 'hvs.', 's.'])
    assert.equal(error.message.includes(part), false, error.message);
  return true;
};
const says =
  (pattern: RegExp, name: 'unavailable' | 'invalidRequest' = 'unavailable') =>
  (error: unknown): boolean => {
    assert.ok(isLucidError(error, name), String(error));
    assert.match(error.message, pattern);
    return noSecret(error);
  };

test('OpenBao, KV: what the secret holds, else what the session says', async (t) => {
  if (skipUnlessPeers(t, 'openbao')) return;
  const vault = await provider(bao!);
  const none = { lease: null };
  assert.deepEqual(await vault.read(kv('rdp/one', { username: 'not me', domain: 'NOR' }), host), {
    ...none,
    credentials: { username: 'svc', domain: 'CORP', password },
  });
  assert.deepEqual(await vault.read(kv(`rdp/${host}`, { username: 'alice', domain: 'HOME' }), host), {
    ...none,
    credentials: { username: 'alice', domain: 'HOME', password },
  });
  await assert.rejects(vault.read(kv(`rdp/${host}`), host), says(/no user name and password/));
  await assert.rejects(vault.read(kv('rdp/odd'), host), says(/no user name and password/));
  for (const path of ['rdp/nosuch', 'rdp/gone'])
    await assert.rejects(vault.read(kv(path, { username: 'a' }), host), says(/nothing there \(404\)/));
  await assert.rejects(vault.read(kv('other/one'), host), says(/policy allows \(403\)/));
  await assert.rejects(vault.read(kv('more/one'), host), says(/not open to sessions/, 'invalidRequest'));
});

test('OpenBao, dynamic: made for the session, renewed, and gone when it is taken back', async (t) => {
  if (skipUnlessPeers(t, 'openbao')) return;
  const vault = await provider(bao!);
  const { credentials, lease } = await vault.read(dynamic, host);
  assert.equal(credentials.domain, 'CORP');
  assert.ok(broker.users.has(credentials.username));
  assert.deepEqual([lease?.seconds, lease?.renewable], [600, true]);
  assert.equal((await vault.renew(lease!.id)).id, lease!.id);
  await vault.revoke(lease!.id);
  assert.equal(broker.users.size, 0);
  // Told again, and too late.
  await vault.revoke(lease!.id);
  await assert.rejects(vault.renew(lease!.id), says(/does not renew/, 'invalidRequest'));
  await assert.rejects(vault.read({ ...dynamic, path: 'nosuch' }, host), says(/\(40[03]\)|answered 400/));
});

test('a token from a file, an AppRole whose token was revoked, and secrets that are none', async (t) => {
  if (skipUnlessPeers(t, 'openbao')) return;
  const reads = kv('rdp/one');
  const byToken = await provider(bao!, { login: { kind: 'token', readToken: () => bao!.rootToken } });
  assert.equal((await byToken.read(reads, host)).credentials.password, password);
  const wrong = await provider(bao!, { login: { kind: 'token', readToken: () => 'wrong-token' } });
  await assert.rejects(wrong.read(reads, host), says(/refused the token/));
  const odd = await provider(bao!, { login: { kind: 'token', readToken: () => `${password}\n` } });
  await assert.rejects(odd.read(reads, host), says(/not one line/));
  const none = await provider(bao!, {
    login: {
      kind: 'token',
      readToken: () => {
        throw new Error('its file is not there');
      },
    },
  });
  await assert.rejects(none.read(reads, host), says(/no token for Vault: its file is not there/));

  let nowMs = 0;
  const vault = await provider(bao!, { nowMs: () => nowMs });
  await vault.read(reads, host);
  await bao!.ask('POST', 'sys/leases/revoke-prefix/auth/approle', {});
  assert.equal((await vault.read(reads, host)).credentials.password, password);
  nowMs += 50_000;
  assert.equal((await vault.read(reads, host)).credentials.password, password);
  const { roleId } = await roleOf(bao!);
  const login = { kind: 'approle', mount: 'approle', roleId, readSecretId: () => password } as const;
  await assert.rejects((await provider(bao!, { login })).read(reads, host), says(/login by approle/));
});

test('one that is away, silent, lying or babbling: words, in time, and nothing of a secret', async (t) => {
  const vault = new FakeVault({ token: 'good', keys: [] });
  const url = await vault.start();
  t.after(() => vault.stop());
  const options = {
    url,
    login: { kind: 'token', readToken: () => 'good' } as const,
    paths: ['secret/*/*', 'rabbitmq/*'],
  };
  const made = new VaultCredentials(options);
  const impatient = new VaultCredentials({ ...options, timeoutMs: 300 });
  const cases: [FakeVault['mood'], RegExp][] = [
    [{ kind: 'failing', status: 500 }, /answered 500/],
    [{ kind: 'failing', status: 403 }, /\(403\)/],
    [{ kind: 'huge' }, /too large/],
    [{ kind: 'babbling', text: `{"data": "${password}` }, /no JSON/],
    [{ kind: 'babbling', text: '7' }, /no JSON/],
    [{ kind: 'babbling', text: 'null' }, /no JSON/],
    [{ kind: 'lying', data: { data: { username: 'a', password: `${password}\0` } } }, /no user name and password/],
    [{ kind: 'lying', data: { data: { username: 'x'.repeat(256), password } } }, /no user name and password/],
    [{ kind: 'lying', data: { data: [password] } }, /no user name and password/],
    [{ kind: 'babbling', text: '{}' }, /no user name and password/],
  ];
  for (const [mood, words] of cases) {
    vault.mood = mood;
    await assert.rejects(made.read(kv('a/b'), host), says(words), JSON.stringify(mood));
  }
  vault.mood = { kind: 'silent' };
  await assert.rejects(impatient.read(kv('a/b'), host), says(/did not answer within 300 ms/));
  vault.mood = { kind: 'lying', data: { username: 'a', password } };
  await assert.rejects(made.read(dynamic, host), says(/gave no lease/));
  vault.mood = { kind: 'failing', status: 503 };
  const before = vault.requests.length;
  await assert.rejects(made.read(dynamic, host), says(/answered 503/));
  assert.equal(vault.requests.length, before + 1, 'what makes credentials is not asked twice');
  await assert.rejects(made.renew('lease'), says(/answered 503/));
  await assert.rejects(made.revoke('lease'), says(/answered 503/));
  await vault.stop();
  await assert.rejects(made.read(kv('a/b'), host), says(/can not be reached/));
});

test('what sessions may name: parts, stars within one, and the host they lead to', () => {
  const allows = (paths: string[], name: string, target = host): boolean => {
    const [mount = '', ...path] = name.split('/');
    const options = { url: 'http://127.0.0.1:1', login: { kind: 'token', readToken: () => '' } as const, paths };
    return new VaultCredentials(options).allows(kv(path.join('/'), { mount }), target);
  };
  const table: [string, string, boolean][] = [
    ['secret/rdp/*', 'secret/rdp/one', true],
    ['secret/rdp/*', 'secret/rdp/one/two', false],
    ['secret/rdp/*', 'secret/rdp', false],
    ['secret/*/one', 'secret/rdp/one', true],
    ['secret/rdp-*', 'secret/rdp-one', true],
    ['secret/rdp-*-admin', 'secret/rdp-one-admin', true],
    ['secret/rdp-*-admin', 'secret/rdp-admin', false],
    ['secret/a*b*c', 'secret/a-b-c', true],
    ['secret/a*b*c', 'secret/acb', false],
    ['secret/rdp/{host}', `secret/rdp/${host}`, true],
    ['secret/rdp/{host}', `secret/rdp/${host.toUpperCase()}`, true],
    ['secret/rdp/{host}', 'secret/rdp/srv-02.corp.example', false],
    ['secret/{host}/*', `secret/${host}/admin`, true],
    ['secret/rdp/one', 'secret/rdp/onetwo', false],
    ['secret/rdp/one', 'secretx/rdp/one', false],
  ];
  for (const [pattern, name, open] of table) assert.equal(allows([pattern], name), open, `${pattern} ${name}`);
  assert.equal(allows(['secret/rdp/{host}'], 'secret/rdp/srv-01.corp.example', `${host}.`), true);
  // A target that is called so does not open everything.
  assert.equal(allows(['secret/rdp/{host}'], 'secret/rdp/one', '*'), false);
  assert.equal(allows([], 'secret/rdp/one'), false);
});
