import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPalette, decodeBitmap } from '@lucid-sessions/graphics';
import fc from 'fast-check';
import { encodeTile, tiles } from '../src/bitmap-encoder.ts';
import { Canvas } from '../src/canvas.ts';

/** Canvases of runs, repeated rows and noise, so that every kind of order comes up. */
const canvases = fc
  .record({
    width: fc.integer({ min: 1, max: 64 }),
    height: fc.integer({ min: 1, max: 32 }),
    palette: fc.array(fc.integer({ min: 0, max: 0xffffff }), { minLength: 1, maxLength: 6 }),
    runs: fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 90 })), { minLength: 1, maxLength: 40 }),
    noise: fc.array(fc.integer({ min: 0, max: 0xffffff }), { maxLength: 300 }),
  })
  .map(({ width, height, palette, runs, noise }) => {
    const canvas = new Canvas({ left: 10, top: 20, width, height });
    const pixels = [
      ...noise,
      ...runs.flatMap(([color, length]) => Array(length).fill(palette[color % palette.length]!)),
    ];
    for (let i = 0; i < width * height; i += 1)
      canvas.fill(
        { left: 10 + (i % width), top: 20 + Math.floor(i / width), width: 1, height: 1 },
        pixels[i % pixels.length],
      );
    return canvas;
  });

for (const depth of [15, 16, 24, 32] as const)
  test(`tiles at ${depth} bpp decode to the picture they were made from`, () => {
    fc.assert(
      fc.property(canvases, fc.boolean(), (canvas, withHeader) => {
        const tile = encodeTile(canvas, canvas.area, depth, withHeader);
        assert.equal(tile.width % 4, 0);
        const bytes = withHeader ? tile.data.subarray(8) : tile.data;
        const { width, height } = tile;
        const picture = decodeBitmap({ bytes, width, height, depth, compressed: true }, createPalette());
        const rgba = new Uint8Array(picture.data.buffer, picture.data.byteOffset, picture.data.byteLength);
        for (let y = 0; y < canvas.area.height; y += 1)
          for (let x = 0; x < canvas.area.width; x += 1)
            for (let component = 0; component < 3; component += 1) {
              const expected = canvas.rgba[(y * canvas.area.width + x) * 4 + component]!;
              const found = rgba[(y * tile.width + x) * 4 + component]!;
              const lost = depth >= 24 ? 0 : 8;
              assert.ok(Math.abs(expected - found) <= lost, `${x},${y}: ${expected} became ${found}`);
            }
      }),
      { numRuns: 150 },
    );
  });

test('tiles cover an area once', () => {
  const area = { left: 3, top: 5, width: 200, height: 77 };
  const found = tiles(area);
  assert.equal(
    found.reduce((sum, tile) => sum + tile.width * tile.height, 0),
    area.width * area.height,
  );
  assert.ok(found.every((tile) => tile.width <= 64 && tile.height <= 32));
});
