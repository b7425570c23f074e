import { DecodeError } from '@lucid-sessions/wire';
import { type BulkEngine, bulkEngine } from './engine.ts';
import { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';
import { copyMatch, History, historyOverrun } from './history.ts';
import { canonicalLookup } from './huffman.ts';
import type { HistorySnapshot } from './mppc.ts';
import * as tables from './ncrush-tables.ts';
import { badLengthClass, badSymbol, bitsTruncated, lowWindowAt, paddedInput } from './padded-input.ts';

const historyBytes = 65536;
const literalLookup = canonicalLookup(tables.literalLengths, tables.literalBitsMax);
const matchLookup = canonicalLookup(tables.matchLengths, tables.matchBitsMax);
const literalMask = (1 << tables.literalBitsMax) - 1;
const matchMask = (1 << tables.matchBitsMax) - 1;

export interface NcrushSnapshot extends HistorySnapshot {
  readonly offsetCache: readonly number[];
}

/** RDP 6.0 bulk decompression: [MS-RDPEGDI] 3.1.8.1. */
export class NcrushDecompressor {
  readonly #history = new History(historyBytes);
  readonly #engine: BulkEngine | null;
  #offset = 0;
  /** The last four copy-offsets, latest first. */
  #offsetCache = [0, 0, 0, 0];

  /** As `MppcDecompressor`. */
  constructor(engine: BulkEngine | null = bulkEngine()) {
    this.#engine = engine;
  }

  /** As `MppcDecompressor.decompress`. */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    if (flags & packetAtFront) this.#slideBack((flags & packetFlushed) !== 0);
    if (flags & packetFlushed) {
      this.#history.bytes.fill(0);
      this.#offset = 0;
      this.#offsetCache = [0, 0, 0, 0];
    }
    if (!(flags & packetCompressed)) return data;
    const start = this.#offset;
    const engine = this.#engine;
    const end = engine?.decode('ncrush', this.#history, start, data, this.#offsetCache) ?? this.#decode(data);
    this.#offset = end;
    return this.#history.bytes.slice(start, this.#offset);
  }

  /** The latest half of the history becomes its first half (3.1.8.1.3). */
  #slideBack(flushes: boolean): void {
    const half = historyBytes / 2;
    const from = this.#offset - half;
    // A sender only slides what has outgrown the half; a flush behind it leaves nothing of that anyway.
    if (from < 0 && !flushes) throw new DecodeError('invalid', 'a history is slid back that is not half full');
    if (from <= 0) return;
    this.#history.bytes.copyWithin(0, from, from + half);
    this.#history.bytes.fill(0, half);
    this.#offset = half;
  }

  /** Bits from the least significant of the first byte on (3.1.8.1.4). */
  #decode(data: Uint8Array): number {
    const input = paddedInput(data);
    const end = data.length * 8;
    const history = this.#history.bytes;
    let offset = this.#offset;
    for (let at = 0; ; ) {
      const literal = literalLookup[lowWindowAt(input, at) & literalMask]!;
      at += codeBits(literal, at, end);
      const symbol = literal & 0xfff;
      if (symbol < tables.endOfStream) {
        if (offset >= historyBytes) throw historyOverrun();
        history[offset] = symbol;
        offset += 1;
        continue;
      }
      if (symbol === tables.endOfStream) return offset;
      const extraBits = tables.copyOffsetExtraBits[symbol - tables.copyOffsetFirst] ?? 0;
      const distance = this.#distance(symbol, lowWindowAt(input, at) & ((1 << extraBits) - 1));
      at += extraBits;
      const match = matchLookup[lowWindowAt(input, at) & matchMask]!;
      at += codeBits(match, at, end);
      const base = tables.matchBases[match & 0xfff];
      if (base === undefined) throw badLengthClass();
      const lengthBits = tables.matchExtraBits[match & 0xfff]!;
      const length = base + (lowWindowAt(input, at) & ((1 << lengthBits) - 1));
      at += lengthBits;
      if (at > end) throw bitsTruncated();
      copyMatch(history, offset, distance, length);
      offset += length;
    }
  }

  /** `extra` are the bits behind the symbol, where it has any. */
  #distance(symbol: number, extra: number): number {
    const cache = this.#offsetCache;
    if (symbol >= tables.cachedOffsetFirst) {
      const index = symbol - tables.cachedOffsetFirst;
      const distance = cache[index]!;
      cache[index] = cache[0]!;
      cache[0] = distance;
      return distance;
    }
    const distance = tables.copyOffsetBases[symbol - tables.copyOffsetFirst]! + extra - 1;
    for (let index = 3; index > 0; index -= 1) cache[index] = cache[index - 1]!;
    cache[0] = distance;
    return distance;
  }

  snapshot(): NcrushSnapshot {
    return { history: this.#history.bytes.slice(), offset: this.#offset, offsetCache: [...this.#offsetCache] };
  }

  restore(snapshot: NcrushSnapshot): void {
    this.#history.bytes.set(snapshot.history);
    this.#offset = snapshot.offset;
    this.#offsetCache = [...snapshot.offsetCache];
  }
}

/** How many bits the code has that was looked up at `at`. */
function codeBits(entry: number, at: number, end: number): number {
  if (entry === 0) throw badSymbol();
  const bits = entry >> 12;
  if (at + bits > end) throw bitsTruncated();
  return bits;
}
