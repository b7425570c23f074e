/** A processor on real storage and real keys in a temporary folder. */
import { createCipheriv } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ChunkToSeal,
  noStatistics,
  type ProcessorPort,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  type StoragePort,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import {
  decodeChunkHeader,
  decodeLeaf,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  type Leaf,
  leafHash,
  openChunk,
  openInputs,
  toHex,
} from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { KeyDirectory, LocalUnwrapper, LocalWrapper, unwrapDek } from '@lucid-sessions/keys';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import {
  createProcessor,
  type ProcessorDeps,
  type ProcessorKeys,
  type ProcessorService,
  type ProcessorServiceConfig,
} from '@lucid-sessions/processor';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService, type StorageService } from '@lucid-sessions/storage';

export const openedUs = 1_750_000_000_000_000;

export interface House {
  /** Moves storage's clock, which decides when leases are over. */
  time: { aheadUs: number };
  storage: StorageService;
  keys: ProcessorKeys;
  path: string;
  processor(deps?: Partial<ProcessorDeps>, config?: Partial<ProcessorServiceConfig>): ProcessorService;
  dispose(): Promise<void>;
}

export async function openHouse(): Promise<House> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-processor-'));
  const time = { aheadUs: 0 };
  const storage = createStorageService({
    metadata: new SqliteMetadataStore(join(path, 'metadata.db')),
    chunks: new FsChunkStore({ path: join(path, 'chunks') }),
    nowUs: () => Date.now() * 1000 + time.aheadUs,
  });
  await storage.start();
  const directory = await KeyDirectory.open(join(path, 'keys'));
  const localKey = await directory.localKey();
  const keys: ProcessorKeys = {
    identity: await directory.identity(),
    wrappers: [new LocalWrapper(localKey)],
    unwrappers: [new LocalUnwrapper([localKey])],
  };
  const processors: ProcessorService[] = [];
  return {
    time,
    storage,
    keys,
    path,
    processor(deps = {}, config = {}) {
      const processor = createProcessor(
        {
          chunkBytesMax: 1024 * 1024,
          compressionLevel: 3,
          workersMax: 2,
          sessionsMax: 50,
          recorderId: 'recorder-1',
          leaseTtlMs: 60_000,
          ...config,
        },
        { storage, crypto: nodeCrypto, keys, nowUs: () => openedUs, software: 'lucid-sessions/test', ...deps },
      );
      processors.push(processor);
      return processor;
    },
    async dispose() {
      await Promise.all(processors.map((processor) => processor.dispose()));
      await storage.dispose();
      await rm(path, { recursive: true });
    },
  };
}

/** Runs `work` in a house that is torn down afterwards. */
export async function inHouse(work: (house: House) => Promise<void>): Promise<void> {
  const house = await openHouse();
  try {
    await work(house);
  } finally {
    await house.dispose();
  }
}

export interface SessionChoices {
  compression?: SessionDocument['recording_config']['compression'];
  compressionEnabled?: boolean;
  encryptionEnabled?: boolean;
}

export function sessionOf(sessionId: string, choices: SessionChoices = {}): SessionDocument {
  return {
    session_id: sessionId,
    name: sessionId,
    description: null,
    status: 'recording',
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: null,
    stopped_at: null,
    created_by: 'u1',
    rdp_config: rdpConfigSchema.parse({ host: 'desk.example', username: 'alice' }),
    recording_config: recordingConfigSchema.parse({ compression: choices.compression ?? 'zstd' }),
    storage_config: storageConfigSchema.parse({
      encryption_enabled: choices.encryptionEnabled ?? true,
      compression_enabled: choices.compressionEnabled ?? true,
    }),
    metadata: {},
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'created',
  };
}

export function openRequest(session: SessionDocument): Parameters<ProcessorPort['open']>[0] {
  return { session, openedUs, checkpoint: null, persistence: 'strict', graphics: 'passthrough' };
}

export async function openSession(
  house: House,
  processor: ProcessorPort,
  sessionId: string,
  choices: SessionChoices = {},
): Promise<SessionDocument> {
  const session = sessionOf(sessionId, choices);
  await house.storage.createSession({ session, routeTokenSha256: null });
  await processor.open(openRequest(session));
  return session;
}

export function chunkOf(sessionId: string, index: number, payload: Uint8Array, changes: Partial<ChunkToSeal> = {}) {
  return {
    sessionId,
    index,
    final: false,
    recovered: false,
    gapBefore: false,
    openedUs: openedUs + index * 1_000_000,
    closedUs: openedUs + index * 1_000_000 + 900_000,
    monotonicNs: index * 1_000_000_000,
    framesCount: 3,
    updatesCount: 1,
    payload,
    ...changes,
  } satisfies ChunkToSeal;
}

export function finishRequest(session: SessionDocument): Parameters<ProcessorPort['finish']>[0] {
  return {
    session,
    reason: 'stopped',
    message: 'stopped by its owner',
    endedUs: openedUs + 60_000_000,
    facts: [],
    statistics: {
      framesCount: 9,
      relayedBytes: 1000,
      framesDropped: 0,
      errorsCount: 0,
      durationUs: 60_000_000,
      updatesCount: 3,
    },
  };
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  return createCipheriv('aes-256-ctr', Buffer.alloc(32, seed), Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Bytes that compress well and are not all equal. */
export function pattern(length: number, seed = 1): Uint8Array {
  const tile = noise(1000, seed);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += tile.length) bytes.set(tile.subarray(0, length - at), at);
  return bytes;
}

/** The same bytes in memory that threads share. */
export function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

export async function leavesOf(storage: StoragePort, sessionId: string) {
  const { leaves } = await storage.readLeaves({ sessionId });
  const parsed: { leaf: Leaf; hash: Uint8Array; seal: Uint8Array }[] = [];
  for (let at = 0; at < leaves.length; at += LEAF_RECORD_BYTES) {
    const bytes = leaves.subarray(at, at + LEAF_BYTES);
    const seal = leaves.subarray(at + LEAF_BYTES, at + LEAF_RECORD_BYTES);
    parsed.push({ leaf: decodeLeaf(bytes), hash: leafHash(bytes), seal });
  }
  return parsed;
}

/** A stored chunk, opened with the session's own key and decompressed. */
export async function readBack(house: House, sessionId: string, index: number) {
  const { file } = await house.storage.readChunk({ sessionId, index });
  if (file === null) throw new Error('no such chunk file');
  const { wraps } = await house.storage.getWraps({ sessionId });
  const header = decodeChunkHeader(file);
  const mine = wraps.filter(({ keyId }) => keyId === toHex(header.dekId));
  const dek = (await unwrapDek(mine, house.keys.unwrappers)) ?? new Uint8Array(32);
  const opened = await openChunk(nodeCrypto, dek, file);
  if (!opened.opened) throw new Error(opened.message);
  const sealed = await nodeDecompressor.decompress(header.compression, opened.compressed, 64 << 20);
  const payload = await openInputs(nodeCrypto, opened.inputs, sealed);
  return { file, header, sealed, payload };
}
