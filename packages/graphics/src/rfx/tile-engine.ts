import type { Rectangle } from '../pixels.ts';
import { inverseReduceExtrapolateDwt } from '../progressive/reduce-extrapolate-dwt.ts';
import { createTileSamples, type SamplePlane, type TileSamples, writeYcbcr } from './color.ts';
import { inverseDwt } from './dwt.ts';
import { inverseLevelSimd, loadRfxKernels, pixelsOffset, planeOffsets, type RfxKernels } from './kernels.ts';
import { tileCoefficients } from './rlgr.ts';
import {
  dequantize,
  originalLayout,
  reduceExtrapolateLayout,
  type SubBandLayout,
  type SubBandQuants,
  subBandsCount,
} from './sub-bands.ts';

/** Y, Cb and Cr. */
export type Component = 0 | 1 | 2;
export const components: readonly Component[] = [0, 1, 2];
export const tileSide = 64;

/**
 * The heavy part of RemoteFX: from coefficients to pixels. Coefficients of a component go into its plane; the engine dequantizes
 * and transforms them in place and writes the tile's pixels. It holds one tile, so one decoder works with it at a time.
 */
export interface TileEngine {
  readonly planes: readonly [SamplePlane, SamplePlane, SamplePlane];
  dequantize(component: Component, quants: SubBandQuants, layout: SubBandLayout, first: number): void;
  /** Turns coefficients of either layout into samples. `first`: see `decodeRlgr`. */
  inverse(component: Component, layout: SubBandLayout, first: number): void;
  /** Writes `area` of the tile to word `at` of `words`, whose rows are `stride` words. */
  write(area: Rectangle, words: Uint32Array, at: number, stride: number): void;
}

class PlainEngine implements TileEngine {
  readonly #tile: TileSamples = createTileSamples();
  readonly planes = [this.#tile.y, this.#tile.cb, this.#tile.cr] as const;

  dequantize(component: Component, quants: SubBandQuants, layout: SubBandLayout, first: number): void {
    dequantize(this.planes[component].samples, quants, layout, first);
  }

  inverse(component: Component, layout: SubBandLayout, first: number): void {
    const { samples } = this.planes[component];
    if (layout === originalLayout) inverseDwt(samples, first);
    else inverseReduceExtrapolateDwt(samples);
  }

  write(area: Rectangle, words: Uint32Array, at: number, stride: number): void {
    writeYcbcr(this.#tile, area, words, at, stride);
  }
}

class SimdEngine implements TileEngine {
  readonly #kernels: RfxKernels;
  readonly #pixels: Int32Array;
  readonly planes: readonly [SamplePlane, SamplePlane, SamplePlane];

  constructor(kernels: RfxKernels) {
    const { buffer } = kernels.memory;
    const plane = (offset: number): SamplePlane => ({
      samples: new Int16Array(buffer, offset, tileCoefficients),
      flat: false,
    });
    this.#kernels = kernels;
    this.#pixels = new Int32Array(buffer, pixelsOffset, tileCoefficients);
    this.planes = [plane(planeOffsets[0]), plane(planeOffsets[1]), plane(planeOffsets[2])];
  }

  dequantize(component: Component, quants: SubBandQuants, layout: SubBandLayout, first: number): void {
    const { samples } = this.planes[component];
    const plane = planeOffsets[component];
    for (let band = 0; band < subBandsCount; band += 1) {
      const start = layout.starts[band]!;
      const end = layout.starts[band + 1]!;
      const bits = quants[band]! - 1;
      if (end <= first || bits <= 0) continue;
      const whole = end - ((end - start) & 7);
      // A vector shift takes its count modulo 16; more than 15 leaves nothing of a 16-bit value.
      if (bits > 15) samples.fill(0, start, end);
      else this.#kernels.shift(plane + 2 * start, plane + 2 * whole, bits);
      for (let i = whole; i < end; i += 1) samples[i] = samples[i]! << bits;
    }
  }

  inverse(component: Component, layout: SubBandLayout, _first: number): void {
    const kernels = this.#kernels;
    const plane = planeOffsets[component];
    if (layout === reduceExtrapolateLayout) {
      inverseLevelSimd(kernels, plane, 3807, 9, 8);
      inverseLevelSimd(kernels, plane, 3007, 17, 16);
      inverseLevelSimd(kernels, plane, 0, 33, 31);
    } else {
      inverseLevelSimd(kernels, plane, 3840, 8, 8);
      inverseLevelSimd(kernels, plane, 3072, 16, 16);
      inverseLevelSimd(kernels, plane, 0, 32, 32);
    }
  }

  write(area: Rectangle, words: Uint32Array, at: number, stride: number): void {
    const pixels = this.#pixels;
    const [y, cb, cr] = this.planes;
    this.#kernels.colors();
    if (y.flat && cb.flat && cr.flat) {
      for (let to = at; to < at + area.height * stride; to += stride) words.fill(pixels[0]! >>> 0, to, to + area.width);
      return;
    }
    // A loop, not `set`: rows are short, and a view for each would cost more than its pixels.
    const signed = new Int32Array(words.buffer, words.byteOffset, words.length);
    for (let row = 0; row < area.height; row += 1) {
      let from = (area.top + row) * tileSide + area.left;
      const start = at + row * stride;
      for (let to = start; to < start + area.width; to += 1, from += 1) signed[to] = pixels[from]!;
    }
  }
}

/** The fastest engine there is here; `plain` asks for the one that needs no WebAssembly. */
export function createTileEngine(plain = false): TileEngine {
  const kernels = plain ? null : loadRfxKernels();
  return kernels ? new SimdEngine(kernels) : new PlainEngine();
}

let shared: TileEngine | null = null;

/** The engine all decoders of this thread use in turn: none keeps anything in it beyond one tile. */
export function tileEngine(): TileEngine {
  shared ??= createTileEngine();
  return shared;
}
