/** Legal holds with five processes: at the command line, beside deletions and a pipeline that is killed; and in the console. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { eventually } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { startFive } from './support/five.ts';
import { recordSession, verifySession } from './support/gateway.ts';

type Json = Record<string, unknown>;

test('five processes: what is held stays, whatever is asked for beside it and whoever dies', {
  timeout: 600_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const five = await startFive(t, {
    LUCID_RECONNECT_SECONDS: '0',
    LUCID_RATE_LIMIT_UPDATE: '100000',
    LUCID_RATE_LIMIT_DELETE: '100000',
    LUCID_RATE_LIMIT_BULK: '100000',
  });
  const { api } = five;
  const cli = (...args: string[]) =>
    runCli(args, {
      LUCID_API_URL: `http://127.0.0.1:${five.environment.SESSION_API_PORT}`,
      LUCID_DATA_DIR: five.dataDir,
    });
  const token = readFileSync(join(five.dataDir, 'secrets', 'admin-token'), 'utf8').trim();
  const statusOf = async (method: string, path: string, body: Json): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${five.environment.SESSION_API_PORT}/api/v1${path}`;
    return (await fetch(url, { method, headers, body: JSON.stringify(body) })).status;
  };
  const ids: string[] = [];
  for (let count = 0; count < 7; count++) ids.push(await recordSession(five, desktop.port));
  const [first = '', ...others] = ids;

  const set = await cli('hold', 'set', first, '--matter', 'M-17', '--reason', 'a suit is expected');
  const [, holdId = ''] = /^held \S+ by ([0-9a-f-]{36})$/m.exec(set.stdout) ?? [];
  assert.deepEqual([set.code, holdId === ''], [0, false], set.stderr);
  assert.match((await cli('hold', 'list')).stdout, new RegExp(`${first} +${holdId} +M-17`));
  for (const args of [
    ['sessions', 'delete', first, '--confirm', `test of port ${desktop.port}`, '--reason', 'x'],
    ['keys', 'shred', first, '--confirm', first, '--reason', 'x'],
  ]) {
    const refused = await cli(...args);
    assert.deepEqual([refused.code, /a legal hold is on this session/.test(refused.stderr)], [1, true], refused.stderr);
  }
  const meant = await cli(
    'hold',
    'set',
    '--user',
    'ADA',
    '--from',
    '2020-01-01',
    '--matter',
    'M-18',
    '--reason',
    'all',
  );
  assert.match(meant.stdout, /^7 sessions, no hold is set yet/m, meant.stderr);
  assert.match(
    (await cli('hold', 'set', '--user', 'nobody', '--yes', '--matter', 'M', '--reason', 'r')).stdout,
    /no session is meant/,
  );
  assert.equal((await cli('hold', 'set', '--matter', 'M', '--reason', 'r')).code, 2);

  // Holds and deletions of the same sessions at once, while the pipeline is killed and started again.
  const holds = new Map(others.map((id) => [id, randomUUID()]));
  const asked = others.map(async (id, index) => {
    const body = { reference: 'M-19', reason: 'race', hold_id: holds.get(id) };
    const hold = () => statusOf('POST', `/sessions/${id}/holds`, body);
    const remove = () => statusOf('DELETE', `/sessions/${id}`, { reason: 'race' });
    const calls = index % 2 === 0 ? [hold, remove] : [remove, hold];
    await Promise.allSettled(calls.map((call) => call()));
  });
  await Promise.race(asked);
  await five.running.pipeline.stop('SIGKILL');
  await Promise.all(asked);
  await five.again('pipeline');
  let [kept, gone] = [0, 0];
  for (const id of others) {
    const body = { reference: 'M-19', reason: 'race', hold_id: holds.get(id) };
    // Whoever lost an answer asks again.
    const status = await eventually('an answer about the hold', async () => {
      const status = await statusOf('POST', `/sessions/${id}/holds`, body);
      return status < 500 && status;
    });
    const session = await eventually('a session that is kept or gone', async () => {
      const known = await api.json<Json>('GET', `/sessions/${id}`);
      return (known.status === 'completed' || known.pipeline_state === 'destroyed') && known;
    });
    if (status === 201) {
      kept += 1;
      assert.deepEqual([session.status, session.legal_holds], ['completed', 1], id);
      const report = await verifySession(five, id);
      assert.deepEqual([report.clean, report.findings], [true, []], id);
    } else {
      gone += 1;
      assert.deepEqual([status, session.pipeline_state], [409, 'destroyed'], id);
    }
  }
  t.diagnostic(`${kept} kept, ${gone} destroyed before`);

  const cleared = await cli('hold', 'clear', first, holdId, '--reason', 'settled');
  assert.deepEqual([cleared.code, /nothing holds/.test(cleared.stdout)], [0, true], cleared.stderr);
  const bundle = join(five.dataDir, 'first.lucid.tar');
  assert.equal((await cli('export', first, '--out', bundle)).code, 0);
  const policy = join(five.dataDir, 'policy.json');
  assert.equal((await cli('keys', 'export-public', '--out', policy)).code, 0);
  const verified = await cli('verify', bundle, '--policy', policy);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  const removed = await cli('sessions', 'delete', first, '--confirm', `test of port ${desktop.port}`, '--reason', 'x');
  assert.equal(removed.code, 0, removed.stderr);
});
