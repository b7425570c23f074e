/**
 * YUV to RGB sixteen pixels at a time, for rows of at most `stripPixelsMax`. They compute what the functions of `yuv-to-rgb.ts` do in
 * JavaScript; a test holds them to that.
 */
import {
  block,
  type Code,
  doWhile,
  i8x16,
  i16x8,
  i32,
  interleaveHigh,
  interleaveLow,
  type Local,
  local,
  v128,
  type WasmFunction,
  wasmModule,
} from '@lucid-sessions/wire/wasm';

export const stripPixelsMax = 2048;

/** Where rows lie in the module's memory, in bytes; reads may run up to 17 bytes past a row. */
const rowBytes = stripPixelsMax + 64;
export const rowOffsets = { y: 0, u: rowBytes, v: 2 * rowBytes, nextU: 3 * rowBytes, nextV: 4 * rowBytes };
export const rgbaOffset = 5 * rowBytes;

const bytesLow = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
const bytesHigh = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
const twiceLow = [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7];
const twiceHigh = [8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 15, 14, 15];

const splat = (value: number): Code => i16x8.splat(i32.const(value));
const opaque = v128.const(new Array(16).fill(255));
const evenLanes = v128.const([255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0]);

/**
 * What chroma adds to a pixel's luma, `u` and `v` less 128. The factors of [MS-RDPEGFX] 3.3.8.3.1 without the whole numbers in
 * them, so that products fit 16 bits: 403/256 = 1 + 147/256, 475/256 = 1 + 219/256.
 */
const redOf = (v: Code): Code => i16x8.add(v, i16x8.shrS(i16x8.mul(v, splat(147)), i32.const(8)));
const greenOf = (u: Code, v: Code): Code =>
  i16x8.shrS(i16x8.sub(i16x8.mul(u, splat(-48)), i16x8.mul(v, splat(120))), i32.const(8));
const blueOf = (u: Code): Code => i16x8.add(u, i16x8.shrS(i16x8.mul(u, splat(219)), i32.const(8)));

interface Channels {
  readonly red: Local;
  readonly green: Local;
  readonly blue: Local;
}

/** Stores sixteen pixels of RGBA at four times `i` from three vectors of bytes; `first` and `second` are scratch. */
function storePixels(i: Local, { red, green, blue }: Channels, first: Local, second: Local): Code {
  const out = i32.add(i32.const(rgbaOffset), i32.shl(i.get, i32.const(2)));
  const half = (bytes: readonly number[], at: number): Code =>
    block(
      first.set(v128.shuffle(red.get, green.get, bytes)),
      second.set(v128.shuffle(blue.get, opaque, bytes)),
      v128.store(i32.add(out, i32.const(at)), v128.shuffle(first.get, second.get, interleaveLow)),
      v128.store(i32.add(out, i32.const(at + 16)), v128.shuffle(first.get, second.get, interleaveHigh)),
    );
  return block(half(bytesLow, 0), half(bytesHigh, 32));
}

const loadAt = (offset: number, i: Code): Code => v128.load(i32.add(i32.const(offset), i));

/** row420(pixels): chroma rows are half as long. */
function row420(): WasmFunction {
  const [pixels, i, u, v, yLow, yHigh, red, green, blue, first, second] = locals(11);
  const halfOf = i32.shrS(i!.get, i32.const(1));
  const chroma = (offset: number): Code => i16x8.sub(i16x8.extendLowI8x16U(loadAt(offset, halfOf)), splat(128));
  const channel = (variable: Local, added: Code): Code =>
    block(
      first!.set(added),
      variable.set(
        i8x16.narrowI16x8U(
          i16x8.add(yLow!.get, v128.shuffle(first!.get, first!.get, twiceLow)),
          i16x8.add(yHigh!.get, v128.shuffle(first!.get, first!.get, twiceHigh)),
        ),
      ),
    );
  const body = doWhile(
    block(
      u!.set(chroma(rowOffsets.u)),
      v!.set(chroma(rowOffsets.v)),
      first!.set(loadAt(rowOffsets.y, i!.get)),
      yLow!.set(i16x8.extendLowI8x16U(first!.get)),
      yHigh!.set(i16x8.extendHighI8x16U(first!.get)),
      channel(red!, redOf(v!.get)),
      channel(green!, greenOf(u!.get, v!.get)),
      channel(blue!, blueOf(u!.get)),
      storePixels(i!, { red: red!, green: green!, blue: blue! }, first!, second!),
      i!.set(i32.add(i!.get, i32.const(16))),
    ),
    i32.ltU(i!.get, pixels!.get),
  );
  return { name: 'row420', parametersCount: 1, i32LocalsCount: 1, v128LocalsCount: 9, body };
}

/** row444(pixels), and rowFiltered444(pixels) for even rows, whose even pixels hold the mean of their block: `unfiltered`. */
function row444(filtered: boolean): WasmFunction {
  const [pixels, i, u, v, lowRed, lowGreen, lowBlue, red, green, blue, average, value] = locals(12);
  const at = (offset: number, half: number, by = 0): Code => {
    const bytes = loadAt(offset + by, i!.get);
    return half === 0 ? i16x8.extendLowI8x16U(bytes) : i16x8.extendHighI8x16U(bytes);
  };
  const chroma = (target: Local, plane: number, nextPlane: number, half: number): Code => {
    if (!filtered) return target.set(i16x8.sub(at(plane, half), splat(128)));
    const others = i16x8.add(at(plane, half, 1), i16x8.add(at(nextPlane, half), at(nextPlane, half, 1)));
    const isFar = i16x8.ltS(splat(29), i16x8.abs(i16x8.sub(value!.get, average!.get)));
    return block(
      average!.set(at(plane, half)),
      value!.set(i16x8.sub(i16x8.shl(average!.get, i32.const(2)), others)),
      // Clamped to a byte by narrowing and widening again.
      value!.set(i16x8.extendLowI8x16U(i8x16.narrowI16x8U(value!.get, value!.get))),
      value!.set(v128.select(value!.get, average!.get, v128.and(isFar, evenLanes))),
      target.set(i16x8.sub(value!.get, splat(128))),
    );
  };
  const halfOf = (half: number, targets: readonly [Local, Local, Local]): Code =>
    block(
      chroma(u!, rowOffsets.u, rowOffsets.nextU, half),
      chroma(v!, rowOffsets.v, rowOffsets.nextV, half),
      targets[0].set(i16x8.add(at(rowOffsets.y, half), redOf(v!.get))),
      targets[1].set(i16x8.add(at(rowOffsets.y, half), greenOf(u!.get, v!.get))),
      targets[2].set(i16x8.add(at(rowOffsets.y, half), blueOf(u!.get))),
    );
  const body = doWhile(
    block(
      halfOf(0, [lowRed!, lowGreen!, lowBlue!]),
      halfOf(1, [red!, green!, blue!]),
      red!.set(i8x16.narrowI16x8U(lowRed!.get, red!.get)),
      green!.set(i8x16.narrowI16x8U(lowGreen!.get, green!.get)),
      blue!.set(i8x16.narrowI16x8U(lowBlue!.get, blue!.get)),
      storePixels(i!, { red: red!, green: green!, blue: blue! }, average!, value!),
      i!.set(i32.add(i!.get, i32.const(16))),
    ),
    i32.ltU(i!.get, pixels!.get),
  );
  const name = filtered ? 'rowFiltered444' : 'row444';
  return { name, parametersCount: 1, i32LocalsCount: 1, v128LocalsCount: 10, body };
}

const locals = (count: number): Local[] => Array.from({ length: count }, (_, index) => local(index));

/** What the module exports: each makes RGBA at `rgbaOffset` of the rows at `rowOffsets`. */
export interface YuvKernels {
  readonly memory: WebAssembly.Memory;
  row420(pixels: number): void;
  row444(pixels: number): void;
  rowFiltered444(pixels: number): void;
}

/** The compiled kernels, or null where WebAssembly or its SIMD is missing or not allowed. */
export function loadYuvKernels(): YuvKernels | null {
  try {
    const module = new WebAssembly.Module(wasmModule([row420(), row444(false), row444(true)]));
    return new WebAssembly.Instance(module).exports as unknown as YuvKernels;
  } catch {
    return null;
  }
}
