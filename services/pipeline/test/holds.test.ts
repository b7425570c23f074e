/** A legal hold is stronger than retention, deletion and shredding, whenever it comes and whoever dies. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { holdsMax, isLucidError } from '@lucid-sessions/contract';
import { parseLogEntry, readRecordOf } from '@lucid-sessions/evidence';
import { createPipelineService, MemoryCoordination } from '@lucid-sessions/pipeline';
import { type World, world } from './world.ts';

const dayUs = 86_400_000_000;
const never = Number.POSITIVE_INFINITY;
const wraps = [{ scheme: 'age', recipient: 'r', keyId: 'a'.repeat(32), wrapped: new Uint8Array(4) }] as const;
const held = { code: 'LUCID_ERR_3004', message: /legal hold/ } as const;

async function recorded(t: TestContext, sessionId = 's1'): Promise<World> {
  const made = await world();
  t.after(() => made.dispose());
  await record(made, sessionId);
  return made;
}

async function record(made: World, sessionId: string): Promise<void> {
  await made.admit(sessionId);
  await made.record(sessionId);
  await made.until(sessionId, 'completed');
  await made.storage.putWraps({ sessionId, wraps: [...wraps] });
}

const sessionOf = async ({ storage }: World, sessionId: string) => (await storage.getSession({ sessionId })).session!;

const order = (sessionId: string, holdId: string = randomUUID()) => ({
  sessionId,
  holdId,
  reference: 'M-17',
  reason: 'suit is expected',
  by: 'lea',
});

const custodyOf = async ({ storage }: World, sessionId: string) =>
  (await storage.getRecords({ sessionId, kind: 'custody' })).records.map(
    ({ record }) => readRecordOf('custody', record).body,
  );

const isWhole = async ({ storage }: World, sessionId: string): Promise<boolean> =>
  (await storage.getWraps({ sessionId })).wraps.length === 1 &&
  (await storage.readChunk({ sessionId, index: 0 })).file !== null;

/** Until the pipeline has nothing more to do now. */
async function idle(made: World): Promise<void> {
  const { queue, journal } = made.deps();
  await journal.dispose();
  try {
    for (let left = 500; left > 0; left--) {
      const due = ((await queue.nextRunUs()) ?? never) <= made.clock.us;
      if (!due && !(await queue.countByState()).running) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`the pipeline is not done: ${made.failures}`);
  } finally {
    await queue.dispose();
  }
}

test('while there is a hold nothing is deleted, shredded or purged; then all of it is again', async (t) => {
  const made = await recorded(t);
  const [first, second] = [order('s1'), order('s1')];
  const { hold } = await made.pipeline.setHold(first);
  assert.deepEqual([hold.hold_id, hold.reference, hold.set_by], [first.holdId, 'M-17', 'lea']);
  await made.pipeline.setHold(first);
  await made.pipeline.setHold(second);
  assert.equal((await sessionOf(made, 's1')).holds?.length, 2, 'the same hold again is the same');

  const refused = async () => {
    await assert.rejects(made.pipeline.remove({ sessionId: 's1', actor: 'eve', reason: 'away' }), held);
    await assert.rejects(made.pipeline.erase({ sessionId: 's1', actor: 'eve', reason: 'away' }), held);
    await assert.rejects(made.storage.purgeSession({ sessionId: 's1' }), held);
    await assert.rejects(made.storage.putWraps({ sessionId: 's1', wraps: [] }), held);
    assert.ok(await isWhole(made, 's1'));
  };
  await refused();
  assert.deepEqual(await made.pipeline.clearHold({ ...first, reason: 'settled' }), { holdsLeft: 1 });
  await refused();
  await assert.rejects(made.pipeline.clearHold({ ...first, reason: 'again' }), { code: 'LUCID_ERR_3021' });
  assert.deepEqual(await made.pipeline.clearHold({ ...second, reason: 'settled' }), { holdsLeft: 0 });
  assert.equal((await sessionOf(made, 's1')).holds, undefined);
  assert.equal((await made.storage.getRecords({ sessionId: 's1', kind: 'erase' })).records.length, 0);
  await made.pipeline.remove({ sessionId: 's1', actor: 'eve', reason: 'away' });
  for (let left = 500; (await sessionOf(made, 's1')).pipeline_state !== 'destroyed'; left--) {
    assert.ok(left > 0, made.failures.join());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(await isWhole(made, 's1'), false);
  await assert.rejects(made.pipeline.setHold(order('s1')), { code: 'LUCID_ERR_3004', message: /too late/ });
});

test('a hold that was cleared is not set again under its id: neither that nor its end would be signed', async (t) => {
  const made = await recorded(t);
  const given = order('s1');
  await made.pipeline.setHold(given);
  await made.pipeline.clearHold({ ...given, reason: 'settled' });
  await assert.rejects(made.pipeline.setHold(given), { code: 'LUCID_ERR_3004', message: /cleared/ });
  assert.equal((await sessionOf(made, 's1')).holds, undefined);
});

test('setting and clearing are signed in the chain of custody, once, and logged before they are answered', async (t) => {
  const made = await recorded(t);
  const given = order('s1');
  await made.pipeline.setHold(given);
  const logged = () => made.entries.map(parseLogEntry).filter((entry) => entry?.kind === 'custody').length;
  assert.equal(logged(), 1);
  await made.pipeline.setHold(given);
  await made.pipeline.clearHold({ ...given, by: 'max', reason: 'settled' });
  assert.equal(logged(), 2);
  const said = await custodyOf(made, 's1');
  assert.deepEqual(
    said.map(({ action, actor, sequence }) => [action, actor, sequence]),
    [
      ['hold', 'lea', 0],
      ['release', 'max', 1],
    ],
  );
  assert.match(said[0]!.detail, /^M-17: suit is expected \(hold [0-9a-f-]{36}\)$/);
  assert.match(said[1]!.detail, /^M-17: settled/);
  assert.equal(said[1]!.previous_sha256?.length, 64);
});

test('a hold outlasts retention, which is looked at again when it is over', async (t) => {
  const made = await recorded(t);
  const session = await sessionOf(made, 's1');
  const kept = {
    ...session,
    version: session.version + 1,
    storage_config: { ...session.storage_config, retention_days: 3 },
  };
  await made.storage.replaceSession({ session: kept, expectedVersion: session.version });
  const given = order('s1');
  await made.pipeline.setHold(given);
  for (let round = 0; round < 4; round++) {
    made.clock.us += 2 * dayUs;
    await made.restart();
    await idle(made);
    assert.equal((await sessionOf(made, 's1')).status, 'completed');
  }
  await made.pipeline.clearHold({ ...given, reason: 'settled' });
  for (let round = 0; round < 3; round++) {
    made.clock.us += dayUs;
    await made.restart();
    await idle(made);
  }
  assert.equal((await sessionOf(made, 's1')).status, 'deleted');
});

test('a running session can be held, and one nobody has recorded yet', async (t) => {
  const made = await world();
  t.after(() => made.dispose());
  await made.admit('s1');
  await made.start('s1');
  await made.pipeline.setHold(order('s1'));
  await made.putChunk('s1', 0);
  await made.pipeline.stop({ sessionId: 's1', reason: 'over' });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  await assert.rejects(made.pipeline.remove({ sessionId: 's1' }), held);
  assert.deepEqual(made.failures, []);
});

test('a session has no more holds than are bounded', async (t) => {
  const made = await recorded(t);
  for (let count = 0; count < holdsMax; count++) await made.pipeline.setHold(order('s1'));
  await assert.rejects(made.pipeline.setHold(order('s1')), { code: 'LUCID_ERR_3002' });
});

test('a hold that comes while a deletion is queued takes it back, whole', async (t) => {
  const made = await recorded(t);
  // The process dies behind the deletion, before its job runs.
  const { queue, journal } = made.deps();
  await journal.dispose();
  await queue.setPaused('s1', true);
  await made.stop();
  const idler = createPipelineService({ ...made.deps(), coordination: new MemoryCoordination() }, { reconcileMs: 1e9 });
  await idler.remove({ sessionId: 's1', actor: 'eve', reason: 'away' });
  assert.equal((await sessionOf(made, 's1')).status, 'deleted');
  await idler.setHold(order('s1'));
  assert.equal((await sessionOf(made, 's1')).status, 'completed');
  await idler.dispose();
  await queue.dispose();
  await made.restart();
  await idle(made);
  assert.ok(await isWhole(made, 's1'));
  assert.equal((await sessionOf(made, 's1')).status, 'completed');
  await assert.rejects(made.pipeline.remove({ sessionId: 's1' }), held);
});

test('of a hold and what destroys, at once and in two pipelines, one is first and the other is told', async (t) => {
  const made = await world();
  t.after(() => made.dispose());
  const ids = Array.from({ length: 24 }, (_, index) => `r${index}`);
  for (const id of ids) await record(made, id);
  await made.stop();
  const coordination = new MemoryCoordination();
  const services = [1, 2].map(() => createPipelineService({ ...made.deps(), coordination }, { reconcileMs: 1e9 }));
  t.after(() => Promise.all(services.map((service) => service.dispose())));
  for (const service of services) await service.run();
  let [holdsWon, holdsLost] = [0, 0];
  for (const [index, sessionId] of ids.entries()) {
    const [first, second] = index % 2 === 0 ? services : services.toReversed();
    const isShred = index % 3 === 0;
    const destroy = () =>
      isShred
        ? first!.erase({ sessionId, actor: 'eve', reason: 'away' })
        : first!.remove({ sessionId, actor: 'eve', reason: 'away' });
    // The hold comes before, beside and behind it.
    const early = index % 4 === 1 ? second!.setHold(order(sessionId)) : null;
    const destroying = destroy();
    if (index % 4 > 1) await new Promise((resolve) => setTimeout(resolve, index));
    const [destroyed, hold] = await Promise.allSettled([destroying, early ?? second!.setHold(order(sessionId))]);
    for (const outcome of [destroyed, hold])
      if (outcome?.status === 'rejected') assert.ok(isLucidError(outcome.reason, 'notInThisState'), outcome.reason);
    await idle(made);
    const whole = await isWhole(made, sessionId);
    if (hold?.status === 'fulfilled' && !(isShred && destroyed?.status === 'fulfilled')) {
      holdsWon += 1;
      assert.ok(whole, `${sessionId}: held, and not whole`);
      assert.equal((await sessionOf(made, sessionId)).status, 'completed');
    } else if (hold?.status === 'rejected') {
      holdsLost += 1;
      assert.equal((await sessionOf(made, sessionId)).pipeline_state, 'destroyed');
    } else {
      // Shredded first: the chunks are what is left to hold.
      assert.ok((await made.storage.readChunk({ sessionId, index: 0 })).file !== null);
      await assert.rejects(second!.remove({ sessionId }), held);
    }
  }
  t.diagnostic(`${holdsWon} holds were first, ${holdsLost} too late`);
  assert.ok(holdsWon > 0 && holdsLost > 0);
});

for (const what of ['nothing', 'a deletion'] as const)
  test(`a process that dies at any step of setting a hold beside ${what} leaves it set or not, and never half`, async (t) => {
    let died = true;
    let wasSet = 0;
    for (let calls = 0; died; calls++) {
      const made = await world();
      try {
        await record(made, 's1');
        await made.stop();
        const { queue, journal } = made.deps();
        await Promise.all([queue.dispose(), journal.dispose()]);
        const idler = createPipelineService(made.deps(), { reconcileMs: 1e9 });
        if (what === 'a deletion') await idler.remove({ sessionId: 's1', actor: 'eve', reason: 'away' });
        made.fuse.left = calls;
        await idler.setHold(order('s1')).catch(() => {});
        died = made.fuse.left <= 0;
        made.fuse.left = never;
        await idler.dispose();
        await made.restart();
        await idle(made);
        const session = await sessionOf(made, 's1');
        if (session.holds !== undefined) {
          wasSet += 1;
          assert.ok(await isWhole(made, 's1'), `died after ${calls}`);
          assert.equal(session.status, 'completed', `died after ${calls}`);
          assert.deepEqual(
            (await custodyOf(made, 's1')).map(({ action }) => action),
            ['hold'],
            `died after ${calls}`,
          );
        } else assert.equal(session.status, what === 'nothing' ? 'completed' : 'deleted', `died after ${calls}`);
      } finally {
        await made.dispose();
      }
      assert.ok(calls < 60);
    }
    t.diagnostic(`set at ${wasSet} of the places`);
    assert.ok(wasSet > 1);
  });
