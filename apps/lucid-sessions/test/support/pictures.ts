import { readFileSync } from 'node:fs';
import { PNG } from 'pngjs';

export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Comparison {
  pixelsCount: number;
  /** Pixels whose colour is not equal. */
  differentCount: number;
  /** Of what was compared, in dB; infinite when nothing differs. */
  psnrDb: number;
}

const inside = (x: number, y: number, { left, top, width, height }: Rectangle): boolean =>
  x >= left && x < left + width && y >= top && y < top + height;

/** Compares two screenshots of one size, without what lies in the `except` rectangles. */
export function comparePngs(pathA: string, pathB: string, except: readonly Rectangle[]): Comparison {
  return comparePictures(PNG.sync.read(readFileSync(pathA)), PNG.sync.read(readFileSync(pathB)), except);
}

/** The upper left part of a picture, `width` by `height`. */
export function cropPicture(picture: PNG, width: number, height: number): PNG {
  const part = new PNG({ width, height });
  PNG.bitblt(picture, part, 0, 0, width, height, 0, 0);
  return part;
}

export function comparePictures(a: PNG, b: PNG, except: readonly Rectangle[]): Comparison {
  if (a.width !== b.width || a.height !== b.height) throw new Error('the screenshots differ in size');
  let pixelsCount = 0;
  let differentCount = 0;
  let squares = 0;
  for (let y = 0; y < a.height; y += 1)
    for (let x = 0; x < a.width; x += 1) {
      if (except.some((rectangle) => inside(x, y, rectangle))) continue;
      pixelsCount += 1;
      const at = (y * a.width + x) * 4;
      let square = 0;
      for (let channel = 0; channel < 3; channel += 1) square += (a.data[at + channel]! - b.data[at + channel]!) ** 2;
      if (square > 0) differentCount += 1;
      squares += square;
    }
  const mean = squares / (pixelsCount * 3);
  return {
    pixelsCount,
    differentCount,
    psnrDb: mean === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(65_025 / mean),
  };
}

/** How many colours a screenshot holds, counted up to `most`: one means an empty screen. */
export function coloursCount(path: string, most: number): number {
  const { data } = PNG.sync.read(readFileSync(path));
  const seen = new Set<number>();
  for (let at = 0; at < data.length && seen.size < most; at += 4)
    seen.add((data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!);
  return seen.size;
}
