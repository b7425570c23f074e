import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from '../src/index.ts';

test('a bucket gives its burst at once, then its pace, and no more than a burst after a rest', () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0);
  const taken = (nowUs: number): number => {
    let count = 0;
    while (bucket.take(nowUs)) count += 1;
    return count;
  };
  assert.equal(taken(0), 3);
  assert.equal(taken(400_000), 0);
  assert.equal(taken(1_000_000), 2);
  assert.equal(taken(3_600_000_000), 3);
});

test('looking takes nothing, and a clock that is set back gives nothing', () => {
  const bucket = new TokenBucket({ burst: 1, perSecond: 1 }, 10_000_000);
  assert.ok(bucket.has(10_000_000) && bucket.has(10_000_000) && bucket.take(10_000_000));
  assert.equal(bucket.has(5_000_000), false);
  assert.equal(bucket.has(5_500_000), false);
  assert.equal(bucket.take(6_000_000), true);
});
