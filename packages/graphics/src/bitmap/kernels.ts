/**
 * Run lengths and colours of planar bitmaps, NSCodec and interleaved RLE in WebAssembly, up to sixteen samples at a time. They do
 * what `planar.ts`, `nscodec.ts`, `ycocg.ts` and `interleaved.ts` do in JavaScript; a test holds them to that. What they refuse is
 * decoded again there, for its error.
 *
 * All write up to 64 bytes past what they are asked for, and read as far: callers leave room behind every area.
 */
import {
  block,
  type Code,
  doWhile,
  i8x16,
  i16x8,
  i32,
  ifElse,
  interleaveHigh,
  interleaveLow,
  type Local,
  returnValue,
  select,
  v128,
  type WasmFunction,
  wasmFunction,
  wasmModule,
  when,
  whileLoop,
} from '@lucid-sessions/wire/wasm';
import { interleaved } from './interleaved-kernel.ts';

/** Bytes that may be read and written behind an area. */
export const slackBytes = 64;
/** 256 words. */
export const paletteOffset = 0;
/** One row of a plane before differences are added up. */
const rowOffset = 1024;
/** What the caller puts areas from. */
export const areasOffset = 0x10000;

const { const: int } = i32;
const next = (variable: Local, by: number | Code): Code =>
  variable.set(i32.add(variable.get, typeof by === 'number' ? int(by) : by));
const fail = returnValue(int(-1));

/** planarPlane(at, end, to, width, height): where its run lengths end, or −1. [MS-RDPEGDI] 2.2.2.5.1.1. */
function planarPlane(): WasmFunction {
  const parameters = ['at', 'end', 'to', 'width', 'height'] as const;
  const i32s = ['out', 'rowEnd', 'control', 'raw', 'run', 'value', 'i', 'row'] as const;
  return wasmFunction(
    'planarPlane',
    { parameters, i32: i32s, v128: ['bytes'] },
    ({ at, end, to, width, height, out, rowEnd, control, raw, run, value, i, row, bytes }) => {
      const segment = block(
        when(i32.geU(at.get, end.get), fail),
        control.set(i32.load8U(at.get)),
        next(at, 1),
        raw.set(i32.shrU(control.get, int(4))),
        run.set(i32.and(control.get, int(15))),
        // Runs of 1 and 2 say that the other four bits are a run's too.
        when(
          i32.ltU(i32.sub(run.get, int(1)), int(2)),
          block(run.set(i32.add(i32.shl(run.get, int(4)), raw.get)), raw.set(int(0))),
        ),
        when(i32.gtU(raw.get, i32.sub(end.get, at.get)), fail),
        when(i32.gtU(i32.add(raw.get, run.get), i32.sub(rowEnd.get, out.get)), fail),
        v128.store(out.get, v128.load(at.get)),
        next(at, raw.get),
        next(out, raw.get),
        value.set(select(raw.get, i32.load8U(i32.sub(at.get, int(1))), value.get)),
        bytes.set(i8x16.splat(value.get)),
        v128.store(out.get, bytes.get),
        when(i32.gtU(run.get, int(16)), block(v128.store(out.get, bytes.get, 16), v128.store(out.get, bytes.get, 32))),
        next(out, run.get),
      );
      // A difference has its sign in the lowest bit. The first row has none.
      const coded = v128.load(i32.add(int(rowOffset), i.get));
      const difference = v128.xor(
        i8x16.shrU(bytes.get, int(1)),
        i8x16.sub(v128.const(zeros), v128.and(bytes.get, i8x16.splat(int(1)))),
      );
      const above = v128.load(i32.sub(i32.add(to.get, i.get), width.get));
      return block(
        doWhile(
          block(
            out.set(int(rowOffset)),
            rowEnd.set(i32.add(out.get, width.get)),
            value.set(int(0)),
            whileLoop(i32.ltU(out.get, rowEnd.get), segment),
            i.set(int(0)),
            doWhile(
              block(
                bytes.set(coded),
                when(row.get, bytes.set(i8x16.add(above, difference))),
                v128.store(i32.add(to.get, i.get), bytes.get),
                next(i, 16),
              ),
              i32.ltU(i.get, width.get),
            ),
            next(to, width.get),
            next(row, 1),
          ),
          i32.ltU(row.get, height.get),
        ),
        at.get,
      );
    },
    true,
  );
}

const zeros = new Array<number>(16).fill(0);
const bytesLow = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
const bytesHigh = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
const twice = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7];

interface Channels {
  readonly red: Local;
  readonly green: Local;
  readonly blue: Local;
  readonly alpha: Local;
}

/** Stores sixteen pixels; `first` and `second` are scratch. */
function storePixels(out: Code, { red, green, blue, alpha }: Channels, first: Local, second: Local): Code {
  const half = (bytes: readonly number[], at: number): Code =>
    block(
      first.set(v128.shuffle(red.get, green.get, bytes)),
      second.set(v128.shuffle(blue.get, alpha.get, bytes)),
      v128.store(out, v128.shuffle(first.get, second.get, interleaveLow), at),
      v128.store(out, v128.shuffle(first.get, second.get, interleaveHigh), at + 16),
    );
  return block(half(bytesLow, 0), half(bytesHigh, 32));
}

/**
 * joinPlanes(red, green, blue, alpha, opaque, to, width, height, flip): pixels of four planes. `opaque` 255 overrides alpha, 0 keeps it.
 * Rows are written downwards, so that what is written past a row is written over; with `flip` 1 they are read upwards.
 */
function joinPlanes(): WasmFunction {
  const parameters = ['redAt', 'greenAt', 'blueAt', 'alphaAt', 'opaque', 'to', 'width', 'height', 'flip'] as const;
  const v128s = ['red', 'green', 'blue', 'alpha', 'first', 'second'] as const;
  return wasmFunction(
    'joinPlanes',
    { parameters, i32: ['row', 'i', 'x'], v128: v128s },
    ({ redAt, greenAt, blueAt, alphaAt, opaque, to, width, height, flip, row, i, x, ...vectors }) => {
      const { red, green, blue, alpha, first, second } = vectors;
      const sample = (plane: Local): Code => v128.load(i32.add(plane.get, i.get));
      return doWhile(
        block(
          i.set(i32.mul(width.get, select(flip.get, i32.sub(i32.sub(height.get, int(1)), row.get), row.get))),
          x.set(int(0)),
          doWhile(
            block(
              red.set(sample(redAt)),
              green.set(sample(greenAt)),
              blue.set(sample(blueAt)),
              alpha.set(v128.or(sample(alphaAt), i8x16.splat(opaque.get))),
              storePixels(i32.add(to.get, i32.shl(x.get, int(2))), { red, green, blue, alpha }, first, second),
              next(i, 16),
              next(x, 16),
            ),
            i32.ltU(x.get, width.get),
          ),
          next(to, i32.shl(width.get, int(2))),
          next(row, 1),
        ),
        i32.ltU(row.get, height.get),
      );
    },
  );
}

/**
 * joinYCoCg(luma, orange, green, alpha, opaque, to, width, height, flip, lumaStride, chromaStride, half, shift, swap): as `joinPlanes`.
 * `half` 1: chroma has half the width and height. `shift`: of the chroma's bits. `swap` 1: orange chroma counts from blue to red.
 */
function joinYCoCg(): WasmFunction {
  const parameters = [
    ...(['lumaAt', 'orangeAt', 'greenAt', 'alphaAt', 'opaque', 'to', 'width', 'height', 'flip'] as const),
    ...(['lumaStride', 'chromaStride', 'half', 'shift', 'swap'] as const),
  ] as const;
  const v128s = ['red', 'green', 'blue', 'alpha', 'co', 'cg', 'y', 'rest', 'color', 'first', 'second'] as const;
  return wasmFunction(
    'joinYCoCg',
    { parameters, i32: ['row', 'x', 'from', 'lumaRow', 'chromaRow', 'alphaRow'], v128: v128s },
    (locals) => {
      const { lumaAt, orangeAt, greenAt, alphaAt, opaque, to, width, height, flip, lumaStride, chromaStride } = locals;
      const { half, shift, swap, row, x, from, lumaRow, chromaRow, alphaRow } = locals;
      const { red, green, blue, alpha, co, cg, y, rest, color, first, second } = locals;
      const column = i32.add(chromaRow.get, i32.shrU(x.get, half.get));
      const chroma = (plane: Local, into: Local): Code =>
        block(
          ifElse(
            half.get,
            block(
              into.set(v128.load64Zero(i32.add(plane.get, column))),
              into.set(v128.shuffle(into.get, into.get, twice)),
            ),
            into.set(v128.load(i32.add(plane.get, column))),
          ),
          into.set(i8x16.shl(into.get, shift.get)),
        );
      type Widen = (value: Code) => Code;
      const channelsOf = (unsigned: Widen, signed: Widen, join: (into: Local, value: Code) => Code): Code =>
        block(
          y.set(unsigned(color.get)),
          join(green, i16x8.add(y.get, signed(cg.get))),
          rest.set(i16x8.sub(y.get, signed(cg.get))),
          join(red, i16x8.add(rest.get, signed(co.get))),
          join(blue, i16x8.sub(rest.get, signed(co.get))),
        );
      return doWhile(
        block(
          from.set(select(flip.get, i32.sub(i32.sub(height.get, int(1)), row.get), row.get)),
          lumaRow.set(i32.add(lumaAt.get, i32.mul(from.get, lumaStride.get))),
          alphaRow.set(i32.add(alphaAt.get, i32.mul(from.get, width.get))),
          chromaRow.set(i32.mul(i32.shrU(from.get, half.get), chromaStride.get)),
          x.set(int(0)),
          doWhile(
            block(
              chroma(orangeAt, co),
              chroma(greenAt, cg),
              color.set(v128.load(i32.add(lumaRow.get, x.get))),
              channelsOf(i16x8.extendLowI8x16U, i16x8.extendLowI8x16S, (into, value) => into.set(value)),
              // Narrowing clamps.
              channelsOf(i16x8.extendHighI8x16U, i16x8.extendHighI8x16S, (into, value) =>
                into.set(i8x16.narrowI16x8U(into.get, value)),
              ),
              when(swap.get, block(first.set(red.get), red.set(blue.get), blue.set(first.get))),
              alpha.set(v128.or(v128.load(i32.add(alphaRow.get, x.get)), i8x16.splat(opaque.get))),
              storePixels(i32.add(to.get, i32.shl(x.get, int(2))), { red, green, blue, alpha }, first, second),
              next(x, 16),
            ),
            i32.ltU(x.get, width.get),
          ),
          next(to, i32.shl(width.get, int(2))),
          next(row, 1),
        ),
        i32.ltU(row.get, height.get),
      );
    },
  );
}

/** nsCodecPlane(at, end, to, planeBytes): 0, or −1. [MS-RDPNSC] 2.2.2.1, of a plane of four bytes or more. */
function nsCodecPlane(): WasmFunction {
  const parameters = ['at', 'end', 'to', 'planeBytes'] as const;
  return wasmFunction(
    'nsCodecPlane',
    { parameters, i32: ['segmentsEnd', 'count', 'limit', 'out'], v128: ['bytes'] },
    ({ at, end, to, planeBytes, segmentsEnd, count, limit, out, bytes }) => {
      const pairs = i8x16.bitmask(i8x16.eq(bytes.get, v128.load(at.get, 1)));
      const least = (a: Local, b: Code): Code =>
        block(limit.set(b), a.set(select(i32.ltU(limit.get, a.get), limit.get, a.get)));
      const run = block(
        when(i32.geU(i32.add(at.get, int(2)), end.get), fail),
        bytes.set(v128.load8Splat(at.get)),
        count.set(i32.add(i32.load8U(at.get, 2), int(2))),
        next(at, 3),
        // A factor of 255: the length follows in four bytes.
        when(
          i32.eq(count.get, int(0xff + 2)),
          block(when(i32.gtU(i32.add(at.get, int(4)), end.get), fail), count.set(i32.load(at.get)), next(at, 4)),
        ),
        when(i32.gtU(count.get, i32.sub(segmentsEnd.get, to.get)), fail),
        out.set(to.get),
        next(to, count.get),
        doWhile(block(v128.store(out.get, bytes.get), next(out, 16)), i32.ltU(out.get, to.get)),
      );
      return block(
        segmentsEnd.set(i32.add(to.get, i32.sub(planeBytes.get, int(4)))),
        whileLoop(
          i32.ltU(to.get, segmentsEnd.get),
          block(
            when(i32.geU(i32.add(at.get, int(1)), end.get), fail),
            bytes.set(v128.load(at.get)),
            // Bytes before the first that equals its follower are literals; so is the last before the end data, whatever follows.
            count.set(i32.ctz(i32.or(pairs, int(0x10000)))),
            when(i32.eq(to.get, i32.sub(segmentsEnd.get, int(1))), count.set(int(1))),
            least(count, i32.sub(segmentsEnd.get, to.get)),
            least(count, i32.sub(i32.sub(end.get, int(1)), at.get)),
            ifElse(count.get, block(v128.store(to.get, bytes.get), next(at, count.get), next(to, count.get)), run),
          ),
        ),
        when(i32.gtU(i32.add(at.get, int(4)), end.get), fail),
        i32.store(to.get, i32.load(at.get)),
        int(0),
      );
    },
    true,
  );
}

export interface BitmapKernels {
  readonly memory: WebAssembly.Memory;
  planarPlane(at: number, end: number, to: number, width: number, height: number): number;
  joinPlanes(...parameters: readonly number[]): void;
  joinYCoCg(...parameters: readonly number[]): void;
  nsCodecPlane(at: number, end: number, to: number, planeBytes: number): number;
  interleaved8(at: number, end: number, to: number, width: number, pixels: number, white: number): number;
  interleaved16(at: number, end: number, to: number, width: number, pixels: number, white: number): number;
  interleaved24(at: number, end: number, to: number, width: number, pixels: number, white: number): number;
  nativeRows8(from: number, to: number, width: number, height: number): void;
  nativeRows15(from: number, to: number, width: number, height: number): void;
  nativeRows16(from: number, to: number, width: number, height: number): void;
  nativeRows24(from: number, to: number, width: number, height: number): void;
}

/** The compiled kernels, or null where WebAssembly or its SIMD is missing or not allowed. */
export function loadBitmapKernels(): BitmapKernels | null {
  try {
    const functions = [planarPlane(), joinPlanes(), joinYCoCg(), nsCodecPlane(), ...interleaved(paletteOffset)];
    const module = new WebAssembly.Module(wasmModule(functions, 2));
    return new WebAssembly.Instance(module).exports as unknown as BitmapKernels;
  } catch {
    return null;
  }
}
