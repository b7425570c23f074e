/**
 * Where the relay's frames of one session are written: straight into a slot of the batch pool, each byte copied once. A
 * PDU that comes in pieces has its place reserved and is filled as they come.
 */
import {
  FRAME_HEADER_BYTES,
  frameFlags,
  frameKinds,
  writeFrameHeader,
  writeFrameTime,
} from '@lucid-sessions/recording';
import { type BatchPool, copyInto } from './batch-pool.ts';

/** A frame whose PDU is still arriving. */
interface OpenFrame {
  /** Of its header in the slot. */
  at: number;
  length: number;
  filled: number;
}

export interface FullBatch {
  slot: number;
  bytes: number;
  framesCount: number;
  updatesCount: number;
  /** Arrival of the oldest frame on the recorder's clock. */
  oldestUs: number;
}

export class FrameBatch {
  readonly #pool: BatchPool;
  readonly #originUs: number;
  readonly #onFull: (batch: FullBatch) => void;
  /** Called when a batch starts, so that someone hands it over in time. */
  readonly #onStarted: () => void;
  #slot = -1;
  #length = 0;
  #framesCount = 0;
  #oldestUs = 0;
  /** By direction: 0 client, 1 server. */
  readonly #open: [OpenFrame | null, OpenFrame | null] = [null, null];
  /** Server → client updates among the frames; the relay's owner counts them. */
  updatesCount = 0;
  /** Frames there was no slot for. */
  framesDropped = 0;

  /** `originUs`: the session's start on the recorder's clock; frame times are since then. */
  constructor(pool: BatchPool, originUs: number, onStarted: () => void, onFull: (batch: FullBatch) => void) {
    this.#pool = pool;
    this.#originUs = originUs;
    this.#onStarted = onStarted;
    this.#onFull = onFull;
  }

  /** A whole frame. */
  frame(kind: number, flags: number, channelId: number, body: Uint8Array, timeUs: number): void {
    const at = this.#reserve(body.length, timeUs);
    if (at < 0) return;
    this.#writeHeader(at, kind, flags, channelId, body.length, timeUs);
    this.#copy(body, at + FRAME_HEADER_BYTES);
    this.#framesCount += 1;
  }

  /** The start of a PDU of `length` bytes that `fill` completes. */
  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    const at = this.#reserve(length, timeUs);
    if (at < 0) return;
    this.#writeHeader(at, frameKinds.pdu, flags, channelId, length, timeUs);
    this.#open[(flags & frameFlags.serverToClient) === 0 ? 0 : 1] = { at, length, filled: 0 };
  }

  /** The next bytes of the PDU that was begun in this direction. */
  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const open = this.#open[direction];
    if (open === null) return;
    this.#copy(bytes, open.at + FRAME_HEADER_BYTES + open.filled);
    open.filled += bytes.length;
    if (open.filled < open.length) return;
    this.#open[direction] = null;
    this.#framesCount += 1;
  }

  /** Whether anything waits to be handed over. */
  get isStarted(): boolean {
    return this.#slot >= 0;
  }

  /** Bytes that wait, and when the oldest of them came (µs since the session's start). */
  get waitingBytes(): number {
    return this.#slot < 0 ? 0 : this.#length;
  }
  get oldestUs(): number {
    return this.#oldestUs;
  }

  /** Hands what is complete to `onFull`. PDUs still arriving move on to the next batch. */
  flush(timeUs: number): void {
    if (this.#slot < 0 || this.#framesCount === 0) return;
    if (this.#open[0] === null && this.#open[1] === null) this.#handOver();
    else this.#moveOpenFrames(timeUs);
  }

  /** The connection is over: what is not complete is no frame. Answers how many those were. */
  finish(timeUs: number): number {
    const open = this.#openFrames();
    this.#cutOut(open);
    this.#open.fill(null);
    this.flush(timeUs);
    if (this.#slot >= 0) this.#pool.release(this.#slot);
    this.#slot = -1;
    return open.length;
  }

  #openFrames(): OpenFrame[] {
    return this.#open.filter((open) => open !== null).sort((a, b) => b.at - a.at);
  }

  #handOver(): void {
    const { updatesCount } = this;
    const slot = this.#slot;
    this.#pool.handOver(slot);
    this.#slot = -1;
    this.updatesCount = 0;
    this.#onFull({
      slot,
      bytes: this.#length,
      framesCount: this.#framesCount,
      updatesCount,
      oldestUs: this.#originUs + this.#oldestUs,
    });
    this.#length = 0;
    this.#framesCount = 0;
  }

  /** Removes frames (last first) from the slot and closes the holes. */
  #cutOut(frames: OpenFrame[]): void {
    const memory = this.#pool.slots[this.#slot];
    for (const { at, length } of frames) {
      const end = at + FRAME_HEADER_BYTES + length;
      memory?.copyWithin(at, end, this.#length);
      this.#length -= end - at;
    }
  }

  #moveOpenFrames(timeUs: number): void {
    const next = this.#pool.take();
    // Without a free slot the batch waits; the sockets are paused by now and slots come back.
    if (next < 0) return;
    const frames = this.#openFrames();
    const from = this.#pool.slots[this.#slot];
    const to = this.#pool.slots[next];
    let end = 0;
    const moved = frames.toReversed().map((open) => {
      to?.set(from?.subarray(open.at, open.at + FRAME_HEADER_BYTES + open.filled) ?? [], end);
      const at = end;
      end += FRAME_HEADER_BYTES + open.length;
      return { open, at };
    });
    this.#cutOut(frames);
    this.#handOver();
    this.#slot = next;
    this.#length = end;
    this.#oldestUs = timeUs;
    for (const { open, at } of moved) {
      open.at = at;
      // Times never go back within a recording: the frame counts from where it stands now.
      this.#writeTime(at, timeUs);
    }
    this.#onStarted();
  }

  /** Room for a frame; -1 when every slot is taken. */
  #reserve(length: number, timeUs: number): number {
    const needed = FRAME_HEADER_BYTES + length;
    if (this.#slot >= 0 && this.#length + needed > this.#capacity()) this.flush(timeUs);
    if (this.#slot >= 0 && this.#length + needed > this.#capacity()) return this.#drop();
    if (this.#slot < 0) {
      this.#slot = this.#pool.take();
      if (this.#slot < 0) return this.#drop();
      this.#length = 0;
      this.#oldestUs = timeUs;
      this.#onStarted();
    }
    const at = this.#length;
    this.#length += needed;
    return at;
  }

  #copy(bytes: Uint8Array, at: number): void {
    const memory = this.#pool.slots[this.#slot];
    if (memory !== undefined) copyInto(memory, bytes, at);
  }

  #drop(): number {
    this.framesDropped += 1;
    return -1;
  }

  #capacity(): number {
    return this.#pool.slots[this.#slot]?.length ?? 0;
  }

  #writeHeader(at: number, kind: number, flags: number, channelId: number, length: number, timeUs: number): void {
    const view = this.#pool.views[this.#slot];
    if (view !== undefined) writeFrameHeader(view, at, kind, flags, channelId, length, timeUs);
  }

  #writeTime(at: number, timeUs: number): void {
    const view = this.#pool.views[this.#slot];
    if (view !== undefined) writeFrameTime(view, at, timeUs);
  }
}
