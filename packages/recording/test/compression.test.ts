import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import zlib from 'node:zlib';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { compressFrameSync } from 'lz4-napi';
import { type CompressionName, compressionIds, compressionName, portableDecompressor } from '../src/index.ts';

const compressors: Record<CompressionName, (bytes: Uint8Array) => Uint8Array> = {
  none: (bytes) => bytes,
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
  gzip: (bytes) => zlib.gzipSync(bytes),
  lz4: (bytes) => compressFrameSync(Buffer.from(bytes)),
};
const names = Object.keys(compressors) as CompressionName[];

/** Repeats and noise, so that matches of every distance and overlap come up. */
const data = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 400 })), { maxLength: 12 })
  .map((parts) => Buffer.concat(parts.flatMap(([bytes, times]) => Array<Uint8Array>(times).fill(bytes))));

const codeOf = async (name: CompressionName, bytes: Uint8Array, lengthMax: number): Promise<string> => {
  try {
    await portableDecompressor.decompress(name, bytes, lengthMax);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return error.code;
  }
  return 'none';
};

describe('portable decompressor', () => {
  for (const name of names) {
    it(`${name} gives back what Node compressed`, async () => {
      await fc.assert(
        fc.asyncProperty(data, async (bytes) => {
          const result = await portableDecompressor.decompress(name, compressors[name](bytes), bytes.length);
          assert.ok(Buffer.from(result).equals(bytes));
        }),
        { numRuns: 40 },
      );
    });

    it(`${name} stops at the bound`, async () => {
      const bytes = new Uint8Array(3_000_000);
      assert.equal(await codeOf(name, compressors[name](bytes), 1_000_000), 'limit');
      assert.equal(await codeOf(name, compressors[name](bytes), bytes.length), 'none');
    });

    it(`${name} throws nothing but DecodeError on damage`, async () => {
      const good = compressors[name](Buffer.from('lucid sessions '.repeat(200)));
      await fc.assert(
        fc.asyncProperty(fc.nat(), fc.nat(255), fc.nat(), async (at, value, cut) => {
          const bytes = Uint8Array.from(good);
          bytes[at % bytes.length] = value;
          await codeOf(name, bytes, 100_000);
          if (name !== 'none')
            assert.notEqual(await codeOf(name, good.subarray(0, cut % good.length), 100_000), 'none');
        }),
        { numRuns: 60 },
      );
    });
  }

  it('reads LZ4 frames of every shape it accepts and names the others', async () => {
    const bytes = Buffer.from('abcabcabcabc'.repeat(50));
    const checked = compressFrameSync(bytes, { contentChecksum: true, blockChecksums: true });
    assert.deepEqual(Buffer.from(await portableDecompressor.decompress('lz4', checked, 1000)), bytes);
    const change = (at: number, value: number): Uint8Array => {
      const copy = Uint8Array.from(checked);
      copy[at] = value;
      return copy;
    };
    assert.equal(await codeOf('lz4', change(0, 0), 1000), 'invalid');
    assert.equal(await codeOf('lz4', change(4, 0x80), 1000), 'unsupported');
    assert.equal(await codeOf('lz4', change(4, 0x41), 1000), 'unsupported');
    // Magic, FLG with content size, BD, size 5, HC, then a stored block of 5 bytes and the end mark.
    const sized = Buffer.from('04224d18684005000000000000000005000080' + '68656c6c6f' + '00000000', 'hex');
    assert.equal(Buffer.from(await portableDecompressor.decompress('lz4', sized, 5)).toString(), 'hello');
    assert.equal(await codeOf('lz4', sized, 4), 'limit');
    // A match that reaches 9 bytes back after 1 literal.
    const reach = Buffer.from('04224d1840400004000000' + '10610900' + '00000000', 'hex');
    assert.equal(await codeOf('lz4', reach, 100), 'invalid');
  });

  it('knows ids by name', () => {
    for (const name of names) assert.equal(compressionName(compressionIds[name]), name);
    assert.throws(() => compressionName(4), DecodeError);
  });
});
