/** A prefix, and the bits that count from `first`. */
export interface DistanceCode {
  readonly prefixBits: number;
  readonly bits: number;
  readonly first: number;
}

const codes8K: readonly DistanceCode[] = [
  { prefixBits: 4, bits: 6, first: 0 },
  { prefixBits: 4, bits: 8, first: 64 },
  { prefixBits: 3, bits: 13, first: 320 },
];
const codes64K: readonly DistanceCode[] = [
  { prefixBits: 5, bits: 6, first: 0 },
  { prefixBits: 5, bits: 8, first: 64 },
  { prefixBits: 4, bits: 11, first: 320 },
  { prefixBits: 3, bits: 16, first: 2368 },
];

/** By the next five bits: [MS-RDPBCGR] 3.1.8.4.1.2.1. */
export function distanceCode8K(prefix: number): DistanceCode {
  return codes8K[prefix >= 0b11110 ? 0 : prefix >= 0b11100 ? 1 : 2]!;
}

/** By the next five bits: [MS-RDPBCGR] 3.1.8.4.2.2.1. */
export function distanceCode64K(prefix: number): DistanceCode {
  return codes64K[prefix === 0b11111 ? 0 : prefix === 0b11110 ? 1 : prefix >= 0b11100 ? 2 : 3]!;
}
