import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitmapUpdate, type ColorDepth } from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { differences, fontFor, type Picture, render, tilesOf, updatesOf, widthOf, wrap } from '../src/index.ts';
import { pasteBitmap } from './support/paste-bitmap.ts';

const font = fontFor(100);
const text = fc.string({ maxLength: 60, unit: fc.constantFrom(...'abc ÄöüßŁžΩЖ漢\t\n'.split(''), 'e\u0301', '🙂') });

test('the font has letters of Europe, and shows what it does not have', () => {
  for (const size of [100, 150, 200]) {
    const box = fontFor(size).glyph(0xffff);
    for (const character of 'AZaz09ÄÖÜßéèñçøåłžěőșțΩπЖя€–“”•…')
      assert.notDeepEqual(fontFor(size).glyph(character.codePointAt(0)!), box, character);
    assert.deepEqual(fontFor(size).glyph(0x6f22), box);
    assert.ok(box.alpha.some((opacity) => opacity > 0));
  }
});

test('no line is wider than it may be, and no character is lost', () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 20, max: 400 }), (words, width) => {
      const lines = wrap(font, words, width);
      for (const line of lines) assert.ok(widthOf(font, line) <= width, line);
      const letters = (of: string): string => of.normalize('NFC').replace(/\s/g, '');
      assert.equal(letters(lines.join('')), letters(words));
    }),
  );
});

const depths: readonly ColorDepth[] = [15, 16, 24, 32];
/** What is left of a colour, and which of its bits. */
const kept = (pixel: number, depth: ColorDepth): number =>
  depth === 15 ? pixel & 0xf8f8f8 : depth === 16 ? pixel & 0xf8fcf8 : pixel;

const colour = fc.constantFrom(0, 0xffffff, 0x1d5fbf, 0x22313f, 0x010203);
const item = fc.oneof(
  fc.record({
    kind: fc.constant('fill' as const),
    colour,
    x: fc.integer({ min: -20, max: 200 }),
    y: fc.integer({ min: -20, max: 200 }),
    width: fc.integer({ min: 0, max: 200 }),
    height: fc.integer({ min: 0, max: 200 }),
  }),
  fc.record({
    kind: fc.constant('text' as const),
    colour,
    x: fc.integer({ min: -20, max: 200 }),
    y: fc.integer({ min: -20, max: 200 }),
    font: fc.constant(font),
    text,
    clip: fc.record({
      x: fc.integer({ min: 0, max: 100 }),
      y: fc.integer({ min: 0, max: 100 }),
      width: fc.integer({ min: 0, max: 100 }),
      height: fc.integer({ min: 0, max: 100 }),
    }),
  }),
);
const picture: fc.Arbitrary<Picture> = fc.array(item, { maxLength: 12 });
const size = fc.record({ width: fc.integer({ min: 1, max: 200 }), height: fc.integer({ min: 1, max: 200 }) });

test('a picture reaches the client as it is, at every depth, in updates that fit', () => {
  fc.assert(
    fc.property(
      picture,
      size,
      fc.constantFrom(...depths),
      fc.boolean(),
      (shown, desktop, bitsPerPixel, withoutHeader) => {
        const whole = render(shown, { x: 0, y: 0, ...desktop });
        const seen = new Uint32Array(whole.length).fill(0xdead);
        const tiles = tilesOf([{ x: 0, y: 0, ...desktop }], desktop);
        const updates = updatesOf(tiles, (tile) => render(shown, tile), { bitsPerPixel, withoutHeader });
        for (const update of updates) {
          assert.ok(update.length < 16 * 1024);
          for (const bitmap of decode(bitmapUpdate, update).rectangles) {
            assert.ok(bitmap.destRight < desktop.width && bitmap.destBottom < desktop.height);
            pasteBitmap(seen, desktop.width, bitmap);
          }
        }
        for (const [i, pixel] of whole.entries()) assert.equal(kept(seen[i]!, bitsPerPixel), kept(pixel, bitsPerPixel));
      },
    ),
    { numRuns: 150 },
  );
});

test('where two pictures differ is repainted', () => {
  fc.assert(
    fc.property(picture, picture, fc.nat(11), (before, changes, at) => {
      const after = [...before.slice(0, at), ...changes.slice(0, 2), ...before.slice(at)];
      const desktop = { width: 200, height: 200 };
      const seen = render(before, { x: 0, y: 0, ...desktop });
      for (const tile of tilesOf(differences(before, after), desktop)) {
        const pixels = render(after, tile);
        for (let y = 0; y < tile.height; y += 1)
          seen.set(pixels.subarray(y * tile.width, (y + 1) * tile.width), (tile.y + y) * 200 + tile.x);
      }
      assert.deepEqual(seen, render(after, { x: 0, y: 0, ...desktop }));
    }),
  );
});

test('an empty desktop is small, also at 4K', () => {
  const desktop = { width: 3840, height: 2160 };
  for (const bitsPerPixel of depths) {
    const tiles = tilesOf([{ x: 0, y: 0, ...desktop }], desktop);
    const updates = updatesOf(tiles, () => 0x22313f, { bitsPerPixel, withoutHeader: true });
    const bytes = updates.reduce((sum, update) => sum + update.length, 0);
    assert.ok(bytes < 1_500_000, `${bitsPerPixel}: ${bytes}`);
  }
});
