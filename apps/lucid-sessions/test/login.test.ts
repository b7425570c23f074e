/** The command line of somebody who is not on the server's machine: signed in to it, looking, and signed out again. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { eventually } from '@lucid-sessions/testkit';
import { runCli, startCli } from './support/cli.ts';
import { type Gateway, recordSession, startGateway } from './support/gateway.ts';

const password = 'a long enough password';

interface Person {
  cookie: string;
  csrf: string;
}

async function send(gateway: Gateway, path: string, body: unknown, as?: Person): Promise<Response> {
  const proof = as === undefined ? {} : { cookie: as.cookie, 'x-csrf-token': as.csrf };
  return fetch(`${gateway.lucid.addresses.api}/api/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...proof },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** An account with a password; answers its signed-in browser. */
async function newPerson(gateway: Gateway, user_id: string, roles: string[]): Promise<Person> {
  await gateway.api.json('POST', '/users', { user_id, roles });
  const { token } = await gateway.api.json<{ token: string }>('POST', `/users/${user_id}/invite`, {});
  const answer = await send(gateway, '/auth/invite', { token, password });
  const cookie = answer.headers
    .getSetCookie()
    .map((text) => text.split(';')[0])
    .join('; ');
  return { cookie, csrf: ((await answer.json()) as { csrf_token: string }).csrf_token };
}

/** [RFC 6238], 30 s, six digits. */
function totp(secret: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac('sha1', key).update(counter).digest();
  const at = hash[19]! & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

function home(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'lucid-login-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const environment = { XDG_CONFIG_HOME: folder, LUCID_API_URL: '', LUCID_TOKEN: '', LUCID_DATA_DIR: '' };
  const kept = join(folder, 'lucid-sessions', 'sign-ins.json');
  return { kept, passwordFile, environment, cli: (...args: string[]) => runCli(args, environment) };
}

test('login keeps a token of one’s own, commands use it, and logout ends it', { timeout: 300_000 }, async (t) => {
  const gateway = await startGateway(t);
  const url = gateway.lucid.addresses.api!;
  const { kept, passwordFile, environment, cli } = home(t);
  await newPerson(gateway, 'ann', ['session_manager']);
  const asAnn = ['login', url, '--user', 'ann', '--password-file'];

  const wrongFile = `${passwordFile}2`;
  writeFileSync(wrongFile, 'another password\n', { mode: 0o600 });
  const wrong = await cli(...asAnn, wrongFile);
  assert.deepEqual([wrong.code, existsSync(kept)], [4, false], wrong.stderr);

  const signedIn = await cli('--json', ...asAnn, passwordFile, '--days', '2');
  assert.equal(signedIn.code, 0, signedIn.stderr);
  const { servers } = JSON.parse(readFileSync(kept, 'utf8')) as {
    servers: Record<string, { token: string; token_id: string }>;
  };
  const { token, token_id } = servers[url]!;
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  assert.ok(!signedIn.stdout.includes(token) && !signedIn.stderr.includes(token), 'it is never shown');
  const { sign_ins } = await gateway.api.json<{ sign_ins: unknown[] }>('GET', '/users/ann/sign-ins');
  assert.equal(sign_ins.length, 1, 'the browser that redeemed the link; that of the sign-in is gone');

  const who = await cli('--json', 'whoami');
  const facts = JSON.parse(who.stdout) as Record<string, unknown>;
  assert.deepEqual([facts.user_id, facts.server, facts.method], ['ann', url, 'bearer']);

  await t.test('a token is not sent elsewhere, and its file is for its owner alone', async () => {
    const other = await cli('--api', 'http://127.0.0.1:1', 'whoami');
    assert.match(other.stderr, /there is no token/);
    chmodSync(kept, 0o644);
    assert.match((await cli('whoami')).stderr, /can be read by others: run chmod 600/);
    chmodSync(kept, 0o600);
  });

  await t.test('health of the whole installation', async () => {
    const { code, stdout, stderr } = await cli('health', '--system');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^recorder +healthy/m);
  });

  const out = await cli('logout');
  assert.deepEqual([out.code, existsSync(kept)], [0, false], out.stderr);
  assert.match(out.stdout, /the token is revoked/);
  const { tokens } = await gateway.api.json<{ tokens: { token_id: string }[] }>('GET', '/users/ann/tokens');
  assert.ok(!tokens.some((each) => each.token_id === token_id));
  const after = await runCli(['whoami'], { ...environment, LUCID_API_URL: url, LUCID_TOKEN: token });
  assert.equal(after.code, 4, 'the token opens nothing any more');
});

test('login asks for a second factor, and takes a token that was made elsewhere', { timeout: 300_000 }, async (t) => {
  const gateway = await startGateway(t);
  const url = gateway.lucid.addresses.api!;
  const { passwordFile, environment, cli } = home(t);
  const ben = await newPerson(gateway, 'ben', ['session_viewer']);
  const { secret } = (await (await send(gateway, '/account/totp', undefined, ben)).json()) as { secret: string };
  const confirmed = await send(gateway, '/account/totp/confirm', { code: totp(secret) }, ben);
  const { recovery_codes } = (await confirmed.json()) as { recovery_codes: string[] };

  const asBen = ['--json', 'login', url, '--user', 'ben', '--password-file', passwordFile];
  const without = await cli(...asBen);
  const { error } = JSON.parse(without.stderr) as { error: { code: string; message: string; reference: string } };
  assert.deepEqual([without.code, error.code], [4, 'LUCID_ERR_3011']);
  assert.match(error.message, /code of your authenticator app/);
  assert.match(error.reference, /^[\w-]{8,}$/, 'as the API’s log has it');
  const withCode = await cli(...asBen, '--code', recovery_codes[0]!);
  assert.equal(withCode.code, 0, withCode.stderr);
  assert.equal((await cli(...asBen, '--code', recovery_codes[0]!)).code, 4, 'none twice');
  assert.equal((await cli('logout')).code, 0);

  const made = await send(gateway, '/account/tokens', { name: 'elsewhere', days: 1 }, ben);
  const { token } = (await made.json()) as { token: string };
  const tokenFile = `${passwordFile}-token`;
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const brought = await cli('login', url, '--token-file', tokenFile);
  assert.equal(brought.code, 0, brought.stderr);
  assert.match((await cli('whoami')).stdout, /^user +ben$/m);
  assert.match((await cli('logout')).stdout, /stays good/);
  const still = await runCli(['whoami'], { ...environment, LUCID_API_URL: url, LUCID_TOKEN: token });
  assert.equal(still.code, 0, still.stderr);
});

test('sessions are watched, listed to the last one, and their events told', { timeout: 300_000 }, async (t) => {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  const environment = { LUCID_API_URL: gateway.lucid.addresses.api!, LUCID_DATA_DIR: gateway.lucid.directory.root };
  const cli = (...args: string[]) => runCli(args, environment);
  const rdp_config = { host: '127.0.0.1', port: desktop.port };
  for (let count = 0; count < 103; count += 1)
    await gateway.api.json('POST', '/sessions', { name: `waits ${count}`, rdp_config });

  const watching = await startCli(
    t,
    ['--json', 'sessions', 'list', '--watch', '--every', '1'],
    environment,
    /waits 53/,
  );
  const id = await recordSession(gateway, desktop.port);
  await eventually('the watcher sees it end', () =>
    watching
      .stdout()
      .split('\n')
      // The last may not be whole yet.
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { session_id: string; status: string })
      .some(({ session_id, status }) => session_id === id && status === 'completed'),
  );
  await watching.stop('SIGTERM');

  const { sessions } = JSON.parse((await cli('--json', 'sessions', 'list', '--all')).stdout) as { sessions: unknown[] };
  assert.equal(sessions.length, 104);
  assert.match((await cli('sessions', 'list', '--search', 'waits 10')).stdout, /^4 of 4 sessions$/m);
  const hers = await cli('sessions', 'list', '--user', 'ADA', '--since', '2026-01-01', '--sort', 'size');
  assert.match(hers.stdout, /^1 of 1 sessions$/m, hers.stderr);
  assert.match((await cli('sessions', 'list', '--until', '2026-01-01')).stdout, /^0 of 0 sessions$/m);
  const whole = await cli('sessions', 'list', '--outcome', 'whole', '--larger', '1B');
  assert.match(whole.stdout, /^1 of 1 sessions$/m, whole.stderr);
  const short = await cli('sessions', 'list', '--shorter', '9:59:59', '--smaller', '2TB', '--search', 'waits 10');
  assert.match(short.stdout, /^4 of 4 sessions$/m, short.stderr);
  for (const none of [
    ['--longer', '9:59:59'],
    ['--replay', 'nothing', '--outcome', 'gap'],
  ])
    assert.match((await cli('sessions', 'list', ...none)).stdout, /^0 of 0 sessions$/m);

  const told = await eventually('its index is there', async () => {
    const { stdout } = await cli('--json', 'events', id, '--inputs');
    const answer = JSON.parse(stdout) as { complete: boolean; inputs: boolean; events: { kind: string }[] };
    return answer.complete && answer;
  });
  assert.equal(told.inputs, true);
  assert.ok(told.events.length > 0);
  const lines = await cli('events', id, '--kind', told.events[0]!.kind);
  assert.match(lines.stdout, new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{3} {2}${told.events[0]!.kind}`));
  assert.match((await cli('play', `${id}@5`, '--print')).stdout, new RegExp(`/sessions/${id}.*#t=5\n$`));
});
