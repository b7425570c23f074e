/** The short form of `npm run crash-runs -- --scene connect`: the gateway is killed while clients connect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { runConnects } from './support/connect-runs.ts';
import { randomFrom } from './support/crash-series.ts';

test('kill -9 in the middle of connecting: nothing is admitted twice, nothing is lost or left over', {
  timeout: 600_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const seed = Date.now();
  const figures = await runConnects({ desktop, kills: 5, accountEvery: 5, random: randomFrom(seed), say: () => {} });
  assert.deepEqual(figures.failures, [], `seed ${seed}`);
  assert.equal(figures.kills, 5);
  assert.ok(figures.recovered + figures.usedAgain > 0);
});
