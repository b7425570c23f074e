/**
 * The inverse wavelet transforms and the colour conversion of RemoteFX, eight samples at a time. They compute what `dwt.ts`,
 * `../progressive/reduce-extrapolate-dwt.ts` and `color.ts` compute; a test holds them to that.
 */
import {
  block,
  type Code,
  doWhile,
  i8x16,
  i16x8,
  i32,
  i32x4,
  ifElse,
  interleaveHigh,
  interleaveLow,
  local,
  v128,
  type WasmFunction,
  wasmModule,
} from '@lucid-sessions/wire/wasm';

/** Where things lie in the module's memory, in bytes. Reads may run up to 16 bytes past a plane. */
export const planeOffsets = [0, 8256, 16_512] as const;
const halfOffset = 24_768;
const rowOffset = 33_024;
export const pixelsOffset = 33_280;

const one = i32.const(1);
const two = i32.const(2);
const eight = i32.const(8);
const sixteen = i32.const(16);
const twice = (value: Code) => i32.shl(value, one);
const next = (variable: ReturnType<typeof local>, step: Code) => variable.set(i32.add(variable.get, step));
const splat1 = i16x8.splat(one);
/** ⌊(a + b + 1) / 2⌋ and ⌊(a + b) / 2⌋ in 16 bits, which the transform's values leave room for. */
const roundedMean = (a: Code, b: Code) => i16x8.shrS(i16x8.add(i16x8.add(a, b), splat1), one);
const mean = (a: Code, b: Code) => i16x8.shrS(i16x8.add(a, b), one);
const doubled = (value: Code) => i16x8.shl(value, one);
/** Lanes 0, 0, 1, 2, … 6: the high value before the first is its mirror. */
const mirroredBytes = [0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];

/**
 * horizontal(low, high, target, lowCount, highCount, rows): joins rows of low and high values. Evens of a row go to a scratch row
 * first, so that odds can read their right neighbours.
 */
function horizontal(): WasmFunction {
  const [low, high, target, lowCount, highCount, rows] = [0, 1, 2, 3, 4, 5].map(local) as Local6;
  const [i, last, tail, at] = [6, 7, 8, 9].map(local) as Local4;
  const [h, even] = [10, 11].map(local) as Local2;
  const row = i32.const(rowOffset);
  const highEnd = twice(highCount.get);
  const readLow = (offset: Code) => i32.load16S(i32.add(low.get, offset));
  // The even sample after the last high value: see the callers for the three kinds of bands.
  const setTail = ifElse(
    i32.eq(lowCount.get, highCount.get),
    tail.set(i32.load16S(i32.add(row, i32.sub(highEnd, two)))),
    ifElse(
      i32.eq(lowCount.get, i32.add(highCount.get, one)),
      tail.set(i32.sub(readLow(highEnd), last.get)),
      tail.set(i32.sub(readLow(highEnd), i32.shrS(i32.add(last.get, one), one))),
    ),
  );
  const evens = (before: Code) => i16x8.sub(v128.load(i32.add(low.get, i.get)), roundedMean(before, h.get));
  const body = doWhile(
    block(
      h.set(v128.load(high.get)),
      i.set(i32.const(0)),
      v128.store(row, evens(v128.shuffle(h.get, h.get, mirroredBytes))),
      i.set(sixteen),
      ifElse(
        i32.ltU(i.get, highEnd),
        doWhile(
          block(
            h.set(v128.load(i32.add(high.get, i.get))),
            v128.store(i32.add(row, i.get), evens(v128.load(i32.sub(i32.add(high.get, i.get), two)))),
            next(i, sixteen),
          ),
          i32.ltU(i.get, highEnd),
        ),
        [],
      ),
      last.set(i32.load16S(i32.add(high.get, i32.sub(highEnd, two)))),
      setTail,
      i32.store16(i32.add(row, highEnd), tail.get),
      i.set(i32.const(0)),
      doWhile(
        block(
          even.set(v128.load(i32.add(row, i.get))),
          h.set(
            i16x8.add(
              doubled(v128.load(i32.add(high.get, i.get))),
              mean(even.get, v128.load(i32.add(i32.add(row, i.get), two))),
            ),
          ),
          at.set(i32.add(target.get, twice(i.get))),
          v128.store(at.get, v128.shuffle(even.get, h.get, interleaveLow)),
          v128.store(i32.add(at.get, sixteen), v128.shuffle(even.get, h.get, interleaveHigh)),
          next(i, sixteen),
        ),
        i32.ltU(i.get, highEnd),
      ),
      at.set(i32.add(target.get, twice(highEnd))),
      ifElse(
        i32.eq(lowCount.get, highCount.get),
        [],
        block(
          i32.store16(at.get, tail.get),
          ifElse(
            i32.eq(lowCount.get, i32.add(highCount.get, two)),
            i32.store16(i32.add(at.get, two), i32.shrS(i32.add(tail.get, readLow(i32.add(highEnd, two))), one)),
            [],
          ),
        ),
      ),
      next(low, twice(lowCount.get)),
      next(high, highEnd),
      next(target, twice(i32.add(lowCount.get, highCount.get))),
      rows.set(i32.sub(rows.get, one)),
    ),
    rows.get,
  );
  return { name: 'horizontal', parametersCount: 6, i32LocalsCount: 4, v128LocalsCount: 2, body };
}

/** vertical(target, lowCount, highCount): joins the rows `horizontal` left in the half-way buffer, eight columns at a time. */
function vertical(): WasmFunction {
  const [target, lowCount, highCount] = [0, 1, 2].map(local) as Local3;
  const [x, rowBytes, low, high, out, left] = [3, 4, 5, 6, 7, 8].map(local) as Local6;
  const [h, below, even, nextEven] = [9, 10, 11, 12].map(local) as Local4;
  const half = i32.const(halfOffset);
  const odd = (after: Code) => i16x8.add(doubled(h.get), mean(even.get, after));
  const lastColumn = i32.sub(rowBytes.get, sixteen);
  const tail = ifElse(
    i32.eq(lowCount.get, highCount.get),
    v128.store(out.get, odd(even.get)),
    block(
      nextEven.set(i16x8.sub(v128.load(i32.add(low.get, rowBytes.get)), roundedMean(h.get, below.get))),
      v128.store(out.get, odd(nextEven.get)),
      next(out, rowBytes.get),
      v128.store(out.get, nextEven.get),
      ifElse(
        i32.eq(lowCount.get, i32.add(highCount.get, two)),
        v128.store(
          i32.add(out.get, rowBytes.get),
          mean(nextEven.get, v128.load(i32.add(low.get, twice(rowBytes.get)))),
        ),
        [],
      ),
    ),
  );
  const body = block(
    rowBytes.set(twice(i32.add(lowCount.get, highCount.get))),
    doWhile(
      block(
        // The last columns overlap those before where the width is no multiple of eight.
        ifElse(i32.ltU(lastColumn, x.get), x.set(lastColumn), []),
        low.set(i32.add(half, x.get)),
        high.set(i32.add(low.get, i32.mul(lowCount.get, rowBytes.get))),
        out.set(i32.add(target.get, x.get)),
        h.set(v128.load(high.get)),
        even.set(i16x8.sub(v128.load(low.get), h.get)),
        v128.store(out.get, even.get),
        next(out, rowBytes.get),
        left.set(i32.sub(highCount.get, one)),
        doWhile(
          block(
            next(low, rowBytes.get),
            next(high, rowBytes.get),
            below.set(v128.load(high.get)),
            nextEven.set(i16x8.sub(v128.load(low.get), roundedMean(h.get, below.get))),
            v128.store(out.get, odd(nextEven.get)),
            next(out, rowBytes.get),
            v128.store(out.get, nextEven.get),
            next(out, rowBytes.get),
            even.set(nextEven.get),
            h.set(below.get),
            left.set(i32.sub(left.get, one)),
          ),
          left.get,
        ),
        // Below the last high row lies its mirror, or zero where it was extrapolated.
        ifElse(
          i32.eq(lowCount.get, i32.add(highCount.get, two)),
          below.set(v128.const(new Array(16).fill(0))),
          below.set(h.get),
        ),
        tail,
        next(x, sixteen),
      ),
      i32.ltU(x.get, rowBytes.get),
    ),
  );
  return { name: 'vertical', parametersCount: 3, i32LocalsCount: 6, v128LocalsCount: 4, body };
}

/** colors(): the three planes become 4096 pixel words. */
function colors(): WasmFunction {
  const [i] = [0].map(local) as [ReturnType<typeof local>];
  const [y, cb, cr, red, green, blue] = [1, 2, 3, 4, 5, 6].map(local) as Local6;
  const [redGreen, blueAlpha] = [7, 8].map(local) as Local2;
  const halves = [i32x4.extendLowI16x8S, i32x4.extendHighI16x8S];
  const times = (value: Code, factor: number) => i32x4.mul(value, i32x4.splat(i32.const(factor)));
  const luma = (half: (value: Code) => Code) =>
    i32x4.shl(i32x4.add(half(y.get), i32x4.splat(i32.const(4096))), sixteen);
  const narrow = (channel: (half: (value: Code) => Code) => Code) => {
    const [low, high] = halves.map((half) => i32x4.shrS(channel(half), i32.const(21))) as [Code, Code];
    const words = i16x8.narrowI32x4S(low, high);
    return i8x16.narrowI16x8U(words, words);
  };
  const bytePairs = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
  const load = (plane: number) => v128.load(i32.add(i.get, i32.const(plane)));
  const out = i32.add(i32.const(pixelsOffset), twice(i.get));
  const body = doWhile(
    block(
      y.set(load(planeOffsets[0])),
      cb.set(load(planeOffsets[1])),
      cr.set(load(planeOffsets[2])),
      red.set(narrow((half) => i32x4.add(luma(half), times(half(cr.get), 91_916)))),
      green.set(
        narrow((half) => i32x4.sub(i32x4.sub(luma(half), times(half(cb.get), 22_527)), times(half(cr.get), 46_819))),
      ),
      blue.set(narrow((half) => i32x4.add(luma(half), times(half(cb.get), 115_992)))),
      redGreen.set(v128.shuffle(red.get, green.get, bytePairs)),
      blueAlpha.set(v128.shuffle(blue.get, v128.const(new Array(16).fill(0xff)), bytePairs)),
      v128.store(out, v128.shuffle(redGreen.get, blueAlpha.get, interleaveLow)),
      v128.store(i32.add(out, sixteen), v128.shuffle(redGreen.get, blueAlpha.get, interleaveHigh)),
      next(i, i32.mul(eight, two)),
    ),
    i32.ltU(i.get, i32.const(8192)),
  );
  return { name: 'colors', parametersCount: 0, i32LocalsCount: 1, v128LocalsCount: 8, body };
}

/** shift(from, end, bits): multiplies the samples of whole vectors by a power of two. */
function shift(): WasmFunction {
  const [at, end, bits] = [0, 1, 2].map(local) as Local3;
  const body = doWhile(
    block(v128.store(at.get, i16x8.shl(v128.load(at.get), bits.get)), next(at, sixteen)),
    i32.ltU(at.get, end.get),
  );
  return { name: 'shift', parametersCount: 3, i32LocalsCount: 0, v128LocalsCount: 0, body };
}

type L = ReturnType<typeof local>;
type Local2 = [L, L];
type Local3 = [L, L, L];
type Local4 = [L, L, L, L];
type Local6 = [L, L, L, L, L, L];

/** What the module exports. Counts are samples, positions bytes. */
export interface RfxKernels {
  readonly memory: WebAssembly.Memory;
  horizontal(low: number, high: number, target: number, lowCount: number, highCount: number, rows: number): void;
  vertical(target: number, lowCount: number, highCount: number): void;
  colors(): void;
  /** `end` − `from` is a positive multiple of 16. */
  shift(from: number, end: number, bits: number): void;
}

/** The compiled kernels, or null where WebAssembly or its SIMD is missing or not allowed. */
export function loadRfxKernels(): RfxKernels | null {
  try {
    const module = new WebAssembly.Module(wasmModule([horizontal(), vertical(), colors(), shift()]));
    return new WebAssembly.Instance(module).exports as unknown as RfxKernels;
  } catch {
    return null;
  }
}

/** One level of either transform on the plane at byte `plane`: `at` is the level's first coefficient. */
export function inverseLevelSimd(kernels: RfxKernels, plane: number, at: number, low: number, high: number): void {
  const hl = plane + 2 * at;
  const lh = hl + 2 * high * low;
  const hh = lh + 2 * low * high;
  const ll = hh + 2 * high * high;
  kernels.horizontal(ll, hl, halfOffset, low, high, low);
  kernels.horizontal(lh, hh, halfOffset + 2 * low * (low + high), low, high, high);
  kernels.vertical(hl, low, high);
}
