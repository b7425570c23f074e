import {
  FRAME_BODY_BYTES_MAX,
  FRAME_HEADER_BYTES,
  type FrameKind,
  PAYLOAD_HEADER_BYTES,
  writeFrameHeader,
  writePayloadHeader,
} from './frame.ts';

/**
 * Appends frames into one buffer. Made for the relay's hot path: a frame costs one header of five stores and one copy,
 * no allocation, no BigInt. With a buffer given it never grows (`tryAppend` answers false when a frame does not fit);
 * without one it doubles. `reset` keeps the memory for the next batch, because fresh memory is slow to touch.
 */
export class FrameWriter {
  #bytes: Uint8Array;
  #view: DataView;
  readonly #start: number;
  readonly #fixed: boolean;
  #length: number;
  #framesCount = 0;

  /** `start` leaves room in front, for example `PAYLOAD_HEADER_BYTES`. */
  constructor(options: { buffer?: Uint8Array; start?: number; capacityBytes?: number } = {}) {
    this.#fixed = options.buffer !== undefined;
    this.#bytes = options.buffer ?? new Uint8Array(options.capacityBytes ?? 64 * 1024);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    this.#start = options.start ?? 0;
    if (!(this.#start >= 0 && this.#start <= this.#bytes.length)) throw new RangeError('start lies outside the buffer');
    this.#length = this.#start;
  }

  get framesCount(): number {
    return this.#framesCount;
  }
  /** Bytes in use, the room in front included. */
  get length(): number {
    return this.#length;
  }

  /** Appends a frame, growing the buffer if it may. A frame that can't fit is a RangeError: ask `tryAppend` first. */
  append(kind: FrameKind, flags: number, channelId: number, timeUs: number, body: Uint8Array): void {
    if (!this.tryAppend(kind, flags, channelId, timeUs, body))
      throw new RangeError(`a frame of ${body.length} bytes does not fit the given buffer`);
  }

  /** Appends a frame, or answers false and leaves everything as it was when a fixed buffer has no room. */
  tryAppend(kind: FrameKind, flags: number, channelId: number, timeUs: number, body: Uint8Array): boolean {
    const length = body.length;
    if (length > FRAME_BODY_BYTES_MAX) throw new RangeError(`a frame of ${length} bytes is larger than readers accept`);
    if (!(timeUs >= 0 && timeUs <= Number.MAX_SAFE_INTEGER)) throw new RangeError('timeUs must be from 0 to 2^53 - 1');
    const at = this.#length;
    const end = at + FRAME_HEADER_BYTES + length;
    if (end > this.#bytes.length) {
      if (this.#fixed) return false;
      this.#grow(end);
    }
    writeFrameHeader(this.#view, at, kind, flags, channelId, length, timeUs);
    this.#bytes.set(body, at + FRAME_HEADER_BYTES);
    this.#length = end;
    this.#framesCount += 1;
    return true;
  }

  /** Appends frames that are encoded already (a batch from the relay). */
  appendEncoded(frames: Uint8Array, framesCount: number): boolean {
    const end = this.#length + frames.length;
    if (end > this.#bytes.length) {
      if (this.#fixed) return false;
      this.#grow(end);
    }
    this.#bytes.set(frames, this.#length);
    this.#length = end;
    this.#framesCount += framesCount;
    return true;
  }

  #grow(bytesNeeded: number): void {
    const bytes = new Uint8Array(Math.max(bytesNeeded, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** The frames written so far, without the room in front: a view that later writes may leave behind. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#length);
  }

  /** The whole payload, header included; needs `start` ≥ `PAYLOAD_HEADER_BYTES`. A view. */
  payload(header: { firstFrameNumber: number; openedUs: number }): Uint8Array {
    const at = this.#start - PAYLOAD_HEADER_BYTES;
    if (at < 0) throw new RangeError('the writer was made without room for a payload header');
    writePayloadHeader(this.#bytes, { ...header, framesCount: this.#framesCount }, at);
    return this.#bytes.subarray(at, this.#length);
  }

  /** Forgets the frames and keeps the memory. */
  reset(): void {
    this.#length = this.#start;
    this.#framesCount = 0;
  }
}
