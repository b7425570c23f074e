import type { Reader } from '@lucid-sessions/wire';
import type { PixelBuffer, Rectangle } from '../pixels.ts';
import { readPixel } from './runs.ts';

/** A band is at most 52 pixels high, [MS-RDPEGFX] 2.2.4.1.1.2. */
const heightMax = 52;
/** V-Bar Storage and Short V-Bar Storage, [MS-RDPEGFX] 3.3.1.5 and 3.3.1.6. */
const vBarsMax = 32768;
const shortVBarsMax = 16384;

interface VBarsSnapshot {
  readonly lengths: Uint8Array;
  readonly words: Uint32Array;
  readonly cursor: number;
}

export interface BandsSnapshot {
  readonly vBars: VBarsSnapshot;
  readonly shortVBars: VBarsSnapshot;
  readonly missesCount: number;
}

/** A ring of pixel columns. Memory is taken when the first band comes. */
class VBarStorage {
  readonly #size: number;
  #words: Uint32Array | null = null;
  #lengths: Uint8Array | null = null;
  #cursor = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** The pixels of an entry: none for one never written. */
  get(index: number): Uint32Array {
    if (!this.#words || !this.#lengths) return new Uint32Array(0);
    return this.#words.subarray(index * heightMax, index * heightMax + this.#lengths[index]!);
  }

  /** Takes the entry at the cursor for a column of `length` pixels, which the caller fills. */
  next(length: number): Uint32Array {
    this.#words ??= new Uint32Array(this.#size * heightMax);
    this.#lengths ??= new Uint8Array(this.#size);
    const index = this.#cursor;
    this.#cursor = (index + 1) % this.#size;
    this.#lengths[index] = length;
    return this.get(index);
  }

  /** The entries written, packed. */
  snapshot(): VBarsSnapshot {
    const lengths = this.#lengths?.slice() ?? new Uint8Array(0);
    const words = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    lengths.forEach((length, index) => {
      words.set(this.get(index), at);
      at += length;
    });
    return { lengths, words, cursor: this.#cursor };
  }

  restore(snapshot: VBarsSnapshot): void {
    this.#words = null;
    this.#lengths = null;
    let at = 0;
    snapshot.lengths.forEach((length, index) => {
      if (length === 0) return;
      this.#cursor = index;
      this.next(length).set(snapshot.words.subarray(at, at + length));
      at += length;
    });
    this.#cursor = snapshot.cursor;
  }

  /** CLEARCODEC_FLAG_CACHE_RESET: entries stay, and are overwritten from the first on. */
  rewind(): void {
    this.#cursor = 0;
  }
}

/** Decodes CLEARCODEC_BANDS_DATA, [MS-RDPEGFX] 2.2.4.1.1.2, and holds the columns later bands refer to. */
export class BandsDecoder {
  readonly #vBars = new VBarStorage(vBarsMax);
  readonly #shortVBars = new VBarStorage(shortVBarsMax);
  /** Columns that were referred to but never came: what was drawn for them is black. */
  missesCount = 0;

  rewind(): void {
    this.#vBars.rewind();
    this.#shortVBars.rewind();
  }

  snapshot(): BandsSnapshot {
    const [vBars, shortVBars] = [this.#vBars.snapshot(), this.#shortVBars.snapshot()];
    return { vBars, shortVBars, missesCount: this.missesCount };
  }

  restore(snapshot: BandsSnapshot): void {
    this.#vBars.restore(snapshot.vBars);
    this.#shortVBars.restore(snapshot.shortVBars);
    this.missesCount = snapshot.missesCount;
  }

  draw(reader: Reader, target: PixelBuffer, area: Rectangle): void {
    while (reader.remaining > 0) {
      const xStart = reader.u16le();
      const xEnd = reader.u16le();
      const yStart = reader.u16le();
      const yEnd = reader.u16le();
      const background = readPixel(reader);
      const height = yEnd - yStart + 1;
      const inside = xStart <= xEnd && yStart <= yEnd && xEnd < area.width && yEnd < area.height;
      if (!inside || height > heightMax) throw reader.error('invalid', 'a clearcodec band lies outside its bitmap');
      for (let x = xStart; x <= xEnd; x += 1) {
        const column = this.#readVBar(reader, height, background);
        if (column.length < height) this.missesCount += 1;
        const at = (area.top + yStart) * target.width + area.left + x;
        for (let y = 0; y < height; y += 1) target.words[at + y * target.width] = column[y] ?? 0xff000000;
      }
    }
  }

  /** CLEARCODEC_VBAR, [MS-RDPEGFX] 2.2.4.1.1.2.1.1: its upper bits say where the column comes from. */
  #readVBar(reader: Reader, height: number, background: number): Uint32Array {
    const header = reader.u16le();
    if (header & 0x8000) return this.#vBars.get(header & 0x7fff); // VBAR_CACHE_HIT
    if (header & 0x4000) {
      // SHORT_VBAR_CACHE_HIT
      const short = this.#shortVBars.get(header & 0x3fff);
      return this.#compose(short, reader.u8(), height, background);
    }
    // SHORT_VBAR_CACHE_MISS
    const yOn = header & 0xff;
    const yOff = (header >> 8) & 0x3f;
    if (yOff < yOn || yOff - yOn > heightMax)
      throw reader.error('invalid', 'a clearcodec column ends before it starts');
    reader.need((yOff - yOn) * 3, 'clearcodec column');
    const short = this.#shortVBars.next(yOff - yOn);
    for (let i = 0; i < short.length; i += 1) short[i] = readPixel(reader);
    return this.#compose(short, yOn, height, background);
  }

  /** A short column placed at `yOn` between background pixels becomes a whole one. */
  #compose(short: Uint32Array, yOn: number, height: number, background: number): Uint32Array {
    const column = this.#vBars.next(height);
    column.fill(background);
    if (yOn < height) column.set(short.subarray(0, height - yOn), yOn);
    return column;
  }
}
