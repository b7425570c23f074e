/**
 * The inverse discrete wavelet transform of [MS-RDPRFX] 3.1.8.2.4: three levels of the 5/3 lifting steps
 *
 *   x[2n]     = L[n] − ⌊(H[n−1] + H[n] + 1) / 2⌋
 *   x[2n + 1] = 2·H[n] + ⌊(x[2n] + x[2n + 2]) / 2⌋
 *
 * mirrored at the edges, first along rows and then along columns. The vertical pass walks rows and not columns: that is what
 * the cache likes.
 */

const half = new Int16Array(4096);

/** Turns 4096 coefficients in the original layout into 64 × 64 samples, in place. `first`: see `decodeRlgr`. */
export function inverseDwt(coefficients: Int16Array, first: number): void {
  inverseLevel(coefficients, 3840, 8);
  inverseLevel(coefficients, 3072, 16);
  // Nothing finer than level 2: the rows of HL1, LH1 and HH1 are zeros, as smooth tiles have them.
  if (first >= 3072) interpolateLevel(coefficients);
  else inverseLevel(coefficients, 0, 32);
}

/** One level: bands HL, LH, HH, LL of side `n` at `at` become a square of side 2n at `at`. */
function inverseLevel(data: Int16Array, at: number, n: number): void {
  const area = n * n;
  const width = 2 * n;
  horizontal(data, at + 3 * area, at, half, 0, n);
  horizontal(data, at + area, at + 2 * area, half, 2 * area, n);
  vertical(data, at, width, n);
}

/** Joins n rows of n low and n high values into n rows of 2n. */
function horizontal(
  data: Int16Array,
  lowStart: number,
  highStart: number,
  target: Int16Array,
  targetStart: number,
  n: number,
): void {
  let low = lowStart;
  let high = highStart;
  let out = targetStart;
  for (let row = 0; row < n; row += 1) {
    let h = data[high]!;
    let even = data[low]! - h;
    for (let i = 1; i < n; i += 1) {
      const next = data[high + i]!;
      const nextEven = data[low + i]! - ((h + next + 1) >> 1);
      target[out] = even;
      target[out + 1] = (h << 1) + ((even + nextEven) >> 1);
      out += 2;
      even = nextEven;
      h = next;
    }
    target[out] = even;
    target[out + 1] = (h << 1) + even;
    out += 2;
    low += n;
    high += n;
  }
}

/** Joins n low and n high rows in `half` into 2n rows at `at`. */
function vertical(data: Int16Array, at: number, width: number, n: number): void {
  const highs = n * width;
  for (let x = 0; x < width; x += 1) data[at + x] = half[x]! - half[highs + x]!;
  let out = at;
  for (let row = 1; row < n; row += 1) {
    const low = row * width;
    const high = highs + low;
    const end = out + width;
    for (let i = out, j = 0; i < end; i += 1, j += 1) {
      const above = half[high - width + j]!;
      const even = half[low + j]! - ((above + half[high + j]! + 1) >> 1);
      data[i + 2 * width] = even;
      data[i + width] = (above << 1) + ((data[i]! + even) >> 1);
    }
    out += 2 * width;
  }
  const lastHigh = highs + (n - 1) * width;
  for (let x = 0; x < width; x += 1) data[out + width + x] = (half[lastHigh + x]! << 1) + data[out + x]!;
}

/** The last level where all its high bands are zero: even samples are LL's, odd ones lie between. */
function interpolateLevel(data: Int16Array): void {
  const n = 32;
  let low = 3072;
  let out = 0;
  for (let row = 0; row < n; row += 1) {
    let even = data[low]!;
    for (let i = 1; i < n; i += 1) {
      const next = data[low + i]!;
      half[out] = even;
      half[out + 1] = (even + next) >> 1;
      out += 2;
      even = next;
    }
    half[out] = even;
    half[out + 1] = even;
    out += 2;
    low += n;
  }
  for (let row = 0; row < n; row += 1) {
    const from = row * 64;
    const below = row + 1 < n ? from + 64 : from;
    const to = row * 128;
    for (let x = 0; x < 64; x += 1) {
      const even = half[from + x]!;
      data[to + x] = even;
      data[to + 64 + x] = (even + half[below + x]!) >> 1;
    }
  }
}
