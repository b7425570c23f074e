import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { originalLayout, reduceExtrapolateLayout, subBandsCount } from '../src/rfx/sub-bands.ts';
import { components, createTileEngine, type TileEngine } from '../src/rfx/tile-engine.ts';

/** Every third value, and all of them by turns: within what the transforms meet. */
function randomPlane(seed: number, range: number): Int16Array {
  let state = seed;
  return Int16Array.from({ length: 4096 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 8) % (2 * range + 1)) - range;
  });
}

function bothEngines(): [TileEngine, TileEngine] {
  const engines: [TileEngine, TileEngine] = [createTileEngine(), createTileEngine(true)];
  assert.notEqual(engines[0].constructor, engines[1].constructor, 'this runtime has no SIMD to test');
  return engines;
}

const seeds = fc.integer({ min: 1, max: 0x7fffffff });

test('both engines transform alike, in either layout', () => {
  const [simd, plain] = bothEngines();
  fc.assert(
    fc.property(
      seeds,
      fc.constantFrom(...components),
      fc.boolean(),
      fc.boolean(),
      (seed, component, original, smooth) => {
        const layout = original ? originalLayout : reduceExtrapolateLayout;
        const plane = randomPlane(seed, 400);
        const first = smooth ? 3072 : 0;
        plane.fill(0, 0, first);
        for (const engine of [simd, plain]) {
          engine.planes[component].samples.set(plane);
          engine.inverse(component, layout, first);
        }
        assert.deepEqual(simd.planes[component].samples, plain.planes[component].samples);
      },
    ),
    { numRuns: 80 },
  );
});

test('both engines dequantize alike', () => {
  const [simd, plain] = bothEngines();
  const quants = fc.uint8Array({ minLength: subBandsCount, maxLength: subBandsCount, max: 30 });
  fc.assert(
    fc.property(seeds, quants, fc.boolean(), fc.nat(4096), (seed, values, original, first) => {
      const layout = original ? originalLayout : reduceExtrapolateLayout;
      const plane = randomPlane(seed, 100);
      plane.fill(0, 0, first);
      for (const engine of [simd, plain]) {
        engine.planes[1].samples.set(plane);
        engine.dequantize(1, Uint8Array.from(values), layout, first);
      }
      assert.deepEqual(simd.planes[1].samples, plain.planes[1].samples);
    }),
    { numRuns: 80 },
  );
});

test('both engines colour alike, whole tiles and parts, flat or not', () => {
  const [simd, plain] = bothEngines();
  const area = fc
    .tuple(fc.nat(63), fc.nat(63), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }))
    .map(([left, top, width, height]) => ({
      left,
      top,
      width: Math.min(width, 64 - left),
      height: Math.min(height, 64 - top),
    }));
  const flats = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(seeds, area, flats, fc.nat(100), (seed, part, flat, at) => {
      const stride = 70;
      const targets = [simd, plain].map((engine) => {
        for (const component of components) {
          const plane = engine.planes[component];
          plane.samples.set(randomPlane(seed + component, 6000));
          plane.flat = flat[component];
          if (plane.flat) plane.samples.fill(plane.samples[0]!);
        }
        const words = new Uint32Array(at + 64 * stride);
        engine.write(part, words, at, stride);
        return words;
      });
      assert.deepEqual(targets[0], targets[1]);
      const drawn = targets[0]!.filter((word) => word !== 0).length;
      assert.equal(drawn, part.width * part.height);
    }),
    { numRuns: 80 },
  );
});

test('without WebAssembly the plain engine serves', () => {
  const { Module } = WebAssembly;
  const forbidden = class {
    constructor() {
      throw new Error('not allowed by the content security policy');
    }
  };
  Object.assign(WebAssembly, { Module: forbidden });
  try {
    assert.equal(createTileEngine().constructor, createTileEngine(true).constructor);
  } finally {
    Object.assign(WebAssembly, { Module });
  }
});
