import type { Rectangle } from '../pixels.ts';
import type { YuvFrame } from './h264-decoder.ts';

/** A picture with chroma for every pixel, put together from a main and an auxiliary view. Sides are even. */
export interface Yuv444Picture {
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly y: Uint8Array;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
}

export type AvcVersion = 'avc420' | 'avc444' | 'avc444v2';
export type View = 'main' | 'auxiliary';

/** A grey picture as large as a coded frame. */
export function createYuv444Picture(width: number, height: number): Yuv444Picture {
  const size = width * height;
  const plane = () => new Uint8Array(size).fill(128);
  return { width, height, stride: width, y: plane(), u: plane(), v: plane() };
}

/** Takes over what a view holds of an area. */
export function mergeView(
  version: AvcVersion,
  view: View,
  picture: Yuv444Picture,
  frame: YuvFrame,
  area: Rectangle,
): void {
  if (view === 'main') mergeMainView(picture, frame, area);
  else if (version === 'avc444') mergeAuxiliaryView(picture, frame, area);
  else mergeAuxiliaryViewV2(picture, frame, area);
}

/** The main view, [MS-RDPEGFX] 3.3.8.3.2: all luma (B1), and chroma (B2, B3) that stands for whole 2 × 2 blocks until more comes. */
function mergeMainView(picture: Yuv444Picture, frame: YuvFrame, area: Rectangle): void {
  const { left, right, top, bottom } = evenBounds(area);
  const { stride } = picture;
  for (let row = top; row < bottom; row += 1) {
    const luma = row * frame.strideY;
    picture.y.set(frame.y.subarray(luma + left, luma + right), row * stride + left);
  }
  for (const name of ['u', 'v'] as const) {
    const plane = picture[name];
    const source = frame[name];
    const pairs = pairsOf(plane);
    for (let row = top; row < bottom; row += 2) {
      const to = row * stride;
      const chroma = (row >> 1) * frame.strideUv;
      for (let x = left >> 1; x < right >> 1; x += 1) pairs[(to >> 1) + x] = source[chroma + x]! * 0x0101;
      plane.copyWithin(to + stride + left, to + left, to + right);
    }
  }
}

/** Two samples at a time: sides are even, and planes begin at the start of their memory. */
const pairsOf = (plane: Uint8Array): Uint16Array => new Uint16Array(plane.buffer, plane.byteOffset, plane.length >> 1);

/**
 * The auxiliary view of AVC444, [MS-RDPEGFX] 3.3.8.3.2. In its luma plane eight rows of U (B4) and eight of V (B5) take turns: the
 * odd rows of sixteen. Its chroma planes hold the odd columns of the even rows (B6, B7).
 */
function mergeAuxiliaryView(picture: Yuv444Picture, frame: YuvFrame, area: Rectangle): void {
  const { left, right, top, bottom } = evenBounds(area);
  for (let row = top; row < bottom; row += 1) {
    const to = row * picture.stride;
    if (row & 1) {
      const auxiliaryRow = (row & ~15) + ((row & 15) >> 1);
      const u = auxiliaryRow * frame.strideY;
      const v = (auxiliaryRow + 8) * frame.strideY;
      picture.u.set(frame.y.subarray(u + left, u + right), to + left);
      picture.v.set(frame.y.subarray(v + left, v + right), to + left);
    } else {
      const chroma = (row >> 1) * frame.strideUv;
      for (let x = left + 1; x < right; x += 2) {
        picture.u[to + x] = frame.u[chroma + (x >> 1)]!;
        picture.v[to + x] = frame.v[chroma + (x >> 1)]!;
      }
    }
  }
}

/**
 * The auxiliary view of AVC444v2, [MS-RDPEGFX] 3.3.8.3.3. Every plane has U in its left half and V in its right. The luma plane
 * holds the odd columns (B4, B5), the chroma planes the odd rows of every fourth column from 0 (B6, B7) and from 2 (B8, B9).
 */
function mergeAuxiliaryViewV2(picture: Yuv444Picture, frame: YuvFrame, area: Rectangle): void {
  const { left, right, top, bottom } = evenBounds(area);
  const halfWidth = frame.width >> 1;
  const quarterWidth = frame.width >> 2;
  const { u, v, stride } = picture;
  const { y, strideY, strideUv } = frame;
  for (let row = top; row < bottom; row += 1) {
    const to = row * stride;
    const luma = row * strideY;
    for (let x = left + 1; x < right; x += 2) {
      u[to + x] = y[luma + (x >> 1)]!;
      v[to + x] = y[luma + halfWidth + (x >> 1)]!;
    }
    if (!(row & 1)) continue;
    const chroma = (row >> 1) * strideUv;
    for (let x = left; x < right; x += 2) {
      const plane = x & 2 ? frame.v : frame.u;
      u[to + x] = plane[chroma + (x >> 2)]!;
      v[to + x] = plane[chroma + quarterWidth + (x >> 2)]!;
    }
  }
}

/** Blocks are 2 × 2: an area grows to the blocks it touches. */
function evenBounds(area: Rectangle): { left: number; right: number; top: number; bottom: number } {
  return {
    left: area.left & ~1,
    right: (area.left + area.width + 1) & ~1,
    top: area.top & ~1,
    bottom: (area.top + area.height + 1) & ~1,
  };
}
