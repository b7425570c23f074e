import type { LoadedChunk } from '../worker/chunk-store.ts';
import type { ChunkEntry, ChunkTable } from '../worker/chunk-table.ts';
import type { ChunkLoader } from '../worker/engine.ts';
import type { LiveBlock } from './live-blocks.ts';

/** What a frame costs beside its bytes, about. */
const frameBytes = 200;

/**
 * Chunks of a running session as one line: those that are stored come from storage, the ones behind them are what the live stream
 * brought so far, frame for frame what will be stored. A chunk leaves here when it is stored.
 */
export class LiveChunks implements ChunkLoader {
  readonly #table: ChunkTable;
  readonly #stored: ChunkLoader;
  readonly #bytesMax: number;
  readonly #chunks = new Map<number, LoadedChunk>();
  /** Number of the frame that comes next in the stream. */
  #received = 0;
  #lastFrameUs = 0;
  #bytes = 0;

  constructor(table: ChunkTable, stored: ChunkLoader, bytesMax: number) {
    this.#table = table;
    this.#stored = stored;
    this.#bytesMax = bytesMax;
  }

  /** Time of the last frame that came. */
  get lastFrameUs(): number {
    return this.#lastFrameUs;
  }
  /** Memory for what is not stored is used up. One chunk always has room, however large. */
  get full(): boolean {
    return this.#bytes > this.#bytesMax && this.#chunks.size > 1;
  }

  /** Where a new stream has to begin: behind what is stored or was received. */
  resume(): number {
    this.#received = Math.max(this.#received, this.#table.storedFrames);
    return this.#received;
  }

  /** Throws when the block does not go on where the one before ended. */
  add({ chunkIndex, firstFrame, frames, payloadBytes }: LiveBlock): void {
    if (frames.length === 0) return;
    if (firstFrame !== this.#received)
      throw new RangeError(`the live stream goes on with frame ${firstFrame} instead of ${this.#received}`);
    const lastUs = frames.at(-1)!.timeUs;
    // Stored since it was asked for: whoever needs it reads it there.
    if (chunkIndex >= this.#table.storedLength) {
      const chunk = this.#chunkAt(chunkIndex, frames[0]!.timeUs);
      for (const frame of frames) chunk.frames.push(frame);
      const bytes = payloadBytes + frames.length * frameBytes;
      chunk.payloadBytes += bytes;
      this.#bytes += bytes;
      this.#table.extend(lastUs);
    }
    this.#received += frames.length;
    this.#lastFrameUs = Math.max(this.#lastFrameUs, lastUs);
  }

  #chunkAt(index: number, startUs: number): LoadedChunk {
    const known = this.#chunks.get(index);
    if (known && index === this.#table.length - 1) return known;
    if (index !== this.#table.length)
      throw new RangeError(`the live stream goes on with chunk ${index + 1} behind chunk ${this.#table.length}`);
    this.#table.grow(startUs);
    const chunk = { index, frames: [], payloadBytes: 0 };
    this.#chunks.set(index, chunk);
    return chunk;
  }

  /** Drops what the table now has as stored. */
  release(): void {
    for (const [index, { payloadBytes }] of this.#chunks) {
      if (index >= this.#table.storedLength) return;
      this.#chunks.delete(index);
      this.#bytes -= payloadBytes;
    }
  }

  load(entry: ChunkEntry): Promise<LoadedChunk> {
    const chunk = this.#chunks.get(entry.index);
    return chunk ? Promise.resolve(chunk) : this.#stored.load(entry);
  }
  prefetch(entry: ChunkEntry): void {
    if (!this.#chunks.has(entry.index)) this.#stored.prefetch(entry);
  }
}
