/**
 * Bitmaps cut to the rectangles they are drawn in. Servers may pad them (xrdp: to four pixels), and the rectangle crops; a client
 * that takes the rectangle's width for the rows' draws such bitmaps sheared.
 */
import { compressionHeaderBytes, decodeBitmap, type PixelBuffer, type PixelDepth } from '@lucid-sessions/graphics';
import { type BitmapData, BitmapFlag, bitmapUpdate } from '@lucid-sessions/rdp';
import { interleaved, planar } from '@lucid-sessions/screens';
import { attempt, decode, encode } from '@lucid-sessions/wire';

/** Side of the pieces: compressed as badly as can be, one still fits `BODY_BYTES_MAX`. */
const TILE = 64;
/** A fast-path PDU of 16 KiB fits the smallest buffer of a client. */
const BODY_BYTES_MAX = 16_000;
/** What one PDU of any kind takes (15 bits of length), less its headers. */
const ALONE_BYTES_MAX = 0x7fff - 64;
/** TS_BITMAP_DATA without its pixels. */
const HEADER_BYTES = 18;
/** One update may name few bytes and many pixels. */
const PIXELS_MAX = 1 << 20;
const noPalette = new Uint32Array(256);

type Depth = Exclude<PixelDepth, 8>;
const depths: readonly number[] = [15, 16, 24, 32] satisfies Depth[];
const isDepth = (bits: number): bits is Depth => depths.includes(bits);

/** Pixels of a row or column that the rectangle has; both ends are inclusive. */
const placeOf = ({ destLeft, destTop, destRight, destBottom }: BitmapData): { width: number; height: number } => ({
  width: Math.max(0, destRight - destLeft + 1),
  height: Math.max(0, destBottom - destTop + 1),
});

function isPadded(bitmap: BitmapData): boolean {
  const place = placeOf(bitmap);
  return bitmap.width > place.width || bitmap.height > place.height;
}

const bytesOf = ({ data }: BitmapData): number => HEADER_BYTES + data.length;

/**
 * The body of a bitmap update (behind its updateType) as bodies that show the same, in order, none of them with a bitmap larger
 * than its rectangle. null: there is none, or the update can't be cut and stays as it is. Bitmaps that can't be decoded stay too.
 */
export function recutBitmaps(body: Uint8Array): Uint8Array[] | null {
  const rectangles = attempt(() => decode(bitmapUpdate, body))?.rectangles ?? [];
  if (!rectangles.some(isPadded)) return null;
  // What came in fragments may be too long for a PDU of its own.
  const isCut = rectangles.map((each) => isPadded(each) || bytesOf(each) > ALONE_BYTES_MAX);
  const pixels = rectangles.reduce((sum, { width, height }, i) => sum + (isCut[i] ? width * height : 0), 0);
  if (pixels > PIXELS_MAX) return null;
  const cut = rectangles.flatMap((bitmap, i) => (isCut[i] ? piecesOf(bitmap) : [bitmap]));
  return cut.some((each) => bytesOf(each) > ALONE_BYTES_MAX) ? null : bodiesOf(cut);
}

function piecesOf(bitmap: BitmapData): BitmapData[] {
  const { width, height, bitsPerPixel: depth, flags } = bitmap;
  if (!isDepth(depth)) return [bitmap];
  const compressed = (flags & BitmapFlag.compression) !== 0;
  const hasHeader = compressed && (flags & BitmapFlag.noCompressionHdr) === 0;
  const bytes = hasHeader ? bitmap.data.subarray(compressionHeaderBytes) : bitmap.data;
  const picture = attempt(() => decodeBitmap({ bytes, width, height, depth, compressed, passing: true }, noPalette));
  return picture === null ? [bitmap] : tilesOf(bitmap, picture, depth);
}

function tilesOf(bitmap: BitmapData, picture: PixelBuffer, depth: Depth): BitmapData[] {
  const place = placeOf(bitmap);
  const shown = { width: Math.min(place.width, bitmap.width), height: Math.min(place.height, bitmap.height) };
  const tiles: BitmapData[] = [];
  for (let top = 0; top < shown.height; top += TILE)
    for (let left = 0; left < shown.width; left += TILE) {
      const width = Math.min(TILE, shown.width - left);
      const height = Math.min(TILE, shown.height - top);
      const pixels = pixelsOf(picture, left, top, width, height);
      const destLeft = bitmap.destLeft + left;
      const destTop = bitmap.destTop + top;
      tiles.push({
        ...{ destLeft, destTop, destRight: destLeft + width - 1, destBottom: destTop + height - 1 },
        ...{ width, height, bitsPerPixel: depth },
        // Not raw: rows of such have padding of their own.
        flags: BitmapFlag.compression | BitmapFlag.noCompressionHdr,
        data: depth === 32 ? planar(pixels, width) : interleaved(pixels, width, depth),
      });
    }
  return tiles;
}

/** 0xRRGGBB each, the last row first. */
function pixelsOf({ words, width: stride }: PixelBuffer, left: number, top: number, width: number, height: number) {
  const pixels = new Uint32Array(width * height);
  for (let row = 0; row < height; row += 1) {
    const from = (top + height - 1 - row) * stride + left;
    for (let x = 0; x < width; x += 1) {
      const word = words[from + x]!;
      pixels[row * width + x] = ((word & 0xff) << 16) | (word & 0xff00) | ((word >> 16) & 0xff);
    }
  }
  return pixels;
}

function bodiesOf(bitmaps: readonly BitmapData[]): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  let rectangles: BitmapData[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (rectangles.length > 0) bodies.push(encode(bitmapUpdate, { rectangles }));
    rectangles = [];
    bytes = 0;
  };
  for (const bitmap of bitmaps) {
    const more = bytesOf(bitmap);
    if (bytes + more > BODY_BYTES_MAX) flush();
    rectangles.push(bitmap);
    bytes += more;
  }
  flush();
  return bodies;
}
