import { DecodeError } from '@lucid-sessions/wire';
import { opaqueBlack } from '../pixels.ts';

/** Bits per pixel a session or bitmap may have: [MS-RDPBCGR] 2.2.7.1.2, 2.2.9.1.1.3.1.2.2. */
export type PixelDepth = 8 | 15 | 16 | 24 | 32;

/** Interleaved RLE has no 32 bpp form: there the bitmap is planar. */
export type InterleavedDepth = Exclude<PixelDepth, 32>;

export const whitePixel: Record<InterleavedDepth, number> = { 8: 0xff, 15: 0x7fff, 16: 0xffff, 24: 0xffffff };

/** Colours of an 8 bpp session as pixel words. */
export type Palette = Uint32Array;

/** Before the first Palette Update every index is black. */
export function createPalette(): Palette {
  return new Uint32Array(256).fill(opaqueBlack);
}

/** Throws `unsupported` for a depth that doesn't exist. */
export function pixelDepth(bitsPerPixel: number): PixelDepth {
  switch (bitsPerPixel) {
    case 8:
    case 15:
    case 16:
    case 24:
    case 32:
      return bitsPerPixel;
    default:
      throw new DecodeError('unsupported', `${bitsPerPixel} bits per pixel are not a colour depth of RDP`);
  }
}

/** Bytes a pixel takes on the wire. */
export function pixelBytes(depth: PixelDepth): 1 | 2 | 3 | 4 {
  return depth === 15 ? 2 : ((depth >> 3) as 1 | 2 | 3 | 4);
}

/** Five bits to eight, the high bits again below: white stays white. */
function five(value: number): number {
  return (value << 3) | (value >> 2);
}

const words15 = Uint32Array.from({ length: 32768 }, (_, pixel) => {
  return opaqueBlack | (five(pixel & 31) << 16) | (five((pixel >> 5) & 31) << 8) | five(pixel >> 10);
});

const words16 = Uint32Array.from({ length: 65536 }, (_, pixel) => {
  const green = (pixel >> 5) & 63;
  return opaqueBlack | (five(pixel & 31) << 16) | (((green << 2) | (green >> 4)) << 8) | five(pixel >> 11);
});

/** The pixel word of a native pixel value: palette index, 5-5-5, 5-6-5 or 0x00RRGGBB. Always opaque. */
export function toWord(pixel: number, depth: PixelDepth, palette: Palette): number {
  switch (depth) {
    case 8:
      return palette[pixel & 0xff]!;
    case 15:
      return words15[pixel & 0x7fff]!;
    case 16:
      return words16[pixel & 0xffff]!;
    default:
      return (opaqueBlack | ((pixel & 0xff) << 16) | (pixel & 0xff00) | ((pixel >> 16) & 0xff)) >>> 0;
  }
}

/** `toWord` for a run of pixels: `source[from …]` to `target[to …]`. */
export function toWords(
  source: Uint32Array,
  from: number,
  target: Uint32Array,
  to: number,
  count: number,
  depth: PixelDepth,
  palette: Palette,
): void {
  if (depth >= 24) {
    for (let index = 0; index < count; index += 1) {
      const pixel = source[from + index]!;
      target[to + index] = opaqueBlack | ((pixel & 0xff) << 16) | (pixel & 0xff00) | ((pixel >> 16) & 0xff);
    }
    return;
  }
  const [table, mask] = lookupTable(depth, palette);
  for (let index = 0; index < count; index += 1) target[to + index] = table[source[from + index]! & mask]!;
}

/** Native value → word, and the bits of the value that count. */
export function lookupTable(depth: PixelDepth, palette: Palette): [Uint32Array, number] {
  if (depth === 8) return [palette, 0xff];
  return depth === 15 ? [words15, 0x7fff] : [words16, 0xffff];
}
