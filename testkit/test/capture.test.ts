import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { decodeCapture, encodeCapture } from '@lucid-sessions/recording';
import { captureStreams, readCapture } from '../src/index.ts';

function capture(records: { flags: number; bytes: string }[], meta = '{"client":"test"}'): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(meta.length);
  const parts = records.map(({ flags, bytes }) => {
    const header = Buffer.alloc(9);
    header.writeUInt8(flags);
    header.writeUInt32LE(1234, 1);
    header.writeUInt32LE(bytes.length, 5);
    return Buffer.concat([header, Buffer.from(bytes)]);
  });
  return Buffer.concat([Buffer.from('RDPCAP1\n'), head, Buffer.from(meta), ...parts]);
}

const sample = capture([
  { flags: 2, bytes: 'hello' },
  { flags: 3, bytes: 'welcome' },
  { flags: 0, bytes: ' again' },
]);

test('a capture gives its records and both streams', () => {
  const parsed = decodeCapture(sample);
  assert.deepEqual(parsed.meta, { client: 'test' });
  assert.deepEqual(
    parsed.records.map((record) => [record.fromServer, record.beforeTls, record.timeMs]),
    [
      [false, true, 1234],
      [true, true, 1234],
      [false, false, 1234],
    ],
  );
  const { client, server } = captureStreams(parsed);
  assert.equal(Buffer.from(client).toString(), 'hello again');
  assert.equal(Buffer.from(server).toString(), 'welcome');
});

test('what is read is written again byte for byte', () => {
  assert.ok(Buffer.from(encodeCapture(decodeCapture(sample))).equals(sample));
});

test('plain and gzipped files read the same', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-capture-'));
  try {
    writeFileSync(join(directory, 'plain'), sample);
    writeFileSync(join(directory, 'packed'), gzipSync(sample));
    assert.deepEqual(readCapture(join(directory, 'plain')), readCapture(join(directory, 'packed')));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a capture cut anywhere but between records says so', () => {
  const boundaries = new Set([29, 29 + 14, 29 + 14 + 16, sample.length]);
  for (let end = 0; end < sample.length; end += 1)
    if (boundaries.has(end)) assert.ok(decodeCapture(sample.subarray(0, end)));
    else assert.throws(() => decodeCapture(sample.subarray(0, end)), Error, `cut at ${end}`);
});
