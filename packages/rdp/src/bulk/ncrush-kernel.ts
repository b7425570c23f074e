/** RDP 6.0 in WebAssembly: what `ncrush.ts` does in JavaScript. */
import {
  block,
  type Code,
  doWhile,
  i32,
  i64,
  ifElse,
  returnValue,
  type WasmFunction,
  wasmFunction,
  when,
  whileLoop,
} from '@lucid-sessions/wire/wasm';
import { copyMatchCode, fail, next } from './copy-kernel.ts';
import {
  copyOffsetsOffset,
  inputOffset,
  literalLookupOffset,
  matchLookupOffset,
  ncrushNoSymbol,
  ncrushSymbolShift,
  offsetCacheOffset,
  smallSlots,
} from './kernel-memory.ts';
import * as tables from './ncrush-tables.ts';

const { const: int } = i32;
const wide = i64.extendI32U;
const historyBytes = smallSlots.bytes;
/** The window holds 55 bits at least: four literals, or a match. */
const literalsInWindow = 4;

/** ncrush(history, offset, inputBytes): as `mppc`. */
export function ncrush(): WasmFunction {
  const parameters = ['history', 'offset', 'inputBytes'] as const;
  const i32s = ['end', 'ahead', 'left', 'distance', 'length', 'from', 'to', 'entry', 'symbol', 'extra'] as const;
  const locals = { parameters, i32: i32s, i64: ['window'], v128: ['bytes'] } as const;
  return wasmFunction(
    'ncrush',
    locals,
    (variables) => {
      const { history, offset, inputBytes, end, ahead, left, distance, length, from, to } = variables;
      const { entry, symbol, extra, window, bytes } = variables;
      // `left` bits are in the window, the lowest of no use: the others are one bit up, for entries of two bytes. `ahead` is where the
      // input behind them is read, which needn't wait for what the bits are. Some of it is in the window already: the same bits.
      const refill = block(
        window.set(i64.or(window.get, i64.shl(i64.load(ahead.get), wide(left.get)))),
        next(ahead, i32.shrU(i32.sub(int(63), left.get), int(3))),
        left.set(i32.or(left.get, int(56))),
      );
      /** A shift takes the lowest six bits of its count. */
      const take = (count: Code): Code =>
        block(
          window.set(i64.shrU(window.get, wide(count))),
          left.set(i32.sub(left.get, i32.and(count, int((1 << ncrushSymbolShift) - 1)))),
        );
      // Of bits behind the input's end there were none: they are zeros in the window.
      const truncated = when(i32.geS(i32.sub(i32.shl(ahead.get, int(3)), left.get), end.get), fail('truncated'));
      const low = i32.wrapI64(window.get);
      const lookUp = entry.set(i32.load16U(i32.and(low, int((2 << tables.literalBitsMax) - 2)), literalLookupOffset));
      const isLiteral = i32.ltU(entry.get, int(tables.endOfStream << ncrushSymbolShift));
      const lowest = (count: Code): Code =>
        i32.and(i32.wrapI64(i64.shrU(window.get, i64.const(1))), i32.sub(i32.shl(int(1), count), int(1)));
      const literal = block(
        i32.store8(i32.add(history.get, offset.get), i32.shrU(entry.get, int(ncrushSymbolShift))),
        next(offset, int(1)),
      );
      const cache = (index: number, value: Code): Code => i32.store(int(offsetCacheOffset + 4 * index), value);
      const cached = (index: number): Code => i32.load(int(offsetCacheOffset + 4 * index));
      const cacheEntry = i32.shl(i32.sub(symbol.get, int(tables.cachedOffsetFirst)), int(2));
      const copyOffset = i32.shl(i32.sub(symbol.get, int(tables.copyOffsetFirst)), int(2));
      const distanceCode = ifElse(
        i32.geU(symbol.get, int(tables.cachedOffsetFirst)),
        block(
          distance.set(i32.load(cacheEntry, offsetCacheOffset)),
          i32.store(cacheEntry, cached(0), offsetCacheOffset),
          cache(0, distance.get),
        ),
        block(
          extra.set(i32.load(copyOffset, copyOffsetsOffset)),
          distance.set(i32.add(i32.shrU(extra.get, int(8)), lowest(i32.and(extra.get, int(0xff))))),
          take(extra.get),
          cache(3, cached(2)),
          cache(2, cached(1)),
          cache(1, cached(0)),
          cache(0, distance.get),
        ),
      );
      const lengthCode = block(
        // Two bytes more than the window is up for.
        entry.set(i32.load(i32.and(i32.shl(low, int(1)), int((4 << tables.matchBitsMax) - 4)), matchLookupOffset)),
        when(i32.eqz(entry.get), fail('badSymbol')),
        take(entry.get),
        extra.set(i32.and(i32.shrU(entry.get, int(8)), int(0xff))),
        when(i32.eqz(i32.shrU(entry.get, int(16))), block(truncated, fail('badLengthClass'))),
        length.set(i32.add(i32.shrU(entry.get, int(16)), lowest(extra.get))),
        take(extra.get),
        truncated,
      );
      /** What a symbol that is no literal stands for. */
      const other = block(
        refill,
        symbol.set(i32.shrU(entry.get, int(ncrushSymbolShift))),
        when(i32.eq(symbol.get, int(ncrushNoSymbol)), fail('badSymbol')),
        take(entry.get),
        truncated,
        when(i32.eq(symbol.get, int(tables.endOfStream)), returnValue(offset.get)),
        distanceCode,
        lengthCode,
        copyMatchCode({ history, offset, distance, length, from, to, bytes }, historyBytes - 1),
      );
      let literals: Code = [];
      for (let index = 0; index < literalsInWindow; index += 1)
        literals = block(lookUp, when(isLiteral, block(literal, take(entry.get), literals)));
      return block(
        ahead.set(int(inputOffset)),
        left.set(int(1)),
        end.set(i32.shl(i32.add(int(inputOffset), inputBytes.get), int(3))),
        // As long as neither the input nor the history can end within a window's literals.
        whileLoop(
          i32.and(
            i32.ltS(i32.shl(i32.add(ahead.get, int(8)), int(3)), end.get),
            i32.ltU(offset.get, int(historyBytes - literalsInWindow)),
          ),
          block(refill, literals, when(i32.eqz(isLiteral), other)),
        ),
        doWhile(
          block(
            refill,
            lookUp,
            ifElse(
              isLiteral,
              block(
                take(entry.get),
                truncated,
                when(i32.geU(offset.get, int(historyBytes)), fail('historyOverrun')),
                literal,
              ),
              other,
            ),
          ),
          int(1),
        ),
        int(0),
      );
    },
    true,
  );
}
