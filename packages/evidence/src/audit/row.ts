/** Rows of the audit log: each names the one before, so that the hash of one names all that came up to it. */
import { encodeJson, type Json, parseCanonicalJson } from '../record/json.ts';
import { anyObject, boolean, hex, type Infer, integer, literal, nullable, object, string } from '../record/schema.ts';
import { fromUtf8, toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

/** Of the first row: the chain begins here, and says how many rows there were that it does not cover. */
export const AUDIT_CHAIN_BEGAN = 'audit_chain_began';

export const AUDIT_ROW_BYTES_MAX = 1 << 20;
const textMax = 200_000;

const eventSchema = object({
  event_id: string(textMax),
  timestamp_us: integer(),
  event_type: string(textMax),
  user_id: nullable(string(textMax)),
  resource_id: nullable(string(textMax)),
  ip_address: nullable(string(textMax)),
  user_agent: nullable(string(textMax)),
  success: boolean,
  error_message: nullable(string(textMax)),
  details: anyObject,
});
export const auditRowSchema = object({
  v: literal(1),
  /** From 0 on. */
  sequence: integer(),
  /** SHA-256 of the row before; null in the first. */
  previous_sha256: nullable(hex(32)),
  event: eventSchema,
});

export type AuditRowEvent = Infer<typeof eventSchema>;

/** A row, and the bytes it is hashed over. */
export interface AuditRow extends Infer<typeof auditRowSchema> {
  text: string;
  /** Hex. */
  sha256: string;
}

const depthMax = 20;
const valuesMax = 100_000;

/** What JSON can say and the format can't is said as text: an audit entry must not be lost for a fraction in its details. */
class Plain {
  #left = valuesMax;

  of(value: unknown, depth = 0): Json {
    this.#left -= 1;
    if (depth > depthMax || this.#left < 0) return '…';
    if (value === null || value === undefined) return null;
    if (typeof value === 'boolean') return value;
    // PostgreSQL's text holds no U+0000.
    if (typeof value === 'string') return value.toWellFormed().replaceAll('\0', '\ufffd');
    if (typeof value === 'number') return Number.isSafeInteger(value) ? value + 0 : String(value);
    if (typeof value !== 'object') return String(value);
    if (Array.isArray(value)) return value.map((item) => this.of(item, depth + 1));
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.fromEntries(entries.map(([key, item]) => [String(this.of(key, depth)), this.of(item, depth + 1)]));
  }
}

/** What the next row names a row by, whatever its bytes are. Hex. */
export const auditRowHash = (text: string): string => toHex(sha256(utf8(text)));

/** `previous` is the row before, null for the first. Details too large for a row are left out, and that is said. */
export function makeAuditRow(
  previous: Pick<AuditRow, 'sequence' | 'sha256'> | null,
  event: Omit<AuditRowEvent, 'details'> & { details: unknown },
): AuditRow {
  const encode = (told: AuditRowEvent) =>
    encodeJson({
      v: 1,
      sequence: previous === null ? 0 : previous.sequence + 1,
      previous_sha256: previous?.sha256 ?? null,
      event: told,
    });
  const plain = new Plain().of(event) as unknown as AuditRowEvent;
  const whole = encode(plain);
  if (whole.length <= AUDIT_ROW_BYTES_MAX) return readAuditRow(fromUtf8(whole));
  return readAuditRow(fromUtf8(encode({ ...plain, details: { omitted_bytes: whole.length } })));
}

/** Throws `DecodeError`: it is no row in its one canonical form. */
export function readAuditRow(text: string): AuditRow {
  const bytes = utf8(text);
  const row = auditRowSchema.parse(parseCanonicalJson(bytes, AUDIT_ROW_BYTES_MAX), 'row');
  return { ...row, text, sha256: toHex(sha256(bytes)) };
}
