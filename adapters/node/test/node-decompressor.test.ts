import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { CompressionName } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import { compressFrameSync } from 'lz4-napi';
import { nodeDecompressor } from '../src/index.ts';

const data = Buffer.from('lucid '.repeat(1000));
const compressed: Record<CompressionName, Uint8Array> = {
  none: data,
  zstd: zstdCompressSync(data),
  gzip: gzipSync(data),
  lz4: compressFrameSync(data),
};
const run = async (name: CompressionName, bytes: Uint8Array, lengthMax: number) =>
  nodeDecompressor.decompress(name, bytes, lengthMax);
const coded = (code: string) => (error: unknown) => error instanceof DecodeError && error.code === code;

describe('decompressor on zlib', () => {
  for (const name of Object.keys(compressed) as CompressionName[])
    it(`${name} gives the data back, stops at the bound and refuses damage`, async () => {
      assert.deepEqual(Buffer.from(await run(name, compressed[name], data.length)), data);
      await assert.rejects(run(name, compressed[name], data.length - 1), coded('limit'));
      if (name !== 'none') await assert.rejects(run(name, compressed[name].subarray(0, 12), data.length), DecodeError);
    });
});
