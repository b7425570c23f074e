import { type DecodeError, Reader } from '@lucid-sessions/wire';
import { createPixelBuffer, type PixelBuffer } from '../pixels.ts';
import { type InterleavedDepth, type Palette, pixelBytes, toWords, whitePixel } from './color.ts';
import { type BitmapEngine, bitmapEngine } from './engine.ts';
import { handedOver, type PictureOptions } from './picture-options.ts';

type Kind = 'background' | 'foreground' | 'image' | 'colorRun' | 'colorImage' | 'dithered';
const regularKinds: readonly (Kind | undefined)[] = ['background', 'foreground', 'image', 'colorRun', 'colorImage'];
/** From 0xC on. The first two set the foreground colour before they draw. */
const liteKinds: readonly (Kind | undefined)[] = ['foreground', 'image', 'dithered'];
/** From 0xF0 on. */
const extendedKinds: readonly (Kind | undefined)[] = [...regularKinds, undefined, 'foreground', 'image', 'dithered'];

/**
 * Interleaved RLE: [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4 and 3.1.9. Rows come bottom-up. A stream of fewer pixels than width × height is
 * `truncated` (what other clients show there is what lay in their memory), one of more is `invalid`. With `engine` null it decodes without WebAssembly. Throws `DecodeError`.
 */
export function decodeInterleaved(
  bytes: Uint8Array,
  width: number,
  height: number,
  depth: InterleavedDepth,
  palette: Palette,
  engine: BitmapEngine | null = bitmapEngine(),
  options: PictureOptions = {},
): PixelBuffer {
  const drawn = engine?.interleaved(bytes, width, height, depth, palette);
  if (drawn) return handedOver(drawn, options);
  const picture = createPixelBuffer(width, height, 0);
  const pixels = new InterleavedRun(bytes, width, height, depth).decode();
  for (let row = 0; row < height; row += 1)
    toWords(pixels, row * width, picture.words, (height - 1 - row) * width, width, depth, palette);
  return picture;
}

/** One bitmap's decompression: the registers of `RleDecompress` in 3.1.9. */
class InterleavedRun {
  readonly #reader: Reader;
  readonly #width: number;
  readonly #white: number;
  readonly #pixelBytes: number;
  /** Native values, bottom row first. */
  readonly #pixels: Uint32Array;
  #at = 0;
  #foreground: number;
  #firstRow = true;
  /** A background run after another begins with one foreground pixel: otherwise they would have been one run. */
  #insertForeground = false;

  constructor(bytes: Uint8Array, width: number, height: number, depth: InterleavedDepth) {
    this.#reader = new Reader(bytes);
    this.#width = width;
    this.#white = whitePixel[depth];
    this.#foreground = this.#white;
    this.#pixelBytes = pixelBytes(depth);
    this.#pixels = new Uint32Array(width * height);
  }

  decode(): Uint32Array {
    while (this.#reader.remaining > 0) {
      // Decided once an order, also for a run that leaves the first row.
      if (this.#firstRow && this.#at >= this.#width) {
        this.#firstRow = false;
        this.#insertForeground = false;
      }
      this.#order(this.#reader.u8());
    }
    if (this.#at < this.#pixels.length) throw this.#reader.error('truncated', 'a bitmap ends before its last row does');
    return this.#pixels;
  }

  /** The identifier has three bits (regular), four from 0xC on (lite) or eight from 0xF0 on (MEGA_MEGA, special). */
  #order(header: number): void {
    if (header < 0xc0) {
      const kind = regularKinds[header >> 5];
      const short = header & 0x1f;
      this.#draw(kind, kind === 'image' ? this.#imageLength(short) : this.#length(short, 32), false);
    } else if (header < 0xf0) {
      const kind = liteKinds[(header >> 4) - 0x0c];
      const short = header & 0x0f;
      const length = kind === 'image' ? this.#imageLength(short) : this.#length(short, 16);
      this.#draw(kind, length, kind !== 'dithered');
    } else if (header <= 0xf8) {
      this.#draw(extendedKinds[header - 0xf0], this.#reader.u16le(), header === 0xf6 || header === 0xf7);
    } else {
      this.#special(header);
    }
  }

  #draw(kind: Kind | undefined, length: number, setsForeground: boolean): void {
    if (!kind) throw this.#undefinedOrder();
    if (setsForeground) this.#foreground = this.#pixel();
    if (kind === 'background') this.#background(length);
    else if (kind === 'foreground') this.#foregroundRun(length);
    else if (kind === 'image') this.#image(length);
    else if (kind === 'colorRun') this.#colorRun(length);
    else if (kind === 'colorImage') this.#colorImage(length);
    else this.#dithered(length);
  }

  #special(header: number): void {
    if (header === 0xf9) this.#masked(0x03, this.#take(8));
    else if (header === 0xfa) this.#masked(0x05, this.#take(8));
    else if (header === 0xfd) this.#single(this.#white);
    else if (header === 0xfe) this.#single(0);
    else throw this.#undefinedOrder();
  }

  #undefinedOrder(): DecodeError {
    return this.#reader.error('invalid', 'a compression order is not defined');
  }

  /** Zero means that a byte follows, counting from where the short form ends. */
  #length(short: number, base: number): number {
    return short === 0 ? this.#reader.u8() + base : short;
  }

  #imageLength(short: number): number {
    return short === 0 ? this.#reader.u8() + 1 : short * 8;
  }

  #pixel(): number {
    const reader = this.#reader;
    if (this.#pixelBytes === 1) return reader.u8();
    const low = reader.u16le();
    return this.#pixelBytes === 2 ? low : low | (reader.u8() << 16);
  }

  /** Claims `count` pixels of the bitmap and returns where they end. Every order but a background run comes by here. */
  #take(count: number): number {
    this.#insertForeground = false;
    const end = this.#at + count;
    if (end > this.#pixels.length) throw this.#reader.error('invalid', 'a run leaves the bitmap it is in');
    return end;
  }

  #above(at: number): number {
    return this.#firstRow ? 0 : this.#pixels[at - this.#width]!;
  }

  #background(length: number): void {
    const insert = this.#insertForeground;
    const end = this.#take(length);
    const pixels = this.#pixels;
    if (insert && length > 0) {
      pixels[this.#at] = this.#above(this.#at) ^ this.#foreground;
      this.#at += 1;
    }
    if (this.#firstRow) pixels.fill(0, this.#at, end);
    else for (let at = this.#at; at < end; at += 1) pixels[at] = pixels[at - this.#width]!;
    this.#at = end;
    this.#insertForeground = true;
  }

  #foregroundRun(length: number): void {
    const end = this.#take(length);
    for (let at = this.#at; at < end; at += 1) this.#pixels[at] = this.#above(at) ^ this.#foreground;
    this.#at = end;
  }

  #image(length: number): void {
    const end = this.#take(length);
    while (this.#at < end) this.#masked(this.#reader.u8(), Math.min(this.#at + 8, end));
  }

  /** Up to eight pixels: what is above, where the mask's bit is set with the foreground applied. */
  #masked(mask: number, end: number): void {
    for (let at = this.#at, bit = 1; at < end; at += 1, bit <<= 1)
      this.#pixels[at] = this.#above(at) ^ (mask & bit ? this.#foreground : 0);
    this.#at = end;
  }

  #colorRun(length: number): void {
    const pixel = this.#pixel();
    const end = this.#take(length);
    this.#pixels.fill(pixel, this.#at, end);
    this.#at = end;
  }

  #colorImage(length: number): void {
    const end = this.#take(length);
    for (let at = this.#at; at < end; at += 1) this.#pixels[at] = this.#pixel();
    this.#at = end;
  }

  #dithered(pairs: number): void {
    const first = this.#pixel();
    const second = this.#pixel();
    const end = this.#take(pairs * 2);
    for (let at = this.#at; at < end; at += 2) {
      this.#pixels[at] = first;
      this.#pixels[at + 1] = second;
    }
    this.#at = end;
  }

  #single(pixel: number): void {
    const end = this.#take(1);
    this.#pixels[this.#at] = pixel;
    this.#at = end;
  }
}
