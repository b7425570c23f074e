import type { PixelBuffer, Rectangle } from '../pixels.ts';
import { decodeRlgr, type RlgrMode } from './rlgr.ts';
import { dequantizedLl3, isFlat, originalLayout, type SubBandQuants, sumLl3 } from './sub-bands.ts';
import { type Component, type TileEngine, tileEngine } from './tile-engine.ts';

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

/** One component from its bits to samples, [MS-RDPRFX] 3.1.8.2. */
function decodeComponent(
  engine: TileEngine,
  component: Component,
  mode: RlgrMode,
  bytes: Uint8Array,
  quants: SubBandQuants,
): void {
  const plane = engine.planes[component];
  const { samples } = plane;
  const first = decodeRlgr(mode, bytes, samples);
  plane.flat = isFlat(samples, originalLayout, first);
  if (plane.flat) {
    samples.fill(dequantizedLl3(samples[originalLayout.ll3Start]!, quants));
    return;
  }
  sumLl3(samples, originalLayout);
  engine.dequantize(component, quants, originalLayout, first);
  engine.inverse(component, originalLayout, first);
}

/** Decodes a tile; `paintTile` then draws it. */
export function decodeTile(source: TileSource): void {
  const engine = tileEngine();
  decodeComponent(engine, 0, source.mode, source.y, source.quantsY);
  decodeComponent(engine, 1, source.mode, source.cb, source.quantsCb);
  decodeComponent(engine, 2, source.mode, source.cr, source.quantsCr);
}

/** Draws `area` (already clipped to `target`) of the tile decoded last, whose corner lies at (tileLeft, tileTop). */
export function paintTile(target: PixelBuffer, tileLeft: number, tileTop: number, area: Rectangle): void {
  const part = { left: area.left - tileLeft, top: area.top - tileTop, width: area.width, height: area.height };
  tileEngine().write(part, target.words, area.top * target.width + area.left, target.width);
}
