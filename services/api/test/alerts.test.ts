/** Rules and alerts by the API: who may what, what is refused in words, and what the audit log is told. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type Alert, alertIdOf, alertRulesMax, roles } from '@lucid-sessions/contract';
import { type ApiWorld, apiWorld, type CallOptions } from './world.ts';

let world: ApiWorld;
before(async () => {
  const patternProblem = (pattern: string) => (pattern === '(' ? 'missing closing )' : null);
  world = await apiWorld({}, { sessionIndexes: { patternProblem } as never });
});
after(() => world.dispose());

const condition = {
  kind: 'pattern',
  pattern: 'project manhattan',
  in: ['typed'],
  match_case: false,
  before_logon: false,
};
const rule = { name: 'destroys tables', severity: 'high', condition, end_session: false, enabled: true };
const audited = async (eventType: string) =>
  (await world.deps.storage.listAudit({ eventType, limit: 100, offset: 0 })).events;

async function create(changes: object = {}): Promise<string> {
  const { status, body } = await world.call('createAlertRule', { body: { ...rule, ...changes } });
  assert.equal(status, 201);
  return body.rule_id as string;
}
const remove = (rule_id: string) => world.call('removeAlertRule', { params: { rule_id } });

test('a rule is made, read, replaced and removed, and the audit log has no pattern in it', async () => {
  const rule_id = await create();
  const read = await world.call('getAlertRule', { params: { rule_id } });
  const { created_at, changed_at, created_by, rule_id: id, ...fields } = read.body;
  assert.deepEqual([fields, id, created_by, created_at], [rule, rule_id, 'ada', changed_at]);
  const hours = { kind: 'hours', time_zone: 'Europe/Berlin', days: [1, 2], from: '07:00', to: '19:00' };
  const replaced = await world.call('replaceAlertRule', {
    params: { rule_id },
    body: { ...rule, severity: 'low', condition: hours },
  });
  assert.deepEqual([replaced.status, replaced.body.condition, replaced.body.created_at], [200, hours, created_at]);
  assert.deepEqual((await remove(rule_id)).body, { rule_id, removed: true });
  for (const answer of [await remove(rule_id), await world.call('getAlertRule', { params: { rule_id } })])
    assert.equal(answer.status, 404);
  const events = [
    ...(await audited('alert_rule_created')),
    ...(await audited('alert_rule_changed')),
    ...(await audited('alert_rule_removed')),
  ].filter(({ details, success }) => details.rule_id === rule_id && success);
  assert.equal(events.length, 3);
  assert.equal(JSON.stringify(events).includes('manhattan'), false);
  const changes = events[1]!.details.changes as Record<string, { to: unknown }>;
  assert.deepEqual([changes.severity?.to, changes.condition?.to], ['low', hours]);
});

test('what is no rule is refused in words', async () => {
  const wrong: [object, RegExp][] = [
    [{ condition: { ...condition, pattern: '(' } }, /condition\.pattern: missing closing/],
    [{ condition: { ...condition, pattern: 'x'.repeat(501) } }, /pattern/],
    [{ condition: { ...condition, in: [] } }, /condition\.in/],
    [{ condition: { ...condition, in: ['typed', 'typed'] } }, /name each once/],
    [{ condition: { kind: 'hours', time_zone: 'Mars/Olympus', from: '07:00', to: '19:00' } }, /time zone/],
    [{ condition: { kind: 'hours', time_zone: 'UTC', from: '7:00', to: '19:00' } }, /HH:MM/],
    [{ condition: { kind: 'volume', of: 'bytes', more_than: -1, minutes: 5 } }, /more_than/],
    [{ condition: { kind: 'volume', of: 'bytes', more_than: 1, minutes: 241 } }, /minutes/],
    [{ condition: { kind: 'rare_target', by: 'person', days: 0 } }, /days/],
    [{ condition: { kind: 'anything' } }, /condition/],
    [{ name: 'two\nlines' }, /one line/],
    [{ severity: 'urgent' }, /severity/],
  ];
  for (const [changes, words] of wrong) {
    const { status, body } = await world.call('createAlertRule', { body: { ...rule, ...changes } });
    assert.equal(status, 400, JSON.stringify(changes));
    assert.match(JSON.stringify(body.error), words);
  }
});

test('there may be so many rules and no more', async () => {
  const made: string[] = [];
  const { body } = await world.call('listAlertRules');
  const known = (body.rules as unknown[]).length;
  const storage = world.deps.storage;
  for (let count = known; count < alertRulesMax; count++) {
    const id = randomUUID();
    made.push(id);
    const value = { ...rule, created_us: 1, created_by: 'ada', changed_us: 1 };
    await storage.putEntry({ kind: 'alert_rule', id, owner: null, value, version: 1, untilUs: null });
  }
  const refused = await world.call('createAlertRule', { body: rule });
  assert.equal(refused.status, 409);
  assert.equal(((await world.call('listAlertRules')).body.rules as unknown[]).length, alertRulesMax);
  for (const id of made) await storage.removeEntry({ kind: 'alert_rule', id });
});

test('alerts are listed latest first, page by page, of one session or of all, and tell nothing of what was found', async () => {
  const sessionId = await world.create();
  const ids: string[] = [];
  for (let count = 0; count < 5; count++) {
    const at_us = 1_780_000_000_000_000 + count * 1_000_000;
    const id = alertIdOf(at_us, count.toString(16).padStart(16, '0'));
    ids.unshift(id);
    const value: Alert = {
      ...{ rule_id: randomUUID(), rule_name: 'r', severity: 'high', chunk_index: count === 0 ? null : count },
      ...{ time_us: 1_500_000, at_us, more: 0, ended_session: false, session_name: 's', host: 'h', person: null },
    };
    const owner = count === 4 ? 'another' : sessionId;
    await world.deps.storage.putEntry({ kind: 'alert', id, owner, value: { ...value }, version: 1, untilUs: null });
  }
  const list = async (query: Record<string, string | number>) => {
    const { body } = await world.call('listAlerts', { query });
    return body as unknown as {
      alerts: { alert_id: string; chunk: number | null; recording_url: string }[];
      next: string | null;
    };
  };
  const first = await list({ limit: 3 });
  assert.deepEqual([first.alerts.map(({ alert_id }) => alert_id), first.next], [ids.slice(0, 3), ids[2]]);
  const rest = await list({ limit: 3, after: first.next! });
  assert.deepEqual([rest.alerts.map(({ alert_id }) => alert_id), rest.next], [ids.slice(3), null]);
  const own = await list({ session_id: sessionId });
  assert.deepEqual(
    own.alerts.map(({ chunk }) => chunk),
    [4, 3, 2, null],
  );
  assert.match(own.alerts[0]!.recording_url, new RegExp(`/sessions/${sessionId}#t=1\\.5$`));
});

test('each role may what the table says, route by route', async () => {
  const rule_id = await create();
  const mayRead = ['admin', 'session_manager', 'session_operator', 'auditor'];
  const calls: [Parameters<ApiWorld['call']>[0], CallOptions, readonly string[]][] = [
    ['listAlerts', {}, mayRead],
    ['listAlertRules', {}, ['admin']],
    ['getAlertRule', { params: { rule_id } }, ['admin']],
    ['replaceAlertRule', { params: { rule_id }, body: rule }, ['admin']],
    ['createAlertRule', { body: rule }, ['admin']],
    ['removeAlertRule', { params: { rule_id } }, ['admin']],
  ];
  for (const role of [...roles].reverse())
    for (const [operation, options, allowed] of calls) {
      const { status } = await world.call(operation, { ...options, roles: [role] });
      assert.equal(status < 400, allowed.includes(role), `${role} ${operation}: ${status}`);
      if (!allowed.includes(role)) assert.equal(status, 403, `${role} ${operation}`);
    }
  for (const [operation, options] of calls)
    assert.equal((await world.call(operation, { ...options, roles: null })).status, 401, operation);
});
