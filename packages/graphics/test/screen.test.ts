import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  blit,
  bounds,
  clonePixelBuffer,
  copyRectangle,
  createPixelBuffer,
  fillRectangle,
  intersect,
  isEmpty,
  type PixelBuffer,
  type Rectangle,
  rgba,
  Screen,
} from '../src/index.ts';

const limit = (error: unknown) => error instanceof DecodeError && error.code === 'limit';

function numbered(width: number, height: number): PixelBuffer {
  const picture = createPixelBuffer(width, height);
  picture.words.forEach((_, index) => {
    picture.words[index] = index;
  });
  return picture;
}

describe('pixel buffers', () => {
  test('are opaque black, of sizes that are held', () => {
    const picture = createPixelBuffer(3, 2);
    assert.deepEqual([...picture.data.subarray(0, 4)], [0, 0, 0, 255]);
    assert.equal(picture.words.length, 6);
    assert.equal(createPixelBuffer(0, 0).words.length, 0);
    for (const [width, height] of [
      [32767, 1],
      [1, 32767],
      [8192, 8193],
      [-1, 4],
      [1.5, 4],
    ] as const)
      assert.throws(() => createPixelBuffer(width, height), limit);
  });

  test('a word is one pixel in RGBA', () => {
    const picture = createPixelBuffer(1, 1);
    picture.words[0] = rgba(1, 2, 3, 4);
    assert.deepEqual([...picture.data], [1, 2, 3, 4]);
    assert.equal(rgba(255, 255, 255), 0xffffffff);
  });

  test('a clone is independent', () => {
    const picture = numbered(2, 2);
    const copy = clonePixelBuffer(picture);
    picture.words[0] = 9;
    assert.equal(copy.words[0], 0);
  });

  test('rectangles meet or not', () => {
    const box = (left: number, top: number, width: number, height: number): Rectangle => ({ left, top, width, height });
    assert.deepEqual(intersect(box(0, 0, 5, 5), box(3, 4, 9, 9)), box(3, 4, 2, 1));
    assert.ok(isEmpty(intersect(box(0, 0, 5, 5), box(5, 0, 5, 5))));
    assert.deepEqual(bounds(numbered(2, 3)), box(0, 0, 2, 3));
  });

  test('filling clips and says what it filled', () => {
    const picture = createPixelBuffer(4, 4);
    const filled = fillRectangle(picture, { left: -2, top: 3, width: 4, height: 9 }, 7);
    assert.deepEqual(filled, { left: 0, top: 3, width: 2, height: 1 });
    assert.equal(picture.words.filter((word) => word === 7).length, 2);
  });

  const number = fc.integer({ min: -9, max: 9 });
  const area = fc.record({ left: number, top: number, width: fc.nat(12), height: fc.nat(12) });
  /** Pixel by pixel, from a copy: the result a blit must have. */
  function expected(target: PixelBuffer, left: number, top: number, source: PixelBuffer, part: Rectangle): number[] {
    const result = [...target.words];
    const from = [...source.words];
    for (let y = 0; y < part.height; y += 1)
      for (let x = 0; x < part.width; x += 1) {
        const [sx, sy, tx, ty] = [part.left + x, part.top + y, left + x, top + y];
        const inSource = sx >= 0 && sy >= 0 && sx < source.width && sy < source.height;
        const inTarget = tx >= 0 && ty >= 0 && tx < target.width && ty < target.height;
        if (inSource && inTarget) result[ty * target.width + tx] = from[sy * source.width + sx]!;
      }
    return result;
  }

  test('blit copies what lies in both', () => {
    fc.assert(
      fc.property(number, number, area, (left, top, part) => {
        const target = createPixelBuffer(7, 6);
        const source = numbered(5, 8);
        const result = expected(target, left, top, source, part);
        const written = blit(target, left, top, source, part);
        assert.deepEqual([...target.words], result);
        assert.ok(isEmpty(written) || written.left >= 0);
      }),
    );
  });

  test('blit within one picture copies from the picture as it was', () => {
    fc.assert(
      fc.property(number, number, area, (left, top, part) => {
        const picture = numbered(7, 6);
        const result = expected(picture, left, top, picture, part);
        copyRectangle(picture, part, left, top);
        assert.deepEqual([...picture.words], result);
      }),
    );
  });
});

describe('the screen', () => {
  test('all is dirty at first and after a new size; the same size keeps the picture', () => {
    const screen = new Screen(4, 3);
    assert.deepEqual(screen.takeDirty(), [{ left: 0, top: 0, width: 4, height: 3 }]);
    assert.deepEqual(screen.takeDirty(), []);
    screen.pixels.words[0] = 5;
    screen.resize(4, 3);
    assert.equal(screen.pixels.words[0], 5);
    screen.resize(5, 3);
    assert.deepEqual([screen.width, screen.height, screen.pixels.words[0]], [5, 3, 0xff000000]);
    assert.deepEqual(screen.takeDirty(), [{ left: 0, top: 0, width: 5, height: 3 }]);
    assert.throws(() => screen.resize(32767, 1), limit);
  });

  test('the desktop of many monitors is held; of one too large for the memory the upper rows are, and that is counted', () => {
    const screen = new Screen();
    for (const [width, height] of [
      [11520, 2160],
      [2160, 11520],
      [32766, 1200],
      [16384, 4096],
    ] as const) {
      screen.resize(width, height);
      assert.deepEqual([screen.width, screen.height], [width, height]);
    }
    assert.deepEqual([...screen.unsupported], []);
    screen.resize(32766, 32766);
    assert.deepEqual([screen.width, screen.height], [32766, 2048]);
    assert.deepEqual([...screen.unsupported], [['desktop.cropped', 1]]);
    screen.resize(1, 1);
  });

  test('dirty rectangles are clipped, dropped where covered, and melt when there are many', () => {
    const screen = new Screen(100, 100);
    screen.takeDirty();
    screen.markDirty({ left: 90, top: 90, width: 50, height: 50 });
    screen.markDirty({ left: 95, top: 95, width: 2, height: 2 });
    screen.markDirty({ left: 200, top: 0, width: 1, height: 1 });
    assert.deepEqual(screen.takeDirty(), [{ left: 90, top: 90, width: 10, height: 10 }]);
    for (let index = 0; index < 65; index += 1) screen.markDirty({ left: index, top: index % 7, width: 1, height: 1 });
    assert.deepEqual(screen.takeDirty(), [{ left: 0, top: 0, width: 65, height: 7 }]);
  });

  test('unsupported updates are counted by kind, of which there are only so many', () => {
    const screen = new Screen(1, 1);
    screen.countUnsupported('a');
    screen.countUnsupported('a');
    assert.equal(screen.unsupported.get('a'), 2);
    for (let kind = 0; kind < 500; kind += 1) screen.countUnsupported(`kind ${kind}`);
    assert.ok(screen.unsupported.size <= 129);
    assert.equal(screen.unsupported.get('other'), 500 - 127);
  });

  test('a snapshot is independent and restores everything', () => {
    const screen = new Screen(2, 2);
    screen.pointer.x = 7;
    screen.framesCount = 3;
    screen.countUnsupported('a');
    const snapshot = structuredClone(screen.snapshot());
    screen.pixels.words.fill(1);
    screen.pointer.x = 8;
    const other = new Screen(9, 9);
    other.countUnsupported('b');
    other.takeDirty();
    other.restore(snapshot);
    assert.deepEqual([other.width, other.pixels.words[0], other.pointer.x, other.framesCount], [2, 0xff000000, 7, 3]);
    assert.deepEqual([...other.unsupported], [['a', 1]]);
    assert.deepEqual(other.takeDirty(), [{ left: 0, top: 0, width: 2, height: 2 }]);
  });
});
