/** RDP 6.1, its first level, in WebAssembly: what `xcrush.ts` does in JavaScript. */
import { block, type Code, i32, type WasmFunction, wasmFunction, when, whileLoop } from '@lucid-sessions/wire/wasm';
import { copyBytesCode, copyRepeatingCode, fail, next } from './copy-kernel.ts';
import { matchBytes, xcrushHistoryBytes, xcrushOutputBytesMax } from './xcrush-matches.ts';

const { const: int } = i32;

/**
 * xcrush(history, offset, input, inputBytes): the new offset, or a failure. Input may lie anywhere in memory. All matches are looked
 * through before the first byte is written: what can't be decoded leaves the history as it was.
 */
export function xcrush(): WasmFunction {
  const parameters = ['history', 'offset', 'input', 'inputBytes'] as const;
  const i32s = ['match', 'matchesEnd', 'literals', 'count', 'produced', 'distance', 'length', 'from', 'to'] as const;
  return wasmFunction(
    'xcrush',
    { parameters, i32: i32s, v128: ['bytes'] },
    (variables) => {
      const { history, offset, input, inputBytes, match, matchesEnd, literals, count } = variables;
      const { produced, distance, length, from, to } = variables;
      const matchLength = i32.load16U(match.get);
      const outputOffset = i32.load16U(match.get, 2);
      const historyOffset = i32.load(match.get, 4);
      const end = i32.add(input.get, inputBytes.get);
      const eachMatch = (body: Code): Code =>
        block(
          match.set(i32.add(input.get, int(2))),
          whileLoop(i32.ltU(match.get, matchesEnd.get), block(body, next(match, int(matchBytes)))),
        );
      const expectRoom = block(
        when(i32.gtU(produced.get, int(xcrushOutputBytesMax)), fail('historyOverrun')),
        when(i32.gtU(i32.add(offset.get, produced.get), int(xcrushHistoryBytes)), fail('historyOverrun')),
      );
      const look = block(
        when(i32.ltU(outputOffset, produced.get), fail('matchBeforeOutput')),
        next(literals, i32.sub(outputOffset, produced.get)),
        when(i32.gtU(literals.get, end), fail('matchesTruncated')),
        length.set(matchLength),
        produced.set(i32.add(outputOffset, length.get)),
        expectRoom,
        when(i32.gtU(historyOffset, i32.sub(int(xcrushHistoryBytes), length.get)), fail('matchOutsideHistory')),
      );
      const copyLiterals = (bytesCount: Code): Code =>
        block(
          length.set(bytesCount),
          from.set(literals.get),
          copyBytesCode({ length, from, to }),
          literals.set(from.get),
        );
      const copy = block(
        copyLiterals(i32.sub(i32.add(i32.add(history.get, offset.get), outputOffset), to.get)),
        length.set(matchLength),
        from.set(i32.add(history.get, historyOffset)),
        distance.set(i32.sub(to.get, from.get)),
        when(length.get, copyRepeatingCode({ distance, length, from, to, bytes: variables.bytes })),
      );
      return block(
        when(i32.ltU(inputBytes.get, int(2)), fail('matchesTruncated')),
        count.set(i32.load16U(input.get)),
        matchesEnd.set(i32.add(i32.add(input.get, int(2)), i32.mul(count.get, int(matchBytes)))),
        when(i32.gtU(matchesEnd.get, end), fail('matchesTruncated')),
        literals.set(matchesEnd.get),
        eachMatch(look),
        next(produced, i32.sub(end, literals.get)),
        expectRoom,
        literals.set(matchesEnd.get),
        to.set(i32.add(history.get, offset.get)),
        eachMatch(copy),
        copyLiterals(i32.sub(end, literals.get)),
        i32.sub(to.get, history.get),
      );
    },
    true,
  );
}
