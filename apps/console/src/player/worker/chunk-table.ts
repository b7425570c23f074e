import type { Chunk } from '../../api/types.ts';

/** Where one chunk stands in the recording. */
export interface ChunkEntry {
  /** null while it is not stored: its frames come from the live stream. */
  chunkId: string | null;
  /** 0-based position in the session. */
  index: number;
  /** µs since the session's start, by the wall clock of chunk openings. */
  startUs: number;
  endUs: number;
  fileBytes: number;
  framesCount: number;
}

/** The chunks of a session by time. Grows while the session runs: stored ones first, behind them those still being recorded. */
export class ChunkTable {
  readonly entries: ChunkEntry[] = [];
  #storedLength = 0;
  #storedFrames = 0;
  /** Opening of the first chunk, ms since 1970. */
  startedAtMs: number | null = null;

  /** Appends chunks as the API lists them, in order; ones already known are passed over. */
  append(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      const index = this.#storedLength;
      if (chunk.sequence_number !== index + 1) continue;
      const openedMs = Date.parse(chunk.timestamp);
      this.startedAtMs ??= openedMs;
      const startUs = Math.max(0, (openedMs - this.startedAtMs) * 1000);
      this.entries[index] = {
        chunkId: chunk.chunk_id,
        index,
        startUs,
        endUs: startUs + Math.max(0, chunk.duration_seconds) * 1e6,
        fileBytes: chunk.size_bytes,
        framesCount: chunk.frame_count ?? 0,
      };
      this.#storedLength += 1;
      this.#storedFrames += chunk.frame_count ?? 0;
    }
  }

  /** One more chunk that is not stored yet. */
  grow(startUs: number): void {
    const index = this.entries.length;
    this.entries.push({ chunkId: null, index, startUs, endUs: startUs, fileBytes: 0, framesCount: 0 });
  }
  /** The last chunk goes on to here. */
  extend(endUs: number): void {
    const last = this.entries.at(-1);
    if (last) last.endUs = Math.max(last.endUs, endUs);
  }
  /** Nothing more comes: what was not stored is no part of the recording. */
  settle(): void {
    this.entries.length = this.#storedLength;
  }

  get storedLength(): number {
    return this.#storedLength;
  }
  /** Frames in the stored chunks: the number of the first one behind them. */
  get storedFrames(): number {
    return this.#storedFrames;
  }

  get length(): number {
    return this.entries.length;
  }
  get durationUs(): number {
    return this.entries.at(-1)?.endUs ?? 0;
  }
  get totalBytes(): number {
    return this.entries.reduce((sum, entry) => sum + entry.fileBytes, 0);
  }

  /** Index of the chunk that was open at `timeUs`; 0 before the first, the last one behind the end. */
  indexAt(timeUs: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.startUs <= timeUs) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  /** Bytes over time in `parts` equal parts, as far as the chunk list tells: the first sketch of activity. */
  activity(parts: number): Float32Array {
    const values = new Float32Array(parts);
    const total = this.durationUs;
    if (total === 0) return values;
    for (const { startUs, endUs, fileBytes } of this.entries) {
      const first = Math.min(parts - 1, Math.floor((startUs / total) * parts));
      const last = Math.min(parts - 1, Math.floor((endUs / total) * parts));
      for (let part = first; part <= last; part += 1) values[part]! += fileBytes / (last - first + 1);
    }
    return values;
  }
}

/** Scales to 0–1 by the logarithm: one large picture must not hide an hour of typing. */
export function scaleActivity(values: Float32Array): Float32Array {
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  if (largest === 0) return values.slice();
  return values.map((value) => (value <= 0 ? 0 : Math.max(0.06, Math.log1p(value) / Math.log1p(largest))));
}
