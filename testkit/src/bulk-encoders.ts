/** Compressors for the tests, written from the specifications' encoding sections and not from the decoders. */
import { canonicalCodes, literalTokens, matchTokens, ncrushTables as ncrush } from '@lucid-sessions/rdp/bulk';

export type Token = number | { distance: number; length: number };

/** Most significant bit first; `text` of 0 and 1. */
export class BitWriter {
  #bits: string[] = [];
  put(text: string): void {
    this.#bits.push(text);
  }
  putNumber(value: number, width: number): void {
    if (width > 0) this.put(value.toString(2).padStart(width, '0').slice(-width));
  }
  get text(): string {
    return this.#bits.join('');
  }
  bytes(): Uint8Array {
    const text = this.text;
    const bytes = new Uint8Array(Math.ceil(text.length / 8));
    for (let at = 0; at < text.length; at += 1) if (text[at] === '1') bytes[at >> 3]! |= 0x80 >> (at & 7);
    return bytes;
  }
}

/** Length-of-match of RDP 4.0, 5.0 and 8.0. */
function putLength(bits: BitWriter, length: number): void {
  if (length === 3) {
    bits.put('0');
    return;
  }
  const width = 31 - Math.clz32(length);
  bits.put(`${'1'.repeat(width - 1)}0`);
  bits.putNumber(length, width);
}

export function mppcEncode(tokens: readonly Token[], large: boolean): Uint8Array {
  const bits = new BitWriter();
  for (const token of tokens) {
    if (typeof token === 'number') {
      bits.put(token < 0x80 ? '0' : '10');
      bits.putNumber(token, 7);
      continue;
    }
    const { distance } = token;
    const prefix = large ? ['11111', '11110', '1110', '110'] : ['1111', '1110', '110', '110'];
    if (distance < 64) {
      bits.put(prefix[0]!);
      bits.putNumber(distance, 6);
    } else if (distance < 320) {
      bits.put(prefix[1]!);
      bits.putNumber(distance - 64, 8);
    } else if (!large) {
      bits.put(prefix[2]!);
      bits.putNumber(distance - 320, 13);
    } else if (distance < 2368) {
      bits.put(prefix[2]!);
      bits.putNumber(distance - 320, 11);
    } else {
      bits.put(prefix[3]!);
      bits.putNumber(distance - 2368, 16);
    }
    putLength(bits, token.length);
  }
  return bits.bytes();
}

/** Greedy tokens for `data` after `before` (what the receiver's history holds, oldest first). */
export function tokens(data: Uint8Array, before: Uint8Array, lengthMin: number, lengthMax: number): Token[] {
  const all = new Uint8Array(before.length + data.length);
  all.set(before);
  all.set(data, before.length);
  const seen = new Map<number, number>();
  const key = (at: number) => (all[at]! << 16) | (all[at + 1]! << 8) | all[at + 2]!;
  const result: Token[] = [];
  for (let at = 0; at < before.length; at += 1) seen.set(key(at), at);
  for (let at = before.length; at < all.length; ) {
    const from = at + 2 < all.length ? seen.get(key(at)) : undefined;
    let length = 0;
    if (from !== undefined)
      while (at + length < all.length && length < lengthMax && all[from + length] === all[at + length]) length += 1;
    const taken = length >= lengthMin ? length : 1;
    result.push(taken > 1 ? { distance: at - from!, length } : all[at]!);
    for (const end = at + taken; at < end; at += 1) if (at + 2 < all.length) seen.set(key(at), at);
  }
  return result;
}

/** [MS-RDPEGDI] 3.1.8.1.4.3, with the offset cache. Keep the instance for a stream. */
export class NcrushEncoder {
  #cache = [0, 0, 0, 0];
  readonly #literals = canonicalCodes(ncrush.literalLengths);
  readonly #matches = canonicalCodes(ncrush.matchLengths);

  encode(tokens: readonly Token[]): Uint8Array {
    const bits: number[] = [];
    const put = (value: number, width: number) => {
      for (let bit = 0; bit < width; bit += 1) bits.push((value >> bit) & 1);
    };
    const symbol = (index: number) => put(this.#literals[index]!, ncrush.literalLengths[index]!);
    for (const token of tokens) {
      if (typeof token === 'number') {
        symbol(token);
        continue;
      }
      const cached = this.#cache.indexOf(token.distance);
      if (cached >= 0) {
        symbol(ncrush.cachedOffsetFirst + cached);
        this.#cache[cached] = this.#cache[0]!;
        this.#cache[0] = token.distance;
      } else {
        const index = ncrush.copyOffsetBases.findLastIndex((base) => base <= token.distance + 1);
        symbol(ncrush.copyOffsetFirst + index);
        put(token.distance + 1 - ncrush.copyOffsetBases[index]!, ncrush.copyOffsetExtraBits[index]!);
        this.#cache = [token.distance, ...this.#cache.slice(0, 3)];
      }
      const index =
        token.length < 770 ? ncrush.matchBases.findLastIndex((base, at) => at < 28 && base <= token.length) : 28;
      put(this.#matches[index]!, ncrush.matchLengths[index]!);
      put(token.length - ncrush.matchBases[index]!, ncrush.matchExtraBits[index]!);
    }
    symbol(ncrush.endOfStream);
    const bytes = new Uint8Array(Math.ceil(bits.length / 8));
    bits.forEach((bit, at) => {
      bytes[at >> 3]! |= bit << (at & 7);
    });
    return bytes;
  }
}

/** [MS-RDPEGDI] 3.1.8.2, now and then with the second level and from the front again. Keep the instance for a stream. */
export class XcrushEncoder {
  #offset = 0;
  #count = 0;

  encode(tokens: readonly Token[]): Uint8Array {
    this.#count += 1;
    const isAtFront = this.#count % 7 === 0;
    if (isAtFront) this.#offset = 0;
    const start = this.#offset;
    const matches: number[] = [];
    const literals: number[] = [];
    for (const token of tokens) {
      if (typeof token === 'number') {
        literals.push(token);
        this.#offset += 1;
        continue;
      }
      const { length } = token;
      const outputOffset = this.#offset - start;
      const historyOffset = Math.abs(this.#offset - token.distance);
      matches.push(
        ...[length, outputOffset, historyOffset & 0xffff].flatMap((word) => [word & 0xff, (word >> 8) & 0xff]),
      );
      matches.push((historyOffset >> 16) & 0xff, 0);
      this.#offset += length;
    }
    const matchCount = matches.length / 8;
    const level1 = Uint8Array.of(matchCount & 0xff, matchCount >> 8, ...matches, ...literals);
    const level1Flags = 0x01 | (isAtFront ? 0x04 : 0);
    if (this.#count % 2 === 0) return Uint8Array.of(level1Flags, 0, ...level1);
    const level2 = mppcEncode([...level1], true);
    return Uint8Array.of(level1Flags | 0x10, 0x21 | (this.#count % 9 === 0 ? 0x40 : 0), ...level2);
  }
}

export type ZgfxToken = Token | Uint8Array;

/** One RDP8_BULK_ENCODED_DATA; a Uint8Array token is an unencoded run. */
export function zgfxSegment(tokens: readonly ZgfxToken[]): Uint8Array {
  const bits = new BitWriter();
  for (const token of tokens) {
    if (typeof token === 'number') {
      const short = literalTokens.find(([, byte]) => byte === token)?.[0];
      if (short) bits.put(short);
      else bits.putNumber(token, 9);
    } else if (token instanceof Uint8Array) {
      bits.put('1000100000');
      bits.putNumber(token.length, 15);
      bits.put('0'.repeat(-bits.text.length & 7));
      for (const byte of token) bits.putNumber(byte, 8);
    } else {
      const [prefix, extra, first] = matchTokens.findLast(([, , base]) => base <= token.distance)!;
      bits.put(prefix);
      bits.putNumber(token.distance - first, extra);
      putLength(bits, token.length);
    }
  }
  return Uint8Array.of(0x24, ...bits.bytes(), -bits.text.length & 7);
}

export function zgfxSingle(segment: Uint8Array): Uint8Array {
  return Uint8Array.of(0xe0, ...segment);
}

export function zgfxMultipart(segments: readonly Uint8Array[], uncompressedSize: number): Uint8Array {
  const head = new Uint8Array(7 + segments.reduce((sum, segment) => sum + 4 + segment.length, 0));
  const view = new DataView(head.buffer);
  view.setUint8(0, 0xe1);
  view.setUint16(1, segments.length, true);
  view.setUint32(3, uncompressedSize, true);
  let at = 7;
  for (const segment of segments) {
    view.setUint32(at, segment.length, true);
    head.set(segment, at + 4);
    at += 4 + segment.length;
  }
  return head;
}
