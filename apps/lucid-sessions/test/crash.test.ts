/** The short form of `npm run crash-runs`: processes are killed at random moments, and an independent witness is asked. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { randomFrom, runScene, scenes } from './support/crash-series.ts';

const runsOfEach = 2;
/** How soon a frame is durable is measured by the long form; here a machine that is busy elsewhere must not fail a test. */
const durableMs = 2000;

describe('kill -9 at a random moment', { concurrency: 1 }, () => {
  for (const [at, scene] of scenes.entries())
    test(`${scene.name}: nothing durable is lost, and the recording says what happened`, {
      timeout: 300_000,
    }, async (t) => {
      const desktop = await startDesktop();
      t.after(() => desktop.stop());
      const seed = Date.now() + at;
      const tally = await runScene(scene, runsOfEach, { desktop, durableMs, say: () => {} }, randomFrom(seed));
      assert.deepEqual(tally.failures, [], `seed ${seed}`);
      assert.equal(tally.outcomes.length, runsOfEach);
      assert.ok(tally.auditRows > 0);
      for (const { sessions } of tally.outcomes) for (const { frames } of sessions) assert.ok(frames > 0);
    });
});
