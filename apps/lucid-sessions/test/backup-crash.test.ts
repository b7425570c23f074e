/** The short form of `npm run crash-runs -- --scene backup`: backups and restores are killed while sessions are recorded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { runBackups } from './support/backup-runs.ts';
import { randomFrom } from './support/crash-series.ts';
import { oneProcess, severalProcesses } from './support/house.ts';

for (const [name, processes] of Object.entries({ 'one process': oneProcess, 'several processes': severalProcesses }))
  test(`kill -9 in the middle of backup and restore, ${name}: nothing is lost, and nothing says it is whole that is not`, {
    timeout: 600_000,
  }, async (t) => {
    const desktop = await startDesktop();
    t.after(() => desktop.stop());
    const seed = Date.now();
    const random = randomFrom(seed);
    const figures = await runBackups({
      desktop,
      house: { processes },
      kills: 3,
      restoreEvery: 2,
      random,
      say: () => {},
    });
    assert.deepEqual(figures.failures, [], `seed ${seed}`);
    assert.equal(figures.backups.killed, 3);
    assert.ok(figures.restores.whole > 0 && figures.verified.whole > 0);
    assert.equal(figures.auditsVerified, figures.restores.whole);
  });
