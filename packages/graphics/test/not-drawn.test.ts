import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  gfxMessage,
  pdu,
  progressiveMessage,
  rect,
  region,
  testPicture,
  tileBands,
  tileSimple,
} from '@lucid-sessions/testkit/graphics-encoders';
import fc from 'fast-check';
import { GraphicsPipeline, NotDrawn, rgba, Screen } from '../src/index.ts';

const event = fc.record({
  kind: fc.constantFrom('order.a', 'gfx.b', 'bitmap.c'),
  timeUs: fc.nat(1_000_000),
  area: fc.option(
    fc.record({
      left: fc.integer({ min: -50, max: 1100 }),
      top: fc.integer({ min: -50, max: 900 }),
      width: fc.integer({ min: 0, max: 1300 }),
      height: fc.integer({ min: 0, max: 1000 }),
    }),
  ),
});
const screenSize = { width: 1024, height: 768 };

test('what was not drawn is the same however the recording was cut and its state saved', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), fc.nat(40), (events, cut) => {
      const whole = new NotDrawn();
      let pieces = new NotDrawn();
      for (const [at, { kind, timeUs, area }] of events.entries()) {
        if (at === cut) {
          const next = new NotDrawn();
          next.restore(JSON.parse(JSON.stringify(pieces.snapshot())));
          pieces = next;
        }
        for (const tally of [whole, pieces]) tally.add(kind, timeUs, area, screenSize);
      }
      assert.deepEqual(pieces.kinds(), whole.kinds());
      assert.equal(pieces.sharePermille(), whole.sharePermille());
      const count = whole.kinds().reduce((sum, kind) => sum + kind.count, 0);
      assert.equal(count, events.length);
    }),
  );
});

test('a share is that of all places together: never less than their pixels, never more than their cells', () => {
  fc.assert(
    fc.property(fc.nat(960), fc.nat(704), (left, top) => {
      const tally = new NotDrawn();
      for (let again = 0; again < 3; again += 1)
        tally.add('tile', again, { left, top, width: 64, height: 64 }, screenSize);
      const [kind] = tally.kinds();
      assert.deepEqual([kind?.count, kind?.located], [3, 3]);
      const pixels = (64 * 64 * 1000) / (1024 * 768);
      assert.ok(kind!.sharePermille >= pixels && kind!.sharePermille <= Math.ceil((3 * 4 * 1000) / 1024));
    }),
  );
  const tally = new NotDrawn();
  tally.add('left', 1, { left: 0, top: 0, width: 512, height: 768 }, screenSize);
  tally.add('right', 2, { left: 512, top: 0, width: 600, height: 768 }, screenSize);
  tally.add('nowhere', 3, { left: 2000, top: 0, width: 10, height: 10 }, screenSize);
  tally.add('unknown', 4, null, screenSize);
  assert.deepEqual(
    tally.kinds().map(({ sharePermille, located }) => [sharePermille, located]),
    [
      [500, 1],
      [500, 1],
      [0, 0],
      [0, 0],
    ],
  );
  assert.deepEqual([tally.sharePermille(), tally.sharePermille('right')], [1000, 500]);
});

test('a peer that makes names up fills one line', () => {
  const tally = new NotDrawn();
  for (let name = 0; name < 1000; name += 1) tally.add(`gfx.codec.${name}`, name, null, screenSize);
  assert.equal(tally.kinds().length, 129);
  assert.equal(tally.counts.get('other'), 872);
});

test('a difference tile without a base and a codec nobody knows: when, and where on the screen', () => {
  const screen = new Screen();
  const pipeline = new GraphicsPipeline({ screen });
  const quants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
  const bands = tileBands(testPicture(64, 64), 0, 0, quants, true);
  const tile = tileSimple(1, 1, bands, true);
  const rectangles = [{ left: 64, top: 64, width: 64, height: 64 }];
  const bitmapData = progressiveMessage([region({ rectangles, quants, reduceExtrapolate: true, tiles: [tile] })]);
  const mapping = { surfaceId: 1, reserved: 0, outputOriginX: 64, outputOriginY: 0 };
  pipeline.process(
    gfxMessage(
      pdu('resetGraphics', { width: 320, height: 256, monitors: [], pad: new Uint8Array(320) }),
      pdu('createSurface', { surfaceId: 1, width: 256, height: 256, pixelFormat: 0x20 }),
      pdu('mapSurfaceToOutput', mapping),
    ),
  );
  assert.equal(screen.lit, false);
  const difference = gfxMessage(
    pdu('wireToSurface2', { surfaceId: 1, codecId: 9, codecContextId: 1, pixelFormat: 0x20, bitmapData }),
  );
  for (const timeUs of [1_000_000, 2_500_000]) {
    screen.timeUs = timeUs;
    pipeline.process(difference);
  }
  screen.timeUs = 3_000_000;
  const destRect = rect(0, 0, 256, 128);
  const unknown = { surfaceId: 1, codecId: 0x77, pixelFormat: 0x20, destRect, bitmapData: Uint8Array.of(1) };
  pipeline.process(gfxMessage(pdu('wireToSurface1', unknown)));
  assert.deepEqual(screen.notDrawn.kinds(), [
    {
      kind: 'gfx.progressive.missingBase',
      count: 2,
      firstUs: 1_000_000,
      lastUs: 2_500_000,
      located: 2,
      sharePermille: 63,
    },
    {
      kind: 'gfx.codec.119',
      count: 1,
      firstUs: 3_000_000,
      lastUs: 3_000_000,
      located: 1,
      sharePermille: 407,
    },
  ]);
  assert.equal(screen.lit, false, 'nothing was drawn: it shows black');
  const fillPixel = { r: 0, g: 0, b: 9, xa: 0 };
  pipeline.process(gfxMessage(pdu('solidFill', { surfaceId: 1, fillPixel, fillRects: [rect(0, 0, 9, 9)] })));
  assert.deepEqual([screen.pixels.words[64], screen.lit], [rgba(0, 0, 9), true]);
  const copy = new Screen();
  copy.restore(screen.snapshot());
  assert.deepEqual([copy.notDrawn.kinds(), copy.lit], [screen.notDrawn.kinds(), true]);
  pipeline.close();
});
