import type { PixelBuffer } from '../pixels.ts';
import { type Palette, type PixelDepth, pixelBytes } from './color.ts';
import { decodeInterleaved } from './interleaved.ts';
import type { PictureOptions } from './picture-options.ts';
import { decodePlanar } from './planar.ts';
import { decodeRaw, drawRaw32, type RawLayout } from './raw.ts';

/** TS_CD_HEADER: [MS-RDPBCGR] 2.2.9.1.1.3.1.2.3. Its sizes repeat what is known and are not needed. */
export const compressionHeaderBytes = 8;

export interface BitmapSource extends PictureOptions {
  /** Without TS_CD_HEADER. */
  readonly bytes: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly depth: PixelDepth;
  readonly compressed: boolean;
}

/** A bitmap of a bitmap update or cache order, opaque: [MS-RDPBCGR] 2.2.9.1.1.3.1.2.2. Throws `DecodeError`. */
export function decodeBitmap(source: BitmapSource, palette: Palette): PixelBuffer {
  const { bytes, width, height, depth, passing = false } = source;
  if (!source.compressed) return decodeRaw(bytes, width, height, depth, palette, rawLayout(source));
  if (depth === 32) return decodePlanar(bytes, width, height, { bottomUp: true, passing });
  return decodeInterleaved(bytes, width, height, depth, palette, undefined, { passing });
}

/** Draws pixels of 32 bits that are not compressed where they belong, if they are all there and fit; false: `decodeBitmap` knows what to do. */
export function drawBitmap(source: BitmapSource, target: PixelBuffer, left: number, top: number): boolean {
  const { bytes, width, height } = source;
  const fits = left + width <= target.width && top + height <= target.height && bytes.length >= width * height * 4;
  if (source.compressed || source.depth !== 32 || !fits || left < 0 || top < 0) return false;
  drawRaw32(bytes, target, { left, top, width, height }, { stride: width * 4, bottomUp: true });
  return true;
}

/** Rows are padded to four bytes, except by servers that don't: the length tells. */
function rawLayout({ bytes, width, height, depth, passing = false }: BitmapSource): RawLayout {
  const packed = width * pixelBytes(depth);
  const padded = (packed + 3) & ~3;
  return { stride: bytes.length >= padded * height ? padded : packed, bottomUp: true, passing };
}
