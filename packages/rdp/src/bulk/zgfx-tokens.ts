/** The static code of RDP 8.0 bulk compression: [MS-RDPEGFX] 3.1.9.1.2.4. */

/** [prefix, extra bits, first distance]. Distance 0 introduces an unencoded run. */
export const matchTokens: readonly (readonly [string, number, number])[] = [
  ['10001', 5, 0],
  ['10010', 7, 32],
  ['10011', 9, 160],
  ['10100', 10, 672],
  ['10101', 12, 1696],
  ['101100', 14, 5792],
  ['101101', 15, 22176],
  ['1011100', 18, 54944],
  ['1011101', 20, 317088],
  ['10111100', 20, 1365664],
  ['10111101', 21, 2414240],
];

/** [code, byte] of the literals with a short code of their own; all others are 0 and their 8 bits. */
export const literalTokens: readonly (readonly [string, number])[] = [
  ['11000', 0x00],
  ['11001', 0x01],
  ['110100', 0x02],
  ['110101', 0x03],
  ['110110', 0xff],
  ['1101110', 0x04],
  ['1101111', 0x05],
  ['1110000', 0x06],
  ['1110001', 0x07],
  ['1110010', 0x08],
  ['1110011', 0x09],
  ['1110100', 0x0a],
  ['1110101', 0x0b],
  ['1110110', 0x3a],
  ['1110111', 0x3b],
  ['1111000', 0x3c],
  ['1111001', 0x3d],
  ['1111010', 0x3e],
  ['1111011', 0x3f],
  ['1111100', 0x40],
  ['1111101', 0x80],
  ['11111100', 0x0c],
  ['11111101', 0x38],
  ['11111110', 0x39],
  ['11111111', 0x66],
];

const lookupBits = 9;

/**
 * Indexed by the next nine bits: `value | length << 8 | match << 12`, where `value` is the literal's byte or the match
 * token's index. 0 where no token begins so. (A literal 0 has a length, so no token is 0.)
 */
export const tokenLookup: Uint16Array = buildLookup();

function buildLookup(): Uint16Array {
  const table = new Uint16Array(1 << lookupBits);
  const put = (code: string, entry: number) => {
    const free = lookupBits - code.length;
    const first = Number.parseInt(code, 2) << free;
    table.fill(entry | (code.length << 8), first, first + (1 << free));
  };
  for (let byte = 0; byte < 256; byte += 1) put(`0${byte.toString(2).padStart(8, '0')}`, byte);
  for (const [code, byte] of literalTokens) put(code, byte);
  matchTokens.forEach(([code], index) => {
    put(code, index | (1 << 12));
  });
  return table;
}
