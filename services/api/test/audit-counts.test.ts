/** What may come without end is told once, and then with its number. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditFacts } from '../src/audit.ts';
import { AuditCounts } from '../src/audit-counts.ts';
import { apiWorld } from './world.ts';

const refused: AuditFacts = {
  event: 'token_refused',
  userId: null,
  resourceId: null,
  ipAddress: '192.0.2.1',
  userAgent: null,
  success: false,
  errorMessage: 'no',
  details: {},
};

test('a flood is one entry at once and one with its number, from any number of addresses bounded', async () => {
  const told: AuditFacts[] = [];
  const counts = new AuditCounts(async (facts) => {
    told.push(facts);
  });
  for (let at = 0; at < 500; at += 1) await counts.note('192.0.2.1', refused);
  assert.deepEqual(
    told.map(({ details }) => details.count),
    [1],
  );
  await counts.flush();
  assert.deepEqual(
    told.map(({ details }) => details.count),
    [1, 499],
  );
  told.length = 0;
  for (let at = 0; at < 5000; at += 1) await counts.note(`2001:db8:${at}::`, refused);
  await counts.flush();
  assert.ok(told.length <= 103);
  const sum = told.reduce((all, { details }) => all + Number(details.count), 0);
  assert.equal(sum, 5000, 'none is lost');
});

test('refused tokens, lists and reads of the audit log leave their entry', async (t) => {
  const world = await apiWorld();
  t.after(() => world.dispose());
  for (let at = 0; at < 5; at += 1) await world.raw('/api/v1/sessions', { headers: { authorization: 'Bearer wrong' } });
  await world.raw('/api/v1/sessions');
  for (let at = 0; at < 3; at += 1) await world.call('listSessions');
  await world.call('listAudit');
  const { events } = await world.deps.storage.listAudit({ limit: 100, offset: 0 });
  const of = (type: string) => events.filter(({ eventType }) => eventType === type);
  assert.equal(of('token_refused').length, 1);
  assert.ok(of('token_refused')[0]?.ipAddress);
  assert.equal(of('token_refused')[0]?.userId, null);
  assert.equal(of('sessions_listed').length, 1);
  assert.ok(of('sessions_listed')[0]?.userId);
  assert.equal(of('audit_read').length, 1);
  assert.ok(!JSON.stringify(events).includes('wrong'));
});
