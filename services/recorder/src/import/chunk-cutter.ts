/** Frames of an imported connection into chunks as the spool cuts them, by the capture's own clock. */
import type { ChunkToSeal } from '@lucid-sessions/contract';
import { type FrameKind, FrameWriter, frameFlags, frameKinds, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import type { FrameTap } from '@lucid-sessions/relay';

export interface CutterOptions {
  sessionId: string;
  /** When the capture says it began, µs since 1970. */
  baseUs: number;
  chunkBytesMax: number;
  chunkAgeUs: number;
}

interface Partial {
  flags: number;
  channelId: number;
  bytes: Uint8Array;
  filled: number;
}

export class ChunkCutter implements FrameTap {
  readonly #options: CutterOptions;
  #writer = newWriter();
  #openedUs = 0;
  #lastUs = 0;
  #framesBefore = 0;
  #index = 0;
  #updates = 0;
  readonly #partial: [Partial | null, Partial | null] = [null, null];
  /** Chunks nobody has taken yet. */
  readonly #cut: ChunkToSeal[] = [];

  constructor(options: CutterOptions) {
    this.#options = options;
  }

  get framesCount(): number {
    return this.#framesBefore + this.#writer.framesCount;
  }

  /** µs since the first frame. */
  get lastUs(): number {
    return this.#lastUs;
  }

  /** Server → client updates since the last call belong to the chunk that is open. */
  addUpdates(count: number): void {
    this.#updates += count;
  }

  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    // What a gateway would have put in a PDU's place was delivered to nobody: the file's own bytes are what both sides had.
    if ((flags & frameFlags.deliveredOnly) !== 0) return;
    const { chunkBytesMax, chunkAgeUs } = this.#options;
    const atUs = Math.max(timeUs, this.#lastUs);
    const isFull = this.#writer.length + bytes.length > chunkBytesMax || atUs - this.#openedUs >= chunkAgeUs;
    if (isFull && this.#writer.framesCount > 0) this.#cut.push(this.#close(false));
    // The first chunk opens when the session does: readers count from there.
    if (this.#writer.framesCount === 0 && this.#index > 0) this.#openedUs = atUs;
    this.#lastUs = atUs;
    this.#writer.append(kind as FrameKind, flags & ~frameFlags.receivedOnly, channelId, atUs, bytes);
  }

  begin(flags: number, channelId: number, length: number): void {
    this.#partial[(flags & frameFlags.serverToClient) === 0 ? 0 : 1] = {
      flags,
      channelId,
      bytes: new Uint8Array(length),
      filled: 0,
    };
  }

  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const partial = this.#partial[direction];
    if (partial === null) return;
    partial.bytes.set(bytes, partial.filled);
    partial.filled += bytes.length;
    if (partial.filled < partial.bytes.length) return;
    this.#partial[direction] = null;
    this.frame(frameKinds.pdu, partial.flags, partial.channelId, partial.bytes, this.#lastUs);
  }

  take(): ChunkToSeal[] {
    return this.#cut.splice(0);
  }

  /** The last chunk, which may be empty. */
  end(): ChunkToSeal {
    return this.#close(true);
  }

  #close(final: boolean): ChunkToSeal {
    const { sessionId, baseUs } = this.#options;
    const { framesCount } = this.#writer;
    const openedUs = baseUs + (framesCount > 0 ? this.#openedUs : this.#lastUs);
    const chunk: ChunkToSeal = {
      sessionId,
      index: this.#index,
      final,
      recovered: false,
      gapBefore: false,
      openedUs,
      closedUs: baseUs + this.#lastUs,
      monotonicNs: (openedUs - baseUs) * 1000,
      framesCount,
      updatesCount: this.#updates,
      payload: this.#writer.payload({ firstFrameNumber: this.#framesBefore, openedUs }),
    };
    this.#framesBefore += framesCount;
    this.#index += 1;
    this.#updates = 0;
    this.#writer = newWriter();
    return chunk;
  }
}

const newWriter = (): FrameWriter => new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
