import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type CompressionName, type Decompressor, portableDecompressor } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';

/** Turns zlib's refusals into the codec's error. */
function bounded(run: () => Uint8Array, name: CompressionName, lengthMax: number): Uint8Array {
  try {
    return run();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new DecodeError('limit', `decompressed data is larger than ${lengthMax} bytes`);
    throw new DecodeError('invalid', `the ${name} data is damaged`);
  }
}

/** zstd and gzip by Node's zlib, several times faster than in JavaScript; LZ4 as everywhere. */
export const nodeDecompressor: Decompressor = {
  decompress(name, bytes, lengthMax) {
    // zlib takes no bound of 0; nothing decompresses to nothing but an empty frame.
    const options = { maxOutputLength: Math.max(1, lengthMax) };
    if (name === 'zstd') return bounded(() => zstdDecompressSync(bytes, options), name, lengthMax);
    if (name === 'gzip') return bounded(() => gunzipSync(bytes, options), name, lengthMax);
    return portableDecompressor.decompress(name, bytes, lengthMax);
  },
};
