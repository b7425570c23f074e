/**
 * The fields of a chunk's leaf that storage checks (docs/format.md, "Leaf"). Storage looks at public fields only: it
 * holds no key and need not know what a chunk says.
 */
import { createHash } from 'node:crypto';
import { LucidError } from '@lucid-sessions/contract';
import { Reader } from '@lucid-sessions/wire';

export const leafBytes = 160;
export const sealBytes = 64;
/** Leaf and seal, as they lie in leaves.bin. */
export const sealedLeafBytes = leafBytes + sealBytes;

const leafMagic = 'LSL1';

export interface LeafFields {
  index: number;
  openedUs: number;
  closedUs: number;
  flags: number;
  compressedBytes: number;
  fileBytes: number;
  fileSha256: string;
  previousLeafHash: string;
  leafHash: string;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/** SHA-256(0x00 ‖ leaf), RFC 9162 section 2.1.1. */
export function leafHashOf(leaf: Uint8Array): string {
  return createHash('sha256').update(Uint8Array.of(0)).update(leaf).digest('hex');
}

export function decodeLeafFields(leaf: Uint8Array): LeafFields {
  if (leaf.length !== leafBytes) throw new LucidError('invalidRequest', `a leaf has ${leafBytes} bytes`);
  const reader = new Reader(leaf);
  if (reader.latin1(4) !== leafMagic || reader.u8() !== 1)
    throw new LucidError('invalidRequest', 'the leaf is not of a version this storage knows');
  const flags = reader.u8();
  reader.skip(2 + 16);
  const index = reader.u64beNumber();
  const openedUs = reader.u64beNumber();
  const closedUs = reader.u64beNumber();
  const compressedBytes = reader.u64beNumber();
  const fileBytes = reader.u64beNumber();
  const fileSha256 = hex(reader.slice(32));
  const previousLeafHash = hex(reader.slice(32));
  return {
    index,
    openedUs,
    closedUs,
    flags,
    compressedBytes,
    fileBytes,
    fileSha256,
    previousLeafHash,
    leafHash: leafHashOf(leaf),
  };
}
