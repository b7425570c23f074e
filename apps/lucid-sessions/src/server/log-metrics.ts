/** The transparency log and its witnesses, in Prometheus' text format. */
import type { EmbeddedLog, LogWitnesses } from '@lucid-sessions/log';

/** `witnesses`: null where this process asks none. */
export function logMetrics(log: Pick<EmbeddedLog, 'size'>, witnesses: Pick<LogWitnesses, 'standing'> | null): string {
  const standing = witnesses?.standing ?? [];
  const family = (name: string, help: string, value: (each: (typeof standing)[number]) => number): string[] => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...standing.map((each) => `${name}{witness="${each.witness.replaceAll(/["\\\n]/g, '_')}"} ${value(each)}`),
  ];
  return [
    '# HELP lucid_log_entries Entries of the transparency log.',
    '# TYPE lucid_log_entries gauge',
    `lucid_log_entries ${log.size}`,
    ...family(
      'lucid_log_witness_entries',
      'Entries the witness has cosigned since this process began.',
      ({ size }) => size,
    ),
    ...family('lucid_log_witness_conflict', '1 while the witness contradicts the log.', ({ conflicts }) =>
      Number(conflicts),
    ),
    '',
  ].join('\n');
}
