/** Bits from the high end of each byte; past the end come zeros, for ever. */
export class ProgressiveBits {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length * 8;
  }

  get exhausted(): boolean {
    return this.#at >= this.#end;
  }

  bit(): number {
    const at = this.#at;
    if (at >= this.#end) return 0;
    this.#at = at + 1;
    return (this.#bytes[at >> 3]! >> (7 - (at & 7))) & 1;
  }

  bits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1) value = (value << 1) | this.bit();
    return value;
  }
}

const parameterMax = 80;
const fractionBits = 3;

/**
 * The Simplified Run-Length decoder of progressive upgrades, [MS-RDPEGFX] 3.2.8.1.5.1: runs of zeros in adaptive
 * Golomb-Rice code, then a sign and a unary magnitude. One decoder serves all bands of a component.
 */
export class SrlDecoder {
  readonly #bits: ProgressiveBits;
  #kp = 1 << fractionBits;
  #zeros = 0;
  #magnitudeNext = false;

  constructor(bytes: Uint8Array) {
    this.#bits = new ProgressiveBits(bytes);
  }

  /** The next value, whose magnitude has at most `bitsCount` bits. */
  read(bitsCount: number): number {
    if (this.#zeros > 0) {
      this.#zeros -= 1;
      return 0;
    }
    if (!this.#magnitudeNext && this.#readRun()) return 0;
    this.#magnitudeNext = false;
    return this.#readMagnitude(bitsCount);
  }

  /** Reads one run; false when the value due now isn't part of it. */
  #readRun(): boolean {
    const k = this.#kp >> fractionBits;
    if (this.#bits.bit() === 0) {
      this.#zeros = (1 << k) - 1;
      this.#kp = Math.min(this.#kp + 4, parameterMax);
      return true;
    }
    const length = this.#bits.bits(k);
    if (length === 0) return false;
    this.#zeros = length - 1;
    this.#magnitudeNext = true;
    return true;
  }

  #readMagnitude(bitsCount: number): number {
    const negative = this.#bits.bit() === 1;
    this.#kp = Math.max(this.#kp - 6, 0);
    const max = (1 << bitsCount) - 1;
    let magnitude = 1;
    while (magnitude < max && !this.#bits.exhausted && this.#bits.bit() === 0) magnitude += 1;
    return negative ? -magnitude : magnitude;
  }
}
