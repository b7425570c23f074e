/** What of the sessions somebody sees: every route, as an account and as a token, and grants of single recordings. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { alertIdOf, type OperationId, type RestRoute, restRoutes, routeScopes } from '@lucid-sessions/contract';
import { goodPassword, TestBrowser } from './people-world.ts';
import { type Answer, type ApiWorld, apiWorld, type CallOptions } from './world.ts';

let world: ApiWorld;
const clock = { aheadUs: 0 };
const looked: string[] = [];
/** With every right, and a token that sees project `seen` alone. */
let limited: (operation: OperationId, options?: CallOptions) => Promise<Answer>;
let admin: TestBrowser;
let seen = '';
let unseen = '';

const scopeOf = (more: object) => ({ own: false, projects: [], labels: [], targets: [], ...more });

/** Signed in. */
async function person(userId: string, roles: string[]): Promise<TestBrowser> {
  await world.call('createUser', { body: { user_id: userId, roles } });
  const invite = await world.call('inviteUser', { params: { user_id: userId }, body: {} });
  const browser = new TestBrowser(world);
  const { status } = await browser.call('redeemInvite', { body: { token: invite.body.token, password: goodPassword } });
  assert.equal(status, 200);
  return browser;
}

before(async () => {
  world = await apiWorld(
    { publicUrl: '', trustProxy: { kind: 'hops', count: 1 } },
    {
      nowUs: () => Date.now() * 1000 + clock.aheadUs,
      sessionIndexes: {
        search: async (sessionId: string) => {
          looked.push(sessionId);
          return {
            ...{ chunks: 1, searchedChunks: 1, more: false },
            found: [{ timeUs: 1, kind: 'typed', excerpt: 'needle' }],
          };
        },
      } as never,
    },
  );
  admin = await person('ada', ['admin']);
  const { body, status } = await admin.call('createToken', {
    body: { name: 'limited', days: 1, scope: scopeOf({ projects: ['seen'] }) },
  });
  assert.equal(status, 201);
  limited = (operation, options = {}) =>
    world.call(operation, {
      ...options,
      roles: null,
      headers: { authorization: `Bearer ${String(body.token)}`, ...options.headers },
    });
  seen = await world.create({ metadata: { project: 'seen' } });
  unseen = await world.create({ metadata: { project: 'other', tags: ['secret'] } });
});
after(() => world.dispose());

const uuid = '3f0c52d0-5a3b-4c22-9a6e-3a6f9d8f0a11';
const hash = 'a'.repeat(64);
/** Bodies that say what must be said. */
const bodies: Partial<Record<OperationId, unknown>> = {
  updateSession: { description: 'x' },
  messageSession: { text: 'x' },
  decideApproval: { connection_id: uuid, decision: 'approve', reason: 'x' },
  askViewing: { reason: 'x' },
  decideViewing: { decision: 'approve', reason: 'x' },
  giveShare: { share: 'x'.repeat(40) },
  setHold: { reference: 'm', reason: 'x' },
  clearHold: { hold_id: uuid, reason: 'x' },
  eraseSession: { confirm: 'x', reason: 'x' },
  grantRecording: { user_id: 'ada', days: 1, reason: 'x' },
  signRedaction: {
    ...{ reason: 'x', manifest_sha256: hash, boxes: [], spans: [], event_kinds: [], events_removed: [], chunks: [] },
    renderer: {
      ...{ software: 's', rules: 1, h264_decoder: null, width: 2, height: 2, frames_per_second: 1, pointer: true },
      frames: 1,
    },
    files: [],
  },
};

const ofSession = (operation: OperationId, sessionId: string): CallOptions => ({
  params: {
    session_id: sessionId,
    chunk_id: `${sessionId}.000001`,
    keyframe: '1',
    viewing_id: uuid,
    user_id: 'ada',
    token_id: 'x',
  },
  ...(operation in bodies ? { body: bodies[operation] } : {}),
});

/** What an answer says, without what is of this very request and without the id that was asked for. */
const saidBy = ({ status, body }: Answer, sessionId: string): string =>
  JSON.stringify([status, body.error?.code, body.error?.message, body.error?.details]).replaceAll(sessionId, 'ID');

test('every route of a session answers of one that may not be seen what it answers of none', async () => {
  let routes = 0;
  for (const [operation, route] of Object.entries<RestRoute>(restRoutes) as [OperationId, RestRoute][]) {
    const isOfSession = route.path.includes('{session_id}');
    assert.equal(isOfSession, ['view', 'act'].includes(routeScopes[operation]), operation);
    if (!isOfSession) continue;
    routes += 1;
    const hidden = await limited(operation, ofSession(operation, unseen));
    assert.deepEqual([hidden.status, hidden.body.error?.code], [404, 'LUCID_ERR_3001'], operation);
    const nobody = 'there-is-no-such-session';
    const none = await limited(operation, ofSession(operation, nobody));
    assert.equal(saidBy(hidden, unseen), saidBy(none, nobody), operation);
  }
  assert.ok(routes > 40);
  const { session } = await world.deps.storage.getSession({ sessionId: unseen });
  assert.deepEqual(
    [session?.status, session?.version, session?.holds ?? []],
    ['created', 1, []],
    'and changes nothing',
  );
});

test('and of one that may be seen it never says that there is none', async () => {
  for (const operation of Object.keys(restRoutes) as OperationId[]) {
    if (!['view', 'act'].includes(routeScopes[operation]) || operation === 'deleteSession') continue;
    const { body } = await limited(operation, ofSession(operation, seen));
    assert.notEqual(body.error?.code, 'LUCID_ERR_3001', operation);
  }
});

test('what is of the whole installation is refused, whatever the rights', async () => {
  const params = { target_id: 'x', user_id: 'ada', token_id: 'x', rule_id: uuid };
  const rule = {
    ...{ name: 'r', severity: 'low', condition: { kind: 'sessions', more_than: 1, minutes: 1 } },
    ...{ end_session: false, enabled: true },
  };
  const asked: Partial<Record<OperationId, unknown>> = {
    createAlertRule: rule,
    replaceAlertRule: rule,
    createTarget: { name: 'x', rdp_config: { host: 'h' } },
    updateTarget: { version: 1 },
    checkTarget: { host: 'h' },
    createUser: { user_id: 'eve', roles: ['admin'] },
    updateUser: { roles: ['admin'] },
    inviteUser: {},
  };
  let routes = 0;
  for (const operation of Object.keys(restRoutes) as OperationId[]) {
    if (routeScopes[operation] !== 'whole') continue;
    routes += 1;
    const { status, body } = await limited(operation, {
      params,
      ...(operation in asked ? { body: asked[operation] } : {}),
    });
    assert.equal(status, 403, operation);
    assert.match(String(body.error?.message), /of the whole installation/, operation);
  }
  assert.ok(routes > 12);
});

const idsIn = ({ body }: Answer): string[] =>
  (body.recordings as { session_id: string }[]).map(({ session_id }) => session_id).toSorted();
const idsOf = ({ body }: Answer): string[] =>
  (body.sessions as { session_id: string }[]).map(({ session_id }) => session_id).toSorted();

test('lists, counts and statistics know nothing of what is outside', async () => {
  const list = await limited('listSessions', { query: { limit: 100 } });
  assert.ok(idsOf(list).includes(seen) && !idsOf(list).includes(unseen));
  assert.equal((list.body.pagination as { total: number }).total, idsOf(list).length);
  for (const query of [{ search: unseen }, { project: 'other' }, { tag: 'secret' }])
    assert.deepEqual(
      [idsOf(await limited('listSessions', { query })), (await limited('listSessions', { query })).body.pagination],
      [[], { total: 0, limit: 50, offset: 0, has_next: false, has_previous: false }],
      JSON.stringify(query),
    );
  const counted = (await limited('systemStatistics')).body;
  const { sessions_total: total } = counted.system_stats as { sessions_total: number };
  assert.deepEqual([total, counted.storage_stats, counted.performance_stats], [idsOf(list).length, null, null]);
  const whole = (await world.call('systemStatistics')).body;
  assert.ok((whole.system_stats as { sessions_total: number }).sessions_total > total);
  assert.notEqual(whole.storage_stats, null);
  for (const sessionId of [seen, unseen])
    await world.call('setHold', { params: { session_id: sessionId }, body: { reference: 'm', reason: 'r' } });
  assert.deepEqual(idsOf(await limited('listHolds')), [seen]);
  assert.equal((await limited('listHolds', { query: { session_id: unseen } })).status, 404);
  assert.equal((await limited('listAudit')).status, 403);
  assert.equal((await limited('listAudit', { query: { resource_id: unseen } })).status, 404);
  assert.equal((await limited('listAudit', { query: { resource_id: seen } })).status, 200);
  assert.deepEqual((await limited('listAlerts')).body.alerts, []);
  assert.equal((await limited('listAlerts', { query: { session_id: unseen } })).status, 404);
  assert.deepEqual((await limited('listApprovals')).body.approvals, []);
  assert.deepEqual((await limited('listViewings')).body.viewings, []);
});

test('alerts that nobody may see cost a list of them no read each', async () => {
  const { storage } = world.deps;
  const value = {
    ...{ rule_id: uuid, rule_name: 'r', severity: 'low', chunk_index: null, time_us: 0, more: 0, ended_session: false },
    ...{ session_name: 'n', host: 'h', person: null },
  };
  for (let at = 0; at < 120; at++)
    await storage.putEntry({
      ...{ kind: 'alert', id: alertIdOf(1e15 + at, String(at).padStart(16, '0')), version: 1, untilUs: null },
      ...{ owner: at === 0 ? seen : unseen, value: { ...value, at_us: 1e15 + at } },
    });
  const { listEntries, getSession } = storage;
  let reads = 0;
  storage.listEntries = (request) => {
    reads += 1;
    return listEntries.call(storage, request);
  };
  storage.getSession = (request) => {
    reads += 1;
    return getSession.call(storage, request);
  };
  const { body } = await limited('listAlerts', { query: { limit: 1 } });
  Object.assign(storage, { listEntries, getSession });
  assert.deepEqual(
    [(body.alerts as { session_id: string }[]).map(({ session_id }) => session_id), body.next],
    [[seen], null],
  );
  assert.ok(reads < 10, `${reads} reads`);
});

test('the log of a session that was named after an account or a target is not the log of that', async () => {
  const target = await world.call('createTarget', {
    body: { name: 'vault', rdp_config: { host: 'vault.example.org' } },
  });
  const targetId = String(target.body.target_id);
  await person('mallory', ['session_manager', 'auditor']);
  await world.call('updateUser', { params: { user_id: 'mallory' }, body: { scope: scopeOf({ own: true }) } });
  const mallory = new TestBrowser(world);
  assert.equal((await mallory.signIn('mallory')).status, 200);
  for (const id of ['ada', targetId, 'plain']) {
    const body = { session_id: id, name: 'mine', rdp_config: { host: 'h' } };
    assert.equal((await mallory.call('createSession', { body })).status, 201, id);
    const { status, body: log } = await mallory.call('listAudit', { query: { resource_id: id } });
    assert.equal(status, id === 'plain' ? 200 : 404, JSON.stringify(log));
    if (id === 'plain')
      assert.deepEqual(
        (log.events as { event_type: string }[]).map(({ event_type }) => event_type),
        ['session_created'],
      );
  }
});

test('a search across recordings looks into those that may be seen alone', async () => {
  for (const sessionId of [seen, unseen]) {
    const { session } = await world.deps.storage.getSession({ sessionId });
    const { version } = session!;
    await world.deps.storage.replaceSession({
      session: { ...session!, started_at: session!.created_at, version: version + 1 },
      expectedVersion: version,
    });
  }
  const asked = { body: { text: 'needle', inputs: true, reason: 'r' } };
  const found = await limited('searchRecordings', asked);
  assert.deepEqual([found.status, found.body.searched, idsIn(found)], [200, 1, [seen]], JSON.stringify(found.body));
  const all = await world.call('searchRecordings', asked);
  assert.deepEqual(idsIn(all), [seen, unseen].toSorted());
  assert.deepEqual(looked.slice(0, 1), [seen], 'the other one was not even opened');
});

test('a session that is made, imported or changed stays within the scope of who does it', async () => {
  const make = (metadata: object) =>
    limited('createSession', { body: { name: 'n', rdp_config: { host: 'h' }, metadata } });
  assert.equal((await make({ project: 'seen' })).status, 201);
  for (const metadata of [{}, { project: 'other' }, { project: 'Seen' }])
    assert.equal((await make(metadata)).status, 403, JSON.stringify(metadata));
  const moved = await limited('updateSession', {
    params: { session_id: seen },
    body: { metadata: { project: 'other' } },
  });
  assert.equal(moved.status, 403);
  const { session } = await world.deps.storage.getSession({ sessionId: seen });
  assert.equal(session?.metadata.project, 'seen');
});

test('accounts are limited to what is theirs, or has their label or target; both of account and token count', async () => {
  const zoe = await person('zoe', ['session_manager']);
  const set = (scope: object | null) => world.call('updateUser', { params: { user_id: 'zoe' }, body: { scope } });
  const target = await world.call('createTarget', { body: { name: 'T', rdp_config: { host: 't' } } });
  const targetId = String(target.body.target_id);
  const byTarget = String((await world.call('createSession', { body: { target_id: targetId } })).body.session_id);
  const own = String(
    (await zoe.call('createSession', { body: { name: 'mine', rdp_config: { host: 'h' } } })).body.session_id,
  );
  const list = async () => idsOf(await zoe.call('listSessions', { query: { limit: 100 } }));
  const cases: [object, string[]][] = [
    [{ own: true }, [own]],
    [{ labels: ['secret'] }, [unseen]],
    [{ labels: ['SECRET'] }, []],
    [{ targets: [targetId] }, [byTarget]],
    [{ own: true, labels: ['secret'] }, [own, unseen]],
    [{}, []],
  ];
  for (const [scope, expected] of cases) {
    assert.equal((await set(scopeOf(scope))).status, 200);
    assert.deepEqual(await list(), expected.toSorted(), JSON.stringify(scope));
    for (const sessionId of [own, unseen, byTarget])
      assert.equal(
        (await zoe.call('getSession', { params: { session_id: sessionId } })).status,
        expected.includes(sessionId) ? 200 : 404,
        `${JSON.stringify(scope)} ${sessionId}`,
      );
  }
  await set(scopeOf({ own: true, labels: ['secret'] }));
  const { body } = await zoe.call('createToken', {
    body: { name: 't', days: 1, scope: scopeOf({ labels: ['secret'] }) },
  });
  const byToken = await world.call('listSessions', {
    roles: null,
    headers: { authorization: `Bearer ${String(body.token)}` },
  });
  assert.deepEqual(idsOf(byToken), [unseen]);
  await set(scopeOf({ own: true }));
  const less = await world.call('listSessions', {
    roles: null,
    headers: { authorization: `Bearer ${String(body.token)}` },
  });
  assert.deepEqual(idsOf(less), [], 'a token sees no more than its owner');
  const refused = await world.call('updateUser', { params: { user_id: 'zoe' }, body: { roles: ['admin'] } });
  assert.deepEqual(
    [refused.status, refused.body.error?.code],
    [400, 'LUCID_ERR_3002'],
    'an administrator is not limited',
  );
  await set(null);
  assert.ok((await list()).length > 3);
});

test('targets are seen as far as the scope reaches them', async () => {
  const otto = await person('otto', ['session_manager']);
  const make = async (name: string, metadata: object) =>
    String((await world.call('createTarget', { body: { name, metadata, rdp_config: { host: 'h' } } })).body.target_id);
  const [inside, outside] = [await make('Inside', { project: 'p7' }), await make('Outside', { project: 'p8' })];
  await world.call('updateUser', { params: { user_id: 'otto' }, body: { scope: scopeOf({ projects: ['p7'] }) } });
  const { body } = await otto.call('listTargets', { query: { limit: 200 } });
  assert.deepEqual(
    (body.targets as { name: string }[]).map(({ name }) => name),
    ['Inside'],
  );
  assert.equal((await otto.call('getTarget', { params: { target_id: outside } })).status, 404);
  assert.equal((await otto.call('createSession', { body: { target_id: outside } })).status, 404);
  assert.equal((await otto.call('createSession', { body: { target_id: inside } })).status, 201);
});

test('a grant shows one recording and nothing more, until it ends or is taken back, and stands in the audit log', async () => {
  const mia = await person('mia', ['session_manager', 'auditor']);
  await world.call('updateUser', { params: { user_id: 'mia' }, body: { scope: scopeOf({ own: true }) } });
  const params = { session_id: unseen };
  const grant = (body: object) => world.call('grantRecording', { params, body });
  assert.equal((await grant({ user_id: 'nobody', days: 1, reason: 'x' })).status, 404);
  assert.equal((await grant({ user_id: 'mia', days: 366, reason: 'x' })).status, 400);
  const given = await grant({ user_id: 'mia', days: 7, reason: 'case 12' });
  assert.deepEqual([given.status, given.body.user_id, given.body.granted_by], [201, 'mia', 'ada']);
  assert.deepEqual(idsOf(await mia.call('listSessions', { query: { limit: 100 } })), [unseen]);
  for (const operation of Object.keys(restRoutes) as OperationId[]) {
    const rule = routeScopes[operation];
    if (rule !== 'view' && rule !== 'act') continue;
    const { status, body } = await mia.call(operation, ofSession(operation, unseen));
    const isHidden = body.error?.code === 'LUCID_ERR_3001';
    // Without the right it is forbidden, as ever.
    if (status !== 403) assert.equal(isHidden, rule === 'act', `${operation} ${status}`);
  }
  // Granted again it ends later, and is one all the same.
  await grant({ user_id: 'mia', days: 30, reason: 'case 12 goes on' });
  const listed = await world.call('listGrants', { params });
  const grants = listed.body.grants as { user_id: string; reason: string; expires_at: string }[];
  assert.deepEqual(
    grants.map(({ user_id, reason }) => [user_id, reason]),
    [['mia', 'case 12 goes on']],
  );
  clock.aheadUs = 30 * 86_400_000_000 + 1_000_000;
  assert.ok(Date.parse(grants[0]!.expires_at) * 1000 < world.deps.nowUs());
  const again = await mia.signIn('mia');
  assert.equal(again.status, 200);
  assert.deepEqual(idsOf(await mia.call('listSessions')), [], 'it ended');
  await grant({ user_id: 'mia', days: 1, reason: 'once more' });
  assert.equal((await mia.call('getSession', { params })).status, 200);
  const path = { session_id: unseen, user_id: 'mia' };
  assert.equal((await world.call('revokeGrant', { params: path })).status, 200);
  assert.equal((await mia.call('getSession', { params })).status, 404);
  assert.equal((await world.call('revokeGrant', { params: path })).body.error?.code, 'LUCID_ERR_3024');
  const { events } = await world.deps.storage.listAudit({ resourceId: unseen, limit: 1000, offset: 0 });
  const told = events.filter(({ eventType }) => eventType.startsWith('recording_grant')).toReversed();
  assert.deepEqual(
    told.filter(({ success }) => success).map(({ eventType, details }) => [eventType, details.user, details.reason]),
    [
      ['recording_granted', 'mia', 'case 12'],
      ['recording_granted', 'mia', 'case 12 goes on'],
      ['recording_granted', 'mia', 'once more'],
      ['recording_grant_revoked', 'mia', undefined],
    ],
  );
});
