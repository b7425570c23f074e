/** The command line as a person meets it: separate processes, real files, exit codes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { eventually, freePort, temporaryDirectory } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { serviceNames } from '../src/server/environment.ts';
import { runCli, startCli } from './support/cli.ts';
import { startFive } from './support/five.ts';

/** Every port the services need, free now. */
async function freePorts(): Promise<Record<string, string>> {
  const names = ['SESSION_PIPELINE', 'SESSION_RECORDER', 'CHUNK_PROCESSOR', 'SESSION_STORAGE', 'SESSION_API'];
  const ports: Record<string, string> = { RDP_LISTEN_HOST: '127.0.0.1', RDP_LISTEN_PORT: String(await freePort()) };
  for (const name of names) ports[`${name}_PORT`] = String(await freePort());
  return ports;
}

const filesUnder = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

interface DemoAnswer {
  session: { session_id: string; status: string };
  report: { clean: boolean; verdicts: Record<string, string> };
  exported: { bundle: string; policy: string };
}

test('demo records, seals, logs and verifies, and what it exports is judged offline', {
  timeout: 120_000,
}, async (t) => {
  const directory = temporaryDirectory('cli');
  const dataDir = join(directory, 'data');
  const out = join(directory, 'out');
  const demo = await runCli(['--json', '--data-dir', dataDir, 'demo', '--export', out]);
  assert.equal(demo.code, 0, demo.stderr);
  const answer = JSON.parse(demo.stdout) as DemoAnswer;
  assert.equal(answer.session.status, 'completed');
  assert.equal(answer.report.clean, true);
  assert.equal(answer.report.verdicts.completeness, 'whole');
  const { bundle, policy } = answer.exported;

  const clean = await runCli(['verify', bundle, '--policy', policy]);
  assert.equal(clean.code, 0, clean.stderr);
  assert.match(clean.stdout, /Result +CLEAN/);

  await t.test('a changed chunk is named, with an exit code of its own', async () => {
    const tampered = join(directory, 'tampered');
    cpSync(bundle, tampered, { recursive: true });
    const chunk = join(tampered, 'chunks', '00000000.lsc');
    const bytes = readFileSync(chunk);
    bytes[bytes.length - 20]! ^= 4;
    writeFileSync(chunk, bytes);
    const judged = await runCli(['--json', 'verify', tampered, '--policy', policy]);
    const report = JSON.parse(judged.stdout) as { clean: boolean; exit_code: number; findings: { code: string }[] };
    assert.equal(report.clean, false);
    assert.equal(judged.code, report.exit_code);
    assert.ok(judged.code >= 10);
    assert.deepEqual(
      report.findings.map(({ code }) => code),
      ['CHUNK_ALTERED'],
    );
  });

  await t.test('a bundle becomes a court file, whose view key is in it only when that is said', async () => {
    const page = join(directory, 'court.html');
    const key = join(directory, 'view-key');
    writeFileSync(key, `${'ab'.repeat(32)}\n`);
    const made = await runCli(['--json', 'court', bundle, '--out', page]);
    assert.equal(made.code, 0, made.stderr);
    const { sha256, view_key: kept } = JSON.parse(made.stdout) as { sha256: string; view_key: string | null };
    assert.equal(sha256, createHash('sha256').update(readFileSync(page)).digest('hex'));
    assert.equal(kept, null);
    assert.match(readFileSync(page, 'utf8'), /"view_key":null/);
    assert.equal((await runCli(['court', bundle, '--out', page])).code, 1);
    assert.equal((await runCli(['court', bundle, '--out', `${page}2.html`, '--view-key', 'included'])).code, 2);
    const folder = join(directory, 'court');
    const keyed = ['--view-key', 'included', '--key', key];
    const beside = await runCli(['court', bundle, '--out', folder, ...keyed]);
    assert.match(beside.stdout, /the view key is INSIDE/);
    assert.ok(readFileSync(join(folder, 'court.html'), 'utf8').includes('ab'.repeat(32)));
    assert.equal(readdirSync(folder).filter((name) => name.endsWith('.lucid.tar')).length, 1);
  });

  await t.test('a file that is no bundle, no policy, nothing there: told apart', async () => {
    const junk = join(directory, 'junk.tar');
    writeFileSync(junk, 'this is no tar file');
    assert.equal((await runCli(['verify', junk, '--policy', policy])).code, 10);
    assert.equal((await runCli(['verify', bundle, '--policy', junk])).code, 2);
    assert.equal((await runCli(['verify', join(directory, 'nowhere'), '--policy', policy])).code, 2);
  });

  await t.test('secrets are in files only their owner reads', () => {
    for (const path of [...filesUnder(join(dataDir, 'secrets')), ...filesUnder(join(dataDir, 'keys'))]) {
      if (path.endsWith('.crt')) continue;
      assert.equal(statSync(path).mode & 0o077, 0, path);
    }
  });
});

test('up serves all five services; sessions are created, recorded, listed, exported and deleted', {
  timeout: 120_000,
}, async (t) => {
  const directory = temporaryDirectory('cli');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const environment: Record<string, string> = { ...(await freePorts()), LUCID_DATA_DIR: join(directory, 'data') };
  const server = await startCli(t, ['up'], environment, /token +\//);
  const tokenFile = join(directory, 'data', 'secrets', 'admin-token');
  const adminToken = readFileSync(tokenFile, 'utf8').trim();
  assert.equal(adminToken.split('.').length, 3);
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  assert.ok(server.stdout().includes(tokenFile), 'the file is named');
  assert.match(server.stdout(), /retention +recordings are kept until somebody deletes them/);
  for (const name of ['storage', 'processor', 'pipeline', 'recorder', 'api'])
    assert.match(server.stdout(), new RegExp(`^${name} `, 'm'));

  const cli = (...args: string[]) => runCli(args, environment);
  const rdpFile = join(directory, 'session.rdp');
  const created = await cli(
    '--json',
    'sessions',
    'create',
    `127.0.0.1:${desktop.port}`,
    '--name',
    'from the CLI',
    '--pinned-sha256',
    desktop.certificateSha256.toUpperCase().replaceAll(/..(?=.)/g, '$&:'),
    '--consent-file',
    'none',
    '--no-approval',
    '--clipboard',
    'out',
    '--no-drives',
    '--channels',
    'deny:Contoso*',
    '--rdp-file',
    rdpFile,
  );
  assert.equal(created.code, 0, created.stderr);
  const { session_id: id } = JSON.parse(created.stdout) as { session_id: string };
  const routingToken = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(readFileSync(rdpFile, 'utf8'))?.[1] ?? '';
  assert.match(readFileSync(rdpFile, 'utf8'), new RegExp(`^full address:s:\\S+:${environment.RDP_LISTEN_PORT}`, 'm'));

  const password = 'Geheim-8842';
  const client = await connectClient({
    port: Number(environment.RDP_LISTEN_PORT),
    routingToken,
    userName: 'someone',
    password,
  });
  await client.type('typed once\n');
  await eventually('the typed line', () => desktop.typedLines().includes('typed once'));
  const running = await cli('sessions', 'list', '--status', 'recording');
  assert.match(running.stdout, new RegExp(id));
  const told = await cli('sessions', 'message', id, 'We stop at six.', '--seconds', '5');
  assert.equal(told.code, 0, told.stderr);
  assert.match(told.stdout, /^shown until \d{4}-/);
  const stopped = await cli('sessions', 'stop', id, '--reason', 'it is six', '--notice', '1');
  assert.equal(stopped.code, 0, stopped.stderr);
  const end = await client.ended;
  assert.ok(end.errorInfo > 0, 'the client learns why its session ends');
  await eventually('a completed session', async () => /completed/.test((await cli('sessions', 'show', id)).stdout));

  const pipeline = await cli('sessions', 'pipeline', id);
  assert.match(pipeline.stdout, /^manifest +completed +-$/m);
  assert.match((await cli('sessions', 'pipeline', id, '--resume')).stdout, /^manifest +completed +-$/m);

  const verified = await cli('verify', id);
  assert.equal(verified.code, 0);
  assert.match(verified.stdout, /^Policy +in force: clipboard:out drives:off deny:Contoso\*$/m);
  assert.match((await cli('sessions', 'show', id)).stdout, /it is six/);
  const tar = join(directory, 'evidence.tar');
  assert.equal((await cli('export', id, '--out', tar)).code, 0);
  assert.equal((await cli('verify', tar, '--policy', join(directory, 'evidence.policy.json'))).code, 0);
  assert.equal((await cli('export', id, '--out', tar)).code, 1, 'nothing is overwritten');

  const token = ['token', '--user', 'eve', '--role', 'session_viewer', '--lifetime', '5m'];
  for (const args of [token, ['--json', ...token]]) {
    const piped = await cli(...args);
    assert.deepEqual([piped.code, piped.stdout], [2, ''], 'a pipe gets no secret');
    assert.match(piped.stderr, /name a file with --out/);
  }
  const viewerFile = join(directory, 'viewer');
  const viewer = await cli(...token, '--out', viewerFile);
  assert.equal(viewer.code, 0, viewer.stderr);
  assert.equal(statSync(viewerFile).mode & 0o777, 0o600);
  assert.equal((await cli(...token, '--out', viewerFile)).code, 1, 'nothing is overwritten');
  const asViewer = { ...environment, LUCID_TOKEN: readFileSync(viewerFile, 'utf8').trim() };
  assert.equal(viewer.stdout.includes(asViewer.LUCID_TOKEN), false);
  assert.equal((await runCli(['sessions', 'show', id], asViewer)).code, 0);
  const asked = await cli('sessions', 'delete', id);
  assert.equal(asked.code, 2, 'there is nobody to ask');
  assert.match(asked.stderr, /--confirm NAME.* --reason TEXT/);
  const other = await cli('sessions', 'delete', id, '--confirm', id, '--reason', 'a typo');
  assert.equal(other.code, 2, 'the name, not the id');
  assert.match((await cli('sessions', 'show', id)).stdout, /completed/);
  const meant = ['sessions', 'delete', id, '--confirm', 'from the CLI', '--reason', 'the test is over'];
  assert.equal((await runCli(meant, asViewer)).code, 4);
  assert.equal((await cli(...meant)).code, 0);
  assert.match((await cli('sessions', 'list')).stdout, /sessions/);

  assert.equal(await server.stop(), 0, server.stderr());
  const kept = [...filesUnder(join(directory, 'data')), tar].map((path) => readFileSync(path));
  const secrets = [Buffer.from(password), Buffer.from(password, 'utf16le'), Buffer.from(routingToken)];
  for (const secret of secrets) assert.ok(kept.every((file) => !file.includes(secret)));
  for (const secret of [password, routingToken, adminToken])
    assert.equal(`${server.stdout()}${server.stderr()}`.includes(secret), false);
  assert.equal((await cli('sessions', 'list')).code, 3, 'no API answers any more');
});

test('five processes record a session together, and go on with it when its connection was lost', {
  timeout: 180_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const five = await startFive(t);
  assert.equal(new Set(Object.values(five.running).map(({ pid }) => pid)).size, 5);
  const cli = (...args: string[]) => runCli(args, five.environment);
  const rdpFile = join(temporaryDirectory('cli'), 'session.rdp');
  const target = `127.0.0.1:${desktop.port}`;
  const file = ['--ignore-cert', '--rdp-file', rdpFile];
  const created = await cli('--json', 'sessions', 'create', target, '--name', 'five', ...file);
  assert.equal(created.code, 0, created.stderr);
  const { session_id: id } = JSON.parse(created.stdout) as { session_id: string };
  const routingToken = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(readFileSync(rdpFile, 'utf8'))?.[1] ?? '';
  const typing = async (line: string) => {
    const client = await connectClient({ port: five.rdpPort, routingToken });
    await client.type(`${line}\n`);
    await eventually('the typed line', () => desktop.typedLines().includes(line));
    return client;
  };
  const session = () => five.api.json<SessionAnswer>('GET', `/sessions/${id}`);
  (await typing('through five')).destroy();
  await eventually('the loss', async () => ((await session()).reconnect_until ?? null) !== null);
  // The window is the recorder's to keep: none of the others need remember it.
  await Promise.all(serviceNames.filter((name) => name !== 'recorder').map((name) => five.again(name)));
  await (await typing('and again')).close();
  await eventually('a completed session', async () => (await session()).status === 'completed', 40_000);
  const verified = await cli('--json', 'verify', id);
  const { findings, verdicts } = JSON.parse(verified.stdout) as VerificationReport;
  assert.deepEqual([findings.map(({ code }) => code), verdicts.integrity], [['GAP'], 'intact'], verified.stdout);
  assert.ok(existsSync(join(five.dataDir, 'chunks')));
  for (const name of serviceNames.toReversed()) {
    const server = five.running[name];
    assert.equal(await server.stop('SIGTERM'), 0, server.stderr());
  }
});

test('wrong usage says what is right and ends with 2', async () => {
  const directory = temporaryDirectory('cli');
  const cases: [string[], Record<string, string>, RegExp][] = [
    [['sessions', 'create', 'not a host', '--name', 'x'], {}, /host:port/],
    [['frobnicate'], {}, /unknown command/],
    [['up', '--services', 'recorder,coffee'], {}, /unknown service coffee/],
    [['verify', directory], {}, /--policy/],
    [['verify', join(directory, 'nowhere.tar')], {}, /there is no .*nowhere\.tar/],
    [['token', '--user', 'x', '--role', 'root'], {}, /unknown role root/],
    [['token', '--user', 'x', '--lifetime', 'long'], {}, /write 90s, 30m, 8h or 30d/],
    [['--api', 'http://ada:hidden@127.0.0.1:1', 'sessions', 'list'], { LUCID_TOKEN: 'x' }, /without user and password/],
    [['up'], { BLOCKCHAIN_ANCHORING_URL: 'https://ada:hidden@core' }, /BLOCKCHAIN_ANCHORING_URL must be an address/],
    [['up'], { LUCID_TSA_URL: 'https://ada:hidden@tsa' }, /LUCID_TSA_URL must be an address/],
    [['up'], { LUCID_EVM_RPC_URL: 'https://ada:hidden@node' }, /LUCID_EVM_RPC_URL must be an address/],
    [['up'], { CHUNK_SIZE_MB: 'many' }, /CHUNK_SIZE_MB must be a whole number/],
    [['up'], { ENCRYPTION_ALGORITHM: 'ROT13' }, /ENCRYPTION_ALGORITHM must be AES-256-GCM/],
    [['up'], { SESSION_METADATA_DB: 'oracle://somewhere' }, /SESSION_METADATA_DB must be sqlite:PATH/],
    [['up'], { SESSION_METADATA_DB: 'postgres://ada:hidden@' }, /SESSION_METADATA_DB must name/],
    [['up'], { REDIS_URL: 'redis://ada:hidden@a,b' }, /REDIS_URL must name one host/],
    [['up'], { SESSION_METADATA_DB: 'mongodb://ada:hidden@h:1:2' }, /SESSION_METADATA_DB names a MongoDB that can't/],
  ];
  for (const [args, environment, message] of cases) {
    const result = await runCli(args, { LUCID_DATA_DIR: join(directory, 'data'), ...environment });
    assert.match(result.stderr, message);
    assert.doesNotMatch(result.stderr + result.stdout, /hidden/);
    assert.equal(result.code, 2, args.join(' '));
  }
  for (const [args, message] of [
    [['import', 'nosuch.pcapng'], /^nosuch\.pcapng is not there\n$/],
    [['import', directory], /is a directory, not a file\n$/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = await runCli(args, { LUCID_DATA_DIR: join(directory, 'data') });
    assert.match(stderr, message);
    assert.equal(code, 1);
  }
  const open = join(directory, 'data', 'secrets', 'admin-token');
  writeFileSync(open, 'x.y.z', { mode: 0o644 });
  const refused = await runCli(['sessions', 'list'], { LUCID_DATA_DIR: join(directory, 'data') });
  assert.match(refused.stderr, /chmod 600/);
  const help = await runCli(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /Exit codes/);
});
