import { Writer } from '@lucid-sessions/wire';
import type { RecordKind } from '../record/bodies.ts';
import { fromHex, toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

/** "LSR1" and "LSR2" */
const MAGIC_1 = 0x4c535231;
const MAGIC_2 = 0x4c535232;
/** `replay`, `export` and `redaction` are never logged: the first can be made again, the others speak of one copy. */
export const entryKinds: Record<RecordKind, number> = {
  open: 1,
  manifest: 2,
  resume: 3,
  custody: 4,
  erase: 5,
  replay: 6,
  export: 7,
  redaction: 10,
};
/** What the installation itself has logged, no record: the head of its audit chain, and those of all running sessions. */
export const headKinds = { audit: 8, progress: 9 } as const;
export type LogHeadKind = keyof typeof headKinds;
export type LogEntryKind = RecordKind | LogHeadKind;
const kindOf = new Map(
  Object.entries({ ...entryKinds, ...headKinds }).map(([kind, number]) => [number, kind as LogEntryKind]),
);

/** Of version 1. Those of version 2 have 72. */
export const LOG_ENTRY_BYTES = 40;
export const LOG_ENTRY_2_BYTES = 72;

/** The `open` record a session began with: its hash, and the form of log entries it announces (1 where it says nothing). */
export interface LoggedSession {
  openSha256: string;
  sessionUuid: string;
  logEntries: 1 | 2;
}

/** Of an `open` record as it was read. */
export function loggedSession(open: {
  sha256: string;
  body: { session_uuid: string; log_entries?: 2 | undefined };
}): LoggedSession {
  return { openSha256: open.sha256, sessionUuid: open.body.session_uuid, logEntries: open.body.log_entries ?? 1 };
}

/**
 * What the log holds of a record: magic, kind, three zero bytes, SHA-256 of the DSSE envelope's bytes, and from version 2 on what
 * the record is about: of `open` the session (`sessionSubject`), of any other record the hash of the session's `open`. It
 * names nobody, and two records of one session show as such to whoever reads the log. Its leaf hash is SHA-256(0x00 ‖ entry).
 */
export function logEntry(kind: RecordKind, recordSha256: string, session: LoggedSession): Uint8Array {
  const hash = fromHex(recordSha256, 32, 'record hash');
  if (session.logEntries === 1)
    return new Writer(LOG_ENTRY_BYTES).u32be(MAGIC_1).u8(entryKinds[kind]).zeros(3).slice(hash).bytes();
  const subject =
    kind === 'open' ? sessionSubject(session.sessionUuid) : fromHex(session.openSha256, 32, 'hash of the open record');
  return new Writer(LOG_ENTRY_2_BYTES).u32be(MAGIC_2).u8(entryKinds[kind]).zeros(3).slice(hash).slice(subject).bytes();
}

const headEntry = (kind: LogHeadKind, hash: string, about: string): Uint8Array =>
  new Writer(LOG_ENTRY_2_BYTES)
    .u32be(MAGIC_2)
    .u8(headKinds[kind])
    .zeros(3)
    .slice(fromHex(hash, 32, 'hash'))
    .slice(fromHex(about, 32, 'hash'))
    .bytes();

/** A head of the audit chain, and the hash of the chain's first row. Hex. */
export const auditEntry = ({ rowSha256, chain }: { rowSha256: string; chain: string }): Uint8Array =>
  headEntry('audit', rowSha256, chain);

/** A progress statement (`progressHash`), and the root of the heads it is over. Hex. */
export const progressEntry = ({ statement, root }: { statement: string; root: string }): Uint8Array =>
  headEntry('progress', statement, root);

/** What an `open` record is about, as the log says it: a hash of the session's 16 bytes. */
export const sessionSubject = (sessionUuid: string): Uint8Array =>
  sha256(utf8('lucid-sessions/v1/log-session\0'), fromHex(sessionUuid, 16, 'session'));

export interface LogEntryFields {
  kind: LogEntryKind;
  /** Of a head: of what it is the head (`auditEntry`, `progressEntry`). */
  recordSha256: string;
  /** Hex; null in entries of version 1. */
  subject: string | null;
}

/** Null: an entry this version does not know. */
export function parseLogEntry(entry: Uint8Array): LogEntryFields | null {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  const magic = entry.length < 8 ? 0 : view.getUint32(0);
  const bytes = magic === MAGIC_1 ? LOG_ENTRY_BYTES : magic === MAGIC_2 ? LOG_ENTRY_2_BYTES : 0;
  const kind = kindOf.get(entry[4] ?? 0);
  if (entry.length !== bytes || kind === undefined || (entry[5] ?? 1) + (entry[6] ?? 1) + (entry[7] ?? 1) !== 0)
    return null;
  if (magic === MAGIC_1 && Object.hasOwn(headKinds, kind)) return null;
  const subject = magic === MAGIC_2 ? toHex(entry.subarray(40)) : null;
  return { kind, recordSha256: toHex(entry.subarray(8, 40)), subject };
}
