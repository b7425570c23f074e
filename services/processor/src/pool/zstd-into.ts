import { constants, ZstdCompress, zstdCompressSync } from 'node:zlib';

/**
 * The part of Node's zlib streams that `zstdCompressSync` stands on. It has been there since Node 0.12 for others to use
 * (`_processChunk`), but is not documented.
 */
interface SyncZlibStream {
  _outBuffer: Uint8Array;
  _chunkSize: number;
  _maxOutputLength: number;
  _processChunk(input: Uint8Array, flush: number): Uint8Array;
}

type Params = Record<number, number>;
type ZstdStreamClass = new (options: { params: Params; chunkSize: number }) => object;

/** The least `chunkSize` zlib takes: what it allocates for itself and never uses. */
const chunkBytesMin = 64;

function isSyncStream(stream: object): stream is SyncZlibStream {
  const { _outBuffer, _chunkSize, _maxOutputLength, _processChunk } = stream as Partial<SyncZlibStream>;
  return (
    _outBuffer instanceof Uint8Array &&
    typeof _chunkSize === 'number' &&
    typeof _maxOutputLength === 'number' &&
    typeof _processChunk === 'function'
  );
}

/**
 * `zstdCompressSync` that writes into memory that is used again. The public function allocates its output for every chunk;
 * touching that memory and collecting it costs a tenth of the line. The result is the same where Node changes what this
 * stands on: then the public function does the work.
 */
export function zstdCompressInto(input: Uint8Array, params: Params, room: Uint8Array): Uint8Array {
  const stream = new (ZstdCompress as unknown as ZstdStreamClass)({ params, chunkSize: chunkBytesMin });
  if (!isSyncStream(stream)) return zstdCompressSync(input, { params, chunkSize: room.length });
  stream._outBuffer = Buffer.from(room.buffer, room.byteOffset, room.byteLength);
  stream._chunkSize = room.length;
  return stream._processChunk(input, constants.ZSTD_e_end);
}
