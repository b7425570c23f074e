import { clonePixelBuffer, createPixelBuffer, type PixelBuffer } from '../pixels.ts';

export interface PictureOptions {
  /** The picture is drawn at once: it may lie in memory that the next one decoded is written to. */
  readonly passing?: boolean;
}

/** What the kernels have drawn, for as long as the caller wants it. */
export function handedOver(drawn: PixelBuffer, { passing }: PictureOptions): PixelBuffer {
  return passing ? drawn : clonePixelBuffer(drawn);
}

/** Larger ones are made anew: memory once taken is kept. */
const passingPixelsMax = 1 << 21;
let memory = new ArrayBuffer(0);

/** A picture to be written whole; its memory is the next one's. */
export function passingPicture(width: number, height: number): PixelBuffer {
  const pixels = width * height;
  if (!(pixels <= passingPixelsMax)) return createPixelBuffer(width, height, 0);
  if (memory.byteLength < pixels * 4) memory = createPixelBuffer(width, height, 0).words.buffer;
  const words = new Uint32Array(memory, 0, pixels);
  return { width, height, words, data: new Uint8ClampedArray(memory, 0, pixels * 4) };
}
