import { openChunk, openInputs, type SessionKeys } from '@lucid-sessions/evidence';
import { type Frame, PAYLOAD_BYTES_MAX, portableDecompressor, readPayload } from '@lucid-sessions/recording';
import type { Crypto } from '@lucid-sessions/wire';
import type { ChunkEntry } from './chunk-table.ts';

/** An opened chunk. `frames` are views of one payload. */
export interface LoadedChunk {
  index: number;
  frames: Frame[];
  payloadBytes: number;
}

/** A chunk could not be fetched or opened. `finding` as the verifier names it; null when it could not be fetched. */
export class ChunkFailure extends Error {
  override readonly name = 'ChunkFailure';
  readonly finding: string | null;
  constructor(finding: string | null, message: string) {
    super(message);
    this.finding = finding;
  }
}

/** What is kept: the tab's memory must not grow with the recording. At least one chunk stays open. */
export interface ChunkLimits {
  /** Payload bytes of open chunks. */
  openBytesMax: number;
  /** Sealed files kept beside them. */
  fileBytesMax: number;
}

/** Fetches sealed chunk files, opens them here, and keeps a bounded number open. */
export class ChunkStore {
  readonly #fetch: (entry: ChunkEntry) => Promise<Uint8Array>;
  readonly #crypto: Crypto;
  readonly #limits: ChunkLimits;
  readonly #keys: SessionKeys;
  /** In order of last use. */
  readonly #open = new Map<number, LoadedChunk>();
  readonly #files = new Map<number, Uint8Array>();
  readonly #fetching = new Map<number, Promise<Uint8Array>>();
  readonly #loading = new Map<number, Promise<LoadedChunk>>();
  /** Sees every sealed file that passes by, before it is opened. */
  onFile: (index: number, file: Uint8Array) => void = () => {};

  /** `fetch` gets a sealed file from where it is stored. */
  constructor(
    fetch: (entry: ChunkEntry) => Promise<Uint8Array>,
    crypto: Crypto,
    keys: SessionKeys,
    limits: ChunkLimits,
  ) {
    this.#fetch = fetch;
    this.#crypto = crypto;
    this.#limits = limits;
    this.#keys = keys;
  }

  /** The sealed file as stored. */
  file(entry: ChunkEntry): Promise<Uint8Array> {
    const kept = this.#files.get(entry.index);
    if (kept) return Promise.resolve(kept);
    const fetching = this.#fetching.get(entry.index) ?? this.#fetchFile(entry);
    this.#fetching.set(entry.index, fetching);
    return fetching;
  }

  async #fetchFile(entry: ChunkEntry): Promise<Uint8Array> {
    try {
      const file = await this.#fetch(entry);
      this.#keepFile(entry.index, file);
      this.onFile(entry.index, file);
      return file;
    } finally {
      this.#fetching.delete(entry.index);
    }
  }

  /** Every download is one more line in the audit log: what playback fetched, a check need not fetch again. */
  #keepFile(index: number, file: Uint8Array): void {
    this.#files.set(index, file);
    let bytes = 0;
    for (const kept of this.#files.values()) bytes += kept.length;
    for (const [oldest, { length }] of this.#files) {
      if (bytes <= this.#limits.fileBytesMax) return;
      this.#files.delete(oldest);
      bytes -= length;
    }
  }

  load(entry: ChunkEntry): Promise<LoadedChunk> {
    const open = this.#open.get(entry.index);
    if (open) {
      this.#open.delete(entry.index);
      this.#open.set(entry.index, open);
      return Promise.resolve(open);
    }
    const loading = this.#loading.get(entry.index) ?? this.#load(entry);
    this.#loading.set(entry.index, loading);
    return loading;
  }

  /** Begins to load what will be needed next; a failure shows when it is. */
  prefetch(entry: ChunkEntry): void {
    if (!this.#open.has(entry.index)) void this.load(entry).catch(() => {});
  }

  async #load(entry: ChunkEntry): Promise<LoadedChunk> {
    try {
      const chunk = await this.#decode(entry, await this.file(entry));
      this.#open.set(entry.index, chunk);
      this.#makeRoom();
      return chunk;
    } finally {
      this.#loading.delete(entry.index);
    }
  }

  async #decode(entry: ChunkEntry, file: Uint8Array): Promise<LoadedChunk> {
    const opened = await openChunk(this.#crypto, this.#keys, file);
    if (!opened.opened) throw new ChunkFailure(opened.finding, `chunk ${entry.index + 1}: ${opened.message}`);
    if (opened.header.index !== entry.index)
      throw new ChunkFailure(
        'REORDERED',
        `chunk ${entry.index + 1} holds the file of chunk ${opened.header.index + 1}`,
      );
    const { compression } = opened.header;
    const sealed = await portableDecompressor.decompress(compression, opened.compressed, PAYLOAD_BYTES_MAX);
    const payload = await openInputs(this.#crypto, opened.inputs, sealed);
    return { index: entry.index, frames: [...readPayload(payload)], payloadBytes: payload.length };
  }

  #makeRoom(): void {
    let bytes = 0;
    for (const chunk of this.#open.values()) bytes += chunk.payloadBytes;
    for (const [index, chunk] of this.#open) {
      if (bytes <= this.#limits.openBytesMax || this.#open.size === 1) return;
      this.#open.delete(index);
      bytes -= chunk.payloadBytes;
    }
  }
}
