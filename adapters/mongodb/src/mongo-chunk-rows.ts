/** A chunk's row as a document: its metadata as JSON, and beside it the numbers that are added up or compared. */
import { type ChunkMetadata, LucidError } from '@lucid-sessions/contract';
import type { ChunkRow } from '@lucid-sessions/storage';
import { Binary } from 'mongodb';

export interface ChunkDoc {
  session: string;
  index: number;
  /** Which change of the chain this row is of. */
  change: number;
  leafHash: string;
  openedUs: number;
  closedUs: number;
  fileBytes: number;
  payloadBytes: number;
  framesCount: number;
  updatesCount: number;
  /** 0 or 1, so that they add up. */
  rebuilt: number;
  uncounted: number;
  /** µs from its end until it was stored. */
  lineUs: number;
  metadata: string;
  sealedLeaf: Binary;
}

const texts = ['sessionId', 'chunkId', 'leafHash', 'fileSha256', 'compression', 'storagePath', 'keyId'] as const;
const numbers = ['index', 'fileBytes', 'payloadBytes', 'storedAtUs', 'openedUs', 'closedUs', 'flags'] as const;

/** Throws what the type does not allow. */
export function chunkDocOf({ metadata, sealedLeaf, rebuilt }: ChunkRow, change: number): ChunkDoc {
  if (
    !texts.every((name) => typeof metadata[name] === 'string') ||
    !numbers.every((name) => Number.isSafeInteger(metadata[name]))
  )
    throw new LucidError('storage', 'the database refused the call: this is no row of a chunk');
  // Who knows how long a payload is has opened it.
  const uncounted = rebuilt && metadata.payloadBytes === 0;
  return {
    session: metadata.sessionId,
    index: metadata.index,
    change,
    leafHash: metadata.leafHash,
    openedUs: metadata.openedUs,
    closedUs: metadata.closedUs,
    fileBytes: metadata.fileBytes,
    payloadBytes: metadata.payloadBytes,
    framesCount: metadata.framesCount ?? 0,
    updatesCount: metadata.updatesCount ?? 0,
    rebuilt: rebuilt ? 1 : 0,
    uncounted: uncounted ? 1 : 0,
    lineUs: Math.max(0, metadata.storedAtUs - metadata.closedUs),
    metadata: JSON.stringify(metadata),
    sealedLeaf: new Binary(sealedLeaf),
  };
}

export function metadataOf(doc: ChunkDoc): ChunkMetadata {
  return {
    ...(JSON.parse(doc.metadata) as ChunkMetadata),
    framesCount: doc.uncounted === 1 ? null : doc.framesCount,
    updatesCount: doc.rebuilt === 1 ? null : doc.updatesCount,
  };
}

export const bytesOf = (binary: Binary): Uint8Array => Uint8Array.from(binary.value());

export const rowOf = (doc: ChunkDoc): ChunkRow => ({
  metadata: metadataOf(doc),
  sealedLeaf: bytesOf(doc.sealedLeaf),
  rebuilt: doc.rebuilt === 1,
});
