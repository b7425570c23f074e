import { DecodeError } from '@lucid-sessions/wire';

/** Bits from the most significant of the first byte on. Reading past the end throws `DecodeError('truncated')`. */
export class BitReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #position = 0;

  /** `bitsCount` may end inside the last byte. */
  constructor(bytes: Uint8Array, bitsCount = bytes.length * 8) {
    this.#bytes = bytes;
    this.#end = bitsCount;
  }

  /** Bits not yet read. */
  get remaining(): number {
    return this.#end - this.#position;
  }

  /** The next `count` ≤ 24 bits without moving; zeros follow the end. */
  peek(count: number): number {
    const bytes = this.#bytes;
    const at = this.#position >>> 3;
    const word = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | (bytes[at + 3]! | 0);
    return count === 0 ? 0 : (word << (this.#position & 7)) >>> (32 - count);
  }

  skip(count: number): void {
    if (count > this.remaining)
      throw new DecodeError('truncated', 'compressed bits end inside a code', this.#position >>> 3);
    this.#position += count;
  }

  /** The next `count` ≤ 24 bits. */
  read(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /** Moves to the next whole byte and returns its index. */
  alignToByte(): number {
    this.skip(Math.min(this.remaining, -this.#position & 7));
    return this.#position >>> 3;
  }

  /** Skips whole bytes the caller reads itself. */
  skipBytes(count: number): void {
    this.skip(count * 8);
  }

  error(message: string): DecodeError {
    return new DecodeError('invalid', message, this.#position >>> 3);
  }
}

/**
 * The length-of-match code shared by RDP 4.0, 5.0 and 8.0 ([MS-RDPBCGR] 3.1.8.4.1.2.2, [MS-RDPEGFX] 3.1.9.1.2.4): n ones
 * and a zero, then n + 1 bits that count from 2^(n + 1); a single zero is 3.
 */
export function readMatchLength(bits: BitReader, onesMax: number): number {
  const ones = Math.clz32(~(bits.peek(16) << 16));
  if (ones > onesMax) throw bits.error('a length-of-match has no such prefix');
  bits.skip(ones + 1);
  return ones === 0 ? 3 : (2 << ones) + bits.read(ones + 1);
}
