import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadYuvKernels } from '../src/avc/yuv-kernels.ts';
import { createYuvPainter } from '../src/avc/yuv-to-rgb.ts';
import { createPixelBuffer } from '../src/index.ts';

const kernels = loadYuvKernels();
assert.ok(kernels, 'this platform has WebAssembly SIMD');
const simd = createYuvPainter(kernels);
const plain = createYuvPainter(null);

function samples(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // Runs of the ends too: that is where values are clamped.
    return (state >>> 16) % 5 === 0 ? (state >>> 30) * 85 : state >>> 24;
  });
}

const sizes = fc.record({
  width: fc.integer({ min: 1, max: 70 }).map((value) => value * 2),
  height: fc.integer({ min: 1, max: 6 }).map((value) => value * 2),
  seed: fc.nat(),
});
const part = fc.record({
  from: fc.double({ min: 0, max: 0.999, noNaN: true }),
  of: fc.double({ min: 0, max: 1, noNaN: true }),
});

for (const [name, across] of [
  ['rows', 1],
  ['rows longer than a strip', 40],
] as const)
  test(`SIMD draws the pixels that plain code draws: ${name}`, () => {
    fc.assert(
      fc.property(sizes, part, part, (size, horizontal, vertical) => {
        const width = size.width * across;
        const { height } = size;
        const [y, u, v] = [1, 2, 3].map((plane) => samples(width * height, size.seed + plane)) as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ];
        const left = Math.floor(horizontal.from * width);
        const top = Math.floor(vertical.from * height);
        const area = {
          left,
          top,
          width: Math.ceil(horizontal.of * (width - left)),
          height: Math.ceil(vertical.of * (height - top)),
        };
        const drawn = [simd, plain].map((painter) => {
          const [from420, from444] = [createPixelBuffer(width, height, 0), createPixelBuffer(width, height, 0)];
          painter.draw420({ width, height, y, u, v, strideY: width, strideUv: width >> 1 }, from420, area);
          painter.draw444({ width, height, stride: width, y, u, v }, from444, area, 'average');
          return [from420.words, from444.words];
        });
        assert.deepEqual(drawn[0], drawn[1]);
      }),
      { numRuns: across === 1 ? 400 : 40 },
    );
  });
