import { oneLine } from '../text.ts';
import type { AuditReport } from './verify.ts';

const listedMax = 50;

const timeText = (us: number | null): string =>
  us === null ? '-' : new Date(us / 1000).toISOString().replace(/\.\d+Z$/, 'Z');

/** For people: what was found, and what nobody can say. */
export function formatAuditReport({ clean, findings, findings_count, facts }: AuditReport): string {
  const { rows, covered_to: covered, log_size: logSize, rows_before_chain: before } = facts;
  const lines = [
    `Audit log     ${rows} rows in the chain, ${timeText(facts.first_us)} to ${timeText(facts.last_us)}`,
    covered === null
      ? 'Covered       no row: no logged head is known'
      : `Covered       rows 0 to ${covered}${facts.witnessed_us === null ? '' : `, seen by ${facts.witnesses_count} witnesses, ${timeText(facts.witnessed_us)}`}`,
    logSize === null
      ? 'Log           not compared: heads logged of rows that are left out here would not be found (--log)'
      : `Log           ${logSize} entries, ${facts.heads} heads of this chain${facts.heads_since === 0 ? '' : `, ${facts.heads_since} of them logged behind the export: not judged`}`,
  ];
  if (facts.rows_not_covered > 0)
    lines.push(
      `Not covered   ${facts.rows_not_covered} rows behind the last logged head: who has the database could still change them`,
    );
  if (before !== null && before > 0)
    lines.push(`Not covered   ${before} rows from before the chain began: only their number is known`);
  for (const { code, message } of findings.slice(0, listedMax)) lines.push(`${code.padEnd(13)} ${message}`);
  if (findings_count > listedMax) lines.push(`              and ${findings_count - listedMax} more`);
  lines.push(clean ? 'Result        CLEAN' : `Result        ${findings_count} found`);
  return lines.map(oneLine).join('\n');
}
