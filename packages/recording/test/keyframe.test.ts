import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeKeyframeList,
  deltaLength,
  emptyKeyframeList,
  encodeKeyframe,
  encodeKeyframeList,
  type KeyframeList,
  keyframeBase,
  keyframeHead,
  openKeyframe,
  packState,
} from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';

const place = { chunkIndex: 3, frameIndex: 14, timeUs: 2 ** 40 };
const bytes = (length: number, of: (at: number) => number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => of(at));
/** Bytes that look like nothing. */
const noise = (length: number, seed: number): Uint8Array => {
  let state = seed;
  return bytes(length, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
};

test('a keyframe is restored unchanged, alone and as a difference from another', async () => {
  const pieces = fc.array(
    fc.record({ from: fc.integer({ min: 0, max: 20 }), length: fc.integer({ min: 0, max: 1500 }), plus: fc.nat(3) }),
    { maxLength: 12 },
  );
  const source = noise(12_000, 1);
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 0, max: 12_000 }), async (parts, baseLength) => {
      const state = new Uint8Array(
        parts.flatMap(({ from, length, plus }) =>
          [...source.subarray(from * 512, from * 512 + length)].map((byte) => byte + plus),
        ),
      );
      const base = { number: 7, packed: source.subarray(0, baseLength), checksum: 5 };
      for (const from of [null, base]) {
        const keyframe = await encodeKeyframe({ number: 9, ...place }, state, from);
        assert.deepEqual(keyframeHead(keyframe), { number: 9, base: from?.number ?? 0, ...place });
        assert.deepEqual(new Uint8Array((await openKeyframe(keyframe, from)).packed), state);
      }
    }),
    { numRuns: 60 },
  );
});

test('what stands in the base, or stands twice, is not told again; what changed a little is told as a little', async () => {
  const picture = noise(64 * 1024, 5);
  const state = { screen: picture, surface: picture.slice() };
  const base = { number: 1, packed: packState(state), checksum: 1 };
  const whole = await encodeKeyframe({ number: 1, ...place }, base.packed, null);
  assert.ok(whole.length < 66 * 1024, 'screen and surface cost once');
  const typed = { ...state, screen: picture.map((byte, at) => (at > 3000 && at < 3100 ? 7 : byte)) };
  const told = await encodeKeyframe({ number: 2, ...place }, packState(typed), base);
  assert.ok(told.length < 1000, String(told.length));
  assert.ok(deltaLength(packState(typed), base.packed) < 2048);
  const faded = { ...state, screen: picture.map((byte) => byte + 1) };
  const fadedBytes = await encodeKeyframe({ number: 3, ...place }, packState(faded), base);
  assert.ok(fadedBytes.length < picture.length / 2, String(fadedBytes.length));
});

test('another base than its own, and bytes that are none, are refused', async () => {
  const base = keyframeBase(1, noise(5000, 2), noise(50, 2));
  const keyframe = await encodeKeyframe({ number: 2, ...place }, noise(5000, 3), base);
  for (const wrong of [null, { ...base, number: 3 }, keyframeBase(1, base.packed, noise(50, 4))])
    await assert.rejects(openKeyframe(keyframe, wrong), DecodeError);
  await assert.rejects(openKeyframe(keyframe.subarray(0, 60), base), DecodeError);
  assert.throws(() => keyframeHead(new Uint8Array(10)), DecodeError);
  await fc.assert(
    fc.asyncProperty(fc.nat(keyframe.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
      const damaged = keyframe.map((byte, i) => (i === at ? byte ^ mask : byte));
      await openKeyframe(damaged, base).catch((error: unknown) => assert.ok(error instanceof DecodeError));
    }),
  );
});

test('a list of keyframes comes back, and what is none is refused', async () => {
  const list: KeyframeList = {
    covered: 5,
    storedBytes: 1000,
    keyframeBytes: 80,
    ended: 'h264',
    whole: true,
    replay: {
      chunks: 5,
      untilUs: 9,
      pictures: 3,
      lit: true,
      notDrawn: [{ kind: 'gfx.codec.7', count: 2, firstUs: 1, lastUs: 8, located: 1, sharePermille: 12 }],
      sharePermille: 12,
      oneColour: { activeSeconds: 9, seconds: 4, longest: { fromUs: 0, untilUs: 5_000_000, seconds: 4 } },
      ended: { reason: 'h264', chunk: 4, atUs: 9 },
    },
    keyframes: [{ number: 1, base: 0, ...place, bytes: 80, lean: false }],
  };
  assert.deepEqual(await decodeKeyframeList(await encodeKeyframeList(list)), list);
  assert.deepEqual(await decodeKeyframeList(await encodeKeyframeList(emptyKeyframeList())), emptyKeyframeList());
  await assert.rejects(decodeKeyframeList(new Uint8Array(20)), DecodeError);
  const { replay } = list;
  const [kind] = replay.notDrawn;
  for (const wrong of [
    { ...list, covered: -1 },
    { ...list, replay: { ...replay, pictures: -1 } },
    { ...list, replay: { ...replay, oneColour: { ...replay.oneColour, seconds: -1 } } },
    { ...list, replay: { ...replay, notDrawn: [{ ...kind!, count: 0.5 }] } },
    { ...list, replay: null as never },
  ])
    await assert.rejects(decodeKeyframeList(await encodeKeyframeList(wrong)), DecodeError);
});
