import type { PixelBuffer, Rectangle } from '../pixels.ts';
import { writeYcbcr } from './color.ts';
import { inverseDwt } from './dwt.ts';
import { decodeRlgr, type RlgrMode } from './rlgr.ts';
import { dequantize, originalLayout, type SubBandQuants, sumLl3 } from './sub-bands.ts';

/** Pixels along a tile's side. */
export const tileSide = 64;

/** The samples of the tile decoded last; one decoder per thread works at a time. */
const planes = [new Int16Array(4096), new Int16Array(4096), new Int16Array(4096)] as const;

/** One component from its bits to samples, [MS-RDPRFX] 3.1.8.2. */
function decodeComponent(mode: RlgrMode, bytes: Uint8Array, quants: SubBandQuants, plane: Int16Array): void {
  const first = decodeRlgr(mode, bytes, plane);
  sumLl3(plane, originalLayout);
  dequantize(plane, quants, originalLayout, first);
  inverseDwt(plane, first);
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

/** Decodes a tile; `paintTile` then draws it. */
export function decodeTile(source: TileSource): void {
  decodeComponent(source.mode, source.y, source.quantsY, planes[0]);
  decodeComponent(source.mode, source.cb, source.quantsCb, planes[1]);
  decodeComponent(source.mode, source.cr, source.quantsCr, planes[2]);
}

/** Draws `area` (already clipped to `target`) of the tile decoded last, whose corner lies at (tileLeft, tileTop). */
export function paintTile(target: PixelBuffer, tileLeft: number, tileTop: number, area: Rectangle): void {
  writeYcbcr(
    planes[0],
    planes[1],
    planes[2],
    area.left - tileLeft,
    area.top - tileTop,
    area.width,
    area.height,
    target.words,
    area.top * target.width + area.left,
    target.width,
  );
}
