/** Recordings that are shown on request only: who asks, who agrees, and every route that would show any of them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type OperationId, type RestRoute, restRoutes, routeReveals } from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import { type ApiWorld, apiWorld, type CallOptions, token } from './world.ts';

let world: ApiWorld;
before(async () => {
  world = await apiWorld({
    viewing: { level: 'reason', projects: new Map([['finance', 'approval']]), minutesMax: 30 },
  });
});
after(() => world.dispose());

const needed = 'LUCID_ERR_3023';

async function as(user: string, operation: OperationId, options: CallOptions = {}, roles = ['admin']) {
  const authorization = `Bearer ${await token(roles, { user_id: user })}`;
  return world.call(operation, { ...options, headers: { authorization } });
}

const at = (session_id: string, more: Record<string, string> = {}) => ({ params: { session_id, ...more } });

async function recordedFor(project?: string): Promise<string> {
  const sessionId = await world.record();
  const body = { metadata: { project } };
  if (project !== undefined) assert.equal((await as('root', 'updateSession', { ...at(sessionId), body })).status, 200);
  return sessionId;
}

async function ask(user: string, sessionId: string, body: object = {}): Promise<string> {
  const { status, body: answer } = await as(user, 'askViewing', {
    ...at(sessionId),
    body: { reason: 'incident 7', ...body },
  });
  assert.equal(status, 201, JSON.stringify(answer));
  return String(answer.viewing_id);
}

async function steps(sessionId: string) {
  const { records } = await world.deps.storage.getRecords({ sessionId, kind: 'custody' });
  return records.map(({ record }) => {
    const { actor, action, detail, extra } = readRecordOf('custody', record).body;
    const { viewing } = extra as { viewing?: { id: string; step: string } };
    return [actor, action, viewing?.step, detail];
  });
}

/** Its answer without an asking; routes that fail for other reasons have passed the gate. */
async function codesOf(user: string, sessionId: string): Promise<Map<OperationId, string | undefined>> {
  const codes = new Map<OperationId, string | undefined>();
  const params = { session_id: sessionId, chunk_id: `${sessionId}.000001`, keyframe: '1', viewing_id: 'x' };
  // What ends the session would keep the others from being asked.
  const destroying: OperationId[] = ['deleteSession', 'eraseSession'];
  for (const [operation, route] of Object.entries<RestRoute>(restRoutes) as [OperationId, RestRoute][]) {
    if (route.permissions === null || destroying.includes(operation)) continue;
    codes.set(operation, (await as(user, operation, { params })).body.error?.code);
  }
  return codes;
}

test('every route that shows any of a recording is closed until it is asked for, and no other is', async () => {
  const sessionId = await recordedFor();
  const revealing = Object.entries(routeReveals).filter(([, reveals]) => reveals !== 'nothing');
  assert.ok(revealing.length >= 9);
  for (const [operation, code] of await codesOf('eve', sessionId))
    assert.equal(code === needed, routeReveals[operation] !== 'nothing', `${operation}: ${code}`);
  await ask('eve', sessionId);
  for (const [operation, code] of await codesOf('eve', sessionId)) assert.notEqual(code, needed, operation);
  for (const [operation, code] of await codesOf('mallory', sessionId))
    assert.equal(code === needed, routeReveals[operation] !== 'nothing', `of nobody else's: ${operation}`);
});

test('a reason is signed and audited before anything is seen, and each use is', async () => {
  const sessionId = await recordedFor();
  const none = await as('ann', 'getKey', at(sessionId));
  assert.deepEqual(none.body.error?.details, { session_id: sessionId, level: 'reason', shares: null, minutes_max: 30 });
  const id = await ask('ann', sessionId);
  assert.equal((await as('ann', 'getKey', at(sessionId))).status, 200);
  assert.equal((await as('ann', 'downloadChunk', at(sessionId, { chunk_id: `${sessionId}.000001` }))).status, 200);
  assert.equal((await as('ann', 'downloadChunk', at(sessionId, { chunk_id: `${sessionId}.000002` }))).status, 200);
  assert.deepEqual(await steps(sessionId), [
    ['ann', 'view', 'ask', 'asked to see it (window, 30 minutes): incident 7'],
    ['ann', 'view', 'use', 'playback'],
    ['ann', 'view', 'use', 'downloadChunk'],
  ]);
  const { events } = await world.deps.storage.listAudit({ resourceId: sessionId, limit: 50, offset: 0 });
  const asked = events.find(({ eventType }) => eventType === 'viewing_asked');
  assert.deepEqual(asked?.details, { viewing_id: id, reason: 'incident 7', use: 'window', minutes: 30 });
  const played = events.find(({ eventType, success }) => eventType === 'playback_started' && success);
  assert.equal(played?.details.viewing_id, id);
});

test('a second person agrees, never who asked; refused, or taken back, nothing is shown', async () => {
  const sessionId = await recordedFor('finance');
  const id = await ask('ann', sessionId);
  const viewing = at(sessionId, { viewing_id: id });
  const seen = async () => (await as('ann', 'getKey', at(sessionId))).status;
  assert.equal(await seen(), 403);
  const decide = (user: string, decision: string, roles?: string[]) =>
    as(user, 'decideViewing', { ...viewing, body: { decision, reason: 'as agreed' } }, roles);
  assert.equal((await decide('ann', 'approve')).status, 403, 'not by who asked');
  assert.equal((await decide('bob', 'approve', ['session_viewer'])).status, 403, 'not without the right');
  assert.equal(await seen(), 403);
  assert.equal((await decide('bob', 'approve')).body.state, 'granted');
  assert.equal(await seen(), 200);
  assert.equal((await decide('bob', 'approve')).status, 200, 'said again it is the same');
  assert.equal((await decide('eve', 'approve')).status, 409);
  assert.equal((await decide('eve', 'refuse')).body.state, 'refused', 'taken back');
  assert.equal(await seen(), 403);
  assert.equal((await decide('bob', 'approve')).status, 409, 'refused it stays');
  const tale = (await steps(sessionId)).map(([actor, , step]) => `${actor} ${step}`);
  for (const step of ['ann ask', 'bob approve', 'ann use', 'eve refuse']) assert.ok(tale.includes(step), step);
});

test('good for once is one playback or export, whoever comes first of many', async () => {
  const sessionId = await recordedFor();
  await ask('ann', sessionId, { use: 'once', minutes: 5 });
  const many = await Promise.all(Array.from({ length: 6 }, () => as('ann', 'getKey', at(sessionId))));
  assert.equal(many.filter(({ status }) => status === 200).length, 1);
  assert.equal((await as('ann', 'exportEvidence', at(sessionId))).body.error?.code, needed);
  const chunk = at(sessionId, { chunk_id: `${sessionId}.000001` });
  assert.equal((await as('ann', 'downloadChunk', chunk)).status, 200, 'what the playback goes on reading');
});

test('who asks and what for is seen by who may answer, and by who asked', async () => {
  const sessionId = await recordedFor('finance');
  const id = await ask('ann', sessionId);
  const list = async (user: string, operation: OperationId, roles?: string[]) =>
    ((await as(user, operation, at(sessionId), roles)).body.viewings as { viewing_id: string }[]).map(
      ({ viewing_id }) => viewing_id,
    );
  assert.deepEqual(await list('ann', 'sessionViewings', ['session_viewer']), [id]);
  assert.deepEqual(await list('bob', 'sessionViewings', ['auditor']), [id]);
  assert.ok((await list('bob', 'listViewings', ['auditor'])).includes(id));
  assert.deepEqual(await list('eve', 'sessionViewings', ['session_viewer']), []);
  assert.equal((await list('eve', 'listViewings', ['session_viewer'])).includes(id), false);
});

test('what asks for less loosens nothing that is recorded, and bad requests are told', async () => {
  const sessionId = await recordedFor('finance');
  const body = { metadata: { project: 'elsewhere' } };
  const moved = await as('root', 'updateSession', { ...at(sessionId), body });
  assert.equal((moved.body.recording_config as { viewing?: string }).viewing, 'approval');
  await ask('ann', sessionId);
  assert.equal((await as('ann', 'getKey', at(sessionId))).body.error?.code, needed);
  const wrong = [{}, { reason: '' }, { reason: ' ' }, { reason: 'x', minutes: 31 }, { reason: 'x', use: 'ever' }];
  for (const asked of wrong)
    assert.equal((await as('ann', 'askViewing', { ...at(sessionId), body: asked })).status, 400, JSON.stringify(asked));
  const waiting = await world.create();
  const early = await as('ann', 'askViewing', { ...at(waiting), body: { reason: 'x' } });
  assert.equal(early.body.error?.code, 'LUCID_ERR_3004', 'nothing is recorded yet');
});

test('what was granted when less was asked for opens nothing any more', async () => {
  const sessionId = await recordedFor();
  await ask('ann', sessionId);
  assert.equal((await as('ann', 'getKey', at(sessionId))).status, 200);
  await as('root', 'updateSession', { ...at(sessionId), body: { metadata: { project: 'finance' } } });
  const { body } = await as('ann', 'getKey', at(sessionId));
  assert.equal(body.error?.code, needed);
  assert.match(String(body.error?.message), /asks for more/);
  const viewing = at(sessionId, { viewing_id: await ask('ann', sessionId) });
  await as('bob', 'decideViewing', { ...viewing, body: { decision: 'approve', reason: 'as agreed' } });
  assert.equal((await as('ann', 'getKey', at(sessionId))).status, 200);
});
