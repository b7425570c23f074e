import type { ChunkToSeal } from '@lucid-sessions/contract';
import {
  CHUNK_CIPHERTEXT_OFFSET,
  CHUNK_HEADER_BYTES,
  CHUNK_SALT_BYTES,
  chunkSuites,
  deriveChunkKeys,
  encodeChunkHeader,
  encodeLeaf,
  inputsSecret,
} from '@lucid-sessions/evidence';
import { type Crypto, concatBytes } from '@lucid-sessions/wire';
import type { Compression } from '../pool/compress.ts';
import type { CompressedBody, SealedBody, SealRequest } from '../pool/pool.ts';

/** What is the same for every chunk of a session. */
export interface ChunkContext {
  /** 16 bytes. */
  sessionId: Uint8Array;
  /** Derived from the session's DEK. Null: the session is stored in clear (suite 0). */
  keys: { view: Uint8Array; inputs: Uint8Array } | null;
  /** 16 bytes, zero in suite 0. */
  dekId: Uint8Array;
  /** What the session asked for. */
  compression: Compression;
}

/** Bytes before the body of a chunk file. */
export function prefixBytesOf({ keys }: ChunkContext): number {
  return keys === null ? CHUNK_HEADER_BYTES : CHUNK_CIPHERTEXT_OFFSET;
}

export function newSalt(crypto: Crypto): Uint8Array {
  return crypto.randomBytes(CHUNK_SALT_BYTES);
}

/** What seals the bodies of typed and copied frames, before compression; null in suite 0. */
export async function inputsSecretOf(
  crypto: Crypto,
  { keys, sessionId }: ChunkContext,
  at: { index: number; salt: Uint8Array },
): Promise<Uint8Array | null> {
  return keys === null ? null : inputsSecret(crypto, keys.inputs, at.salt, { sessionId, index: at.index });
}

/** Header, salt, commitment and the chunk's own key: everything a worker needs to finish the file. */
export async function sealRequestOf(
  crypto: Crypto,
  context: ChunkContext,
  chunk: ChunkToSeal,
  at: { body: CompressedBody; previousLeafHash: Uint8Array; salt: Uint8Array },
): Promise<SealRequest> {
  const { keys, dekId, sessionId } = context;
  const header = encodeChunkHeader({
    suite: keys === null ? chunkSuites.plain : chunkSuites.aes256GcmHkdfSha256,
    recovered: chunk.recovered,
    gapBefore: chunk.gapBefore,
    stored: context.compression !== 'none' && at.body.compression === 'none',
    compression: at.body.compression,
    sessionId,
    index: chunk.index,
    openedUs: chunk.openedUs,
    monotonicNs: BigInt(chunk.monotonicNs),
    previousLeafHash: at.previousLeafHash,
    dekId,
  });
  if (keys === null) return { prefix: header, aadBytes: 0, secrets: null };
  const { key, nonce, commitment } = await deriveChunkKeys(crypto, keys.view, at.salt, header);
  return {
    prefix: concatBytes(header, at.salt, commitment),
    aadBytes: header.length,
    secrets: { key, nonce },
  };
}

export function leafOf(
  context: ChunkContext,
  chunk: ChunkToSeal,
  at: { body: CompressedBody; sealed: SealedBody; previousLeafHash: Uint8Array; nextSealKey: Uint8Array },
): Uint8Array {
  return encodeLeaf({
    recovered: chunk.recovered,
    gapBefore: chunk.gapBefore,
    final: chunk.final,
    sessionId: context.sessionId,
    index: chunk.index,
    openedUs: chunk.openedUs,
    closedUs: chunk.closedUs,
    compressedBytes: at.body.compressedBytes,
    fileBytes: at.sealed.file.length,
    fileSha256: at.sealed.sha256,
    previousLeafHash: at.previousLeafHash,
    nextSealKey: at.nextSealKey,
  });
}
