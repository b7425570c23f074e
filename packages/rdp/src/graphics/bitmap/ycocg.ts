import type { PixelBuffer } from '../pixels.ts';

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

/** Converts the planes into `picture`, whose size they must cover. */
export function combineYCoCg(picture: PixelBuffer, planes: YCoCgPlanes): void {
  const { width, height } = picture;
  for (let row = 0; row < height; row += 1) {
    const y = planes.bottomUp ? height - 1 - row : row;
    combineRow(picture.data, y * width * 4, width, row, planes);
  }
}

function combineRow(output: Uint8ClampedArray, first: number, width: number, row: number, planes: YCoCgPlanes): void {
  const { luma, orange, green, alpha, chromaShift, orangeSign } = planes;
  // One less than the loss: the inverse transform halves chroma. The byte is signed after the shift.
  const shift = 24 + planes.colorLossLevel - 1;
  const lumaAt = row * planes.lumaStride;
  const chromaAt = (row >> chromaShift) * planes.chromaStride;
  const alphaAt = row * width;
  for (let x = 0, to = first; x < width; x += 1, to += 4) {
    const chroma = chromaAt + (x >> chromaShift);
    const brightness = luma[lumaAt + x]!;
    const co = ((orange[chroma]! << shift) >> 24) * orangeSign;
    const cg = (green[chroma]! << shift) >> 24;
    const rest = brightness - cg;
    // The array clamps to 0–255, as 3.1.9.1.2 asks.
    output[to] = rest + co;
    output[to + 1] = brightness + cg;
    output[to + 2] = rest - co;
    output[to + 3] = alpha ? alpha[alphaAt + x]! : 255;
  }
}
