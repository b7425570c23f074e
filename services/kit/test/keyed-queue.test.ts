import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedQueue } from '../src/index.ts';

test('work of one key runs in order, of two keys beside each other, also behind work that failed', async () => {
  const queue = new KeyedQueue(10);
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run('a', async () => {
    await gate.promise;
    throw new Error('broken');
  });
  const second = queue.run('a', async () => done.push('a2'));
  await queue.run('b', async () => done.push('b'));
  gate.resolve();
  await assert.rejects(first, /broken/);
  await second;
  assert.deepEqual(done, ['b', 'a2']);
  await queue.idle();
});

test('a full queue takes nothing more, and what waits together knows the same', async () => {
  const queue = new KeyedQueue(2, () => ({ count: 0 }));
  const gate = Promise.withResolvers<void>();
  const add = () =>
    queue.run(
      'a',
      async (state) => {
        await gate.promise;
        return state.count;
      },
      (state) => {
        state.count += 1;
      },
    );
  const taken = [add(), add()];
  await assert.rejects(add(), { status: 503, message: /at most 2 calls may wait/ });
  gate.resolve();
  assert.deepEqual(await Promise.all(taken), [2, 2]);
  await queue.idle();
  assert.equal(await add(), 1);
});
