/**
 * SHA-256 (FIPS 180-4) whose state can be saved between chunks: a file may be read over many of them, and an index that
 * goes on from its snapshot must give the same digest as one made in one go. The state of the platform's hashes can't be saved.
 */
const rounds = new Uint32Array(64);
const initial = new Uint32Array(8);

/** First 32 bits of the fractional part of a root of a prime. */
const fraction = (root: number): number => ((root - Math.floor(root)) * 0x1_0000_0000) >>> 0;

for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  let prime = true;
  for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) if (candidate % divisor === 0) prime = false;
  if (!prime) continue;
  if (found < 8) initial[found] = fraction(Math.sqrt(candidate));
  rounds[found] = fraction(Math.cbrt(candidate));
  found += 1;
}

export interface Sha256Snapshot {
  readonly words: Uint32Array;
  readonly block: Uint8Array;
  readonly length: number;
}

const rotate = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

export class ResumableSha256 {
  readonly #words = initial.slice();
  readonly #block = new Uint8Array(64);
  readonly #schedule = new Uint32Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  snapshot(): Sha256Snapshot {
    return { words: this.#words.slice(), block: this.#block.slice(0, this.#length % 64), length: this.#length };
  }

  restore(snapshot: Sha256Snapshot): void {
    this.#words.set(snapshot.words);
    this.#block.set(snapshot.block);
    this.#length = snapshot.length;
  }

  update(bytes: Uint8Array): void {
    let at = 0;
    let used = this.#length % 64;
    this.#length += bytes.length;
    while (at < bytes.length) {
      const take = Math.min(64 - used, bytes.length - at);
      this.#block.set(bytes.subarray(at, at + take), used);
      at += take;
      used += take;
      if (used < 64) return;
      this.#compress();
      used = 0;
    }
  }

  /** Lower-case hex. The hash can take no more afterwards. */
  digestHex(): string {
    const lengthBytes = this.#length;
    const padding = new Uint8Array((lengthBytes % 64 < 56 ? 56 : 120) - (lengthBytes % 64) + 8);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(lengthBytes / 0x2000_0000));
    view.setUint32(padding.length - 4, (lengthBytes * 8) >>> 0);
    this.update(padding);
    return Array.from(this.#words, (word) => word.toString(16).padStart(8, '0')).join('');
  }

  #compress(): void {
    const w = this.#schedule;
    const view = new DataView(this.#block.buffer);
    for (let i = 0; i < 16; i += 1) w[i] = view.getUint32(4 * i);
    for (let i = 16; i < 64; i += 1) {
      const x = w[i - 15]!;
      const y = w[i - 2]!;
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
    }
    const words = this.#words;
    let [a, b, c, d, e, f, g, h] = words as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i += 1) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i]! + w[i]!) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => {
      words[i] = words[i]! + value;
    });
  }
}
