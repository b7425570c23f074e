import { type Codec, DecodeError, type Reader, Writer } from '@lucid-sessions/wire';
import { ASN1_INTEGER, ASN1_OCTET_STRING, ASN1_SEQUENCE, BerReader, BerWriter } from '../pdu/ber.ts';

/** How one ASN.1 type of Kerberos stands in DER (RFC 4120 section 5; explicit tags, no defaults). */
export interface Der<T> {
  read(ber: BerReader, reader: Reader): T;
  write(ber: BerWriter, writer: Writer, value: T): void;
}

/** A field of a SEQUENCE under its context tag. */
interface Field<T> {
  number: number;
  type: Der<T>;
  isOptional: boolean;
}

type Fields<T> = { [K in keyof T]-?: Field<Exclude<T[K], undefined>> };

const BIT_STRING = 0x03;
const GENERALIZED_TIME = 0x18;
const GENERAL_STRING = 0x1b;
const itemsMax = 256;

export const field = <T>(number: number, type: Der<T>): Field<T> => ({ number, type, isOptional: false });
export const optional = <T>(number: number, type: Der<T>): Field<T> => ({ number, type, isOptional: true });

/** Int32, UInt32 and sequence numbers, which some write as if they had a sign: -2³¹ to 2³² - 1, as it stands. */
export const integer: Der<number> = {
  read(ber, reader) {
    const content = ber.enter(reader, ASN1_INTEGER);
    const size = content.remaining;
    if (!(size >= 1 && size <= 5)) throw content.error('unsupported', `an INTEGER of ${size} bytes`);
    let value = content.peekU8() >= 0x80 ? -1 : 0;
    while (content.remaining > 0) value = value * 256 + content.u8();
    if (!(value >= -(2 ** 31) && value < 2 ** 32) || integerBytes(value) !== size)
      throw content.error('unsupported', 'an INTEGER that is too large, or written longer than it is');
    return value;
  },
  write: (ber, writer, value) =>
    ber.element(writer, ASN1_INTEGER, (inner) => {
      for (let at = integerBytes(value) - 1; at >= 0; at -= 1) inner.u8(Math.floor(value / 256 ** at) & 0xff);
    }),
};

/** Of the shortest two's complement form. */
const integerBytes = (value: number): number => {
  let size = 1;
  while (!(value >= -(2 ** (8 * size - 1)) && value < 2 ** (8 * size - 1))) size += 1;
  return size;
};

export const octets: Der<Uint8Array> = {
  read: (ber, reader) => ber.octets(reader).slice(),
  write: (ber, writer, value) => ber.octets(writer, value, ASN1_OCTET_STRING),
};

/** GeneralString, in whatever its writer thought it was. */
export const anyText: Der<Uint8Array> = {
  read: (ber, reader) => ber.octets(reader, GENERAL_STRING).slice(),
  write: (ber, writer, value) => ber.octets(writer, value, GENERAL_STRING),
};

/** KerberosString: UTF-8, as Windows has it. */
export const text: Der<string> = {
  read(ber, reader) {
    const bytes = ber.octets(reader, GENERAL_STRING);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw reader.error('invalid', 'a name that is no UTF-8');
    }
  },
  write: (ber, writer, value) => ber.octets(writer, new TextEncoder().encode(value), GENERAL_STRING),
};

/** KerberosTime as it stands: `YYYYMMDDhhmmssZ`. */
export const time: Der<string> = {
  read(ber, reader) {
    const value = String.fromCharCode(...ber.octets(reader, GENERALIZED_TIME).subarray(0, 32));
    if (!/^\d{14}Z$/.test(value)) throw reader.error('invalid', 'this is no KerberosTime');
    return value;
  },
  write: (ber, writer, value) => ber.octets(writer, new TextEncoder().encode(value), GENERALIZED_TIME),
};

/** KerberosFlags of 32 bits, bit 0 the highest. */
export const flags: Der<number> = {
  read(ber, reader) {
    const content = ber.enter(reader, BIT_STRING);
    if (content.u8() !== 0 || content.remaining !== 4) throw content.error('unsupported', 'flags of another size');
    return content.u32be();
  },
  write: (ber, writer, value) => ber.element(writer, BIT_STRING, (inner) => inner.u8(0).u32be(value)),
};

/** One element as it is, tag and length included. */
export const element: Der<Uint8Array> = {
  read(ber, reader) {
    const tag = reader.peekU8();
    const content = ber.enter(reader, tag).rest();
    const whole = new Writer();
    new BerWriter().element(whole, tag, (inner) => inner.slice(content));
    return whole.bytes().slice();
  },
  write: (_ber, writer, value) => {
    writer.slice(value);
  },
};

export const sequenceOf = <T>(type: Der<T>): Der<T[]> => ({
  read(ber, reader) {
    const list = ber.enter(reader, ASN1_SEQUENCE);
    const found: T[] = [];
    while (list.remaining > 0) {
      if (found.length === itemsMax) throw list.error('limit', `more than ${itemsMax} items`);
      found.push(type.read(ber, list));
    }
    return found;
  },
  write: (ber, writer, values) =>
    ber.element(writer, ASN1_SEQUENCE, (list) => {
      for (const value of values) type.write(ber, list, value);
    }),
});

const context = (number: number): number => 0xa0 | number;

/** Fields in the order of their tags; what stands behind the last one known is an error. */
export function sequence<T extends object>(fields: Fields<T>): Der<T> {
  const entries = Object.entries(fields) as [keyof T & string, Field<unknown>][];
  return {
    read(ber, reader) {
      const content = ber.enter(reader, ASN1_SEQUENCE);
      const value: Record<string, unknown> = {};
      for (const [name, { number, type, isOptional }] of entries) {
        if (isOptional && (content.remaining === 0 || content.peekU8() !== context(number))) continue;
        const inner = ber.enter(content, context(number));
        value[name] = type.read(ber, inner);
        inner.expectEnd(name);
      }
      content.expectEnd('SEQUENCE');
      return value as T;
    },
    write: (ber, writer, value) =>
      ber.element(writer, ASN1_SEQUENCE, (out) => {
        for (const [name, { number, type }] of entries)
          if (value[name] !== undefined)
            ber.element(out, context(number), (inner) => type.write(ber, inner, value[name]));
      }),
  };
}

/** [APPLICATION n]; several numbers where senders mix them up: the first is written. */
export const application = <T>(numbers: readonly number[], type: Der<T>): Der<T> => ({
  read(ber, reader) {
    const tag = reader.peekU8();
    if (!numbers.includes(tag & 0x1f) || (tag & 0xe0) !== 0x60)
      throw reader.error('invalid', `another message of Kerberos: tag 0x${tag.toString(16)}`);
    const inner = ber.enter(reader, tag);
    const value = type.read(ber, inner);
    inner.expectEnd('message of Kerberos');
    return value;
  },
  write: (ber, writer, value) => ber.element(writer, 0x60 | numbers[0]!, (inner) => type.write(ber, inner, value)),
});

/** A type that stands alone; bytes that are BER and no DER are refused, because they would not come back as they were. */
export const derCodec = <T>(name: string, type: Der<T>): Codec<T> => ({
  name,
  decode(reader) {
    const ber = new BerReader();
    const value = type.read(ber, reader);
    if (ber.forms() !== undefined) throw new DecodeError('unsupported', `${name} that is no DER`);
    return value;
  },
  encode: (value, writer) => type.write(new BerWriter(), writer, value),
});
