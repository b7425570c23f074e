import { Reader } from '@lucid-sessions/wire';
import { type BulkEngine, bulkEngine } from './engine.ts';
import { packetCompressed, packetFlushed } from './flags.ts';
import { History } from './history.ts';
import { type HistorySnapshot, MppcDecompressor } from './mppc.ts';
import { copyMatches, expectRoom, xcrushHistoryBytes } from './xcrush-matches.ts';

/** Level1ComprFlags: [MS-RDPEGDI] 2.2.2.4.1. */
const level1Compressed = 0x01;
const level1NoCompression = 0x02;
const level1AtFront = 0x04;
const level1InnerCompression = 0x10;

/** Histories begin small: most sessions never fill one. */
const historyBytesFirst = 1 << 17;

export interface XcrushSnapshot extends HistorySnapshot {
  readonly level2: HistorySnapshot;
}

/** RDP 6.1 bulk decompression, chained before the RDP 5.0 one: [MS-RDPEGDI] 3.1.8.2. */
export class XcrushDecompressor {
  readonly #history = new History(xcrushHistoryBytes, historyBytesFirst);
  readonly #level2: MppcDecompressor;
  readonly #engine: BulkEngine | null;
  #offset = 0;

  /** As `MppcDecompressor`. */
  constructor(engine: BulkEngine | null = bulkEngine()) {
    this.#engine = engine;
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
    const inner = hasLevel2 ? this.#level2.decompressInPlace(rest, level2Flags) : rest;
    // The history stays and is written over from its start: later matches refer to what lies behind the offset. [MS-RDPEGDI]
    // 3.1.8.2.1 and 3.1.8.2.2.2 say so, 2.2.2.4.1 fills it with zeros; Windows and FreeRDP keep it.
    if (level1Flags & level1AtFront) this.#offset = 0;
    const start = this.#offset;
    if (level1Flags & level1NoCompression) this.#advance(this.#append(inner));
    else if (level1Flags & level1Compressed) this.#advance(this.#decode(inner));
    // With neither flag the level-1 history is untouched (3.1.8.2.2.2).
    else return new Uint8Array(inner);
    return this.#history.bytes.slice(start, this.#offset);
  }

  #flush(): void {
    this.#history.bytes.fill(0, 0, this.#history.usedBytes);
    this.#history.usedBytes = 0;
    this.#offset = 0;
  }

  #append(bytes: Uint8Array): number {
    expectRoom(this.#offset, bytes.length);
    const end = this.#offset + bytes.length;
    this.#history.reach(end);
    this.#history.bytes.set(bytes, this.#offset);
    return end;
  }

  #decode(bytes: Uint8Array): number {
    const history = this.#history;
    return this.#engine?.decodeXcrush(history, this.#offset, bytes) ?? copyMatches(history, this.#offset, bytes);
  }

  #advance(offset: number): void {
    this.#offset = offset;
    this.#history.usedBytes = Math.max(this.#history.usedBytes, offset);
  }

  /** Behind what was written since the last flush all is zeros. */
  snapshot(): XcrushSnapshot {
    const history = this.#history.bytes.slice(0, this.#history.usedBytes);
    return { history, offset: this.#offset, level2: this.#level2.snapshot() };
  }

  restore(snapshot: XcrushSnapshot): void {
    this.#flush();
    this.#history.reach(snapshot.history.length);
    this.#history.bytes.set(snapshot.history);
    this.#history.usedBytes = snapshot.history.length;
    this.#offset = snapshot.offset;
    this.#level2.restore(snapshot.level2);
  }
}
