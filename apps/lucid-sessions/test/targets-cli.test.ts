/** Targets at the command line, on a real gateway before a real desktop: pinned by what the host shows, connected to, changed, removed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { runCli } from './support/cli.ts';
import { attemptedSession, sessionIn, startGateway } from './support/gateway.ts';

const tokenIn = (file: string): string =>
  /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '';

test('targets check, add, list, set, connect and remove', { timeout: 900_000 }, async (t) => {
  const [desktop, other] = [
    await startDesktop({ now: () => new Date(0) }),
    await startDesktop({ now: () => new Date(0) }),
  ];
  t.after(async () => {
    await desktop.stop();
    await other.stop();
  });
  const gateway = await startGateway(t, { LUCID_TARGETS: 'listed', LUCID_RECONNECT_SECONDS: '0' });
  const { root } = gateway.lucid.directory;
  const environment = { LUCID_API_URL: gateway.lucid.addresses.api ?? '', LUCID_DATA_DIR: root };
  const targets = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCli(['--json', 'targets', ...args], environment);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown> & { rdp_config: { pinned_sha256?: string } };
  };
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await runCli(args, environment);
    assert.notEqual(code, 0, args.join(' '));
    return stderr;
  };
  const address = `127.0.0.1:${desktop.port}`;
  assert.match(await refused('sessions', 'create', address, '--name', 'free'), /LUCID_TARGETS/);
  const checked = await targets('check', address);
  assert.equal((checked.certificate as { sha256: string }).sha256, desktop.certificateSha256);
  assert.match(await refused('targets', 'check', '127.0.0.1:1'), /nothing listens there/);
  const password = join(root, 'target-password');
  writeFileSync(password, 'secret of the desk\n', { mode: 0o600 });
  const logon = ['--target-user', 'svc', '--target-password-file', password];
  const made = await targets(
    'add',
    'Desk one',
    address,
    '--fetch-certificate',
    '--label',
    'desk',
    '--project',
    'p',
    ...logon,
  );
  assert.equal(made.rdp_config.pinned_sha256, desktop.certificateSha256);
  assert.doesNotMatch(JSON.stringify(made), /secret of the desk/);
  assert.match(await refused('targets', 'add', 'desk ONE', address), /a target of this name is there already/);
  assert.match((await runCli(['targets', 'list', '--search', 'desk'], environment)).stdout, /Desk one .*pinned .*svc/);

  const session = await targets('connect', 'desk one');
  const id = String(session.session_id);
  assert.deepEqual([session.target_id, session.credentials], [made.target_id, 'injected']);
  const file = join(root, 'one.rdp');
  assert.equal((await runCli(['sessions', 'rdp-file', id, file], environment)).code, 0);
  const routingToken = tokenIn(file);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'zoe' });
  const running = await sessionIn(gateway, id, 'recording');
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  assert.equal((running as { came_by?: { way: string } }).came_by?.way, 'token');

  // To another host its credentials do not go along, and its pin lets no other host be.
  const moved = `127.0.0.1:${other.port}`;
  assert.match(await refused('targets', 'set', 'Desk one', '--address', moved), /its credentials are for this host/);
  const changed = await targets('set', 'Desk one', '--address', moved, '--no-credentials', '--name', 'Desk two');
  assert.deepEqual(
    [changed.version, changed.name, (changed.credentials as { source: string }).source],
    [...[2, 'Desk two', 'none']],
  );
  const wrong = await targets('connect', 'Desk two');
  const wrongFile = join(root, 'two.rdp');
  await runCli(['sessions', 'rdp-file', String(wrong.session_id), wrongFile], environment);
  const second = tokenIn(wrongFile);
  await (await connectClient({ port: gateway.rdpPort, routingToken: second, userName: 'zoe' })).ended;
  const { last_attempt } = await attemptedSession(gateway, String(wrong.session_id));
  assert.match(JSON.stringify(last_attempt), /certificate is not trusted.*not the pinned one/);

  assert.equal((await targets('remove', 'Desk two')).removed, true);
  assert.match(await refused('targets', 'show', 'Desk two'), /there is no target Desk two/);
  const kept = await gateway.api.json<{ target_id: string }>('GET', `/sessions/${id}`);
  assert.equal(kept.target_id, made.target_id, 'its session stays');
});
