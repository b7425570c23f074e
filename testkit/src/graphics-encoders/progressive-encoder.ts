/** An encoder of RemoteFX Progressive streams, written from [MS-RDPEGFX] 2.2.4.2 and 3.2.8.1. */
import type { PixelBuffer, Rectangle } from '@lucid-sessions/graphics';
import { Writer } from '@lucid-sessions/wire';
import { BitWriter } from './bit-writer.ts';
import { encodeRlgr, encodeSrl } from './rlgr-encoder.ts';
import { coefficients, forwardBands, quantizeBands, tileComponents } from './wavelet-encoder.ts';

/** Quantized coefficients of a tile: components of bands. */
export type TileBands = readonly (readonly number[])[][];

/** Progressive quantization values in band order HL1 LH1 HH1 HL2 LH2 HH2 HL3 LH3 HH3 LL3. */
export type BandValues = readonly number[];

export interface EncodedTile {
  readonly type: number;
  readonly body: Uint8Array;
}

export function tileBands(
  picture: PixelBuffer,
  x: number,
  y: number,
  quants: BandValues,
  reduceExtrapolate: boolean,
): TileBands {
  return tileComponents(picture, x * 64, y * 64).map((component) => {
    const bands = forwardBands(component, reduceExtrapolate);
    const quantized = quantizeBands(bands, quants);
    // LL3 is floored, for upgrades only ever add to it.
    quantized[9] = bands[9]!.map((value) => Math.floor(value / 2 ** (quants[9]! - 1)));
    return quantized;
  });
}

export function subtract(a: TileBands, b: TileBands): TileBands {
  return a.map((bands, c) => bands.map((band, i) => band.map((value, at) => value - b[c]![i]![at]!)));
}

/** What is known of a value above `bitPosition`: magnitudes lose low bits, LL3 is floored. */
function above(value: number, bitPosition: number, ll3: boolean): number {
  return ll3 ? value >> bitPosition : Math.sign(value) * (Math.abs(value) >> bitPosition);
}

function firstPassData(tile: TileBands, progressive: BandValues): Uint8Array[] {
  return tile.map((bands) =>
    encodeRlgr(1, coefficients(bands.map((band, i) => band.map((value) => above(value, progressive[i]!, i === 9))))),
  );
}

const full: BandValues = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/** RFX_PROGRESSIVE_TILE_SIMPLE. */
export function tileSimple(x: number, y: number, tile: TileBands, difference = false): EncodedTile {
  const data = firstPassData(tile, full);
  const writer = new Writer()
    .u8(0)
    .u8(0)
    .u8(0)
    .u16le(x)
    .u16le(y)
    .u8(difference ? 1 : 0);
  for (const part of data) writer.u16le(part.length);
  writer.u16le(0);
  for (const part of data) writer.slice(part);
  return { type: 0xccc5, body: writer.bytes() };
}

/** RFX_PROGRESSIVE_TILE_FIRST at a quality of the region. */
export function tileFirst(
  x: number,
  y: number,
  tile: TileBands,
  quality: number,
  progressive: BandValues,
  difference = false,
): EncodedTile {
  const data = firstPassData(tile, progressive);
  const writer = new Writer()
    .u8(0)
    .u8(0)
    .u8(0)
    .u16le(x)
    .u16le(y)
    .u8(difference ? 1 : 0)
    .u8(quality);
  for (const part of data) writer.u16le(part.length);
  writer.u16le(0);
  for (const part of data) writer.slice(part);
  return { type: 0xccc6, body: writer.bytes() };
}

/** RFX_PROGRESSIVE_TILE_UPGRADE from one progressive quantization to a finer one. */
export function tileUpgrade(
  x: number,
  y: number,
  tile: TileBands,
  quality: number,
  from: BandValues,
  to: BandValues,
): EncodedTile {
  const parts = tile.flatMap((bands) => upgradeComponent(bands, from, to));
  const writer = new Writer().u8(0).u8(0).u8(0).u16le(x).u16le(y).u8(quality);
  for (const part of parts) writer.u16le(part.length);
  for (const part of parts) writer.slice(part);
  return { type: 0xccc7, body: writer.bytes() };
}

function upgradeComponent(bands: TileBands[number], from: BandValues, to: BandValues): [Uint8Array, Uint8Array] {
  const srl: { value: number; bitsCount: number }[] = [];
  const raw = new BitWriter();
  bands.forEach((band, i) => {
    const bitsCount = from[i]! - to[i]!;
    if (bitsCount === 0) return;
    for (const value of band) {
      const known = above(value, from[i]!, i === 9);
      const finer = above(value, to[i]!, i === 9);
      if (i === 9) raw.bits(finer - known * 2 ** bitsCount, bitsCount);
      else if (known === 0) srl.push({ value: finer, bitsCount });
      else raw.bits(Math.abs(finer) - Math.abs(known) * 2 ** bitsCount, bitsCount);
    }
  });
  return [encodeSrl(srl), raw.bytes()];
}

/** RFX_COMPONENT_CODEC_QUANT: nibbles LL3 HL3 LH3 HH3 HL2 LH2 HH2 HL1 LH1 HH1, low one first. */
function quantBytes(values: BandValues): Uint8Array {
  const [hl1, lh1, hh1, hl2, lh2, hh2, hl3, lh3, hh3, ll3] = values as number[];
  const nibbles = [ll3, hl3, lh3, hh3, hl2, lh2, hh2, hl1, lh1, hh1] as number[];
  return Uint8Array.from([0, 2, 4, 6, 8], (i) => nibbles[i]! | (nibbles[i + 1]! << 4));
}

function block(type: number, body: Uint8Array): Uint8Array {
  return new Writer()
    .u16le(type)
    .u32le(body.length + 6)
    .slice(body)
    .bytes();
}

export interface ProgressiveRegion {
  readonly rectangles: readonly Rectangle[];
  readonly quants: BandValues;
  readonly progressiveQuants?: readonly BandValues[];
  readonly reduceExtrapolate: boolean;
  readonly tiles: readonly EncodedTile[];
}

export function region({
  rectangles,
  quants,
  progressiveQuants = [],
  reduceExtrapolate,
  tiles,
}: ProgressiveRegion): Uint8Array {
  const data = new Writer();
  for (const tile of tiles) data.slice(block(tile.type, tile.body));
  const writer = new Writer().u8(64).u16le(rectangles.length).u8(1).u8(progressiveQuants.length);
  writer
    .u8(reduceExtrapolate ? 1 : 0)
    .u16le(tiles.length)
    .u32le(data.length);
  for (const { left, top, width, height } of rectangles) writer.u16le(left).u16le(top).u16le(width).u16le(height);
  writer.slice(quantBytes(quants));
  progressiveQuants.forEach((values, i) => {
    writer.u8(i * 10);
    for (let component = 0; component < 3; component += 1) writer.slice(quantBytes(values));
  });
  return block(0xccc4, writer.slice(data.bytes()).bytes());
}

/** A message: sync, context, frame begin, the regions, frame end. */
export function progressiveMessage(regions: readonly Uint8Array[], subbandDiffing = true): Uint8Array {
  const writer = new Writer()
    .slice(block(0xccc0, new Writer().u32le(0xcaccacca).u16le(0x0100).bytes()))
    .slice(block(0xccc3, Uint8Array.of(0, 64, 0, subbandDiffing ? 1 : 0)))
    .slice(block(0xccc1, new Writer().u32le(0).u16le(regions.length).bytes()));
  for (const one of regions) writer.slice(one);
  return writer.slice(block(0xccc2, new Uint8Array(0))).bytes();
}
