import { DecodeError, Reader, Writer } from '@lucid-sessions/wire';

/**
 * `.rdpcap` files: an RDP connection, decrypted in both directions. `"RDPCAP1\n"`, u32le length and JSON about the connection, then
 * records: u8 flags (1 from the server, 2 before TLS), u32le milliseconds since the first, u32le length, bytes as they were read (not
 * PDU aligned).
 */
export interface CaptureRecord {
  /** True for server → client. */
  fromServer: boolean;
  beforeTls: boolean;
  /** Milliseconds since the capture began. */
  timeMs: number;
  bytes: Uint8Array;
}

export interface Capture {
  /** What the capturing tool knew about the connection. */
  meta: Record<string, unknown>;
  records: CaptureRecord[];
}

/** Largest capture accepted. */
export const CAPTURE_BYTES_MAX = 256 * 1024 * 1024;
const META_BYTES_MAX = 1024 * 1024;
const MAGIC = 'RDPCAP1\n';
const FLAG_FROM_SERVER = 1;
const FLAG_BEFORE_TLS = 2;

/** Parses a capture; records view `bytes`. Throws `DecodeError` that names the offset where it stops making sense. */
export function decodeCapture(bytes: Uint8Array): Capture {
  const { meta, records } = openCapture(bytes);
  return { meta, records: [...records()] };
}

/** The same for captures of strangers: records come one by one, as often as asked, and take no memory. */
export function openCapture(bytes: Uint8Array): {
  meta: Record<string, unknown>;
  records: () => Generator<CaptureRecord, void, undefined>;
} {
  if (bytes.length > CAPTURE_BYTES_MAX)
    throw new DecodeError('limit', `a capture has at most ${CAPTURE_BYTES_MAX} bytes`);
  const reader = new Reader(bytes);
  const text = (length: number): string => new TextDecoder().decode(reader.slice(length));
  if (bytes.length < MAGIC.length || text(MAGIC.length) !== MAGIC)
    throw new DecodeError('invalid', 'not an .rdpcap file');
  const length = reader.u32le();
  if (length > META_BYTES_MAX)
    throw new DecodeError('limit', `a capture is described in ${META_BYTES_MAX} bytes at most`);
  const meta = metaOf(text(length));
  const start = MAGIC.length + 4 + length;
  return { meta, records: () => recordsFrom(new Reader(bytes, start)) };
}

function* recordsFrom(reader: Reader): Generator<CaptureRecord, void, undefined> {
  while (reader.remaining > 0) {
    const flags = reader.u8();
    const timeMs = reader.u32le();
    yield {
      fromServer: (flags & FLAG_FROM_SERVER) !== 0,
      beforeTls: (flags & FLAG_BEFORE_TLS) !== 0,
      timeMs,
      bytes: reader.slice(reader.u32le()),
    };
  }
}

function metaOf(json: string): Record<string, unknown> {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch {
    throw new DecodeError('invalid', 'the capture’s own description is not JSON');
  }
}

export function encodeCapture({ meta, records }: Capture): Uint8Array {
  const encoder = new TextEncoder();
  const about = encoder.encode(JSON.stringify(meta));
  const writer = new Writer().slice(encoder.encode(MAGIC)).u32le(about.length).slice(about);
  for (const { fromServer, beforeTls, timeMs, bytes } of records)
    writer
      .u8((fromServer ? FLAG_FROM_SERVER : 0) | (beforeTls ? FLAG_BEFORE_TLS : 0))
      .u32le(timeMs)
      .u32le(bytes.length)
      .slice(bytes);
  return writer.bytes();
}
