import { sha256 } from '../web-crypto.ts';

const LEAF = Uint8Array.of(0x00);
const NODE = Uint8Array.of(0x01);

export const HASH_BYTES = 32;

/** RFC 9162 section 2.1.1: HASH(0x00 ‖ d). */
export function hashLeaf(data: Uint8Array): Uint8Array {
  return sha256(LEAF, data);
}

/** RFC 9162 section 2.1.1: HASH(0x01 ‖ left ‖ right). */
export function hashChildren(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

/** MTH of no leaves: HASH of nothing. */
export function emptyRoot(): Uint8Array {
  return sha256();
}
