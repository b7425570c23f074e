import type { PixelBuffer, Rectangle } from '../pixels.ts';
import type { MainChroma } from './chroma-votes.ts';
import type { YuvFrame } from './h264-decoder.ts';
import { loadYuvKernels, rgbaOffset, rowOffsets, stripPixelsMax, type YuvKernels } from './yuv-kernels.ts';
import type { Yuv444Picture } from './yuv444.ts';

/**
 * YUV to RGB, [MS-RDPEGFX] 3.3.8.3.1: ITU-R BT.709 in full range, as factors of 256.
 *
 *   R = Y + 403·(V − 128) / 256
 *   G = Y − (48·(U − 128) + 120·(V − 128)) / 256
 *   B = Y + 475·(U − 128) / 256
 */
const opaque = 0xff000000 | 0;

function pixelWord(y: number, u: number, v: number): number {
  const luma = y << 8;
  const red = (luma + 403 * (v - 128)) >> 8;
  const green = (luma - 48 * (u - 128) - 120 * (v - 128)) >> 8;
  const blue = (luma + 475 * (u - 128)) >> 8;
  return ((red | green | blue) & ~0xff) === 0
    ? opaque | (blue << 16) | (green << 8) | red
    : opaque | (clamp(blue) << 16) | (clamp(green) << 8) | clamp(red);
}

function clamp(value: number): number {
  return value < 0 ? 0 : Math.min(value, 255);
}

/** Draws areas that lie inside both picture and target. */
export interface YuvPainter {
  draw420(frame: YuvFrame, target: PixelBuffer, area: Rectangle): void;
  /** `mainChroma` 'average' undoes it, see `unfiltered`. */
  draw444(picture: Yuv444Picture, target: PixelBuffer, area: Rectangle, mainChroma: MainChroma | null): void;
}

/** In WebAssembly SIMD, or without. */
export function createYuvPainter(kernels: YuvKernels | null): YuvPainter {
  return kernels ? new SimdPainter(kernels) : { draw420, draw444 };
}

let painter: YuvPainter | null = null;
/** This platform's. */
export function yuvPainter(): YuvPainter {
  painter ??= createYuvPainter(loadYuvKernels());
  return painter;
}

/** Copies rows into the kernels' memory and pixels out of it, by strips that stay in the processor's cache. */
class SimdPainter implements YuvPainter {
  readonly #kernels: YuvKernels;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;

  constructor(kernels: YuvKernels) {
    this.#kernels = kernels;
    this.#bytes = new Uint8Array(kernels.memory.buffer);
    this.#words = new Uint32Array(kernels.memory.buffer, rgbaOffset, stripPixelsMax + 16);
  }

  draw420({ y, u, v, strideY, strideUv }: YuvFrame, target: PixelBuffer, area: Rectangle): void {
    this.#strips(area, target, (row, left, pixels) => {
      this.#row(rowOffsets.y, y, row * strideY + left, pixels);
      const chroma = (row >> 1) * strideUv + (left >> 1);
      this.#row(rowOffsets.u, u, chroma, (pixels + 1) >> 1);
      this.#row(rowOffsets.v, v, chroma, (pixels + 1) >> 1);
      this.#kernels.row420(pixels);
    });
  }

  draw444(
    { y, u, v, stride }: Yuv444Picture,
    target: PixelBuffer,
    area: Rectangle,
    mainChroma: MainChroma | null,
  ): void {
    this.#strips(area, target, (row, left, pixels) => {
      const at = row * stride + left;
      this.#row(rowOffsets.y, y, at, pixels);
      this.#row(rowOffsets.u, u, at, pixels + 1);
      this.#row(rowOffsets.v, v, at, pixels + 1);
      if (row & 1 || mainChroma !== 'average') {
        this.#kernels.row444(pixels);
        return;
      }
      this.#row(rowOffsets.nextU, u, at + stride, pixels + 1);
      this.#row(rowOffsets.nextV, v, at + stride, pixels + 1);
      this.#kernels.rowFiltered444(pixels);
    });
  }

  #row(offset: number, plane: Uint8Array, from: number, length: number): void {
    this.#bytes.set(plane.subarray(from, from + length), offset);
  }

  /** Strips begin at even columns, where blocks of chroma do. */
  #strips(area: Rectangle, target: PixelBuffer, convert: (row: number, left: number, pixels: number) => void): void {
    const right = area.left + area.width;
    for (let row = area.top; row < area.top + area.height; row += 1)
      for (let left = area.left & ~1; left < right; left += stripPixelsMax) {
        const pixels = Math.min(stripPixelsMax, right - left);
        convert(row, left, pixels);
        const skipped = Math.max(0, area.left - left);
        target.words.set(this.#words.subarray(skipped, pixels), row * target.width + left + skipped);
      }
  }
}

function draw420(frame: YuvFrame, target: PixelBuffer, area: Rectangle): void {
  const words = new Int32Array(target.words.buffer);
  const { y, u, v } = frame;
  const right = area.left + area.width;
  for (let row = area.top; row < area.top + area.height; row += 1) {
    const luma = row * frame.strideY;
    const chroma = (row >> 1) * frame.strideUv;
    const out = row * target.width;
    for (let x = area.left; x < right; x += 1) {
      const c = chroma + (x >> 1);
      words[out + x] = pixelWord(y[luma + x]!, u[c]!, v[c]!);
    }
  }
}

/**
 * Chroma of the first pixel of each 2 × 2 block was sent as the average of the four; this undoes it, [MS-RDPEGFX] 3.3.8.3.2.
 * Where that changes little the value stays: rounding and compression make small differences mean nothing.
 */
function unfiltered(average: number, sumOfOthers: number): number {
  const value = clamp(4 * average - sumOfOthers);
  return Math.abs(value - average) < 30 ? average : value;
}

function draw444(picture: Yuv444Picture, target: PixelBuffer, area: Rectangle, mainChroma: MainChroma | null): void {
  const words = new Int32Array(target.words.buffer);
  const { y, u, v, stride } = picture;
  const right = area.left + area.width;
  for (let row = area.top; row < area.top + area.height; row += 1) {
    const from = row * stride;
    const out = row * target.width;
    const filtered = mainChroma === 'average' && (row & 1) === 0;
    for (let x = area.left; x < right; x += 1) {
      const i = from + x;
      let cu = u[i]!;
      let cv = v[i]!;
      if (filtered && (x & 1) === 0) {
        cu = unfiltered(cu, u[i + 1]! + u[i + stride]! + u[i + stride + 1]!);
        cv = unfiltered(cv, v[i + 1]! + v[i + stride]! + v[i + stride + 1]!);
      }
      words[out + x] = pixelWord(y[i]!, cu, cv);
    }
  }
}
