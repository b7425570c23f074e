/** Bits from the high end of each byte. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #bits = 0;

  bit(value: number): void {
    if ((this.#bits & 7) === 0) this.#bytes.push(0);
    if (value) this.#bytes[this.#bytes.length - 1]! |= 0x80 >> (this.#bits & 7);
    this.#bits += 1;
  }

  bits(value: number, count: number): void {
    for (let i = count - 1; i >= 0; i -= 1) this.bit(Math.floor(value / 2 ** i) & 1);
  }

  repeat(value: number, count: number): void {
    for (let i = 0; i < count; i += 1) this.bit(value);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
