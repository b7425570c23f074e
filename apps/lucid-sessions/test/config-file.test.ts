/** The configuration file beside the environment: what counts, where it came from, what is wrong with it. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { knownVariables } from '@lucid-sessions/kit';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import type { Finding } from '../src/commands/doctor.ts';
import { configSchema, readConfigFile } from '../src/server/config-file.ts';
import { settingsInForce, withSettings } from '../src/server/config-values.ts';
import { runCli } from './support/cli.ts';
import { openPorts } from './support/ports.ts';

function fileOf(text: string, mode = 0o600): string {
  const path = join(temporaryDirectory('config'), 'lucid.yaml');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

test('values are read as they were written, and say where they stand', () => {
  const path = fileOf(`# of this machine
LUCID_RETENTION_DAYS_DEFAULT: 90
RDP_NLA: off
LUCID_SCRUB_REPAIR: true
LUCID_SPOOL_MAX_MB: 0x10
RDP_LISTENERS:
  - 3391=host-a:3389
  - 3392=host-b:3389;ignore_cert
LUCID_PUBLIC_URL:
OTEL_SERVICE_NAME: gateway
`);
  assert.deepEqual(
    readConfigFile(path).settings.map(({ name, value, from }) => [name, value, from.slice(path.length)]),
    [
      ['LUCID_RETENTION_DAYS_DEFAULT', '90', ':2'],
      ['RDP_NLA', 'off', ':3'],
      ['LUCID_SCRUB_REPAIR', 'true', ':4'],
      ['LUCID_SPOOL_MAX_MB', '0x10', ':5'],
      ['RDP_LISTENERS', '3391=host-a:3389,3392=host-b:3389;ignore_cert', ':6'],
      ['OTEL_SERVICE_NAME', 'gateway', ':10'],
    ],
  );
  assert.deepEqual(readConfigFile(fileOf('# nothing yet\n')).settings, []);
});

test('the environment goes before the file, and a secret is said once', () => {
  const file = readConfigFile(fileOf('LUCID_LOG_LEVEL: debug\nLUCID_JWT_SECRET_FILE: /x\nLUCID_API_HOST: "::"\n'));
  const environment = { LUCID_LOG_LEVEL: 'warn', LUCID_JWT_SECRET: 's'.repeat(40), LUCID_API_HOST: '' };
  assert.deepEqual(withSettings(environment, file), { ...environment, LUCID_API_HOST: '::' });
  assert.deepEqual(
    settingsInForce(environment, file).map(({ name }) => name),
    ['LUCID_API_HOST'],
  );
  assert.equal(withSettings(environment, null).LUCID_LOG_LEVEL, 'warn');
});

test('everything that is wrong is told at once, with its line and no value', () => {
  const secret = 'hunter2-hunter2-hunter2-hunter2-hunter2';
  const cases: [string, RegExp[], number?][] = [
    [
      `MAX_CONCURENT_SESSIONS: 5\nPAINT: ${secret}\nRDP_CHANNELS: {clipboard: ${secret}}\n`,
      [
        /yaml:1: nothing reads MAX_CONCURENT_SESSIONS: is MAX_CONCURRENT_SESSIONS meant\?$/m,
        /yaml:2: nothing reads PAINT$/m,
        /yaml:3: RDP_CHANNELS must be one value, or a list of values$/m,
      ],
    ],
    ['- a list\n', [/yaml:1: must be lines of NAME: value/]],
    ['RDP_NLA: off\nRDP_NLA: required\n', [/yaml:2: this is no YAML: DUPLICATE_KEY/]],
    ['RDP_NLA: "off\n', [/this is no YAML/]],
    ['RDP_LISTENERS: &a [x]\nRDP_NLA: *a\n', [/yaml:2: RDP_NLA must be one value/]],
    ['LUCID_CONFIG: other.yaml\n', [/yaml:1: LUCID_CONFIG names this file/]],
    [
      `RDP_NLA: off\nLUCID_JWT_SECRET: ${secret}\n`,
      [/yaml:2: LUCID_JWT_SECRET is a secret.+LUCID_JWT_SECRET_FILE/],
      0o644,
    ],
    [`SESSION_METADATA_DB: postgres://u:${secret}@h/d\n`, [/yaml:1: SESSION_METADATA_DB is a secret/], 0o644],
    [`LUCID_S3_REGION: ${'x'.repeat(70_000)}\n`, [/LUCID_S3_REGION is longer than/]],
    [`# ${'x'.repeat(300_000)}\n`, [/is no configuration: it has 3\d+ bytes/]],
  ];
  for (const [text, says, mode] of cases)
    assert.throws(
      () => readConfigFile(fileOf(text, mode)),
      (error: Error) => {
        assert.equal(error.name, 'ConfigFileError');
        for (const pattern of says) assert.match(error.message, pattern);
        assert.ok(!error.message.includes(secret), 'no value is told');
        return true;
      },
    );
  assert.throws(
    () => readConfigFile('/nowhere/lucid.yaml'),
    /the configuration \/nowhere\/lucid\.yaml can't be read: there is no such/,
  );
  for (const [text, mode] of [
    [`LUCID_JWT_SECRET: ${secret}\n`, 0o600],
    [`LUCID_JWT_SECRET_FILE: /run/secrets/jwt\nSESSION_METADATA_DB: postgres://u@h/d\n`, 0o644],
  ] as const)
    assert.ok(readConfigFile(fileOf(text, mode)).settings.length > 0);
});

test('config print says where each value came from; doctor and up say what is wrong', {
  timeout: 300_000,
}, async () => {
  const ports = await openPorts();
  const folder = temporaryDirectory('config-data');
  const secret = 'a secret that nobody shall read, ever';
  const path = fileOf(`LUCID_LOG_LEVEL: debug\nLUCID_JWT_SECRET: ${secret}\nLUCID_API_HOST: 0.0.0.0\n`);
  const environment = { ...ports, LUCID_DATA_DIR: folder, LUCID_API_HOST: '127.0.0.1' };
  const printed = await runCli(['--json', 'config', 'print'], { ...environment, LUCID_CONFIG: path });
  assert.equal(printed.code, 0, printed.stderr);
  const { settings } = JSON.parse(printed.stdout) as { settings: { name: string; value: string; source: string }[] };
  const of = (name: string) => settings.find((setting) => setting.name === name);
  assert.deepEqual(of('LUCID_LOG_LEVEL'), { name: 'LUCID_LOG_LEVEL', value: 'debug', source: `${path}:1` });
  assert.deepEqual(of('LUCID_JWT_SECRET'), { name: 'LUCID_JWT_SECRET', value: '[secret]', source: `${path}:2` });
  assert.deepEqual(of('LUCID_API_HOST'), { name: 'LUCID_API_HOST', value: '127.0.0.1', source: 'environment' });
  assert.ok(!printed.stdout.includes(secret));

  const told = async (file: string) => {
    const { code, stdout } = await runCli(['--json', '--config', file, 'doctor'], environment);
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    return { code, finding: findings.find(({ what }) => what === 'configuration') };
  };
  assert.deepEqual((await told(path)).finding, { what: 'configuration', verdict: 'ok', told: `3 settings in ${path}` });
  const wrong = fileOf('LUCID_LOG_LEVLE: debug\n');
  const doctor = await told(wrong);
  assert.deepEqual([doctor.code, doctor.finding?.verdict], [1, 'wrong']);
  const up = await runCli(['--json', '--config', wrong, 'up'], environment);
  const { error } = JSON.parse(up.stderr) as { error: { code: string; message: string } };
  assert.deepEqual([up.code, error.code], [2, 'usage']);
  assert.match(error.message, /lucid\.yaml:1: nothing reads LUCID_LOG_LEVLE: is LUCID_LOG_LEVEL meant\?$/);
});

test('the schema for editors has every name but the file’s own', () => {
  const { properties } = configSchema() as { properties: object };
  assert.deepEqual(Object.keys(properties), [...knownVariables].filter((name) => name !== 'LUCID_CONFIG').sort());
});
