export type { ClockCheck } from './chain/manifest-body.ts';
export { type ProcessorConfig, readProcessorEnv } from './config.ts';
export { createProcessorServer, type ProcessorServer } from './http.ts';
export type { ProcessorKeys } from './keys.ts';
export type { Compression } from './pool/compress.ts';
export {
  ChunkPool,
  type ChunkPoolHealth,
  type ChunkPoolOptions,
  type CompressedBody,
  type PooledChunk,
  type SealedBody,
  type SealRequest,
} from './pool/pool.ts';
export { createProcessor, type ProcessorDeps, type ProcessorService, type ProcessorServiceConfig } from './service.ts';
