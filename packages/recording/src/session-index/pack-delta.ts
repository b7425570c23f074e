import { DecodeError } from '@lucid-sessions/wire';
import { STATE_BYTES_MAX } from './pack-state.ts';

/**
 * Packed states against each other, by blocks of 512 bytes: a block that stands in the base, or earlier in the same state (the
 * screen shows what a surface holds), is named instead of repeated. `u32 length, u32 runs, runs, blocks`; a run is
 * `u32 from, u32 count` in blocks: `from` counts through the base and then through the state itself; 0xffffffff: the next
 * `count` blocks of what follows. The last block of a state may be short and is never named.
 */
const blockBytes = 512;
const wordsPerBlock = blockBytes / 4;
const literal = 0xffff_ffff;
const headBytes = 8;
const runBytes = 8;

const wholeBlocks = (bytes: Uint8Array): number => Math.floor(bytes.length / blockBytes);

/** The bytes as words, copied where they don't lie on one. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const length = wholeBlocks(bytes) * wordsPerBlock;
  if (bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, length);
  return new Uint32Array(bytes.slice().buffer, 0, length);
}

function hashOf(words: Uint32Array, block: number): number {
  let hash = 0x811c9dc5;
  for (let at = block * wordsPerBlock, end = at + wordsPerBlock; at < end; at += 1)
    hash = Math.imul(hash ^ words[at]!, 0x01000193) ^ (hash >>> 15);
  return hash;
}

function sameBlock(a: Uint32Array, blockA: number, b: Uint32Array, blockB: number): boolean {
  const from = blockA * wordsPerBlock;
  const shift = blockB * wordsPerBlock - from;
  for (let at = from; at < from + wordsPerBlock; at += 1) if (a[at] !== b[at + shift]) return false;
  return true;
}

interface Run {
  from: number;
  count: number;
}

/** Finds for each block where it stood before. */
function runsOf(words: Uint32Array, base: Uint32Array): Run[] {
  const known = new Map<number, number>();
  const baseBlocks = base.length / wordsPerBlock;
  for (let block = 0; block < baseBlocks; block += 1) known.set(hashOf(base, block), block);
  const same = (block: number, at: number): boolean =>
    at < baseBlocks ? sameBlock(words, block, base, at) : sameBlock(words, block, words, at - baseBlocks);
  const runs: Run[] = [];
  for (let block = 0; block < words.length / wordsPerBlock; block += 1) {
    const last = runs.at(-1);
    // Going on where the run before ended keeps runs few.
    const next = last === undefined || last.from === literal ? -1 : last.from + last.count;
    if (next >= 0 && next < baseBlocks + block && same(block, next)) {
      last!.count += 1;
      continue;
    }
    const hash = hashOf(words, block);
    const found = known.get(hash);
    if (found !== undefined && same(block, found)) {
      runs.push({ from: found, count: 1 });
      continue;
    }
    known.set(hash, baseBlocks + block);
    if (last?.from === literal) last.count += 1;
    else runs.push({ from: literal, count: 1 });
  }
  return runs;
}

/** What is new in a packed state, given the one it is told from (empty: none). */
export function packDelta(state: Uint8Array, base: Uint8Array): Uint8Array<ArrayBuffer> {
  const runs = runsOf(wordsOf(state), wordsOf(base));
  const literals = runs.reduce((sum, { from, count }) => sum + (from === literal ? count * blockBytes : 0), 0);
  const rest = state.subarray(wholeBlocks(state) * blockBytes);
  const bytes = new Uint8Array(headBytes + runs.length * runBytes + literals + rest.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, state.length);
  view.setUint32(4, runs.length);
  let at = headBytes;
  for (const { from, count } of runs) {
    view.setUint32(at, from);
    view.setUint32(at + 4, count);
    at += runBytes;
  }
  let block = 0;
  for (const { from, count } of runs) {
    if (from === literal) {
      bytes.set(state.subarray(block * blockBytes, (block + count) * blockBytes), at);
      at += count * blockBytes;
    }
    block += count;
  }
  bytes.set(rest, at);
  return bytes;
}

/** The packed state again. Throws `DecodeError` where delta and base don't fit each other. */
export function unpackDelta(delta: Uint8Array, base: Uint8Array): Uint8Array<ArrayBuffer> {
  const bad = (): DecodeError => new DecodeError('invalid', 'a stored state does not fit the one it is told from');
  if (delta.length < headBytes) throw bad();
  const view = new DataView(delta.buffer, delta.byteOffset, delta.length);
  const length = view.getUint32(0);
  const runsCount = view.getUint32(4);
  let at = headBytes + runsCount * runBytes;
  if (!(length <= STATE_BYTES_MAX && at <= delta.length)) throw bad();
  const state = new Uint8Array(length);
  const baseBytes = wholeBlocks(base) * blockBytes;
  let to = 0;
  for (let run = 0; run < runsCount; run += 1) {
    const from = view.getUint32(headBytes + run * runBytes);
    const bytes = view.getUint32(headBytes + run * runBytes + 4) * blockBytes;
    if (to + bytes > length) throw bad();
    if (from === literal) {
      if (at + bytes > delta.length) throw bad();
      state.set(delta.subarray(at, at + bytes), to);
      at += bytes;
    } else copyRun(state, to, from * blockBytes, bytes, base, baseBytes, bad);
    to += bytes;
  }
  if (delta.length - at !== length - to) throw bad();
  state.set(delta.subarray(at), to);
  return state;
}

/** A run may go over from the base into the state, and there into what it writes itself. */
function copyRun(
  state: Uint8Array,
  to: number,
  from: number,
  bytes: number,
  base: Uint8Array,
  baseBytes: number,
  bad: () => DecodeError,
): void {
  const ofBase = Math.max(0, Math.min(bytes, baseBytes - from));
  state.set(base.subarray(from, from + ofBase), to);
  for (let done = ofBase; done < bytes; done += blockBytes) {
    const own = from + done - baseBytes;
    if (own >= to + done) throw bad();
    state.copyWithin(to + done, own, own + blockBytes);
  }
}
