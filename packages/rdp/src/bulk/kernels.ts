/**
 * The inner loops of RDP 4.0, 5.0 and 6.0 bulk decompression in WebAssembly. They do what `mppc.ts` and `ncrush.ts` do in
 * JavaScript; a test holds them to that, errors included.
 *
 * Codes are read from windows of 57 bits: one holds a whole match. Matches are copied in pieces of up to 16 bytes, but never past
 * their end: what an earlier round left behind it may still be referred to.
 */
import {
  block,
  type Code,
  doWhile,
  i8x16,
  i32,
  i64,
  ifElse,
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
import { canonicalLookup } from './huffman.ts';
import { type DistanceCode, distanceCode8K, distanceCode64K } from './mppc-codes.ts';
import * as ncrushTables from './ncrush-tables.ts';

/** Longer input is decoded without the kernels. */
export const inputBytesMax = 0x10000;
export const slotBytes = 0x10000;
/** Histories that may be in the kernels' memory at a time. Pages never touched cost nothing. */
export const slotsCount = 64;

/** Where things lie in the module's memory, in bytes; reads may run up to 15 bytes past any of them. */
const patternsOffset = 0;
const masksOffset = 256;
const distances64KOffset = masksOffset + 17 * 16;
const distances8KOffset = distances64KOffset + 32;
const stepsOffset = distances8KOffset + 32;
/** NCRUSH: 32 words each. */
const copyOffsetsOffset = 1024;
const matchClassesOffset = copyOffsetsOffset + 128;
/** The last four copy-offsets, read and written by `ncrush`. */
export const offsetCacheOffset = matchClassesOffset + 128;
const matchLookupOffset = 2048;
const literalLookupOffset = 4096;
/** Zeros follow the input on the side its bits end. */
export const inputOffset = 0x6000;
const reversedOffset = inputOffset + inputBytesMax + 64;
export const slotsOffset = 0x30000;
const pagesCount = (slotsOffset + slotsCount * slotBytes) / 0x10000 + 1;

/** Results below zero. */
export const bulkFailures = {
  truncated: -1,
  historyOverrun: -2,
  matchOverrun: -3,
  badLengthPrefix: -4,
  badSymbol: -5,
  badLengthClass: -6,
} as const;

const { const: int } = i32;
const fail = (failure: keyof typeof bulkFailures): Code => returnValue(int(bulkFailures[failure]));
const next = (variable: Local, by: Code): Code => variable.set(i32.add(variable.get, by));
const wide = i64.extendI32U;

interface CopyLocals {
  readonly history: Local;
  readonly offset: Local;
  readonly distance: Local;
  readonly length: Local;
  readonly from: Local;
  readonly to: Local;
  readonly bytes: Local;
}

/**
 * A match, `distance` back from `offset`: as `copyMatch`. Leaves `offset` behind it. `mask` is the history's length less one.
 */
function copyMatchCode({ history, offset, distance, length, from, to, bytes }: CopyLocals, mask: number): Code {
  const pieces = (count: number, load: (at: Code) => Code, store: (at: Code, value: Code) => Code): Code => {
    const end = (at: Local): Code => i32.sub(i32.add(at.get, length.get), int(count));
    // Both are read before either is written.
    return [...to.get, ...load(from.get), ...end(to), ...load(end(from)), ...store([], []), ...store([], [])];
  };
  const short = ifElse(
    i32.geU(length.get, int(8)),
    pieces(8, i64.load, i64.store),
    ifElse(
      i32.geU(length.get, int(4)),
      pieces(4, i32.load, i32.store),
      // Two or three: NCRUSH has matches of two.
      pieces(2, i32.load16U, i32.store16),
    ),
  );
  /** Up to 16 bytes; what lies behind them is written as it was. */
  const rest = (value: Code): Code =>
    v128.store(to.get, v128.select(value, v128.load(to.get), v128.load(i32.shl(length.get, int(4)), masksOffset)));
  const long = block(
    doWhile(
      block(
        v128.store(to.get, v128.load(from.get)),
        next(to, int(16)),
        next(from, int(16)),
        length.set(i32.sub(length.get, int(16))),
      ),
      i32.gtU(length.get, int(16)),
    ),
    rest(v128.load(from.get)),
  );
  // A match that reads what it writes repeats its first bytes; `patterns` turns them into 16, of which as many whole ones are kept.
  const step = i32.load8U(distance.get, stepsOffset);
  const repeated = block(
    bytes.set(i8x16.swizzle(v128.load(from.get), v128.load(i32.shl(distance.get, int(4)), patternsOffset))),
    whileLoop(
      i32.gtU(length.get, int(16)),
      block(v128.store(to.get, bytes.get), length.set(i32.sub(length.get, step)), next(to, step)),
    ),
    rest(bytes.get),
  );
  return block(
    from.set(i32.and(i32.sub(offset.get, distance.get), int(mask))),
    when(i32.gtU(length.get, i32.sub(int(mask + 1), offset.get)), fail('historyOverrun')),
    when(i32.gtU(length.get, i32.sub(int(mask + 1), from.get)), fail('matchOverrun')),
    distance.set(i32.sub(offset.get, from.get)),
    to.set(i32.add(history.get, offset.get)),
    from.set(i32.add(history.get, from.get)),
    next(offset, length.get),
    // Unsigned: what lies behind the offset is far away. A distance of 0 copies bytes onto themselves.
    ifElse(
      i32.ltU(
        i32.sub(distance.get, int(1)),
        i32.sub(select(i32.ltU(length.get, int(16)), length.get, int(16)), int(1)),
      ),
      repeated,
      ifElse(i32.gtU(length.get, int(16)), long, short),
    ),
  );
}

/**
 * Puts the input's bytes and 16 zeros in reverse order before `top`, where a load of eight bytes then has their bits highest first.
 */
function reverseCode(inputBytes: Local, from: Local, to: Local): Code {
  const backwards = Array.from({ length: 16 }, (_, index) => 15 - index);
  const top = int(reversedOffset + inputBytesMax);
  return block(
    from.set(int(inputOffset)),
    to.set(i32.sub(top, int(16))),
    whileLoop(
      i32.ltU(from.get, i32.add(int(inputOffset + 16), inputBytes.get)),
      block(
        v128.store(to.get, v128.shuffle(v128.load(from.get), v128.load(from.get), backwards)),
        next(from, int(16)),
        to.set(i32.sub(to.get, int(16))),
      ),
    ),
  );
}

/** mppc8K and mppc64K(history, offset, inputBytes): the new offset, or a failure. */
function mppc(large: boolean): WasmFunction {
  const parameters = ['history', 'offset', 'inputBytes'] as const;
  const i32s = ['at', 'end', 'distance', 'length', 'from', 'to', 'code', 'ones', 'long'] as const;
  const locals = { parameters, i32: i32s, i64: ['window'], v128: ['bytes'] } as const;
  const historyBytes = large ? 65536 : 8192;
  return wasmFunction(
    large ? 'mppc64K' : 'mppc8K',
    locals,
    (variables) => {
      const { history, offset, inputBytes, at, end, distance, length, from, to, code, ones, long, window } = variables;
      const isLiteral = i32.ltU(i32.wrapI64(i64.shrU(window.get, i64.const(62))), int(3));
      const drop = (count: Code): Code => window.set(i64.shl(window.get, wide(count)));
      /** The highest bits, 0 < count < 64. */
      const top = (count: Code): Code => i32.wrapI64(i64.shrU(window.get, wide(i32.sub(int(64), count))));
      // 0 and seven bits, or 10 and the seven of one from 0x80 on.
      const literal = block(
        long.set(i32.wrapI64(i64.shrU(window.get, i64.const(63)))),
        next(at, i32.add(long.get, int(8))),
        when(i32.gtS(at.get, end.get), fail('truncated')),
        when(i32.geU(offset.get, int(historyBytes)), fail('historyOverrun')),
        i32.store8(
          i32.add(history.get, offset.get),
          i32.or(
            i32.and(i32.wrapI64(i64.shrU(window.get, wide(i32.sub(int(56), long.get)))), int(0x7f)),
            i32.shl(long.get, int(7)),
          ),
        ),
        next(offset, int(1)),
      );
      const dropLiteral = drop(i32.add(long.get, int(8)));
      const more = i32.and(isLiteral, i32.geS(i32.sub(end.get, at.get), int(8)));
      const match = block(
        code.set(
          i32.load(
            i32.shl(i32.and(i32.wrapI64(i64.shrU(window.get, i64.const(59))), int(7)), int(2)),
            large ? distances64KOffset : distances8KOffset,
          ),
        ),
        drop(i32.and(code.get, int(0xff))),
        next(at, i32.and(code.get, int(0xff))),
        length.set(i32.and(i32.shrU(code.get, int(8)), int(0xff))),
        distance.set(i32.add(top(length.get), i32.shrU(code.get, int(16)))),
        drop(length.get),
        next(at, length.get),
        // n ones and a zero, then n + 1 bits that count from 2^(n + 1); a single zero is 3.
        ones.set(i32.wrapI64(i64.clz(i64.xor(window.get, i64.const(-1))))),
        when(i32.gtU(ones.get, int(large ? 14 : 11)), fail('badLengthPrefix')),
        drop(i32.add(ones.get, int(1))),
        length.set(select(ones.get, i32.add(i32.shl(int(2), ones.get), top(i32.add(ones.get, int(1)))), int(3))),
        next(at, select(ones.get, i32.add(i32.shl(ones.get, int(1)), int(2)), int(1))),
        when(i32.gtS(at.get, end.get), fail('truncated')),
        copyMatchCode({ history, offset, distance, length, from, to, bytes: variables.bytes }, historyBytes - 1),
      );
      return block(
        reverseCode(inputBytes, from, to),
        end.set(i32.shl(inputBytes.get, int(3))),
        // The shortest code has 8 bits: fewer are the padding of the last byte.
        whileLoop(
          i32.geS(i32.sub(end.get, at.get), int(8)),
          block(
            window.set(
              i64.shl(
                i64.load(i32.sub(int(reversedOffset + inputBytesMax - 8), i32.shrU(at.get, int(3)))),
                wide(i32.and(at.get, int(7))),
              ),
            ),
            ifElse(
              isLiteral,
              // Four literals have at most 36 of the window's bits.
              block(
                literal,
                dropLiteral,
                when(more, block(literal, dropLiteral, when(more, block(literal, dropLiteral, when(more, literal))))),
              ),
              match,
            ),
          ),
        ),
        offset.get,
      );
    },
    true,
  );
}

/** ncrush(history, offset, inputBytes): as `mppc`. */
function ncrush(): WasmFunction {
  const parameters = ['history', 'offset', 'inputBytes'] as const;
  const i32s = ['at', 'end', 'distance', 'length', 'from', 'to', 'entry', 'symbol', 'extra'] as const;
  const locals = { parameters, i32: i32s, i64: ['window'], v128: ['bytes'] } as const;
  return wasmFunction(
    'ncrush',
    locals,
    (variables) => {
      const { history, offset, inputBytes, at, end, distance, length, from, to, entry, symbol, extra, window } =
        variables;
      const low = i32.wrapI64(window.get);
      const drop = (count: Code): Code => window.set(i64.shrU(window.get, wide(count)));
      const lowest = (count: Code): Code => i32.and(low, i32.sub(i32.shl(int(1), count), int(1)));
      const bits = i32.shrU(entry.get, int(12));
      const lookUp = (table: number, tableBits: number): Code =>
        block(
          entry.set(i32.load16U(i32.shl(i32.and(low, int((1 << tableBits) - 1)), int(1)), table)),
          when(i32.eqz(entry.get), fail('badSymbol')),
          next(at, bits),
          when(i32.gtS(at.get, end.get), fail('truncated')),
          drop(bits),
          symbol.set(i32.and(entry.get, int(0xfff))),
        );
      const cache = (index: number, value: Code): Code => i32.store(int(offsetCacheOffset + 4 * index), value);
      const cached = (index: number): Code => i32.load(int(offsetCacheOffset + 4 * index));
      const cacheEntry = i32.shl(i32.sub(symbol.get, int(ncrushTables.cachedOffsetFirst)), int(2));
      const distanceCode = ifElse(
        i32.geU(symbol.get, int(ncrushTables.cachedOffsetFirst)),
        block(
          distance.set(i32.load(cacheEntry, offsetCacheOffset)),
          i32.store(cacheEntry, cached(0), offsetCacheOffset),
          cache(0, distance.get),
        ),
        block(
          extra.set(
            i32.load(i32.shl(i32.sub(symbol.get, int(ncrushTables.copyOffsetFirst)), int(2)), copyOffsetsOffset),
          ),
          distance.set(i32.add(i32.shrU(extra.get, int(8)), lowest(i32.and(extra.get, int(0xff))))),
          next(at, i32.and(extra.get, int(0xff))),
          drop(i32.and(extra.get, int(0xff))),
          cache(3, cached(2)),
          cache(2, cached(1)),
          cache(1, cached(0)),
          cache(0, distance.get),
        ),
      );
      const match = block(
        distanceCode,
        lookUp(matchLookupOffset, ncrushTables.matchBitsMax),
        extra.set(i32.load(i32.shl(symbol.get, int(2)), matchClassesOffset)),
        when(i32.eqz(extra.get), fail('badLengthClass')),
        length.set(i32.add(i32.shrU(extra.get, int(8)), lowest(i32.and(extra.get, int(0xff))))),
        next(at, i32.and(extra.get, int(0xff))),
        when(i32.gtS(at.get, end.get), fail('truncated')),
        copyMatchCode({ history, offset, distance, length, from, to, bytes: variables.bytes }, slotBytes - 1),
      );
      const literal = block(
        when(i32.geU(offset.get, int(slotBytes)), fail('historyOverrun')),
        i32.store8(i32.add(history.get, offset.get), symbol.get),
        next(offset, int(1)),
      );
      const isLiteral = i32.ltU(symbol.get, int(ncrushTables.endOfStream));
      const literalLookUp = lookUp(literalLookupOffset, ncrushTables.literalBitsMax);
      const refill = window.set(
        i64.shrU(i64.load(i32.add(int(inputOffset), i32.shrU(at.get, int(3)))), wide(i32.and(at.get, int(7)))),
      );
      return block(
        end.set(i32.shl(inputBytes.get, int(3))),
        doWhile(
          block(
            refill,
            literalLookUp,
            // Three literals have at most 39 of the window's bits: none is left for a match behind them.
            when(
              isLiteral,
              block(
                literal,
                literalLookUp,
                when(isLiteral, block(literal, literalLookUp, when(isLiteral, literal))),
                when(
                  i32.gtU(symbol.get, int(ncrushTables.endOfStream)),
                  // The symbol's bits are taken: what follows it needs a window of its own.
                  refill,
                ),
              ),
            ),
            when(i32.eq(symbol.get, int(ncrushTables.endOfStream)), returnValue(offset.get)),
            when(i32.gtU(symbol.get, int(ncrushTables.endOfStream)), match),
          ),
          int(1),
        ),
        int(0),
      );
    },
    true,
  );
}

export interface BulkKernels {
  readonly memory: WebAssembly.Memory;
  mppc8K(history: number, offset: number, inputBytes: number): number;
  mppc64K(history: number, offset: number, inputBytes: number): number;
  ncrush(history: number, offset: number, inputBytes: number): number;
}

function fillTables(memory: ArrayBuffer): void {
  const bytes = new Uint8Array(memory);
  const words = new Uint32Array(memory);
  for (let length = 0; length <= 16; length += 1)
    bytes.fill(0xff, masksOffset + length * 16, masksOffset + length * 16 + length);
  for (let distance = 1; distance < 16; distance += 1) {
    for (let index = 0; index < 16; index += 1) bytes[patternsOffset + distance * 16 + index] = index % distance;
    bytes[stepsOffset + distance] = 16 - (16 % distance);
  }
  const distanceCodes = (offset: number, code: (prefix: number) => DistanceCode): void => {
    for (let low = 0; low < 8; low += 1) {
      const { prefixBits, bits, first } = code(0b11000 | low);
      words[(offset >> 2) + low] = prefixBits | (bits << 8) | (first << 16);
    }
  };
  distanceCodes(distances8KOffset, distanceCode8K);
  distanceCodes(distances64KOffset, distanceCode64K);
  ncrushTables.copyOffsetBases.forEach((base, index) => {
    words[(copyOffsetsOffset >> 2) + index] = ncrushTables.copyOffsetExtraBits[index]! | ((base - 1) << 8);
  });
  ncrushTables.matchBases.forEach((base, index) => {
    words[(matchClassesOffset >> 2) + index] = ncrushTables.matchExtraBits[index]! | (base << 8);
  });
  const { literalLengths, literalBitsMax, matchLengths, matchBitsMax } = ncrushTables;
  new Uint16Array(memory, literalLookupOffset).set(canonicalLookup(literalLengths, literalBitsMax));
  new Uint16Array(memory, matchLookupOffset).set(canonicalLookup(matchLengths, matchBitsMax));
}

/** The compiled kernels with their tables, or null where WebAssembly or its SIMD is missing or not allowed. */
export function loadBulkKernels(): BulkKernels | null {
  try {
    const module = new WebAssembly.Module(wasmModule([mppc(false), mppc(true), ncrush()], pagesCount));
    const kernels = new WebAssembly.Instance(module).exports as unknown as BulkKernels;
    fillTables(kernels.memory.buffer);
    return kernels;
  } catch {
    return null;
  }
}
