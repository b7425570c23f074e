/** `log monitor`: what somebody who keeps an eye on a log runs from time to time. Needs nothing of the installation. */
import { exitCodes as findingExitCodes, LogMonitor, scanLog } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import type { Output } from '../cli/output.ts';
import { logAt } from './log-source.ts';
import { readPolicy } from './verify.ts';

/** Answers the exit code: 0 when the log is sound, else as `verify` has it for a fork and for second records. */
export async function monitorLog(where: string, policyPath: string, output: Output): Promise<number> {
  const policy = await readPolicy(policyPath);
  const monitor = new LogMonitor();
  let scan: Awaited<ReturnType<typeof scanLog>>;
  try {
    scan = await scanLog(logAt(where), {
      crypto: nodeCrypto,
      keys: policy.logKeys,
      sizes: policy.knownCheckpoints.map(({ size }) => size),
      visit: monitor.visit,
    });
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    output.result({ sound: false, problem: error.message }, `The log is not sound: ${error.message}`);
    return findingExitCodes.LOG_FORK;
  }
  const { origin, size } = scan.checkpoint;
  const forks = policy.knownCheckpoints.filter((known) => {
    const root = known.origin === origin ? scan.roots.get(known.size) : undefined;
    return root === undefined || !equalBytes(root, known.root);
  });
  const counts = Object.fromEntries(monitor.counts);
  const { duplicates, duplicatesCount } = monitor;
  const lines = [
    `Log           ${origin}, ${size} entries, all under its signed checkpoint`,
    `Entries       ${Object.entries(counts)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')}`,
    ...forks.map((known) => `LOG_FORK      it never was the log of ${known.size} entries that you know`),
    ...duplicates.map(({ kind, subject, first, again }) =>
      kind === 'audit'
        ? `DUPLICATE     entry ${again} is a head of a second audit chain (the first is named at ${first}, this one is ${subject})`
        : `DUPLICATE     entry ${again} is a second ${kind} record of one session (first at ${first}, about ${subject})`,
    ),
    forks.length + duplicatesCount === 0
      ? 'Result        nothing found'
      : `Result        ${forks.length + duplicatesCount} found`,
  ];
  const sound = forks.length === 0 && duplicatesCount === 0;
  output.result(
    {
      sound,
      origin,
      size,
      counts,
      duplicates,
      duplicates_count: duplicatesCount,
      forks: forks.map((known) => known.size),
    },
    lines.join('\n'),
  );
  if (sound) return 0;
  return duplicatesCount > 0 ? findingExitCodes.DUPLICATE : findingExitCodes.LOG_FORK;
}
