import { opaqueBlack, type PixelBuffer } from '../pixels.ts';

/** Planes of one picture in the AYCoCg colour space: [MS-RDPEGDI] 3.1.9.1. */
export interface YCoCgPlanes {
  readonly luma: Uint8Array;
  readonly lumaStride: number;
  readonly orange: Uint8Array;
  /** −1 where the sender counted orange chroma from blue to red (3.1.9.1.2, note on planar bitmaps). */
  readonly orangeSign: 1 | -1;
  readonly green: Uint8Array;
  readonly chromaStride: number;
  /** 1 where chroma has half the width and height. */
  readonly chromaShift: 0 | 1;
  /** 1–7: how many low bits of the 9-bit chroma were dropped. */
  readonly colorLossLevel: number;
  /** As many bytes as the picture has pixels, or null for opaque. */
  readonly alpha: Uint8Array | null;
  readonly bottomUp: boolean;
}

/** Values from −511 to 766 can come out of the transform; index with 512 more. 3.1.9.1.2 asks to clamp them to 0–255. */
const clamped = Uint8Array.from({ length: 1536 }, (_, index) => Math.max(0, Math.min(255, index - 512)));

/** Converts the planes into `picture`, whose size they must cover. */
export function combineYCoCg(picture: PixelBuffer, planes: YCoCgPlanes): void {
  const { width, height } = picture;
  for (let row = 0; row < height; row += 1) {
    const y = planes.bottomUp ? height - 1 - row : row;
    combineRow(picture.words, y * width, width, row, planes);
    if (planes.alpha) applyAlpha(picture.words, y * width, width, planes.alpha, row * width);
  }
}

function combineRow(output: Uint32Array, first: number, width: number, row: number, planes: YCoCgPlanes): void {
  const { luma, orange, green, chromaShift, orangeSign } = planes;
  // One less than the loss: the inverse transform halves chroma. The byte is signed after the shift.
  const shift = 24 + planes.colorLossLevel - 1;
  const lumaAt = row * planes.lumaStride;
  const chromaAt = (row >> chromaShift) * planes.chromaStride;
  for (let x = 0; x < width; x += 1) {
    const chroma = chromaAt + (x >> chromaShift);
    const brightness = luma[lumaAt + x]! + 512;
    // imul: a plain product could be −0, and then everything after it is counted in floating point.
    const co = Math.imul((orange[chroma]! << shift) >> 24, orangeSign);
    const cg = (green[chroma]! << shift) >> 24;
    const rest = brightness - cg;
    output[first + x] =
      opaqueBlack | (clamped[rest - co]! << 16) | (clamped[brightness + cg]! << 8) | clamped[rest + co]!;
  }
}

function applyAlpha(output: Uint32Array, first: number, width: number, alpha: Uint8Array, alphaAt: number): void {
  for (let x = 0; x < width; x += 1)
    output[first + x] = (output[first + x]! & 0x00ffffff) | (alpha[alphaAt + x]! << 24);
}
