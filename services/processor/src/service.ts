/** Chunk Processor: seals what the recorder's spool closed, and signs what has to be believed later. */
import { randomUUID } from 'node:crypto';
import {
  type ChunkReceipt,
  type ChunkToSeal,
  type IndexPort,
  LucidError,
  type ProcessorPort,
  type ServiceHealth,
  type StoragePort,
} from '@lucid-sessions/contract';
import { type RecordBody, type RecorderBuild, recordBase } from '@lucid-sessions/evidence';
import { FRAME_BODY_BYTES_MAX } from '@lucid-sessions/recording';
import type { Crypto } from '@lucid-sessions/wire';
import { Chains } from './chain/chains.ts';
import { finishSession } from './chain/finish.ts';
import type { ClockCheck } from './chain/manifest-body.ts';
import { compressionOf } from './chain/open-body.ts';
import { signBody } from './chain/records.ts';
import { findStoredReceipt } from './chain/session-chain.ts';
import type { ProcessorConfig } from './config.ts';
import type { ProcessorKeys } from './keys.ts';
import { type Compression, loadCodec } from './pool/compress.ts';
import { ChunkPool } from './pool/pool.ts';

/** What a payload may be longer than CHUNK_SIZE_MB: the frame that crossed the limit, and headers. */
const payloadSlackBytes = FRAME_BODY_BYTES_MAX + 64 * 1024;
/** Chunks that may wait for a worker, per session that may record. */
const waitingPerSession = 4;

export interface ProcessorDeps {
  storage: StoragePort;
  /** Told of every chunk that storage answered to have. */
  index?: Pick<IndexPort, 'follow'>;
  crypto: Crypto;
  keys: ProcessorKeys;
  /** µs since 1970. */
  nowUs: () => number;
  /** How far this host's clock is known to be off; nothing is claimed without it. */
  clock?: () => ClockCheck;
  /** Name and version for the `open` record. */
  software?: string;
  /** Which build of it, as `open` records name it. */
  build?: RecorderBuild;
  /** What draws H.264 for keyframes: its name, or what to install. Neither makes the processor unhealthy. */
  h264?: () => Promise<{ decoder: string } | { missing: string }>;
  /** When keyframes are made, in words, and what processor time those of this process have taken. */
  keyframes?: () => { policy: string; usedMs: number };
  /** Entry of the worker threads, where the program is a bundle. */
  workerUrl?: URL;
}

export interface ProcessorService extends ProcessorPort {
  /** Releases every session and ends the workers. Chunks being sealed are refused: the spool still has them. */
  dispose(): Promise<void>;
}

export type ProcessorServiceConfig = Pick<
  ProcessorConfig,
  'chunkBytesMax' | 'compressionLevel' | 'workersMax' | 'sessionsMax' | 'recorderId' | 'leaseTtlMs'
>;

export function createProcessor(config: ProcessorServiceConfig, deps: ProcessorDeps): ProcessorService {
  const { storage, keys, crypto, nowUs } = deps;
  const pool = new ChunkPool({
    workersMax: config.workersMax,
    levelWish: config.compressionLevel,
    payloadBytesMax: config.chunkBytesMax + payloadSlackBytes,
    waitingMax: config.sessionsMax * waitingPerSession,
    ...(deps.workerUrl === undefined ? {} : { workerUrl: deps.workerUrl }),
  });
  const identityKey = keys.identity.publicKey;
  const recorder = {
    id: config.recorderId,
    software: deps.software ?? 'lucid-sessions',
    build: deps.build,
    key: identityKey,
  };
  const chains = new Chains({
    storage,
    pool,
    crypto,
    keys,
    recorder,
    chunkBytesMax: config.chunkBytesMax,
    processorId: `${config.recorderId}/${randomUUID()}`,
    leaseTtlMs: config.leaseTtlMs,
    chainsMax: config.sessionsMax * 2,
    nowUs,
  });
  const clock = deps.clock ?? (() => ({ offsetUs: null, source: 'the system clock, not compared with another' }));
  /** Asked again after a crash: answered from storage, without a new seal chain for nothing. */
  const sealedBefore = async (chunk: ChunkToSeal): Promise<ChunkReceipt> =>
    (await findStoredReceipt(storage, chunk)) ?? (await chains.take(chunk.sessionId)).seal(chunk);
  const finishing = new Map<string, ReturnType<ProcessorPort['finish']>>();

  return {
    async open(request) {
      await checkCodec(compressionOf(request.session));
      return { openRecord: await chains.open(request) };
    },
    async seal(chunk) {
      const held = chains.held(chunk.sessionId);
      const receipt = held === null ? await sealedBefore(chunk) : await held.seal(chunk);
      deps.index?.follow(chunk.sessionId);
      return receipt;
    },
    async finish(request) {
      const sessionId = request.session.session_id;
      const running = finishing.get(sessionId);
      if (running !== undefined) return running;
      const finished = finishSession({ storage, chains, keys, identityKey, clock }, request).finally(() =>
        finishing.delete(sessionId),
      );
      finishing.set(sessionId, finished);
      return finished;
    },
    async follow({ sessionId }) {
      deps.index?.follow(sessionId);
    },
    async signRecord({ sessionId, kind, body }) {
      return {
        record: await signBody(keys.identity, { ...body, ...recordBase(kind, sessionId) } as unknown as RecordBody),
      };
    },
    health: async () => withH264(withKeyframes(healthOf(pool, chains), deps.keyframes?.()), await deps.h264?.()),
    async dispose() {
      await chains.dispose();
      await pool.dispose();
    },
  };
}

function healthOf(pool: ChunkPool, chains: Chains): ServiceHealth {
  const { workers, chunksInFlight, chunksWaiting, crashes, crashesInARow, lastCrash } = pool.health();
  const details = { workers, chunksInFlight, chunksWaiting, workerCrashes: crashes, sessions: chains.size };
  const [status, message] =
    workers === 0
      ? (['unhealthy', `no chunk worker runs: ${lastCrash}`] as const)
      : crashesInARow > 0
        ? (['degraded', `chunk workers die: ${lastCrash}`] as const)
        : (['healthy', null] as const);
  return { service: 'processor', status, message, details };
}

function withKeyframes(
  health: ServiceHealth,
  keyframes: { policy: string; usedMs: number } | undefined,
): ServiceHealth {
  if (keyframes === undefined) return health;
  const { policy, usedMs } = keyframes;
  const keyframeSeconds = Math.round(usedMs / 100) / 10;
  return { ...health, details: { ...health.details, keyframes: policy, keyframeSeconds } };
}

function withH264(health: ServiceHealth, h264: { decoder: string } | { missing: string } | undefined): ServiceHealth {
  if (h264 === undefined) return health;
  const decoder = 'decoder' in h264 ? h264.decoder : 'none';
  const message = health.message ?? ('missing' in h264 ? h264.missing : null);
  return { ...health, message, details: { ...health.details, h264Decoder: decoder } };
}

/** A session whose chunks could not be compressed does not begin: nobody would see what was recorded. */
async function checkCodec(compression: Compression): Promise<void> {
  try {
    await loadCodec(compression);
  } catch (cause) {
    throw new LucidError('compression', (cause as Error).message, { cause });
  }
}
