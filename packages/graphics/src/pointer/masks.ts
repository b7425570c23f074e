import { DecodeError } from '@lucid-sessions/wire';
import { lookupTable, type Palette } from '../bitmap/color.ts';
import { createPixelBuffer, opaqueBlack, type PixelBuffer } from '../pixels.ts';

/** Large pointers go to 384 × 384: [MS-RDPBCGR] 2.2.7.2.7. */
const pointerSideMax = 384;

export interface PointerMasks {
  readonly width: number;
  readonly height: number;
  /** 1, 4, 8, 16, 24 or 32. */
  readonly xorBitsPerPixel: number;
  readonly xorMask: Uint8Array;
  readonly andMask: Uint8Array;
}

const transparent = 0;
const white = 0xffffffff;

/**
 * AND and XOR mask as a picture with alpha: [MS-RDPBCGR] 2.2.9.1.1.4.4. Where the AND mask keeps the screen, black keeps
 * it wholly (transparent) and white inverts it, which no alpha can say: such pixels become a black and white chequer, as
 * text cursors stay visible that way on any ground. Of 32 bpp the alpha counts, and the AND mask that Windows makes from it for
 * others does not: it keeps the screen under every shadow. An alpha that is the same everywhere says nothing, as with servers that
 * leave it zero. Throws `DecodeError`.
 */
export function pointerPicture(masks: PointerMasks, palette: Palette): PixelBuffer {
  const { width, height, xorMask, andMask } = masks;
  if (width > pointerSideMax || height > pointerSideMax)
    throw new DecodeError('limit', `a pointer of ${width}x${height} is not held`);
  const xorStride = paddedRow(width * masks.xorBitsPerPixel);
  const andStride = paddedRow(width);
  if (xorMask.length < xorStride * height) throw new DecodeError('truncated', 'a pointer ends inside its XOR mask');
  const hasAnd = andMask.length >= andStride * height;
  if (!hasAnd && andMask.length > 0) throw new DecodeError('truncated', 'a pointer ends inside its AND mask');
  const alphaCounts = masks.xorBitsPerPixel === 32 && alphaVaries(xorMask, width * height);
  const read = xorReader(masks.xorBitsPerPixel, xorMask, palette, alphaCounts);
  // Rows come bottom-up, but for monochrome pointers.
  const bottomUp = masks.xorBitsPerPixel !== 1;
  const picture = createPixelBuffer(width, height);
  for (let y = 0; y < height; y += 1) {
    const row = bottomUp ? height - 1 - y : y;
    for (let x = 0; x < width; x += 1) {
      const keeps = hasAnd && !alphaCounts && (andMask[row * andStride + (x >> 3)]! & (0x80 >> (x & 7))) !== 0;
      picture.words[y * width + x] = combine(read(row * xorStride, x), keeps, (x ^ y) & 1);
    }
  }
  return picture;
}

/** Rows of 32 bpp are not padded. */
function alphaVaries(xorMask: Uint8Array, pixels: number): boolean {
  for (let i = 1; i < pixels; i += 1) if (xorMask[i * 4 + 3] !== xorMask[3]) return true;
  const alpha = xorMask[3] ?? 0;
  return pixels > 0 && alpha !== 0 && alpha !== 0xff;
}

function combine(color: number, keepsScreen: boolean, chequer: number): number {
  if (!keepsScreen) return color;
  const opaque = (color | opaqueBlack) >>> 0;
  if (opaque === opaqueBlack) return transparent;
  if (opaque === white) return chequer ? white : opaqueBlack;
  return color;
}

/** Mask rows are padded to two bytes. */
function paddedRow(bits: number): number {
  return ((bits + 15) >> 4) * 2;
}

function xorReader(
  bitsPerPixel: number,
  mask: Uint8Array,
  palette: Palette,
  alphaCounts: boolean,
): (row: number, x: number) => number {
  switch (bitsPerPixel) {
    case 1:
      return (row, x) => (mask[row + (x >> 3)]! & (0x80 >> (x & 7)) ? white : opaqueBlack);
    case 4:
      return (row, x) => palette[(mask[row + (x >> 1)]! >> (x & 1 ? 0 : 4)) & 0x0f]!;
    case 8:
      return (row, x) => palette[mask[row + x]!]!;
    case 16: {
      // Pointers of 16 bpp are 5-5-5 in every session.
      const [table, bits] = lookupTable(15, palette);
      return (row, x) => table[(mask[row + x * 2]! | (mask[row + x * 2 + 1]! << 8)) & bits]!;
    }
    case 24:
      return (row, x) => bgr(mask, row + x * 3, opaqueBlack);
    case 32:
      return (row, x) => bgr(mask, row + x * 4, alphaCounts ? mask[row + x * 4 + 3]! << 24 : opaqueBlack);
    default:
      throw new DecodeError('unsupported', `a pointer of ${bitsPerPixel} bits per pixel is not defined`);
  }
}

function bgr(mask: Uint8Array, at: number, alpha: number): number {
  return (alpha | (mask[at]! << 16) | (mask[at + 1]! << 8) | mask[at + 2]!) >>> 0;
}
