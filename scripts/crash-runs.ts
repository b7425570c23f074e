/**
 * The long form of the crash tests: `npm run crash-runs -- --runs 300`. Kills processes of the product at random moments and
 * says what was lost. Ends with 1 when a run breaks a promise.
 */
import { parseArgs } from 'node:util';
import { startDesktop } from '@lucid-sessions/testkit';
import { runMany } from '../apps/lucid-sessions/test/support/crash-series.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '1' },
  },
});
const desktop = await startDesktop();
const ok = await runMany({
  runs: Number(values.runs),
  seed: Number(values.seed),
  lanes: Number(values.lanes),
  desktop,
  say: (line) => void process.stdout.write(`${line}\n`),
});
await desktop.stop();
process.exit(ok ? 0 : 1);
