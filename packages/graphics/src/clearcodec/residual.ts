import type { Reader } from '@lucid-sessions/wire';
import type { PixelBuffer, Rectangle } from '../pixels.ts';
import { readPixel, readRunLength } from './runs.ts';

/** CLEARCODEC_RESIDUAL_DATA, [MS-RDPEGFX] 2.2.4.1.1.1: runs of colours over the whole bitmap, row by row. */
export function drawResidual(reader: Reader, target: PixelBuffer, area: Rectangle): void {
  const pixelsCount = area.width * area.height;
  let done = 0;
  while (reader.remaining > 0) {
    const word = readPixel(reader);
    const length = readRunLength(reader);
    if (length > pixelsCount - done) throw reader.error('invalid', 'clearcodec residual runs past its bitmap');
    fillRun(target, area, done, length, word);
    done += length;
  }
  if (done !== pixelsCount) throw reader.error('invalid', 'clearcodec residual ends before its bitmap');
}

/** Colours `length` pixels of `area` in reading order, from its `from`th on. */
export function fillRun(target: PixelBuffer, area: Rectangle, from: number, length: number, word: number): void {
  let at = from;
  const end = from + length;
  while (at < end) {
    const row = Math.floor(at / area.width);
    const column = at - row * area.width;
    const count = Math.min(area.width - column, end - at);
    const start = (area.top + row) * target.width + area.left + column;
    target.words.fill(word, start, start + count);
    at += count;
  }
}
