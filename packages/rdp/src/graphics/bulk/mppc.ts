import { DecodeError } from '@lucid-sessions/wire';
import { BitReader, readMatchLength } from './bit-reader.ts';
import { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';

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
    this.#decode(new BitReader(data));
    return this.#history.slice(start, this.#offset);
  }

  #decode(bits: BitReader): void {
    // The shortest code has 8 bits: fewer are the padding of the last byte.
    while (bits.remaining >= 8) {
      const next = bits.peek(9);
      if (next < 0x100) {
        bits.skip(8);
        this.#literal(next >> 1);
      } else if (next < 0x180) {
        bits.skip(9);
        this.#literal((next & 0x7f) | 0x80);
      } else {
        const distance = this.#large ? readDistance64K(bits) : readDistance8K(bits);
        this.#copy(distance, readMatchLength(bits, this.#large ? 14 : 11));
      }
    }
  }

  #literal(byte: number): void {
    if (this.#offset >= this.#history.length) throw historyOverrun();
    this.#history[this.#offset] = byte;
    this.#offset += 1;
  }

  #copy(distance: number, length: number): void {
    copyMatch(this.#history, this.#offset, distance, length);
    this.#offset += length;
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
  if (from + length <= to || from > to) {
    history.copyWithin(to, from, from + length);
    return;
  }
  for (let index = 0; index < length; index += 1) history[to + index] = history[from + index]!;
}

/** [MS-RDPBCGR] 3.1.8.4.1.2.1, after the leading 11. */
function readDistance8K(bits: BitReader): number {
  const prefix = bits.peek(4);
  bits.skip(prefix < 0b1110 ? 3 : 4);
  if (prefix === 0b1111) return bits.read(6);
  if (prefix === 0b1110) return bits.read(8) + 64;
  return bits.read(13) + 320;
}

/** [MS-RDPBCGR] 3.1.8.4.2.2.1, after the leading 11. */
function readDistance64K(bits: BitReader): number {
  const prefix = bits.peek(5);
  if (prefix === 0b11111) {
    bits.skip(5);
    return bits.read(6);
  }
  if (prefix === 0b11110) {
    bits.skip(5);
    return bits.read(8) + 64;
  }
  bits.skip(prefix < 0b11100 ? 3 : 4);
  return prefix < 0b11100 ? bits.read(16) + 2368 : bits.read(11) + 320;
}
