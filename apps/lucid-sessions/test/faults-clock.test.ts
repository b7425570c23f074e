/** The wall clock is set back and forward while a session is recorded: the recording says so, and its times hold. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { readRecordOf } from '@lucid-sessions/evidence';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { oneProcess, startHouse } from './support/house.ts';

const hourMs = 3_600_000;

test('the wall clock steps: each step is a signed fact, and no time contradicts another', {
  timeout: 120_000,
}, async (t) => {
  const directory = temporaryDirectory('clock');
  const clockFile = join(directory, 'offset');
  const setClock = (offsetMs: number): void => writeFileSync(clockFile, `${offsetMs}`);
  setClock(0);
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const house = await startHouse({
    processes: oneProcess,
    preload: import.meta.resolve('@lucid-sessions/testkit/crash/stepped-clock'),
    environment: { CRASH_CLOCK_FILE: clockFile },
  });
  t.after(() => house.stop());
  const stepsOf = async (id: string): Promise<number[]> => {
    const [manifest] = (await house.service('storage').getRecords({ sessionId: id, kind: 'manifest' })).records;
    assert.ok(manifest !== undefined);
    const { clock_steps } = readRecordOf('manifest', manifest.record).body;
    return clock_steps.map(({ step_us }) => Math.round(step_us / 1e6));
  };

  // Ahead of the clock the token was issued by, whatever comes: tokens from the future are refused.
  const aheadMs = 2 * hourMs;
  setClock(aheadMs);
  // The end of a session looks at the clock: the next one begins without a step.
  const before = await witnessedSession(t, house, desktop);
  await before.client.close();
  await assertWhole(house, before);
  const session = await witnessedSession(t, house, desktop);
  setClock(aheadMs - hourMs);
  await workFor(session.client, 2500);
  setClock(aheadMs + hourMs);
  await workFor(session.client, 2500);
  // A last step, and the end before anybody looked at the clock again.
  setClock(aheadMs - hourMs);
  await session.client.close();
  await assertWhole(house, session);
  assert.deepEqual(await stepsOf(session.id), [-3600, 7200, -7200]);

  const later = await witnessedSession(t, house, desktop);
  await later.client.close();
  await assertWhole(house, later);
  assert.deepEqual(await stepsOf(later.id), []);
});
