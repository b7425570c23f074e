/** What an operator changes and destroys: who, why, and what it was before. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LucidError } from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import { type ApiWorld, apiWorld } from './world.ts';

let world: ApiWorld;
let strict: ApiWorld;
before(async () => {
  world = await apiWorld();
  strict = await apiWorld({ deleteReason: 'required', retentionDaysDefault: 90 });
});
after(async () => {
  await world.dispose();
  await strict.dispose();
});

const at = (session_id: string) => ({ params: { session_id } });

async function lastEvent(of: ApiWorld, resourceId: string, eventType: string) {
  const { events } = await of.deps.storage.listAudit({ eventType, resourceId, limit: 1, offset: 0 });
  return events[0];
}

async function eraseRecord(sessionId: string) {
  for (let left = 500; left > 0; left--) {
    const { records } = await world.deps.storage.getRecords({ sessionId, kind: 'erase' });
    if (records[0] !== undefined) return readRecordOf('erase', records[0].record).body;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('no erase record');
}

test('who deleted a recording and why is audited, signed into its erase record and its custody chain', async () => {
  const sessionId = await world.record();
  const body = { reason: '  the customer asked  ', confirm: 'A session' };
  assert.equal((await world.call('deleteSession', { ...at(sessionId), body })).status, 200);
  const event = await lastEvent(world, sessionId, 'session_deleted');
  assert.deepEqual([event?.userId, event?.success], ['ada', true]);
  assert.deepEqual(event?.details, {
    name: 'A session',
    reason: 'the customer asked',
    changes: { status: { from: 'completed', to: 'deleted' } },
  });
  const { actor, reason } = await eraseRecord(sessionId);
  assert.deepEqual([actor, reason], ['ada', 'the customer asked']);
  const { records } = await world.deps.storage.getRecords({ sessionId, kind: 'custody' });
  const last = readRecordOf('custody', records.at(-1)!.record).body;
  assert.deepEqual([last.action, last.actor, last.detail], ['delete', 'ada', 'the customer asked']);
});

test('a target that policy forbids is refused when a session is made or changed, in the same words whatever forbids it', async (t) => {
  const asked: unknown[] = [];
  let away = false;
  const judging = await apiWorld(
    {},
    {
      recorder: {
        ...world.recorder,
        judgeTarget: async (target) => {
          asked.push(target);
          if (away) throw new LucidError('unavailable', 'recorder: away');
          return { open: !/^(?:127\.|169\.)/.test(target.host) };
        },
      },
    },
  );
  t.after(() => judging.dispose());
  const make = (host: string) =>
    judging.call('createSession', { body: { name: 'x', session_id: 'forbidden', rdp_config: { host } } });
  const [loopback, metadata] = [await make('127.0.0.1'), await make('169.254.169.254')];
  assert.deepEqual([loopback.status, loopback.body.error?.code], [400, 'LUCID_ERR_3002']);
  assert.match(loopback.body.error?.message ?? '', /may not lead to this host and port/);
  assert.equal(metadata.body.error?.message, loopback.body.error?.message);
  assert.equal((await judging.call('getSession', at('forbidden'))).status, 404);
  const sessionId = await judging.create();
  assert.deepEqual(asked.at(-1), { host: 'desk.example', port: 3389 });
  const change = (body: object) => judging.call('updateSession', { ...at(sessionId), body });
  assert.equal((await change({ rdp_config: { host: '127.0.0.1' } })).status, 400);
  assert.equal((await lastEvent(judging, sessionId, 'session_updated'))?.success, false);
  const before = asked.length;
  assert.equal((await change({ name: 'B', rdp_config: { username: 'bob' } })).status, 200);
  assert.equal(asked.length, before, 'where the target stays nobody is asked');
  // It is looked at when it is dialled.
  away = true;
  assert.equal((await change({ rdp_config: { host: '127.0.0.1' } })).status, 200);
});

test('the reason may stand in the query; without a policy it may be left out', async () => {
  const [first, second] = [await world.create(), await world.create()];
  assert.equal((await world.call('deleteSession', { ...at(first), query: { reason: 'a typo' } })).status, 200);
  assert.equal((await lastEvent(world, first, 'session_deleted'))?.details.reason, 'a typo');
  assert.equal((await world.call('deleteSession', at(second))).status, 200);
  assert.equal((await lastEvent(world, second, 'session_deleted'))?.details.reason, null);
});

test('a deletion that is not meant destroys nothing, and the attempt is audited', async () => {
  const sessionId = await strict.create();
  const wrong = [
    {},
    { body: {} },
    { body: { reason: '   ' } },
    { body: { reason: 'x'.repeat(501) } },
    { body: { reason: 'two\nlines' } },
    { query: { reason: '' } },
    { query: { reason: 'one' }, body: { reason: 'another' } },
    { body: { reason: 'why', confirm: 'another name' } },
    { body: { reason: 'why', confirm: sessionId } },
    { body: { reason: 'why', more: 1 } },
  ];
  for (const options of wrong) {
    const { status, body } = await strict.call('deleteSession', { ...at(sessionId), ...options });
    assert.deepEqual([status, body.error?.code], [400, 'LUCID_ERR_3002'], JSON.stringify(options));
  }
  assert.equal((await strict.deps.storage.getSession({ sessionId })).session?.status, 'created');
  const event = await lastEvent(strict, sessionId, 'session_deleted');
  assert.deepEqual([event?.success, event?.details.reason], [false, 'why']);
  const allowed = await strict.call('deleteSession', {
    ...at(sessionId),
    body: { reason: 'meant', confirm: 'A session' },
  });
  assert.equal(allowed.status, 200);
});

test('a change is audited with the old and the new value of every field it changed, and of no other', async () => {
  const sessionId = await world.create({ metadata: { tags: ['a'] } });
  const body = {
    name: 'Renamed',
    description: 'd',
    metadata: { tags: ['b', 'c'], owner: 'o' },
    rdp_config: { host: 'desk.example', port: 3390 },
    storage_config: { max_size_gb: 20 },
  };
  assert.equal((await world.call('updateSession', { ...at(sessionId), body })).status, 200);
  assert.deepEqual((await lastEvent(world, sessionId, 'session_updated'))?.details.changes, {
    name: { from: 'A session', to: 'Renamed' },
    description: { from: null, to: 'd' },
    'metadata.tags': { from: ['a'], to: ['b', 'c'] },
    'metadata.owner': { from: null, to: 'o' },
    'rdp_config.port': { from: 3389, to: 3390 },
    'storage_config.max_size_gb': { from: 10, to: 20 },
  });
});

test('commands are audited with the state before and after', async () => {
  const sessionId = await world.create();
  await world.connect(sessionId);
  const expected = [
    ['pauseSession', 'session_paused', 'recording', 'paused'],
    ['resumeSession', 'session_resumed', 'paused', 'recording'],
  ] as const;
  for (const [operation, event, from, to] of expected) {
    assert.equal((await world.call(operation, at(sessionId))).status, 200);
    const { changes } = (await lastEvent(world, sessionId, event))!.details as { changes: Record<string, unknown> };
    assert.deepEqual(changes.status, { from, to }, operation);
  }
  assert.equal((await world.call('stopSession', { ...at(sessionId), body: { reason: 'shift is over' } })).status, 200);
  const { details } = (await lastEvent(world, sessionId, 'session_stopped'))!;
  assert.equal(details.reason, 'shift is over');
  const recorded = await world.record();
  assert.equal((await world.call('pausePipeline', at(recorded))).status, 200);
  const { changes } = (await lastEvent(world, recorded, 'pipeline_stopped'))!.details as { changes: object };
  assert.ok(typeof changes === 'object');
});

test('destroying a key says whose and why, also when it is refused', async () => {
  const sessionId = await world.record();
  const wrong = await world.call('eraseSession', { ...at(sessionId), body: { confirm: 'another', reason: 'asked' } });
  assert.equal(wrong.status, 400);
  const refused = await lastEvent(world, sessionId, 'key_shredded');
  assert.deepEqual([refused?.success, refused?.details], [false, { name: 'A session', reason: 'asked' }]);
  const byName = { confirm: 'A session', reason: 'asked' };
  assert.equal((await world.call('eraseSession', { ...at(sessionId), body: byName })).status, 200);
  const done = await lastEvent(world, sessionId, 'key_shredded');
  assert.deepEqual(done?.details, { name: 'A session', reason: 'asked', wraps_destroyed: 1 });
});

const retentionOf = async (of: ApiWorld, sessionId: string) =>
  (await of.deps.storage.getSession({ sessionId })).session?.storage_config.retention_days;

test('a recording is kept until it is deleted, as long as the installation says, or as its session says', async () => {
  assert.equal(await retentionOf(world, await world.create()), null);
  assert.equal(await retentionOf(strict, await strict.create()), 90);
  for (const days of [1, 36_500, null])
    assert.equal(await retentionOf(strict, await strict.create({ storage_config: { retention_days: days } })), days);
  for (const days of [0, -1, 36_501, 1.5, '30', 1e300]) {
    const body = { name: 'n', rdp_config: { host: 'h' }, storage_config: { retention_days: days } };
    assert.equal((await world.call('createSession', { body })).status, 400, String(days));
  }
});

test('shortening what is recorded needs a right of its own; lengthening does not; both are audited', async () => {
  const sessionId = await world.record();
  const asks = async (days: number | null, role: string) => {
    const body = { storage_config: { retention_days: days } };
    const { status } = await world.call('updateSession', { ...at(sessionId), body, roles: [role] });
    const event = await lastEvent(world, sessionId, 'session_updated');
    assert.equal(event?.success, status === 200);
    return [status, (event!.details.changes as Record<string, unknown>)['storage_config.retention_days']];
  };
  assert.deepEqual(await asks(30, 'session_manager'), [403, { from: null, to: 30 }]);
  assert.deepEqual(await asks(30, 'admin'), [200, { from: null, to: 30 }]);
  assert.deepEqual(await asks(29, 'session_manager'), [403, { from: 30, to: 29 }]);
  assert.deepEqual(await asks(31, 'session_manager'), [200, { from: 30, to: 31 }]);
  assert.deepEqual(await asks(null, 'session_manager'), [200, { from: 31, to: null }]);
  assert.equal(await retentionOf(world, sessionId), null);
});

test('before anything is recorded a manager sets retention freely; while it is recorded not', async () => {
  const sessionId = await world.create();
  const shorten = (days: number) =>
    world.call('updateSession', {
      ...at(sessionId),
      body: { storage_config: { retention_days: days } },
      roles: ['session_manager'],
    });
  assert.equal((await shorten(5)).status, 200);
  await world.connect(sessionId);
  assert.equal((await shorten(4)).status, 403);
});
