import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { EnvironmentError, loggedError } from '@lucid-sessions/kit';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { openLog, readLogSettings } from '../src/server/logging.ts';
import { startCli } from './support/cli.ts';
import { openPorts } from './support/ports.ts';

const lines = (
  settings: Parameters<typeof openLog>[0],
  isTTY: boolean,
  ...write: ((log: ReturnType<typeof openLog>) => void)[]
) => {
  const parts: string[] = [];
  const log = openLog(settings, { isTTY, write: (part: string) => parts.push(part) });
  for (const each of write) each(log);
  return parts.join('');
};

test('lines are JSON with the same names everywhere; where a terminal is, they are for a person', () => {
  const say = (log: ReturnType<typeof openLog>) => {
    log('session 1 connected\u001b[2J', { service: 'recorder', session: '1' });
    log('ALARM the disk is full', { level: 'error', service: 'storage' });
    log('job anchor: away', { level: 'error', where: 'job anchor', error: loggedError(new Error('away')) });
    log('GET / 200', { level: 'debug', request: 'r1', more: { status: 200 } });
  };
  const settings = { level: 'debug', format: 'auto' } as const;
  const [first, second, third, fourth] = lines(settings, false, say)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const { time, ...rest } = first!;
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, { level: 'info', service: 'recorder', session: '1', msg: 'session 1 connected\u001b[2J' });
  assert.deepEqual([second!.level, second!.alarm, second!.msg], ['error', true, 'ALARM the disk is full']);
  assert.equal((third!.error as { message: string }).message, 'away');
  assert.deepEqual([fourth!.level, fourth!.request, fourth!.status], ['debug', 'r1', 200]);

  const shown = stripVTControlCharacters(lines(settings, true, say)).split('\n');
  assert.match(shown[0]!, /^\S+Z info {2}recorder {2}session 1 connected\ufffd\[2J$/);
  assert.match(shown.at(-2)!, /debug {11}GET \/ 200 request=r1$/);
});

test('LUCID_LOG_LEVEL and LUCID_LOG_FORMAT are what they say', () => {
  const say = (log: ReturnType<typeof openLog>) => {
    for (const level of ['error', 'warn', 'info', 'debug'] as const) log(level, { level });
  };
  for (const [LUCID_LOG_LEVEL, count] of [
    ['error', 1],
    ['warn', 2],
    ['info', 3],
    ['debug', 4],
  ] as const)
    for (const LUCID_LOG_FORMAT of ['json', 'pretty']) {
      const settings = readLogSettings({ LUCID_LOG_LEVEL, LUCID_LOG_FORMAT });
      assert.equal(lines(settings, false, say).trim().split('\n').length, count);
      assert.equal(lines(settings, true, say).startsWith('{'), LUCID_LOG_FORMAT === 'json');
    }
  assert.throws(() => readLogSettings({ LUCID_LOG_LEVEL: 'loud' }), EnvironmentError);
  assert.throws(
    () => readLogSettings({ LUCID_LOG_FORMAT: 'xml' }),
    /^EnvironmentError: LUCID_LOG_FORMAT must be one of auto, json, pretty$/,
  );
});

test('a server writes a JSON line for each request on debug, and none of its own secrets', {
  timeout: 120_000,
}, async (t) => {
  const directory = temporaryDirectory('logging');
  const ports = await openPorts();
  const environment = { ...ports, LUCID_DATA_DIR: join(directory, 'data'), LUCID_LOG_LEVEL: 'debug' };
  const server = await startCli(t, ['up'], environment, /^token /m);
  const secret = (name: string) => readFileSync(join(directory, 'data', 'secrets', name), 'utf8').trim();
  const token = secret('admin-token');
  const url = `http://127.0.0.1:${ports.SESSION_API_PORT}/api/v1/sessions?search=${secret('service')}`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  assert.equal(await server.stop('SIGTERM'), 0, server.stderr());
  const written = server
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const line = written.find(({ operation }) => operation === 'listSessions');
  assert.deepEqual(
    [line?.service, line?.level, line?.request, line?.status],
    ['api', 'debug', answer.headers.get('x-request-id'), 200],
  );
  for (const name of ['service', 'jwt', 'admin-token']) assert.ok(!server.stderr().includes(secret(name)), name);
});
