import { DecodeError } from '@lucid-sessions/wire';
import { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';
import { bitsTruncated, paddedInput, windowAt } from './padded-input.ts';

/** A history and the place the next decompressed byte goes to. */
export interface HistorySnapshot {
  readonly history: Uint8Array;
  readonly offset: number;
}

/** RDP 4.0 (8 KiB history) and RDP 5.0 (64 KiB) bulk decompression: [MS-RDPBCGR] 3.1.8. */
export class MppcDecompressor {
  readonly #history: Uint8Array;
  readonly #large: boolean;
  #offset = 0;

  constructor(historyBytes: 8192 | 65536) {
    this.#history = new Uint8Array(historyBytes);
    this.#large = historyBytes === 65536;
  }

  /**
   * The bytes one PDU's payload stands for; a copy, at most as long as the history. `data` itself where it is not
   * compressed. Throws `DecodeError`, after which the history is not the sender's any more until it flushes.
   */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    if (flags & (packetAtFront | packetFlushed)) this.#offset = 0;
    if (flags & packetFlushed) this.#history.fill(0);
    if (!(flags & packetCompressed)) return data;
    const start = this.#offset;
    this.#decode(data);
    return this.#history.slice(start, this.#offset);
  }

  /**
   * Codes are read from windows of 25 bits at a time, out of a copy that zeros follow: reading needs no bounds, and what was read
   * past the end is found before it is used.
   */
  #decode(data: Uint8Array): void {
    const input = paddedInput(data);
    const history = this.#history;
    const large = this.#large;
    const end = data.length * 8;
    let offset = this.#offset;
    let at = 0;
    // The shortest code has 8 bits: fewer are the padding of the last byte.
    while (end - at >= 8) {
      const bits = windowAt(input, at);
      if (bits >= 0 || bits << 1 >= 0) {
        // A literal: 0 and seven bits, or 10 and the seven of one from 0x80 on.
        const long = bits >>> 31;
        at += 8 + long;
        if (at > end) throw bitsTruncated();
        if (offset >= history.length) throw historyOverrun();
        history[offset] = long ? ((bits >>> 23) & 0x7f) | 0x80 : bits >>> 24;
        offset += 1;
        continue;
      }
      const code = large ? distanceCode64K(bits) : distanceCode8K(bits);
      const distance = ((bits << code.prefixBits) >>> (32 - code.bits)) + code.first;
      at += code.prefixBits + code.bits;
      // n ones and a zero, then n + 1 bits that count from 2^(n + 1); a single zero is 3.
      const ones = Math.clz32(~windowAt(input, at));
      let length = 3;
      at += ones + 1;
      if (ones > 0) {
        if (ones > (large ? 14 : 11)) throw new DecodeError('invalid', 'a length-of-match has no such prefix', at >> 3);
        length = (2 << ones) + (windowAt(input, at) >>> (31 - ones));
        at += ones + 1;
      }
      if (at > end) throw bitsTruncated();
      copyMatch(history, offset, distance, length);
      offset += length;
      this.#offset = offset;
    }
    this.#offset = offset;
  }

  snapshot(): HistorySnapshot {
    return { history: this.#history.slice(), offset: this.#offset };
  }

  restore(snapshot: HistorySnapshot): void {
    this.#history.set(snapshot.history);
    this.#offset = snapshot.offset;
  }
}

export function historyOverrun(): DecodeError {
  return new DecodeError('limit', 'compressed data decompresses past the end of the history');
}

/**
 * A replicating copy (3.1.8.2) to `to`: it may read what it has just written, or what an earlier round left behind `to`, but no
 * compressor lets a match run over the history's end. The history's length is a power of two.
 */
export function copyMatch(history: Uint8Array, to: number, distance: number, length: number): void {
  const from = (to - distance) & (history.length - 1);
  if (length > history.length - to) throw historyOverrun();
  if (length > history.length - from) throw new DecodeError('invalid', 'a match runs over the end of the history');
  // Most matches are short: calling costs more than they do.
  if (length > 32 && (from + length <= to || from > to)) {
    history.copyWithin(to, from, from + length);
    return;
  }
  for (let index = 0; index < length; index += 1) history[to + index] = history[from + index]!;
}

/** A prefix, and the bits that count from `first`. */
interface DistanceCode {
  readonly prefixBits: number;
  readonly bits: number;
  readonly first: number;
}

const codes8K: readonly DistanceCode[] = [
  { prefixBits: 4, bits: 6, first: 0 },
  { prefixBits: 4, bits: 8, first: 64 },
  { prefixBits: 3, bits: 13, first: 320 },
];
const codes64K: readonly DistanceCode[] = [
  { prefixBits: 5, bits: 6, first: 0 },
  { prefixBits: 5, bits: 8, first: 64 },
  { prefixBits: 4, bits: 11, first: 320 },
  { prefixBits: 3, bits: 16, first: 2368 },
];

/** [MS-RDPBCGR] 3.1.8.4.1.2.1. */
function distanceCode8K(bits: number): DistanceCode {
  const prefix = bits >>> 28;
  return codes8K[prefix === 0b1111 ? 0 : prefix === 0b1110 ? 1 : 2]!;
}

/** [MS-RDPBCGR] 3.1.8.4.2.2.1. */
function distanceCode64K(bits: number): DistanceCode {
  const prefix = bits >>> 27;
  return codes64K[prefix === 0b11111 ? 0 : prefix === 0b11110 ? 1 : prefix >= 0b11100 ? 2 : 3]!;
}
