/**
 * The bytes of one spool segment: a header, then records in order. Big-endian.
 *
 * ```
 * header  "LSG1", u16 version 1, u16 flags (1 GAP_BEFORE), u64 index, u64 openedUs, u64 monotonicNs, u64 firstFrameNumber,
 *         u8 sessionId length, 100 bytes sessionId (zero padded), u24 recording (0: not known), 12 nonce, 32 wrapped segment key, 16 tag
 * record  u32 bodyBytes, u32 sequence, u32 framesCount, u32 updatesCount, u64 writtenUs, u8 type, 3 zero, 16 tag, body
 * ```
 *
 * The segment key is random and wrapped by the spool key (AES-256-GCM, the header before it as AAD). A record's body is
 * encrypted by the segment key with its sequence as nonce and its header as AAD. A sequence is never used twice under one
 * key: a segment that was ever closed or torn is never appended to again.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

export const segmentHeaderBytes = 204;
export const recordHeaderBytes = 28;
export const recordTagBytes = 16;
export const recordOverheadBytes = recordHeaderBytes + recordTagBytes;
/** More than any batch: a length above it in a file is damage, not a reason to allocate. */
export const recordBodyBytesMax = 4 * 1024 * 1024;

const magic = 0x4c534731;
const boundBytes = 156;
const sessionIdBytes = 100;
const recordingMax = 2 ** 24 - 1;
const gapBeforeFlag = 1;

export const recordType = { frames: 0, close: 1 } as const;

export interface SegmentHeader {
  sessionId: string;
  index: number;
  openedUs: number;
  monotonicNs: number;
  firstFrameNumber: number;
  gapBefore: boolean;
  /** Which of its session's recordings it is of; 0: not known. */
  recording: number;
}

export interface RecordHeader {
  bodyBytes: number;
  sequence: number;
  framesCount: number;
  updatesCount: number;
  /** Wall clock, µs since 1970. */
  writtenUs: number;
  type: number;
}

/** Encodes a header around a new random segment key. */
export function createSegmentHeader(header: SegmentHeader, spoolKey: Uint8Array): { bytes: Buffer; key: Buffer } {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt16BE(header.gapBefore ? gapBeforeFlag : 0, 6);
  bytes.writeBigUInt64BE(BigInt(header.index), 8);
  bytes.writeBigUInt64BE(BigInt(header.openedUs), 16);
  bytes.writeBigUInt64BE(BigInt(header.monotonicNs), 24);
  bytes.writeBigUInt64BE(BigInt(header.firstFrameNumber), 32);
  bytes.writeUInt8(header.sessionId.length, 40);
  bytes.write(header.sessionId, 41, sessionIdBytes, 'latin1');
  bytes.writeUIntBE(Math.min(header.recording, recordingMax), 41 + sessionIdBytes, 3);
  const nonce = randomBytes(12);
  const key = randomBytes(32);
  bytes.set(nonce, 144);
  const cipher = createCipheriv('aes-256-gcm', spoolKey, nonce).setAAD(bytes.subarray(0, boundBytes));
  bytes.set(cipher.update(key), 156);
  cipher.final();
  bytes.set(cipher.getAuthTag(), 188);
  return { bytes, key };
}

/** Authenticates a header; null when the bytes are not one made under this spool key. */
export function openSegmentHeader(bytes: Buffer, spoolKey: Uint8Array): { header: SegmentHeader; key: Buffer } | null {
  if (bytes.length < segmentHeaderBytes || bytes.readUInt32BE(0) !== magic || bytes.readUInt16BE(4) !== 1) return null;
  const decipher = createDecipheriv('aes-256-gcm', spoolKey, bytes.subarray(144, 156));
  decipher.setAAD(bytes.subarray(0, boundBytes)).setAuthTag(bytes.subarray(188, 204));
  const key = decipher.update(bytes.subarray(156, 188));
  try {
    decipher.final();
  } catch {
    return null;
  }
  const header: SegmentHeader = {
    sessionId: bytes.toString('latin1', 41, 41 + bytes.readUInt8(40)),
    index: Number(bytes.readBigUInt64BE(8)),
    openedUs: Number(bytes.readBigUInt64BE(16)),
    monotonicNs: Number(bytes.readBigUInt64BE(24)),
    firstFrameNumber: Number(bytes.readBigUInt64BE(32)),
    gapBefore: (bytes.readUInt16BE(6) & gapBeforeFlag) !== 0,
    recording: bytes.readUIntBE(41 + sessionIdBytes, 3),
  };
  return { header, key };
}

function recordNonce(sequence: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(sequence, 8);
  return nonce;
}

/** Encrypts one record; the parts go to the disk in this order. */
export function sealRecord(header: RecordHeader, body: Uint8Array, key: Uint8Array): Uint8Array[] {
  const bytes = Buffer.alloc(recordOverheadBytes);
  bytes.writeUInt32BE(body.length, 0);
  bytes.writeUInt32BE(header.sequence, 4);
  bytes.writeUInt32BE(header.framesCount, 8);
  bytes.writeUInt32BE(header.updatesCount, 12);
  bytes.writeBigUInt64BE(BigInt(header.writtenUs), 16);
  bytes.writeUInt8(header.type, 24);
  const cipher = createCipheriv('aes-256-gcm', key, recordNonce(header.sequence));
  cipher.setAAD(bytes.subarray(0, recordHeaderBytes));
  const sealed = cipher.update(body);
  cipher.final();
  bytes.set(cipher.getAuthTag(), recordHeaderBytes);
  return [bytes, sealed];
}

export function readRecordHeader(bytes: Buffer, at: number): RecordHeader {
  return {
    bodyBytes: bytes.readUInt32BE(at),
    sequence: bytes.readUInt32BE(at + 4),
    framesCount: bytes.readUInt32BE(at + 8),
    updatesCount: bytes.readUInt32BE(at + 12),
    writtenUs: Number(bytes.readBigUInt64BE(at + 16)),
    type: bytes.readUInt8(at + 24),
  };
}

/** The body of the record at `at` in `bytes`, or null when it does not authenticate. */
export function openRecord(bytes: Buffer, at: number, header: RecordHeader, key: Uint8Array): Buffer | null {
  const bodyAt = at + recordOverheadBytes;
  const decipher = createDecipheriv('aes-256-gcm', key, recordNonce(header.sequence));
  decipher.setAAD(bytes.subarray(at, at + recordHeaderBytes));
  decipher.setAuthTag(bytes.subarray(at + recordHeaderBytes, bodyAt));
  const body = decipher.update(bytes.subarray(bodyAt, bodyAt + header.bodyBytes));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return body;
}
