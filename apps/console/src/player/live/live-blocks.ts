import { type Frame, PAYLOAD_HEADER_BYTES, readPayload, readPayloadHeader } from '@lucid-sessions/recording';

/** Frames of one chunk, as `GET /sessions/{id}/live` sends them; none in a sign of life. */
export interface LiveBlock {
  chunkIndex: number;
  /** Number in the session of the first frame. */
  firstFrame: number;
  frames: Frame[];
  payloadBytes: number;
}

/** `u32 chunk index, u32 length`, before each payload. */
const blockHeaderBytes = 8;
/** Payload bytes of one block: the recorder answers 1 MiB at a time, overshot by one record of at most 4 MiB. */
export const blockBytesMax = 8 << 20;

/** Takes the stream in pieces of any size and gives the blocks that are whole. Holds no more than one unfinished block. */
export class LiveBlockReader {
  readonly #header = new Uint8Array(blockHeaderBytes);
  #headerFilled = 0;
  #payload: Uint8Array | null = null;
  #payloadFilled = 0;

  /** Whether the stream may end here. */
  get betweenBlocks(): boolean {
    return this.#headerFilled === 0;
  }

  /** Throws when the stream can't be what it should: `DecodeError` of a payload, or `RangeError` of a length. */
  push(piece: Uint8Array): LiveBlock[] {
    const blocks: LiveBlock[] = [];
    for (let at = 0; at < piece.length; ) {
      at += this.#payload === null ? this.#fillHeader(piece.subarray(at)) : this.#fillPayload(piece.subarray(at));
      if (this.#payload !== null && this.#payloadFilled === this.#payload.length)
        blocks.push(this.#take(this.#payload));
    }
    return blocks;
  }

  #fillHeader(bytes: Uint8Array): number {
    const part = bytes.subarray(0, blockHeaderBytes - this.#headerFilled);
    this.#header.set(part, this.#headerFilled);
    this.#headerFilled += part.length;
    if (this.#headerFilled === blockHeaderBytes) {
      const length = new DataView(this.#header.buffer).getUint32(4);
      if (!(length >= PAYLOAD_HEADER_BYTES && length <= blockBytesMax))
        throw new RangeError(
          `a block of the live stream has ${PAYLOAD_HEADER_BYTES} to ${blockBytesMax} bytes, this one says ${length}`,
        );
      this.#payload = new Uint8Array(length);
      this.#payloadFilled = 0;
    }
    return part.length;
  }

  #fillPayload(bytes: Uint8Array): number {
    const payload = this.#payload!;
    const part = bytes.subarray(0, payload.length - this.#payloadFilled);
    payload.set(part, this.#payloadFilled);
    this.#payloadFilled += part.length;
    return part.length;
  }

  #take(payload: Uint8Array): LiveBlock {
    const chunkIndex = new DataView(this.#header.buffer).getUint32(0);
    this.#headerFilled = 0;
    this.#payload = null;
    const { firstFrameNumber } = readPayloadHeader(payload);
    return {
      chunkIndex,
      firstFrame: firstFrameNumber,
      frames: [...readPayload(payload)],
      payloadBytes: payload.length,
    };
  }
}
