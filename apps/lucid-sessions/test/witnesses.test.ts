/** Witnesses through the whole product: a session that others saw in the log, and a log that was rolled back. */
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { type NoteKey, parseNoteKey } from '@lucid-sessions/evidence';
import { eventually, LogWitness, temporaryDirectory } from '@lucid-sessions/testkit';
import { recordSession, startGateway, verifySession } from './support/gateway.ts';

test('witnesses cosign what is logged; a log set back to an older state is an alarm', {
  timeout: 300_000,
}, async (t) => {
  const directory = temporaryDirectory('witnessed');
  let logKey: NoteKey | null = null;
  const witness = await LogWitness.start('witness.example', () => logKey ?? assert.fail('no log yet'));
  t.after(() => witness.stop());
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const environment = {
    LUCID_DATA_DIR: join(directory, 'data'),
    LUCID_WITNESSES: witness.setting,
    LUCID_WITNESS_SECONDS: '1',
  };
  const gateway = await startGateway(t, environment);
  const policy = await gateway.api.json<{ log_keys: string[]; witnesses: string[] }>('GET', '/evidence/policy');
  assert.deepEqual(policy.witnesses, [witness.setting.split(' ')[0]]);
  logKey = parseNoteKey(policy.log_keys[0] ?? '');
  const id = await recordSession(gateway, desktop.port);
  const report = await eventually(
    'a witnessed session',
    async () => {
      const seen = await verifySession(gateway, id);
      return seen.verdicts.time === 'witnessed' && seen;
    },
    20_000,
  );
  assert.equal(report.clean, true);
  assert.equal(report.facts.witnesses_count, 1);
  const seen = await eventually(
    'the word of the witness over its manifest to be kept, however the log grows',
    async () => {
      const other = await verifySession(gateway, await recordSession(gateway, desktop.port));
      const first = await verifySession(gateway, id);
      assert.equal(first.clean, true);
      return other.verdicts.time === 'witnessed' && first.facts.not_after_us! < other.facts.not_after_us! && first;
    },
    90_000,
  );
  assert.deepEqual([seen.verdicts.time, seen.facts.witnesses_count], ['witnessed', 1]);
  const second = await eventually('a bounded session', async () => {
    const next = await verifySession(gateway, await recordSession(gateway, desktop.port));
    return next.facts.not_before_us !== null && next;
  });
  assert.ok(
    (second.facts.not_before_us ?? 0) <= (second.facts.opened_us ?? 0) + 1_000_000,
    'it began after a witness saw',
  );

  await gateway.lucid.dispose();
  const older = join(directory, 'older');
  cpSync(environment.LUCID_DATA_DIR, older, { recursive: true });
  rmSync(join(older, 'log'), { recursive: true });
  const rolledBack = await startGateway(t, { ...environment, LUCID_DATA_DIR: older });
  await recordSession(rolledBack, desktop.port);
  await eventually('the alarm', async () => rolledBack.logged.some((line) => line.includes('ALARM: the witness')));
  const { events } = await rolledBack.api.json<{ events: { error_message: string }[] }>(
    'GET',
    '/audit?event_type=log_contradicted',
  );
  assert.match(events[0]?.error_message ?? '', /witness\.example contradicts our transparency log/);
});

test('a setting that names no witness is wrong usage', async (t) => {
  for (const setting of ['x', 'witness.example http://127.0.0.1', `${'a b,'.repeat(17)}`])
    await assert.rejects(startGateway(t, { LUCID_WITNESSES: setting }), /LUCID_WITNESSES must be at most 16 witnesses/);
});
