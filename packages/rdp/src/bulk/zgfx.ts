import { DecodeError, Reader, Writer } from '@lucid-sessions/wire';
import { BitReader, readMatchLength } from './bit-reader.ts';
import { compressionTypeMask, compressionTypeRdp8, compressionTypeRdp8Lite, packetCompressed } from './flags.ts';
import type { HistorySnapshot } from './mppc.ts';
import { matchTokens, tokenLookup } from './zgfx-tokens.ts';

/** Descriptors of RDP_SEGMENTED_DATA: [MS-RDPEGFX] 2.2.5.1. */
const descriptorSingle = 0xe0;
const descriptorMultipart = 0xe1;

/** [MS-RDPEGFX] 3.1.9.1.2. */
export const graphicsHistoryBytes = 2_500_000;
const segmentBytesMax = 65_535;
/** [MS-RDPEDYC] 2.2.3.3. */
export const dynamicChannelHistoryBytes = 8192;
/** One message after reassembly: an uncompressed 4096 × 2160 picture with room to spare. */
export const zgfxOutputBytesMax = 64 * 1024 * 1024;

/** How much of the past a snapshot holds: `lean` leaves out a history that nothing has referred to so far. */
export type HistoryDepth = 'whole' | 'lean';

export interface ZgfxSnapshot extends HistorySnapshot {
  /** So far back matches can be followed: nothing where the history was left out. */
  readonly heldBytes: number;
  readonly used: boolean;
}

/** RDP 8.0 bulk decompression, one history for a channel: [MS-RDPEGFX] 2.2.5, 3.1.9.1. */
export class ZgfxDecompressor {
  readonly #history: Uint8Array;
  #cursor = 0;
  #full = false;
  /** Bytes behind the cursor that are the real past; all of it but after a lean snapshot. */
  #heldBytes: number;
  #used = false;

  /** The graphics channel's history, or `dynamicChannelHistoryBytes`. */
  constructor(historyBytes: number = graphicsHistoryBytes) {
    this.#history = new Uint8Array(historyBytes);
    this.#heldBytes = historyBytes;
  }

  /** Some match reached back behind its own segment. Servers that don't compress never do that. */
  get used(): boolean {
    return this.#used;
  }

  /** The message behind one RDP_SEGMENTED_DATA. Throws `DecodeError`. */
  decompress(segmented: Uint8Array): Uint8Array {
    const reader = new Reader(segmented);
    const descriptor = reader.u8();
    const output = new Output(segmented.length);
    if (descriptor === descriptorSingle) this.#segment(reader, output);
    else if (descriptor === descriptorMultipart) this.#multipart(reader, output);
    else throw reader.error('invalid', 'segmented data has no such descriptor');
    return output.bytes();
  }

  #multipart(reader: Reader, output: Output): void {
    const segmentCount = reader.u16le();
    const uncompressedSize = reader.u32le();
    if (uncompressedSize > zgfxOutputBytesMax) throw reader.error('limit', 'a graphics message is too large');
    for (let index = 0; index < segmentCount; index += 1) {
      this.#segment(reader.sub(reader.u32le()), output);
      if (output.length > uncompressedSize) throw reader.error('invalid', 'segments exceed their announced size');
    }
    if (output.length !== uncompressedSize) throw reader.error('invalid', 'segments miss their announced size');
  }

  /** RDP8_BULK_ENCODED_DATA: everything left in `reader`. */
  #segment(reader: Reader, output: Output): void {
    const header = reader.u8();
    const type = header & compressionTypeMask;
    if (type !== compressionTypeRdp8 && type !== compressionTypeRdp8Lite)
      throw reader.error('unsupported', 'a segment is not compressed with RDP 8.0');
    const data = reader.rest();
    if (header & packetCompressed) {
      this.#decode(data, output);
    } else {
      this.#remember(data);
      output.append(data);
    }
  }

  #decode(data: Uint8Array, output: Output): void {
    const unusedBits = data.at(-1);
    if (unusedBits === undefined) throw new DecodeError('truncated', 'a compressed segment is empty');
    const bits = new BitReader(data, Math.max(0, (data.length - 1) * 8 - (unusedBits & 7)));
    const segment = output.reserve(segmentBytesMax);
    let count = 0;
    while (bits.remaining > 0) {
      const entry = tokenLookup[bits.peek(9)]!;
      if (entry === 0) throw bits.error('a token is not defined');
      bits.skip((entry >> 8) & 0xf);
      const value = entry & 0xff;
      if (entry < 1 << 12) {
        if (count >= segmentBytesMax) throw segmentOverrun();
        segment[count] = value;
        count += 1;
      } else {
        count = this.#match(bits, value, data, segment, count);
      }
    }
    this.#remember(segment.subarray(0, count));
    output.commit(count);
  }

  /** One match or unencoded run; returns the new length of the segment. */
  #match(bits: BitReader, token: number, data: Uint8Array, segment: Uint8Array, count: number): number {
    const [, extraBits, first] = matchTokens[token]!;
    const distance = first + bits.read(extraBits);
    if (distance === 0) return unencoded(bits, data, segment, count);
    const length = readMatchLength(bits, 14);
    const historyBytes = this.#history.length;
    if (distance > historyBytes) throw bits.error('a match reaches back further than the history');
    if (length > segmentBytesMax - count) throw segmentOverrun();
    // What lies before this segment is in the ring, which this segment joins when it is whole.
    let from = count - distance;
    if (from < 0) {
      this.#used = true;
      if (-from > this.#heldBytes) throw bits.error('a match reaches behind the state that was gone on from');
    }
    let to = count;
    const end = count + length;
    let ring = this.#cursor + from;
    if (ring < 0) ring += historyBytes;
    for (; to < end && from < 0; to += 1, from += 1) {
      segment[to] = this.#history[ring]!;
      ring = ring + 1 === historyBytes ? 0 : ring + 1;
    }
    for (; to < end; to += 1, from += 1) segment[to] = segment[from]!;
    return end;
  }

  /** Appends to the ring. */
  #remember(bytes: Uint8Array): void {
    const historyBytes = this.#history.length;
    const kept = bytes.length > historyBytes ? bytes.subarray(bytes.length - historyBytes) : bytes;
    const tail = Math.min(kept.length, historyBytes - this.#cursor);
    this.#history.set(kept.subarray(0, tail), this.#cursor);
    this.#history.set(kept.subarray(tail), 0);
    const end = this.#cursor + kept.length;
    this.#full ||= end >= historyBytes;
    this.#cursor = end % historyBytes;
    this.#heldBytes = Math.min(historyBytes, this.#heldBytes + kept.length);
  }

  /** Until the ring is full, all beyond the cursor is zeros. */
  snapshot(depth: HistoryDepth = 'whole'): ZgfxSnapshot {
    const lean = depth === 'lean' && !this.#used;
    const length = this.#full ? this.#history.length : this.#cursor;
    return {
      history: this.#history.slice(0, lean ? 0 : length),
      offset: this.#cursor,
      heldBytes: lean ? 0 : this.#heldBytes,
      used: this.#used,
    };
  }

  restore(snapshot: ZgfxSnapshot): void {
    this.#history.fill(0);
    this.#history.set(snapshot.history);
    this.#cursor = snapshot.offset;
    this.#full = snapshot.history.length === this.#history.length;
    this.#heldBytes = snapshot.heldBytes;
    this.#used = snapshot.used;
  }
}

/** A message as RDP_SEGMENTED_DATA that refers to nothing before it. */
export function uncompressedSegments(message: Uint8Array): Uint8Array {
  if (message.length <= segmentBytesMax)
    return new Writer().u8(descriptorSingle).u8(compressionTypeRdp8).slice(message).bytes();
  const writer = new Writer();
  writer
    .u8(descriptorMultipart)
    .u16le(Math.ceil(message.length / segmentBytesMax))
    .u32le(message.length);
  for (let at = 0; at < message.length; at += segmentBytesMax) {
    const segment = message.subarray(at, at + segmentBytesMax);
    writer
      .u32le(segment.length + 1)
      .u8(compressionTypeRdp8)
      .slice(segment);
  }
  return writer.bytes();
}

/** 15 bits of length, then whole bytes copied as they are. */
function unencoded(bits: BitReader, data: Uint8Array, segment: Uint8Array, count: number): number {
  const length = bits.read(15);
  const at = bits.alignToByte();
  bits.skipBytes(length);
  if (length > segmentBytesMax - count) throw segmentOverrun();
  segment.set(data.subarray(at, at + length), count);
  return count + length;
}

function segmentOverrun(): DecodeError {
  return new DecodeError('limit', 'a segment decompresses to more than 65,535 bytes');
}

/** A growing buffer: sizes announced by a peer are believed only as far as bytes really come. */
class Output {
  #bytes: Uint8Array;
  length = 0;

  constructor(bytesCount: number) {
    this.#bytes = new Uint8Array(bytesCount);
  }

  /** Room for `count` more bytes, to be written before `commit`. */
  reserve(count: number): Uint8Array {
    const end = this.length + count;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    return this.#bytes.subarray(this.length, end);
  }

  commit(count: number): void {
    this.length += count;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes);
    this.commit(bytes.length);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}
