const encoder = new TextEncoder();

/** A growing write cursor. Numbers are checked against their width: an encoder's bug must not become a wrong byte. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Call it before touching `#view` or `#bytes`: it may replace both. */
  #grow(length: number): number {
    const at = this.#length;
    const end = at + length;
    if (end > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    this.#length = end;
    return at;
  }

  #check(value: number, max: number): number {
    if (!(Number.isInteger(value) && value >= 0 && value <= max))
      throw new RangeError(`${value} does not fit 0..${max}`);
    return value;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, this.#check(value, 0xff));
    return this;
  }
  u16le(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, this.#check(value, 0xffff), true);
    return this;
  }
  u16be(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, this.#check(value, 0xffff), false);
    return this;
  }
  i16le(value: number): this {
    this.#check(value + 0x8000, 0xffff);
    const at = this.#grow(2);
    this.#view.setInt16(at, value, true);
    return this;
  }
  u32le(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, this.#check(value, 0xffffffff), true);
    return this;
  }
  u32be(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, this.#check(value, 0xffffffff), false);
    return this;
  }
  i32le(value: number): this {
    this.#check(value + 0x80000000, 0xffffffff);
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
    return this;
  }
  u64le(value: bigint): this {
    if (value < 0n || value > 0xffffffffffffffffn) throw new RangeError(`${value} does not fit 64 bits`);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }
  u64be(value: bigint): this {
    if (value < 0n || value > 0xffffffffffffffffn) throw new RangeError(`${value} does not fit 64 bits`);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, false);
    return this;
  }

  slice(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }
  zeros(length: number): this {
    const at = this.#grow(length);
    this.#bytes.fill(0, at, at + length);
    return this;
  }
  /** Latin-1; a character above U+00FF is a RangeError. */
  latin1(text: string): this {
    for (let i = 0; i < text.length; i += 1) this.u8(text.charCodeAt(i));
    return this;
  }
  utf16le(text: string): this {
    for (let i = 0; i < text.length; i += 1) this.u16le(text.charCodeAt(i));
    return this;
  }
  utf8(text: string): this {
    return this.slice(encoder.encode(text));
  }

  /** Overwrites two bytes written earlier (a length known only now). */
  patchU16be(at: number, value: number): void {
    this.#view.setUint16(at, this.#check(value, 0xffff), false);
  }
  patchU16le(at: number, value: number): void {
    this.#view.setUint16(at, this.#check(value, 0xffff), true);
  }
  patchU32le(at: number, value: number): void {
    this.#view.setUint32(at, this.#check(value, 0xffffffff), true);
  }
  patchU32be(at: number, value: number): void {
    this.#view.setUint32(at, this.#check(value, 0xffffffff), false);
  }

  /** The written bytes: a view that later writes may leave behind. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
