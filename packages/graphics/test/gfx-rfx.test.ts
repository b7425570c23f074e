import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { captureGraphics, capturePicture, psnr } from '@lucid-sessions/testkit/capture-graphics';
import { coarseQuants, encodeRfx, encodeRlgr, testPicture } from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { PNG } from 'pngjs';
import { createPixelBuffer, fillRectangle, RemoteFxDecoder, rgba } from '../src/index.ts';
import { decodeRlgr } from '../src/rfx/rlgr.ts';

const support = new URL('./support/', import.meta.url);

test('the example of [MS-RDPRFX] 4.2 decodes to its picture, one level off at most', () => {
  const target = createPixelBuffer(64, 64);
  const drawn = new RemoteFxDecoder().decode(readFileSync(new URL('ms-rdprfx-4.2.bin', support)), target, 0, 0);
  const expected = PNG.sync.read(readFileSync(new URL('ms-rdprfx-4.2.png', support)));
  assert.deepEqual(drawn, [{ left: 0, top: 0, width: 64, height: 64 }]);
  for (let i = 0; i < target.data.length; i += 1)
    assert.ok(Math.abs(target.data[i]! - expected.data[i]!) <= 1, `byte ${i} is ${target.data[i]}`);
});

for (const name of [
  'shadow-rfx',
  'shadow-gfx-rfx',
  'weston-rfx',
  'xorg-rfx-lan',
  'web-shadow',
  'web-shadow-nla',
  'web-xorg-fix',
  'gnome-type-rfx-surfcmds',
]) {
  test(`${name} ends with the picture the real client showed`, () => {
    const picture = capturePicture(name);
    const target = createPixelBuffer(picture.width, picture.height);
    const decoder = new RemoteFxDecoder();
    for (const event of captureGraphics(name))
      if (event.kind === 'surface-bits' && event.codecId === 3)
        decoder.decode(event.data, target, event.left, event.top);
    assert.ok(psnr(target, picture) > 60, `${psnr(target, picture)} dB`);
  });
}

const coefficient = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 1, arbitrary: fc.integer({ min: -4000, max: 4000 }) },
);

for (const mode of [1, 3] as const) {
  test(`RLGR${mode} gives back what its encoder took`, () => {
    const output = new Int16Array(4096).fill(7);
    fc.assert(
      fc.property(fc.array(coefficient, { maxLength: 300 }), fc.nat(4095), (values, zerosBefore) => {
        const input = new Int16Array(4096);
        input.set(values.slice(0, 4096 - zerosBefore), zerosBefore);
        const first = decodeRlgr(mode, encodeRlgr(mode, input), output);
        assert.deepEqual([...output], [...input]);
        assert.equal(
          first,
          input.findIndex((value) => value !== 0) < 0 ? 4096 : input.findIndex((value) => value !== 0),
        );
      }),
      { numRuns: 60 },
    );
  });

  test(`RLGR${mode} takes any bytes`, () => {
    const output = new Int16Array(4096);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const first = decodeRlgr(mode, bytes, output);
        assert.ok(first >= 0 && first <= 4096);
      }),
    );
    // Ones and zeros without end: the longest codes there are.
    for (const byte of [0x00, 0xff, 0x7f, 0x80]) decodeRlgr(mode, new Uint8Array(70_000).fill(byte), output);
  });

  test(`a picture survives RemoteFX with RLGR${mode}`, () => {
    const picture = testPicture(150, 100);
    const target = createPixelBuffer(150, 100);
    new RemoteFxDecoder().decode(encodeRfx(picture, { mode }), target, 0, 0);
    assert.ok(psnr(target, picture) > 44, `${psnr(target, picture)} dB`);
    const coarse = createPixelBuffer(150, 100);
    new RemoteFxDecoder().decode(encodeRfx(picture, { mode, quants: coarseQuants }), coarse, 0, 0);
    assert.ok(psnr(coarse, picture) > 30, `${psnr(coarse, picture)} dB`);
  });
}

test('only what lies in the region is drawn, and at the destination', () => {
  const picture = testPicture(128, 128);
  const target = createPixelBuffer(160, 160);
  fillRectangle(target, { left: 0, top: 0, width: 160, height: 160 }, rgba(1, 2, 3));
  const rectangles = [
    { left: 10, top: 20, width: 70, height: 30 },
    { left: 100, top: 100, width: 500, height: 9 },
  ];
  const drawn = new RemoteFxDecoder().decode(encodeRfx(picture, { mode: 3, rectangles }), target, 20, 10);
  assert.deepEqual(drawn, [
    { left: 30, top: 30, width: 70, height: 30 },
    { left: 120, top: 110, width: 40, height: 9 },
  ]);
  for (let y = 0; y < 160; y += 1) {
    for (let x = 0; x < 160; x += 1) {
      const sx = x - 20;
      const sy = y - 10;
      const inside = sx < 128 && ((sx >= 10 && sx < 80 && sy >= 20 && sy < 50) || (sx >= 100 && sy >= 100 && sy < 109));
      const i = (y * 160 + x) * 4;
      if (!inside) assert.equal(target.words[y * 160 + x], rgba(1, 2, 3), `${x},${y}`);
      else assert.ok(Math.abs(target.data[i]! - picture.data[(sy * 128 + sx) * 4]!) < 12, `${x},${y}`);
    }
  }
});

test('in video mode the context of an earlier message holds; a region without rectangles is the whole channel', () => {
  const picture = testPicture(64, 64);
  const decoder = new RemoteFxDecoder();
  const first = createPixelBuffer(64, 64);
  const second = createPixelBuffer(64, 64);
  decoder.decode(encodeRfx(picture, { mode: 1 }), first, 0, 0);
  decoder.decode(encodeRfx(picture, { mode: 1, headers: false, rectangles: [] }), second, 0, 0);
  assert.deepEqual(second.data, first.data);
  // Without any context the tile set itself names the entropy coder.
  const third = createPixelBuffer(64, 64);
  new RemoteFxDecoder().decode(encodeRfx(picture, { mode: 1, headers: false }), third, 0, 0);
  assert.deepEqual(third.data, first.data);
});

test('a flat tile and a tile without bits are one colour', () => {
  const grey = createPixelBuffer(64, 64);
  fillRectangle(grey, { left: 0, top: 0, width: 64, height: 64 }, rgba(200, 100, 50));
  const target = createPixelBuffer(64, 64);
  new RemoteFxDecoder().decode(encodeRfx(grey, { mode: 3 }), target, 0, 0);
  assert.equal(new Set(target.words).size, 1);
  assert.ok(psnr(target, grey) > 45);
});

test('bad blocks are refused with the reason', () => {
  const good = encodeRfx(testPicture(64, 64), { mode: 3 });
  const target = createPixelBuffer(64, 64);
  const broken = (at: number, ...bytes: number[]) => {
    const copy = good.slice();
    copy.set(bytes, at);
    return copy;
  };
  const cases: [string, Uint8Array, string][] = [
    ['short block', broken(2, 5), 'invalid'],
    ['wrong magic', broken(6, 0), 'invalid'],
    ['wrong version', broken(10, 9), 'unsupported'],
    ['unknown block', broken(0, 0xcf), 'invalid'],
    ['tile width of the context', broken(12 + 9, 32), 'invalid'],
    ['entropy coder', broken(12 + 11, 0, 0), 'invalid'],
    ['no channel', broken(25 + 6, 0), 'invalid'],
    ['truncated', good.subarray(0, good.length - 20), 'truncated'],
  ];
  for (const [what, bytes, code] of cases)
    assert.throws(() => new RemoteFxDecoder().decode(bytes, target, 0, 0), { name: 'DecodeError', code }, what);
});

test('a message that asks for too much work is refused', () => {
  const good = encodeRfx(testPicture(64, 64), { mode: 3 });
  const tileAt = good.length - 8 - tileBytes(good);
  const tile = good.subarray(tileAt, good.length - 8);
  const tilesCount = 40_000;
  const many = new Uint8Array(tileAt + tile.length * tilesCount);
  many.set(good.subarray(0, tileAt));
  for (let i = 0; i < tilesCount; i += 1) many.set(tile, tileAt + i * tile.length);
  const tileSetAt = tileAt - 5 - 22;
  const view = new DataView(many.buffer);
  assert.equal(view.getUint16(tileSetAt, true), 0xccc7);
  view.setUint32(tileSetAt + 2, many.length - tileSetAt, true);
  view.setUint16(tileSetAt + 16, tilesCount, true);
  // One black pixel wide: a tile that is painted is decoded whole.
  assert.throws(() => new RemoteFxDecoder().decode(many, createPixelBuffer(1, 1), 0, 0), { code: 'limit' });
});

/** Length of the last tile of a message of one tile. */
function tileBytes(message: Uint8Array): number {
  const view = new DataView(message.buffer, message.byteOffset);
  for (let at = message.length - 8; at > 0; at -= 1)
    if (view.getUint16(at, true) === 0xcac3 && view.getUint32(at + 2, true) === message.length - 8 - at)
      return message.length - 8 - at;
  throw new Error('there is no tile');
}

test('random and damaged streams never do anything but draw or throw a DecodeError', () => {
  const good = encodeRfx(testPicture(100, 70), { mode: 3 });
  const target = createPixelBuffer(100, 70);
  const attempt = (bytes: Uint8Array) => {
    try {
      new RemoteFxDecoder().decode(bytes, target, 3, 4);
    } catch (error) {
      assert.ok(error instanceof DecodeError);
    }
  };
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), fc.nat(good.length), (changes, length) => {
      const damaged = good.slice();
      for (const [at, value] of changes) damaged[at] = value;
      attempt(damaged);
      attempt(damaged.subarray(0, length));
    }),
    { numRuns: 150 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 200 });
});
