/**
 * A Bloom filter over the trigrams of texts (three UTF-16 code units, lower case): says surely that a part is in none of
 * them, or that it may be. It tells about the texts to whoever tries, so it is kept where they may be and nowhere else.
 */
/** A seventh of all trigrams that are not there pass, and of words of eight letters one in 100,000. */
const hashes = 3;
const bitsPerTrigram = 4;
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
    for (let at = 0; at + 3 <= text.length; at += 1) if (!holds(this.bytes, hashOf(text, at))) return false;
    return true;
  }
}

export function textFilterOf(texts: Iterable<string>): TextFilter {
  const found: number[] = [];
  const seen = new Uint8Array(bitsMax / 8);
  for (const one of texts) {
    const text = one.toLowerCase();
    for (let at = 0; at + 3 <= text.length; at += 1) {
      const hash = hashOf(text, at);
      // Of those that look alike here most are one trigram, and the others are none the worse for it.
      if (holds(seen, hash)) continue;
      put(seen, hash);
      found.push(hash);
    }
  }
  let bits = bitsMin;
  while (bits < bitsMax && bits < found.length * bitsPerTrigram) bits *= 2;
  if (bits === bitsMax) return new TextFilter(seen);
  const bytes = new Uint8Array(bits / 8);
  for (const hash of found) put(bytes, hash);
  return new TextFilter(bytes);
}

/** FNV-1a of a trigram, mixed. */
function hashOf(text: string, at: number): number {
  let hash = Math.imul(0x811c9dc5 ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ text.charCodeAt(at + 1), 0x01000193);
  hash = Math.imul(hash ^ text.charCodeAt(at + 2), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** A second hash of it, added to the first as often as there are hashes to be (Kirsch and Mitzenmacher). */
const stepOf = (hash: number): number => Math.imul(hash ^ (hash >>> 13), 0x85ebca6b) | 1;

function holds(bytes: Uint8Array, hash: number): boolean {
  const mask = bytes.length * 8 - 1;
  const step = stepOf(hash);
  for (let turn = 0, bit = hash; turn < hashes; turn += 1, bit += step)
    if ((bytes[(bit & mask) >>> 3]! & (1 << (bit & 7))) === 0) return false;
  return true;
}

function put(bytes: Uint8Array, hash: number): void {
  const mask = bytes.length * 8 - 1;
  const step = stepOf(hash);
  for (let turn = 0, bit = hash; turn < hashes; turn += 1, bit += step) bytes[(bit & mask) >>> 3]! |= 1 << (bit & 7);
}
