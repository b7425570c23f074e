import { DecodeError } from '@lucid-sessions/wire';
import canonicalize from 'canonicalize';
import { fromUtf8, utf8 } from '../text.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const DEPTH_MAX = 32;
/** Values of one document: an empty list is two bytes in a file, and fifty in memory. */
const VALUES_MAX = 1 << 21;
const NUMBER = /(?:0|-?[1-9][0-9]{0,15})(?![0-9.eE])/y;

/** Refuses what has no single form everywhere: floats, integers past 2^53 − 1, undefined, lone surrogates. */
function checkValue(value: unknown, depth: number): void {
  if (depth > DEPTH_MAX) throw new RangeError(`JSON is nested deeper than ${DEPTH_MAX}`);
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new RangeError('a JSON string holds a lone surrogate');
    return;
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0))
      throw new RangeError(`the number ${value} is not a whole number below 2^53; write it as a string`);
    return;
  }
  if (typeof value !== 'object') throw new RangeError(`a ${typeof value} can't stand in JSON`);
  if (Array.isArray(value)) for (const item of value) checkValue(item, depth + 1);
  else
    for (const [key, item] of Object.entries(value)) {
      checkValue(key, depth);
      checkValue(item, depth + 1);
    }
}

/** JCS (RFC 8785) bytes of a value without floats. RangeError on what the format does not hold. */
export function encodeJson(value: unknown): Uint8Array {
  checkValue(value, 0);
  return utf8(canonicalize(value) as string);
}

const notCanonical = (): DecodeError => new DecodeError('invalid', 'the JSON is not in its canonical form (RFC 8785)');

/** A JSON reader (RFC 8259) that refuses duplicate keys, floats, big integers and deep nesting. */
class JsonReader {
  readonly #text: string;
  /** Only what `encodeJson` would write again passes. */
  readonly #canonical: boolean;
  #at = 0;
  #values = 0;
  constructor(text: string, canonical: boolean) {
    this.#text = text;
    this.#canonical = canonical;
  }

  document(): Json {
    const value = this.#value(0);
    this.#space();
    if (this.#at !== this.#text.length) throw this.#error('something follows the JSON value');
    return value;
  }

  #error(message: string): DecodeError {
    return new DecodeError('invalid', `bad JSON: ${message}`, this.#at);
  }

  #space(): void {
    const start = this.#at;
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
    if (this.#canonical && this.#at !== start) throw notCanonical();
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #value(depth: number): Json {
    if (depth > DEPTH_MAX) throw new DecodeError('limit', `JSON is nested deeper than ${DEPTH_MAX}`, this.#at);
    this.#values += 1;
    if (this.#values > VALUES_MAX)
      throw new DecodeError('limit', `JSON holds more than ${VALUES_MAX} values`, this.#at);
    this.#space();
    if (this.#take('{')) return this.#object(depth);
    if (this.#take('[')) return this.#array(depth);
    if (this.#text[this.#at] === '"') return this.#string();
    if (this.#take('null')) return null;
    if (this.#take('true')) return true;
    if (this.#take('false')) return false;
    return this.#number();
  }

  #object(depth: number): Json {
    const object: { [key: string]: Json } = {};
    this.#space();
    if (this.#take('}')) return object;
    for (let before: string | null = null; ; ) {
      this.#space();
      const key = this.#string();
      // Ordered by UTF-16 code units (RFC 8785 section 3.2.3), as `<` compares.
      if (this.#canonical && before !== null && !(before < key) && before !== key) throw notCanonical();
      before = key;
      if (Object.hasOwn(object, key)) throw this.#error(`the key ${JSON.stringify(key)} stands twice`);
      this.#space();
      if (!this.#take(':')) throw this.#error('a colon is missing');
      const value = this.#value(depth + 1);
      // defineProperty, because a plain store under "__proto__" would set the prototype and hold nothing.
      Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      this.#space();
      if (this.#take('}')) return object;
      if (!this.#take(',')) throw this.#error('a comma or brace is missing');
    }
  }

  #array(depth: number): Json {
    const array: Json[] = [];
    this.#space();
    if (this.#take(']')) return array;
    for (;;) {
      array.push(this.#value(depth + 1));
      this.#space();
      if (this.#take(']')) return array;
      if (!this.#take(',')) throw this.#error('a comma or bracket is missing');
    }
  }

  #string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#error('a string is missing');
    // By hand and not by a pattern: megabytes of base64 would exhaust the pattern's stack.
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    const written = this.#text.slice(start, end + 1);
    let text: string;
    try {
      text = JSON.parse(written) as string;
    } catch {
      throw this.#error('a string is not well formed');
    }
    if (!text.isWellFormed()) throw this.#error('a string holds a lone surrogate');
    // RFC 8785 section 3.2.2.2 writes strings as ECMAScript does; without an escape there is one way.
    if (this.#canonical && written.includes('\\') && JSON.stringify(text) !== written) throw notCanonical();
    this.#at = end + 1;
    return text;
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text)?.[0];
    const value = Number(found);
    if (found === undefined || !Number.isSafeInteger(value))
      throw this.#error('expected a value; numbers are whole and below 2^53');
    this.#at += found.length;
    return value;
  }
}

function read(bytes: Uint8Array, bytesMax: number, canonical: boolean): Json {
  if (bytes.length > bytesMax)
    throw new DecodeError('limit', `JSON of ${bytes.length} bytes is larger than ${bytesMax}`);
  return new JsonReader(fromUtf8(bytes, 'JSON'), canonical).document();
}

/** Reads JSON written by people or machines. Throws `DecodeError`. */
export const parseJson = (bytes: Uint8Array, bytesMax: number): Json => read(bytes, bytesMax, false);

/** Reads JSON that must be in its canonical form, so that there is one way to write each document. Throws `DecodeError`. */
export function parseCanonicalJson(bytes: Uint8Array, bytesMax: number): Json {
  // A byte order mark is no part of the text that is decoded.
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw notCanonical();
  return read(bytes, bytesMax, true);
}
