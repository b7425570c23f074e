import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { tarStream } from '@lucid-sessions/evidence';
import { logFileReader } from '@lucid-sessions/log';
import { FileHasher } from '../src/file-hasher.ts';
import { openBundle } from '../src/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'lucid-hash-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

describe('file hasher', () => {
  it('hashes parts of files of every length around its buffer', async () => {
    const path = join(directory, 'file');
    const bytes = new Uint8Array(randomBytes(600_000));
    writeFileSync(path, bytes);
    const hasher = new FileHasher(2);
    const parts = [
      [0, 0],
      [0, 1],
      [10, 262_143],
      [0, 262_144],
      [5, 262_145],
      [0, 600_000],
      [599_999, 1],
    ] as const;
    const digests = await Promise.all(parts.map(([offset, length]) => hasher.digest(path, offset, length, 96)));
    for (const [at, [offset, length]] of parts.entries()) {
      const part = bytes.subarray(offset, offset + length);
      assert.deepEqual(digests[at]?.sha256, sha256(part));
      assert.deepEqual(digests[at]?.head, part.slice(0, 96));
    }
    await hasher.close();
  });

  it('says when a file was cut or is gone, and goes on with the next', async () => {
    const path = join(directory, 'short');
    writeFileSync(path, 'short');
    const hasher = new FileHasher(1);
    await assert.rejects(hasher.digest(path, 0, 100, 10), /cut while it was read/);
    await assert.rejects(hasher.digest(join(directory, 'nothing'), 0, 1, 1), /ENOENT/);
    assert.deepEqual((await hasher.digest(path, 0, 5, 10)).sha256, sha256(Buffer.from('short')));
    await hasher.close();
  });

  it('fails what waits when it is closed', async () => {
    const path = join(directory, 'large');
    writeFileSync(path, new Uint8Array(50_000_000));
    const hasher = new FileHasher(1);
    const refused = assert.rejects(hasher.digest(path, 0, 50_000_000, 1), /has ended/);
    await hasher.close();
    await refused;
  });
});

describe('bundles', () => {
  it('tell hash and beginning of a file, in a directory and in a tar file', async () => {
    const content = new Uint8Array(randomBytes(1000));
    const folder = join(directory, 'bundle');
    mkdirSync(join(folder, 'chunks'), { recursive: true });
    writeFileSync(join(folder, 'chunks', '00000000.lsc'), content);
    const tar = join(directory, 'bundle.tar');
    const parts: Uint8Array[] = [];
    for await (const part of tarStream([
      { name: 'bundle.json', content: Buffer.from('{}') },
      { name: 'chunks/00000000.lsc', content },
    ]))
      parts.push(part);
    writeFileSync(tar, Buffer.concat(parts));
    for (const path of [folder, tar]) {
      const bundle = await openBundle(path);
      const digest = await bundle.source.digest?.('chunks/00000000.lsc', 96);
      assert.deepEqual([digest?.sha256, digest?.head], [sha256(content), content.slice(0, 96)], path);
      await bundle.close();
    }
    const opened = await openBundle(tar);
    await assert.rejects(async () => opened.source.digest?.('nothing', 1), /no such bytes/);
    await opened.close();
  });
});

describe('log files', () => {
  it('are read as they are, a partial tile also from the full one', async () => {
    const log = join(directory, 'log');
    mkdirSync(join(log, 'tile/0/001.p'), { recursive: true });
    writeFileSync(join(log, 'checkpoint'), 'signed');
    writeFileSync(join(log, 'tile/0/000'), new Uint8Array(256 * 32).fill(3));
    writeFileSync(join(log, 'tile/0/001.p/2'), new Uint8Array(64).fill(4));
    const read = logFileReader(log);
    assert.equal(Buffer.from((await read('checkpoint')) ?? []).toString(), 'signed');
    assert.equal((await read('tile/0/000'))?.length, 256 * 32);
    assert.deepEqual(await read('tile/0/000.p/5'), new Uint8Array(160).fill(3));
    assert.equal((await read('tile/0/001.p/2'))?.length, 64);
    assert.equal(await read('tile/0/002'), null);
  });
});
