import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeCertificate, temporaryDirectory } from '@lucid-sessions/testkit';
import type { Finding } from '../src/commands/doctor.ts';
import { runCli, startCli } from './support/cli.ts';
import { openPorts } from './support/ports.ts';

async function place() {
  const directory = temporaryDirectory('doctor');
  const ports = await openPorts();
  return { directory, environment: { ...ports, LUCID_DATA_DIR: join(directory, 'data') } as Record<string, string> };
}

async function ask(environment: Record<string, string>) {
  const { code, stdout, stderr } = await runCli(['--json', 'doctor'], environment);
  const { findings } = JSON.parse(stdout || '{"findings":[]}') as { findings: Finding[] };
  return { code, stderr, findings, of: (what: string) => findings.filter((finding) => finding.what === what) };
}

test('doctor finds nothing wrong with a new place, makes nothing there, and knows what runs', {
  timeout: 120_000,
}, async (t) => {
  const { environment } = await place();
  const fresh = await ask(environment);
  assert.equal(fresh.code, 0, JSON.stringify(fresh));
  assert.deepEqual(fresh.of('ports')[0]?.told, 'free');
  assert.equal(existsSync(environment.LUCID_DATA_DIR!), false);
  await startCli(t, ['up'], environment, /^token /m);
  const running = await ask(environment);
  assert.equal(running.code, 0, JSON.stringify(running));
  assert.match(running.of('ports')[0]!.told, /in use by services of this product/);
  assert.match(running.of('certificate of the RDP door')[0]!.told, /rdp\.crt is good until \d{4}-/);
});

test('doctor names everything that is wrong at once, and what to do; no secret', { timeout: 120_000 }, async (t) => {
  const { directory, environment } = await place();
  const server = createServer().listen(Number(environment.SESSION_API_PORT), '127.0.0.1');
  t.after(() => server.close());
  const { cert, key } = await makeCertificate('gateway', 5);
  writeFileSync(join(directory, 'cert.pem'), cert, { mode: 0o600 });
  writeFileSync(join(directory, 'key.pem'), key, { mode: 0o600 });
  writeFileSync(environment.LUCID_DATA_DIR!, 'a file');
  const found = await ask({
    ...environment,
    LUCID_API_TLS_CERT: join(directory, 'cert.pem'),
    LUCID_API_TLS_KEY: join(directory, 'key.pem'),
    LUCID_SYSLOG_URL: 'relp://host',
    LUCID_LOG_LEVLE: 'debug',
    LUCID_SERVICE_SECRET: 'a-service-secret-of-thirty-two-characters',
  });
  assert.equal(found.code, 1);
  const wrong = found.findings.filter(({ verdict }) => verdict === 'wrong').map(({ what }) => what);
  assert.deepEqual(wrong, ['settings of what is connected', 'directories and databases', 'log', 'ports']);
  assert.match(found.of('settings of what is connected')[0]!.told, /^LUCID_SYSLOG_URL must be udp:/);
  assert.match(found.of('ports')[0]!.told, /^SESSION_API_PORT names port \d+ .*choose another port/);
  assert.match(found.of('variables')[0]!.told, /LUCID_LOG_LEVLE: is LUCID_LOG_LEVEL meant/);
  const [certificate] = found.of('certificate of the API');
  assert.equal(certificate?.verdict, 'look');
  assert.match(certificate!.told, /[45] days from now: renew it/);
  assert.ok(!JSON.stringify(found).includes('thirty-two'));
});

test('config print says what is set and from where, and masks secrets', { timeout: 60_000 }, async (_t) => {
  const { directory, environment } = await place();
  const path = join(directory, 'jwt');
  writeFileSync(path, 'a-jwt-secret-of-more-than-thirty-two-characters', { mode: 0o600 });
  const { code, stdout, stderr } = await runCli(['--json', 'config', 'print'], {
    ...environment,
    LUCID_JWT_SECRET_FILE: path,
    LUCID_SERVICE_SECRET: 'a-service-secret-of-thirty-two-characters',
    SESSION_METADATA_DB: 'postgres://lucid:db-password@db.example/lucid',
    RDP_LISTENR_HOST: 'x',
    LUCID_NOTHING: '1',
  });
  assert.equal(code, 0, stderr);
  const { settings, unread } = JSON.parse(stdout) as {
    settings: { name: string; value: string; source: string }[];
    unread: { name: string }[];
  };
  const of = (name: string) => settings.find((setting) => setting.name === name);
  assert.deepEqual(of('LUCID_JWT_SECRET'), { name: 'LUCID_JWT_SECRET', value: '[secret]', source: `file ${path}` });
  assert.equal(of('SESSION_METADATA_DB')?.value, 'postgres://lucid:[secret]@db.example/lucid');
  assert.equal(of('SESSION_API_PORT')?.value, environment.SESSION_API_PORT);
  assert.ok(unread.some(({ name }) => name === 'LUCID_NOTHING'));
  for (const secret of ['thirty-two', 'db-password']) assert.ok(!stdout.includes(secret), secret);
});
