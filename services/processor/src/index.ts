export { ChunkPool } from './pool/pool.ts';
