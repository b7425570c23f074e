import { createPalette, decodeBitmap } from '@lucid-sessions/graphics';
import { type BitmapData, BitmapFlag, type ColorDepth } from '@lucid-sessions/rdp';

/** Draws one bitmap of an update as a client does: 0xRRGGBB pixels, `stride` a row. */
export function pasteBitmap(seen: Uint32Array, stride: number, bitmap: BitmapData): void {
  const { width, height, bitsPerPixel, flags, destLeft, destTop, destRight, destBottom } = bitmap;
  const hasHeader = (flags & BitmapFlag.noCompressionHdr) === 0;
  const bytes = hasHeader ? bitmap.data.subarray(8) : bitmap.data;
  const depth = bitsPerPixel as ColorDepth;
  const { data } = decodeBitmap({ bytes, width, height, depth, compressed: true }, createPalette());
  const rgba = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let y = destTop; y <= destBottom; y += 1)
    for (let x = destLeft; x <= destRight; x += 1) {
      const at = 4 * ((y - destTop) * width + x - destLeft);
      seen[y * stride + x] = (rgba[at]! << 16) | (rgba[at + 1]! << 8) | rgba[at + 2]!;
    }
}
