/** What is published, installed into an empty directory with no workspace around: what a newcomer gets. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { removeAtExit } from '@lucid-sessions/testkit';
import { transform } from 'esbuild';
import { buildCli } from '../build.ts';
import { linkedFiles } from '../documents.ts';
import { type CliResult, environmentWithout, startProgram } from './support/cli.ts';
import { armSession, sessionIn } from './support/gateway.ts';
import { openPorts } from './support/ports.ts';
import { RawClient } from './support/raw-client.ts';

const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'lucid-package-'));
const home = join(directory, 'empty');
const installed = join(home, 'node_modules', 'lucid-sessions');
const ownNode = dirname(process.execPath);

/** Codes of npm for a registry that does not answer. */
const noRegistry = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b/;

function npmProblem(error: Error & { stderr?: string }): Error {
  const [, code] = noRegistry.exec(error.stderr ?? '') ?? [];
  if (code === undefined) return error;
  const why = "this test installs the package, whose dependencies come from the npm registry, and it can't be reached";
  return new Error(`${why} from here (${code})`, { cause: error });
}

before(async () => {
  const built = join(directory, 'built');
  await buildCli(built);
  const { stdout } = await run('npm', ['pack', '--json', built], { cwd: directory });
  const [{ filename = '' } = {}] = JSON.parse(stdout) as { filename?: string }[];
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{}\n');
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  await run('npm', ['install', ...quiet, join(directory, filename)], { cwd: home }).catch((error: Error) => {
    throw npmProblem(error);
  });
});
removeAtExit(directory);

/** Node of the distribution, where it is too old. */
function oldNode(): string | null {
  for (const each of (process.env.PATH ?? '').split(delimiter)) {
    const node = join(each, 'node');
    if (!existsSync(node)) continue;
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' });
    if (Number(/^v(\d+)\./.exec(version)?.[1]) < 26) return each;
  }
  return null;
}

/** `npx lucid-sessions …` in the empty directory, with the Node of `nodeDirectory` first in the PATH. */
async function npx(
  nodeDirectory: string,
  args: string[],
  environment: Record<string, string> = {},
): Promise<CliResult> {
  const env = { ...pathOf(nodeDirectory), ...environment };
  return run('npx', ['--no-install', 'lucid-sessions', ...args], { cwd: home, env, maxBuffer: 1 << 26 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: CliResult) => ({ code, stdout, stderr }),
  );
}

/** The PATH without the workspace's own Node, which npm put there. */
function pathOf(nodeDirectory: string): Record<string, string> {
  const others = (process.env.PATH ?? '').split(delimiter).filter((each) => !each.includes('node_modules'));
  return { ...environmentWithout('npm_', 'LUCID_', 'NODE_'), PATH: [nodeDirectory, ...others].join(delimiter) };
}

const megabytesUnder = (path: string): number =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0) / 1e6;

test('installs little, and nothing of the workspace', () => {
  const { version } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { version: string };
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.ok(!existsSync(join(home, 'node_modules', '@lucid-sessions')));
  assert.ok(!existsSync(join(home, 'node_modules', 'esbuild')));
  const megabytes = megabytesUnder(join(home, 'node_modules'));
  assert.ok(megabytes < 110, `${megabytes.toFixed(1)} MB`);
});

test('its files are those it was published with, until one is changed', async () => {
  const verify = () => npx(ownNode, ['version', '--verify']);
  const sound = await verify();
  assert.deepEqual([sound.code, /^files +as they were published$/m.test(sound.stdout)], [0, true], sound.stderr);
  const digest = createHash('sha256')
    .update(readFileSync(join(installed, 'build.json')))
    .digest('hex');
  assert.match(sound.stdout, new RegExp(`^package +${digest}$`, 'm'));
  const licence = readFileSync(join(installed, 'LICENSE'));
  try {
    writeFileSync(join(installed, 'LICENSE'), 'another');
    const changed = await verify();
    assert.deepEqual([changed.code, /^changed: LICENSE$/m.test(changed.stdout)], [1, true], changed.stderr);
  } finally {
    writeFileSync(join(installed, 'LICENSE'), licence);
  }
});

test('what its README links to is there, with what that links to', async () => {
  const { files, dead } = await linkedFiles(installed);
  assert.deepEqual(dead, []);
  for (const name of ['ARCHITECTURE.md', 'docs/operations.md', 'docs/openapi.json', 'docs/console/README.md'])
    assert.ok(files.includes(name), name);
});

test('the first file is read by old versions of Node', async () => {
  const text = readFileSync(join(installed, 'lucid-sessions.js'), 'utf8');
  assert.match(text, /^#!\/usr\/bin\/env node\n/);
  assert.doesNotMatch(text, /\.ts'/);
  const [plain, lowered] = await Promise.all([
    transform(text, { target: 'esnext' }),
    transform(text, { target: 'node12.22' }),
  ]);
  assert.equal(lowered.code, plain.code);
});

test('a Node that is too old gets a sentence, and one that npm put beside the package is used', async (t) => {
  const old = oldNode();
  if (old === null) return t.skip('no Node older than 26 in the PATH');
  for (const args of [['--version'], ['--help'], ['up'], ['sessions', 'list']]) {
    const { code, stdout, stderr } = await npx(old, args);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^lucid-sessions needs Node 26 or newer, and this is Node \d+\.\d+\.\d+: .*npm install .*\n$/);
  }
  const nodePackage = /npm install (\S+)@/.exec((await npx(old, [])).stderr)?.[1] ?? '';
  const beside = join(home, 'node_modules', nodePackage);
  symlinkSync(join(ownNode, '..'), beside);
  t.after(() => rmSync(beside));
  const { code, stdout } = await npx(old, ['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal((await npx(old, ['sessions', 'lust'])).code, 2);
});

test('says its version and its help', async () => {
  const { version } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { version: string };
  assert.deepEqual(await npx(ownNode, ['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  const help = await npx(ownNode, ['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: lucid-sessions /);
});

test('runs the demo', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await npx(ownNode, ['demo'], { LUCID_DATA_DIR: join(directory, 'demo') });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Result +CLEAN/);
});

async function recordOne(
  t: TestContext,
  gateway: { api: RawClient; rdpPort: number },
  compression: string,
): Promise<string> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const { id, routingToken } = await armSession(gateway, desktop.port, { recording_config: { compression } });
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'newcomer' });
  await client.type('from the package\n', 5);
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  return id;
}

async function compressionsOf(api: RawClient, id: string): Promise<string[]> {
  const { chunks } = await api.json<{ chunks: { chunk_id: string }[] }>('GET', `/sessions/${id}/chunks`);
  const details = chunks.map(({ chunk_id }) =>
    api.json<{ processing_info: { compression: string } }>('GET', `/sessions/${id}/chunks/${chunk_id}`),
  );
  return (await Promise.all(details)).map(({ processing_info }) => processing_info.compression);
}

test('up records, stores, verifies, exports and shows a session of each compression', {
  timeout: 300_000,
}, async (t) => {
  const rates = { LUCID_RATE_LIMIT_READ: '100000', LUCID_RATE_LIMIT_BULK: '1000', LUCID_RATE_LIMIT_CHUNKS: '1000' };
  const environment = { ...(await openPorts()), ...rates, LUCID_DATA_DIR: join(directory, 'data') };
  // Not by npx, which keeps a signal to itself.
  const command = join(home, 'node_modules', '.bin', 'lucid-sessions');
  const program = { command, args: [], cwd: home, env: pathOf(ownNode) };
  const server = await startProgram(t, program, ['up'], environment, /token +\//);
  const token = readFileSync(join(directory, 'data', 'secrets', 'admin-token'), 'utf8').trim();
  assert.equal(server.stdout().includes(token), false, 'no secret leaves for a pipe');
  const url = `http://127.0.0.1:${environment.SESSION_API_PORT}`;
  const gateway = { api: new RawClient({ url, token }), rdpPort: Number(environment.RDP_LISTEN_PORT) };

  for (const compression of ['none', 'zstd', 'gzip', 'lz4']) {
    const id = await recordOne(t, gateway, compression);
    assert.deepEqual(await compressionsOf(gateway.api, id), [compression]);
    const report = await gateway.api.json<VerificationReport>('POST', `/sessions/${id}/verify`, {});
    assert.equal(report.clean, true, compression);
    const out = join(directory, compression);
    const exported = await npx(ownNode, ['export', id, '--out', out], environment);
    assert.equal(exported.code, 0, exported.stderr);
    const verified = await npx(ownNode, ['verify', out, '--policy', `${out}.policy.json`]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    const picture = join(directory, `${compression}.png`);
    const drawn = await npx(ownNode, ['picture', id, '--at', 'end', '--out', picture], environment);
    assert.equal(drawn.code, 0, drawn.stderr);
  }

  const page = await (await fetch(`${url}/`)).text();
  const named = [...page.matchAll(/"(\/assets\/[\w.-]+)"/g)].map(([, path]) => path ?? '');
  assert.ok(named.length >= 3);
  for (const path of ['/lucid-player.js', ...named]) assert.equal((await fetch(`${url}${path}`)).status, 200, path);
  const health = (await (await fetch(`${url}/health`)).json()) as { status: string };
  assert.equal(health.status, 'healthy');
  assert.equal(await server.stop('SIGTERM'), 0);
});
