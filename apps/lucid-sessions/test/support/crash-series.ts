/** Many crash runs over every victim, and their figures. */
import { fileURLToPath } from 'node:url';
import type { Desktop } from '@lucid-sessions/desktop';
import { auditIsWhole, custodyIsWhole } from './audit-check.ts';
import { type CrashRun, crashRun, type RunOutcome } from './crash-runs.ts';
import { verifySession } from './gateway.ts';
import { type House, type HouseOptions, oneProcess, severalProcesses, startHouse } from './house.ts';

export interface SeriesOptions {
  runs: number;
  seed: number;
  desktop: Desktop;
  say: (line: string) => void;
  sessions?: number;
  /** Instead of the 100 ms that are promised. */
  durableMs?: number;
}

const unsyncedDisk = fileURLToPath(import.meta.resolve('@lucid-sessions/testkit/crash/unsynced-disk'));

interface Scene {
  name: string;
  house: HouseOptions;
  victim: string;
  endsSessions: boolean;
}

/** `power cut`: what was not synced when the process is killed is gone, as after a power failure. */
export const scenes: readonly Scene[] = [
  { name: 'recorder', house: { processes: severalProcesses }, victim: 'recorder', endsSessions: true },
  { name: 'processor', house: { processes: severalProcesses }, victim: 'processor', endsSessions: false },
  { name: 'storage', house: { processes: severalProcesses }, victim: 'storage', endsSessions: false },
  { name: 'all in one', house: { processes: oneProcess }, victim: 'all', endsSessions: true },
  {
    name: 'recorder, power cut',
    house: { processes: severalProcesses, spoolDisk: unsyncedDisk },
    victim: 'recorder',
    endsSessions: true,
  },
];

/** mulberry32: the same seed gives the same moments (as far as a scheduler repeats itself). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** After all that was killed there is one audit chain, and one of custody for each session. */
async function chainsAreWhole(house: House, ids: readonly string[]): Promise<number> {
  for (const id of ids) custodyIsWhole(await verifySession(house, id));
  return (await auditIsWhole(house.api, `http://127.0.0.1:${house.environment.SESSION_API_PORT}/log`)).facts.rows;
}

export interface Tally {
  scene: string;
  /** Of the audit log at the end. */
  auditRows: number;
  runs: number;
  outcomes: RunOutcome[];
  failures: string[];
  /** All runs together, houses built included. */
  elapsedMs: number;
}

/** Runs `runs` times in one scene. A failed run gets a new house. */
export async function runScene(
  scene: Scene,
  runs: number,
  options: Pick<SeriesOptions, 'desktop' | 'say' | 'sessions' | 'durableMs'>,
  random: () => number,
): Promise<Tally> {
  const tally: Tally = { scene: scene.name, auditRows: 0, runs, outcomes: [], failures: [], elapsedMs: 0 };
  const startedMs = performance.now();
  let house: House | null = null;
  /** Of this house. */
  const ids: string[] = [];
  for (let i = 0; i < runs; i += 1) {
    const { victim, endsSessions } = scene;
    const moment = i % 4 === 1 ? 'ending' : 'recording';
    const { durableMs, sessions = 2 } = options;
    const bound = durableMs === undefined ? {} : { durableMs };
    const run: CrashRun = { victim, endsSessions, moment, sessions, random, ...bound };
    try {
      house ??= await startHouse(scene.house);
      const outcome = await crashRun(house, options.desktop, run);
      tally.outcomes.push(outcome);
      ids.push(...outcome.sessions.map(({ sessionId }) => sessionId));
    } catch (error) {
      tally.failures.push(error instanceof Error ? error.message : String(error));
      options.say(`${scene.name} run ${i + 1} FAILED: ${tally.failures.at(-1)}`);
      await house?.stop();
      house = null;
      ids.length = 0;
    }
    tally.elapsedMs = performance.now() - startedMs;
    if ((i + 1) % 10 === 0) options.say(row(tally));
  }
  if (house !== null)
    try {
      tally.auditRows = await chainsAreWhole(house, ids);
    } catch (error) {
      tally.failures.push(`at the end: ${error instanceof Error ? error.message : String(error)}`);
      options.say(`${scene.name} FAILED ${tally.failures.at(-1)}`);
    }
  await house?.stop();
  return tally;
}

const maxOf = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);

export const tableHead = [
  '| Killed | runs | failed | sessions: RECOVERED / whole | frames | most missing, relayed / sent | a run takes, mean | slowest to finish |',
  '|---|---|---|---|---|---|---|---|',
].join('\n');

/** A row of the table in docs/crash-safety.md. */
export function row({ scene, outcomes, failures, elapsedMs }: Tally): string {
  const sessions = outcomes.flatMap((outcome) => outcome.sessions);
  const recovered = sessions.filter(({ verdict }) => verdict === 'recovered').length;
  const runs = outcomes.length + failures.length;
  const missing = (['relayedLossMs', 'sentLossMs'] as const).map((loss) =>
    maxOf(sessions.map((session) => session[loss])).toFixed(1),
  );
  const cells = [
    scene,
    runs,
    failures.length,
    `${recovered} / ${sessions.length - recovered}`,
    sessions.reduce((sum, session) => sum + session.frames, 0),
    maxOf(sessions.map(({ bytesLost }) => bytesLost)) === 0 ? 'nothing' : `${missing.join(' ms / ')} ms`,
    `${(elapsedMs / Math.max(1, runs) / 1000).toFixed(1)} s`,
    `${(maxOf(outcomes.map(({ finishedMs }) => finishedMs)) / 1000).toFixed(1)} s`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** `lanes` scenes beside each other: a machine that is short of processor time makes nothing durable in time. */
export async function runMany(options: SeriesOptions & { lanes: number; scenes: readonly Scene[] }): Promise<boolean> {
  const { runs, seed, lanes, say } = options;
  const each = Math.ceil(runs / options.scenes.length);
  const waiting = [...options.scenes];
  const tallies: Tally[] = [];
  const lane = async (): Promise<void> => {
    for (let scene = waiting.shift(); scene !== undefined; scene = waiting.shift())
      tallies.push(await runScene(scene, each, options, randomFrom(seed + scenes.indexOf(scene) * 7919)));
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  say(tableHead);
  for (const tally of tallies) say(row(tally));
  return tallies.every(({ failures }) => failures.length === 0);
}
