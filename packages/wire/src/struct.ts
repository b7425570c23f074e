import { type Codec, DecodeError, type Reader, type Writer } from './index.ts';

/**
 * Building blocks the PDU files declare their layouts with. A struct lists its fields in wire order; the same list
 * drives both directions, so a layout can't be read one way and written another.
 */

/** The value type of a codec. */
export type Value<C> = C extends Codec<infer T> ? T : never;
/** Fields in wire order. */
export type Fields = { readonly [name: string]: Codec<unknown> };
export type StructOf<F extends Fields> = { -readonly [K in keyof F]: Value<F[K]> };
/** Optional fields: a value ends at the first one that is absent. `trailing` keeps bytes no field claims. */
export type TailOf<F extends Fields> = { -readonly [K in keyof F]?: Value<F[K]> } & { trailing?: Uint8Array };

function primitive<T>(name: string, decode: (r: Reader) => T, encode: (w: Writer, value: T) => void): Codec<T> {
  return { name, decode, encode: (value, writer) => encode(writer, value) };
}

export const u8 = primitive<number>(
  'u8',
  (r) => r.u8(),
  (w, v) => w.u8(v),
);
export const u16le = primitive<number>(
  'u16le',
  (r) => r.u16le(),
  (w, v) => w.u16le(v),
);
export const u16be = primitive<number>(
  'u16be',
  (r) => r.u16be(),
  (w, v) => w.u16be(v),
);
export const i16le = primitive<number>(
  'i16le',
  (r) => r.i16le(),
  (w, v) => w.i16le(v),
);
export const u32le = primitive<number>(
  'u32le',
  (r) => r.u32le(),
  (w, v) => w.u32le(v),
);
export const i32le = primitive<number>(
  'i32le',
  (r) => r.i32le(),
  (w, v) => w.i32le(v),
);
export const u64le = primitive<bigint>(
  'u64le',
  (r) => r.u64le(),
  (w, v) => w.u64le(v),
);

/** Exactly `length` bytes (a view of the input). */
export function bytes(length: number): Codec<Uint8Array> {
  return primitive(
    `${length} bytes`,
    (r) => r.slice(length),
    (w, v) => {
      if (v.length !== length) throw new RangeError(`field needs exactly ${length} bytes, got ${v.length}`);
      w.slice(v);
    },
  );
}

/** All bytes that are left (a view of the input). */
export const rest = primitive<Uint8Array>(
  'rest',
  (r) => r.rest(),
  (w, v) => w.slice(v),
);

/** Bytes behind their own length. */
export function counted(length: Codec<number>): Codec<Uint8Array> {
  return primitive(
    'counted bytes',
    (r) => r.slice(length.decode(r)),
    (w, v) => {
      length.encode(v.length, w);
      w.slice(v);
    },
  );
}

/** Every byte as the character of the same number: unlike TextDecoder('latin1') nothing is mapped, so nothing is lost. */
export function textOfBytes(view: Uint8Array): string {
  let text = '';
  for (const byte of view) text += String.fromCharCode(byte);
  return text;
}

/** UTF-16LE code units as they are: lone surrogates and byte order marks survive, unlike in TextDecoder. */
export function textOfUtf16(view: Uint8Array): string {
  let text = '';
  for (let at = 0; at + 1 < view.length; at += 2) text += String.fromCharCode(view[at]! | (view[at + 1]! << 8));
  return text;
}

/** Text in a field of fixed size. `padding` is kept when it is anything but zeros. */
export interface FixedText {
  text: string;
  padding?: Uint8Array;
}

function fixedText(name: string, bytesLength: number, unit: 1 | 2): Codec<FixedText> {
  return {
    name,
    decode(reader) {
      const view = reader.slice(bytesLength);
      const whole = unit === 1 ? textOfBytes(view) : textOfUtf16(view);
      const end = whole.indexOf('\0');
      if (end < 0) return { text: whole };
      const padding = view.subarray(end * unit);
      return padding.every((byte) => byte === 0)
        ? { text: whole.slice(0, end) }
        : { text: whole.slice(0, end), padding };
    },
    encode(value, writer) {
      const used = value.text.length * unit;
      const padding = bytesLength - used;
      if (padding < 0 || (value.padding !== undefined && value.padding.length !== padding))
        throw new RangeError(`text does not fit its ${bytesLength} byte field`);
      if (unit === 1) writer.latin1(value.text);
      else writer.utf16le(value.text);
      if (value.padding === undefined) writer.zeros(padding);
      else writer.slice(value.padding);
    },
  };
}

/** Latin-1 text, zero padded to `bytesLength`. */
export function fixedLatin1(bytesLength: number): Codec<FixedText> {
  return fixedText('latin-1 text', bytesLength, 1);
}
/** UTF-16LE text, zero padded to `bytesLength` bytes. */
export function fixedUtf16(bytesLength: number): Codec<FixedText> {
  return fixedText('utf-16 text', bytesLength, 2);
}

/** Fields one after another. */
export function struct<F extends Fields>(name: string, fields: F): Codec<StructOf<F>> {
  const entries = Object.entries(fields);
  return {
    name,
    decode(reader) {
      const value: Record<string, unknown> = {};
      for (const [key, codec] of entries) value[key] = codec.decode(reader);
      return value as StructOf<F>;
    },
    encode(value, writer) {
      for (const [key, codec] of entries) codec.encode((value as Record<string, unknown>)[key], writer);
    },
  };
}

/**
 * Fields, then optional ones that end where the bytes do, then `trailing`. The reader must be bounded to this value.
 * A tail field whose bytes are cut short is left to `trailing`: peers do send such values, and they must survive.
 */
export function structWithTail<F extends Fields, T extends Fields>(
  name: string,
  fields: F,
  tail: T,
): Codec<StructOf<F> & TailOf<T>> {
  const head = struct(name, fields);
  const entries = Object.entries(tail);
  return {
    name,
    decode(reader) {
      const value = head.decode(reader) as Record<string, unknown>;
      decodeTail(reader, entries, value);
      if (reader.remaining > 0) value.trailing = reader.rest();
      return value as StructOf<F> & TailOf<T>;
    },
    encode(value, writer) {
      head.encode(value, writer);
      const record = value as Record<string, unknown>;
      for (const [key, codec] of entries) {
        if (record[key] === undefined) break;
        codec.encode(record[key], writer);
      }
      if (value.trailing !== undefined) writer.slice(value.trailing);
    },
  };
}

function decodeTail(reader: Reader, entries: [string, Codec<unknown>][], value: Record<string, unknown>): void {
  for (const [key, codec] of entries) {
    if (reader.remaining === 0) return;
    const at = reader.offset;
    try {
      value[key] = codec.decode(reader);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      reader.offset = at;
      return;
    }
  }
}

/** Items until the bytes end. */
export function repeated<T>(name: string, item: Codec<T>): Codec<T[]> {
  return {
    name,
    decode(reader) {
      const items: T[] = [];
      while (reader.remaining > 0) {
        const at = reader.offset;
        items.push(item.decode(reader));
        if (reader.offset === at) throw reader.error('invalid', `${item.name} of no bytes repeats without end`);
      }
      return items;
    },
    encode(items, writer) {
      for (const one of items) item.encode(one, writer);
    },
  };
}

/** A count, then that many items. The count is bounded by the bytes there are: every item takes at least one. */
export function list<T>(name: string, count: Codec<number>, item: Codec<T>): Codec<T[]> {
  return {
    name,
    decode(reader) {
      const length = count.decode(reader);
      if (length > reader.remaining) throw reader.error('truncated', `${name} claims ${length} items`);
      return Array.from({ length }, () => item.decode(reader));
    },
    encode(items, writer) {
      count.encode(items.length, writer);
      for (const one of items) item.encode(one, writer);
    },
  };
}

/** A value of one of the table's codecs; `kind` names the codec. */
export type Tagged<T extends { readonly [kind: string]: Codec<unknown> }> = {
  [K in keyof T]: { kind: K } & Value<T[K]>;
}[keyof T];
