/** Many runs of chaos on one installation, and what must hold over all of them: one log that only grew, and every session in it. */
import type { Desktop } from '@lucid-sessions/desktop';
import { LogMonitor, parsePolicy, scanLog } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { equalBytes } from '@lucid-sessions/wire';
import { logAt } from '../../src/commands/log-source.ts';
import { auditIsWhole, custodyIsWhole } from './audit-check.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { type ChaosOutcome, chaosRun, type Fault, faults } from './cluster-runs.ts';
import { verifySession } from './gateway.ts';

export interface ChaosOptions {
  runs: number;
  desktop: Desktop;
  /** 0 ≤ x < 1. */
  random: () => number;
  /** How long before a recorder's kill a byte may have been relayed that is missing. */
  durableMs: number;
  faults?: readonly Fault[];
  say(line: string): void;
}

export interface ChaosTally {
  outcomes: ChaosOutcome[];
  failures: string[];
  /** Sessions that were verified once more at the end of their installation. */
  verifiedAgain: number;
  logEntries: number;
  /** Of the audit log of every installation, as one chain. */
  auditRows: number;
  elapsedMs: number;
}

/** Roots a log had, and whether it has them still. */
class LogWatch {
  readonly #known = new Map<number, Uint8Array>();
  size = 0;

  /** Reads the whole log through either API. Throws what is wrong with it. */
  async look({ api, apiUrls }: Cluster): Promise<void> {
    const policy = parsePolicy(new TextEncoder().encode(JSON.stringify(await api.json('GET', '/evidence/policy'))));
    for (const url of apiUrls) {
      const monitor = new LogMonitor();
      const { checkpoint, roots } = await scanLog(logAt(`${url}/log`), {
        crypto: nodeCrypto,
        keys: policy.logKeys,
        sizes: this.#known.keys(),
        visit: monitor.visit,
      });
      for (const [size, root] of this.#known)
        if (!equalBytes(root, roots.get(size) ?? new Uint8Array(0)))
          throw new Error(`the log of ${size} entries is another`);
      if (monitor.duplicatesCount > 0)
        throw new Error(`the log has a record twice: ${JSON.stringify(monitor.duplicates[0])}`);
      this.#known.set(checkpoint.size, checkpoint.root);
      this.size = checkpoint.size;
    }
  }
}

/** All of `deck` once, in an order of chance, before any comes again. */
function* shuffled(deck: readonly Fault[], random: () => number): Generator<Fault, never> {
  for (;;) {
    const left = [...deck];
    while (left.length > 0) yield left.splice(Math.floor(random() * left.length), 1)[0]!;
  }
}

/** A failed run gets a new installation. */
export async function runChaos({
  runs,
  desktop,
  random,
  durableMs,
  faults: deck = faults,
  say,
}: ChaosOptions): Promise<ChaosTally> {
  const tally: ChaosTally = { outcomes: [], failures: [], verifiedAgain: 0, logEntries: 0, auditRows: 0, elapsedMs: 0 };
  const startedMs = performance.now();
  const next = shuffled(deck, random);
  let house: { cluster: Cluster; log: LogWatch; ids: string[] } | null = null;
  const leave = async (): Promise<void> => {
    if (house === null) return;
    const { cluster, log, ids } = house;
    house = null;
    try {
      await log.look(cluster);
      tally.logEntries += log.size;
      for (const id of ids) {
        const report = await verifySession(cluster, id);
        if (!report.clean) throw new Error(`session ${id} verified once, and does not any more`);
        custodyIsWhole(report);
        tally.verifiedAgain += 1;
      }
      tally.auditRows += (await auditIsWhole(cluster.api, `${cluster.apiUrls[0]}/log`)).facts.rows;
    } finally {
      await cluster.stop();
    }
  };
  for (let at = 0; at < runs; at += 1) {
    const fault = next.next().value;
    const moment = at % 4 === 1 ? 'ending' : 'recording';
    try {
      house ??= { cluster: await startCluster(), log: new LogWatch(), ids: [] };
      const outcome = await chaosRun(house.cluster, desktop, { fault, moment, durableMs, random });
      house.ids.push(...outcome.sessions.map(({ id }) => id));
      await house.log.look(house.cluster);
      tally.outcomes.push(outcome);
      say(`${at + 1}/${runs} ${fault.name}, ${moment}: all finished after ${(outcome.finishedMs / 1000).toFixed(1)} s`);
    } catch (error) {
      tally.failures.push(`run ${at + 1}, ${fault.name}, ${moment}: ${error instanceof Error ? error.message : error}`);
      say(`FAILED ${tally.failures.at(-1)}`);
      await house?.cluster.stop();
      house = null;
    }
    tally.elapsedMs = performance.now() - startedMs;
  }
  await leave().catch((error: unknown) => tally.failures.push(`at the end: ${error}`));
  return tally;
}

export const chaosHead = [
  '| Killed, paused, stopped or cut off | runs | sessions: RECOVERED / whole | frames | most missing, relayed | slowest to finish |',
  '|---|---|---|---|---|---|',
].join('\n');

/** Rows of the table in docs/crash-safety.md, by what was hit. */
export function chaosRows({ outcomes }: ChaosTally): string[] {
  const kinds = new Map<string, ChaosOutcome[]>();
  const kindOf = (name: string): string => name.replace(/-\d\b/, '');
  for (const outcome of outcomes) {
    const kind = kindOf(outcome.fault);
    kinds.set(kind, [...(kinds.get(kind) ?? []), outcome]);
  }
  const maxOf = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);
  return [...kinds].sort().map(([kind, those]) => {
    const sessions = those.flatMap((outcome) => outcome.sessions);
    const recovered = sessions.filter(({ verdict }) => verdict === 'recovered').length;
    const cells = [
      kind,
      those.length,
      `${recovered} / ${sessions.length - recovered}`,
      sessions.reduce((sum, { frames }) => sum + frames, 0),
      `${maxOf(sessions.map(({ relayedLossMs }) => relayedLossMs)).toFixed(1)} ms`,
      `${(maxOf(those.map(({ finishedMs }) => finishedMs)) / 1000).toFixed(1)} s`,
    ];
    return `| ${cells.join(' | ')} |`;
  });
}
