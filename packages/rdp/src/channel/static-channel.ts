import { DecodeError } from '@lucid-sessions/wire';
import { rest, struct, u32le, type Value } from '@lucid-sessions/wire/struct';

/** flags of CHANNEL_PDU_HEADER, [MS-RDPBCGR] 2.2.6.1.1. */
export const ChannelFlag = {
  first: 0x00000001,
  last: 0x00000002,
  showProtocol: 0x00000010,
  suspend: 0x00000020,
  resume: 0x00000040,
  shadowPersistent: 0x00000080,
  packetCompressed: 0x00200000,
  packetAtFront: 0x00400000,
  packetFlushed: 0x00800000,
} as const;

/** Bulk compression byte of a chunk's flags, as the share data header has it. */
export function channelCompression(flags: number): number {
  return (flags >>> 16) & 0xff;
}

/** CHANNEL_CHUNK_LENGTH: longest chunk unless the virtual channel capability set allows more. */
export const CHANNEL_CHUNK_BYTES = 1600;

/** One chunk of a static virtual channel: the data of an MCS Send Data on its channel. */
export const channelChunk = struct('virtual channel chunk', {
  /** Length of the whole message, uncompressed. */
  length: u32le,
  flags: u32le,
  data: rest,
});
export type ChannelChunk = Value<typeof channelChunk>;

/** Longest static channel message put together; longer ones end in `DecodeError('limit')`. */
export const CHANNEL_MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** Puts pieces of a message together within a bound. Its memory grows with what comes, not with what was announced. */
export class Assembly {
  readonly #bytesMax: number;
  #bytes = new Uint8Array(0);
  length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Copies: the piece's memory belongs to the stream. */
  add(piece: Uint8Array): void {
    const end = this.length + piece.length;
    if (end > this.#bytesMax) throw new DecodeError('limit', `message above ${this.#bytesMax} bytes`);
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(this.#bytesMax, Math.max(end, this.#bytes.length * 4, 2048)));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.length);
    this.length = end;
  }

  /** An assembly that holds `bytes` already. */
  static holding(bytesMax: number, bytes: Uint8Array): Assembly {
    const assembly = new Assembly(bytesMax);
    assembly.add(bytes);
    return assembly;
  }

  /** A view: pieces added later don't change it. */
  join(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

/** Chunks of one static channel and one direction put together. */
export class ChannelReassembler {
  readonly #bytesMax: number;
  #assembly: Assembly | null = null;

  constructor(bytesMax = CHANNEL_MESSAGE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** The bytes of the incomplete message, or null; `restore` continues it. */
  snapshot(): Uint8Array | null {
    return this.#assembly === null ? null : new Uint8Array(this.#assembly.join());
  }

  restore(snapshot: Uint8Array | null): void {
    this.#assembly = snapshot && Assembly.holding(this.#bytesMax, snapshot);
  }

  /** The whole message when this chunk ends it. `data` is the chunk's data after decompression. */
  push(flags: number, data: Uint8Array): Uint8Array | null {
    const isFirst = (flags & ChannelFlag.first) !== 0;
    const isLast = (flags & ChannelFlag.last) !== 0;
    if (isFirst && isLast) {
      this.#assembly = null;
      return data;
    }
    if (isFirst || this.#assembly === null) this.#assembly = new Assembly(this.#bytesMax);
    try {
      this.#assembly.add(data);
    } catch (error) {
      this.#assembly = null;
      throw error;
    }
    if (!isLast) return null;
    const message = this.#assembly.join();
    this.#assembly = null;
    return message;
  }
}

/** Cuts a message into chunks, ready for MCS Send Data. */
export function channelChunks(message: Uint8Array, chunkBytes = CHANNEL_CHUNK_BYTES, flags = 0): ChannelChunk[] {
  const chunks: ChannelChunk[] = [];
  for (let at = 0; at === 0 || at < message.length; at += chunkBytes) {
    const data = message.subarray(at, at + chunkBytes);
    const first = at === 0 ? ChannelFlag.first : 0;
    const last = at + chunkBytes >= message.length ? ChannelFlag.last : 0;
    chunks.push({ length: message.length, flags: flags | first | last, data });
  }
  return chunks;
}
