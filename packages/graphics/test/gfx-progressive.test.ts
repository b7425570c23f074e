import assert from 'node:assert/strict';
import { test } from 'node:test';
import { psnr } from '@lucid-sessions/testkit/capture-graphics';
import {
  type BandValues,
  type EncodedTile,
  encodeSrl,
  forwardBands,
  progressiveMessage,
  region,
  subtract,
  testPicture,
  tileBands,
  tileFirst,
  tileSimple,
  tileUpgrade,
} from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { createPixelBuffer, type PixelBuffer } from '../src/index.ts';
import { ProgressiveDecoder, TileBudget } from '../src/progressive/progressive-decoder.ts';
import { inverseReduceExtrapolateDwt } from '../src/progressive/reduce-extrapolate-dwt.ts';
import { SrlDecoder } from '../src/progressive/srl.ts';
import { inverseDwt } from '../src/rfx/dwt.ts';

const quants: BandValues = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
/** Three qualities, the last one whole; bands lose different numbers of bits. */
const coarse: BandValues = [5, 5, 6, 4, 4, 5, 3, 3, 3, 2];
const middle: BandValues = [2, 3, 3, 4, 1, 2, 1, 0, 1, 1];
const whole: BandValues = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const progressiveQuants = [coarse, middle, whole];

function everywhere({ width, height }: PixelBuffer) {
  return [{ left: 0, top: 0, width, height }];
}

function forTiles(picture: PixelBuffer, make: (x: number, y: number) => EncodedTile): EncodedTile[] {
  const tiles: EncodedTile[] = [];
  for (let y = 0; y * 64 < picture.height; y += 1)
    for (let x = 0; x * 64 < picture.width; x += 1) tiles.push(make(x, y));
  return tiles;
}

function simple(picture: PixelBuffer, reduceExtrapolate: boolean): Uint8Array {
  const tiles = forTiles(picture, (x, y) => tileSimple(x, y, tileBands(picture, x, y, quants, reduceExtrapolate)));
  return progressiveMessage([region({ rectangles: everywhere(picture), quants, reduceExtrapolate, tiles })]);
}

test('both wavelet transforms undo what the encoder did to a tile', () => {
  const samples = Array.from({ length: 4096 }, (_, i) => ((i * 7919) % 4001) - 2000);
  for (const reduceExtrapolate of [false, true]) {
    const bands = Int16Array.from(forwardBands(samples, reduceExtrapolate).flat());
    assert.equal(bands.length, 4096);
    if (reduceExtrapolate) inverseReduceExtrapolateDwt(bands);
    else inverseDwt(bands, 0);
    // The transform halves high values and drops that bit: up to a few units of 1/32 level, per level.
    for (const [i, value] of bands.entries())
      assert.ok(Math.abs(value - samples[i]!) <= 24, `sample ${i}: ${value} ${samples[i]}`);
  }
});

test('smooth tiles take the short way to the same samples', () => {
  const smooth = new Int16Array(4096);
  for (let i = 3072; i < 4096; i += 1) smooth[i] = ((i * 31) % 801) - 400;
  const long = smooth.slice();
  inverseDwt(smooth, 3072);
  inverseDwt(long, 0);
  assert.deepEqual(smooth, long);
});

test('SRL gives back what its encoder took', () => {
  const value = fc.integer({ min: 1, max: 8 }).chain((bitsCount) =>
    fc.record({
      bitsCount: fc.constant(bitsCount),
      value: fc.oneof(
        { weight: 5, arbitrary: fc.constant(0) },
        { weight: 2, arbitrary: fc.integer({ min: -(2 ** bitsCount) + 1, max: 2 ** bitsCount - 1 }) },
      ),
    }),
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 500 }), (values) => {
      const decoder = new SrlDecoder(encodeSrl(values));
      for (const [i, one] of values.entries()) assert.equal(decoder.read(one.bitsCount), one.value, `value ${i}`);
    }),
  );
});

for (const reduceExtrapolate of [false, true]) {
  const method = reduceExtrapolate ? 'reduce-extrapolate' : 'original';

  test(`simple tiles give their picture (${method} transform)`, () => {
    const picture = testPicture(150, 100);
    const target = createPixelBuffer(150, 100);
    const drawn = new ProgressiveDecoder().decode(simple(picture, reduceExtrapolate), target);
    assert.deepEqual(drawn, everywhere(picture));
    assert.ok(psnr(target, picture) > 42, `${psnr(target, picture)} dB`);
  });

  test(`a first pass and its upgrades end where a simple tile starts (${method} transform)`, () => {
    const picture = testPicture(128, 64, 5);
    const expected = createPixelBuffer(128, 64);
    const decoder = new ProgressiveDecoder();
    const target = createPixelBuffer(128, 64);
    const send = (make: (x: number, y: number) => EncodedTile) => {
      const tiles = forTiles(picture, make);
      const rectangles = everywhere(picture);
      decoder.decode(
        progressiveMessage([region({ rectangles, quants, progressiveQuants, reduceExtrapolate, tiles })]),
        target,
      );
      decoder.endFrame();
      return psnr(target, picture);
    };
    const bands = (x: number, y: number) => tileBands(picture, x, y, quants, reduceExtrapolate);
    const first = send((x, y) => tileFirst(x, y, bands(x, y), 0, coarse));
    const second = send((x, y) => tileUpgrade(x, y, bands(x, y), 1, coarse, middle));
    const third = send((x, y) => tileUpgrade(x, y, bands(x, y), 2, middle, whole));
    assert.ok(first < second && second < third, `${first} ${second} ${third}`);
    // A simple tile of the same values: LL3 is floored in both.
    new ProgressiveDecoder().decode(
      progressiveMessage([
        region({
          rectangles: everywhere(picture),
          quants,
          reduceExtrapolate,
          tiles: forTiles(picture, (x, y) => tileSimple(x, y, bands(x, y))),
        }),
      ]),
      expected,
    );
    assert.deepEqual(target.data, expected.data);
  });

  test(`difference tiles add to what is there (${method} transform)`, () => {
    const before = testPicture(64, 64, 1);
    const after = testPicture(64, 64, 9);
    const bands = (picture: PixelBuffer) => tileBands(picture, 0, 0, quants, reduceExtrapolate);
    const message = (tile: EncodedTile) =>
      progressiveMessage([
        region({ rectangles: everywhere(before), quants, progressiveQuants, reduceExtrapolate, tiles: [tile] }),
      ]);
    const expected = createPixelBuffer(64, 64);
    new ProgressiveDecoder().decode(message(tileSimple(0, 0, bands(after))), expected);

    const decoder = new ProgressiveDecoder();
    const target = createPixelBuffer(64, 64);
    decoder.decode(message(tileSimple(0, 0, bands(before))), target);
    const difference = subtract(bands(after), bands(before));
    decoder.decode(message(tileSimple(0, 0, difference, true)), target);
    assert.deepEqual(target.data, expected.data);

    // The same again with a progressive difference: first pass and upgrade carry the bits of the difference.
    const progressive = new ProgressiveDecoder();
    progressive.decode(message(tileSimple(0, 0, bands(before))), target);
    progressive.decode(message(tileFirst(0, 0, difference, 0, coarse, true)), target);
    progressive.decode(message(tileUpgrade(0, 0, difference, 0xff, coarse, whole)), target);
    assert.deepEqual(target.data, expected.data);
  });
}

test('regions of one frame share their tiles, later frames do not', () => {
  const picture = testPicture(64, 64);
  const tiles = [tileSimple(0, 0, tileBands(picture, 0, 0, quants, true))];
  const upper = { left: 0, top: 0, width: 64, height: 20 };
  const lower = { left: 8, top: 40, width: 30, height: 24 };
  const part = (rectangle: typeof upper, withTiles: boolean) =>
    region({ rectangles: [rectangle], quants, reduceExtrapolate: true, tiles: withTiles ? tiles : [] });
  const decoder = new ProgressiveDecoder();
  const target = createPixelBuffer(64, 64);
  decoder.decode(progressiveMessage([part(upper, true)]), target);
  assert.notEqual(target.words[10], 0xff000000);
  assert.equal(target.words[50 * 64 + 20], 0xff000000);
  decoder.decode(progressiveMessage([part(lower, false)]), target);
  assert.notEqual(target.words[50 * 64 + 20], 0xff000000);
  assert.equal(target.words[50 * 64 + 2], 0xff000000);
  decoder.endFrame();
  decoder.decode(progressiveMessage([part({ left: 0, top: 20, width: 64, height: 20 }, false)]), target);
  assert.equal(target.words[30 * 64 + 20], 0xff000000);
  // Sent again and covered whole, the tile replaces what was shared of it.
  decoder.decode(
    progressiveMessage([part(upper, true), part({ left: 0, top: 0, width: 64, height: 64 }, true)]),
    target,
  );
  decoder.endFrame();
  assert.ok(psnr(target, picture) > 42);
});

test('a region outside a frame is ignored', () => {
  const picture = testPicture(64, 64);
  const target = createPixelBuffer(64, 64);
  const bytes = simple(picture, true);
  const begin = indexOfBlock(bytes, 0xccc1);
  const without = new Uint8Array([...bytes.subarray(0, begin), ...bytes.subarray(begin + 12)]);
  assert.deepEqual(new ProgressiveDecoder().decode(without, target), []);
  assert.equal(target.words[0], 0xff000000);
});

function indexOfBlock(bytes: Uint8Array, type: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = 0;
  while (view.getUint16(at, true) !== type) at += view.getUint32(at + 2, true);
  return at;
}

/** Decodes tiles of one surface, message by message, and keeps what was missing. */
function surface(picture: PixelBuffer, budget = new TileBudget()) {
  const holes: string[] = [];
  const target = createPixelBuffer(picture.width, picture.height);
  const decoder = new ProgressiveDecoder(budget, (hole) => holes.push(hole));
  const send = (tiles: EncodedTile[], progressive = progressiveQuants, diffing = true) => {
    const rectangles = everywhere(picture);
    const one = region({ rectangles, quants, progressiveQuants: progressive, reduceExtrapolate: true, tiles });
    decoder.decode(progressiveMessage([one], diffing), target);
  };
  return { decoder, holes, target, send };
}

test('differences and upgrades without what they build on are told and not drawn, those around them are', () => {
  const picture = testPicture(128, 64);
  const bands = (x: number) => tileBands(picture, x, 0, quants, true);
  const { holes, target, send } = surface(picture);
  send([tileSimple(0, 0, bands(0), true), tileSimple(1, 0, bands(1))]);
  assert.equal(target.words[5], 0xff000000);
  assert.notEqual(target.words[70], 0xff000000);
  send([tileUpgrade(0, 0, bands(0), 0xff, middle, whole), tileFirst(0, 0, bands(0), 0, coarse, true)]);
  send([tileUpgrade(0, 0, bands(0), 1, coarse, middle)]);
  assert.equal(target.words[5], 0xff000000, 'a hole stays one for what builds on it');
  assert.deepEqual(holes, ['missingBase', 'missingFirstPass', 'missingBase', 'missingFirstPass']);
  send([tileSimple(0, 0, bands(0))]);
  assert.ok(psnr(target, picture) > 42);
});

test('an upgrade goes on from what the tile last was: after a whole one it only draws it again', () => {
  const picture = testPicture(64, 64);
  const bands = tileBands(picture, 0, 0, quants, true);
  const { holes, target, send } = surface(picture);
  send([tileFirst(0, 0, bands, 0, coarse)]);
  send([tileUpgrade(0, 0, bands, 1, coarse, middle), tileUpgrade(0, 0, bands, 0xff, middle, whole)], progressiveQuants);
  const expected = target.data.slice();
  send([tileSimple(0, 0, bands)]);
  target.words.fill(0);
  // As Windows sends it: the best quality, and no progressive quantization at all.
  send([tileUpgrade(0, 0, bands, 0xff, whole, whole)], []);
  assert.deepEqual(target.data, expected);
  assert.throws(() => send([tileUpgrade(0, 0, bands, 1, coarse, middle)]), { code: 'invalid' }, 'it takes bits back');
  assert.deepEqual(holes, []);
});

test('a first pass of the best quality needs no progressive quantization, and the upper bits of tile flags mean nothing', () => {
  const picture = testPicture(64, 64);
  const bands = tileBands(picture, 0, 0, quants, true);
  const { holes, target, send } = surface(picture);
  const tile = tileFirst(0, 0, bands, 0xff, whole);
  tile.body[7] = 0xfe;
  send([tile], []);
  assert.ok(psnr(target, picture) > 42);
  assert.deepEqual(holes, []);
});

test('surfaces share a bound on what they remember, and give it back', () => {
  const budget = new TileBudget();
  for (let i = 0; i < 16383; i += 1) budget.take();
  const picture = testPicture(64, 64);
  const first = new ProgressiveDecoder(budget);
  const second = new ProgressiveDecoder(budget);
  first.decode(simple(picture, true), createPixelBuffer(64, 64));
  assert.throws(() => second.decode(simple(picture, true), createPixelBuffer(64, 64)), { code: 'limit' });
  first.dispose();
  second.decode(simple(picture, true), createPixelBuffer(64, 64));
});

test('bad blocks are refused with the reason', () => {
  const picture = testPicture(64, 64);
  const good = simple(picture, true);
  const context = indexOfBlock(good, 0xccc3);
  const regionAt = indexOfBlock(good, 0xccc4);
  const tileAt = regionAt + 18 + 8 + 5;
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
    ['tile width of the context', broken(context + 7, 32), 'invalid'],
    ['tile width of the region', broken(regionAt + 6, 32), 'invalid'],
    ['tile length', broken(tileAt + 2, 3, 0), 'invalid'],
    ['tile type', broken(tileAt, 0xcf), 'invalid'],
    ['tile quantization', broken(tileAt + 6, 1), 'invalid'],
    ['tile column', broken(tileAt + 9, 1), 'invalid'],
    ['tile row', broken(tileAt + 11, 1), 'invalid'],
    ['truncated', good.subarray(0, good.length - 20), 'truncated'],
  ];
  for (const [what, bytes, code] of cases)
    assert.throws(
      () => new ProgressiveDecoder().decode(bytes, createPixelBuffer(64, 64)),
      { name: 'DecodeError', code },
      what,
    );
  const bands = tileBands(picture, 0, 0, quants, true);
  const decoder = new ProgressiveDecoder();
  const send = (tile: EncodedTile, progressive = progressiveQuants) =>
    decoder.decode(
      progressiveMessage([
        region({
          rectangles: everywhere(picture),
          quants,
          progressiveQuants: progressive,
          reduceExtrapolate: true,
          tiles: [tile],
        }),
      ]),
      createPixelBuffer(64, 64),
    );
  assert.throws(() => send(tileFirst(0, 0, bands, 3, coarse)), { code: 'invalid' }, 'no such quality');
  send(tileFirst(0, 0, bands, 1, middle));
  assert.throws(() => send(tileUpgrade(0, 0, bands, 0, coarse, coarse)), { code: 'invalid' }, 'bits taken back');
});

test('random and damaged streams never do anything but draw or throw a DecodeError', () => {
  const picture = testPicture(100, 70);
  const bands = tileBands(picture, 0, 0, quants, true);
  const tiles = [tileFirst(0, 0, bands, 0, coarse), tileUpgrade(0, 0, bands, 1, coarse, middle)];
  const rectangles = [{ left: 3, top: 4, width: 40, height: 50 }];
  const good = progressiveMessage([region({ rectangles, quants, progressiveQuants, reduceExtrapolate: true, tiles })]);
  const decoder = new ProgressiveDecoder();
  const target = createPixelBuffer(100, 70);
  const attempt = (bytes: Uint8Array) => {
    try {
      decoder.decode(bytes, target);
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
