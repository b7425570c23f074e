import { DecodeError } from '@lucid-sessions/wire';
import { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';
import { canonicalLookup } from './huffman.ts';
import { copyMatch, type HistorySnapshot, historyOverrun } from './mppc.ts';
import * as tables from './ncrush-tables.ts';

const historyBytes = 65536;
const literalLookup = canonicalLookup(tables.literalLengths, tables.literalBitsMax);
const matchLookup = canonicalLookup(tables.matchLengths, tables.matchBitsMax);

export interface NcrushSnapshot extends HistorySnapshot {
  readonly offsetCache: readonly number[];
}

/** RDP 6.0 bulk decompression: [MS-RDPEGDI] 3.1.8.1. */
export class NcrushDecompressor {
  readonly #history = new Uint8Array(historyBytes);
  #offset = 0;
  /** The last four copy-offsets, latest first. */
  #offsetCache = [0, 0, 0, 0];

  /** As `MppcDecompressor.decompress`. */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    if (flags & packetAtFront) this.#slideBack((flags & packetFlushed) !== 0);
    if (flags & packetFlushed) {
      this.#history.fill(0);
      this.#offset = 0;
      this.#offsetCache = [0, 0, 0, 0];
    }
    if (!(flags & packetCompressed)) return data;
    const start = this.#offset;
    this.#decode(new LowBitReader(data));
    return this.#history.slice(start, this.#offset);
  }

  /** The latest half of the history becomes its first half (3.1.8.1.3). */
  #slideBack(flushes: boolean): void {
    const half = historyBytes / 2;
    const from = this.#offset - half;
    // A sender only slides what has outgrown the half; a flush behind it leaves nothing of that anyway.
    if (from < 0 && !flushes) throw new DecodeError('invalid', 'a history is slid back that is not half full');
    if (from <= 0) return;
    this.#history.copyWithin(0, from, from + half);
    this.#history.fill(0, half);
    this.#offset = half;
  }

  #decode(bits: LowBitReader): void {
    for (;;) {
      const symbol = bits.symbol(literalLookup, tables.literalBitsMax);
      if (symbol === tables.endOfStream) return;
      if (symbol < tables.endOfStream) this.#literal(symbol);
      else this.#copy(this.#distance(symbol, bits), readMatch(bits));
    }
  }

  #distance(symbol: number, bits: LowBitReader): number {
    const cache = this.#offsetCache;
    if (symbol >= tables.cachedOffsetFirst) {
      const index = symbol - tables.cachedOffsetFirst;
      const distance = cache[index]!;
      cache[index] = cache[0]!;
      cache[0] = distance;
      return distance;
    }
    const index = symbol - tables.copyOffsetFirst;
    const distance = tables.copyOffsetBases[index]! + bits.read(tables.copyOffsetExtraBits[index]!) - 1;
    this.#offsetCache = [distance, cache[0]!, cache[1]!, cache[2]!];
    return distance;
  }

  #literal(byte: number): void {
    if (this.#offset >= historyBytes) throw historyOverrun();
    this.#history[this.#offset] = byte;
    this.#offset += 1;
  }

  #copy(distance: number, length: number): void {
    copyMatch(this.#history, this.#offset, distance, length);
    this.#offset += length;
  }

  snapshot(): NcrushSnapshot {
    return { history: this.#history.slice(), offset: this.#offset, offsetCache: [...this.#offsetCache] };
  }

  restore(snapshot: NcrushSnapshot): void {
    this.#history.set(snapshot.history);
    this.#offset = snapshot.offset;
    this.#offsetCache = [...snapshot.offsetCache];
  }
}

function readMatch(bits: LowBitReader): number {
  const index = bits.symbol(matchLookup, tables.matchBitsMax);
  const base = tables.matchBases[index];
  if (base === undefined) throw new DecodeError('invalid', 'a length-of-match class is not defined');
  return base + bits.read(tables.matchExtraBits[index]!);
}

/** Bits from the least significant of the first byte on (3.1.8.1.4). */
class LowBitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #heldCount = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  #fill(): void {
    while (this.#heldCount <= 16 && this.#at < this.#bytes.length) {
      this.#held |= this.#bytes[this.#at]! << this.#heldCount;
      this.#at += 1;
      this.#heldCount += 8;
    }
  }

  read(count: number): number {
    this.#fill();
    if (count > this.#heldCount) throw new DecodeError('truncated', 'compressed bits end inside a code', this.#at);
    const value = this.#held & ((1 << count) - 1);
    this.#held >>>= count;
    this.#heldCount -= count;
    return value;
  }

  symbol(lookup: Uint16Array, bitsMax: number): number {
    this.#fill();
    const entry = lookup[this.#held & ((1 << bitsMax) - 1)]!;
    if (entry === 0) throw new DecodeError('invalid', 'a Huffman code is not defined', this.#at);
    this.read(entry >> 12);
    return entry & 0xfff;
  }
}
