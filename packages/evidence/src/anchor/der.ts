import { concatBytes, DecodeError } from '@lucid-sessions/wire';

/** One DER element (X.690): definite lengths only, views of the input. */
export interface DerElement {
  tag: number;
  content: Uint8Array;
  /** Tag and length included. */
  raw: Uint8Array;
}

export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a constructed context-specific element. */
export const derContext = (number: number): number => 0xa0 | number;

const CHILDREN_MAX = 1000;

function bad(message: string): DecodeError {
  return new DecodeError('invalid', `bad DER: ${message}`);
}

function readElement(bytes: Uint8Array, at: number): DerElement {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f)
    throw bad('no element, or a tag of several bytes');
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count < 1 || count > 3 || start + count > bytes.length) throw bad('a length that is indefinite or too long');
    length = 0;
    for (let i = 0; i < count; i += 1) length = length * 256 + (bytes[start + i] as number);
    start += count;
  }
  if (start + length > bytes.length) throw bad('an element that is cut');
  return { tag, content: bytes.subarray(start, start + length), raw: bytes.subarray(at, start + length) };
}

/** The one element that fills `bytes`. Throws `DecodeError`. */
export function readDer(bytes: Uint8Array, tag: number): DerElement {
  const element = readElement(bytes, 0);
  if (element.raw.length !== bytes.length) throw bad('bytes behind the element');
  return expectTag(element, tag);
}

/** The elements inside a constructed one. Throws `DecodeError`. */
export function derChildren(element: DerElement): DerElement[] {
  const children: DerElement[] = [];
  for (let at = 0; at < element.content.length; ) {
    if (children.length === CHILDREN_MAX) throw bad('too many elements');
    const child = readElement(element.content, at);
    children.push(child);
    at += child.raw.length;
  }
  return children;
}

/** The element, when there is one with that tag. Throws `DecodeError`. */
export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag !== tag) throw bad(`an element of tag ${tag.toString(16)} is missing`);
  return element;
}

/** Writes an element. */
export function writeDer(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : length < 0x10000
          ? [tag, 0x82, length >> 8, length & 0xff]
          : [tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return concatBytes(Uint8Array.from(head), ...contents);
}

/** UTCTime or GeneralizedTime in UTC as µs since 1970. Throws `DecodeError`. */
export function derTimeUs(element: DerElement | undefined): number {
  const text = String.fromCharCode(...(element?.content ?? []));
  const short = element?.tag === derTags.utcTime ? (Number(text.slice(0, 2)) < 50 ? '20' : '19') : '';
  const [, date, clock, fraction = ''] = /^(\d{8})(\d{6})(?:\.(\d{1,9}))?Z$/.exec(short + text) ?? [];
  if (
    date === undefined ||
    clock === undefined ||
    (element?.tag !== derTags.utcTime && element?.tag !== derTags.generalizedTime)
  )
    throw bad('a time that is not in UTC');
  const day = date.replace(/(....)(..)(..)/, '$1-$2-$3');
  const ms = Date.parse(`${day}T${clock.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`);
  if (Number.isNaN(ms)) throw bad('a time that is none');
  return ms * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
