import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CHUNK_AGE_US_MAX, Chunker, type ChunkerEffect, PAYLOAD_HEADER_BYTES } from '../src/index.ts';

const limits = { payloadBytesMax: 1000, ageUsMax: CHUNK_AGE_US_MAX };
const brief = (effects: ChunkerEffect[]): string =>
  effects
    .map((effect) => (effect.type === 'open' ? `open${effect.index}` : `close${effect.index}:${effect.reason}`))
    .join(' ');

describe('Chunker', () => {
  it('closes at the size and never cuts a frame', () => {
    const chunker = new Chunker(limits);
    assert.equal(brief(chunker.start(5)), 'open0');
    assert.deepEqual(chunker.append(960, 3, 6), []);
    assert.equal(brief(chunker.append(9, 1, 7)), 'close0:size open1');
    assert.equal(brief(chunker.append(5000, 1, 8)), 'close1:size open2');
    assert.equal(brief(chunker.append(1, 1, 9)), 'close2:size open3');
  });

  it('closes at 30 s even when nothing crossed', () => {
    const chunker = new Chunker(limits);
    chunker.start(0);
    assert.equal(chunker.deadlineUs, CHUNK_AGE_US_MAX);
    assert.deepEqual(chunker.tick(CHUNK_AGE_US_MAX - 1), []);
    const [close] = chunker.tick(CHUNK_AGE_US_MAX);
    assert.deepEqual(close, {
      type: 'close',
      index: 0,
      reason: 'age',
      openedUs: 0,
      closedUs: CHUNK_AGE_US_MAX,
      firstFrameNumber: 0,
      framesCount: 0,
      payloadBytes: PAYLOAD_HEADER_BYTES,
      empty: true,
      final: false,
    });
    assert.equal(brief(chunker.append(10, 1, 2 * CHUNK_AGE_US_MAX)), 'close1:age open2');
  });

  it('pauses, resumes, and always ends with one final chunk', () => {
    const chunker = new Chunker(limits);
    chunker.start(0);
    assert.equal(brief(chunker.pause(1)), 'close0:pause');
    assert.deepEqual(chunker.pause(2), []);
    assert.equal(chunker.deadlineUs, null);
    assert.deepEqual(chunker.tick(10 * CHUNK_AGE_US_MAX), []);
    assert.throws(() => chunker.append(1, 1, 3), /takes no frames/);
    assert.deepEqual(chunker.gap(3), []);
    const [open] = chunker.resume(4);
    assert.equal(open?.type === 'open' && open.gapBefore, true);
    assert.deepEqual(chunker.resume(5), []);
    chunker.pause(6);
    assert.equal(brief(chunker.end(7)), 'open2 close2:end');
    assert.deepEqual(chunker.end(8), []);
    assert.equal(chunker.state, 'ended');
    assert.throws(() => chunker.start(9), /can't start/);
  });

  it('puts a gap between two chunks', () => {
    const chunker = new Chunker(limits);
    chunker.start(0);
    chunker.append(10, 1, 1);
    const effects = chunker.gap(2);
    assert.equal(brief(effects), 'close0:gap open1');
    assert.equal(effects[1]?.type === 'open' && effects[1].gapBefore, true);
    const next = chunker.tick(CHUNK_AGE_US_MAX + 2)[1];
    assert.equal(next?.type === 'open' && next.gapBefore, false);
  });

  it('refuses limits that can hold nothing', () => {
    assert.throws(() => new Chunker({ ...limits, payloadBytesMax: 32 }), RangeError);
    assert.throws(() => new Chunker({ ...limits, ageUsMax: 0 }), RangeError);
  });

  it('keeps its promises under any order of calls and any clock', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('append'), bytes: fc.integer({ min: 16, max: 1500 }), at: fc.nat(10 ** 9) }),
      fc.record({ do: fc.constantFrom('tick', 'pause', 'resume', 'gap'), bytes: fc.constant(0), at: fc.nat(10 ** 9) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(50), (steps, first) => {
        const chunker = new Chunker(limits, { index: first, frameNumber: 7 });
        const effects = chunker.start(0);
        let framesCount = 0;
        for (const { do: call, bytes, at } of steps) {
          if (call === 'append') {
            if (chunker.state !== 'recording') continue;
            effects.push(...chunker.append(bytes, 1, at));
            framesCount += 1;
          } else effects.push(...chunker[call as 'tick'](at));
        }
        effects.push(...chunker.end(2 * 10 ** 9));
        checkEffects(effects, first, framesCount);
      }),
    );
  });
});

/** Opens and closes alternate, indices and frame numbers have no hole, times never run back, one chunk is final: the last. */
function checkEffects(effects: ChunkerEffect[], firstIndex: number, framesCount: number): void {
  let frameNumber = 7;
  let timeUs = 0;
  effects.forEach((effect, position) => {
    assert.equal(effect.type, position % 2 === 0 ? 'open' : 'close');
    assert.equal(effect.index, firstIndex + (position >> 1));
    assert.equal(effect.firstFrameNumber, frameNumber);
    assert.ok(effect.openedUs >= timeUs || effect.type === 'close');
    if (effect.type === 'open') return;
    assert.ok(effect.closedUs >= effect.openedUs);
    assert.ok(effect.payloadBytes <= limits.payloadBytesMax || effect.framesCount === 1);
    assert.equal(effect.empty, effect.framesCount === 0);
    assert.equal(effect.final, position === effects.length - 1);
    timeUs = effect.closedUs;
    frameNumber += effect.framesCount;
  });
  assert.equal(effects.length % 2, 0);
  assert.equal(frameNumber, 7 + framesCount);
}
