import { DecodeError } from '@lucid-sessions/wire';

/** Bytes of a peer that wait to be understood, in memory of its own and never more than `bytesMax`. */
export class Gathered {
  readonly #bytesMax: number;
  #memory: Uint8Array = new Uint8Array(0);
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#length;
  }

  /** What is there; valid until the next call. */
  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#length);
  }

  /** Throws `DecodeError` when that would be more than there may be. */
  push(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (!(length <= this.#bytesMax)) throw new DecodeError('limit', `more than ${this.#bytesMax} bytes at once`);
    if (length > this.#memory.length) {
      const larger = new Uint8Array(Math.min(this.#bytesMax, Math.max(2 * length, 512)));
      larger.set(this.bytes);
      this.#memory = larger;
    }
    this.#memory.set(bytes, this.#length);
    this.#length = length;
  }

  /** The first `length` bytes, gone from here. All of them unless told otherwise. */
  take(length = this.#length): Uint8Array {
    const taken = this.#memory.slice(0, length);
    this.#memory.copyWithin(0, length, this.#length);
    this.#length -= length;
    return taken;
  }
}
