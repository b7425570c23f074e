import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createPixelBuffer, OneColour } from '../src/index.ts';

interface Step {
  /** Milliseconds since the step before. */
  ms: number;
  what: 'picture' | 'dark' | 'type' | 'point' | 'nothing';
}

const step: fc.Arbitrary<Step> = fc.record({
  ms: fc.integer({ min: 0, max: 2500 }),
  what: fc.constantFrom('picture', 'dark', 'type', 'point', 'nothing'),
});

/** A screen that is drawn on, counted as a walk counts; saved and restored after each step of `cuts`. */
function walk(steps: readonly Step[], cuts: ReadonlySet<number> = new Set()) {
  const screen = { pixels: createPixelBuffer(4, 3), framesCount: 0, pointer: { x: 0, y: 0 } };
  let counting = new OneColour();
  let timeUs = 0;
  for (const [at, { ms, what }] of steps.entries()) {
    timeUs += ms * 1000;
    if (counting.isDue(timeUs)) counting.look(screen, timeUs);
    if (what === 'type') counting.noteInput();
    if (what === 'point') screen.pointer.x += 1;
    if (what === 'picture' || what === 'dark') {
      screen.framesCount += 1;
      // Alpha differs from pixel to pixel, and is not seen.
      screen.pixels.words.fill(0xff000000).fill(0, 5);
      if (what === 'picture') screen.pixels.words[at % 12] = 0xff00ff00 + at;
    }
    if (!cuts.has(at)) continue;
    const snapshot = structuredClone(counting.snapshot(screen));
    counting = new OneColour();
    counting.restore(snapshot);
  }
  return counting.count;
}

/** The same told second by second, from the definition. */
function told(steps: readonly Step[]) {
  const seconds: { active: boolean; isOne: boolean; from: number; until: number }[] = [];
  let [timeUs, second, active, isOne] = [0, 0, false, true];
  for (const { ms, what } of steps) {
    timeUs += ms * 1000;
    const now = Math.floor(timeUs / 1e6);
    if (now > second) {
      seconds.push({ active, isOne, from: second, until: now });
      [second, active] = [now, false];
    }
    active ||= what !== 'nothing';
    if (what === 'picture' || what === 'dark') isOne = what === 'dark';
  }
  let longest: { fromUs: number; untilUs: number; seconds: number } | null = null;
  let run: { from: number; count: number } | null = null;
  for (const one of seconds) {
    if (!one.isOne) run = null;
    else {
      run ??= { from: one.from, count: 0 };
      if (one.active) run.count += 1;
      if (one.active && run.count > (longest?.seconds ?? 0))
        longest = { fromUs: run.from * 1e6, untilUs: one.until * 1e6, seconds: run.count };
    }
  }
  const count = (which: (one: (typeof seconds)[number]) => boolean) => seconds.filter(which).length;
  return { activeSeconds: count(({ active }) => active), seconds: count((one) => one.active && one.isOne), longest };
}

test('counts the seconds in which something went on and all was one colour, however the walk is cut', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.uniqueArray(fc.nat(59)), (steps, cuts) => {
      const whole = walk(steps);
      assert.deepEqual(whole, told(steps));
      assert.deepEqual(walk(steps, new Set(cuts)), whole);
    }),
    { numRuns: 300 },
  );
});

test('a screen lit once and black from then on is told by the time it was worked on', () => {
  const dark: Step[] = Array.from({ length: 30 }, () => ({ ms: 1000, what: 'dark' }));
  assert.deepEqual(walk([{ ms: 500, what: 'picture' }, ...dark]), {
    activeSeconds: 30,
    seconds: 29,
    longest: { fromUs: 1e6, untilUs: 30e6, seconds: 29 },
  });
  // Blanked, and nobody there: nothing is told.
  const idle: Step[] = [
    { ms: 500, what: 'dark' },
    ...Array.from({ length: 30 }, (): Step => ({ ms: 1000, what: 'nothing' })),
  ];
  assert.equal(walk(idle).seconds, 1);
  const before = new OneColour();
  before.restore(undefined);
  assert.deepEqual(before.count, { activeSeconds: 0, seconds: 0, longest: null });
});
