/**
 * The long form of the crash tests: `npm run crash-runs -- --runs 300 [--seed 1] [--lanes 1] [--scene NAME]`. Kills processes
 * of the product at random moments and says what was lost. Ends with 1 when a run breaks a promise.
 */
import { parseArgs } from 'node:util';
import { startDesktop } from '@lucid-sessions/testkit';
import { runMany, scenes } from '../apps/lucid-sessions/test/support/crash-series.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '1' },
    /** All of them by default; the runs are shared out among them. */
    scene: { type: 'string', multiple: true },
  },
});
const chosen = values.scene === undefined ? scenes : scenes.filter(({ name }) => values.scene?.includes(name));
if (chosen.length === 0 || chosen.length < (values.scene?.length ?? 0))
  throw new Error(`--scene is one of: ${scenes.map(({ name }) => name).join('; ')}`);
const desktop = await startDesktop();
const ok = await runMany({
  runs: Number(values.runs),
  seed: Number(values.seed),
  lanes: Number(values.lanes),
  scenes: chosen,
  desktop,
  say: (line) => void process.stdout.write(`${line}\n`),
});
await desktop.stop();
process.exit(ok ? 0 : 1);
