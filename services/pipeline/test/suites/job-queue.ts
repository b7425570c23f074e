/** What every JobQueue must do. `open` answers an empty queue each time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClaimedJob, Job, JobQueue, NewJob } from '@lucid-sessions/pipeline';

const job = (jobId: string, changes: Partial<NewJob> = {}): NewJob => ({
  jobId,
  kind: 'finalise',
  sessionId: 's1',
  payload: { a: [1] },
  runAtUs: 100,
  retriesMax: 3,
  ...changes,
});

export function jobQueueSuite(name: string, open: () => Promise<JobQueue>): void {
  const check = (what: string, work: (queue: JobQueue) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const queue = await open();
      try {
        await work(queue);
      } finally {
        await queue.dispose();
      }
    });
  const take = async (queue: JobQueue, nowUs: number): Promise<ClaimedJob> => {
    const [job, ...others] = await queue.claim({ nowUs, leaseUs: 50, limit: 10 });
    assert.ok(job !== undefined && others.length === 0);
    return job;
  };
  const claim = async (queue: JobQueue, nowUs: number, limit = 10) =>
    (await queue.claim({ nowUs, leaseUs: 50, limit })).map(({ jobId }) => jobId);

  check('a job is queued once and runs when it is due, first the one that waited longest', async (queue) => {
    assert.equal(await queue.nextRunUs(), null);
    assert.equal(await queue.enqueue(job('b', { runAtUs: 90 })), true);
    assert.equal(await queue.enqueue(job('a')), true);
    assert.equal(await queue.enqueue(job('a', { runAtUs: 1 })), false);
    assert.equal(await queue.nextRunUs(), 90);
    assert.deepEqual(await claim(queue, 89), []);
    assert.deepEqual(await claim(queue, 200, 1), ['b']);
    assert.deepEqual(await claim(queue, 200), ['a']);
    assert.deepEqual(await claim(queue, 200), []);
    assert.deepEqual(await queue.countByState(), { running: 2 });
    assert.deepEqual((await queue.listFor('s1'))[0], { ...job('a'), state: 'running', retries: 0, lastError: null });
    assert.deepEqual(await queue.listFor('s2'), []);
  });

  check('a job whose runner is gone is claimed again after its lease', async (queue) => {
    await queue.enqueue(job('a'));
    assert.deepEqual(await claim(queue, 100), ['a']);
    assert.deepEqual(await claim(queue, 149), []);
    assert.deepEqual(await claim(queue, 150), ['a']);
  });

  check('done, again, retry and fail', async (queue) => {
    await queue.enqueue(job('a'));
    assert.equal(await queue.again(await take(queue, 100), 300, { b: 2 }), true);
    assert.deepEqual(await claim(queue, 299), []);
    const third = await take(queue, 300);
    assert.deepEqual([third.jobId, third.payload, third.state], ['a', { b: 2 }, 'running']);
    assert.deepEqual((await queue.listFor('s1'))[0]!.payload, { b: 2 });
    assert.equal(await queue.retry(third, 400, 'did not work'), true);
    const [waiting] = await queue.listFor('s1');
    assert.deepEqual([waiting!.state, waiting!.retries, waiting!.lastError], ['waiting', 1, 'did not work']);
    assert.equal(await queue.fail(await take(queue, 400), 'never worked'), true);
    assert.deepEqual(await claim(queue, 9999), []);
    assert.deepEqual((await queue.listFor('s1'))[0]!.state, 'failed');
    assert.equal(await queue.revive('s1', 500), 1);
    assert.deepEqual((await queue.listFor('s1'))[0]!.retries, 0);
    assert.equal(await queue.done(await take(queue, 500)), true);
    assert.deepEqual(await queue.countByState(), { done: 1 });
    assert.equal(await queue.enqueue(job('a')), true, 'work that is done may be asked for anew');
    assert.deepEqual((await queue.listFor('s1'))[0], { ...job('a'), state: 'waiting', retries: 0, lastError: null });
  });

  check('a settled or removed job is not settled again', async (queue) => {
    await queue.enqueue(job('a'));
    const first = await take(queue, 100);
    assert.equal(await queue.retry(first, 100, 'did not work'), true);
    assert.equal(await queue.retry(first, 9999, 'told again'), true, 'the answer was lost on the way');
    assert.equal(await queue.fail(first, 'another word'), true);
    const [waiting] = await queue.listFor('s1');
    assert.deepEqual([waiting!.state, waiting!.retries, waiting!.runAtUs], ['waiting', 1, 100]);
    const second = await take(queue, 100);
    await queue.removeFor('s1');
    assert.equal(await queue.retry(second, 5, 'late'), false);
    assert.deepEqual(await queue.listFor('s1'), []);
    await queue.enqueue(job('a'));
    await take(queue, 100);
    assert.equal(await queue.done(second), false, 'work that was queued anew is not that work');
    assert.deepEqual(await queue.countByState(), { running: 1 });
  });

  check(
    'a runner whose lease ran out does not settle what another has claimed since, nor what was queued anew',
    async (queue) => {
      await queue.enqueue(job('a'));
      const late = await take(queue, 100);
      const ours = await take(queue, 150);
      assert.notEqual(late.claim, ours.claim);
      const tries = [
        () => queue.done(late),
        () => queue.again(late, 1, { late: true }),
        () => queue.retry(late, 1, 'late'),
        () => queue.fail(late, 'late'),
      ];
      const untouched = async () => {
        const before = await queue.listFor('s1');
        for (const settle of tries) assert.equal(await settle(), false);
        assert.deepEqual(await queue.listFor('s1'), before);
      };
      await untouched();
      assert.equal(await queue.fail(ours, 'never worked'), true);
      await untouched();
      await queue.revive('s1', 200);
      assert.equal(await queue.done(ours), false, 'what was revived is nobody’s');
      assert.equal(await queue.done(await take(queue, 200)), true);
      await queue.enqueue(job('a'));
      await untouched();
      const again = await take(queue, 200);
      await untouched();
      await queue.put({ ...job('a'), state: 'running', retries: 0, lastError: null });
      assert.equal(await queue.done(again), false);
      // Lost to nobody: late, but the job is still its own.
      const slow = await take(queue, 200);
      assert.equal(await queue.done(slow), true);
    },
  );

  check(
    'of ten runners that claim at once each has jobs of its own; of ten who queue one job one does',
    async (queue) => {
      const ten = [...Array(10).keys()];
      const queued = await Promise.all(ten.map(() => queue.enqueue(job('same'))));
      assert.equal(queued.filter((answer) => answer).length, 1);
      for (let at = 1; at < 30; at += 1) await queue.enqueue(job(`job ${at}`));
      for (const nowUs of [100, 150]) {
        const claimed: string[] = [];
        for (let round = 0; round < 10 && claimed.length < 30; round += 1)
          claimed.push(...(await Promise.all(ten.map(() => claim(queue, nowUs, 3)))).flat());
        assert.deepEqual([claimed.length, new Set(claimed).size], [30, 30]);
        assert.deepEqual(await claim(queue, nowUs), []);
      }
    },
  );

  check('jobs of a session can be held back', async (queue) => {
    await queue.enqueue(job('a'));
    await queue.enqueue(job('b', { sessionId: 's2' }));
    assert.equal(await queue.setPaused('s1', true), 1);
    assert.deepEqual(await claim(queue, 100), ['b']);
    assert.equal(await queue.enqueue(job('a')), false);
    assert.equal(await queue.setPaused('s1', false), 1);
    assert.deepEqual(await claim(queue, 100), ['a']);
  });

  check('jobs are listed by their ids in pages, and put as they were in another queue', async (queue) => {
    const whole = (jobId: string, changes: Partial<Job> = {}): Job => ({
      ...job(jobId),
      state: 'waiting',
      retries: 0,
      lastError: null,
      ...changes,
    });
    const jobs = [
      whole('B', { state: 'failed', retries: 3, lastError: 'never worked' }),
      whole('a', { state: 'running', runAtUs: 90 }),
      whole('b', { state: 'done' }),
      whole('c', { state: 'paused', payload: { deep: { er: null } } }),
    ];
    await queue.enqueue(job('a', { sessionId: 'other', kind: 'other' }));
    for (const one of [...jobs, ...jobs]) await queue.put(one);
    assert.deepEqual(await queue.list('', 3), jobs.slice(0, 3));
    assert.deepEqual(await queue.list('b', 3), jobs.slice(3));
    assert.deepEqual(await claim(queue, 89), ['a'], 'nobody runs it any more');
  });
}
