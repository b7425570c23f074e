/** The stream cipher RC4 (RFC 6229 has its vectors): weak, and what NTLM seals with. Inside TLS nothing rests on it. */
export class Rc4 {
  readonly #state: Uint8Array;
  #i = 0;
  #j = 0;

  /** `key`: 1 to 256 bytes. */
  constructor(key: Uint8Array) {
    if (!(key.length >= 1 && key.length <= 256)) throw new RangeError(`an RC4 key of ${key.length} bytes`);
    this.#state = Uint8Array.from({ length: 256 }, (_, at) => at);
    for (let i = 0, j = 0; i < 256; i += 1) {
      j = (j + this.#state[i]! + key[i % key.length]!) & 0xff;
      this.#swap(i, j);
    }
  }

  #swap(i: number, j: number): void {
    const kept = this.#state[i]!;
    this.#state[i] = this.#state[j]!;
    this.#state[j] = kept;
  }

  /** Enciphers or deciphers what comes next in the stream. */
  apply(bytes: Uint8Array): Uint8Array {
    return bytes.map((byte) => {
      this.#i = (this.#i + 1) & 0xff;
      this.#j = (this.#j + this.#state[this.#i]!) & 0xff;
      this.#swap(this.#i, this.#j);
      return byte ^ this.#state[(this.#state[this.#i]! + this.#state[this.#j]!) & 0xff]!;
    });
  }

  /** Another one that goes on from here by itself. */
  clone(): Rc4 {
    const copy = new Rc4(Uint8Array.of(0));
    copy.#state.set(this.#state);
    copy.#i = this.#i;
    copy.#j = this.#j;
    return copy;
  }
}
