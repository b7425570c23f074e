import { DecodeError } from '@lucid-sessions/wire';
import { STATE_BYTES_MAX } from './pack-state.ts';

/**
 * Packed states against each other, by blocks of 512 bytes: a block that stands in the base, or earlier in the same state (the
 * screen shows what a surface holds), is named instead of repeated. `u32 length, u32 runs, runs, blocks`; a run is
 * `u32 from, u32 count` in blocks: `from` counts through the base and then through the state itself; 0xffffffff: the next
 * `count` blocks of what follows; 0x80000000 + n: the same, byte by byte added to the base's blocks from n on (a picture that
 * changed a little). The last block of a state may be short and is never named.
 */
const blockBytes = 512;
const wordsPerBlock = blockBytes / 4;
const literal = 0xffff_ffff;
const difference = 0x8000_0000;
const isCopy = (from: number): boolean => from < difference;
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

const bytesOf = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Whether a block is nearer to one of the base's than its pixels are to their neighbours. */
function isNear(bytes: Uint8Array, block: number, base: Uint8Array, at: number): boolean {
  let toBase = 0;
  let toNeighbours = 0;
  const shift = (at - block) * blockBytes;
  for (let i = block * blockBytes + 4, end = (block + 1) * blockBytes; i < end; i += 1) {
    toBase += Math.abs(bytes[i]! - base[i + shift]!);
    toNeighbours += Math.abs(bytes[i]! - bytes[i - 4]!);
  }
  return toBase < toNeighbours;
}

/** Finds for each block where it stood before, or what it is most like. */
function runsOf(words: Uint32Array, base: Uint32Array): Run[] {
  const known = new Map<number, number>();
  const bytes = bytesOf(words);
  const baseBytes = bytesOf(base);
  /** From a block to the base's at the same place, as far as the last copy tells. */
  let shift = 0;
  const baseBlocks = base.length / wordsPerBlock;
  for (let block = 0; block < baseBlocks; block += 1) known.set(hashOf(base, block), block);
  const same = (block: number, at: number): boolean =>
    at < baseBlocks ? sameBlock(words, block, base, at) : sameBlock(words, block, words, at - baseBlocks);
  const runs: Run[] = [];
  for (let block = 0; block < words.length / wordsPerBlock; block += 1) {
    const last = runs.at(-1);
    // Going on where the run before ended keeps runs few.
    const next = last === undefined || !isCopy(last.from) ? -1 : last.from + last.count;
    if (next >= 0 && next < baseBlocks + block && same(block, next)) {
      last!.count += 1;
      continue;
    }
    const hash = hashOf(words, block);
    const found = known.get(hash);
    if (found !== undefined && same(block, found)) {
      runs.push({ from: found, count: 1 });
      if (found < baseBlocks) shift = found - block;
      continue;
    }
    known.set(hash, baseBlocks + block);
    const at = block + shift;
    const near = at >= 0 && at < baseBlocks && isNear(bytes, block, baseBytes, at);
    if (near && last !== undefined && !isCopy(last.from) && last.from + last.count === difference + at) last.count += 1;
    else if (near) runs.push({ from: difference + at, count: 1 });
    else if (last?.from === literal) last.count += 1;
    else runs.push({ from: literal, count: 1 });
  }
  return runs;
}

/** Length of what `packDelta` would give. */
export function deltaLength(state: Uint8Array, base: Uint8Array): number {
  const runs = runsOf(wordsOf(state), wordsOf(base));
  const told = runs.reduce((sum, { from, count }) => sum + (isCopy(from) ? 0 : count * blockBytes), 0);
  return headBytes + runs.length * runBytes + told + (state.length % blockBytes);
}

/** The difference of a packed state from its base (empty: none). */
export function packDelta(state: Uint8Array, base: Uint8Array): Uint8Array<ArrayBuffer> {
  const runs = runsOf(wordsOf(state), wordsOf(base));
  const literals = runs.reduce((sum, { from, count }) => sum + (isCopy(from) ? 0 : count * blockBytes), 0);
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
    if (!isCopy(from)) {
      const told = bytes.subarray(at, at + count * blockBytes);
      told.set(state.subarray(block * blockBytes, (block + count) * blockBytes));
      if (from !== literal) {
        const before = base.subarray((from - difference) * blockBytes);
        for (let i = 0; i < told.length; i += 1) told[i]! -= before[i]!;
      }
      at += told.length;
    }
    block += count;
  }
  bytes.set(rest, at);
  return bytes;
}

/** The packed state again. Throws `DecodeError` where delta and base don't fit each other. */
export function unpackDelta(delta: Uint8Array, base: Uint8Array): Uint8Array<ArrayBuffer> {
  const bad = (): DecodeError => new DecodeError('invalid', 'a stored state does not fit its base');
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
    if (!isCopy(from)) {
      if (at + bytes > delta.length) throw bad();
      state.set(delta.subarray(at, at + bytes), to);
      if (from !== literal) addTo(state.subarray(to, to + bytes), base, (from - difference) * blockBytes, bad);
      at += bytes;
    } else copyRun(state, to, from * blockBytes, bytes, base, baseBytes, bad);
    to += bytes;
  }
  if (delta.length - at !== length - to) throw bad();
  state.set(delta.subarray(at), to);
  return state;
}

function addTo(told: Uint8Array, base: Uint8Array, from: number, bad: () => DecodeError): void {
  if (from + told.length > base.length) throw bad();
  for (let i = 0; i < told.length; i += 1) told[i]! += base[from + i]!;
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
