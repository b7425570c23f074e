/**
 * YCbCr to RGB, [MS-RDPRFX] 3.1.8.2.5: components are 11.5 fixed point around zero, factors carry 16 fractional bits.
 */

const redOfCr = 91916; // 1.402525
const greenOfCb = 22527; // 0.343730
const greenOfCr = 46819; // 0.714401
const blueOfCb = 115992; // 1.769905
const opaque = 0xff000000 | 0;

/**
 * Writes `width` × `height` pixels of a 64-wide tile, from (left, top) of the tile to word `at` of `words`, whose rows are
 * `stride` words.
 */
export function writeYcbcr(
  y: Int16Array,
  cb: Int16Array,
  cr: Int16Array,
  left: number,
  top: number,
  width: number,
  height: number,
  words: Uint32Array,
  at: number,
  stride: number,
): void {
  const signed = new Int32Array(words.buffer, words.byteOffset, words.length);
  for (let row = 0; row < height; row += 1) {
    let i = (top + row) * 64 + left;
    let out = at + row * stride;
    const end = out + width;
    for (; out < end; out += 1, i += 1) {
      const luma = (y[i]! + 4096) << 16;
      const b1 = cb[i]!;
      const r1 = cr[i]!;
      const red = (luma + Math.imul(r1, redOfCr)) >> 21;
      const green = (luma - Math.imul(b1, greenOfCb) - Math.imul(r1, greenOfCr)) >> 21;
      const blue = (luma + Math.imul(b1, blueOfCb)) >> 21;
      signed[out] =
        ((red | green | blue) & ~0xff) === 0
          ? opaque | (blue << 16) | (green << 8) | red
          : opaque | (clamp(blue) << 16) | (clamp(green) << 8) | clamp(red);
    }
  }
}

function clamp(value: number): number {
  return value < 0 ? 0 : Math.min(value, 255);
}
