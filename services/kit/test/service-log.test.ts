import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LogFacts, loggedError, maskedCharactersMin, maskedLog, secretValues } from '../src/index.ts';

interface Line extends LogFacts {
  line: string;
}

function written(secrets: readonly string[], write: (log: ReturnType<typeof maskedLog>) => void): Line[] {
  const lines: Line[] = [];
  write(maskedLog((line, facts) => lines.push({ line, ...facts }), secrets));
  return lines;
}

const secret = fc.string({ unit: 'grapheme', minLength: maskedCharactersMin, maxLength: 80 });
/** Ways in which a value gets into a line. */
const ways: ((value: string) => string)[] = [
  (value) => value,
  (value) => encodeURIComponent(value.toWellFormed()),
  (value) => JSON.stringify({ value }),
  (value) => `Authorization: Basic ${Buffer.from(value).toString('base64')}`,
];

test('no value of a secret setting is ever in a line, wherever it stands', () => {
  const settings = fc.record({
    LUCID_SERVICE_SECRET: secret,
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_SESSION_TOKEN: secret,
    password: fc.stringMatching(/^[A-Za-z0-9%!~-]{6,30}$/),
  });
  fc.assert(
    fc.property(settings, fc.string(), fc.string(), fc.nat(ways.length - 1), ({ password, ...rest }, a, b, way) => {
      const environment = {
        ...rest,
        SESSION_METADATA_DB: `postgres://lucid:${password}@db/lucid`,
        RDP_LISTEN_PORT: '1',
      };
      const values = secretValues(environment);
      assert.ok([...Object.values(rest), password].every((value) => values.includes(value)));
      for (const value of values.filter(({ length }) => length >= maskedCharactersMin)) {
        const said = `${a}${ways[way]!(value)}${b}`;
        const [line] = written(values, (log) =>
          log(said, {
            where: said,
            error: loggedError(Object.assign(new Error(said), { code: said, config: { password: value } })),
            more: { path: said },
          }),
        );
        const text = JSON.stringify(line);
        assert.ok(!line!.line.includes(value) && !line!.error!.message.includes(value), line!.line);
        assert.ok(!text.includes(JSON.stringify(value).slice(1, -1)), text);
        assert.ok(!text.includes(Buffer.from(value).toString('base64')), text);
      }
    }),
    { numRuns: 300 },
  );
});

test('tokens, keys and passwords of others are known by their shape', () => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9m';
  const key = `-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----`;
  const said = [
    `token ${token}`,
    'authorization: Bearer s.abcdef123456',
    'connect to amqp://user:pw@host/x',
    'GET /x?token=abc&name=ada',
    key,
    'AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L',
  ];
  const lines = written([], (log) => {
    for (const line of said) log(line);
  }).map(({ line }) => line);
  assert.deepEqual(lines, [
    'token [secret]',
    'authorization: Bearer [secret]',
    'connect to amqp://user:[secret]@host/x',
    'GET /x?token=[secret]&name=ada',
    '[secret]',
    '[secret]',
  ]);
});

test('lines without secrets are what was said', () => {
  fc.assert(
    fc.property(fc.lorem({ maxCount: 20 }), (text) => {
      assert.equal(written(['a-secret-of-ours'], (log) => log(text))[0]!.line, text);
    }),
  );
});

test('a line says which session it is about, and an alarm is an error', () => {
  const id = '019a3b5c-0000-7000-8000-000000000001';
  const lines = written([], (log) => {
    log(`session ${id} connected: 10.0.0.1`);
    log('ALARM the disk is full');
    log('quiet', { level: 'debug', session: id });
  });
  assert.deepEqual(lines, [
    { line: `session ${id} connected: 10.0.0.1`, level: 'info', session: id },
    { line: 'ALARM the disk is full', level: 'error' },
    { line: 'quiet', level: 'debug', session: id },
  ]);
});

test('secrets are found in files that variables name; what no file holds is no secret', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-secrets-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'token');
  writeFileSync(path, 'a-token-of-vault\n', { mode: 0o600 });
  const environment = {
    LUCID_VAULT_TOKEN_FILE: path,
    REDIS_PASSWORD_FILE: join(directory, 'nowhere'),
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20key%20of%20theirs,y=another-key',
    LUCID_EVM_RPC_URL: 'https://node.example/v3/0123456789abcdef0123456789abcdef',
    LUCID_DATA_DIR: directory,
    SESSION_METADATA_DB: `sqlite:${directory}/metadata.db`,
  };
  assert.deepEqual(secretValues(environment), [
    'a-token-of-vault',
    'a key of theirs',
    'another-key',
    '0123456789abcdef0123456789abcdef',
  ]);
});
