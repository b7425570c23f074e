import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitmapUpdate } from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { bannerUpdates } from '../src/index.ts';

test('a banner covers a strip at the top from edge to edge, whatever is in it, at every depth', () => {
  fc.assert(
    fc.property(
      fc.record({
        width: fc.integer({ min: 200, max: 2000 }),
        height: fc.integer({ min: 200, max: 2000 }),
        bitsPerPixel: fc.constantFrom(15 as const, 16 as const, 24 as const, 32 as const),
      }),
      fc.string({ maxLength: 500 }),
      (desktop, text) => {
        const updates = bannerUpdates(desktop, 'alice:', text);
        assert.ok(updates.length <= 12, 'they wait in a short queue');
        const rectangles = updates.flatMap((update) => decode(bitmapUpdate, update).rectangles);
        const bottom = Math.max(...rectangles.map(({ destBottom }) => destBottom)) + 1;
        assert.ok(bottom === desktop.height || bottom % 64 === 0);
        assert.ok(bottom <= desktop.height / 2 + 128);
        const area = rectangles.reduce(
          (sum, { destLeft, destTop, destRight, destBottom }) =>
            sum + (destRight - destLeft + 1) * (destBottom - destTop + 1),
          0,
        );
        assert.equal(area, desktop.width * bottom);
      },
    ),
    { numRuns: 40 },
  );
});
