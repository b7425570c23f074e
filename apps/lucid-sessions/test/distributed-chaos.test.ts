/** The short form of `npm run chaos-runs`: while three sessions are recorded something of an installation of many machines is killed, paused or stopped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import { runChaos } from './support/cluster-series.ts';
import { randomFrom } from './support/crash-series.ts';

const runs = 6;
/** How soon a frame is durable is measured by the long form; here a machine that is busy elsewhere must not fail a test. */
const durableMs = 2000;

test('whatever is killed, paused or stopped: every session ends, is whole or says what it lost, and the log only grew', {
  timeout: 580_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'postgres', 'redis', 'seaweedfs')) return;
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const seed = Date.now();
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const tally = await runChaos({ runs, desktop, durableMs, say, random: randomFrom(seed) });
  for (const line of said) t.diagnostic(line);
  assert.deepEqual(tally.failures, [], `seed ${seed}`);
  assert.equal(tally.outcomes.length, runs);
  assert.equal(tally.verifiedAgain, 3 * runs);
  assert.ok(tally.auditRows > 0);
  for (const { sessions } of tally.outcomes) for (const { frames } of sessions) assert.ok(frames > 0);
});
