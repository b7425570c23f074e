import { type Crypto, concatBytes, DecodeError, equalBytes, type SyncCrypto } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';
import {
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  chunkSuites,
  decodeChunkHeader,
  encodeChunkHeader,
} from './chunk-header.ts';
import { type InputsAccess, inputsSecret } from './inputs.ts';
import { type ReadingKey, sessionKeys } from './session-keys.ts';

export const DEK_BYTES = 32;
export const CHUNK_SALT_BYTES = 32;
export const CHUNK_COMMITMENT_BYTES = 32;
export const CHUNK_TAG_BYTES = 16;
/** Where things stand in a file of suite 1: H, salt, commitment, ciphertext, tag. */
export const CHUNK_SALT_OFFSET = CHUNK_HEADER_BYTES;
export const CHUNK_COMMITMENT_OFFSET = CHUNK_SALT_OFFSET + CHUNK_SALT_BYTES;
export const CHUNK_CIPHERTEXT_OFFSET = CHUNK_COMMITMENT_OFFSET + CHUNK_COMMITMENT_BYTES;
/** What suite 1 adds to the compressed frames. */
export const CHUNK_OVERHEAD_BYTES = CHUNK_CIPHERTEXT_OFFSET + CHUNK_TAG_BYTES;
/** The largest chunk file a reader loads: 64 MiB of frames that did not compress, and room. */
export const CHUNK_FILE_BYTES_MAX = 68 << 20;

const INFO = utf8('lucid-sessions/v1/chunk\0');
/** key 32 ‖ nonce 12 ‖ commitment 32 */
export const CHUNK_KEY_MATERIAL_BYTES = 76;

export interface ChunkKeys {
  /** AES-256 key. */
  key: Uint8Array;
  nonce: Uint8Array;
  commitment: Uint8Array;
}

/** HKDF's info: the domain, then H. */
export function chunkKeyInfo(headerBytes: Uint8Array): Uint8Array {
  return concatBytes(INFO, headerBytes);
}

export function splitChunkKeys(material: Uint8Array): ChunkKeys {
  return { key: material.subarray(0, 32), nonce: material.subarray(32, 44), commitment: material.subarray(44, 76) };
}

/** key ‖ nonce ‖ commitment = HKDF-SHA-256(view key, salt, domain ‖ H). */
export async function deriveChunkKeys(
  crypto: Crypto,
  view: Uint8Array,
  salt: Uint8Array,
  headerBytes: Uint8Array,
): Promise<ChunkKeys> {
  return splitChunkKeys(await crypto.hkdfSha256(view, salt, chunkKeyInfo(headerBytes), CHUNK_KEY_MATERIAL_BYTES));
}

/** The same for worker threads that encrypt in slices with the platform's own cipher, H as AAD. */
export function deriveChunkKeysSync(
  crypto: SyncCrypto,
  view: Uint8Array,
  salt: Uint8Array,
  headerBytes: Uint8Array,
): ChunkKeys {
  return splitChunkKeys(crypto.hkdfSha256(view, salt, chunkKeyInfo(headerBytes), CHUNK_KEY_MATERIAL_BYTES));
}

/** The length of a chunk file holding `compressedBytes`. */
export function chunkFileBytes(suite: ChunkHeader['suite'], compressedBytes: number): number {
  return compressedBytes + (suite === chunkSuites.plain ? CHUNK_HEADER_BYTES : CHUNK_OVERHEAD_BYTES);
}

/**
 * Seals compressed frames as one chunk file. `dek` is not used in suite 0. Frames flagged `inputs` are sealed by the caller
 * (`cipherInputs`) under the same `salt`; without one given, there are none.
 */
export async function sealChunk(
  crypto: Crypto,
  chunk: { header: ChunkHeader; dek: Uint8Array; compressed: Uint8Array; salt?: Uint8Array },
): Promise<Uint8Array> {
  const headerBytes = encodeChunkHeader(chunk.header);
  if (chunk.header.suite === chunkSuites.plain) return concatBytes(headerBytes, chunk.compressed);
  if (chunk.dek.length !== DEK_BYTES) throw new RangeError(`a DEK has ${DEK_BYTES} bytes, got ${chunk.dek.length}`);
  // A salt is used once: it alone makes the key of this chunk, nonce included, unlike every other.
  const salt = chunk.salt ?? crypto.randomBytes(CHUNK_SALT_BYTES);
  const { view } = await sessionKeys(crypto, chunk.dek, chunk.header.dekId);
  const { key, nonce, commitment } = await deriveChunkKeys(crypto, view, salt, headerBytes);
  const sealed = await crypto.aes256GcmSeal(key, nonce, headerBytes, chunk.compressed);
  return concatBytes(headerBytes, salt, commitment, sealed);
}

export type OpenedChunk =
  /** `inputs`: for `openInputs`, once the payload is decompressed. */
  | { opened: true; header: ChunkHeader; compressed: Uint8Array; inputs: InputsAccess }
  /** FORMAT: no chunk file. COMMITMENT: not this DEK, or header, salt or commitment altered. AUTH: ciphertext or tag altered. */
  | { opened: false; finding: 'FORMAT' | 'COMMITMENT' | 'AUTH'; message: string };

/** Opens a chunk file. Bad bytes are an answer, not an error. */
export async function openChunk(crypto: Crypto, reading: ReadingKey, file: Uint8Array): Promise<OpenedChunk> {
  let header: ChunkHeader;
  try {
    header = decodeChunkHeader(file);
  } catch (error) {
    if (error instanceof DecodeError) return { opened: false, finding: 'FORMAT', message: error.message };
    throw error;
  }
  if (header.suite === chunkSuites.plain)
    return { opened: true, header, compressed: file.subarray(CHUNK_HEADER_BYTES), inputs: 'clear' };
  if (file.length < CHUNK_OVERHEAD_BYTES)
    return { opened: false, finding: 'FORMAT', message: 'the chunk file ends before its tag' };
  const headerBytes = file.subarray(0, CHUNK_HEADER_BYTES);
  const salt = file.subarray(CHUNK_SALT_OFFSET, CHUNK_COMMITMENT_OFFSET);
  const { view, inputs } = reading instanceof Uint8Array ? await sessionKeys(crypto, reading, header.dekId) : reading;
  const { key, nonce, commitment } = await deriveChunkKeys(crypto, view, salt, headerBytes);
  if (!equalBytes(commitment, file.subarray(CHUNK_COMMITMENT_OFFSET, CHUNK_CIPHERTEXT_OFFSET)))
    return { opened: false, finding: 'COMMITMENT', message: 'the chunk was not sealed under this key' };
  const compressed = await crypto.aes256GcmOpen(key, nonce, headerBytes, file.subarray(CHUNK_CIPHERTEXT_OFFSET));
  if (compressed === null) return { opened: false, finding: 'AUTH', message: 'the ciphertext does not authenticate' };
  const secret = inputs === null ? null : await inputsSecret(crypto, inputs, salt, header);
  return { opened: true, header, compressed, inputs: secret };
}
