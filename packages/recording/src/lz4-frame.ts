import { DecodeError, Reader } from '@lucid-sessions/wire';

/**
 * LZ4 frame format 1.6.x, reading only. Checksums are skipped, not checked: chunks are authenticated before they are
 * decompressed. Output is bounded by `lengthMax` before it is written.
 */
export function decompressLz4Frame(bytes: Uint8Array, lengthMax: number): Uint8Array {
  const reader = new Reader(bytes);
  if (reader.u32le() !== 0x184d2204) throw new DecodeError('invalid', 'not an LZ4 frame');
  const flags = reader.u8();
  if (flags >> 6 !== 1) throw new DecodeError('unsupported', 'LZ4 frame version is not 1', 4);
  if ((flags & 0x01) !== 0) throw new DecodeError('unsupported', 'LZ4 dictionaries are not used here', 4);
  reader.skip(1);
  const contentBytes = (flags & 0x08) !== 0 ? reader.u64le() : null;
  if (contentBytes !== null && contentBytes > BigInt(lengthMax))
    throw new DecodeError('limit', `LZ4 content of ${contentBytes} bytes is larger than ${lengthMax}`);
  reader.skip(1);
  const output = new Output(
    contentBytes === null ? Math.min(lengthMax, bytes.length * 4) : Number(contentBytes),
    lengthMax,
  );
  for (;;) {
    const size = reader.u32le();
    if (size === 0) break;
    const block = reader.sub(size & 0x7fffffff);
    if (size >= 0x80000000) output.literals(block.rest());
    else decompressBlock(block, output);
    if ((flags & 0x10) !== 0) reader.skip(4);
  }
  if ((flags & 0x04) !== 0) reader.skip(4);
  reader.expectEnd('LZ4 frame');
  return output.bytes();
}

/** LZ4 block format: token, literals, offset, match; linked blocks reach back into earlier output. */
function decompressBlock(block: Reader, output: Output): void {
  while (block.remaining > 0) {
    const token = block.u8();
    output.literals(block.slice(extended(block, token >> 4)));
    if (block.remaining === 0) return;
    const distance = block.u16le();
    output.match(distance, extended(block, token & 0x0f) + 4, block);
  }
}

function extended(block: Reader, nibble: number): number {
  let length = nibble;
  if (nibble === 15) {
    let more = 255;
    while (more === 255) {
      more = block.u8();
      length += more;
    }
  }
  return length;
}

class Output {
  #bytes: Uint8Array;
  #length = 0;
  readonly #lengthMax: number;

  constructor(capacity: number, lengthMax: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#lengthMax = lengthMax;
  }

  #reserve(length: number): number {
    const at = this.#length;
    const end = at + length;
    if (end > this.#lengthMax)
      throw new DecodeError('limit', `decompressed data is larger than ${this.#lengthMax} bytes`);
    if (end > this.#bytes.length) {
      const bytes = new Uint8Array(Math.min(this.#lengthMax, Math.max(end, this.#bytes.length * 2)));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
    }
    this.#length = end;
    return at;
  }

  literals(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  match(distance: number, length: number, block: Reader): void {
    if (!(distance >= 1 && distance <= this.#length))
      throw block.error('invalid', 'an LZ4 match reaches before the data');
    const at = this.#reserve(length);
    const bytes = this.#bytes;
    if (distance >= length) bytes.copyWithin(at, at - distance, at - distance + length);
    else for (let i = at; i < at + length; i += 1) bytes[i] = bytes[i - distance] as number;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
