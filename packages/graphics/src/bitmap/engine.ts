import { Reader } from '@lucid-sessions/wire';
import type { PixelBuffer } from '../pixels.ts';
import { type InterleavedDepth, type Palette, whitePixel } from './color.ts';
import { interleavedWidthMin } from './interleaved-kernel.ts';
import { areasOffset, type BitmapKernels, loadBitmapKernels, paletteOffset, slackBytes } from './kernels.ts';
import { type NsCodecOptions, readNsCodecLayout } from './nscodec-layout.ts';
import { type PlanarOptions, planarHeader } from './planar-header.ts';

/** Larger pictures are decoded without the kernels, whose memory never shrinks: a picture of 1920 × 1080 fits. */
const pixelsMax = 1 << 21;
const inputBytesMax = 1 << 23;
const pageBytes = 0x10000;

/** Where the planes of a picture lie in the kernels' memory; `alpha` 0 for none. */
interface Planes {
  readonly first: number;
  readonly second: number;
  readonly third: number;
  readonly alpha: number;
}

/**
 * Runs the kernels for all bitmaps of a thread, one at a time: a picture is theirs until the next one. null is the answer to what they don't take: ask the decoders in JavaScript.
 */
export class BitmapEngine {
  readonly #kernels: BitmapKernels;
  #bytes: Uint8Array;
  #words: Uint32Array<ArrayBuffer>;
  #free = areasOffset;

  constructor(kernels: BitmapKernels) {
    this.#kernels = kernels;
    this.#bytes = new Uint8Array(kernels.memory.buffer);
    this.#words = new Uint32Array(kernels.memory.buffer);
  }

  planar(bytes: Uint8Array, width: number, height: number, options: PlanarOptions): PixelBuffer | null {
    const header = planarHeader(bytes[0] ?? 0);
    if (!takes(bytes, width, height) || (header.subsampled && header.colorLossLevel === 0)) return null;
    const input = this.#input(bytes);
    const end = input + bytes.length;
    let at = input + 1;
    const plane = (planeWidth: number, planeHeight: number): number => {
      const planeBytes = planeWidth * planeHeight;
      const to = header.runLengthEncoded ? this.#area(planeBytes) : at;
      if (header.runLengthEncoded) at = this.#kernels.planarPlane(at, end, to, planeWidth, planeHeight);
      else at = planeBytes <= end - at ? at + planeBytes : -1;
      return at < 0 ? 0 : to;
    };
    const [chromaWidth, chromaHeight] = header.subsampled ? [(width + 1) >> 1, (height + 1) >> 1] : [width, height];
    const sizes = [
      [width, height],
      [chromaWidth, chromaHeight],
      [chromaWidth, chromaHeight],
    ] as const;
    const alpha = header.hasAlpha ? plane(width, height) : 0;
    if (header.hasAlpha && alpha === 0) return null;
    const [first, second, third] = sizes.map((size) => (at < 0 ? 0 : plane(...size))) as [number, number, number];
    if (at < 0) return null;
    const planes = { first, second, third, alpha: options.alpha ? alpha : 0 };
    const { bottomUp } = options;
    if (header.colorLossLevel === 0) return this.#joinPlanes(planes, width, height, bottomUp);
    const layout = { lumaStride: width, chromaStride: chromaWidth, subsampled: header.subsampled };
    // 3.1.9.1.2: see `planar.ts`.
    const chroma = { ...layout, colorLossLevel: header.colorLossLevel, swapped: true, bottomUp };
    return this.#joinYCoCg(planes, width, height, chroma);
  }

  /** Throws `DecodeError` for a header that can't be read. */
  nsCodec(bytes: Uint8Array, width: number, height: number, options: NsCodecOptions): PixelBuffer | null {
    if (!takes(bytes, width, height)) return null;
    const { planes: layouts, headerBytes, ...layout } = readNsCodecLayout(new Reader(bytes), width, height);
    const input = this.#input(bytes);
    const end = input + bytes.length;
    let at = input + headerBytes;
    const planes = layouts.map(({ bytesCount, rawBytes }, index) => {
      const from = at;
      at += bytesCount;
      if (index === 3 && (!options.alpha || bytesCount === 0)) return 0;
      if (at > end || bytesCount > rawBytes) return -1;
      if (bytesCount === rawBytes) return from;
      const to = this.#area(rawBytes);
      return rawBytes >= 4 && this.#kernels.nsCodecPlane(from, at, to, rawBytes) === 0 ? to : -1;
    });
    const [first, second, third, alpha] = planes as [number, number, number, number];
    if (planes.includes(-1)) return null;
    const bottomUp = options.bottomUp === true;
    return this.#joinYCoCg({ first, second, third, alpha }, width, height, { ...layout, swapped: false, bottomUp });
  }

  interleaved(
    bytes: Uint8Array,
    width: number,
    height: number,
    depth: InterleavedDepth,
    palette: Palette,
  ): PixelBuffer | null {
    if (!takes(bytes, width, height) || width < interleavedWidthMin) return null;
    const kernels = this.#kernels;
    const input = this.#input(bytes);
    // The decoder looks a row back, also in the first.
    this.#area(width * 4);
    const native = this.#area(width * height * 4);
    const decode = depth === 8 ? kernels.interleaved8 : depth === 24 ? kernels.interleaved24 : kernels.interleaved16;
    if (decode(input, input + bytes.length, native, width, width * height, whitePixel[depth]) < 0) return null;
    const to = this.#area(width * height * 4);
    if (depth === 8) this.#words.set(palette, paletteOffset >> 2);
    kernels[`nativeRows${depth}`](native, to, width, height);
    return this.#picture(to, width, height);
  }

  #joinPlanes(planes: Planes, width: number, height: number, bottomUp: boolean): PixelBuffer {
    const to = this.#area(width * height * 4);
    const { first, second, third, alpha } = planes;
    this.#kernels.joinPlanes(
      ...[first, second, third, alpha || first, alpha ? 0 : 255],
      ...[to, width, height, bottomUp ? 1 : 0],
    );
    return this.#picture(to, width, height);
  }

  #joinYCoCg(planes: Planes, width: number, height: number, layout: ChromaLayout): PixelBuffer {
    const to = this.#area(width * height * 4);
    const { first, second, third, alpha } = planes;
    this.#kernels.joinYCoCg(
      ...[first, second, third, alpha || first, alpha ? 0 : 255],
      ...[to, width, height, layout.bottomUp ? 1 : 0, layout.lumaStride, layout.chromaStride],
      ...[layout.subsampled ? 1 : 0, layout.colorLossLevel - 1, layout.swapped ? 1 : 0],
    );
    return this.#picture(to, width, height);
  }

  #picture(from: number, width: number, height: number): PixelBuffer {
    const words = this.#words.subarray(from >> 2, (from >> 2) + width * height);
    return { width, height, words, data: new Uint8ClampedArray(words.buffer, from, words.byteLength) };
  }

  /** Begins a bitmap: what earlier ones left is of no use any more. */
  #input(bytes: Uint8Array): number {
    this.#free = areasOffset;
    const to = this.#area(bytes.length);
    this.#bytes.set(bytes, to);
    return to;
  }

  #area(bytesCount: number): number {
    const to = this.#free;
    this.#free += (bytesCount + slackBytes + 15) & ~15;
    const missing = this.#free - this.#bytes.length;
    if (missing > 0) {
      const { memory } = this.#kernels;
      memory.grow(Math.ceil(missing / pageBytes));
      this.#bytes = new Uint8Array(memory.buffer);
      this.#words = new Uint32Array(memory.buffer);
    }
    return to;
  }
}

interface ChromaLayout {
  readonly lumaStride: number;
  readonly chromaStride: number;
  readonly subsampled: boolean;
  readonly colorLossLevel: number;
  readonly swapped: boolean;
  readonly bottomUp: boolean;
}

function takes(bytes: Uint8Array, width: number, height: number): boolean {
  return width > 0 && height > 0 && width * height <= pixelsMax && bytes.length > 0 && bytes.length <= inputBytesMax;
}

let engine: BitmapEngine | null | undefined;

/** This thread's, or null where WebAssembly or its SIMD is missing. */
export function bitmapEngine(): BitmapEngine | null {
  if (engine === undefined) {
    const kernels = loadBitmapKernels();
    engine = kernels && new BitmapEngine(kernels);
  }
  return engine;
}
