/**
 * A Bloom filter over the trigrams of texts (three UTF-16 code units, lower case): says surely that a part is in none of
 * them, or that it may be. It tells about the texts to whoever tries, so it is kept where they may be and nowhere else.
 */
const hashes = 4;
const bitsPerTrigram = 10;
const bitsMin = 1 << 9;
const bitsMax = 1 << 20;

export class TextFilter {
  readonly bytes: Uint8Array;

  /** `bytes`: a power of two of them, as `textFilterOf` makes them. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Parts shorter than three code units are not judged. */
  mayHold(part: string): boolean {
    const text = part.toLowerCase();
    const mask = this.bytes.length * 8 - 1;
    for (let at = 0; at + 3 <= text.length; at += 1) {
      for (const bit of bitsOf(text, at, mask)) if ((this.bytes[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

export function textFilterOf(texts: Iterable<string>): TextFilter {
  const places = new Map<string, readonly [string, number]>();
  for (const one of texts) {
    const text = one.toLowerCase();
    for (let at = 0; at + 3 <= text.length; at += 1) {
      const trigram = text.slice(at, at + 3);
      if (!places.has(trigram)) places.set(trigram, [text, at]);
    }
  }
  let bits = bitsMin;
  while (bits < bitsMax && bits < places.size * bitsPerTrigram) bits *= 2;
  const bytes = new Uint8Array(bits / 8);
  for (const [text, at] of places.values())
    for (const bit of bitsOf(text, at, bits - 1)) bytes[bit >>> 3]! |= 1 << (bit & 7);
  return new TextFilter(bytes);
}

/** Two hashes of a trigram, added up as often as there are to be (Kirsch and Mitzenmacher). */
function bitsOf(text: string, at: number, mask: number): number[] {
  let first = 0x811c9dc5;
  for (let next = at; next < at + 3; next += 1) first = Math.imul(first ^ text.charCodeAt(next), 0x01000193);
  first ^= first >>> 15;
  const second = Math.imul(first ^ (first >>> 13), 0x85ebca6b) | 1;
  return Array.from({ length: hashes }, (_, turn) => ((first + Math.imul(turn, second)) >>> 0) & mask);
}
