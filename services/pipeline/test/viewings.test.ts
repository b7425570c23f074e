/** Requests to see recordings, as several pipelines agree on them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLucidError, type ViewingRequest, viewingState } from '@lucid-sessions/contract';
import { MemoryCoordination } from '@lucid-sessions/pipeline';
import fc from 'fast-check';
import { ViewingRequests } from '../src/viewings.ts';

const minuteUs = 60_000_000;
const dayUs = 1440 * minuteUs;
const wanted = {
  ...{ viewingId: 'v', sessionId: 's', by: 'ann', reason: 'incident 7', use: 'window' as const, minutes: 10 },
  ...{ approval: false, threshold: null },
};
const of = { sessionId: 's', viewingId: 'v' };
const use = { ...of, operation: 'getKey', handsOut: true };
const share = (index: number) => ({ ...of, share: { index, by: `holder ${index}`, box: 'AAAA' } });

/** Two pipelines over one Coordination. */
function two() {
  const clock = { us: 1_000_000 };
  const coordination = new MemoryCoordination();
  const make = () => new ViewingRequests(coordination, () => clock.us);
  return { clock, first: make(), second: make() };
}

test('a request nobody answers is over after a day, a grant when its time is', async () => {
  const { clock, first, second } = two();
  await first.ask({ viewing: { ...wanted, approval: true } });
  clock.us += dayUs - 1;
  assert.equal((await second.list('s')).length, 1);
  clock.us += 1;
  assert.deepEqual(await second.list(), []);
  await assert.rejects(second.decide({ ...of, approve: true, by: 'bob', reason: 'x' }), { code: 'LUCID_ERR_3021' });
  await first.ask({ viewing: wanted });
  clock.us += 10 * minuteUs - 1;
  assert.equal((await second.use(use)).usedUs, clock.us);
  clock.us += 1;
  await assert.rejects(second.use(use), { code: 'LUCID_ERR_3021' });
});

test('the time of a grant begins when the last thing it needs is there', async () => {
  const { clock, first, second } = two();
  await first.ask({ viewing: { ...wanted, approval: true, threshold: 2 } });
  clock.us += minuteUs;
  await second.share(share(3));
  await assert.rejects(first.share(share(3)), { code: 'LUCID_ERR_3020' });
  await first.share(share(1));
  assert.equal((await first.list('s'))[0]!.grantedUs, null, 'nobody agreed yet');
  await assert.rejects(first.use(use), { code: 'LUCID_ERR_3023' });
  clock.us += minuteUs;
  const granted = await second.decide({ ...of, approve: true, by: 'bob', reason: 'x' });
  assert.deepEqual([granted.grantedUs, granted.untilUs], [clock.us, clock.us + 10 * minuteUs]);
  await assert.rejects(first.share(share(2)), { code: 'LUCID_ERR_3004' }, 'more than are needed');
  const refused = await first.decide({ ...of, approve: false, by: 'eve', reason: 'x' });
  assert.deepEqual([refused.shares, viewingState(refused)], [[], 'refused']);
});

test('sessions are told apart whose ids begin alike', async () => {
  const { first } = two();
  for (const sessionId of ['s', 's1', 's-', 'S']) await first.ask({ viewing: { ...wanted, sessionId } });
  assert.deepEqual(
    (await first.list('s')).map(({ sessionId }) => sessionId),
    ['s'],
  );
  assert.equal((await first.list()).length, 4);
});

test('nobody fills the list alone', async () => {
  const { first } = two();
  for (let n = 0; n < 200; n++) await first.ask({ viewing: { ...wanted, viewingId: `v${n}` } });
  await assert.rejects(first.ask({ viewing: { ...wanted, viewingId: 'more' } }), { code: 'LUCID_ERR_3010' });
  await first.ask({ viewing: { ...wanted, viewingId: 'other', by: 'bob' } });
});

test('whatever happens, nothing is granted without all it needs, and once is once', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('decide' as const), by: fc.constantFrom('ann', 'bob', 'eve'), approve: fc.boolean() }),
    fc.record({ do: fc.constant('share' as const), index: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant('use' as const), handsOut: fc.boolean() }),
  );
  const kind = fc.record({
    approval: fc.boolean(),
    threshold: fc.option(fc.integer({ min: 2, max: 3 })),
    use: fc.constantFrom('once' as const, 'window' as const),
  });
  await fc.assert(
    fc.asyncProperty(kind, fc.array(step, { maxLength: 12 }), async (wants, steps) => {
      const { first, second } = two();
      let known: ViewingRequest = await first.ask({ viewing: { ...wanted, ...wants } });
      const [agreed, given] = [new Set<string>(), new Set<number>()];
      let refused = false;
      let handed = 0;
      for (const [at, each] of steps.entries()) {
        const pipeline = at % 2 === 0 ? first : second;
        try {
          if (each.do === 'decide') {
            known = await pipeline.decide({ ...of, by: each.by, approve: each.approve, reason: 'x' });
            if (each.approve) agreed.add(each.by);
            else refused = true;
          } else if (each.do === 'share') {
            known = await pipeline.share(share(each.index));
            given.add(each.index);
          } else {
            known = await pipeline.use({ ...use, handsOut: each.handsOut });
            handed += Number(each.handsOut);
            assert.ok(known.grantedUs !== null && !refused);
          }
        } catch (thrown) {
          assert.ok(isLucidError(thrown, 'forbidden', 'notInThisState', 'conflict', 'viewingNeeded'), `${thrown}`);
        }
        assert.equal(agreed.has('ann'), false);
        const isWhole = (!wants.approval || agreed.size > 0) && given.size >= (wants.threshold ?? 0);
        assert.equal(known.grantedUs !== null, known.grantedUs !== null && isWhole);
        if (viewingState(known) === 'granted') assert.ok(isWhole && !refused);
      }
      if (wants.use === 'once') assert.ok(handed <= 1);
    }),
  );
});
