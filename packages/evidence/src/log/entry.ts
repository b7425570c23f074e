import { Writer } from '@lucid-sessions/wire';
import type { RecordKind } from '../record/bodies.ts';
import { fromHex } from '../text.ts';

/** "LSR1" */
const MAGIC = 0x4c535231;
const kinds: Record<RecordKind, number> = { open: 1, manifest: 2, resume: 3, custody: 4, erase: 5, replay: 6 };

export const LOG_ENTRY_BYTES = 40;

/**
 * What the log holds of a record: magic, kind, three zero bytes, SHA-256 of the DSSE envelope's bytes. Nothing personal,
 * nothing that names a session; its leaf hash is SHA-256(0x00 ‖ entry).
 */
export function logEntry(kind: RecordKind, recordSha256: string): Uint8Array {
  return new Writer(LOG_ENTRY_BYTES)
    .u32be(MAGIC)
    .u8(kinds[kind])
    .zeros(3)
    .slice(fromHex(recordSha256, 32, 'record hash'))
    .bytes();
}
