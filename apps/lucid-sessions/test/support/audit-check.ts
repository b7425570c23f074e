/** `audit export` and `audit verify`, as an operator runs them: after whatever was killed there is one audit chain, whole, and the log holds its heads. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditReport, VerificationReport } from '@lucid-sessions/evidence';
import { Output } from '../../src/cli/output.ts';
import { exportAudit, verifyAuditFile } from '../../src/commands/audit.ts';
import type { RawClient } from './raw-client.ts';

/** `log`: where the log is served. Throws what was found. */
export async function auditIsWhole(api: RawClient, log: string): Promise<AuditReport> {
  const folder = mkdtempSync(join(tmpdir(), 'lucid-audit-'));
  const [file, policy] = [join(folder, 'audit.jsonl'), join(folder, 'policy.json')];
  let said = '';
  const stdout = {
    write: (text: string) => {
      said += text;
    },
  };
  const output = (): Output => new Output({ stdout, stderr: { write: () => {} } }, true);
  try {
    writeFileSync(policy, JSON.stringify(await api.json('GET', '/evidence/policy')));
    await exportAudit(api, file, output());
    said = '';
    await verifyAuditFile(file, { policy, log }, output());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const report = JSON.parse(said) as AuditReport;
  const { clean, findings, facts } = report;
  if (!clean) throw new Error(`the audit log is not what was written: ${JSON.stringify(findings.slice(0, 5))}`);
  if (facts.covered_to === null || facts.heads === 0) throw new Error('the log holds no head of the audit log');
  return report;
}

/** Of a report of a session whose chain of custody must be there and whole. */
export function custodyIsWhole({ session_id: id, clean, findings, facts }: VerificationReport): void {
  if (!clean || facts.custody_count === 0)
    throw new Error(
      `session ${id} has ${facts.custody_count} custody records: ${JSON.stringify(findings.slice(0, 5))}`,
    );
}
