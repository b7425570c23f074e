import { type Crypto, concatBytes, DecodeError, Reader, Writer } from '@lucid-sessions/wire';
import { hashLeaf } from '../merkle/hash.ts';
import { utf8 } from '../text.ts';

export const LEAF_BYTES = 160;
export const SEAL_BYTES = 64;
/** A leaf and its seal, as they stand in `leaves.bin`. */
export const LEAF_RECORD_BYTES = LEAF_BYTES + SEAL_BYTES;
export const SEAL_KEY_BYTES = 32;

/** "LSL1" */
const MAGIC = 0x4c534c31;
const VERSION = 1;
/** Bits of the byte at `FLAGS_AT`, which chunk metadata repeats. */
const leafFlagBits = { recovered: 0x01, gapBefore: 0x02, final: 0x04 } as const;
const FLAGS_AT = 5;
const FLAGS_KNOWN = 0x07;
const SEAL_DOMAIN = utf8('lucid-sessions/v1/chunk-seal\0');

export interface LeafFlags {
  recovered: boolean;
  gapBefore: boolean;
  /** The last chunk of the session. */
  final: boolean;
}

export const encodeLeafFlags = ({ recovered, gapBefore, final }: LeafFlags): number =>
  (recovered ? leafFlagBits.recovered : 0) |
  (gapBefore ? leafFlagBits.gapBefore : 0) |
  (final ? leafFlagBits.final : 0);

export const decodeLeafFlags = (flags: number): LeafFlags => ({
  recovered: (flags & leafFlagBits.recovered) !== 0,
  gapBefore: (flags & leafFlagBits.gapBefore) !== 0,
  final: (flags & leafFlagBits.final) !== 0,
});

/** What the session's Merkle tree holds about one chunk: facts about the ciphertext only. */
export interface Leaf extends LeafFlags {
  sessionId: Uint8Array;
  index: number;
  /** Wall clock, µs since 1970. */
  openedUs: number;
  closedUs: number;
  /** Length of the compressed frames. */
  compressedBytes: number;
  /** Length of the chunk file. */
  fileBytes: number;
  fileSha256: Uint8Array;
  /** 32 zero bytes for the first. */
  previousLeafHash: Uint8Array;
  /** Ed25519 key the next leaf is sealed with; zero in a final leaf. */
  nextSealKey: Uint8Array;
}

/** Before the first leaf. */
export const NO_LEAF_HASH: Uint8Array = new Uint8Array(32);

function hash(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length !== 32) throw new RangeError(`${what} must be 32 bytes, got ${bytes.length}`);
  return bytes;
}

export function encodeLeaf(leaf: Leaf): Uint8Array {
  if (leaf.sessionId.length !== 16) throw new RangeError('sessionId must be 16 bytes');
  return new Writer(LEAF_BYTES)
    .u32be(MAGIC)
    .u8(VERSION)
    .u8(encodeLeafFlags(leaf))
    .u16be(0)
    .slice(leaf.sessionId)
    .u64be(BigInt(leaf.index))
    .u64be(BigInt(leaf.openedUs))
    .u64be(BigInt(leaf.closedUs))
    .u64be(BigInt(leaf.compressedBytes))
    .u64be(BigInt(leaf.fileBytes))
    .slice(hash(leaf.fileSha256, 'fileSha256'))
    .slice(hash(leaf.previousLeafHash, 'previousLeafHash'))
    .slice(hash(leaf.nextSealKey, 'nextSealKey'))
    .bytes();
}

/** Reads exactly 160 bytes. Throws `DecodeError`. */
export function decodeLeaf(bytes: Uint8Array): Leaf {
  const reader = new Reader(bytes);
  if (bytes.length !== LEAF_BYTES)
    throw new DecodeError('invalid', `a leaf has ${LEAF_BYTES} bytes, got ${bytes.length}`);
  if (reader.u32be() !== MAGIC) throw new DecodeError('invalid', 'not a leaf: the magic is not LSL1');
  if (reader.u8() !== VERSION) throw new DecodeError('unsupported', 'leaf version is not 1', 4);
  const flags = reader.u8();
  if ((flags & ~FLAGS_KNOWN) !== 0) throw new DecodeError('unsupported', 'leaf flags are not all known', FLAGS_AT);
  if (reader.u16be() !== 0) throw new DecodeError('unsupported', 'reserved leaf bytes are not zero', 6);
  return {
    ...decodeLeafFlags(flags),
    sessionId: reader.copy(16),
    index: reader.u64beNumber(),
    openedUs: reader.u64beNumber(),
    closedUs: reader.u64beNumber(),
    compressedBytes: reader.u64beNumber(),
    fileBytes: reader.u64beNumber(),
    fileSha256: reader.copy(32),
    previousLeafHash: reader.copy(32),
    nextSealKey: reader.copy(32),
  };
}

/** The leaf's hash in the session's tree and in the next leaf: SHA-256(0x00 ‖ leaf). */
export function leafHash(leafBytes: Uint8Array): Uint8Array {
  return hashLeaf(leafBytes);
}

/** What a seal signs: the domain, then the leaf hash. */
export function sealMessage(hashOfLeaf: Uint8Array): Uint8Array {
  return concatBytes(SEAL_DOMAIN, hashOfLeaf);
}

/** Ed25519 over the leaf with the chunk's seal key (32-byte seed, to be erased by the caller). */
export async function sealLeaf(crypto: Crypto, sealSeed: Uint8Array, leafBytes: Uint8Array): Promise<Uint8Array> {
  return crypto.ed25519Sign(sealSeed, sealMessage(leafHash(leafBytes)));
}

export async function verifySeal(
  crypto: Crypto,
  sealKey: Uint8Array,
  hashOfLeaf: Uint8Array,
  seal: Uint8Array,
): Promise<boolean> {
  return crypto.ed25519Verify(sealKey, sealMessage(hashOfLeaf), seal);
}
