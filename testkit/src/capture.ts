import { readFileSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/**
 * Reads `.rdpcap` files: real sessions, decrypted in both directions. `"RDPCAP1\n"`, u32le length and JSON about the
 * session, then records: u8 flags, u32le milliseconds, u32le length, bytes as they were read (not PDU aligned).
 */

/** Largest capture accepted, compressed or not. */
const CAPTURE_BYTES_MAX = 256 * 1024 * 1024;
const MAGIC = 'RDPCAP1\n';
const FLAG_FROM_SERVER = 1;
const FLAG_BEFORE_TLS = 2;
const RECORD_HEADER_BYTES = 9;

export interface CaptureRecord {
  /** True for server → client. */
  fromServer: boolean;
  beforeTls: boolean;
  /** Milliseconds since the capture began. */
  timeMs: number;
  bytes: Uint8Array;
}

export interface Capture {
  /** What the capturing tool knew about the session. */
  meta: Record<string, unknown>;
  records: CaptureRecord[];
}

/** Parses a capture in memory. Throws an Error that names the offset where it stops making sense. */
export function parseCapture(bytes: Uint8Array): Capture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (new TextDecoder().decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) throw new Error('not an .rdpcap file');
  if (bytes.length < 12 || 12 + view.getUint32(8, true) > bytes.length) throw new Error('capture ends in its header');
  let at = 12 + view.getUint32(8, true);
  const meta = JSON.parse(new TextDecoder().decode(bytes.subarray(12, at))) as Record<string, unknown>;
  const records: CaptureRecord[] = [];
  while (at < bytes.length) {
    if (at + RECORD_HEADER_BYTES > bytes.length) throw new Error(`capture ends inside a record header at ${at}`);
    const flags = view.getUint8(at);
    const end = at + RECORD_HEADER_BYTES + view.getUint32(at + 5, true);
    if (end > bytes.length) throw new Error(`capture ends inside a record at ${at}`);
    records.push({
      fromServer: (flags & FLAG_FROM_SERVER) !== 0,
      beforeTls: (flags & FLAG_BEFORE_TLS) !== 0,
      timeMs: view.getUint32(at + 1, true),
      bytes: bytes.subarray(at + RECORD_HEADER_BYTES, end),
    });
    at = end;
  }
  return { meta, records };
}

/** Reads a capture file, plain or gzipped (told by its first bytes, not by its name). */
export function readCapture(path: string): Capture {
  if (statSync(path).size > CAPTURE_BYTES_MAX) throw new Error(`capture above ${CAPTURE_BYTES_MAX} bytes: ${path}`);
  const file = readFileSync(path);
  const isGzip = file[0] === 0x1f && file[1] === 0x8b;
  return parseCapture(isGzip ? gunzipSync(file, { maxOutputLength: CAPTURE_BYTES_MAX }) : file);
}

/** Both directions of a capture as two byte strings, in order. */
export function captureStreams(capture: Capture): { client: Uint8Array; server: Uint8Array } {
  const join = (fromServer: boolean) =>
    Buffer.concat(capture.records.filter((record) => record.fromServer === fromServer).map((record) => record.bytes));
  return { client: join(false), server: join(true) };
}
