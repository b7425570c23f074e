/** Rules over sessions: an alert is raised once for a rule and a moment, whoever finds it how often, and whoever dies meanwhile. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import {
  type Alert,
  type AlertRule,
  type AlertsFound,
  noAlertProgress,
  noRecordingStatistics,
} from '@lucid-sessions/contract';
import { eventually } from '@lucid-sessions/testkit';
import { type World, world } from './world.ts';

const minuteUs = 60_000_000;
const dayUs = 86_400_000_000;

async function made(t: TestContext): Promise<World> {
  const one = await world();
  t.after(() => one.dispose());
  return one;
}

async function addRule({ storage }: World, rule: Partial<AlertRule> & Pick<AlertRule, 'condition'>): Promise<string> {
  const id = randomUUID();
  const value = {
    ...{ name: 'a rule', severity: 'high', end_session: false, enabled: true },
    ...{ created_us: 0, created_by: 'ada', changed_us: 0, ...rule },
  };
  const { stored } = await storage.putEntry({ kind: 'alert_rule', id, owner: null, value, version: 1, untilUs: null });
  assert.ok(stored);
  return id;
}

const pattern: AlertRule['condition'] = {
  kind: 'pattern',
  pattern: 'drop',
  in: ['typed'],
  match_case: false,
  before_logon: false,
};

const alertsOf = async ({ storage }: World, owner: string) => {
  const { entries } = await storage.listEntries({ kind: 'alert', owner, after: '', limit: 1000 });
  return entries.map(({ id, value }) => ({ id, ...(value as unknown as Alert) }));
};
const told = async ({ storage }: World, resourceId: string) =>
  (await storage.listAudit({ eventType: 'alert_raised', resourceId, limit: 100, offset: 0 })).events;
const sessionOf = async ({ storage }: World, sessionId: string) => (await storage.getSession({ sessionId })).session!;

const foundIn = (
  { clock }: World,
  sessionId: string,
  ruleId: string,
  more: Partial<AlertsFound> = {},
): AlertsFound => ({
  ...{ sessionId, chunkIndex: 0, last: false, progress: noAlertProgress, skipped: 0 },
  hits: [{ ruleId, timeUs: 1_500_000, atUs: clock.us, more: 2 }],
  ...more,
});

test('what was found becomes one alert, one row of the audit log and a word in the session, told twice or more', async (t) => {
  const one = await made(t);
  const ruleId = await addRule(one, { condition: pattern, name: 'destroys tables' });
  await one.admit('s1');
  await one.start('s1');
  const { rules, next } = await one.pipeline.alertRules({ sessionId: 's1' });
  assert.deepEqual([rules, next], [[{ ruleId, condition: pattern, sinceUs: 0 }], 0]);
  for (let times = 0; times < 3; times++) await one.pipeline.alertsFound(foundIn(one, 's1', ruleId));
  const [alert, ...others] = await alertsOf(one, 's1');
  assert.deepEqual(others, []);
  assert.deepEqual(
    [alert!.rule_name, alert!.severity, alert!.chunk_index, alert!.time_us, alert!.more, alert!.ended_session],
    ['destroys tables', 'high', 0, 1_500_000, 2, false],
  );
  const [event, ...more] = await told(one, 's1');
  assert.deepEqual(more, []);
  assert.deepEqual(event!.details, {
    ...{ alert_id: alert!.id, rule_id: ruleId, rule: 'destroys tables', severity: 'high' },
    ...{ at_us: one.clock.us, time_us: 1_500_000, chunk_id: 's1.000001', ends_session: false },
  });
  assert.deepEqual((await sessionOf(one, 's1')).alerts, { count: 1, highest: 'high' });
  assert.equal((await sessionOf(one, 's1')).status, 'recording');
  assert.equal((await one.pipeline.alertRules({ sessionId: 's1' })).next, 1);
  assert.match(await one.service.metrics(), /lucid_pipeline_alerts_total\{severity="high"\} 1/);
});

test('a rule that ends sessions ends it by the way everybody else does, and says so', async (t) => {
  const one = await made(t);
  const ruleId = await addRule(one, { condition: pattern, name: 'no tables', end_session: true });
  await one.admit('s1');
  await one.start('s1');
  await one.pipeline.alertsFound(foundIn(one, 's1', ruleId));
  assert.deepEqual(
    one.calls.filter((call) => call.startsWith('stop')),
    ['stop s1 stopped'],
  );
  const session = await sessionOf(one, 's1');
  assert.deepEqual([session.end_reason, session.end_message], ['stopped', 'ended by the rule “no tables”']);
  assert.equal((await alertsOf(one, 's1'))[0]!.ended_session, true);
  // One that is over raises and ends nothing.
  const later = { ...foundIn(one, 's1', ruleId), chunkIndex: 1 };
  await one.pipeline.alertsFound({ ...later, hits: [{ ...later.hits[0]!, timeUs: 9_000_000 }] });
  assert.equal((await alertsOf(one, 's1')).length, 2);
  assert.equal(one.calls.filter((call) => call.startsWith('stop')).length, 1);
});

test('a pipeline that dies at any call leaves an alert that is raised once when it is told again', async (t) => {
  for (let calls = 0; ; calls++) {
    const one = await made(t);
    const ruleId = await addRule(one, { condition: pattern, end_session: true });
    await one.admit('s1');
    await one.start('s1');
    const found = foundIn(one, 's1', ruleId);
    one.fuse.left = calls;
    const survived = await one.pipeline.alertsFound(found).then(
      () => true,
      () => false,
    );
    await one.restart();
    await one.pipeline.alertsFound(found);
    // The recorder's own word, which a stop that was cut off leaves the rest to.
    await one.pipeline.report({
      ...{ kind: 'ended', sessionId: 's1', atUs: one.clock.us, reason: 'stopped', message: 'a rule', failed: false },
      statistics: noRecordingStatistics,
    });
    assert.equal((await alertsOf(one, 's1')).length, 1, `after ${calls} calls`);
    assert.equal((await told(one, 's1')).length, 1, `after ${calls} calls`);
    const session = await sessionOf(one, 's1');
    assert.deepEqual([session.alerts?.count, session.end_reason], [1, 'stopped'], `after ${calls} calls`);
    await one.stop();
    if (survived) break;
  }
});

test('a session whose index was forgotten is asked for until it was judged to its end', async (t) => {
  const one = await made(t);
  const ruleId = await addRule(one, { condition: pattern });
  let followed = 0;
  one.processor.follow = async ({ sessionId }) => {
    followed += 1;
    if (followed === 2) await one.pipeline.alertsFound(foundIn(one, sessionId, ruleId, { last: true }));
  };
  await one.admit('s1');
  await one.record('s1');
  await eventually('the session to be judged', async () => {
    one.clock.us += 3_000_000;
    return followed === 2 && (await alertsOf(one, 's1')).length === 1;
  });
  assert.equal((await one.pipeline.alertRules({ sessionId: 's1' })).next, 1);
});

test('a person who was never at a target is told of, and one who was is not', async (t) => {
  const one = await made(t);
  await addRule(one, { name: 'new here', condition: { kind: 'rare_target', by: 'person', days: 30 } });
  const begin = async (sessionId: string) => {
    await one.admit(sessionId);
    await one.pipeline.report({
      ...{ kind: 'client', sessionId, atUs: one.clock.us, clientName: 'WS', clientUser: 'Ann' },
    });
    await one.record(sessionId);
  };
  await begin('s1');
  await eventually('the first to be told', async () => (await alertsOf(one, 's1')).length === 1);
  const [first] = await alertsOf(one, 's1');
  assert.deepEqual([first!.rule_name, first!.chunk_index, first!.time_us], ['new here', null, 0]);
  one.clock.us += 10 * dayUs;
  await begin('s2');
  one.clock.us += 31 * dayUs;
  await begin('s3');
  await eventually('the third to be told', async () => (await alertsOf(one, 's3')).length === 1);
  assert.deepEqual(await alertsOf(one, 's2'), []);
});

test('more sessions of a person than usual are told of', async (t) => {
  const one = await made(t);
  await addRule(one, { name: 'many', condition: { kind: 'sessions', more_than: 2, minutes: 10 } });
  for (const sessionId of ['s1', 's2', 's3']) {
    await one.admit(sessionId);
    await one.pipeline.report({
      ...{ kind: 'client', sessionId, atUs: one.clock.us, clientName: 'WS', clientUser: 'ann' },
    });
    await one.record(sessionId);
    one.clock.us += minuteUs;
  }
  await eventually('the third to be told', async () => (await alertsOf(one, 's3')).length === 1);
  assert.deepEqual([await alertsOf(one, 's1'), await alertsOf(one, 's2')], [[], []]);
});
