/**
 * What the bulk kernels copy: in pieces of up to 16 bytes, but never past the end. What an earlier round left behind it may still be
 * referred to.
 */
import {
  block,
  type Code,
  doWhile,
  i8x16,
  i32,
  ifElse,
  type Local,
  returnValue,
  select,
  v128,
  when,
  whileLoop,
} from '@lucid-sessions/wire/wasm';
import { bulkFailures, masksOffset, patternsOffset, stepsOffset } from './kernel-memory.ts';

const { const: int } = i32;
export const fail = (failure: keyof typeof bulkFailures): Code => returnValue(int(bulkFailures[failure]));
export const next = (variable: Local, by: Code): Code => variable.set(i32.add(variable.get, by));

export interface CopyLocals {
  readonly length: Local;
  readonly from: Local;
  readonly to: Local;
}

export interface MatchLocals extends CopyLocals {
  readonly distance: Local;
  readonly bytes: Local;
}

/** The last `length` ≤ 16 bytes; what lies behind them is written as it was. */
function restCode(value: Code, { to, length }: CopyLocals): Code {
  return v128.store(to.get, v128.select(value, v128.load(to.get), v128.load(i32.shl(length.get, int(4)), masksOffset)));
}

const piecesCode = ({ from, to, length }: CopyLocals): Code =>
  block(
    v128.store(to.get, v128.load(from.get)),
    next(to, int(16)),
    next(from, int(16)),
    length.set(i32.sub(length.get, int(16))),
  );

/** Any `length` bytes from one place to another. Leaves both places behind them. */
export function copyBytesCode(locals: CopyLocals): Code {
  const { from, to, length } = locals;
  return block(
    whileLoop(i32.gtU(length.get, int(16)), piecesCode(locals)),
    restCode(v128.load(from.get), locals),
    next(to, length.get),
    next(from, length.get),
  );
}

/** A match reads what it writes. Unsigned: what lies behind the offset is far away, and a distance of 0 copies bytes onto themselves. */
function repeats({ distance, length }: MatchLocals): Code {
  const piece = select(i32.ltU(length.get, int(16)), length.get, int(16));
  return i32.ltU(i32.sub(distance.get, int(1)), i32.sub(piece, int(1)));
}

/** Such a match repeats its first bytes; `patterns` turns them into 16, of which as many whole ones are kept. */
function repeatedCode(locals: MatchLocals): Code {
  const { from, to, length, distance, bytes } = locals;
  const step = i32.load8U(distance.get, stepsOffset);
  return block(
    bytes.set(i8x16.swizzle(v128.load(from.get), v128.load(i32.shl(distance.get, int(4)), patternsOffset))),
    whileLoop(
      i32.gtU(length.get, int(16)),
      block(v128.store(to.get, bytes.get), length.set(i32.sub(length.get, step)), next(to, step)),
    ),
    restCode(bytes.get, locals),
  );
}

/** A match of at least one byte, `distance` behind `to`. Leaves `to` behind it. */
export function copyRepeatingCode(locals: MatchLocals): Code {
  return ifElse(
    repeats(locals),
    block(repeatedCode(locals), next(locals.to, locals.length.get)),
    copyBytesCode(locals),
  );
}

interface HistoryLocals extends MatchLocals {
  readonly history: Local;
  readonly offset: Local;
}

/** Where a match begins in the history, if it is not too long. */
function findCode({ offset, distance, from }: HistoryLocals, length: Code, mask: number): Code {
  return block(
    from.set(i32.and(i32.sub(offset.get, distance.get), int(mask))),
    when(i32.gtU(length, i32.sub(int(mask + 1), offset.get)), fail('historyOverrun')),
    when(i32.gtU(length, i32.sub(int(mask + 1), from.get)), fail('matchOverrun')),
  );
}

/** `copyMatchCode` of three bytes. */
export function copyThreeCode(locals: HistoryLocals, mask: number): Code {
  const { history, offset, from, to } = locals;
  const copy = (at: number): Code => i32.store8(to.get, i32.load8U(from.get, at), at);
  return block(
    findCode(locals, int(3), mask),
    to.set(i32.add(history.get, offset.get)),
    from.set(i32.add(history.get, from.get)),
    next(offset, int(3)),
    // One after the other: a byte may be of those before it.
    copy(0),
    copy(1),
    copy(2),
  );
}

/**
 * A match of two bytes or more, `distance` back from `offset`: as `copyMatch`. Leaves `offset` behind it. `mask` is the history's
 * length less one.
 */
export function copyMatchCode(locals: HistoryLocals, mask: number): Code {
  const { history, offset, distance, length, from, to } = locals;
  const long = block(doWhile(piecesCode(locals), i32.gtU(length.get, int(16))), restCode(v128.load(from.get), locals));
  return block(
    findCode(locals, length.get, mask),
    distance.set(i32.sub(offset.get, from.get)),
    to.set(i32.add(history.get, offset.get)),
    from.set(i32.add(history.get, from.get)),
    next(offset, length.get),
    ifElse(
      repeats(locals),
      repeatedCode(locals),
      ifElse(i32.gtU(length.get, int(16)), long, restCode(v128.load(from.get), locals)),
    ),
  );
}
