import type { Rectangle } from '../pixels.ts';

/**
 * YCbCr to RGB, [MS-RDPRFX] 3.1.8.2.5: components are 11.5 fixed point around zero, factors carry 16 fractional bits.
 */

const redOfCr = 91916; // 1.402525
const greenOfCb = 22527; // 0.343730
const greenOfCr = 46819; // 0.714401
const blueOfCb = 115992; // 1.769905
const opaque = 0xff000000 | 0;
const tileSide = 64;

/** The 64 × 64 samples of one component; `flat` where all are the same. */
export interface SamplePlane {
  readonly samples: Int16Array;
  flat: boolean;
}

/** A decoded tile before its colours are put together. */
export interface TileSamples {
  readonly y: SamplePlane;
  readonly cb: SamplePlane;
  readonly cr: SamplePlane;
}

export function createTileSamples(): TileSamples {
  const plane = () => ({ samples: new Int16Array(tileSide * tileSide), flat: false });
  return { y: plane(), cb: plane(), cr: plane() };
}

/** Writes `area` of a tile to word `at` of `words`, whose rows are `stride` words. */
export function writeYcbcr(tile: TileSamples, area: Rectangle, words: Uint32Array, at: number, stride: number): void {
  const signed = new Int32Array(words.buffer, words.byteOffset, words.length);
  if (!tile.cb.flat || !tile.cr.flat) writeColors(tile, area, signed, at, stride);
  else if (!tile.y.flat) writeShades(tile, area, signed, at, stride);
  else writeFlat(tile, area, signed, at, stride);
}

function pixelWord(red: number, green: number, blue: number): number {
  return ((red | green | blue) & ~0xff) === 0
    ? opaque | (blue << 16) | (green << 8) | red
    : opaque | (clamp(blue) << 16) | (clamp(green) << 8) | clamp(red);
}

function clamp(value: number): number {
  return value < 0 ? 0 : Math.min(value, 255);
}

function writeColors(tile: TileSamples, area: Rectangle, words: Int32Array, at: number, stride: number): void {
  const y = tile.y.samples;
  const cb = tile.cb.samples;
  const cr = tile.cr.samples;
  for (let row = 0; row < area.height; row += 1) {
    let i = (area.top + row) * tileSide + area.left;
    let out = at + row * stride;
    const end = out + area.width;
    for (; out < end; out += 1, i += 1) {
      const luma = (y[i]! + 4096) << 16;
      const b = cb[i]!;
      const r = cr[i]!;
      words[out] = pixelWord(
        (luma + Math.imul(r, redOfCr)) >> 21,
        (luma - Math.imul(b, greenOfCb) - Math.imul(r, greenOfCr)) >> 21,
        (luma + Math.imul(b, blueOfCb)) >> 21,
      );
    }
  }
}

/** One hue in many shades, as text and window frames are. */
function writeShades(tile: TileSamples, area: Rectangle, words: Int32Array, at: number, stride: number): void {
  const y = tile.y.samples;
  const b = tile.cb.samples[0]!;
  const r = tile.cr.samples[0]!;
  const redPart = Math.imul(r, redOfCr);
  const greenPart = Math.imul(b, greenOfCb) + Math.imul(r, greenOfCr);
  const bluePart = Math.imul(b, blueOfCb);
  for (let row = 0; row < area.height; row += 1) {
    let i = (area.top + row) * tileSide + area.left;
    let out = at + row * stride;
    const end = out + area.width;
    for (; out < end; out += 1, i += 1) {
      const luma = (y[i]! + 4096) << 16;
      words[out] = pixelWord((luma + redPart) >> 21, (luma - greenPart) >> 21, (luma + bluePart) >> 21);
    }
  }
}

function writeFlat(tile: TileSamples, area: Rectangle, words: Int32Array, at: number, stride: number): void {
  writeColors(tile, { left: 0, top: 0, width: 1, height: 1 }, words, at, stride);
  const word = words[at]!;
  for (let row = 0; row < area.height; row += 1) words.fill(word, at + row * stride, at + row * stride + area.width);
}
