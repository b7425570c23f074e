/**
 * The fields of a chunk's leaf that storage checks (docs/format.md, "Leaf"). Storage looks at public fields only: it
 * holds no key and need not know what a chunk says.
 */
import { LucidError } from '@lucid-sessions/contract';
import {
  decodeLeaf,
  encodeLeafFlags,
  LEAF_RECORD_BYTES,
  leafHash,
  sessionIdBytes,
  toHex,
} from '@lucid-sessions/evidence';
import { DecodeError } from '@lucid-sessions/wire';

export { LEAF_BYTES as leafBytes, SEAL_BYTES as sealBytes } from '@lucid-sessions/evidence';

/** Leaf and seal, as they lie in leaves.bin. */
export const sealedLeafBytes = LEAF_RECORD_BYTES;

export interface LeafFields {
  /** 16 bytes, hex. */
  sessionUuid: string;
  index: number;
  openedUs: number;
  closedUs: number;
  flags: number;
  fileBytes: number;
  fileSha256: string;
  /** Zeros for the first leaf. */
  previousLeafHash: string;
  leafHash: string;
}

export const noLeafHash = '00'.repeat(32);

export const leafHashOf = (leaf: Uint8Array) => toHex(leafHash(leaf));

export const sessionUuidOf = (sessionId: string) => toHex(sessionIdBytes(sessionId));

export function decodeLeafFields(bytes: Uint8Array): LeafFields {
  try {
    const leaf = decodeLeaf(bytes);
    return {
      sessionUuid: toHex(leaf.sessionId),
      index: leaf.index,
      openedUs: leaf.openedUs,
      closedUs: leaf.closedUs,
      flags: encodeLeafFlags(leaf),
      fileBytes: leaf.fileBytes,
      fileSha256: toHex(leaf.fileSha256),
      previousLeafHash: toHex(leaf.previousLeafHash),
      leafHash: leafHashOf(bytes),
    };
  } catch (thrown) {
    if (!(thrown instanceof DecodeError)) throw thrown;
    throw new LucidError('invalidRequest', `the leaf can not be read: ${thrown.message}`, { cause: thrown });
  }
}
