/** Storage that takes no audit entries: nothing of what happened is lost, and nobody is locked out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditEvent, LucidError } from '@lucid-sessions/contract';
import { AuditOutbox } from '../src/audit-outbox.ts';
import { apiWorld } from './world.ts';

const event = (eventId: string): AuditEvent => ({
  eventId,
  timestampUs: 1,
  eventType: 'session_deleted',
  userId: 'ada',
  resourceId: 's1',
  ipAddress: null,
  userAgent: null,
  success: true,
  errorMessage: null,
  details: { reason: 'asked' },
});

function outboxOver(isFull: () => boolean, retryMs: number) {
  const stored: string[] = [];
  const said: string[] = [];
  const outbox = new AuditOutbox({
    store: async ({ eventId }) => {
      if (isFull()) throw new LucidError('storage', 'the disk of the database is full', { status: 507 });
      stored.push(eventId);
    },
    say: (_where, thrown) => said.push((thrown as Error).message),
    retryMs,
  });
  return { outbox, stored, said };
}

test('what is not stored is said as a whole, kept in order, and stored when that is possible', async () => {
  let full = true;
  const { outbox, stored, said } = outboxOver(() => full, 5);
  for (const name of ['a', 'b', 'c']) await outbox.put(event(name));
  assert.deepEqual([stored, outbox.length, said.length], [[], 3, 3]);
  assert.match(said[0]!, /not stored yet .*full.*"eventId":"a".*"reason":"asked"/);
  full = false;
  for (let left = 400; left > 0 && outbox.length > 0; left--) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(stored, ['a', 'b', 'c']);
  await outbox.put(event('d'));
  assert.deepEqual([stored.at(-1), said.length], ['d', 3]);
  await outbox.dispose();
});

test('it holds a bounded number; the oldest then stand in the log alone, and are named', async () => {
  const { outbox, said } = outboxOver(() => true, 60_000);
  for (let number = 0; number < 10_002; number++) await outbox.put(event(`e${number}`));
  assert.equal(outbox.length, 10_000);
  const lost = said.filter((line) => /stands only here/.test(line));
  assert.deepEqual(
    lost.map((line) => /"eventId":"(\w+)"/.exec(line)?.[1]),
    ['e0', 'e1'],
  );
  await outbox.dispose();
});

test('with a storage that takes no entries a session is shown and deleted, content is not handed out, health says so', async (t) => {
  const world = await apiWorld();
  t.after(() => world.dispose());
  const sessionId = await world.record();
  const { storage } = world.deps;
  const { appendAudit } = storage;
  storage.appendAudit = () => Promise.reject(new LucidError('storage', 'full', { status: 507 }));
  const at = { params: { session_id: sessionId, chunk_id: `${sessionId}.000001` } };
  assert.equal((await world.call('getSession', at)).status, 200);
  assert.equal((await world.call('verifySession', at)).status, 200);
  for (const operation of ['downloadChunk', 'getKey', 'exportEvidence'] as const)
    assert.equal((await world.call(operation, at)).status, 507, operation);
  assert.equal((await world.call('deleteSession', { ...at, body: { reason: 'to make room' } })).status, 200);
  const health = (await world.raw('/health')).body as { services?: { api: { status: string; message: string } } };
  assert.deepEqual(
    [health.services?.api.status, health.services?.api.message],
    ['degraded', '3 audit entries wait until storage takes them'],
  );
  storage.appendAudit = appendAudit;
  for (let left = 500; left > 0; left--) {
    const { total } = await storage.listAudit({ eventType: 'session_deleted', limit: 1, offset: 0 });
    if (total === 1) break;
    assert.ok(left > 1, 'the deletion is in the audit log in the end');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { events } = await storage.listAudit({ resourceId: sessionId, limit: 50, offset: 0 });
  const types = events.map(({ eventType }) => eventType);
  for (const type of ['session_accessed', 'session_verified', 'session_deleted']) assert.ok(types.includes(type), type);
});
