import { DecodeError } from '@lucid-sessions/wire';

/** Widest and highest picture accepted: one of all monitors together, [MS-RDPEGFX] 2.2.2.14 and [MS-RDPBCGR] 2.2.1.3.6. */
export const pixelBufferSideMax = 32766;
/**
 * Pixels one buffer may hold: two monitors of 8K or eight of 4K (256 MiB of RGBA). A hostile size must not take the machine's
 * memory.
 */
export const pixelBufferPixelsMax = 1 << 26;

/**
 * A picture in RGBA, 8 bits each, rows top-down without padding. `words` views the same memory, one pixel a word
 * (0xAABBGGRR: every machine this runs on is little-endian).
 */
export interface PixelBuffer {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
}

/** Half-open: covers left ≤ x < left + width. Never negative in size. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const opaqueBlack = 0xff000000;

/**
 * A buffer of opaque black, or of `word`: a decoder that writes every pixel saves the filling with 0. Throws
 * `DecodeError('limit')` for a size this project doesn't hold.
 */
export function createPixelBuffer(width: number, height: number, word: number = opaqueBlack): PixelBuffer {
  const valid =
    Number.isInteger(width) &&
    Number.isInteger(height) &&
    width >= 0 &&
    height >= 0 &&
    width <= pixelBufferSideMax &&
    height <= pixelBufferSideMax &&
    width * height <= pixelBufferPixelsMax;
  if (!valid) throw new DecodeError('limit', `a picture of ${width}x${height} is not held`);
  const memory = new ArrayBuffer(width * height * 4);
  const words = new Uint32Array(memory);
  if (word !== 0) words.fill(word);
  return { width, height, data: new Uint8ClampedArray(memory), words };
}

/** An independent copy. */
export function clonePixelBuffer(source: PixelBuffer): PixelBuffer {
  const copy = createPixelBuffer(source.width, source.height, 0);
  copy.words.set(source.words);
  return copy;
}

/** One pixel word from its channels (0–255). */
export function rgba(red: number, green: number, blue: number, alpha = 255): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The part both rectangles cover; zero-sized where they don't meet. */
export function intersect(a: Rectangle, b: Rectangle): Rectangle {
  const left = Math.max(a.left, b.left);
  const top = Math.max(a.top, b.top);
  const width = Math.max(0, Math.min(a.left + a.width, b.left + b.width) - left);
  const height = Math.max(0, Math.min(a.top + a.height, b.top + b.height) - top);
  return { left, top, width, height };
}

/** The smallest rectangle around both. */
export function union(a: Rectangle, b: Rectangle): Rectangle {
  const left = Math.min(a.left, b.left);
  const top = Math.min(a.top, b.top);
  const width = Math.max(a.left + a.width, b.left + b.width) - left;
  const height = Math.max(a.top + a.height, b.top + b.height) - top;
  return { left, top, width, height };
}

/** The whole buffer as a rectangle. */
export function bounds(buffer: PixelBuffer): Rectangle {
  return { left: 0, top: 0, width: buffer.width, height: buffer.height };
}

export function isEmpty(rectangle: Rectangle): boolean {
  return !(rectangle.width > 0 && rectangle.height > 0);
}

/** Fills the visible part of `rectangle` with one pixel word and returns that part. */
export function fillRectangle(target: PixelBuffer, rectangle: Rectangle, word: number): Rectangle {
  const visible = intersect(rectangle, bounds(target));
  const { left, top, width, height } = visible;
  for (let y = top; y < top + height; y += 1) {
    const at = y * target.width + left;
    target.words.fill(word, at, at + width);
  }
  return visible;
}

/**
 * Copies `rectangle` of `source` to (destLeft, destTop) of `target`, clipped to both. Source and target may be the same
 * buffer and the areas may overlap. Returns the rectangle written.
 */
export function blit(
  target: PixelBuffer,
  destLeft: number,
  destTop: number,
  source: PixelBuffer,
  rectangle: Rectangle = bounds(source),
): Rectangle {
  const from = intersect(rectangle, bounds(source));
  const offsetX = destLeft - rectangle.left;
  const offsetY = destTop - rectangle.top;
  const written = intersect({ ...from, left: from.left + offsetX, top: from.top + offsetY }, bounds(target));
  const { left, top, width, height } = written;
  if (isEmpty(written)) return written;
  // Rows are copied away from the overlap: bottom-up when the picture moves down. copyWithin handles overlap in a row.
  const upward = source === target && offsetY > 0;
  for (let row = 0; row < height; row += 1) {
    const y = upward ? top + height - 1 - row : top + row;
    const sourceAt = (y - offsetY) * source.width + left - offsetX;
    const targetAt = y * target.width + left;
    if (source === target) target.words.copyWithin(targetAt, sourceAt, sourceAt + width);
    else target.words.set(source.words.subarray(sourceAt, sourceAt + width), targetAt);
  }
  return written;
}

/** `blit` within one buffer; the areas may overlap. */
export function copyRectangle(buffer: PixelBuffer, rectangle: Rectangle, destLeft: number, destTop: number): Rectangle {
  return blit(buffer, destLeft, destTop, buffer, rectangle);
}
