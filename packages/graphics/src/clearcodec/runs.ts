import type { Reader } from '@lucid-sessions/wire';

/** A run length in one, three or seven bytes: runLengthFactor1 to 3, [MS-RDPEGFX] 2.2.4.1.1.1.1. */
export function readRunLength(reader: Reader): number {
  const short = reader.u8();
  if (short < 0xff) return short;
  const middle = reader.u16le();
  if (middle < 0xffff) return middle;
  return reader.u32le();
}

/** Three bytes, blue first, as an opaque pixel word. */
export function readPixel(reader: Reader): number {
  const blue = reader.u8();
  const green = reader.u8();
  const red = reader.u8();
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}
