/**
 * The long form of the crash tests: `npm run crash-runs -- --runs 300 [--seed 1] [--lanes 1] [--scene NAME]`. Kills processes
 * of the product at random moments and says what was lost. `--scene backup`: so many kills of a backup, and of restores
 * beside. `--scene connect [--minutes M]`: so many kills while clients connect. Ends with 1 when a run breaks a promise.
 */
import { parseArgs } from 'node:util';
import { startDesktop } from '@lucid-sessions/desktop';
import { describeFigures, runBackups } from '../support/backup-runs.ts';
import { describeConnects, runConnects } from '../support/connect-runs.ts';
import { randomFrom, runMany, scenes } from '../support/crash-series.ts';
import { oneProcess, severalProcesses } from '../support/house.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '1' },
    /** All of them by default; the runs are shared out among them. */
    scene: { type: 'string', multiple: true },
    /** Of `connect`: no kill after so many. */
    minutes: { type: 'string' },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const backupScenes = { backup: oneProcess, 'backup, several processes': severalProcesses };

/** Not among the scenes that are run by default: the recorder lives on in it. */
async function killBackups(processes: Record<string, string>): Promise<never> {
  const desktop = await startDesktop();
  const figures = await runBackups({
    desktop,
    house: { processes },
    kills: Number(values.runs),
    restoreEvery: 20,
    random: randomFrom(Number(values.seed)),
    say,
  });
  await desktop.stop();
  say(describeFigures(figures));
  for (const failure of figures.failures) say(failure);
  process.exit(figures.failures.length === 0 ? 0 : 1);
}

async function killConnects(): Promise<never> {
  const desktop = await startDesktop();
  const figures = await runConnects({
    desktop,
    kills: Number(values.runs),
    accountEvery: 10,
    random: randomFrom(Number(values.seed)),
    say,
    ...(values.minutes === undefined ? {} : { timeMs: Number(values.minutes) * 60_000 }),
  });
  await desktop.stop();
  say(describeConnects(figures));
  for (const failure of figures.failures) say(failure);
  process.exit(figures.failures.length === 0 ? 0 : 1);
}

if (values.scene?.includes('connect')) await killConnects();
for (const [name, processes] of Object.entries(backupScenes))
  if (values.scene?.includes(name)) await killBackups(processes);
const chosen = values.scene === undefined ? scenes : scenes.filter(({ name }) => values.scene?.includes(name));
if (chosen.length === 0 || chosen.length < (values.scene?.length ?? 0))
  throw new Error(
    `--scene is one of: ${[...scenes.map(({ name }) => name), ...Object.keys(backupScenes), 'connect'].join('; ')}`,
  );
const desktop = await startDesktop();
const ok = await runMany({
  runs: Number(values.runs),
  seed: Number(values.seed),
  lanes: Number(values.lanes),
  scenes: chosen,
  desktop,
  say,
});
await desktop.stop();
process.exit(ok ? 0 : 1);
