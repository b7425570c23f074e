import type { Compression, Effort } from './compress.ts';

/** Main thread → chunk worker. `job` numbers a chunk's stay in the pool. */
export type WorkerRequest =
  | {
      kind: 'compress';
      job: number;
      /** Shared memory: nothing is copied by sending it. */
      payload: Uint8Array;
      memory: WebAssembly.Memory;
      prefixBytes: number;
      compression: Compression;
      effort: Effort;
      savingMin: number;
    }
  | {
      kind: 'seal';
      job: number;
      aadBytes: number;
      encrypted: boolean;
    }
  /** The chunk was given up before it was sealed; answered when the worker no longer touches its slot. */
  | { kind: 'forget'; job: number };

/** Chunk worker → main thread. */
export type WorkerAnswer =
  | { kind: 'compressed'; job: number; compression: Compression; compressedBytes: number; elapsedNs: number }
  | { kind: 'sealed'; job: number; fileBytes: number; sha256: Uint8Array; elapsedNs: number }
  | { kind: 'forgotten'; job: number }
  | { kind: 'failed'; job: number; stage: 'compress' | 'seal'; message: string };
