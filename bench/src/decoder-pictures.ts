/** A real desktop of 1920 × 1080, and its parts as the codecs' encoders want them. */
import { fileURLToPath } from 'node:url';
import { createPixelBuffer, type PixelBuffer, type Rectangle, SessionDecoder } from '@lucid-sessions/graphics';
import { type CaptureRecord, readCapture } from '@lucid-sessions/testkit';

export const captures = fileURLToPath(new URL('../../testkit/captures/', import.meta.url));

export function records(name: string): CaptureRecord[] {
  return readCapture(`${captures}${name}.rdpcap.gz`).records;
}

/** The last picture of a session at 1920 × 1080. */
export function desktop(): PixelBuffer {
  const decoder = new SessionDecoder();
  for (const record of records('shadow-nsc-1080p')) decoder.push(record);
  return decoder.screen.pixels;
}

/** The whole picture in rectangles of one size (smaller at the right and lower edge), row by row. */
export function tilesOf(picture: PixelBuffer, width: number, height: number): Rectangle[] {
  const tiles: Rectangle[] = [];
  for (let top = 0; top < picture.height; top += height)
    for (let left = 0; left < picture.width; left += width)
      tiles.push({
        left,
        top,
        width: Math.min(width, picture.width - left),
        height: Math.min(height, picture.height - top),
      });
  return tiles;
}

export function crop(picture: PixelBuffer, { left, top, width, height }: Rectangle): PixelBuffer {
  const part = createPixelBuffer(width, height);
  for (let row = 0; row < height; row += 1) {
    const from = ((top + row) * picture.width + left) * 4;
    part.data.set(picture.data.subarray(from, from + width * 4), row * width * 4);
  }
  return part;
}

/** One channel of a picture (0 red, 1 green, 2 blue) as a plane, rows bottom-up. */
export function plane({ width, height, data }: PixelBuffer, channel: number): Uint8Array {
  const values = new Uint8Array(width * height);
  for (let row = 0; row < height; row += 1)
    for (let x = 0; x < width; x += 1) values[(height - 1 - row) * width + x] = data[(row * width + x) * 4 + channel]!;
  return values;
}

/** Native pixels in rows bottom-up. */
export function nativePixels(picture: PixelBuffer, depth: 16 | 24): number[] {
  const [red, green, blue] = [0, 1, 2].map((channel) => plane(picture, channel));
  return Array.from(red!, (value, index) => {
    const [g, b] = [green![index]!, blue![index]!];
    return depth === 24 ? (value << 16) | (g << 8) | b : ((value >> 3) << 11) | ((g >> 2) << 5) | (b >> 3);
  });
}

/** Blue, green, red, filler; rows top-down. */
export function bgrx({ data }: PixelBuffer): Uint8Array {
  const bytes = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 4) bytes.set([data[at + 2]!, data[at + 1]!, data[at]!, 0xff], at);
  return bytes;
}

/** The same with its rows bottom-up. */
export function flipped({ width, height, data }: PixelBuffer): PixelBuffer {
  const picture = createPixelBuffer(width, height);
  const rowBytes = width * 4;
  for (let row = 0; row < height; row += 1)
    picture.data.set(data.subarray(row * rowBytes, (row + 1) * rowBytes), (height - 1 - row) * rowBytes);
  return picture;
}
