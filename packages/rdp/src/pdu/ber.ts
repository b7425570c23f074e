import { DecodeError, type Reader, Writer } from '@lucid-sessions/wire';

/**
 * BER and DER as far as MCS Connect PDUs and CredSSP need them. BER allows several forms of one length; the forms seen
 * while decoding are kept as a list (`BerForms`) and used again while encoding, so peers' bytes come back as they were.
 */

export const ASN1_BOOLEAN = 0x01;
export const ASN1_INTEGER = 0x02;
export const ASN1_OCTET_STRING = 0x04;
export const ASN1_ENUMERATED = 0x0a;
export const ASN1_SEQUENCE = 0x30;

/** Bytes the minimal form of a length takes: 1, or 1 + its own bytes. */
export function berLengthSize(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x100) return 2;
  if (length < 0x10000) return 3;
  return length < 0x1000000 ? 4 : 5;
}

function writeLength(writer: Writer, length: number, size: number): void {
  if (size === 1) {
    writer.u8(length);
    return;
  }
  writer.u8(0x80 | (size - 1));
  for (let i = size - 2; i >= 0; i -= 1) writer.u8(Math.floor(length / 256 ** i) & 0xff);
}

/** A definite length and the bytes it took. Throws `DecodeError` for indefinite or longer than 32-bit lengths. */
export function readBerLength(reader: Reader): { length: number; size: number } {
  const first = reader.u8();
  if (first < 0x80) return { length: first, size: 1 };
  const count = first & 0x7f;
  if (!(count >= 1 && count <= 4)) throw reader.error('unsupported', `BER length of ${count} bytes`);
  let length = 0;
  for (let i = 0; i < count; i += 1) length = length * 256 + reader.u8();
  return { length, size: 1 + count };
}

function readTag(reader: Reader): number {
  const first = reader.u8();
  return (first & 0x1f) === 0x1f ? (first << 8) | reader.u8() : first;
}

/** Reads elements in order and notes every length form and integer width on the way. */
export class BerReader {
  readonly #forms: number[] = [];
  #minimal = true;

  /** The forms to keep, or undefined when every one is what the encoder would choose by itself. */
  forms(): number[] | undefined {
    return this.#minimal ? undefined : this.#forms;
  }

  #note(form: number, minimal: number): void {
    this.#forms.push(form);
    if (form !== minimal) this.#minimal = false;
  }

  /** Enters the element with this tag: a reader over its contents. */
  enter(reader: Reader, tag: number): Reader {
    const at = reader.offset;
    const found = readTag(reader);
    if (found !== tag)
      throw new DecodeError('invalid', `expected BER tag 0x${tag.toString(16)}, found 0x${found.toString(16)}`, at);
    const { length, size } = readBerLength(reader);
    this.#note(size, berLengthSize(length));
    return reader.sub(length);
  }

  /** A non-negative integer of at most 32 bits (or an ENUMERATED). */
  integer(reader: Reader, tag = ASN1_INTEGER): number {
    const content = this.enter(reader, tag);
    if (!(content.remaining >= 1 && content.remaining <= 5))
      throw content.error('unsupported', `BER integer of ${content.remaining} bytes`);
    let value = 0;
    const size = content.remaining;
    while (content.remaining > 0) value = value * 256 + content.u8();
    if (value > 0xffffffff) throw content.error('unsupported', 'BER integer above 32 bits');
    this.#note(size, berIntegerSize(value));
    return value;
  }

  /** An integer of two's complement within 32 bits, as the unsigned number with the same bits (NTSTATUS). */
  status(reader: Reader): number {
    const content = this.enter(reader, ASN1_INTEGER);
    const size = content.remaining;
    // A positive one may have a zero in front.
    if (!(size >= 1 && size <= 5) || (size === 5 && content.u8() !== 0))
      throw content.error('unsupported', `BER integer of ${size} bytes`);
    const isNegative = size < 5 && (content.peekU8() & 0x80) !== 0;
    let value = isNegative ? -1 : 0;
    while (content.remaining > 0) value = (value << 8) | content.u8();
    this.#note(size, berStatusSize(value));
    return value >>> 0;
  }

  boolean(reader: Reader): number {
    const content = this.enter(reader, ASN1_BOOLEAN);
    const value = content.u8();
    content.expectEnd('BER boolean');
    return value;
  }

  octets(reader: Reader, tag = ASN1_OCTET_STRING): Uint8Array {
    return this.enter(reader, tag).rest();
  }
}

/** Bytes of the shortest two's complement form of a non-negative number. */
export function berIntegerSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x8000) return 2;
  if (value < 0x800000) return 3;
  return value < 0x80000000 ? 4 : 5;
}

/** Bytes of the shortest two's complement form of 32 bits. */
function berStatusSize(value: number): number {
  const bits = 33 - Math.clz32(value < 0 ? ~value : value);
  return Math.ceil(bits / 8);
}

/**
 * Writes what `BerReader` read. Forms are in reading order (outer length before inner), contents are made first, so
 * each element takes its form number when it is opened and uses it when it is closed. An integer's form may be shorter
 * than two's complement allows: rdesktop writes 65535 in two bytes.
 */
export class BerWriter {
  readonly #forms: readonly number[] | undefined;
  #next = 0;

  constructor(forms?: readonly number[]) {
    this.#forms = forms;
  }

  #form(): number {
    const form = this.#forms?.[this.#next] ?? 0;
    this.#next += 1;
    return form;
  }

  element(writer: Writer, tag: number, content: (inner: Writer) => void): void {
    const form = this.#form();
    const inner = new Writer();
    content(inner);
    if (tag > 0xff) writer.u16be(tag);
    else writer.u8(tag);
    writeLength(writer, inner.length, Math.max(form, berLengthSize(inner.length)));
    writer.slice(inner.bytes());
  }

  integer(writer: Writer, value: number, tag = ASN1_INTEGER): void {
    this.element(writer, tag, (inner) => {
      const form = this.#form();
      const size = form > 0 && value < 256 ** form ? form : berIntegerSize(value);
      for (let i = size - 1; i >= 0; i -= 1) inner.u8(Math.floor(value / 256 ** i) & 0xff);
    });
  }

  status(writer: Writer, value: number): void {
    this.element(writer, ASN1_INTEGER, (inner) => {
      const size = this.#form() || berStatusSize(value | 0);
      if (size === 5) inner.u8(0);
      for (let i = Math.min(size, 4) - 1; i >= 0; i -= 1) inner.u8((value >>> (8 * i)) & 0xff);
    });
  }

  boolean(writer: Writer, value: number): void {
    this.element(writer, ASN1_BOOLEAN, (inner) => inner.u8(value));
  }

  octets(writer: Writer, value: Uint8Array, tag = ASN1_OCTET_STRING): void {
    this.element(writer, tag, (inner) => inner.slice(value));
  }
}
