import { DecodeError } from '@lucid-sessions/wire';
import { bounds, createPixelBuffer, opaqueBlack, type PixelBuffer, type Rectangle } from '../pixels.ts';
import { lookupTable, type Palette, type PixelDepth, pixelBytes } from './color.ts';
import { type PictureOptions, passingPicture } from './picture-options.ts';

export interface RawLayout extends PictureOptions {
  /** Bytes from one row to the next; whole pixels at 32 bpp. */
  readonly stride: number;
  /** The last row comes first, as in every bitmap of [MS-RDPBCGR] 2.2.9.1.1.3.1.2.2. */
  readonly bottomUp: boolean;
  /** 32 bpp only: take the fourth byte as alpha instead of opaque. */
  readonly alpha?: boolean;
}

/** Uncompressed pixels. Throws `DecodeError` when the bytes don't hold width × height pixels. */
export function decodeRaw(
  bytes: Uint8Array,
  width: number,
  height: number,
  depth: PixelDepth,
  palette: Palette,
  layout: RawLayout,
): PixelBuffer {
  const rowBytes = width * pixelBytes(depth);
  const needed = height > 0 ? layout.stride * (height - 1) + rowBytes : 0;
  if (layout.stride < rowBytes || bytes.length < needed)
    throw new DecodeError('truncated', `a raw bitmap of ${width}x${height} needs ${needed} bytes`);
  const picture = layout.passing ? passingPicture(width, height) : createPixelBuffer(width, height, 0);
  if (depth === 32) {
    drawRaw32(bytes, picture, bounds(picture), layout);
    return picture;
  }
  for (let row = 0; row < height; row += 1) {
    const y = layout.bottomUp ? height - 1 - row : row;
    readRow(bytes, row * layout.stride, picture.words, y * width, width, depth, palette);
  }
  return picture;
}

function readRow(
  bytes: Uint8Array,
  from: number,
  words: Uint32Array,
  to: number,
  count: number,
  depth: PixelDepth,
  palette: Palette,
): void {
  if (depth === 24) {
    const step = 3;
    for (let index = 0, at = from; index < count; index += 1, at += step)
      words[to + index] = opaqueBlack | (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    return;
  }
  const [table, mask] = lookupTable(depth, palette);
  if (depth === 8) {
    for (let index = 0; index < count; index += 1) words[to + index] = table[bytes[from + index]!]!;
    return;
  }
  for (let index = 0, at = from; index < count; index += 1, at += 2)
    words[to + index] = table[(bytes[at]! | (bytes[at + 1]! << 8)) & mask]!;
}

/**
 * Blue, green, red and alpha or nothing into an area of `target`, as words: a view for the bitmap, because one for each row costs more
 * than its pixels. The caller has checked that the bytes hold the pixels and the target the area.
 */
export function drawRaw32(
  bytes: Uint8Array,
  target: PixelBuffer,
  area: Rectangle,
  { stride, bottomUp, alpha }: RawLayout,
): void {
  const { left, top, width, height } = area;
  const aligned = bytes.byteOffset % 4 === 0;
  // Not slice: that of a Node Buffer doesn't copy.
  const memory = aligned ? bytes.buffer : new Uint8Array(bytes).buffer;
  const source = new Int32Array(memory, aligned ? bytes.byteOffset : 0, bytes.length >> 2);
  const words = new Int32Array(target.words.buffer, target.words.byteOffset, target.words.length);
  const opaque = alpha ? 0 : opaqueBlack | 0;
  for (let row = 0; row < height; row += 1) {
    const from = (row * stride) >> 2;
    const to = (top + (bottomUp ? height - 1 - row : row)) * target.width + left;
    for (let x = 0; x < width; x += 1) {
      const word = source[from + x]!;
      words[to + x] = (word & 0xff00ff00) | ((word >>> 16) & 0xff) | ((word & 0xff) << 16) | opaque;
    }
  }
}
