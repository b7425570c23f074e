/**
 * A lookup table for a canonical Huffman code sent least significant bit first: index it with the next `bitsMax` bits,
 * the entry is `symbol | length << 12`. [MS-RDPEGDI] 3.1.8.1.4.1 lists the codes; they follow from the lengths alone.
 */
export function canonicalLookup(lengths: readonly number[], bitsMax: number): Uint16Array {
  const table = new Uint16Array(1 << bitsMax);
  canonicalCodes(lengths).forEach((code, symbol) => {
    const length = lengths[symbol]!;
    for (let index = code; index < table.length; index += 1 << length) table[index] = symbol | (length << 12);
  });
  return table;
}

/** The codes of a canonical Huffman code, bits reversed so that the first to send is the lowest. */
export function canonicalCodes(lengths: readonly number[]): number[] {
  const codes = new Array<number>(lengths.length).fill(0);
  let next = 0;
  for (let length = 1; length <= 16; length += 1) {
    next *= 2;
    lengths.forEach((symbolLength, symbol) => {
      if (symbolLength !== length) return;
      codes[symbol] = reverseBits(next, length);
      next += 1;
    });
  }
  return codes;
}

function reverseBits(value: number, length: number): number {
  let reversed = 0;
  for (let bit = 0; bit < length; bit += 1) reversed |= ((value >> bit) & 1) << (length - 1 - bit);
  return reversed;
}
