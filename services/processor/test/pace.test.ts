import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { compress, isCompressible, loadCodec } from '../src/pool/compress.ts';
import { Pace } from '../src/pool/pace.ts';
import { noise, pattern } from './support/house.ts';

const mebibyte = 1024 * 1024;
const room = new Uint8Array(2 * mebibyte);

before(() => loadCodec('lz4'));

test('an idle line gives the user the level asked for, a busy one keeps its pace', () => {
  const pace = new Pace(6);
  assert.equal(pace.choose('zstd', mebibyte, false).effort, 6);
  assert.equal(pace.choose('zstd', mebibyte, true).effort, 'fast');
  assert.equal(pace.choose('zstd', mebibyte, false).effort, 6);
  assert.equal(pace.choose('gzip', mebibyte, false).effort, 6);
  assert.equal(pace.choose('lz4', mebibyte, false).effort, 'fast');
  assert.ok(pace.choose('zstd', mebibyte, false).savingMin < pace.choose('zstd', mebibyte, true).savingMin);
});

test('a level that proves too slow is left, rung by rung, and tried again later', () => {
  const pace = new Pace(19);
  const efforts = new Set<unknown>();
  for (let i = 0; i < 20; i += 1) {
    const { effort } = pace.choose('zstd', 4 * mebibyte, false);
    efforts.add(effort);
    if (effort !== 'fast') pace.learn('zstd', effort, 4 * mebibyte, 4 * mebibyte * 100);
  }
  assert.equal(pace.choose('zstd', 4 * mebibyte, false).effort, 'fast');
  assert.ok(efforts.has(3) && efforts.has('fast'));
  let again = 0;
  while (pace.choose('zstd', 4 * mebibyte, false).effort === 'fast') {
    again += 1;
    assert.ok(again < 1000, 'the slower levels never come back');
  }
});

test('small chunks and unknown levels teach nothing', () => {
  const pace = new Pace(6);
  pace.learn('zstd', 6, 1000, 1e12);
  pace.learn('zstd', 5, mebibyte, 1e12);
  assert.equal(pace.choose('zstd', mebibyte, false).effort, 6);
});

test('a wish below the first rung is still a decision', () => {
  assert.equal(new Pace(1).choose('zstd', 1000, false).effort, 'fast');
  assert.equal(new Pace(2).choose('zstd', 1000, false).effort, 2);
});

test('every level of every codec gives a smaller result or the input itself', () =>
  fc.assert(
    fc.property(
      fc.constantFrom('none' as const, 'zstd' as const, 'gzip' as const, 'lz4' as const),
      fc.oneof(fc.constant('fast' as const), fc.integer({ min: 1, max: 12 })),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(300_000).map((length) => pattern(length)),
      ),
      (compression, effort, input) => {
        const result = compress(input, { compression, effort, savingMin: 0.03 }, room);
        if (result.compression === 'none') assert.equal(result.bytes, input);
        else assert.ok(result.compression === compression && result.bytes.length < input.length);
      },
    ),
    { numRuns: 60 },
  ));

test('eight samples tell what is worth compressing', () => {
  assert.equal(isCompressible(noise(mebibyte), 0.03), false);
  assert.equal(isCompressible(pattern(mebibyte), 0.1), true);
  assert.equal(isCompressible(new Uint8Array(0), 0.1), false);
  // One part in twenty compresses to nothing: worth it when idle, not when chunks wait.
  const mostlyNoise = noise(mebibyte).slice();
  for (let at = 0; at < mebibyte; at += 16 * 1024) mostlyNoise.fill(0, at, at + 1024);
  assert.equal(isCompressible(mostlyNoise, 0.03), true);
  assert.equal(isCompressible(mostlyNoise, 0.1), false);
});
