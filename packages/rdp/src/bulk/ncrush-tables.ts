/** The static code of RDP 6.0 bulk compression: [MS-RDPEGDI] 3.1.8.1.4.1 (tables 1 and 3) and 3.1.8.1.4.2 (4 and 6). */

/** Bits of the codes for literals 0–255, end of stream 256, copy-offsets 257–288 and cached offsets 289–292 (hex digits). */
const literalLengthsHex =
  '66677777777888888898999988999999899a9999999a9aaa99a9a9a999aa9a9989999aaa99aaaaaa99aaaaaaa9aaaaaa' +
  '8aaaaaaaaaaaaaaa9aaaaaaa9aaaaaa9799a9aaa9aaaaaaa9aaaaaaaaaaaaaaaaaaaaaaaaaadaaaaaabaaaaaaaaaaaaa' +
  '9aaaaa9aaaaa9aaa9aaaaaaaaaaaaaaa9aaaaaaaaaaaaa9a899a9aaa9aaa9987dd77a77666656665656666666666666685' +
  '677';
export const literalLengths: readonly number[] = [...literalLengthsHex].map((digit) => Number.parseInt(digit, 16));
export const literalBitsMax = 13;
export const endOfStream = 256;
export const copyOffsetFirst = 257;
export const cachedOffsetFirst = 289;

/** Bits of the codes for the 32 length-of-match classes. */
export const matchLengths: readonly number[] = [...'42343445455667787889989999999999'].map(Number);
export const matchBitsMax = 9;

/** Extra bits of each copy-offset class. */
export const copyOffsetExtraBits: readonly number[] = Array.from({ length: 32 }, (_, index) =>
  index < 4 ? 0 : (index - 2) >> 1,
);
/** First value of each copy-offset class; the offset is one less than base and extra bits say. */
export const copyOffsetBases: readonly number[] = bases(copyOffsetExtraBits, 1);

/** Extra bits of each length-of-match class. The last two classes say any length and are what a bad encoder may use. */
export const matchExtraBits: readonly number[] = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 6, 6, 8, 8, 14, 14,
];
/** First length of each length-of-match class. */
export const matchBases: readonly number[] = [...bases(matchExtraBits.slice(0, 28), 2), 2, 2];

function bases(extraBits: readonly number[], first: number): number[] {
  let next = first;
  return extraBits.map((bits) => {
    const base = next;
    next += 1 << bits;
    return base;
  });
}
