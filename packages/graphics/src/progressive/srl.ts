/** Compressed lengths are 16-bit fields. */
const inputBytesMax = 0xffff;

/**
 * Bits from the high end of each byte; past the end come zeros, for ever. Input is copied into a buffer that outlives the reader
 * (one for each role), so that reading needs no bounds.
 */
export class ProgressiveBits {
  readonly #view: DataView;
  readonly #end: number;
  #at = 0;

  constructor(bytes: Uint8Array, buffer: Uint8Array<ArrayBuffer> = createBitBuffer()) {
    const length = Math.min(bytes.length, inputBytesMax);
    buffer.set(bytes.subarray(0, length));
    buffer.fill(0, length, length + 8);
    this.#view = new DataView(buffer.buffer);
    this.#end = length * 8;
  }

  get exhausted(): boolean {
    return this.#at >= this.#end;
  }

  /** At most 25 bits. */
  bits(count: number): number {
    const at = this.#at;
    const window = this.#view.getInt32(at >> 3) << (at & 7);
    this.#at = Math.min(at + count, this.#end);
    return count === 0 ? 0 : window >>> (32 - count);
  }
}

/** Room for the longest input and the zeros after it. */
export function createBitBuffer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(inputBytesMax + 9);
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
  /** Zeros due before anything is read: a caller in a hurry may count them down itself. */
  zeros = 0;
  #magnitudeNext = false;

  constructor(bytes: Uint8Array, buffer?: Uint8Array<ArrayBuffer>) {
    this.#bits = new ProgressiveBits(bytes, buffer);
  }

  /** The next value, whose magnitude has at most `bitsCount` bits. */
  read(bitsCount: number): number {
    if (this.zeros > 0) {
      this.zeros -= 1;
      return 0;
    }
    if (!this.#magnitudeNext && this.#readRun()) return 0;
    this.#magnitudeNext = false;
    return this.#readMagnitude(bitsCount);
  }

  /** Reads one run; false when the value due now isn't part of it. */
  #readRun(): boolean {
    const k = this.#kp >> fractionBits;
    if (this.#bits.bits(1) === 0) {
      this.zeros = (1 << k) - 1;
      this.#kp = Math.min(this.#kp + 4, parameterMax);
      return true;
    }
    const length = this.#bits.bits(k);
    if (length === 0) return false;
    this.zeros = length - 1;
    this.#magnitudeNext = true;
    return true;
  }

  #readMagnitude(bitsCount: number): number {
    const negative = this.#bits.bits(1) === 1;
    this.#kp = Math.max(this.#kp - 6, 0);
    const max = (1 << bitsCount) - 1;
    let magnitude = 1;
    while (magnitude < max && !this.#bits.exhausted && this.#bits.bits(1) === 0) magnitude += 1;
    return negative ? -magnitude : magnitude;
  }
}
