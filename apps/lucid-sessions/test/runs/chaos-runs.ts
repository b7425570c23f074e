/**
 * The long form of `distributed-chaos.test.ts`: `npm run chaos-runs -- --runs 300 [--seed 1] [--only recorder]`. Two of every
 * service on a PostgreSQL, a Redis and an S3 server; while three sessions are recorded something is killed, paused or stopped. Says
 * what was lost; ends with 1 when a run breaks a promise.
 */
import { parseArgs } from 'node:util';
import { startDesktop } from '@lucid-sessions/desktop';
import { faults } from '../support/cluster-runs.ts';
import { chaosHead, chaosRows, runChaos } from '../support/cluster-series.ts';
import { randomFrom } from '../support/crash-series.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    /** What is hit, by a part of its name: `pause`, `kill recorder`, `s3`. */
    only: { type: 'string', default: '' },
    /** Instead of the 100 ms that are promised. */
    durable: { type: 'string', default: '100' },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const chosen = faults.filter(({ name }) => name.includes(values.only));
if (chosen.length === 0) throw new Error(`--only is a part of one of: ${faults.map(({ name }) => name).join(', ')}`);
const desktop = await startDesktop();
const tally = await runChaos({
  runs: Number(values.runs),
  desktop,
  random: randomFrom(Number(values.seed)),
  durableMs: Number(values.durable),
  faults: chosen,
  say,
});
await desktop.stop();
say(chaosHead);
for (const row of chaosRows(tally)) say(row);
const minutes = (tally.elapsedMs / 60_000).toFixed(1);
say(
  `${tally.outcomes.length} runs good, ${tally.failures.length} failed; ${tally.verifiedAgain} sessions verified again at the end, ${tally.logEntries} entries of the log; ${minutes} minutes`,
);
for (const failure of tally.failures) say(failure);
process.exit(tally.failures.length === 0 ? 0 : 1);
