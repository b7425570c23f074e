/** Credentials for a target go in and never come out: not of any route, the audit log, a line of the log or an error. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type OperationId, openApiDocument, type RestRoute, restRoutes } from '@lucid-sessions/contract';
import { tokenSha256 } from '@lucid-sessions/pipeline';
import { type ApiWorld, apiWorld } from './world.ts';

let world: ApiWorld;
before(async () => {
  world = await apiWorld();
});
after(() => world.dispose());

const username = 'svc-hidden-user';
const password = 'n0body-sees-Pässword';
const given = { username, domain: 'CORP', password };

/** The name is none: who had the gateway log on as whom goes to the audit log. */
const inAnyForm = [
  ...[Buffer.from(password), Buffer.from(password, 'utf16le')],
  ...[JSON.stringify(password).slice(1, -1), encodeURIComponent(password)].map((text) => Buffer.from(text)),
  Buffer.from(Buffer.from(password).toString('base64').slice(0, -4)),
];
function assertNowhere(bytes: Uint8Array, where: string): void {
  for (const form of inAnyForm) assert.equal(Buffer.from(bytes).includes(form), false, `${where} holds a secret`);
}

/** Connects by the session's token, records a chunk and ends. */
async function record(sessionId: string): Promise<void> {
  const { pipeline, storage, nowUs } = world.deps;
  await storage.setRouteToken({ sessionId, tokenSha256: tokenSha256('its token') });
  const addresses = { connectionId: `of ${sessionId}`, clientAddress: '10.0.0.1:1', recorderId: 'r' };
  const route = { kind: 'token', token: 'its token' } as const;
  assert.equal((await pipeline.find({ ...addresses, route, clientName: null })).found, true);
  const { credentials } = await pipeline.targetCredentials(addresses);
  assert.deepEqual(credentials, given);
  assert.equal((await pipeline.admit(addresses)).admitted, true);
  await pipeline.report({ kind: 'started', sessionId, atUs: nowUs(), ...addresses, targetAddress: '10.0.0.2:3389' });
  await world.seal(sessionId, 0, true);
  const end = { atUs: nowUs(), reason: 'client_disconnected', message: 'bye', failed: false } as const;
  const statistics = { framesCount: 1, relayedBytes: 1, framesDropped: 0, errorsCount: 0, durationUs: 1 };
  await pipeline.report({ kind: 'ended', sessionId, ...end, statistics: { ...statistics, updatesCount: 1 } });
  await pipeline.report({ kind: 'drained', sessionId, chunksCount: 1 });
  await world.until(sessionId, 'completed');
}

/** Every route that reads, with whatever it takes. */
async function readEverything(sessionId: string): Promise<number> {
  let answered = 0;
  for (const [operation, route] of Object.entries(restRoutes) as [OperationId, RestRoute][]) {
    // It goes on as long as somebody looks.
    if (route.method !== 'GET' || operation === 'liveSession') continue;
    const params = { session_id: sessionId, chunk_id: `${sessionId}.000001`, keyframe: '1' };
    const { status, bytes } = await world.call(operation, { params });
    assertNowhere(bytes, `${operation} (${status})`);
    if (status < 400) answered += 1;
  }
  return answered;
}

test('no route that reads gives anything of them back, before and after the session', async () => {
  const created = await world.call('createSession', {
    body: {
      ...{ session_id: 'secretive', name: 'n', rdp_config: { host: 'desk.example', username: 'alice' } },
      target_credentials: given,
    },
  });
  assert.equal(created.status, 201);
  assert.equal(created.body.credentials, 'injected');
  assertNowhere(created.bytes, 'the answer');
  const started = await world.call('startSession', {
    params: { session_id: 'secretive' },
    body: { target_credentials: given },
  });
  assert.equal(started.status, 200);
  assertNowhere(started.bytes, 'the answer');
  assert.ok((await readEverything('secretive')) > 5);
  await record('secretive');
  assert.ok((await readEverything('secretive')) > 12);
  const { events } = await world.deps.storage.listAudit({ limit: 1000, offset: 0 });
  const { records } = await world.deps.storage.getRecords({ sessionId: 'secretive' });
  assertNowhere(Buffer.from(JSON.stringify([events, world.lines, world.failures])), 'audit or log');
  for (const { kind, record: signed } of records) assertNowhere(signed, `the ${kind} record`);
});

test('what is wrong with them is named, and not repeated', async () => {
  const wrong: [unknown, RegExp][] = [
    [{ ...given, password: '' }, /target_credentials/],
    [{ ...given, password: `${password}\0` }, /one line of text/],
    [{ ...given, password: password.padEnd(256, 'x') }, /target_credentials/],
    [{ ...given, password: `${password}\ud800` }, /must be text/],
    [{ ...given, username: `${username}\n` }, /one line of text/],
    [{ ...given, domain: password.padEnd(256, 'x') }, /target_credentials/],
    [{ ...given, keep: password }, /target_credentials/],
    [{ ...given, more: password }, /target_credentials/],
    [{ provider: password }, /target_credentials/],
    [{ provider: 'vault', mount: 'secret', path: `../${password}` }, /target_credentials/],
    [{ provider: 'vault', mount: 'secret', path: 'a//b' }, /path in Vault/],
    [password, /target_credentials/],
    [{ provider: 'vault', mount: 'secret', path: 'rdp/one' }, /not set up to ask a Vault/],
    [{ password }, /say who is to log on/],
  ];
  const params = { session_id: await world.create({ rdp_config: { host: 'h' } }) };
  for (const [target_credentials, message] of wrong) {
    const bodies = [
      await world.call('createSession', { body: { name: 'n', rdp_config: { host: 'h' }, target_credentials } }),
      await world.call('startSession', { params, body: { target_credentials } }),
    ];
    for (const { status, body, bytes } of bodies) {
      assert.deepEqual([status, body.error?.code], [400, 'LUCID_ERR_3002'], JSON.stringify(target_credentials));
      assert.match(body.error?.message ?? '', message);
      assertNowhere(bytes, 'the error');
    }
  }
  assertNowhere(Buffer.from(JSON.stringify([world.lines, world.failures])), 'the log');
});

test('names come from the request, else from the session; a domain may stand in the name', async () => {
  const cases: [Record<string, string>, Record<string, string>, string, string][] = [
    [{ username: 'alice', domain: 'HOME' }, {}, 'alice', 'HOME'],
    [{ username: 'alice', domain: 'HOME' }, { username: 'bob' }, 'bob', 'HOME'],
    [{ username: 'alice', domain: 'HOME' }, { username: 'CORP\\bob' }, 'bob', 'CORP'],
    [{ username: 'alice', domain: 'HOME' }, { username: 'bob@corp.example' }, 'bob@corp.example', ''],
    [{ username: 'CORP\\alice' }, { domain: '' }, 'CORP\\alice', ''],
  ];
  for (const [at, [rdp, named, user, domain]] of cases.entries()) {
    const sessionId = await world.create({
      session_id: `named-${at}`,
      rdp_config: { host: 'h', ...rdp },
      target_credentials: { ...named, password },
    });
    await world.deps.storage.setRouteToken({ sessionId, tokenSha256: tokenSha256(`t${at}`) });
    const route = { kind: 'token', token: `t${at}` } as const;
    const connection = { connectionId: `c${at}`, clientAddress: 'a', clientName: null, recorderId: 'r' };
    await world.deps.pipeline.find({ ...connection, route });
    const { credentials } = await world.deps.pipeline.targetCredentials(connection);
    assert.deepEqual(credentials, { username: user, domain, password });
  }
});

test('a session with credentials leads to no other target, and says what it does with a client’s own', async () => {
  const params = { session_id: await world.create({ target_credentials: given }) };
  for (const change of [
    ...[{ host: 'evil.example' }, { port: 3390 }, { ignore_cert: true }],
    ...[{ preconnection_blob: 'another machine' }, { legacy_tls: true }],
  ]) {
    const { status, body } = await world.call('updateSession', { params, body: { rdp_config: change } });
    assert.deepEqual([status, body.error?.code], [409, 'LUCID_ERR_3004']);
  }
  const renamed = await world.call('updateSession', { params, body: { rdp_config: { username: 'carol' } } });
  assert.equal(renamed.status, 200);
  const once = await world.create({ target_credentials: { ...given, keep: 'once' } });
  const { body } = await world.call('getSession', { params: { session_id: once } });
  assert.equal((body.recording_config as { reconnect_seconds: number }).reconnect_seconds, 0);
  const own = { params: { session_id: await world.create({ target_credentials: { provider: 'client' } }) } };
  assert.equal((await world.call('getSession', own)).body.credentials, 'client');
  const none = { params: { session_id: await world.create() } };
  assert.equal((await world.call('getSession', none)).body.credentials, 'none');
});

test('the audit log says that credentials came, and from where', async () => {
  const params = { session_id: await world.create() };
  await world.call('startSession', { params, body: { target_credentials: given } });
  const { events } = await world.deps.storage.listAudit({ resourceId: params.session_id, limit: 10, offset: 0 });
  const started = events.find(({ eventType }) => eventType === 'session_started');
  assert.deepEqual((started?.details.changes as Record<string, unknown> | undefined)?.credentials, {
    from: 'none',
    to: 'injected',
  });
  assert.deepEqual(started?.details.credentials, { source: 'injected', username, domain: 'CORP' });
});

test('the OpenAPI document marks them as write-only, and has no example of one', () => {
  const document = openApiDocument('0') as {
    paths: Record<string, { post?: { requestBody: { content: Record<string, { schema: object }> } } }>;
  };
  for (const path of ['/api/v1/sessions', '/api/v1/sessions/{session_id}/start']) {
    const request = JSON.stringify(document.paths[path]?.post?.requestBody.content['application/json']?.schema);
    const password = request.slice(request.indexOf('"password":{'), request.indexOf('"keep":'));
    assert.match(password, /"writeOnly":true/);
    assert.match(request, /"provider":.*\],"writeOnly":true/);
  }
  assert.doesNotMatch(JSON.stringify(document), /"examples?":/);
});
