import { DecodeError, Reader } from '@lucid-sessions/wire';
import { type BulkEngine, bulkEngine } from './engine.ts';
import { packetCompressed, packetFlushed } from './flags.ts';
import { type HistorySnapshot, MppcDecompressor } from './mppc.ts';

/** Level1ComprFlags: [MS-RDPEGDI] 2.2.2.4.1. */
const level1Compressed = 0x01;
const level1NoCompression = 0x02;
const level1AtFront = 0x04;
const level1InnerCompression = 0x10;

/** [MS-RDPEGDI] 3.1.8.2.1. */
const historyBytesMax = 2_000_000;
/** Histories begin small: most sessions never fill one. */
const historyBytesFirst = 1 << 17;
/** A PDU's payload: a block is under 16,383 bytes in the specification, under 64 KiB by its 16-bit lengths. */
const outputBytesMax = 65536;

export interface XcrushSnapshot extends HistorySnapshot {
  readonly level2: HistorySnapshot;
}

/** RDP 6.1 bulk decompression, chained before the RDP 5.0 one: [MS-RDPEGDI] 3.1.8.2. */
export class XcrushDecompressor {
  /** As long as was needed so far; behind it are zeros. */
  #history = new Uint8Array(historyBytesFirst);
  readonly #level2: MppcDecompressor;
  #offset = 0;
  /** All from here on is still zeros. */
  #writtenBytes = 0;

  /** As `MppcDecompressor`. */
  constructor(engine: BulkEngine | null = bulkEngine()) {
    this.#level2 = new MppcDecompressor(65536, engine);
  }

  /** As `MppcDecompressor.decompress`. */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    if (flags & packetFlushed) this.#flush();
    if (!(flags & packetCompressed)) return data;
    const reader = new Reader(data);
    const level1Flags = reader.u8();
    const level2Flags = reader.u8();
    const rest = reader.rest();
    const hasLevel2 = level1Flags & level1InnerCompression || level2Flags & packetCompressed;
    const inner = hasLevel2 ? this.#level2.decompress(rest, level2Flags) : rest;
    // The history stays and is written over from its start: later matches refer to what lies behind the offset. [MS-RDPEGDI]
    // 3.1.8.2.1 and 3.1.8.2.2.2 say so, 2.2.2.4.1 fills it with zeros; Windows and FreeRDP keep it.
    if (level1Flags & level1AtFront) this.#offset = 0;
    const start = this.#offset;
    if (level1Flags & level1NoCompression) this.#literals(inner, start);
    else if (level1Flags & level1Compressed) this.#decode(new Reader(inner), start);
    // With neither flag the level-1 history is untouched (3.1.8.2.2.2).
    else return inner === rest ? new Uint8Array(rest) : inner;
    return this.#history.slice(start, this.#offset);
  }

  #flush(): void {
    this.#history.fill(0, 0, this.#writtenBytes);
    this.#writtenBytes = 0;
    this.#offset = 0;
  }

  #decode(reader: Reader, start: number): void {
    const matchCount = reader.u16le();
    const matches = reader.sub(matchCount * 8);
    for (let index = 0; index < matchCount; index += 1) {
      const length = matches.u16le();
      const outputOffset = matches.u16le();
      const historyOffset = matches.u32le();
      const literalsCount = outputOffset - (this.#offset - start);
      if (literalsCount < 0) throw matches.error('invalid', 'a match lies before the output it follows');
      this.#literals(reader.slice(literalsCount), start);
      this.#copy(historyOffset, length, start);
    }
    this.#literals(reader.rest(), start);
  }

  #literals(bytes: Uint8Array, start: number): void {
    this.#expectRoom(bytes.length, start);
    this.#history.set(bytes, this.#offset);
    this.#advance(bytes.length);
  }

  /** May read what it has just written, as every history copy. */
  #copy(from: number, length: number, start: number): void {
    this.#expectRoom(length, start);
    if (from + length > historyBytesMax) throw new DecodeError('invalid', 'a match lies outside the history');
    this.#reach(from + length);
    const history = this.#history;
    const to = this.#offset;
    // Most matches are short: calling costs more than they do.
    if (length > 32 && (from + length <= to || from > to)) history.copyWithin(to, from, from + length);
    else for (let index = 0; index < length; index += 1) history[to + index] = history[from + index]!;
    this.#advance(length);
  }

  #advance(length: number): void {
    this.#offset += length;
    this.#writtenBytes = Math.max(this.#writtenBytes, this.#offset);
  }

  #expectRoom(length: number, start: number): void {
    const fits = this.#offset + length <= historyBytesMax && this.#offset + length - start <= outputBytesMax;
    if (!fits) throw new DecodeError('limit', 'compressed data decompresses past the end of the history');
    this.#reach(this.#offset + length);
  }

  #reach(end: number): void {
    const bytes = this.#history.length;
    if (end <= bytes) return;
    const grown = new Uint8Array(Math.min(historyBytesMax, Math.max(end, bytes * 2)));
    grown.set(this.#history.subarray(0, this.#writtenBytes));
    this.#history = grown;
  }

  /** Behind what was written since the last flush all is zeros. */
  snapshot(): XcrushSnapshot {
    const history = this.#history.slice(0, this.#writtenBytes);
    return { history, offset: this.#offset, level2: this.#level2.snapshot() };
  }

  restore(snapshot: XcrushSnapshot): void {
    this.#history = new Uint8Array(Math.max(historyBytesFirst, snapshot.history.length));
    this.#history.set(snapshot.history);
    this.#writtenBytes = snapshot.history.length;
    this.#offset = snapshot.offset;
    this.#level2.restore(snapshot.level2);
  }
}
