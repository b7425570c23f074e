import type { Codec, Reader, Writer } from '@lucid-sessions/wire';

/**
 * The aligned PER of T.124/T.125 as far as RDP uses it. Lengths take one byte below 128 and two otherwise; peers may
 * use two where one would do, which the values here remember (`wide`) so that they encode back byte for byte.
 */

/** Reads a length determinant. Fifteen bits, as RDP peers use it, though X.691 stops at fourteen. */
export function readPerLength(reader: Reader): { length: number; wide: boolean } {
  const first = reader.u8();
  if ((first & 0x80) === 0) return { length: first, wide: false };
  return { length: ((first & 0x7f) << 8) | reader.u8(), wide: true };
}

/** Writes a length determinant; two bytes when `wide` or when one does not hold it. */
export function writePerLength(writer: Writer, length: number, wide = false): void {
  if (length > 0x7fff) throw new RangeError(`${length} bytes do not fit one PER length`);
  if (wide || length > 0x7f) writer.u16be(0x8000 | length);
  else writer.u8(length);
}

/** Whether a length read as `wide` is not the form `writePerLength` would choose. */
export function perLengthIsOdd(length: number, wide: boolean): boolean {
  return wide && length <= 0x7f;
}

/** An unconstrained whole number: length, then big-endian bytes. */
export interface PerInteger {
  value: number;
  /** How many bytes hold it; 1 to 4, or 0 from rdesktop. */
  size: number;
}

export const perInteger: Codec<PerInteger> = {
  name: 'PER integer',
  decode(reader) {
    const size = reader.u8();
    if (size > 4) throw reader.error('unsupported', `PER integer of ${size} bytes`);
    let value = 0;
    for (let i = 0; i < size; i += 1) value = value * 256 + reader.u8();
    return { value, size };
  },
  encode({ value, size }, writer) {
    writer.u8(size);
    for (let i = size - 1; i >= 0; i -= 1) writer.u8(Math.floor(value / 256 ** i) & 0xff);
  },
};
