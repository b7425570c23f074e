/** Sample values for the suites: valid documents, and chains of valid leaves. */
import { createHash } from 'node:crypto';
import {
  type AuditEvent,
  type ChunkMetadata,
  chunkIdOf,
  type Entry,
  noStatistics,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  type StoragePort,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { sessionIdBytes } from '@lucid-sessions/evidence';
import { leafHashOf } from '@lucid-sessions/storage';

export const sampleEntry = (id: string, changes: Partial<Entry> = {}): Entry => ({
  kind: 'user',
  id,
  owner: null,
  value: { name: id, list: [1, null, 'x'] },
  version: 1,
  untilUs: null,
  ...changes,
});

export function sampleSession(sessionId: string, changes: Partial<SessionDocument> = {}): SessionDocument {
  return {
    session_id: sessionId,
    name: `Session ${sessionId}`,
    description: null,
    status: 'created',
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: null,
    stopped_at: null,
    created_by: 'u1',
    rdp_config: rdpConfigSchema.parse({ host: 'desk.example', username: 'Alice' }),
    recording_config: recordingConfigSchema.parse({}),
    storage_config: storageConfigSchema.parse({ max_size_gb: 1 }),
    metadata: { project: 'p1', environment: 'test', tags: ['blue'], owner: 'Bob' },
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'created',
    ...changes,
  };
}

export function sampleAudit(eventId: string, changes: Partial<AuditEvent> = {}): AuditEvent {
  return {
    eventId,
    timestampUs: 1_000,
    eventType: 'session_created',
    userId: 'u1',
    resourceId: 's1',
    ipAddress: '127.0.0.1',
    userAgent: null,
    success: true,
    errorMessage: null,
    details: { $b: 1, nested: { value: [null] } },
    ...changes,
  };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

export interface SampleChunk {
  metadata: Omit<ChunkMetadata, 'storedAtUs' | 'storagePath'>;
  leaf: Uint8Array;
  seal: Uint8Array;
  file: Uint8Array;
}

/** A chunk that extends a chain whose head is `previous`. */
export function sampleChunk(sessionId: string, index: number, previous: string | null, file?: Uint8Array): SampleChunk {
  const bytes = file ?? new Uint8Array(5000 + index).fill(index + 1);
  const leaf = new Uint8Array(160);
  const view = new DataView(leaf.buffer);
  leaf.set(new TextEncoder().encode('LSL1'));
  leaf[4] = 1;
  leaf.set(sessionIdBytes(sessionId), 8);
  const openedUs = 1_000_000 * (index + 1);
  [index, openedUs, openedUs + 900_000, bytes.length - 100, bytes.length].forEach((value, at) => {
    view.setBigUint64(24 + 8 * at, BigInt(value));
  });
  leaf.set(sha256(bytes), 64);
  if (previous !== null) leaf.set(Buffer.from(previous, 'hex'), 96);
  return {
    leaf,
    seal: new Uint8Array(64).fill(7),
    file: bytes,
    metadata: {
      sessionId,
      chunkId: chunkIdOf(sessionId, index),
      index,
      leafHash: leafHashOf(leaf),
      fileSha256: sha256(bytes).toString('hex'),
      fileBytes: bytes.length,
      payloadBytes: 20_000,
      compression: 'zstd',
      openedUs,
      closedUs: openedUs + 900_000,
      framesCount: 10,
      updatesCount: 4,
      flags: 0,
      keyId: 'key-1',
    },
  };
}

export function sampleChain(sessionId: string, length: number): SampleChunk[] {
  const chain: SampleChunk[] = [];
  for (let index = 0; index < length; index++)
    chain.push(sampleChunk(sessionId, index, chain.at(-1)?.metadata.leafHash ?? null));
  return chain;
}

export const sealedLeafOf = (chunk: SampleChunk) => new Uint8Array([...chunk.leaf, ...chunk.seal]);

/** A session with a lease, ready for chunks. */
export async function openSession(storage: StoragePort, sessionId: string): Promise<number> {
  await storage.createSession({ session: sampleSession(sessionId), routeTokenSha256: null });
  return (await storage.acquireLease({ sessionId, owner: 'processor-1', ttlMs: 60_000 })).epoch;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
