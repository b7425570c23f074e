import { type BulkEngine, bulkEngine } from './engine.ts';
import { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';
import { copyMatch, History, historyOverrun } from './history.ts';
import { distanceCode8K, distanceCode64K } from './mppc-codes.ts';
import { badLengthPrefix, bitsTruncated, paddedInput, windowAt } from './padded-input.ts';

/** A history and the place the next decompressed byte goes to. */
export interface HistorySnapshot {
  readonly history: Uint8Array;
  readonly offset: number;
}

/** RDP 4.0 (8 KiB history) and RDP 5.0 (64 KiB) bulk decompression: [MS-RDPBCGR] 3.1.8. */
export class MppcDecompressor {
  readonly #history: History;
  readonly #large: boolean;
  readonly #engine: BulkEngine | null;
  #offset = 0;

  /** With `engine` null it decodes without WebAssembly. */
  constructor(historyBytes: 8192 | 65536, engine: BulkEngine | null = bulkEngine()) {
    this.#history = new History(historyBytes);
    this.#large = historyBytes === 65536;
    this.#engine = engine;
  }

  /**
   * The bytes one PDU's payload stands for; a copy, at most as long as the history. `data` itself where it is not
   * compressed. Throws `DecodeError`, after which the history is not the sender's any more until it flushes.
   */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    const output = this.decompressInPlace(data, flags);
    return output === data ? data : output.slice();
  }

  /** As `decompress`, but no copy: a view of the history, valid until the next call of any decompressor. */
  decompressInPlace(data: Uint8Array, flags: number): Uint8Array {
    if (flags & (packetAtFront | packetFlushed)) this.#offset = 0;
    if (flags & packetFlushed) this.#history.bytes.fill(0);
    if (!(flags & packetCompressed)) return data;
    const start = this.#offset;
    const kernel = this.#large ? 'mppc64K' : 'mppc8K';
    this.#offset = this.#engine?.decode(kernel, this.#history, start, data) ?? this.#decode(data);
    return this.#history.bytes.subarray(start, this.#offset);
  }

  /**
   * Codes are read from windows of 25 bits at a time, out of a copy that zeros follow: reading needs no bounds, and what was read
   * past the end is found before it is used.
   */
  #decode(data: Uint8Array): number {
    const input = paddedInput(data);
    const history = this.#history.bytes;
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
      const code = large ? distanceCode64K(bits >>> 27) : distanceCode8K(bits >>> 27);
      const distance = ((bits << code.prefixBits) >>> (32 - code.bits)) + code.first;
      at += code.prefixBits + code.bits;
      // n ones and a zero, then n + 1 bits that count from 2^(n + 1); a single zero is 3.
      const ones = Math.clz32(~windowAt(input, at));
      let length = 3;
      at += ones + 1;
      if (ones > 0) {
        if (ones > (large ? 14 : 11)) throw badLengthPrefix();
        length = (2 << ones) + (windowAt(input, at) >>> (31 - ones));
        at += ones + 1;
      }
      if (at > end) throw bitsTruncated();
      copyMatch(history, offset, distance, length);
      offset += length;
    }
    return offset;
  }

  snapshot(): HistorySnapshot {
    return { history: this.#history.bytes.slice(), offset: this.#offset };
  }

  restore(snapshot: HistorySnapshot): void {
    this.#history.bytes.set(snapshot.history);
    this.#offset = snapshot.offset;
  }
}
