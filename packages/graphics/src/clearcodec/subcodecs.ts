import type { Reader } from '@lucid-sessions/wire';
import { blit, type PixelBuffer, type Rectangle } from '../pixels.ts';
import { fillRun } from './residual.ts';
import { readPixel, readRunLength } from './runs.ts';

/** CLEARCODEC_SUBCODEC identifiers, [MS-RDPEGFX] 2.2.4.1.1.3.1. */
const subcodecUncompressed = 0;
const subcodecNsCodec = 1;
const subcodecRlex = 2;

const paletteMax = 127;

/** Decodes one NSCodec bitmap: the classic codec, handed in so that this folder doesn't depend on it. */
export type NsCodecDecode = (bytes: Uint8Array, width: number, height: number) => PixelBuffer;

/** CLEARCODEC_SUBCODECS_DATA, [MS-RDPEGFX] 2.2.4.1.1.3. */
export function drawSubcodecs(reader: Reader, target: PixelBuffer, area: Rectangle, nsCodec: NsCodecDecode): void {
  while (reader.remaining > 0) {
    const xStart = reader.u16le();
    const yStart = reader.u16le();
    const width = reader.u16le();
    const height = reader.u16le();
    const bitmapDataByteCount = reader.u32le();
    const subcodecId = reader.u8();
    if (xStart + width > area.width || yStart + height > area.height)
      throw reader.error('invalid', 'a clearcodec subcodec draws outside its bitmap');
    const data = reader.sub(bitmapDataByteCount);
    const part = { left: area.left + xStart, top: area.top + yStart, width, height };
    if (subcodecId === subcodecUncompressed) drawUncompressed(data, target, part);
    else if (subcodecId === subcodecRlex) drawRlex(data, target, part);
    else if (subcodecId === subcodecNsCodec) blit(target, part.left, part.top, nsCodec(data.rest(), width, height));
    else throw data.error('invalid', `${subcodecId} is no clearcodec subcodec`);
  }
}

function drawUncompressed(data: Reader, target: PixelBuffer, part: Rectangle): void {
  if (data.remaining !== part.width * part.height * 3)
    throw data.error('invalid', 'an uncompressed clearcodec bitmap has a wrong length');
  for (let y = part.top; y < part.top + part.height; y += 1) {
    const row = y * target.width;
    for (let x = part.left; x < part.left + part.width; x += 1) target.words[row + x] = readPixel(data);
  }
}

/**
 * CLEARCODEC_SUBCODEC_RLEX, [MS-RDPEGFX] 2.2.4.1.1.3.1.1: a palette, then runs of one colour each followed by a suite, a walk
 * through consecutive palette entries.
 */
function drawRlex(data: Reader, target: PixelBuffer, part: Rectangle): void {
  const paletteCount = data.u8();
  if (paletteCount < 1 || paletteCount > paletteMax)
    throw data.error('invalid', 'a clearcodec palette has a wrong number of colours');
  data.need(paletteCount * 3, 'clearcodec palette');
  const palette = Array.from({ length: paletteCount }, () => readPixel(data));
  const stopBits = Math.max(1, 32 - Math.clz32(paletteCount - 1));
  const pixelsCount = part.width * part.height;
  let done = 0;
  while (data.remaining > 0) {
    const packed = data.u8();
    const stopIndex = packed & ((1 << stopBits) - 1);
    const suiteDepth = packed >> stopBits;
    const startIndex = stopIndex - suiteDepth;
    const length = readRunLength(data);
    if (startIndex < 0 || stopIndex >= paletteCount)
      throw data.error('invalid', 'a clearcodec suite leaves its palette');
    if (length + suiteDepth + 1 > pixelsCount - done)
      throw data.error('invalid', 'a clearcodec suite leaves its bitmap');
    fillRun(target, part, done, length, palette[startIndex]!);
    done += length;
    for (let index = startIndex; index <= stopIndex; index += 1, done += 1)
      fillRun(target, part, done, 1, palette[index]!);
  }
  if (done !== pixelsCount) throw data.error('invalid', 'a clearcodec suite ends before its bitmap');
}
