/** RDP 4.0 and 5.0 in WebAssembly: what `mppc.ts` does in JavaScript. */
import {
  block,
  type Code,
  i32,
  i64,
  ifElse,
  type Local,
  v128,
  type WasmFunction,
  wasmFunction,
  when,
  whileLoop,
} from '@lucid-sessions/wire/wasm';
import { copyMatchCode, copyThreeCode, fail, next } from './copy-kernel.ts';
import { distances8KOffset, distances64KOffset, inputBytesMax, inputOffset, reversedOffset } from './kernel-memory.ts';

const { const: int } = i32;
const wide = i64.extendI32U;
/** A window holds 57 bits at least: so many literals. */
const literalsInWindow = 6;

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
export function mppc(large: boolean): WasmFunction {
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
      const refill = window.set(
        i64.shl(
          i64.load(i32.sub(int(reversedOffset + inputBytesMax - 8), i32.shrU(at.get, int(3)))),
          wide(i32.and(at.get, int(7))),
        ),
      );
      const truncated = when(i32.gtS(at.get, end.get), fail('truncated'));
      const checks = block(truncated, when(i32.geU(offset.get, int(historyBytes)), fail('historyOverrun')));
      // 0 and seven bits, or 10 and the seven of one from 0x80 on.
      const literal = (careful: boolean): Code =>
        block(
          long.set(i32.wrapI64(i64.shrU(window.get, i64.const(63)))),
          next(at, i32.add(long.get, int(8))),
          careful ? checks : [],
          i32.store8(
            i32.add(history.get, offset.get),
            i32.sub(i32.wrapI64(i64.shrU(window.get, wide(i32.sub(int(56), long.get)))), i32.shl(long.get, int(7))),
          ),
          next(offset, int(1)),
          drop(i32.add(long.get, int(8))),
        );
      const distances = large ? distances64KOffset : distances8KOffset;
      const copied = { history, offset, distance, length, from, to, bytes: variables.bytes };
      // n ones and a zero, then n + 1 bits that count from 2^(n + 1).
      const longer = block(
        ones.set(i32.wrapI64(i64.clz(i64.xor(window.get, i64.const(-1))))),
        when(i32.gtU(ones.get, int(large ? 14 : 11)), fail('badLengthPrefix')),
        drop(i32.add(ones.get, int(1))),
        length.set(i32.add(i32.shl(int(2), ones.get), top(i32.add(ones.get, int(1))))),
        next(at, i32.add(i32.shl(ones.get, int(1)), int(2))),
        truncated,
        copyMatchCode(copied, historyBytes - 1),
      );
      const match = block(
        code.set(i32.and(i32.wrapI64(i64.shrU(window.get, i64.const(56))), int(0b111000))),
        distance.set(i32.load(code.get, distances + 4)),
        code.set(i32.load(code.get, distances)),
        distance.set(i32.add(distance.get, top(code.get))),
        drop(code.get),
        next(at, code.get),
        // A single zero is 3: most matches.
        ifElse(
          i32.wrapI64(i64.shrU(window.get, i64.const(63))),
          longer,
          block(next(at, int(1)), truncated, copyThreeCode(copied, historyBytes - 1)),
        ),
      );
      let literals: Code = [];
      for (let index = 0; index < literalsInWindow; index += 1)
        literals = block(literal(false), index === 0 ? [] : when(isLiteral, literals));
      const left = i32.sub(end.get, at.get);
      return block(
        reverseCode(inputBytes, from, to),
        end.set(i32.shl(inputBytes.get, int(3))),
        // As long as neither the input nor the history can end within a window's literals.
        whileLoop(
          i32.and(i32.geS(left, int(64)), i32.ltU(offset.get, int(historyBytes - literalsInWindow))),
          block(refill, when(isLiteral, block(literals, refill)), when(i32.eqz(isLiteral), match)),
        ),
        // The shortest code has 8 bits: fewer are the padding of the last byte.
        whileLoop(i32.geS(left, int(8)), block(refill, ifElse(isLiteral, literal(true), match))),
        offset.get,
      );
    },
    true,
  );
}
