import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Line } from '../src/index.ts';

test('work runs one after the other, behind work that failed as well', async () => {
  const line = new Line();
  const done: string[] = [];
  const first = Promise.withResolvers<void>();
  const all = [
    line.run(() => first.promise.then(() => void done.push('first'))),
    line.run(async () => {
      done.push('second');
      throw new Error('it failed');
    }),
    line.run(async () => void done.push('third')),
  ];
  assert.equal(line.waiting, 3);
  assert.deepEqual(done, []);
  first.resolve();
  const results = await Promise.allSettled(all);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  await line.idle();
  assert.deepEqual([done, line.waiting], [['first', 'second', 'third'], 0]);
});
