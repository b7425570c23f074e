/** The commands of docs/compliance.md, as they stand there, against an installation with one recorded session. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, freePort, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli, startCli } from './support/cli.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/compliance.md'), 'utf8');
const program = join(import.meta.dirname, '../bin/lucid-sessions.js');
const commands = [...page.matchAll(/^```sh ([A-Z]+)\n([\s\S]*?)^```$/gm)].map(([, name = '', script = '']) => ({
  name,
  script,
}));

/** What each must print, in order. */
const prints: Readonly<Record<string, RegExp>> = {
  SHOW: /"created_by":"admin".*"retention_days":null.*"merkle_root":"[0-9a-f]{64}"/,
  VER: /Result +CLEAN[\s\S]*Integrity +unaltered[\s\S]*Replay/,
  OFF: /bundle .*ev[\s\S]*Result +CLEAN/,
  FLIP: /CHUNK_ALTERED[\s\S]*exit code 16/,
  MAN: /"persistence":"strict"[\s\S]*"target_certificates":\[\{[\s\S]*"encryption":"AES-256-GCM"/,
  CUS: /"sequence":0[\s\S]*"action":"export"/,
  AUD: /"event_type":"evidence_exported","user_id":"admin","ip_address":"[^"]+","success":true/,
  ROWS: /rows in the chain[\s\S]*Result +(?:clean|nothing found|CLEAN)/i,
  ROLE: /^403\n\{"event_type":"permission_denied","user_id":"mia","success":false\}/m,
  HOLD: /M-17[\s\S]*exit code 1/,
  KEYS: /identity[\s\S]*policy\.json/,
  LOG: /\n\d+\n[\s\S]*— /,
  HEALTH: /healthy/,
  COPY: /copied|backup/i,
  COURT: /SHA-256 +[0-9a-f]{64}/,
  SHRED: /destroyed on purpose/,
};

function skipWithoutTools(t: TestContext): boolean {
  const missing = ['curl', 'jq'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  if (missing.length === 0) return false;
  const message = `needs ${missing.join(' and ')}: run .ci/install-peers`;
  if (process.env.REQUIRE_PEERS === '1') throw new Error(message);
  t.skip(message);
  return true;
}

/** One script of the page; answers what it printed. */
function run(
  script: string,
  cwd: string,
  environment: Record<string, string>,
): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(
      'bash',
      ['-euo', 'pipefail', '-c', script],
      { cwd, env: { ...process.env, ...environment } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), text: `${stdout}${stderr}` }),
    );
  });
}

test('the page names no command that it does not show, and shows none that is not expected', () => {
  assert.deepEqual(
    commands.map(({ name }) => name),
    Object.keys(prints),
  );
  const rows = page.split('\n').filter((line) => /^\| .*[●◐○✗]/.test(line));
  assert.ok(rows.length > 50);
  const words = rows.flatMap((row) => [...(row.split('|')[4] ?? '').matchAll(/\b[A-Z]{3,6}\b(?![-_\d])/g)]);
  const named = new Set(words.map(([word]) => word));
  const others = ['AES', 'GCM', 'TLS', 'NTP', 'NLA', 'RFC', 'EVM', 'CREATED'];
  assert.deepEqual(
    [...named].filter((word) => prints[word] === undefined && !others.includes(word)),
    [],
  );
  assert.deepEqual(
    Object.keys(prints).filter((name) => !named.has(name)),
    [],
  );
});

test('every command of the page prints what it is said to show', { timeout: 600_000 }, async (t) => {
  if (skipWithoutTools(t)) return;
  const directory = temporaryDirectory('compliance');
  const names = ['SESSION_PIPELINE', 'SESSION_RECORDER', 'CHUNK_PROCESSOR', 'SESSION_STORAGE', 'SESSION_API'];
  const environment: Record<string, string> = {
    LUCID_DATA_DIR: join(directory, 'data'),
    LUCID_HEADS_MS: '1000',
    RDP_LISTEN_HOST: '127.0.0.1',
    RDP_LISTEN_PORT: String(await freePort()),
  };
  for (const name of names) environment[`${name}_PORT`] = String(await freePort());
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  await startCli(t, ['up'], environment, /token +\//);
  const rdpFile = join(directory, 'session.rdp');
  const pin = ['--pinned-sha256', desktop.certificateSha256];
  const created = await runCli(
    ['--json', 'sessions', 'create', `127.0.0.1:${desktop.port}`, '--name', 'audited', ...pin, '--rdp-file', rdpFile],
    environment,
  );
  assert.equal(created.code, 0, created.stderr);
  const { session_id: id } = JSON.parse(created.stdout) as { session_id: string };
  const routingToken = /Cookie: msts=(\S+)/.exec(readFileSync(rdpFile, 'utf8'))?.[1] ?? '';
  const port = Number(environment.RDP_LISTEN_PORT);
  const client = await connectClient({ port, routingToken, userName: 'someone', password: 'Geheim-8842' });
  await client.type('audited\n');
  await eventually('the typed line', () => desktop.typedLines().includes('audited'));
  assert.equal((await runCli(['sessions', 'stop', id], environment)).code, 0);
  await client.ended;
  await eventually('a completed session', async () =>
    /completed/.test((await runCli(['sessions', 'show', id], environment)).stdout),
  );

  const bin = join(directory, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'lucid-sessions'), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`, {
    mode: 0o700,
  });
  const shell = {
    ...environment,
    PATH: `${bin}:${process.env.PATH}`,
    ID: id,
    A: `http://127.0.0.1:${environment.SESSION_API_PORT}`,
    T: readFileSync(join(directory, 'data', 'secrets', 'admin-token'), 'utf8').trim(),
  };
  for (const { name, script } of commands)
    await t.test(name, async () => {
      let { code, text } = await run(script, directory, shell);
      // The chain's head is logged a while after its rows.
      if (name === 'ROWS')
        await eventually('a logged head of the audit log', async () => {
          ({ code, text } = await run(script, directory, shell));
          return code === 0;
        });
      assert.equal(code, 0, text);
      assert.match(text, prints[name]!);
    });
});
