import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  band,
  cacheResetFlag,
  clearCodecMessage,
  glyphHitFlag,
  glyphIndexFlag,
  rawPixels,
  residual,
  rlex,
  subcodec,
  testPicture,
  type VBar,
} from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { ClearCodecDecoder } from '../src/clearcodec/clear-codec-decoder.ts';
import { createPixelBuffer, fillRectangle, type PixelBuffer, rgba } from '../src/index.ts';

const red = rgba(255, 0, 0);
const green = rgba(0, 255, 0);
const blue = rgba(0, 0, 255);
const white = rgba(255, 255, 255);
const black = rgba(0, 0, 0);

function noNsCodec(): PixelBuffer {
  throw new Error('NSCodec was not expected');
}

function whole({ width, height }: PixelBuffer) {
  return { left: 0, top: 0, width, height };
}

function decodeOnce(bytes: Uint8Array, width: number, height: number): PixelBuffer {
  const target = createPixelBuffer(width, height);
  new ClearCodecDecoder(noNsCodec).decode(bytes, target, whole(target));
  return target;
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g)!, (byte) => Number.parseInt(byte, 16));
}

test('the examples of [MS-RDPEGFX] 4.1.1.1 that need no earlier ones: a line of text in RLEX, a column of a glyph', () => {
  const line = decodeOnce(
    hex(
      '000d000000000000000082000000000000004e00110075000000020effffff000000dbffff003a90ffb66666b6ffb6660090dbff0000' +
        '3adb903a3a90db660000ffffb66464641104114c114c114c114c114c004713000101040001000047160011020047290011010049' +
        '0a00010004000100004a0a00090001000047050001011c000100114c114c114c00470d4d004d',
    ),
    78,
    17,
  );
  // White paper (entry 0 of the palette) with ink of thirteen other colours.
  const paper = line.words.filter((word) => word === white).length;
  assert.ok(paper > 1000 && paper < 78 * 17, `${paper} white pixels`);
  assert.ok(new Set(line.words).size <= 14);
  const glyph = decodeOnce(
    hex(
      '010b78000000000046000000000000000000060000000e00000000000fffffffffffffffffffb6ffffffffffffffffffb666ffffffffffff' +
        'ffb666db903affffb6ffffffffffffffffff46914791489149914a911b91',
    ),
    7,
    15,
  );
  const column = Array.from({ length: 15 }, (_, y) => glyph.words[y * 7]);
  assert.equal(column.filter((word) => word === white).length, 10);
  assert.equal(column[3], rgba(0xff, 0xff, 0xb6));
});

test('residual runs of every length colour the whole bitmap', () => {
  const width = 300;
  const height = 300;
  const words = new Uint32Array(width * height);
  words.fill(red, 0, 100);
  words.fill(green, 100, 600);
  words.fill(blue, 600);
  const target = decodeOnce(clearCodecMessage({ sequence: 0, residual: residual(words) }), width, height);
  assert.deepEqual(target.words, words);
});

test('bands place columns, and find them again in their caches', () => {
  const decoder = new ClearCodecDecoder(noNsCodec);
  const target = createPixelBuffer(6, 10);
  fillRectangle(target, whole(target), green);
  const vBars: VBar[] = [
    { kind: 'shortMiss', yOn: 1, words: [red, blue] },
    { kind: 'shortHit', index: 0, yOn: 2 },
    { kind: 'hit', index: 0 },
    { kind: 'shortMiss', yOn: 0, words: [] },
    { kind: 'shortHit', index: 0, yOn: 3 },
  ];
  const area = { left: 1, top: 1, width: 5, height: 8 };
  const bytes = clearCodecMessage({
    sequence: 0,
    bands: [band({ xStart: 0, yStart: 2, height: 4, background: white, vBars })],
  });
  decoder.decode(bytes, target, area);
  const column = (x: number) => [3, 4, 5, 6].map((y) => target.words[y * 6 + x]);
  assert.deepEqual(column(1), [white, red, blue, white]);
  assert.deepEqual(column(2), [white, white, red, blue]);
  assert.deepEqual(column(3), [white, red, blue, white]);
  assert.deepEqual(column(4), [white, white, white, white]);
  assert.deepEqual(column(5), [white, white, white, red]);
  assert.deepEqual(column(0), [green, green, green, green]);
  assert.equal(target.words[2 * 6 + 1], green);
  assert.equal(target.words[7 * 6 + 1], green);
  assert.deepEqual(decoder.gaps, { sequence: 0, columns: 0 });

  // The cursor goes back on reset; entries stay until they are overwritten.
  const again: VBar[] = [
    { kind: 'shortMiss', yOn: 0, words: [blue, blue] },
    { kind: 'hit', index: 0 },
    { kind: 'hit', index: 1 },
  ];
  const reset = clearCodecMessage({
    flags: cacheResetFlag,
    sequence: 1,
    bands: [band({ xStart: 0, yStart: 2, height: 4, background: white, vBars: again })],
  });
  decoder.decode(reset, target, area);
  assert.deepEqual(column(1), [blue, blue, white, white]);
  assert.deepEqual(column(2), column(1));
  assert.deepEqual(column(3), [white, white, red, blue]);
});

test('a column that never came is black and counted', () => {
  const decoder = new ClearCodecDecoder(noNsCodec);
  const target = createPixelBuffer(2, 2);
  fillRectangle(target, whole(target), white);
  const vBars: VBar[] = [{ kind: 'hit', index: 77 }];
  const bytes = clearCodecMessage({
    sequence: 9,
    bands: [band({ xStart: 1, yStart: 0, height: 2, background: red, vBars })],
  });
  decoder.decode(bytes, target, whole(target));
  assert.deepEqual([...target.words], [white, black, white, black]);
  assert.deepEqual(decoder.gaps, { sequence: 0, columns: 1 });
  decoder.decode(clearCodecMessage({ sequence: 11 }), target, whole(target));
  decoder.decode(clearCodecMessage({ sequence: 12 }), target, whole(target));
  assert.deepEqual(decoder.gaps, { sequence: 1, columns: 1 });
});

test('sequence numbers wrap', () => {
  const decoder = new ClearCodecDecoder(noNsCodec);
  const target = createPixelBuffer(1, 1);
  for (let i = 0; i < 300; i += 1)
    decoder.decode(clearCodecMessage({ sequence: (i + 100) & 0xff }), target, whole(target));
  assert.equal(decoder.gaps.sequence, 0);
});

test('subcodecs draw raw pixels, suites of a palette and NSCodec over the layers before', () => {
  const calls: [Uint8Array, number, number][] = [];
  const decoder = new ClearCodecDecoder((bytes, width, height) => {
    calls.push([bytes.slice(), width, height]);
    const picture = createPixelBuffer(width, height);
    fillRectangle(picture, whole(picture), blue);
    return picture;
  });
  const target = createPixelBuffer(8, 4);
  const bytes = clearCodecMessage({
    sequence: 0,
    residual: residual(new Array(32).fill(white)),
    subcodecs: [
      subcodec({ x: 0, y: 0, width: 2, height: 2 }, 0, rawPixels([red, green, blue, red])),
      subcodec(
        { x: 2, y: 0, width: 4, height: 2 },
        2,
        rlex(
          [black, red, green],
          [
            { start: 0, run: 2, stop: 2 },
            { start: 1, run: 1, stop: 2 },
          ],
        ),
      ),
      subcodec({ x: 6, y: 2, width: 2, height: 2 }, 1, Uint8Array.of(1, 2, 3)),
    ],
  });
  decoder.decode(bytes, target, whole(target));
  const row = (y: number) => [...target.words.subarray(y * 8, y * 8 + 8)];
  assert.deepEqual(row(0), [red, green, black, black, black, red, white, white]);
  assert.deepEqual(row(1), [blue, red, green, red, red, green, white, white]);
  assert.deepEqual(row(2), [white, white, white, white, white, white, blue, blue]);
  assert.deepEqual(calls, [[Uint8Array.of(1, 2, 3), 2, 2]]);
});

test('palettes of every size and pictures in RLEX survive', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 127 }),
      fc.array(fc.nat(126), { minLength: 1, maxLength: 60 }),
      (size, indices) => {
        const palette = Array.from({ length: size }, (_, i) => rgba(i, 255 - i, i * 2));
        const pixels = indices.map((i) => i % size);
        const runs = pixels.map((index) => ({ start: index, run: 0, stop: index }));
        const part = { x: 0, y: 0, width: pixels.length, height: 1 };
        const bytes = clearCodecMessage({ sequence: 0, subcodecs: [subcodec(part, 2, rlex(palette, runs))] });
        assert.deepEqual(
          [...decodeOnce(bytes, pixels.length, 1).words],
          pixels.map((index) => palette[index]),
        );
      },
    ),
  );
});

test('glyphs come back by their index', () => {
  const decoder = new ClearCodecDecoder(noNsCodec);
  const picture = testPicture(20, 10);
  const target = createPixelBuffer(64, 32);
  const area = { left: 3, top: 2, width: 20, height: 10 };
  decoder.decode(
    clearCodecMessage({ flags: glyphIndexFlag, sequence: 0, glyphIndex: 17, residual: residual(picture.words) }),
    target,
    area,
  );
  // As example 1 of [MS-RDPEGFX] 4.1.1.1: nothing but the index.
  const hit = clearCodecMessage({ flags: glyphIndexFlag | glyphHitFlag, sequence: 1, glyphIndex: 17 });
  assert.equal(hit.length, 4);
  decoder.decode(hit, target, { ...area, left: 40, top: 20 });
  for (let y = 0; y < 10; y += 1) {
    for (let x = 0; x < 20; x += 1) {
      assert.equal(target.words[(y + 2) * 64 + x + 3], picture.words[y * 20 + x]);
      assert.equal(target.words[(y + 20) * 64 + x + 40], picture.words[y * 20 + x]);
    }
  }
  assert.throws(() => decoder.decode(hit, target, { ...area, width: 19 }), { code: 'invalid' });
});

test('glyphs have a bound on their memory', () => {
  const decoder = new ClearCodecDecoder(noNsCodec);
  const target = createPixelBuffer(2048, 1024);
  const send = (glyphIndex: number) =>
    decoder.decode(clearCodecMessage({ flags: glyphIndexFlag, sequence: 0, glyphIndex }), target, whole(target));
  for (let i = 0; i < 3; i += 1) send(i);
  for (let i = 0; i < 3; i += 1) send(i);
  assert.throws(() => send(3), { code: 'limit' });
});

test('bad streams are refused with the reason', () => {
  const area = { x: 0, y: 0, width: 4, height: 4 };
  const oneBand = (changes: object) =>
    band({ xStart: 0, yStart: 0, height: 4, background: red, vBars: [{ kind: 'hit', index: 0 }], ...changes });
  const cases: [string, Uint8Array, string][] = [
    ['residual too long', clearCodecMessage({ sequence: 0, residual: residual(new Array(17).fill(red)) }), 'invalid'],
    ['residual too short', clearCodecMessage({ sequence: 0, residual: residual(new Array(15).fill(red)) }), 'invalid'],
    ['band too wide', clearCodecMessage({ sequence: 0, bands: [oneBand({ xStart: 4 })] }), 'invalid'],
    ['band too low', clearCodecMessage({ sequence: 0, bands: [oneBand({ yStart: 1 })] }), 'invalid'],
    [
      'column backwards',
      clearCodecMessage({
        sequence: 0,
        // A column of 3 pixels from 5 to 2: the two last bytes are its header.
        bands: [Uint8Array.of(...oneBand({}).subarray(0, 11), 5, 2)],
      }),
      'invalid',
    ],
    [
      'unknown subcodec',
      clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 3, new Uint8Array(0))] }),
      'invalid',
    ],
    [
      'subcodec outside',
      clearCodecMessage({ sequence: 0, subcodecs: [subcodec({ ...area, x: 1 }, 0, new Uint8Array(48))] }),
      'invalid',
    ],
    ['raw length', clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 0, new Uint8Array(47))] }), 'invalid'],
    ['no palette', clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 2, Uint8Array.of(0))] }), 'invalid'],
    [
      'palette too large',
      clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 2, new Uint8Array(500).fill(128))] }),
      'invalid',
    ],
    [
      'suite outside palette',
      clearCodecMessage({
        sequence: 0,
        subcodecs: [subcodec(area, 2, rlex([red, green, blue], [{ start: 0, run: 0, stop: 3 }]))],
      }),
      'invalid',
    ],
    [
      'suite outside bitmap',
      clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 2, rlex([red], [{ start: 0, run: 16, stop: 0 }]))] }),
      'invalid',
    ],
    [
      'suites too short',
      clearCodecMessage({ sequence: 0, subcodecs: [subcodec(area, 2, rlex([red], [{ start: 0, run: 3, stop: 0 }]))] }),
      'invalid',
    ],
    ['glyph index', clearCodecMessage({ flags: glyphIndexFlag, sequence: 0, glyphIndex: 4000 }), 'invalid'],
    [
      'unknown glyph',
      clearCodecMessage({ flags: glyphIndexFlag | glyphHitFlag, sequence: 0, glyphIndex: 1 }),
      'invalid',
    ],
    ['hit without index', clearCodecMessage({ flags: glyphHitFlag, sequence: 0 }), 'invalid'],
    ['truncated', Uint8Array.of(0, 0, 9, 0, 0, 0), 'truncated'],
  ];
  for (const [what, bytes, code] of cases)
    assert.throws(() => decodeOnce(bytes, 4, 4), { name: 'DecodeError', code }, what);
});

test('random and damaged streams never do anything but draw or throw a DecodeError', () => {
  const words = testPicture(12, 9).words;
  const good = clearCodecMessage({
    flags: glyphIndexFlag,
    sequence: 0,
    glyphIndex: 3,
    residual: residual(words),
    bands: [
      band({
        xStart: 0,
        yStart: 0,
        height: 5,
        background: red,
        vBars: [
          { kind: 'shortMiss', yOn: 1, words: [red] },
          { kind: 'shortHit', index: 0, yOn: 2 },
        ],
      }),
    ],
    subcodecs: [subcodec({ x: 1, y: 1, width: 4, height: 2 }, 2, rlex([red, blue], [{ start: 0, run: 6, stop: 1 }]))],
  });
  const decoder = new ClearCodecDecoder((_, width, height) => createPixelBuffer(width, height));
  const target = createPixelBuffer(20, 20);
  const attempt = (bytes: Uint8Array) => {
    try {
      decoder.decode(bytes, target, { left: 2, top: 3, width: 12, height: 9 });
    } catch (error) {
      assert.ok(error instanceof DecodeError);
    }
  };
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(good.length), (changes, length) => {
      const damaged = good.slice();
      for (const [at, value] of changes) damaged[at] = value;
      attempt(damaged);
      attempt(damaged.subarray(0, length));
    }),
    { numRuns: 300 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 300 });
});
