import type { PixelBuffer, Rectangle } from '../pixels.ts';
import { createTileSamples, type SamplePlane, writeYcbcr } from './color.ts';
import { inverseDwt } from './dwt.ts';
import { decodeRlgr, type RlgrMode } from './rlgr.ts';
import { dequantize, dequantizedLl3, isFlat, originalLayout, type SubBandQuants, sumLl3 } from './sub-bands.ts';

/** Pixels along a tile's side. */
export const tileSide = 64;

/** One component from its bits to samples, [MS-RDPRFX] 3.1.8.2. */
function decodeComponent(mode: RlgrMode, bytes: Uint8Array, quants: SubBandQuants, plane: SamplePlane): void {
  const { samples } = plane;
  const first = decodeRlgr(mode, bytes, samples);
  plane.flat = isFlat(samples, originalLayout, first);
  if (plane.flat) {
    samples.fill(dequantizedLl3(samples[originalLayout.ll3Start]!, quants));
    return;
  }
  sumLl3(samples, originalLayout);
  dequantize(samples, quants, originalLayout, first);
  inverseDwt(samples, first);
}

/** The compressed parts of one tile, and what is needed to decode them. */
export interface TileSource {
  readonly mode: RlgrMode;
  readonly y: Uint8Array;
  readonly cb: Uint8Array;
  readonly cr: Uint8Array;
  readonly quantsY: SubBandQuants;
  readonly quantsCb: SubBandQuants;
  readonly quantsCr: SubBandQuants;
}

/** The samples of the tile decoded last; one decoder per thread works at a time. */
const tile = createTileSamples();

/** Decodes a tile; `paintTile` then draws it. */
export function decodeTile(source: TileSource): void {
  decodeComponent(source.mode, source.y, source.quantsY, tile.y);
  decodeComponent(source.mode, source.cb, source.quantsCb, tile.cb);
  decodeComponent(source.mode, source.cr, source.quantsCr, tile.cr);
}

/** Draws `area` (already clipped to `target`) of the tile decoded last, whose corner lies at (tileLeft, tileTop). */
export function paintTile(target: PixelBuffer, tileLeft: number, tileTop: number, area: Rectangle): void {
  const at = area.top * target.width + area.left;
  const part = { left: area.left - tileLeft, top: area.top - tileTop, width: area.width, height: area.height };
  writeYcbcr(tile, part, target.words, at, target.width);
}
