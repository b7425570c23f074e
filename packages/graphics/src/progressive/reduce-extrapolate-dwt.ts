/**
 * The inverse of the Reduce-Extrapolate transform, [MS-RDPEGFX] 3.2.8.1.2.2: the lifting steps of `../rfx/dwt.ts` over bands
 * of unequal size. Level 1 was made from 65 samples, the last of which was extrapolated: its 32nd high value is zero and
 * isn't sent. Levels 2 and 3 mirror around their 33rd and 17th sample.
 */

const half = new Int16Array(64 * 64);

/** Turns 4096 coefficients in `reduceExtrapolateLayout` into 64 × 64 samples, in place. */
export function inverseReduceExtrapolateDwt(coefficients: Int16Array): void {
  inverseLevel(coefficients, 3807, 9, 8);
  inverseLevel(coefficients, 3007, 17, 16);
  inverseLevel(coefficients, 0, 33, 31);
}

/** Bands HL (high × low), LH, HH, LL at `at` become a square of side low + high at `at`. */
function inverseLevel(data: Int16Array, at: number, low: number, high: number): void {
  const lh = at + high * low;
  const hh = lh + low * high;
  const ll = hh + high * high;
  const width = low + high;
  horizontal(data, ll, at, 0, low, high, low);
  horizontal(data, lh, hh, low * width, low, high, high);
  vertical(data, at, low, high);
}

/** Joins `rows` rows of `low` low and `high` high values into rows of both in `half`. */
function horizontal(
  data: Int16Array,
  lowStart: number,
  highStart: number,
  targetStart: number,
  low: number,
  high: number,
  rows: number,
): void {
  const extrapolated = low === high + 2;
  let from = lowStart;
  let fromHigh = highStart;
  let out = targetStart;
  for (let row = 0; row < rows; row += 1) {
    let h = data[fromHigh]!;
    let even = data[from]! - h;
    for (let i = 1; i < high; i += 1) {
      const next = data[fromHigh + i]!;
      const nextEven = data[from + i]! - ((h + next + 1) >> 1);
      half[out] = even;
      half[out + 1] = (h << 1) + ((even + nextEven) >> 1);
      out += 2;
      even = nextEven;
      h = next;
    }
    const last = data[from + high]! - (extrapolated ? (h + 1) >> 1 : h);
    half[out] = even;
    half[out + 1] = (h << 1) + ((even + last) >> 1);
    half[out + 2] = last;
    out += 3;
    if (extrapolated) {
      half[out] = (last + data[from + high + 1]!) >> 1;
      out += 1;
    }
    from += low;
    fromHigh += high;
  }
}

/** Joins `low` low and `high` high rows in `half` into rows at `at`. */
function vertical(data: Int16Array, at: number, low: number, high: number): void {
  const extrapolated = low === high + 2;
  const width = low + high;
  const highs = low * width;
  for (let x = 0; x < width; x += 1) data[at + x] = half[x]! - half[highs + x]!;
  let out = at;
  for (let row = 1; row <= high; row += 1) {
    const lowRow = row * width;
    const above = highs + lowRow - width;
    // Past the last high row: zero where it was extrapolated, else its mirror.
    const below = row < high ? above + width : above;
    const belowFactor = row === high && extrapolated ? 0 : 1;
    for (let x = 0; x < width; x += 1) {
      const h = half[above + x]!;
      const even = half[lowRow + x]! - ((h + half[below + x]! * belowFactor + 1) >> 1);
      data[out + 2 * width + x] = even;
      data[out + width + x] = (h << 1) + ((data[out + x]! + even) >> 1);
    }
    out += 2 * width;
  }
  if (!extrapolated) return;
  const lastLow = (low - 1) * width;
  for (let x = 0; x < width; x += 1) data[out + width + x] = (data[out + x]! + half[lastLow + x]!) >> 1;
}
