/** Targets over HTTP: kept, shown, connected to. The recorder answers as the test says. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { entryKinds } from '@lucid-sessions/contract';
import { type ApiWorld, apiWorld, type CallOptions, token } from './world.ts';

let world: ApiWorld;
before(async () => {
  world = await apiWorld();
});
after(() => world.dispose());

const pin = 'ab'.repeat(32);
const body = (name: string, more: Record<string, unknown> = {}) => ({
  name,
  rdp_config: { host: `${name.toLowerCase().replaceAll(' ', '-')}.example`, pinned_sha256: pin },
  ...more,
});

const as = async (roles: readonly string[], user: string): Promise<Pick<CallOptions, 'headers' | 'roles'>> => ({
  roles: null,
  headers: { authorization: `Bearer ${await token(roles, { user_id: user })}` },
});

async function made(name: string, more: Record<string, unknown> = {}): Promise<{ id: string; version: number }> {
  const { status, body: target } = await world.call('createTarget', { body: body(name, more) });
  assert.equal(status, 201, JSON.stringify(target));
  return { id: String(target.target_id), version: Number(target.version) };
}

const connect = (
  targetId: string,
  more: Record<string, unknown> = {},
  who: Pick<CallOptions, 'headers' | 'roles'> = {},
) => world.call('createSession', { body: { target_id: targetId, ...more }, ...who });

test('a target is made, read, changed at its version and removed, and every change stands in the audit log', async () => {
  const { id, version } = await made('Billing', { metadata: { project: 'p', tags: ['db'] }, description: 'd' });
  assert.equal(version, 1);
  const params = { target_id: id };
  const read = await world.call('getTarget', { params });
  assert.deepEqual(
    [read.body.name, (read.body.rdp_config as { port: number }).port, read.body.may_connect, read.body.connect],
    ['Billing', 3389, true, null],
  );
  const changed = await world.call('updateTarget', { params, body: { version: 1, name: 'Billing 2' } });
  assert.deepEqual([changed.status, changed.body.version, changed.body.description], [200, 2, 'd']);
  const late = await world.call('updateTarget', { params, body: { version: 1, name: 'x' } });
  assert.deepEqual([late.status, late.body.error?.code], [409, 'LUCID_ERR_3020']);
  assert.equal((await world.call('removeTarget', { params, query: { version: 1 } })).status, 409);
  assert.equal((await world.call('removeTarget', { params, query: { version: 2 } })).status, 200);
  for (const operation of ['getTarget', 'removeTarget'] as const)
    assert.equal((await world.call(operation, { params })).body.error?.code, 'LUCID_ERR_3024');
  const { events } = await world.deps.storage.listAudit({ resourceId: id, limit: 100, offset: 0 });
  assert.deepEqual(events.map(({ eventType, success }) => `${eventType} ${success}`).toReversed(), [
    ...['target_created true', 'target_updated true', 'target_updated false'],
    ...['target_removed false', 'target_removed true', 'target_removed false'],
  ]);
  assert.deepEqual(
    events.find(({ eventType, success }) => eventType === 'target_updated' && success)?.details.changes,
    {
      name: { from: 'Billing', to: 'Billing 2' },
    },
  );
});

test('no two targets have one name, however it is written, and a name that is given up is free', async () => {
  const { id } = await made('Payroll');
  for (const name of ['Payroll', ' payroll ', 'ＰＡＹＲＯＬＬ'])
    assert.deepEqual((await world.call('createTarget', { body: body('x', { name }) })).status, 409, name);
  const all = await Promise.all(Array.from({ length: 5 }, () => world.call('createTarget', { body: body('Race') })));
  assert.deepEqual(all.map(({ status }) => status).toSorted(), [201, 409, 409, 409, 409]);
  const other = await made('Other');
  const taken = await world.call('updateTarget', {
    params: { target_id: other.id },
    body: { version: 1, name: 'PAYROLL' },
  });
  assert.equal(taken.status, 409);
  const params = { target_id: id };
  // Its own name in other letters is its own.
  assert.equal((await world.call('updateTarget', { params, body: { version: 1, name: 'PAYROLL' } })).status, 200);
  assert.equal((await world.call('updateTarget', { params, body: { version: 2, name: 'Wages' } })).status, 200);
  await made('Payroll');
  const twice = await world.call('createTarget', { body: body('Third', { target_id: id }) });
  assert.equal(twice.status, 409);
  await made('Third');
});

test('lists go by name, page and search', async () => {
  const own = await apiWorld();
  for (const name of ['c', 'A', 'b', 'D'])
    await own.call('createTarget', { body: body(name, { metadata: { tags: [`tag-${name}`], project: 'lists' } }) });
  const names: string[] = [];
  for (let after = ''; ; ) {
    const page = await own.call('listTargets', { query: { limit: 3, ...(after === '' ? {} : { after }) } });
    names.push(...(page.body.targets as { name: string }[]).map(({ name }) => name));
    if (page.body.next === null) break;
    after = String(page.body.next);
  }
  assert.deepEqual(names, ['A', 'b', 'c', 'D']);
  const found = await own.call('listTargets', { query: { search: 'TAG-B' } });
  assert.deepEqual(
    (found.body.targets as { name: string }[]).map(({ name }) => name),
    ['b'],
  );
  await own.dispose();
});

test('a session is made by connecting: address, pin and policy are the target’s', async () => {
  const { id } = await made('Ledger', {
    rdp_config: { host: 'ledger.example', port: 3390, pinned_sha256: pin, channels: { clipboard: 'off' } },
    recording_config: { approval: true, viewing: 'reason', graphics: 'classic' },
    storage_config: { retention_days: 90 },
    metadata: { project: 'finance', tags: ['ledger'] },
  });
  const { status, body: session } = await connect(id, { metadata: { project: 'mine', owner: 'o', tags: ['mine'] } });
  assert.equal(status, 201);
  const {
    rdp_config: rdp,
    recording_config: recording,
    storage_config: storage,
    metadata,
  } = session as Record<string, Record<string, unknown>>;
  assert.deepEqual(
    [session.target_id, session.target_version, rdp?.host, rdp?.port, rdp?.pinned_sha256, rdp?.channels],
    [id, 1, 'ledger.example', 3390, pin, { clipboard: 'off' }],
  );
  assert.deepEqual(
    [recording?.approval, recording?.viewing, recording?.graphics, storage?.retention_days],
    [...[true, 'reason', 'classic', 90]],
  );
  assert.deepEqual(metadata, { project: 'finance', owner: 'o', tags: ['ledger', 'mine'] });
  assert.match(String(session.name), /^Ledger \d{4}-/);
  const params = { session_id: String(session.session_id) };
  for (const field of ['rdp_config', 'recording_config', 'storage_config']) {
    const { status: refused, body: answer } = await connect(id, {
      [field]: field === 'rdp_config' ? { host: 'x' } : {},
    });
    assert.deepEqual([refused, answer.error?.code], [400, 'LUCID_ERR_3002'], field);
  }
  for (const change of [
    { rdp_config: { port: 3389 } },
    { recording_config: { approval: false } },
    { storage_config: { encryption_enabled: false } },
    { metadata: { project: 'mine' } },
  ])
    assert.equal((await world.call('updateSession', { params, body: change })).status, 409, JSON.stringify(change));
  const shorter = await world.call('updateSession', {
    params,
    body: { storage_config: { retention_days: 1 } },
    roles: ['session_manager'],
  });
  assert.equal(shorter.status, 403);
  // A target that goes leaves its sessions as they are.
  await world.call('removeTarget', { params: { target_id: id } });
  const read = await world.call('getSession', { params });
  assert.deepEqual([read.body.target_id, read.body.status], [id, 'created']);
  assert.equal((await connect(id)).status, 404);
});

test('credentials are kept by reference: sealed, used in every session, shown to nobody', async () => {
  const secret = 'hunter2 of the target';
  const { id } = await made('Vaulted', { target_credentials: { username: 'CORP\\svc', password: secret } });
  const read = await world.call('getTarget', { params: { target_id: id } });
  assert.deepEqual(read.body.credentials, { source: 'injected', username: 'svc', domain: 'CORP' });
  const { body: session } = await connect(id);
  assert.equal(session.credentials, 'injected');
  const own = await connect(id, { target_credentials: { username: 'me', password: 'mine' } });
  assert.equal(own.status, 400);
  const sessionId = String(session.session_id);
  const instead = await world.call('startSession', {
    params: { session_id: sessionId },
    body: { target_credentials: { username: 'me', password: 'mine' } },
  });
  assert.equal(instead.status, 409);
  const { token: route } = await world.deps.pipeline.issueBrowserToken({ sessionId, userId: 'ada' });
  const found = await world.deps.pipeline.find({
    ...{ connectionId: 'c-1', clientAddress: '10.0.0.1:1', clientName: null, recorderId: 'r' },
    route: { kind: 'browser', token: route },
  });
  assert.equal(found.found, true);
  const { credentials } = await world.deps.pipeline.targetCredentials({ connectionId: 'c-1' });
  assert.deepEqual(credentials, { username: 'svc', domain: 'CORP', password: secret });
  // To another host they do not go along.
  const params = { target_id: id };
  const rdp_config = { host: 'elsewhere.example' };
  assert.equal((await world.call('updateTarget', { params, body: { version: 1, rdp_config } })).status, 400);
  const bare = await world.call('updateTarget', {
    params,
    body: { version: 1, rdp_config, target_credentials: null },
  });
  assert.deepEqual(bare.body.credentials, { source: 'none' });
  assert.equal((await connect(id)).body.credentials, 'none');
  const kept: unknown[] = [(await world.deps.storage.listAudit({ limit: 1000, offset: 0 })).events, world.lines];
  for (const kind of entryKinds)
    kept.push((await world.deps.storage.listEntries({ kind, after: '', limit: 1000 })).entries);
  assert.doesNotMatch(JSON.stringify([kept, world.failures]), /hunter2/);
});

test('who may connect: by default who may make sessions, else who is named; nobody else learns that it is there', async () => {
  const open = await made('For all');
  const some = await made('For some', { connect: { roles: ['session_operator'], users: ['zoe'] } });
  const callers: [roles: string[], user: string, open: number, some: number][] = [
    [['admin'], 'ada', 201, 403],
    [['session_manager'], 'mia', 201, 403],
    [['session_manager'], 'zoe', 201, 201],
    [['session_operator'], 'otto', 404, 201],
    // Without the right to connect a name alone is not enough.
    [['session_viewer'], 'zoe', 403, 403],
    [['auditor'], 'zoe', 403, 403],
  ];
  for (const [roles, user, ofOpen, ofSome] of callers) {
    const who = await as(roles, user);
    assert.equal((await connect(open.id, {}, who)).status, ofOpen, `${roles} ${user} open`);
    assert.equal((await connect(some.id, {}, who)).status, ofSome, `${roles} ${user} some`);
  }
  const otto = await as(['session_operator'], 'otto');
  const listed = await world.call('listTargets', otto);
  assert.deepEqual(
    (listed.body.targets as { name: string }[]).map(({ name }) => name),
    ['For some'],
  );
  assert.equal((await world.call('getTarget', { params: { target_id: open.id }, ...otto })).status, 404);
  const auditor = await world.call('listTargets', { query: { limit: 200 }, ...(await as(['auditor'], 'eve')) });
  const seen = auditor.body.targets as { name: string; may_connect: boolean }[];
  assert.ok(seen.length > 1 && seen.every(({ may_connect }) => !may_connect));
  // An operator makes no session without a target.
  const free = await world.call('createSession', { body: { name: 'n', rdp_config: { host: 'h' } }, ...otto });
  assert.deepEqual([free.status, free.body.error?.code], [403, 'LUCID_ERR_3012']);
});

test('where only listed targets are open nothing else is, neither at first nor by a change', async () => {
  const listed = await apiWorld({ targets: 'listed' });
  const refused = await listed.call('createSession', { body: { name: 'n', rdp_config: { host: 'h' } } });
  assert.deepEqual([refused.status, /LUCID_TARGETS/.test(String(refused.body.error?.message))], [403, true]);
  const { body: target } = await listed.call('createTarget', { body: body('Only') });
  const { status } = await listed.call('createSession', { body: { target_id: target.target_id } });
  assert.equal(status, 201);
  assert.equal((await listed.call('listTargets')).body.free_addresses, false);
  await listed.dispose();
});

test('a certificate is asked for where sessions may lead, and what came of it is said', async () => {
  const certificate = {
    ...{ sha256: pin, subject: 'CN=desk', issuer: 'CN=desk', fromUs: 0, toUs: 1_000_000, tls: 'TLSv1.3' },
    ...{ trusted: false, problem: 'it is self-signed' },
  };
  const asked: unknown[] = [];
  const own = await apiWorld(
    {},
    {
      recorder: {
        ...world.recorder,
        judgeTarget: async ({ host }) => ({ open: host !== 'closed.example' }),
        checkTarget: async (request) => {
          asked.push(request);
          return request.host === 'silent.example'
            ? { message: 'it did not answer in time', address: null, certificate: null }
            : { message: 'it answered', address: '10.0.0.9', certificate };
        },
      },
    },
  );
  const check = (host: string) => own.call('checkTarget', { body: { host } });
  const found = await check('desk.example');
  assert.deepEqual(
    [found.body.reached, (found.body.certificate as { valid_to: string }).valid_to],
    [true, '1970-01-01T00:00:01.000Z'],
  );
  const silent = await check('silent.example');
  assert.deepEqual([silent.body.reached, silent.body.message], [false, 'it did not answer in time']);
  assert.equal((await check('closed.example')).status, 400);
  assert.deepEqual(asked.length, 2, 'what is closed is not dialled');
  const { events } = await own.deps.storage.listAudit({ eventType: 'target_checked', limit: 10, offset: 0 });
  assert.deepEqual(events.map(({ success, details }) => [success, details.host, details.sha256 ?? null]).toReversed(), [
    [true, 'desk.example', pin],
    [true, 'silent.example', null],
    [false, 'closed.example', null],
  ]);
  await own.dispose();
});

test('who came is what is known of them, not what their client says', async () => {
  const sessionId = await world.create();
  await world.connect(sessionId);
  await world.deps.pipeline.report({
    ...{ kind: 'client', sessionId, atUs: 1, clientName: 'LAPTOP', clientUser: 'the boss' },
  });
  const byName = await world.call('getSession', { params: { session_id: sessionId } });
  assert.deepEqual([byName.body.came_by, byName.body.client_user], [{ way: 'name', user: null }, 'the boss']);
  const second = await world.create();
  const { token: route } = await world.deps.pipeline.issueBrowserToken({ sessionId: second, userId: 'zoe' });
  const connection = { connectionId: 'by-browser', clientAddress: '10.0.0.1:1', clientName: null, recorderId: 'r' };
  const found = await world.deps.pipeline.find({ ...connection, route: { kind: 'browser', token: route } });
  assert.equal(found.found, true);
  assert.equal((await world.deps.pipeline.admit({ connectionId: 'by-browser' })).admitted, true);
  const byBrowser = await world.call('getSession', { params: { session_id: second } });
  assert.deepEqual(byBrowser.body.came_by, { way: 'browser', user: 'zoe' });
});
