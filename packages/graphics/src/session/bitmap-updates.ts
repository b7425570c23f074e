import { type BitmapData, BitmapFlag, bitmapUpdate } from '@lucid-sessions/rdp';
import { Reader } from '@lucid-sessions/wire';
import { compressionHeaderBytes, decodeBitmap, drawBitmap, type Palette, pixelDepth } from '../bitmap/index.ts';
import { WorkBudget } from '../gfx/work-budget.ts';
import { blit, type Rectangle } from '../pixels.ts';
import type { Screen } from '../screen.ts';
import { guarded } from './guard.ts';

/** TS_UPDATE_BITMAP_DATA after its updateType: [MS-RDPBCGR] 2.2.9.1.1.3.1.2. A broken rectangle spares the others. */
export function drawBitmapUpdate(screen: Screen, palette: Palette, data: Uint8Array): void {
  const { rectangles } = bitmapUpdate.decode(new Reader(data));
  const budget = new WorkBudget();
  for (const rectangle of rectangles)
    guarded(screen, 'bitmap.rectangle', () => drawRectangle(screen, palette, rectangle, budget), placeOf(rectangle));
}

/** Both ends are inclusive. */
const placeOf = ({ destLeft, destTop, destRight, destBottom }: BitmapData): Rectangle => ({
  left: destLeft,
  top: destTop,
  width: Math.max(0, destRight - destLeft + 1),
  height: Math.max(0, destBottom - destTop + 1),
});

function drawRectangle(screen: Screen, palette: Palette, bitmap: BitmapData, budget: WorkBudget): void {
  const compressed = (bitmap.flags & BitmapFlag.compression) !== 0;
  const hasHeader = compressed && (bitmap.flags & BitmapFlag.noCompressionHdr) === 0;
  const bytes = hasHeader ? bitmap.data.subarray(compressionHeaderBytes) : bitmap.data;
  const { width, height } = bitmap;
  budget.spend(width * height);
  // The bitmap may be wider than its place: xrdp pads it to four pixels. The destination crops, both ends inclusive.
  const shown = {
    left: 0,
    top: 0,
    width: Math.min(width, bitmap.destRight - bitmap.destLeft + 1),
    height: Math.min(height, bitmap.destBottom - bitmap.destTop + 1),
  };
  const { destLeft: left, destTop: top } = bitmap;
  const depth = pixelDepth(bitmap.bitsPerPixel);
  const source = { bytes, width, height, depth, compressed, passing: true };
  const isWhole = shown.width === width && shown.height === height;
  if (isWhole && drawBitmap(source, screen.desktop, left, top)) screen.markDirty({ left, top, width, height });
  else screen.markDirty(blit(screen.desktop, left, top, decodeBitmap(source, palette), shown));
}
