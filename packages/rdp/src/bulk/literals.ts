/**
 * Zeroes bytes of what a compressed payload stands for, in the payload itself: where such a byte was sent as a literal, its
 * bits are replaced by those of a literal of the same width. Lengths, matches and every other byte stay, so the payload
 * still decompresses and leaves the history its followers refer to. The codes say where they end: no history is needed.
 */
import { DecodeError } from '@lucid-sessions/wire';
import { BitReader, readMatchLength } from './bit-reader.ts';
import { canonicalCodes, canonicalLookup } from './huffman.ts';
import * as ncrush from './ncrush-tables.ts';

/** One byte that stands in the payload: `clear` takes it out. */
export interface Literal {
  /** Of the byte in the decompressed payload. */
  position: number;
  value: number;
  clear: () => void;
}

/** The literals before `end`, in order. Throws `DecodeError` where the codes can't be read. */
export function mppcLiterals(data: Uint8Array, large: boolean, end: number): Literal[] {
  const literals: Literal[] = [];
  const bits = new BitReader(data);
  for (let position = 0; bits.remaining >= 8 && position < end; ) {
    const next = bits.peek(9);
    if (next >= 0x180) {
      bits.skip(distanceBits(bits.peek(5), large));
      position += readMatchLength(bits, large ? 14 : 11);
      continue;
    }
    const width = next < 0x100 ? 8 : 9;
    bits.skip(width);
    const at = data.length * 8 - bits.remaining - 7;
    const value = next < 0x100 ? next >> 1 : (next & 0x7f) | 0x80;
    literals.push({ position, value, clear: () => clearHighFirst(data, at, 7) });
    position += 1;
  }
  return literals;
}

/** Prefix and number of a copy-offset: [MS-RDPBCGR] 3.1.8.4.1.2.1 and 3.1.8.4.2.2.1. */
function distanceBits(prefix: number, large: boolean): number {
  if (large) {
    if (prefix >= 0b11110) return prefix === 0b11111 ? 5 + 6 : 5 + 8;
    return prefix >= 0b11100 ? 4 + 11 : 3 + 16;
  }
  if (prefix >= 0b11100) return prefix >= 0b11110 ? 4 + 6 : 4 + 8;
  return 3 + 13;
}

function clearHighFirst(data: Uint8Array, at: number, count: number): void {
  for (let bit = at; bit < at + count; bit += 1) data[bit >> 3]! &= ~(0x80 >> (bit & 7));
}

const literalLookup = canonicalLookup(ncrush.literalLengths, ncrush.literalBitsMax);
const matchLookup = canonicalLookup(ncrush.matchLengths, ncrush.matchBitsMax);
const codes = canonicalCodes(ncrush.literalLengths);
/** Of each width the code of its first literal: which of them it was can't be told any more. */
const firstOfWidth = ncrush.literalLengths.map((width) => codes[ncrush.literalLengths.indexOf(width)]!);

/** The same for RDP 6.0, [MS-RDPEGDI] 3.1.8.1. */
export function ncrushLiterals(data: Uint8Array, end: number): Literal[] {
  const literals: Literal[] = [];
  let at = 0;
  const peek = (count: number): number => {
    const byte = at >> 3;
    const word = (data[byte] ?? 0) | ((data[byte + 1] ?? 0) << 8) | ((data[byte + 2] ?? 0) << 16);
    return (word >>> (at & 7)) & ((1 << count) - 1);
  };
  const take = (count: number): void => {
    at += count;
    if (at > data.length * 8) throw new DecodeError('truncated', 'compressed bits end inside a code', at >> 3);
  };
  const symbol = (lookup: Uint16Array, bitsMax: number): number => {
    const entry = lookup[peek(bitsMax)]!;
    if (entry === 0) throw new DecodeError('invalid', 'a Huffman code is not defined', at >> 3);
    take(entry >> 12);
    return entry & 0xfff;
  };
  for (let position = 0; position < end; ) {
    const start = at;
    const value = symbol(literalLookup, ncrush.literalBitsMax);
    if (value === ncrush.endOfStream) break;
    if (value < ncrush.endOfStream) {
      literals.push({ position, value, clear: () => putLowFirst(data, start, value) });
      position += 1;
      continue;
    }
    if (value < ncrush.cachedOffsetFirst) take(ncrush.copyOffsetExtraBits[value - ncrush.copyOffsetFirst]!);
    const index = symbol(matchLookup, ncrush.matchBitsMax);
    const base = ncrush.matchBases[index];
    if (base === undefined) throw new DecodeError('invalid', 'a length-of-match class is not defined', at >> 3);
    const extra = ncrush.matchExtraBits[index]!;
    position += base + peek(extra);
    take(extra);
  }
  return literals;
}

function putLowFirst(data: Uint8Array, at: number, value: number): void {
  const code = firstOfWidth[value]!;
  for (let bit = 0; bit < ncrush.literalLengths[value]!; bit += 1) {
    const mask = 1 << ((at + bit) & 7);
    const byte = (at + bit) >> 3;
    data[byte] = (code >> bit) & 1 ? data[byte]! | mask : data[byte]! & ~mask;
  }
}
