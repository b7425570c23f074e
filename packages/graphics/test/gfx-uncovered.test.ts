import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { around, uncovered } from '../src/avc/uncovered.ts';
import type { Rectangle } from '../src/index.ts';

const side = 12;
const rectangle = fc.record({
  left: fc.nat(side - 1),
  top: fc.nat(side - 1),
  width: fc.integer({ min: 1, max: side }),
  height: fc.integer({ min: 1, max: side }),
});
const paintings = fc.array(fc.array(rectangle, { maxLength: 3 }), { maxLength: 12 });

/** Who painted each place last, and how many times places were painted. */
function painted(areas: readonly (readonly Rectangle[])[]): { last: number[]; times: number } {
  const last: number[] = new Array((2 * side) ** 2).fill(-1);
  let times = 0;
  for (const [painter, own] of areas.entries())
    for (const { left, top, width, height } of own)
      for (let y = top; y < top + height; y += 1)
        for (let x = left; x < left + width; x += 1) {
          if (last[y * 2 * side + x] !== painter) times += 1;
          last[y * 2 * side + x] = painter;
        }
  return { last, times };
}

test('what is left of areas paints the same, and nothing twice', () => {
  fc.assert(
    fc.property(paintings, (areas) => {
      const left = painted(uncovered(areas));
      assert.deepEqual(left.last, painted(areas).last);
      assert.equal(left.times, left.last.filter((painter) => painter >= 0).length);
    }),
  );
});

test('too many rectangles are left as they are; around nothing is nothing', () => {
  const areas = [Array.from({ length: 300 }, () => ({ left: 0, top: 0, width: 1, height: 1 }))];
  assert.equal(uncovered(areas), areas);
  assert.equal(around([]), null);
  assert.deepEqual(
    around([
      { left: 3, top: 4, width: 2, height: 1 },
      { left: 1, top: 5, width: 1, height: 6 },
    ]),
    { left: 1, top: 4, width: 4, height: 7 },
  );
});
