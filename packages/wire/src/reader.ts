import { DecodeError, type DecodeErrorCode } from './decode-error.ts';

const ascii = new TextDecoder('latin1');
const utf16le = new TextDecoder('utf-16le');
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * A bounded read cursor over bytes it does not copy. Every read past the end throws `DecodeError('truncated')`;
 * slices share memory with the input, so copy them (`copy`) if they must outlive it.
 */
export class Reader {
  readonly bytes: Uint8Array;
  /** Absolute position of the next byte in `bytes`. */
  offset: number;
  /** Absolute position one past the last readable byte. */
  readonly end: number;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    if (!(offset >= 0 && offset <= end && end <= bytes.length))
      throw new RangeError('reader window outside its buffer');
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.end - this.offset;
  }

  /** An error at the present position; the caller throws it. */
  error(code: DecodeErrorCode, message: string): DecodeError {
    return new DecodeError(code, message, this.offset);
  }

  /** Throws unless `length` more bytes can be read. */
  need(length: number, what = 'value'): void {
    if (!(length >= 0 && length <= this.remaining))
      throw this.error('truncated', `${what} needs ${length} bytes, ${this.remaining} are left`);
  }

  #take(length: number): number {
    this.need(length);
    const at = this.offset;
    this.offset = at + length;
    return at;
  }

  // Read byte by byte: a DataView for each reader costs more than most of them read.
  u8(): number {
    return this.bytes[this.#take(1)]!;
  }
  u16le(): number {
    const at = this.#take(2);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }
  u16be(): number {
    const at = this.#take(2);
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }
  i16le(): number {
    return (this.u16le() << 16) >> 16;
  }
  u32le(): number {
    return this.i32le() >>> 0;
  }
  u32be(): number {
    const { bytes } = this;
    const at = this.#take(4);
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }
  i32le(): number {
    const { bytes } = this;
    const at = this.#take(4);
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
  u64le(): bigint {
    return this.#view(8).getBigUint64(0, true);
  }
  u64be(): bigint {
    return this.#view(8).getBigUint64(0, false);
  }
  #view(length: number): DataView {
    const at = this.#take(length);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, length);
  }
  /** A 64-bit big-endian count as a number; `limit` when it is above 2^53 − 1. */
  u64beNumber(): number {
    const value = this.u64be();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.error('limit', '64-bit value above 2^53 - 1');
    return Number(value);
  }

  /** The byte at `ahead` bytes from here, without moving. */
  peekU8(ahead = 0): number {
    this.need(ahead + 1);
    return this.bytes[this.offset + ahead]!;
  }

  /** A view of the next `length` bytes (shared memory). */
  slice(length: number): Uint8Array {
    const at = this.#take(length);
    return this.bytes.subarray(at, at + length);
  }
  /** A copy of the next `length` bytes. */
  copy(length: number): Uint8Array {
    return new Uint8Array(this.slice(length));
  }
  /** A view of all that is left. */
  rest(): Uint8Array {
    return this.slice(this.remaining);
  }
  skip(length: number): void {
    this.#take(length);
  }
  /** A reader over the next `length` bytes, which this reader skips. */
  sub(length: number): Reader {
    const at = this.#take(length);
    return new Reader(this.bytes, at, at + length);
  }

  latin1(length: number): string {
    return ascii.decode(this.slice(length));
  }
  utf16le(bytesLength: number): string {
    return utf16le.decode(this.slice(bytesLength));
  }
  /** Strict UTF-8: ill-formed bytes are `invalid`. */
  utf8(length: number): string {
    const at = this.offset;
    try {
      return utf8.decode(this.slice(length));
    } catch (cause) {
      if (cause instanceof DecodeError) throw cause;
      throw new DecodeError('invalid', 'ill-formed UTF-8', at);
    }
  }

  /** Throws `invalid` unless everything was read. */
  expectEnd(what = 'value'): void {
    if (this.remaining !== 0) throw this.error('invalid', `${this.remaining} bytes follow the ${what}`);
  }
}
