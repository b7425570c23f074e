/** Where things lie in the memory of the bulk kernels, in bytes, and what they look up there. Reads may run up to 15 bytes past any of them. */
import { canonicalLookup } from './huffman.ts';
import { type DistanceCode, distanceCode8K, distanceCode64K } from './mppc-codes.ts';
import * as ncrushTables from './ncrush-tables.ts';

/** Longer input is decoded without the kernels. */
export const inputBytesMax = 0x10000;

/** Rows of 16: the first bytes of a match that reads what it writes, by its distance. */
export const patternsOffset = 0;
/** Rows of 16: as many ones as there are bytes left. */
export const masksOffset = 256;
/** By the three bits behind 11: how many bits a distance's code has, and what to add to all of them. */
export const distances64KOffset = masksOffset + 17 * 16;
export const distances8KOffset = distances64KOffset + 64;
/** How many bytes of a pattern are whole repetitions. */
export const stepsOffset = distances8KOffset + 64;
/** NCRUSH: 32 words. */
export const copyOffsetsOffset = 1024;
/** The last four copy-offsets, read and written by `ncrush`. */
export const offsetCacheOffset = copyOffsetsOffset + 128;
export const matchLookupOffset = 2048;
export const literalLookupOffset = 4096;
/** Zeros follow the input on the side its bits end. */
export const inputOffset = 0x6000;
export const reversedOffset = inputOffset + inputBytesMax + 64;

/** Room for histories. Pages never touched cost nothing. */
export interface SlotLayout {
  readonly offset: number;
  readonly bytes: number;
  readonly count: number;
}

export const smallSlots: SlotLayout = { offset: 0x30000, bytes: 0x10000, count: 64 };
const smallSlotsEnd = smallSlots.offset + smallSlots.count * smallSlots.bytes;
/** RDP 6.1's two megabytes, with some bytes between. */
export const largeSlots: SlotLayout = { offset: smallSlotsEnd + 0x10000, bytes: 0x1f0000, count: 4 };
export const pagesCount = (largeSlots.offset + largeSlots.count * largeSlots.bytes) / 0x10000 + 1;

/** Results below zero. */
export const bulkFailures = {
  truncated: -1,
  historyOverrun: -2,
  matchOverrun: -3,
  badLengthPrefix: -4,
  badSymbol: -5,
  badLengthClass: -6,
  matchesTruncated: -7,
  matchBeforeOutput: -8,
  matchOutsideHistory: -9,
} as const;

/**
 * `ncrush` finds a literal or a copy-offset as `bits | symbol << ncrushSymbolShift`: shifts take the lowest six bits of their count
 * alone. What is no code at all has no bits and a symbol above all others.
 */
export const ncrushSymbolShift = 6;
export const ncrushNoSymbol = 0x1ff;

const ncrushLiterals = (): Uint16Array =>
  canonicalLookup(ncrushTables.literalLengths, ncrushTables.literalBitsMax).map((entry) =>
    entry === 0 ? ncrushNoSymbol << ncrushSymbolShift : (entry >> 12) | ((entry & 0xfff) << ncrushSymbolShift),
  );

/** A length-of-match is `bits | extra bits << 8 | first length << 16`; 0 where there is no such code, no length where it has no class. */
const ncrushMatches = (): Uint32Array =>
  Uint32Array.from(canonicalLookup(ncrushTables.matchLengths, ncrushTables.matchBitsMax), (entry) => {
    const symbol = entry & 0xfff;
    const { [symbol]: base = 0 } = ncrushTables.matchBases;
    const { [symbol]: extraBits = 0 } = ncrushTables.matchExtraBits;
    return entry === 0 ? 0 : (entry >> 12) | (extraBits << 8) | (base << 16);
  });

export function fillTables(memory: ArrayBuffer): void {
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
      const prefix = 0b11000 | low;
      const { prefixBits, bits, first } = code(prefix);
      const at = (offset >> 2) + 2 * low;
      words[at] = prefixBits + bits;
      words[at + 1] = first - ((prefix >> (5 - prefixBits)) << bits);
    }
  };
  distanceCodes(distances8KOffset, distanceCode8K);
  distanceCodes(distances64KOffset, distanceCode64K);
  ncrushTables.copyOffsetBases.forEach((base, index) => {
    words[(copyOffsetsOffset >> 2) + index] = ncrushTables.copyOffsetExtraBits[index]! | ((base - 1) << 8);
  });
  new Uint16Array(memory, literalLookupOffset).set(ncrushLiterals());
  words.set(ncrushMatches(), matchLookupOffset >> 2);
}
