import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdDecompressSync } from 'node:zlib';
import { zstdCompressInto } from '../src/pool/zstd-into.ts';

const params = { [constants.ZSTD_c_compressionLevel]: 3 };

test('zstd writes into the memory it is given: this Node still has what that stands on', () => {
  const room = new Uint8Array(new SharedArrayBuffer(64 * 1024), 512);
  const input = Buffer.from('a recording, '.repeat(2000));
  const output = zstdCompressInto(input, params, room);
  assert.equal(output.buffer, room.buffer, 'this Node no longer has the fields: see zstd-into.ts');
  assert.equal(output.byteOffset, room.byteOffset);
  assert.ok(zstdDecompressSync(output).equals(input));
});
