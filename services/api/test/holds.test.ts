/** Legal holds over the API: who may set them, what they stop, and what of it is audited, signed and proven. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { readRecordOf } from '@lucid-sessions/evidence';
import { type ApiWorld, apiWorld } from './world.ts';

let world: ApiWorld;
let recorded: string;
before(async () => {
  world = await apiWorld();
  recorded = await world.record();
});
after(() => world.dispose());

const at = (session_id: string) => ({ params: { session_id } });
const matter = { reference: 'M-17', reason: 'a suit is expected' };

async function setHold(sessionId: string, roles: readonly string[] = ['auditor']) {
  const answer = await world.call('setHold', { ...at(sessionId), body: matter, roles });
  return { status: answer.status, hold: answer.body.hold as { hold_id: string; set_by: string } };
}

test('administrators and auditors set, clear and read holds; nobody who may delete does', async () => {
  for (const roles of [['session_manager'], ['session_operator'], ['session_viewer'], []]) {
    assert.equal((await setHold(recorded, roles)).status, 403, roles.join());
    const body = { hold_id: randomUUID(), reason: 'x' };
    assert.equal((await world.call('clearHold', { ...at(recorded), body, roles })).status, 403, roles.join());
    assert.equal((await world.call('listHolds', { roles })).status, 403, roles.join());
  }
  for (const body of [
    { reason: 'x' },
    { reference: 'M' },
    { ...matter, reason: 'two\nlines' },
    { ...matter, hold_id: 'x' },
  ])
    assert.equal((await world.call('setHold', { ...at(recorded), body })).status, 400, JSON.stringify(body));
  assert.equal((await setHold('nobody')).status, 404);
});

test('what is held can not be deleted or shredded, and says so; its bundle shows the hold and stays clean', async () => {
  const { storage } = world.deps;
  const [first, second] = [await setHold(recorded), await setHold(recorded, ['admin'])];
  assert.deepEqual([first.status, second.status, first.hold.set_by], [201, 201, 'ada']);
  const { body: session } = await world.call('getSession', at(recorded));
  assert.deepEqual(
    [session.legal_holds, 'holds' in session],
    [2, false],
    'what it is about is for those with the right',
  );
  const refusals = [
    await world.call('deleteSession', at(recorded)),
    await world.call('eraseSession', { ...at(recorded), body: { confirm: recorded, reason: 'x' } }),
  ];
  for (const { status, body } of refusals) {
    assert.deepEqual([status, body.error?.code], [409, 'LUCID_ERR_3004']);
    assert.match(body.error!.message, /2 legal holds are on this session/);
    assert.doesNotMatch(JSON.stringify(body), /M-17|suit/);
  }
  const { body: list } = await world.call('listHolds', { roles: ['auditor'] });
  assert.deepEqual(
    (list.sessions as { session_id: string; holds: unknown[] }[]).map(({ session_id, holds }) => [
      session_id,
      holds.length,
    ]),
    [[recorded, 2]],
  );
  const { body: one } = await world.call('listHolds', { query: { session_id: recorded } });
  assert.deepEqual(one.sessions, list.sessions);

  for (const [left, { hold }] of [
    [1, first],
    [0, second],
  ] as const) {
    const body = { hold_id: hold.hold_id, reason: 'settled' };
    const cleared = await world.call('clearHold', { ...at(recorded), body });
    assert.deepEqual([cleared.status, cleared.body.holds_left], [200, left]);
    assert.equal((await world.call('clearHold', { ...at(recorded), body })).status, 404);
  }
  assert.deepEqual((await world.call('listHolds')).body.sessions, []);
  const { records } = await storage.getRecords({ sessionId: recorded, kind: 'custody' });
  assert.deepEqual(
    records.map(({ record }) => readRecordOf('custody', record).body.action),
    ['hold', 'hold', 'release', 'release'],
  );
  const { body: report } = await world.call('verifySession', at(recorded));
  assert.deepEqual([report.clean, report.findings], [true, []]);
  const eventsOf = async (eventType: string) =>
    (await storage.listAudit({ eventType, resourceId: recorded, limit: 50, offset: 0 })).events;
  const [set, cleared] = [await eventsOf('legal_hold_set'), await eventsOf('legal_hold_cleared')];
  assert.deepEqual(
    [set.filter(({ success }) => success).length, cleared.filter(({ success }) => success).length],
    [2, 2],
  );
  const told = set.find(({ success }) => success)?.details;
  assert.deepEqual([told?.reference, told?.reason, typeof told?.hold_id], [matter.reference, matter.reason, 'string']);
});

test('a hold sent twice under one id is one, also when it was not recorded yet', async () => {
  const fresh = await world.create();
  const body = { ...matter, hold_id: randomUUID() };
  for (let times = 0; times < 2; times++)
    assert.equal((await world.call('setHold', { ...at(fresh), body })).status, 201);
  assert.equal((await world.call('getSession', at(fresh))).body.legal_holds, 1);
  assert.equal((await world.call('deleteSession', at(fresh))).status, 409);
  await world.call('clearHold', { ...at(fresh), body: { hold_id: body.hold_id, reason: 'not needed' } });
  assert.equal((await world.call('deleteSession', at(fresh))).status, 200);
  assert.deepEqual(world.failures, []);
});
