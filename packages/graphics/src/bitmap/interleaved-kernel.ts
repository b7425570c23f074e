/** Interleaved RLE, [MS-RDPBCGR] 3.1.9, four pixels at a time: see `kernels.ts`. */
import {
  block,
  type Code,
  doWhile,
  i16x8,
  i32,
  i32x4,
  ifElse,
  type Local,
  returnValue,
  select,
  v128,
  type WasmFunction,
  wasmFunction,
  when,
  whileLoop,
} from '@lucid-sessions/wire/wasm';

/** A row of four pixels or more: what is above sixteen bytes is written before they are. */
export const interleavedWidthMin = 4;

const { const: int } = i32;
const next = (variable: Local, by: number | Code): Code =>
  variable.set(i32.add(variable.get, typeof by === 'number' ? int(by) : by));
const fail = returnValue(int(-1));
const words = (...values: readonly number[]): Code =>
  v128.const(values.flatMap((value) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24]));

const background = 0;
const foreground = 1;
const image = 2;
const colorRun = 3;
const colorImage = 4;
const dithered = 8;

/**
 * interleaved8, 16 and 24(at, end, to, width, pixels, white): `pixels` native values as words, bottom row first. Returns 0, or −1. A row
 * of any bytes lies before `to`.
 */
function decoder(pixelBytes: 1 | 2 | 3): WasmFunction {
  const parameters = ['at', 'end', 'to', 'width', 'pixels', 'white'] as const;
  const i32s = ['out', 'pixelsEnd', 'stride', 'color', 'insert', 'header', 'kind', 'short', 'count', 'mask'] as const;
  const v128s = ['aboveMask', 'colors', 'value', 'source'] as const;
  return wasmFunction(
    `interleaved${pixelBytes * 8}`,
    { parameters, i32: [...i32s, 'secondRow', 'sets', 'first'], v128: v128s },
    (locals) => {
      const { at, end, to, width, pixels, white, out, pixelsEnd, stride, color, insert } = locals;
      const { header, kind, short, count, mask, secondRow, sets, first, aboveMask, colors, value, source } = locals;
      const need = (bytes: Code): Code => when(i32.gtU(bytes, i32.sub(end.get, at.get)), fail);
      const byte = (into: Local): Code => block(need(int(1)), into.set(i32.load8U(at.get)), next(at, 1));
      const pixelAt =
        pixelBytes === 1
          ? i32.load8U(at.get)
          : pixelBytes === 2
            ? i32.load16U(at.get)
            : i32.or(i32.load16U(at.get), i32.shl(i32.load8U(at.get, 2), int(16)));
      const pixel = (into: Local): Code => block(need(int(pixelBytes)), into.set(pixelAt), next(at, pixelBytes));
      /** Of `count` pixels: where they end. */
      const take = block(
        when(i32.gtU(count.get, i32.shrU(i32.sub(pixelsEnd.get, out.get), int(2))), fail),
        to.set(i32.add(out.get, i32.shl(count.get, int(2)))),
      );
      const above = (offset = 0): Code => v128.and(v128.load(i32.sub(out.get, stride.get), offset), aboveMask.get);
      /** Writes vectors up to `to`, the last of them maybe past it. */
      const fill = (vector: Code): Code =>
        block(whileLoop(i32.ltU(out.get, to.get), block(v128.store(out.get, vector), next(out, 16))), out.set(to.get));
      const setColor = (from: Code): Code => block(color.set(from), colors.set(i32x4.splat(color.get)));

      /** Pixels of the mask's bits, lowest first; 4 and 4. */
      const masked = (offset: number, bits: Code): Code =>
        v128.store(
          out.get,
          v128.xor(above(offset), v128.and(colors.get, i32x4.eq(v128.and(i32x4.splat(mask.get), bits), bits))),
          offset,
        );
      const maskedPixels = block(masked(0, words(1, 2, 4, 8)), masked(16, words(16, 32, 64, 128)));
      const drawBackground = block(
        take,
        // A background run after another begins with one foreground pixel.
        when(
          i32.and(insert.get, i32.ne(count.get, int(0))),
          block(v128.store(out.get, v128.xor(above(), colors.get)), next(out, 4)),
        ),
        fill(above()),
        insert.set(int(1)),
      );
      const drawImage = block(
        take,
        need(i32.shrU(i32.add(count.get, int(7)), int(3))),
        whileLoop(
          i32.ltU(out.get, to.get),
          block(mask.set(i32.load8U(at.get)), next(at, 1), maskedPixels, next(out, 32)),
        ),
        out.set(to.get),
      );
      const copied =
        pixelBytes === 1
          ? block(
              value.set(i16x8.extendLowI8x16U(v128.load64Zero(at.get))),
              v128.store(out.get, i32x4.extendLowI16x8U(value.get)),
              v128.store(out.get, i32x4.extendHighI16x8U(value.get), 16),
              next(at, 8),
              next(out, 32),
            )
          : pixelBytes === 2
            ? block(
                value.set(v128.load(at.get)),
                v128.store(out.get, i32x4.extendLowI16x8U(value.get)),
                v128.store(out.get, i32x4.extendHighI16x8U(value.get), 16),
                next(at, 16),
                next(out, 32),
              )
            : block(
                value.set(v128.load(at.get)),
                v128.store(
                  out.get,
                  v128.shuffle(value.get, words(0, 0, 0, 0), [0, 1, 2, 16, 3, 4, 5, 16, 6, 7, 8, 16, 9, 10, 11, 16]),
                ),
                next(at, 12),
                next(out, 16),
              );
      const drawColorImage = block(
        take,
        // No overflow: a run is within the bitmap.
        first.set(i32.mul(count.get, int(pixelBytes))),
        need(first.get),
        next(first, at.get),
        whileLoop(i32.ltU(out.get, to.get), copied),
        out.set(to.get),
        at.set(first.get),
      );
      const drawDithered = block(
        pixel(first),
        pixel(mask),
        source.set(
          v128.shuffle(
            i32x4.splat(first.get),
            i32x4.splat(mask.get),
            [0, 1, 2, 3, 16, 17, 18, 19, 0, 1, 2, 3, 16, 17, 18, 19],
          ),
        ),
        count.set(i32.shl(count.get, int(1))),
        take,
        fill(source.get),
      );
      const drawColorRun = block(pixel(first), source.set(i32x4.splat(first.get)), take, fill(source.get));
      const isKind = (one: number): Code => i32.eq(kind.get, int(one));
      const draw = block(
        when(sets.get, block(pixel(first), setColor(first.get))),
        ifElse(
          isKind(background),
          drawBackground,
          block(
            insert.set(int(0)),
            ifElse(
              isKind(colorImage),
              drawColorImage,
              ifElse(
                isKind(foreground),
                block(take, fill(v128.xor(above(), colors.get))),
                ifElse(
                  isKind(image),
                  drawImage,
                  ifElse(isKind(colorRun), drawColorRun, ifElse(isKind(dithered), drawDithered, fail)),
                ),
              ),
            ),
          ),
        ),
      );
      /** Zero means that a byte follows. */
      const length = (base: number): Code =>
        ifElse(
          short.get,
          count.set(select(isKind(image), i32.shl(short.get, int(3)), short.get)),
          block(byte(count), next(count, select(isKind(image), int(1), int(base)))),
        );
      const regular = block(
        kind.set(i32.shrU(header.get, int(5))),
        short.set(i32.and(header.get, int(0x1f))),
        sets.set(int(0)),
        length(32),
        draw,
      );
      // 0xC, 0xD and 0xE: foreground and image that set their colour, and dithered.
      const lite = block(
        kind.set(i32.add(i32.sub(i32.shrU(header.get, int(4)), int(0x0c)), int(foreground))),
        sets.set(int(1)),
        when(i32.eq(kind.get, int(3)), block(kind.set(int(dithered)), sets.set(int(0)))),
        short.set(i32.and(header.get, int(0x0f))),
        length(16),
        draw,
      );
      const extended = block(
        kind.set(i32.sub(header.get, int(0xf0))),
        sets.set(i32.eq(i32.and(kind.get, int(0xe)), int(6))),
        when(sets.get, kind.set(i32.sub(kind.get, int(5)))),
        need(int(2)),
        count.set(i32.load16U(at.get)),
        next(at, 2),
        draw,
      );
      const eight = (bits: number): Code =>
        block(count.set(int(8)), take, mask.set(int(bits)), maskedPixels, out.set(to.get));
      const single = (word: Code): Code => block(count.set(int(1)), take, i32.store(out.get, word), out.set(to.get));
      const isHeader = (one: number): Code => i32.eq(header.get, int(one));
      const special = block(
        insert.set(int(0)),
        ifElse(
          isHeader(0xf9),
          eight(0x03),
          ifElse(
            isHeader(0xfa),
            eight(0x05),
            ifElse(isHeader(0xfd), single(white.get), ifElse(isHeader(0xfe), single(int(0)), fail)),
          ),
        ),
      );
      const order = block(
        // Decided once an order, also for a run that leaves the first row.
        when(
          i32.and(i32.eqz(secondRow.get), i32.geU(out.get, pixels.get)),
          block(secondRow.set(int(1)), insert.set(int(0)), aboveMask.set(i32x4.splat(int(-1)))),
        ),
        header.set(i32.load8U(at.get)),
        next(at, 1),
        ifElse(
          i32.ltU(header.get, int(0xc0)),
          regular,
          ifElse(i32.ltU(header.get, int(0xf0)), lite, ifElse(i32.ltU(header.get, int(0xf9)), extended, special)),
        ),
      );
      return block(
        out.set(to.get),
        stride.set(i32.shl(width.get, int(2))),
        pixelsEnd.set(i32.add(to.get, i32.shl(pixels.get, int(2)))),
        // From here on: where the second row begins.
        pixels.set(i32.add(to.get, stride.get)),
        setColor(white.get),
        whileLoop(i32.ltU(at.get, end.get), order),
        when(i32.ltU(out.get, pixelsEnd.get), fail),
        int(0),
      );
    },
    true,
  );
}

/** nativeRows8, 15, 16 and 24(from, to, width, height): pixel words of native values, last row first. */
function rows(depth: 8 | 15 | 16 | 24, paletteOffset: number): WasmFunction {
  return wasmFunction(
    `nativeRows${depth}`,
    { parameters: ['from', 'to', 'width', 'height'], i32: ['i', 'rowBytes'], v128: ['native'] },
    ({ from, to, width, height, i, rowBytes, native }) => {
      const shifted = (by: number): Code =>
        by < 0 ? i32x4.shrU(native.get, int(-by)) : i32x4.shl(native.get, int(by));
      const bits = (by: number, mask: number): Code => v128.and(shifted(by), i32x4.splat(int(mask)));
      const or = (...parts: readonly Code[]): Code => parts.reduce((a, b) => v128.or(a, b));
      const opaque = i32x4.splat(int(0xff000000 | 0));
      // Five or six bits to eight, the high ones again below.
      const blue = or(bits(19, 0xf80000), bits(14, 0x070000));
      const colors = {
        15: () => or(opaque, bits(-7, 0xf8), bits(-12, 0x07), bits(6, 0xf800), bits(1, 0x0700), blue),
        16: () => or(opaque, bits(-8, 0xf8), bits(-13, 0x07), bits(5, 0xfc00), bits(-1, 0x0300), blue),
        24: () =>
          or(opaque, v128.shuffle(native.get, native.get, [2, 1, 0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15])),
      };
      const vector =
        depth === 8
          ? []
          : block(
              native.set(v128.load(i32.add(from.get, i.get))),
              v128.store(i32.add(to.get, i.get), colors[depth]()),
              next(i, 16),
            );
      const lookedUp = block(
        i32.store(
          i32.add(to.get, i.get),
          i32.load(i32.shl(i32.and(i32.load(i32.add(from.get, i.get)), int(0xff)), int(2)), paletteOffset),
        ),
        next(i, 4),
      );
      return block(
        rowBytes.set(i32.shl(width.get, int(2))),
        next(from, i32.mul(rowBytes.get, height.get)),
        doWhile(
          block(
            from.set(i32.sub(from.get, rowBytes.get)),
            i.set(int(0)),
            doWhile(depth === 8 ? lookedUp : vector, i32.ltU(i.get, rowBytes.get)),
            next(to, rowBytes.get),
            height.set(i32.sub(height.get, int(1))),
          ),
          height.get,
        ),
      );
    },
  );
}

export function interleaved(paletteOffset: number): WasmFunction[] {
  const depths = [8, 15, 16, 24] as const;
  return [decoder(1), decoder(2), decoder(3), ...depths.map((depth) => rows(depth, paletteOffset))];
}
