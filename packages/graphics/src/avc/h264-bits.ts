import { DecodeError } from '@lucid-sessions/wire';

/** Bits of a raw byte sequence payload, ITU-T H.264 clauses 7.2 and 9.1. */
export class H264BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  /** `rbsp`: without emulation prevention. */
  constructor(rbsp: Uint8Array) {
    this.#bytes = rbsp;
  }

  /** Bits read so far. */
  get position(): number {
    return this.#at;
  }

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1) {
      const byte = this.#bytes[this.#at >> 3];
      if (byte === undefined) throw new DecodeError('truncated', 'an h.264 header ends early');
      value = value * 2 + ((byte >> (7 - (this.#at & 7))) & 1);
      this.#at += 1;
    }
    return value;
  }

  flag(): boolean {
    return this.read(1) === 1;
  }

  /** ue(v), clause 9.1. */
  ue(): number {
    let zeros = 0;
    while (this.read(1) === 0) {
      zeros += 1;
      if (zeros > 31) throw new DecodeError('invalid', 'an h.264 header has too large a number');
    }
    return 2 ** zeros - 1 + this.read(zeros);
  }

  /** se(v), clause 9.1.1. */
  se(): number {
    const code = this.ue();
    return code & 1 ? (code + 1) / 2 : -code / 2;
  }
}

/** Writes a NAL unit's payload. */
export class H264BitWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  constructor(bytesGuess = 64) {
    this.#bytes = new Uint8Array(bytesGuess);
  }

  write(count: number, value: number): void {
    this.#reserve(4);
    for (let bit = count - 1; bit >= 0; bit -= 1) {
      if ((value >>> bit) & 1) this.#bytes[this.#at >> 3]! |= 0x80 >> (this.#at & 7);
      this.#at += 1;
    }
  }

  flag(value: boolean): void {
    this.write(1, value ? 1 : 0);
  }

  ue(value: number): void {
    const length = 32 - Math.clz32(value + 1);
    this.write(length - 1, 0);
    this.write(length, value + 1);
  }

  /** Zeros up to the next whole byte: pcm_alignment_zero_bit. */
  align(): void {
    this.#at = (this.#at + 7) & ~7;
  }

  /** Whole bytes; where the position is one. */
  bytes(source: Uint8Array): void {
    this.#reserve(source.length);
    this.#bytes.set(source, this.#at >> 3);
    this.#at += source.length * 8;
  }

  /** Ends the payload with rbsp_trailing_bits, clause 7.3.2.11. */
  finish(): Uint8Array<ArrayBuffer> {
    this.write(1, 1);
    this.align();
    return this.#bytes.subarray(0, this.#at >> 3);
  }

  #reserve(length: number): void {
    const needed = (this.#at >> 3) + length + 1;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
