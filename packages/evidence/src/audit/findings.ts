import { exitCodes } from '../verify/findings.ts';

/** Why an audit log is not clean; the exit code of a run is that of the first found. Those a bundle has too mean the same. */
export const auditFindingCodes = [
  'FORMAT',
  'ROW_ALTERED',
  'ROW_MISSING',
  'ROW_EXTRA',
  'REORDERED',
  'ROW_MISFILED',
  'DUPLICATE',
  'LOG_FORK',
  'NOTE_SIG_BAD',
  'LOG_INCLUSION',
] as const;
export type AuditFindingCode = (typeof auditFindingCodes)[number];

export const auditExitCodes: Record<AuditFindingCode, number> = {
  FORMAT: exitCodes.FORMAT,
  ROW_ALTERED: 50,
  ROW_MISSING: 51,
  ROW_EXTRA: 52,
  REORDERED: exitCodes.REORDERED,
  ROW_MISFILED: 53,
  DUPLICATE: exitCodes.DUPLICATE,
  LOG_FORK: exitCodes.LOG_FORK,
  NOTE_SIG_BAD: exitCodes.NOTE_SIG_BAD,
  LOG_INCLUSION: exitCodes.LOG_INCLUSION,
};

export interface AuditFinding {
  code: AuditFindingCode;
  message: string;
  /** Of a row, where one is to blame. */
  sequence: number | null;
}

const listedMax = 1000;

export class AuditFindings {
  readonly list: AuditFinding[] = [];
  readonly codes = new Set<AuditFindingCode>();
  count = 0;

  add(code: AuditFindingCode, message: string, sequence: number | null = null): void {
    this.count += 1;
    this.codes.add(code);
    if (this.list.length < listedMax) this.list.push({ code, message, sequence });
  }

  has(...codes: AuditFindingCode[]): boolean {
    return codes.some((code) => this.codes.has(code));
  }
}

export function auditExitCode(codes: ReadonlySet<AuditFindingCode>): number {
  const first = auditFindingCodes.find((code) => codes.has(code));
  return first === undefined ? 0 : auditExitCodes[first];
}
