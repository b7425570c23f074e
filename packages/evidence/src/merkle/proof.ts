import { equalBytes } from '@lucid-sessions/wire';
import { HASH_BYTES, hashChildren } from './hash.ts';

/** Leaves `start` up to, not including, `end`. */
export interface LeafRange {
  start: number;
  end: number;
}

/** The hash of a range of leaves as a tree of its own: MTH(D[start:end]). */
export type RangeHash<T> = (range: LeafRange) => T;

/** A proof is never longer than 64 hashes; trees here end at 2^53 leaves. */
export const PROOF_HASHES_MAX = 64;

/** The largest power of two below n (n ≥ 2). */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** RFC 9162 section 2.1.3.1, PATH(index, D[size]): the ranges whose hashes make the proof, leaf to root. */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  if (!(Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size))
    throw new RangeError(`leaf ${index} is not in a tree of ${size}`);
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + split(end - start);
    if (index < middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  return ranges.reverse();
}

/** RFC 9162 section 2.1.4.1, PROOF(first, D[second]): the ranges of the proof in its order. Empty for equal sizes and first = 0. */
export function consistencyRanges(first: number, second: number): LeafRange[] {
  if (!(Number.isSafeInteger(first) && Number.isSafeInteger(second) && first >= 0 && first <= second))
    throw new RangeError(`a tree of ${second} does not extend one of ${first}`);
  if (first === 0 || first === second) return [];
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = second;
  // SUBPROOF: descend to the point where the old tree is exactly the left part.
  while (first < end) {
    const middle = start + split(end - start);
    if (first <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  if (start > 0) ranges.push({ start, end });
  return ranges.reverse();
}

/** Splits a range that starts at a multiple of its size into complete subtrees, left to right. */
export function completeSubtrees(range: LeafRange): LeafRange[] {
  const parts: LeafRange[] = [];
  let start = range.start;
  while (start < range.end) {
    let width = 1;
    while (start + width * 2 <= range.end && start % (width * 2) === 0) width *= 2;
    parts.push({ start, end: start + width });
    start += width;
  }
  return parts;
}

/** MTH of a range from the hashes of its complete subtrees, left to right. */
export function joinSubtrees(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.reduceRight((right, left) => hashChildren(left, right));
}

/** MTH(D[start:end]) straight from leaf hashes. */
export function rangeHashOf(leafHashes: readonly Uint8Array[]): RangeHash<Uint8Array> {
  const hash = ({ start, end }: LeafRange): Uint8Array => {
    if (end - start === 1) return leafHashes[start]!;
    const middle = start + split(end - start);
    return hashChildren(hash({ start, end: middle }), hash({ start: middle, end }));
  };
  return hash;
}

export function inclusionProof(index: number, leafHashes: readonly Uint8Array[]): Uint8Array[] {
  return inclusionRanges(index, leafHashes.length).map(rangeHashOf(leafHashes));
}

export function consistencyProof(first: number, leafHashes: readonly Uint8Array[]): Uint8Array[] {
  return consistencyRanges(first, leafHashes.length).map(rangeHashOf(leafHashes));
}

const half = (n: number): number => Math.floor(n / 2);
const isHash = (bytes: Uint8Array): boolean => bytes.length === HASH_BYTES;
const isSize = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

/** RFC 9162 section 2.1.3.2. True when `proof` shows `leafHash` at `index` of the tree with `root` and `size` leaves. */
export function verifyInclusion(claim: {
  leafHash: Uint8Array;
  index: number;
  size: number;
  root: Uint8Array;
  proof: readonly Uint8Array[];
}): boolean {
  const { leafHash, index, size, root, proof } = claim;
  if (!(isSize(index) && isSize(size) && index < size && proof.length <= PROOF_HASHES_MAX)) return false;
  if (!(isHash(leafHash) && proof.every(isHash))) return false;
  let fn = index;
  let sn = size - 1;
  let r = leafHash;
  for (const p of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = hashChildren(p, r);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else r = hashChildren(r, p);
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(r, root);
}

/** RFC 9162 section 2.1.4.2. True when the tree (`second`, `secondRoot`) extends (`first`, `firstRoot`). An empty first tree proves nothing and is refused. */
export function verifyConsistency(claim: {
  first: number;
  firstRoot: Uint8Array;
  second: number;
  secondRoot: Uint8Array;
  proof: readonly Uint8Array[];
}): boolean {
  const { first, firstRoot, second, secondRoot, proof } = claim;
  if (!(isSize(first) && isSize(second) && first >= 1 && first <= second && proof.length <= PROOF_HASHES_MAX))
    return false;
  if (first === second) return proof.length === 0 && equalBytes(firstRoot, secondRoot);
  if (!(isHash(firstRoot) && isHash(secondRoot) && proof.every(isHash))) return false;
  // A first tree of a power of two leaves is itself a node of the second: its root leads the proof.
  const powerOfTwo = Number.isInteger(Math.log2(first)) && 2 ** Math.round(Math.log2(first)) === first;
  const path = powerOfTwo ? [firstRoot, ...proof] : proof;
  if (path.length === 0 || proof.length === 0) return false;
  let fn = first - 1;
  let sn = second - 1;
  while (fn % 2 === 1) {
    fn = half(fn);
    sn = half(sn);
  }
  let fr = path[0]!;
  let sr = path[0]!;
  for (const c of path.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = hashChildren(c, fr);
      sr = hashChildren(c, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else sr = hashChildren(sr, c);
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(fr, firstRoot) && equalBytes(sr, secondRoot);
}
