import { DecodeError, joinBytes } from '@lucid-sessions/wire';
import { Decompress } from 'fzstd';
import { decompressLz4Frame } from './lz4-frame.ts';

/** Ids as they stand in bits 8–11 of a chunk header's flags. `lz4` is the LZ4 frame format. */
export const compressionIds = { none: 0, zstd: 1, gzip: 2, lz4: 3 } as const;
export type CompressionName = keyof typeof compressionIds;
export const compressionNames = Object.keys(compressionIds) as CompressionName[];

/** The name of an id. Throws `DecodeError('unsupported')`. */
export function compressionName(id: number): CompressionName {
  const entry = Object.entries(compressionIds).find(([, value]) => value === id);
  if (entry === undefined) throw new DecodeError('unsupported', `compression ${id} is not known`);
  return entry[0] as CompressionName;
}

/**
 * Undoes a chunk's compression. `lengthMax` bounds the result before memory is spent on it. Throws `DecodeError`
 * (`invalid` on bad data, `limit` when the result would be larger). The result may be a view of the input.
 */
export interface Decompressor {
  decompress(name: CompressionName, bytes: Uint8Array, lengthMax: number): Uint8Array | Promise<Uint8Array>;
}

/** Collects parts and refuses what goes past a bound. */
class Bounded {
  readonly #parts: Uint8Array[] = [];
  readonly #lengthMax: number;
  #length = 0;
  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }
  add(part: Uint8Array): void {
    this.#length += part.length;
    if (this.#length > this.#lengthMax)
      throw new DecodeError('limit', `decompressed data is larger than ${this.#lengthMax} bytes`);
    this.#parts.push(part);
  }
  bytes(): Uint8Array {
    return joinBytes(this.#parts);
  }
}

const ZSTD_PUSH_BYTES = 64 * 1024;

function decompressZstd(bytes: Uint8Array, lengthMax: number): Uint8Array {
  if (bytes.length === 0) throw new DecodeError('invalid', 'an empty zstd frame');
  const result = new Bounded(lengthMax);
  try {
    const stream = new Decompress((part) => result.add(part.slice()));
    for (let at = 0; at < bytes.length; at += ZSTD_PUSH_BYTES)
      stream.push(bytes.subarray(at, at + ZSTD_PUSH_BYTES), at + ZSTD_PUSH_BYTES >= bytes.length);
  } catch (cause) {
    throw cause instanceof DecodeError ? cause : new DecodeError('invalid', 'the zstd data is damaged');
  }
  return result.bytes();
}

async function decompressGzip(bytes: Uint8Array, lengthMax: number): Promise<Uint8Array> {
  const result = new Bounded(lengthMax);
  try {
    const source = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream('gzip'));
    for await (const part of source) result.add(part);
  } catch (cause) {
    throw cause instanceof DecodeError ? cause : new DecodeError('invalid', 'the gzip data is damaged');
  }
  return result.bytes();
}

/** Runs anywhere, browsers included: zstd and LZ4 in JavaScript, gzip by the platform's `DecompressionStream`. */
export const portableDecompressor: Decompressor = {
  decompress(name, bytes, lengthMax) {
    switch (name) {
      case 'none':
        if (bytes.length > lengthMax) throw new DecodeError('limit', `data is larger than ${lengthMax} bytes`);
        return bytes;
      case 'zstd':
        return decompressZstd(bytes, lengthMax);
      case 'gzip':
        return decompressGzip(bytes, lengthMax);
      case 'lz4':
        return decompressLz4Frame(bytes, lengthMax);
    }
  },
};
