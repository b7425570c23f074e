/** An exported audit log: JSON lines, the rows as they are hashed between a first and a last line of the exporter's. */
import { DecodeError } from '@lucid-sessions/wire';
import { encodeJson, parseCanonicalJson } from '../record/json.ts';
import { type Infer, integer, literal, nullable, object, string } from '../record/schema.ts';
import { fromUtf8, utf8 } from '../text.ts';

export const auditBeginSchema = object({
  v: literal(1),
  kind: literal('lucid-sessions-audit'),
  exported_us: integer(),
  exported_by: string(500),
  /** Rows the store holds that are in no chain. */
  unchained: integer(),
});
export const auditEndSchema = object({
  v: literal(1),
  kind: literal('lucid-sessions-audit-end'),
  rows: integer(),
  /** C2SP tlog-proof of the entry for the row of that sequence; null: none is logged, or the log could not be asked. */
  proof: nullable(object({ sequence: integer(), text: string(1_010_000) })),
});
export type AuditExportBegin = Infer<typeof auditBeginSchema>;
export type AuditExportEnd = Infer<typeof auditEndSchema>;

export type AuditExportLine =
  | { is: 'begin'; begin: AuditExportBegin }
  | { is: 'row'; text: string }
  | { is: 'end'; end: AuditExportEnd };

const controlBytesMax = 2_000_000;
const controlStart = /^\{"(?:exported_by|kind)":/;

export const auditExportBegin = (fields: Omit<AuditExportBegin, 'v' | 'kind'>): string =>
  fromUtf8(encodeJson({ v: 1, kind: 'lucid-sessions-audit', ...fields }));
export const auditExportEnd = (fields: Omit<AuditExportEnd, 'v' | 'kind'>): string =>
  fromUtf8(encodeJson({ v: 1, kind: 'lucid-sessions-audit-end', ...fields }));

/** What a line is; a row is not read yet. Throws `DecodeError`. */
export function readAuditLine(text: string): AuditExportLine {
  if (!controlStart.test(text)) return { is: 'row', text };
  const value = parseCanonicalJson(utf8(text), controlBytesMax);
  const { kind } = value as { kind?: unknown };
  if (kind === 'lucid-sessions-audit') return { is: 'begin', begin: auditBeginSchema.parse(value, 'first line') };
  if (kind === 'lucid-sessions-audit-end') return { is: 'end', end: auditEndSchema.parse(value, 'last line') };
  throw new DecodeError('unsupported', 'a line is neither a row nor one that begins or ends an export');
}
