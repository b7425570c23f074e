import { DecodeError } from '@lucid-sessions/wire';

/** An RLP item: a string of bytes, or a list of items. */
export type RlpItem = Uint8Array | RlpItem[];

const depthMax = 4;
const itemsMax = 64;
const bad = (message: string): DecodeError => new DecodeError('invalid', `bad RLP: ${message}`);

/** Decodes one RLP item (Ethereum yellow paper, appendix B) and nothing behind it; each value has one right form. Throws `DecodeError`. */
export function decodeRlp(bytes: Uint8Array): RlpItem {
  const { item, end } = itemAt(bytes, 0, 0);
  if (end !== bytes.length) throw bad('bytes behind the item');
  return item;
}

function itemAt(bytes: Uint8Array, at: number, depth: number): { item: RlpItem; end: number } {
  const first = bytes[at];
  if (first === undefined) throw bad('it ends early');
  if (first < 0x80) return { item: bytes.subarray(at, at + 1), end: at + 1 };
  const isList = first >= 0xc0;
  const { from, end } = contentOf(bytes, at, first - (isList ? 0xc0 : 0x80));
  if (isList) return { item: listOf(bytes.subarray(from, end), depth), end };
  const item = bytes.subarray(from, end);
  if (item.length === 1 && item[0]! < 0x80) throw bad('a byte that needs no prefix has one');
  return { item, end };
}

/** `code`: 0 to 55 is the length itself, above it the number of length bytes that follow. */
function contentOf(bytes: Uint8Array, at: number, code: number): { from: number; end: number } {
  const lengthBytes = Math.max(0, code - 55);
  const from = at + 1 + lengthBytes;
  let length = code;
  if (lengthBytes > 0) {
    length = 0;
    for (const byte of bytes.subarray(at + 1, from)) length = length * 256 + byte;
    if (bytes[at + 1] === 0 || length < 56) throw bad('a length is not in its shortest form');
  }
  const end = from + length;
  if (!(end <= bytes.length)) throw bad('it ends early');
  return { from, end };
}

function listOf(content: Uint8Array, depth: number): RlpItem[] {
  if (depth === depthMax) throw new DecodeError('limit', `RLP lists are nested deeper than ${depthMax}`);
  const items: RlpItem[] = [];
  for (let at = 0; at < content.length; ) {
    if (items.length === itemsMax) throw new DecodeError('limit', `an RLP list has more than ${itemsMax} items`);
    const { item, end } = itemAt(content, at, depth + 1);
    items.push(item);
    at = end;
  }
  return items;
}

/** The bytes of an item that must be a string. */
export function rlpBytes(item: RlpItem | undefined, what: string): Uint8Array {
  if (!(item instanceof Uint8Array)) throw bad(`the ${what} is not a string`);
  return item;
}

/** The value of an item that must be an integer below 2^53 in its shortest form. */
export function rlpInteger(item: RlpItem | undefined, what: string): number {
  const bytes = rlpBytes(item, what);
  if (bytes[0] === 0) throw bad(`the ${what} has leading zeros`);
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  if (!Number.isSafeInteger(value)) throw new DecodeError('limit', `the ${what} is too large`);
  return value;
}
