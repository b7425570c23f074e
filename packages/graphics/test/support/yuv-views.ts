/** Splits pictures into the views of AVC444, written from [MS-RDPEGFX] 3.3.8.3.2 and 3.3.8.3.3: block by block, B1 to B9. */
import type { PixelBuffer, YuvFrame } from '../../src/index.ts';

export interface Yuv444 {
  readonly width: number;
  readonly height: number;
  readonly y: Uint8Array;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
}

function clamp(value: number): number {
  return Math.max(0, Math.min(255, Math.round(value)));
}

/** BT.709 in full range; `width` and `height` whole macroblocks. Pixels outside the picture are grey. */
export function toYuv444(picture: PixelBuffer, width: number, height: number): Yuv444 {
  const plane = () => new Uint8Array(width * height).fill(128);
  const result = { width, height, y: plane(), u: plane(), v: plane() };
  for (let row = 0; row < picture.height; row += 1) {
    for (let x = 0; x < picture.width; x += 1) {
      const i = (row * picture.width + x) * 4;
      const [r, g, b] = [picture.data[i]!, picture.data[i + 1]!, picture.data[i + 2]!];
      const luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
      result.y[row * width + x] = clamp(luma);
      result.u[row * width + x] = clamp((b - luma) / 1.8556 + 128);
      result.v[row * width + x] = clamp((r - luma) / 1.5748 + 128);
    }
  }
  return result;
}

function emptyFrame(width: number, height: number): YuvFrame {
  const size = width * height;
  return {
    width,
    height,
    y: new Uint8Array(size),
    u: new Uint8Array(size / 4),
    v: new Uint8Array(size / 4),
    strideY: width,
    strideUv: width / 2,
  };
}

/** The main view: luma, and chroma of the average of each 2 × 2 block (or of its first pixel, unfiltered). */
export function mainView({ width, height, y, u, v }: Yuv444, filtered: boolean): YuvFrame {
  const frame = emptyFrame(width, height);
  frame.y.set(y);
  for (let row = 0; row < height / 2; row += 1) {
    for (let x = 0; x < width / 2; x += 1) {
      const i = 2 * row * width + 2 * x;
      const block = [i, i + 1, i + width, i + width + 1];
      for (const [to, from] of [
        [frame.u, u],
        [frame.v, v],
      ] as const)
        to[row * frame.strideUv + x] = filtered
          ? Math.floor(block.reduce((sum, at) => sum + from[at]!, 0) / 4)
          : from[i]!;
    }
  }
  return frame;
}

export function auxiliaryView({ width, height, u, v }: Yuv444): YuvFrame {
  const frame = emptyFrame(width, height);
  for (let block = 0; block < height; block += 16) {
    for (let row = 0; row < 8; row += 1) {
      const odd = (block + 2 * row + 1) * width;
      frame.y.set(u.subarray(odd, odd + width), (block + row) * width);
      frame.y.set(v.subarray(odd, odd + width), (block + 8 + row) * width);
    }
  }
  for (let row = 0; row < height / 2; row += 1) {
    for (let x = 0; x < width / 2; x += 1) {
      frame.u[row * frame.strideUv + x] = u[2 * row * width + 2 * x + 1]!;
      frame.v[row * frame.strideUv + x] = v[2 * row * width + 2 * x + 1]!;
    }
  }
  return frame;
}

export function auxiliaryViewV2({ width, height, u, v }: Yuv444): YuvFrame {
  const frame = emptyFrame(width, height);
  for (let row = 0; row < height; row += 1) {
    for (let x = 0; x < width / 2; x += 1) {
      frame.y[row * width + x] = u[row * width + 2 * x + 1]!;
      frame.y[row * width + width / 2 + x] = v[row * width + 2 * x + 1]!;
    }
  }
  for (let row = 0; row < height / 2; row += 1) {
    const odd = (2 * row + 1) * width;
    for (let x = 0; x < width / 4; x += 1) {
      const to = row * frame.strideUv + x;
      frame.u[to] = u[odd + 4 * x]!;
      frame.u[to + width / 4] = v[odd + 4 * x]!;
      frame.v[to] = u[odd + 4 * x + 2]!;
      frame.v[to + width / 4] = v[odd + 4 * x + 2]!;
    }
  }
  return frame;
}
