/** What a plan of redaction hides: pixels, moments, events, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  coverPicture,
  isCovered,
  isEventRemoved,
  isHidden,
  planProblem,
  type RedactionPlan,
  touchedChunks,
} from '@lucid-sessions/evidence';
import fc from 'fast-check';

const width = 20;
const height = 12;
const black = new Uint32Array(Uint8Array.of(0, 0, 0, 255).buffer)[0]!;
const white = 0xffffffff;
const time = fc.integer({ min: 0, max: 60 });
const span = fc
  .tuple(time, fc.integer({ min: 1, max: 20 }))
  .map(([from_us, length]) => ({ from_us, to_us: from_us + length }));
const box = fc
  .tuple(fc.nat(25), fc.nat(15), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }), span)
  .map(([x, y, w, h, lasts]) => ({ x, y, width: w, height: h, ...lasts }));
const plan: fc.Arbitrary<RedactionPlan> = fc.record({
  boxes: fc.array(box, { maxLength: 4 }),
  spans: fc.array(span, { maxLength: 3 }),
  event_kinds: fc.subarray(['click', 'window']),
});

test('each pixel is black exactly where a box or a span is at that moment, and as it was elsewhere', () => {
  fc.assert(
    fc.property(plan, time, (given, at) => {
      const picture = { width, height, words: new Uint32Array(width * height).fill(white) };
      coverPicture(picture, given, at);
      const hidden = given.spans.some(({ from_us, to_us }) => from_us <= at && at < to_us);
      let any = false;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const inBox = given.boxes.some(
            (b) => b.from_us <= at && at < b.to_us && b.x <= x && x < b.x + b.width && b.y <= y && y < b.y + b.height,
          );
          const expected = hidden || inBox ? black : white;
          if (expected === black) any = true;
          if (picture.words[y * width + x] !== expected) assert.fail(`${x},${y}`);
        }
      assert.equal(isHidden(given, at), hidden);
      if (any) assert.equal(isCovered(given, at), true);
    }),
  );
});

test('events go by kind, by any moment they share with a span, and by the place they were clicked at', () => {
  const event = fc.record({
    kind: fc.constantFrom('click', 'window', 'logon'),
    timeUs: time,
    lasts: fc.nat(10),
    x: fc.nat(40),
    y: fc.nat(40),
  });
  fc.assert(
    fc.property(plan, event, fc.boolean(), (given, { kind, timeUs, lasts, x, y }, isClick) => {
      const moments = Array.from({ length: lasts + 1 }, (_, n) => timeUs + n);
      const bySpan = moments.some((at) => isHidden(given, at));
      const byBox =
        isClick &&
        given.boxes.some(
          (b) =>
            moments.some((at) => b.from_us <= at && at < b.to_us) &&
            b.x <= x &&
            x < b.x + b.width &&
            b.y <= y &&
            y < b.y + b.height,
        );
      const told = { kind, timeUs, untilUs: timeUs + lasts, ...(isClick ? { x, y } : {}) };
      assert.equal(isEventRemoved(given, told), given.event_kinds.includes(kind) || bySpan || byBox);
    }),
  );
});

test('chunks are named that share a moment with what was taken out, as ranges', () => {
  const chunks = [0, 10, 20, 30, 40].map((fromUs) => ({ fromUs, toUs: fromUs + 9 }));
  const of = (spans: { from_us: number; to_us: number }[]) =>
    touchedChunks({ boxes: [], spans, event_kinds: [] }, chunks);
  assert.deepEqual(of([]), []);
  assert.deepEqual(of([{ from_us: 5, to_us: 10 }]), [{ first: 0, last: 0 }]);
  assert.deepEqual(
    of([
      { from_us: 5, to_us: 11 },
      { from_us: 39, to_us: 40 },
    ]),
    [
      { first: 0, last: 1 },
      { first: 3, last: 3 },
    ],
  );
  assert.deepEqual(of([{ from_us: 0, to_us: 1000 }]), [{ first: 0, last: 4 }]);
});

test('a plan that takes nothing out, or ends before it begins, makes no sense', () => {
  const none: RedactionPlan = { boxes: [], spans: [], event_kinds: [] };
  assert.match(planProblem(none) ?? '', /nothing is to be taken out/);
  assert.match(planProblem({ ...none, spans: [{ from_us: 5, to_us: 5 }] }) ?? '', /end after it begins/);
  assert.equal(planProblem({ ...none, event_kinds: ['window'] }), null);
});
