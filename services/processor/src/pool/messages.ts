import type { Compression, Effort } from './compress.ts';

/** Where a payload lies: in a shared buffer by its number, or in the slot itself (null). */
export interface PayloadPlace {
  buffer: number | null;
  offset: number;
  length: number;
}

/** Main thread → chunk worker. `job` numbers a chunk's stay in the pool. */
export type WorkerRequest =
  | {
      kind: 'compress';
      job: number;
      slot: number;
      /** The slot's memory when this worker has not seen it yet, or not since it grew. */
      memory?: WebAssembly.Memory;
      payload: PayloadPlace;
      /** The payload's buffer when this worker has not seen it yet. */
      buffer?: SharedArrayBuffer;
      prefixBytes: number;
      compression: Compression;
      effort: Effort;
      savingMin: number;
      /** Frames flagged `inputs` are sealed first, with the secret in the slot. */
      sealInputs: boolean;
    }
  | {
      kind: 'seal';
      job: number;
      aadBytes: number;
      encrypted: boolean;
    }
  /** The chunk was given up before it was sealed; answered when the worker no longer touches its slot. */
  | { kind: 'forget'; job: number }
  /** A shared buffer no payload came in for a while. */
  | { kind: 'drop'; job: 0; buffer: number };

/** Chunk worker → main thread. */
export type WorkerAnswer =
  | { kind: 'compressed'; job: number; compression: Compression; compressedBytes: number; elapsedNs: number }
  | { kind: 'sealed'; job: number; fileBytes: number; sha256: Uint8Array; elapsedNs: number }
  | { kind: 'forgotten'; job: number }
  | { kind: 'failed'; job: number; stage: 'compress' | 'seal'; message: string };
