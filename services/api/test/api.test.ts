import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ApiConfig, authenticator, MemoryRateLimiter, readApiEnv } from '@lucid-sessions/api';
import {
  basePath,
  chunkIdOf,
  isPermitted,
  LucidError,
  type OperationId,
  openApiDocument,
  type RestRoute,
  rateLimitsPerMinute,
  restRoutes,
  roles,
} from '@lucid-sessions/contract';
import {
  memoryBundle,
  merkleRoot,
  openTar,
  parsePolicy,
  verifyBundle,
  verifyInclusion,
} from '@lucid-sessions/evidence';
import { EnvironmentError } from '@lucid-sessions/kit';
import { exportJWK, SignJWT } from 'jose';
import { type ApiWorld, apiWorld, jwtSecret, token } from './world.ts';

let world: ApiWorld;
let recorded: string;
before(async () => {
  world = await apiWorld();
  recorded = await world.record();
});
after(() => world.dispose());

const at = (sessionId: string, chunkId = chunkIdOf(sessionId, 0)) => ({
  params: { session_id: sessionId, chunk_id: chunkId },
});

test('a session is created with the defaults of the contract and read back', async () => {
  const body = {
    session_id: 'my_session-1',
    name: 'Morning shift',
    rdp_config: { host: 'desk.example', username: 'alice', password: 'hunter2 is secret' },
    metadata: { project: 'p', environment: 'prod', tags: ['a'], owner: 'o', priority: 'high' },
  };
  const created = await world.call('createSession', { body });
  assert.equal(created.status, 201);
  const session = created.body;
  assert.deepEqual(
    [session.status, session.created_by, session.session_id, session.started_at],
    ['created', 'ada', 'my_session-1', null],
  );
  assert.deepEqual(session.rdp_config, {
    host: 'desk.example',
    port: 3389,
    username: 'alice',
    use_tls: true,
    ignore_cert: false,
  });
  const read = await world.call('getSession', { params: { session_id: 'my_session-1' } });
  assert.deepEqual(read.body, session);
  assert.equal(session.recording_url, 'https://console.example/sessions/my_session-1');

  const again = await world.call('createSession', { body });
  assert.deepEqual([again.status, again.body.error?.code], [409, 'LUCID_ERR_3003']);
});

test('a password leaves no trace', async () => {
  const sessionId = await world.create({ rdp_config: { host: 'h', password: 'hunter2 is secret' } });
  const { session } = await world.deps.storage.getSession({ sessionId });
  const { events } = await world.deps.storage.listAudit({ limit: 1000, offset: 0 });
  for (const kept of [session, events, world.lines, world.failures])
    assert.doesNotMatch(JSON.stringify(kept), /hunter2/);
});

test('bodies are checked field by field, and what was wrong is named without being repeated', async () => {
  const good = { name: 'n', rdp_config: { host: 'h' } };
  const wrong: [unknown, string][] = [
    [{}, 'body.name'],
    [{ ...good, name: '' }, 'body.name'],
    [{ ...good, name: 'x'.repeat(256) }, 'body.name'],
    [{ ...good, session_id: 'a b' }, 'body.session_id'],
    [{ ...good, description: 'x'.repeat(501) }, 'body.description'],
    [{ ...good, unknown: 1 }, 'body'],
    [{ ...good, rdp_config: { host: 'a b' } }, 'body.rdp_config.host'],
    [{ ...good, rdp_config: { host: 'h', port: 0 } }, 'body.rdp_config.port'],
    [{ ...good, rdp_config: { host: 'h', extra: 'hunter2' } }, 'body.rdp_config'],
    [{ ...good, recording_config: { frame_rate: 121 } }, 'body.recording_config.frame_rate'],
    [{ ...good, recording_config: { resolution: '100x100' } }, 'body.recording_config.resolution'],
    [{ ...good, storage_config: { retention_days: 36_501 } }, 'body.storage_config.retention_days'],
    [{ ...good, storage_config: { max_size_gb: 1001 } }, 'body.storage_config.max_size_gb'],
    [{ ...good, metadata: { tags: Array(11).fill('t') } }, 'body.metadata.tags'],
    [[], 'body'],
    ['hunter2', 'body'],
  ];
  for (const [body, field] of wrong) {
    const { status, body: answer } = await world.call('createSession', { body });
    assert.deepEqual([status, answer.error?.code], [400, 'LUCID_ERR_3002'], JSON.stringify(body));
    const { issues } = answer.error!.details as { issues: { field: string }[] };
    assert.equal(issues[0]?.field, field);
    assert.doesNotMatch(JSON.stringify(answer), /hunter2/);
  }
  const edges = await world.call('createSession', {
    body: {
      name: 'x'.repeat(255),
      description: 'x'.repeat(500),
      rdp_config: { host: '[2001:db8::1]', port: 65535 },
      recording_config: { resolution: '7680x4320', frame_rate: 120, bitrate: 50_000_000 },
      storage_config: { retention_days: 36_500, max_size_gb: 1000 },
    },
  });
  assert.equal(edges.status, 201);
});

test('text that no database takes is refused by field, wherever it stands', async () => {
  const { params } = at(recorded);
  for (const bad of ['a\0b', 'a\ud800b']) {
    const calls: [OperationId, Parameters<ApiWorld['call']>[1], string][] = [
      ['listSessions', { query: { search: bad } }, 'query.search'],
      ['listSessions', { query: { user: bad } }, 'query.user'],
      ['createSession', { body: { name: bad, rdp_config: { host: 'h', username: 'u' } } }, 'body.name'],
      ['updateSession', { params, body: { metadata: { tags: ['fine', bad] } } }, 'body.metadata.tags.1'],
    ];
    for (const [operation, options, field] of calls) {
      // An address carries whole characters alone.
      if (options?.query !== undefined && bad.includes('\ud800')) continue;
      const { status, body } = await world.call(operation, options);
      assert.deepEqual([status, body.error?.code], [400, 'LUCID_ERR_3002'], operation);
      assert.match(body.error!.message, new RegExp(`^${field.replaceAll('.', '[.]')}: must be text`));
    }
  }
  const path = await world.call('getUser', { params: { user_id: 'a\0b' } });
  assert.deepEqual([path.status, path.body.error?.code], [404, 'LUCID_ERR_3024']);
});

test('bodies that are no JSON, too long or of another type are refused', async () => {
  const authorization = `Bearer ${await token(['admin'])}`;
  const post = (type: string, body: string) =>
    world.raw(`${basePath}/sessions`, { method: 'POST', headers: { authorization, 'content-type': type }, body });
  const refusals: [string, string, number, string][] = [
    ['application/json', '{', 400, 'LUCID_ERR_3002'],
    ['application/json', '{"__proto__":{"x":1},"name":"n"}', 400, 'LUCID_ERR_3002'],
    ['application/json', '', 400, 'LUCID_ERR_3002'],
    ['application/xml', '<a/>', 415, 'LUCID_ERR_3019'],
    ['application/json', `"${'x'.repeat(70_000)}"`, 413, 'LUCID_ERR_3017'],
  ];
  for (const [type, body, status, code] of refusals) {
    const answer = await post(type, body);
    assert.deepEqual([answer.status, answer.body.error?.code], [status, code], body.slice(0, 40));
  }
});

test('a method that a path does not have is told which it has, whoever asks', async () => {
  const ask = (method: string, path: string) =>
    new Promise<{ status: number; allow: string | undefined; code: string }>((resolve, reject) => {
      const asked = request(world.address + path, { method }, async (answer) => {
        const text = (await answer.toArray()).join('');
        const { error } = JSON.parse(text || '{"error":{"code":""}}') as { error: { code: string } };
        resolve({ status: answer.statusCode ?? 0, allow: answer.headers.allow, code: error.code });
      });
      asked.on('error', reject);
      asked.end();
    });
  const cases: [string, string][] = [
    ['/sessions', 'POST, GET'],
    ['/sessions/some-id', 'GET, PUT, DELETE'],
    ['/sessions/some-id/live', 'GET'],
    ['/health', 'GET'],
  ];
  for (const [path, allow] of cases)
    for (const method of ['PATCH', 'QUERY', 'TRACE', 'OPTIONS'])
      assert.deepEqual(
        await ask(method, basePath + path),
        { status: 405, allow, code: 'LUCID_ERR_3018' },
        `${method} ${path}`,
      );
  assert.equal((await ask('HEAD', `${basePath}/sessions`)).status, 405);
  assert.deepEqual(await ask('TRACE', `${basePath}/nothing`), {
    status: 404,
    allow: undefined,
    code: 'LUCID_ERR_3018',
  });
  assert.equal((await ask('PATCH', '/openapi.json')).allow, 'GET');
});

test('lists page and filter', async () => {
  const project = 'paging';
  for (let index = 0; index < 3; index++) await world.create({ metadata: { project, environment: `e${index}` } });
  const page = await world.call('listSessions', { query: { project, limit: 2, offset: 1 } });
  assert.equal((page.body.sessions as unknown[]).length, 2);
  assert.deepEqual(page.body.pagination, { total: 3, limit: 2, offset: 1, has_next: false, has_previous: true });
  const first = await world.call('listSessions', { query: { project, limit: 2 } });
  assert.deepEqual(first.body.pagination, { total: 3, limit: 2, offset: 0, has_next: true, has_previous: false });
  const one = await world.call('listSessions', { query: { project, environment: 'e1', status: 'created' } });
  assert.equal((one.body.sessions as unknown[]).length, 1);
  const found = await world.call('listSessions', { query: { search: 'desk.EXAMPLE', limit: 1 } });
  assert.equal((found.body.sessions as unknown[]).length, 1);
  const [limit] = [(await world.call('listSessions')).body.pagination as { limit: number }];
  assert.equal(limit.limit, 50);
  for (const query of [
    { limit: 0 },
    { limit: 101 },
    { limit: '1e1' },
    { offset: '' },
    { offset: -1 },
    { status: 'x' },
    { x: 1 },
    { sort: 'colour' },
    { order: 'down' },
    { outcome: 'lost' },
    { replay: 'no' },
    { from: 'yesterday' },
    { to: '2026-01-01' },
    { duration_min: '1.5' },
    { size_max: -1 },
    { user: '' },
    { tag: 'x'.repeat(256) },
  ]) {
    const { status, body } = await world.call('listSessions', { query: query as Record<string, string> });
    assert.deepEqual([status, body.error?.code], [400, 'LUCID_ERR_3002'], JSON.stringify(query));
  }
  const wrong = await world.call('listSessions', { query: { sort: 'colour' } });
  assert.match(JSON.stringify(wrong.body), /created.*duration.*replay/, 'what is allowed is said');
});

test('lists are filtered by who, where, when and what became of it, and sorted', async () => {
  const project = 'found';
  for (const [name, username, tags] of [
    ['B', 'LAB\\cleo', ['Blue']],
    ['a', 'bob', []],
    ['c', 'CLEO', ['blue', 'red']],
  ] as const)
    await world.create({ name, metadata: { project, tags }, rdp_config: { host: 'Desk.example', username } });
  const names = async (query: Record<string, string>) => {
    const { status, body } = await world.call('listSessions', { query: { project, ...query } });
    assert.equal(status, 200, JSON.stringify(body));
    return (body.sessions as { name: string }[]).map(({ name }) => name).join(' ');
  };
  assert.equal(await names({ sort: 'name' }), 'a B c');
  assert.equal(await names({ sort: 'name', order: 'desc' }), 'c B a');
  assert.equal(await names({ user: 'Cleo', sort: 'name' }), 'B c');
  assert.equal(await names({ user: 'lab\\CLEO' }), 'B');
  assert.equal(await names({ user: 'cle' }), '', 'a user is named whole');
  assert.equal(await names({ tag: 'BLUE', sort: 'name', order: 'desc' }), 'c B');
  assert.equal(await names({ target: 'desk.EXAMPLE:3389', tag: 'red' }), 'c');
  assert.equal(await names({ target: 'desk.example:3390' }), '');
  const [one] = (await world.call('listSessions', { query: { project, limit: 1 } })).body.sessions as [
    { created_at: string },
  ];
  const later = new Date(Date.parse(one.created_at) + 3_600_000).toISOString();
  assert.equal(await names({ to: later.replace('Z', '+00:00'), sort: 'name' }), 'a B c');
  assert.equal(await names({ from: later.replace('Z', '-01:00') }), '', 'an offset is reckoned with');
  assert.equal(await names({ duration_max: '0', size_min: '0', sort: 'name' }), 'a B c');
  assert.equal(await names({ outcome: 'whole' }), '');
  assert.equal(await names({ client: '10.1.1.1' }), '');
});

test('a change keeps what it leaves out', async () => {
  const sessionId = await world.create({ storage_config: { retention_days: 9, max_size_gb: 5 }, description: 'd' });
  const changed = await world.call('updateSession', {
    ...at(sessionId),
    body: { storage_config: { retention_days: 8 }, metadata: { owner: 'new' }, rdp_config: { port: 4000 } },
  });
  assert.equal(changed.status, 200);
  const { storage_config, rdp_config, metadata, description } = changed.body as Record<string, Record<string, unknown>>;
  assert.deepEqual([storage_config?.retention_days, storage_config?.max_size_gb], [8, 5]);
  assert.deepEqual(
    [rdp_config?.host, rdp_config?.port, metadata?.owner, description],
    ['desk.example', 4000, 'new', 'd'],
  );
  const cleared = await world.call('updateSession', { ...at(sessionId), body: { description: null, name: 'N' } });
  assert.deepEqual([cleared.body.description, cleared.body.name], [null, 'N']);
  const wrong = await world.call('updateSession', {
    ...at(sessionId),
    body: { storage_config: { retention_days: 0 } },
  });
  assert.equal(wrong.status, 400);
});

test('what is recorded already can not be changed in the middle', async () => {
  for (const body of [
    { rdp_config: { host: 'x' } },
    { recording_config: { frame_rate: 5 } },
    { storage_config: { encryption_enabled: false } },
  ]) {
    const { status, body: answer } = await world.call('updateSession', { ...at(recorded), body });
    assert.deepEqual([status, answer.error?.code], [409, 'LUCID_ERR_3004']);
  }
  assert.equal((await world.call('updateSession', { ...at(recorded), body: { name: 'Renamed' } })).status, 200);
});

test('a document that someone else changes at the same time is a conflict, not a loss', async () => {
  const sessionId = await world.create();
  const { storage } = world.deps;
  const { replaceSession } = storage;
  storage.replaceSession = async (request) => {
    const { session } = await storage.getSession({ sessionId });
    return { replaced: false, current: session === null ? request.session : session };
  };
  const { status, body } = await world.call('updateSession', { ...at(sessionId), body: { name: 'x' } });
  storage.replaceSession = replaceSession;
  assert.deepEqual([status, body.error?.code], [409, 'LUCID_ERR_3020']);
});

test('recording is started, paused, resumed and stopped', async () => {
  const sessionId = await world.create();
  const early = await world.call('pauseSession', at(sessionId));
  assert.deepEqual([early.status, early.body.error?.code], [409, 'LUCID_ERR_3004']);
  const started = await world.call('startSession', at(sessionId));
  assert.deepEqual([started.status, started.body.status], [200, 'starting']);
  await world.connect(sessionId);
  assert.equal((await world.call('pauseSession', at(sessionId))).body.status, 'paused');
  assert.equal((await world.call('resumeSession', at(sessionId))).body.status, 'recording');
  const stopped = await world.call('stopSession', { ...at(sessionId), body: { reason: 'end of shift' } });
  assert.equal(stopped.body.status, 'stopped');
  assert.equal((await world.call('getSession', at(sessionId))).body.end_message, 'end of shift');
  await world.deps.pipeline.report({ kind: 'drained', sessionId, chunksCount: 0 });
  await world.until(sessionId, 'completed');
  const wrong = await world.call('stopSession', { ...at(sessionId), body: { why: 1 } });
  assert.equal(wrong.status, 400);
});

test('commands may come with an empty JSON body, and with none that they do not take', async () => {
  const sessionId = await world.create();
  const headers = { 'content-type': 'application/json' };
  assert.equal((await world.call('startSession', { ...at(sessionId), headers })).status, 200);
  assert.equal((await world.call('startSession', { ...at(sessionId), body: {} })).status, 200);
  assert.equal((await world.call('startSession', { ...at(sessionId), body: { x: 1 } })).status, 400);
  assert.equal((await world.call('getSession', { ...at(sessionId), query: { x: 1 } })).status, 400);
  assert.equal((await world.call('stopSession', at(sessionId))).status, 200);
});

test('a policy of channels is kept with the session, and its .rdp file offers nothing that is refused', async () => {
  const redirections = async (channels: Record<string, unknown>): Promise<string[]> => {
    const id = await world.create({
      rdp_config: { host: 'desk.example', channels },
      recording_config: { audio_enabled: true },
    });
    const { bytes } = await world.call('rdpFile', at(id));
    return new TextDecoder()
      .decode(bytes)
      .split('\r\n')
      .filter((line) => /redirect|audio/.test(line));
  };
  assert.deepEqual(await redirections({ clipboard: 'off' }), ['audiomode:i:0']);
  assert.deepEqual(
    await redirections({ clipboard: 'off', clipboard_files: 'off', drives: false, usb: true, audio: false }),
    ['audiomode:i:2', 'drivestoredirect:s:', 'redirectclipboard:i:0'],
  );
  for (const channels of [{ clipboard: 'up' }, { toys: false }, { deny: ['two words'] }]) {
    const body = { name: 'x', rdp_config: { host: 'desk.example', channels } };
    assert.equal((await world.call('createSession', { body })).status, 400);
  }
});

test('a message is for a session that runs, of text alone, and stands in the audit log', async () => {
  const sessionId = await world.create();
  const send = (body: Record<string, unknown>) => world.call('messageSession', { ...at(sessionId), body });
  for (const body of [{}, { text: '' }, { text: 'bell \u0007' }, { text: 'x'.repeat(501) }, { text: 'x', seconds: 1 }])
    assert.equal((await send(body)).status, 400, JSON.stringify(body));
  assert.equal((await send({ text: 'nobody there' })).status, 409);
  // Nobody is there to read it: it ends at once.
  assert.equal((await world.call('startSession', at(sessionId))).status, 200);
  const stop = { ...at(sessionId), body: { reason: 'six', notice_seconds: 15 } };
  assert.equal((await world.call('stopSession', stop)).status, 200);
  const { events } = await world.deps.storage.listAudit({ resourceId: sessionId, limit: 100, offset: 0 });
  const told = events.filter(({ eventType }) => eventType === 'session_messaged');
  assert.deepEqual(told.map(({ success, details }) => [success, details.text]).at(-1), [false, 'nobody there']);
});

test('an .rdp file leads to the gateway with a fresh secret of which only the hash is kept', async () => {
  const sessionId = await world.create({
    rdp_config: { host: 'desk.example', username: 'alice', domain: 'CORP\r\nfull address:s:evil' },
    recording_config: { resolution: '1280x720' },
  });
  const file = await world.call('rdpFile', at(sessionId));
  assert.equal(file.status, 200);
  assert.equal(file.headers.get('content-disposition'), `attachment; filename="${sessionId}.rdp"`);
  const lines = new TextDecoder().decode(file.bytes).split('\r\n');
  assert.ok(lines.includes('full address:s:gateway.example:3390'));
  assert.ok(lines.includes('autoreconnection enabled:i:1'));
  assert.ok(lines.includes('bitmapcachepersistenable:i:0'));
  assert.ok(lines.includes('username:s:CORPfull address:s:evil\\alice'));
  assert.ok(lines.includes('desktopwidth:i:1280') && lines.includes('desktopheight:i:720'));
  const cookie = lines.find((line) => line.startsWith('loadbalanceinfo:s:Cookie: msts='))!;
  const secret = cookie.split('msts=')[1]!;
  assert.equal(Buffer.from(secret, 'base64url').length, 32);
  const tokenSha256 = createHash('sha256').update(secret).digest('hex');
  const found = await world.deps.storage.findSession({ route: { tokenSha256 } });
  assert.equal(found.session?.session_id, sessionId);
  const through = await world.call('rdpFile', { ...at(sessionId), query: { via: 'gateway' } });
  const ways = Buffer.from(through.bytes).toString().split('\r\n');
  for (const line of [
    'full address:s:desk.example:3389',
    'gatewayhostname:s:console.example:443',
    'gatewayusagemethod:i:1',
    'gatewaycredentialssource:i:5',
  ])
    assert.ok(ways.includes(line), line);
  assert.match(ways.find((line) => line.startsWith('gatewayaccesstoken:s:')) ?? '', /:s:[A-Za-z0-9_-]{43}$/);
  assert.ok(!ways.some((line) => line.startsWith('loadbalanceinfo')));
  const second = await world.call('rdpFile', at(sessionId));
  assert.equal(new TextDecoder().decode(second.bytes).includes(secret), false);
  assert.equal(
    (await world.deps.storage.findSession({ route: { tokenSha256 } })).session,
    null,
    'the old file is void',
  );
  const { events } = await world.deps.storage.listAudit({ limit: 1000, offset: 0 });
  assert.equal(JSON.stringify([events, world.lines, world.failures]).includes(secret), false);
  const nowhere = await apiWorld({ rdGateway: null });
  const unnamed = await nowhere.call('rdpFile', { ...at(await nowhere.create()), query: { via: 'gateway' } });
  assert.deepEqual([unnamed.status, /RDP_GATEWAY/.test(String(unnamed.body.error?.message))], [400, true]);
  await nowhere.dispose();
  const late = await world.call('rdpFile', at(recorded));
  assert.deepEqual([late.status, late.body.error?.code], [409, 'LUCID_ERR_3004']);
});

test('a credential is shown once and told nowhere else, and its file is no secret', async () => {
  const id = await world.create();
  const none = await world.call('rdpFile', { ...at(id), query: { logon: 'credential' } });
  assert.deepEqual([none.status, none.body.error?.code], [409, 'LUCID_ERR_3004']);
  const { status, body } = await world.call('issueCredential', at(id));
  assert.equal(status, 200);
  const { username, password, address, warnings } = body as Record<string, string>;
  assert.match(username!, /^lucid-[2-9a-hjkmnp-z]{12}$/);
  assert.match(password!, /^(?:[2-9a-hjkmnp-z]{4}-){5}[2-9a-hjkmnp-z]{4}$/);
  assert.deepEqual([address, warnings], ['gateway.example:3390', []]);
  assert.equal(Date.parse(String(body.expires_at)) - Date.parse(String(body.issued_at)), 600_000);
  const shown = await world.call('getSession', at(id));
  assert.deepEqual(shown.body.gateway_logon, {
    username,
    issued_at: body.issued_at,
    expires_at: body.expires_at,
  });
  const file = await world.call('rdpFile', { ...at(id), query: { logon: 'credential' } });
  const lines = new TextDecoder().decode(file.bytes).split('\r\n');
  for (const line of ['full address:s:gateway.example:3390', `username:s:${username}`, 'enablecredsspsupport:i:1'])
    assert.ok(lines.includes(line), line);
  assert.equal(
    lines.some((line) => line.startsWith('loadbalanceinfo')),
    false,
  );
  assert.equal(file.headers.get('x-lucid-warning'), null);
  const both = await world.call('rdpFile', { ...at(id), query: { logon: 'credential', via: 'gateway' } });
  assert.equal(both.status, 400);
  const { events } = await world.deps.storage.listAudit({ limit: 1000, offset: 0 });
  const issued = events.find(({ eventType, resourceId }) => eventType === 'credential_issued' && resourceId === id);
  assert.equal(issued?.details.username, username);
  assert.equal(JSON.stringify([events, world.lines, world.failures, shown.body]).includes(password!), false);
});

test('where clients have to log on a file is for that, and where they can not there is no credential', async () => {
  const strict = await apiWorld({ nla: 'required', gateway: { host: 'localhost', port: 3389 } });
  const id = await strict.create();
  const { body } = await strict.call('issueCredential', at(id));
  assert.match(String((body.warnings as string[])[0]), /^clients are sent to localhost, .* LUCID_PUBLIC_RDP_HOST/);
  const file = await strict.call('rdpFile', at(id));
  assert.match(new TextDecoder().decode(file.bytes), /^enablecredsspsupport:i:1\r$/m);
  assert.match(file.headers.get('x-lucid-warning') ?? '', /LUCID_PUBLIC_RDP_HOST/);
  await strict.dispose();
  const off = await apiWorld({ nla: 'off' });
  const refused = await off.call('issueCredential', at(await off.create()));
  assert.deepEqual([refused.status, /RDP_NLA/.test(String(refused.body.error?.message))], [400, true]);
  await off.dispose();
});

test('chunks are listed, read and downloaded', async () => {
  const list = await world.call('listChunks', { ...at(recorded), query: { limit: 2, offset: 1 } });
  const chunks = list.body.chunks as {
    chunk_id: string;
    sequence_number: number;
    quality_score: number;
    timestamp: string;
  }[];
  assert.deepEqual(
    chunks.map((chunk) => chunk.sequence_number),
    [2, 3],
  );
  assert.deepEqual(
    chunks.map((chunk) => chunk.quality_score),
    [90, 100],
  );
  const none = await world.call('listChunks', { ...at(recorded), query: { status: 'failed' } });
  assert.deepEqual(none.body.chunks, []);
  const timed = await world.call('listChunks', {
    ...at(recorded),
    query: { start_time: chunks[1]!.timestamp, end_time: chunks[1]!.timestamp, status: 'stored' },
  });
  assert.deepEqual(
    (timed.body.chunks as typeof chunks).map((chunk) => chunk.sequence_number),
    [3],
  );
  for (const query of [{ limit: 1001 }, { start_time: 'yesterday' }, { status: 'lost' }])
    assert.equal(
      (await world.call('listChunks', { ...at(recorded), query: query as Record<string, string> })).status,
      400,
    );

  const one = await world.call('getChunk', at(recorded));
  const info = one.body.processing_info as Record<string, unknown>;
  assert.deepEqual([info.encryption_enabled, info.quality_score, info.final], [true, 100, false]);
  const file = await world.call('downloadChunk', at(recorded));
  assert.equal(file.headers.get('content-type'), 'application/octet-stream');
  assert.equal(createHash('sha256').update(file.bytes).digest('hex'), one.body.file_sha256);
  assert.equal(file.bytes.length, one.body.size_bytes);
});

test('what is not there is not found', async () => {
  const { params } = at('nobody');
  for (const [operation, route] of Object.entries<RestRoute>(restRoutes)) {
    // A body that must say something is refused before its session is looked for.
    const needsMore = route.body?.safeParse({}).success === false;
    if (!route.path.includes('{session_id}') || needsMore) continue;
    const { status, body } = await world.call(operation as OperationId, {
      params,
      ...(route.body ? { body: {} } : {}),
    });
    assert.deepEqual([status, body.error?.code], [404, 'LUCID_ERR_3001'], operation);
  }
  for (const operation of ['getChunk', 'downloadChunk', 'chunkProof'] as const)
    for (const chunkId of [chunkIdOf(recorded, 3), `${recorded}.1`, 'x', chunkIdOf('other', 0), '..'])
      assert.equal((await world.call(operation, at(recorded, chunkId))).status, 404, chunkId);
  const path = await world.raw(`${basePath}/nothing`);
  assert.deepEqual([path.status, path.body.error?.code], [404, 'LUCID_ERR_3018']);
  const bad = await world.call('getSession', { params: { session_id: 'a b' } });
  assert.deepEqual([bad.status, bad.body.error?.code], [404, 'LUCID_ERR_3001']);
});

test('the pipeline of a session is shown and controlled', async () => {
  const { body } = await world.call('getPipeline', at(recorded));
  assert.equal(body.pipeline_status, 'stopped');
  const names = (body.stages as { stage_name: string }[]).map((stage) => stage.stage_name);
  assert.deepEqual(names, [
    'recording',
    'compression',
    'encryption',
    'storage',
    'manifest',
    'log',
    'anchoring_test-chain',
  ]);
  const sessionId = await world.create();
  assert.equal((await world.call('pausePipeline', at(sessionId))).status, 200);
  assert.equal((await world.call('resumePipeline', at(sessionId))).status, 200);
});

test('statistics of a session and of the system', async () => {
  const { body } = await world.call('sessionStatistics', at(await world.record(10)));
  assert.deepEqual(body.quality_stats, { quality_score: 90, dropped_frame_ratio: 0.1 });
  assert.equal((body.storage_stats as { chunks_count: number }).chunks_count, 3);
  assert.equal((body.recording_stats as { update_count: number }).update_count, 60);
  const empty = await world.call('sessionStatistics', at(await world.create()));
  assert.deepEqual(empty.body.quality_stats, { quality_score: 100, dropped_frame_ratio: 0 });
  const system = await world.call('systemStatistics');
  const stats = system.body.system_stats as { sessions_by_status: Record<string, number>; sessions_max: number };
  assert.ok((stats.sessions_by_status.completed ?? 0) >= 1);
  assert.equal(stats.sessions_max, 100);
  assert.ok((system.body.storage_stats as { chunks_count: number }).chunks_count >= 6);
});

test('the signed records are shown as they were signed', async () => {
  const { body } = await world.call('getManifest', at(recorded));
  const { manifest, records } = body as unknown as {
    manifest: { body: { chunks_count: number; merkle_root: string }; sha256: string; envelope: string };
    records: { kind: string }[];
  };
  assert.equal(manifest.body.chunks_count, 3);
  assert.equal(manifest.body.merkle_root, body.merkle_root);
  const envelope = Buffer.from(manifest.envelope, 'base64');
  assert.equal(createHash('sha256').update(envelope).digest('hex'), manifest.sha256);
  assert.deepEqual(
    records.slice(0, 2).map(({ kind }) => kind),
    ['open', 'manifest'],
  );
  const early = await world.call('getManifest', at(await world.create()));
  assert.deepEqual([early.status, early.body.error?.code], [404, 'LUCID_ERR_3021']);
});

test('a proof leads from a chunk to the root of the manifest', async () => {
  const { body } = await world.call('chunkProof', at(recorded, chunkIdOf(recorded, 1)));
  const proof = body as unknown as Record<'leaf' | 'leaf_hash' | 'merkle_root', string> & {
    inclusion: string[];
    tree_size: number;
    leaf_index: number;
    closed: boolean;
  };
  const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
  assert.equal(proof.closed, true);
  assert.ok(
    verifyInclusion({
      leafHash: bytes(proof.leaf_hash),
      index: proof.leaf_index,
      size: proof.tree_size,
      root: bytes(proof.merkle_root),
      proof: proof.inclusion.map(bytes),
    }),
  );
  assert.notDeepEqual(merkleRoot([bytes(proof.leaf_hash)]), bytes(proof.merkle_root));
});

async function untar(tar: Uint8Array) {
  const source = await openTar({ length: tar.length, read: (offset, length) => tar.subarray(offset, offset + length) });
  const files = new Map<string, Uint8Array>();
  for (const { name, bytes } of await source.list()) files.set(name, await source.read(name, 0, bytes));
  return files;
}

test('an evidence bundle satisfies the verifier, whole and in part, and holds who took it', async () => {
  const { crypto, policy } = world.deps.verification;
  const whole = await world.call('exportEvidence', at(recorded));
  assert.equal(whole.headers.get('content-disposition'), `attachment; filename="${recorded}.lucid.tar"`);
  const files = await untar(whole.bytes);
  const served = await world.call('getPolicy');
  assert.deepEqual(parsePolicy(new TextEncoder().encode(JSON.stringify(served.body))), policy);
  assert.match(new TextDecoder().decode(files.get('custody.jsonl')), /payload/);
  const report = await verifyBundle(memoryBundle(files), { crypto, policy });
  assert.deepEqual(report.findings, []);
  assert.deepEqual([report.verdicts.completeness, report.verdicts.time], ['whole', 'logged']);

  const part = await world.call('exportEvidence', { ...at(recorded), query: { first: 2, last: 2 } });
  const partial = await verifyBundle(memoryBundle(await untar(part.bytes)), { crypto, policy });
  assert.deepEqual([partial.findings, partial.verdicts.completeness], [[], 'part']);
  for (const query of [{ first: 1 }, { first: 3, last: 2 }, { first: 1, last: 4 }, { first: 0, last: 1 }]) {
    const { status } = await world.call('exportEvidence', { ...at(recorded), query: query as Record<string, number> });
    assert.equal(status, 400, JSON.stringify(query));
  }
  const early = await world.call('exportEvidence', at(await world.create()));
  assert.deepEqual([early.status, early.body.error?.code], [404, 'LUCID_ERR_3021']);
});

test('of a recording that still runs a part can not be proven, the whole can be taken', async () => {
  const sessionId = await world.create();
  await world.connect(sessionId);
  await world.seal(sessionId, 0, false);
  const part = await world.call('exportEvidence', { ...at(sessionId), query: { first: 1, last: 1 } });
  assert.deepEqual([part.status, part.body.error?.code], [404, 'LUCID_ERR_3021']);
  const { crypto, policy } = world.deps.verification;
  const { bytes } = await world.call('exportEvidence', at(sessionId));
  const report = await verifyBundle(memoryBundle(await untar(bytes)), { crypto, policy });
  assert.deepEqual(
    report.findings.map(({ code }) => code),
    ['UNCLOSED'],
  );
  const { body } = await world.call('chunkProof', at(sessionId));
  assert.equal(body.closed, false);
});

test('verification reads what is stored and says what is wrong with it', async () => {
  const sessionId = await world.record();
  const good = await world.call('verifySession', at(sessionId));
  assert.deepEqual([good.status, good.body.clean, good.body.findings], [200, true, []]);
  const path = world.chunkPath(sessionId, 1);
  const bytes = await readFile(path);
  await writeFile(path, bytes.with(bytes.length - 30, bytes[bytes.length - 30]! ^ 1));
  const altered = (await world.call('verifySession', at(sessionId))).body;
  assert.deepEqual(
    (altered.findings as { code: string }[]).map(({ code }) => code),
    ['CHUNK_ALTERED'],
  );
  await rm(path);
  const missing = (await world.call('verifySession', at(sessionId))).body;
  assert.deepEqual(
    (missing.findings as { code: string }[]).map(({ code }) => code),
    ['CHUNK_MISSING'],
  );
  const early = await world.call('verifySession', at(await world.create()));
  assert.deepEqual([early.status, early.body.error?.code], [404, 'LUCID_ERR_3021']);
});

test('one recording is verified at a time', async () => {
  const both = await Promise.all([
    world.call('verifySession', at(recorded)),
    world.call('verifySession', at(recorded)),
  ]);
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 503]);
});

test('a verification that can not be carried out is an error, not a verdict', async () => {
  const { storage } = world.deps;
  const { readChunk } = storage;
  storage.readChunk = () => Promise.reject(new TypeError('disk on fire'));
  const { status, body } = await world.call('verifySession', at(recorded));
  storage.readChunk = readChunk;
  assert.deepEqual([status, body.error?.code], [500, 'LUCID_ERR_3014']);
  assert.doesNotMatch(JSON.stringify(body), /fire/);
});

test('anchoring shows the place in the log', async () => {
  const { body } = await world.call('getAnchor', at(recorded));
  assert.ok((body.log as { log_index: number }).log_index > 0);
  assert.match(String(body.log_public_key), /^log\.example\/test\+/);
  const receipts = async () =>
    (await world.call('getAnchor', at(recorded))).body.receipts as {
      backend: string;
      status: string;
      block_height: number;
    }[];
  for (let left = 200; left > 0 && (await receipts()).length === 0; left--)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(
    (await receipts()).map(({ backend, status, block_height }) => [backend, status, block_height]),
    [['test-chain', 'confirmed', 7]],
  );
  const { bytes } = await world.call('exportEvidence', at(recorded));
  const report = await verifyBundle(memoryBundle(await untar(bytes)), {
    ...world.deps.verification,
    checkAnchor: (anchor) => ({ state: 'confirmed', timeUs: anchor.confirmed_us! }),
  });
  assert.deepEqual([report.findings, report.verdicts.time], [[], 'anchored']);
  assert.equal((await world.call('getAnchor', at(await world.create()))).body.log, null);
});

test('the key to look at a recording is handed out under a signature', async () => {
  const answer = await world.call('getKey', at(recorded));
  assert.equal(Buffer.from(String(answer.body.key), 'base64').length, 32);
  const { records } = await world.deps.storage.getRecords({ sessionId: recorded, kind: 'custody' });
  const last = JSON.parse(new TextDecoder().decode(records.at(-1)!.record)) as { payload: string };
  const custody = JSON.parse(Buffer.from(last.payload, 'base64').toString()) as Record<string, unknown>;
  assert.deepEqual([custody.action, custody.actor, custody.sequence], ['view', 'ada', records.length - 1]);
  const early = await world.call('getKey', at(await world.create()));
  assert.deepEqual([early.status, early.body.error?.code], [404, 'LUCID_ERR_3021']);
  const { unwrapKey } = world.deps;
  world.deps.unwrapKey = async () => null;
  const foreign = await world.call('getKey', at(recorded));
  world.deps.unwrapKey = unwrapKey!;
  assert.deepEqual([foreign.status, foreign.body.error?.code], [404, 'LUCID_ERR_3021']);
});

test('the key to what was typed is for those who may see it and ask for it', async () => {
  const plain = await world.call('getKey', at(recorded));
  assert.equal('inputs_key' in plain.body, false);
  const asked = { ...at(recorded), query: { inputs: 'true' } };
  const full = await world.call('getKey', asked);
  assert.equal(full.body.key, plain.body.key);
  assert.equal(Buffer.from(String(full.body.inputs_key), 'base64').length, 32);
  const { wraps } = await world.deps.storage.getWraps({ sessionId: recorded });
  const dek = Buffer.from((await world.deps.unwrapKey!(wraps))!).toString('base64');
  assert.equal(JSON.stringify(full.body).includes(dek), false, 'the key of both is never given out');
  const refused = await world.call('getKey', { ...asked, roles: ['session_manager'] });
  assert.equal(refused.status, 403);
  assert.equal(JSON.stringify(refused.body).includes(String(full.body.key)), false);
  assert.equal((await world.call('liveSession', { ...asked, roles: ['session_manager'] })).status, 403);
});

test('custody records are one chain, however many come at once', async () => {
  const before = (await world.deps.storage.getRecords({ sessionId: recorded, kind: 'custody' })).records.length;
  await Promise.all(Array.from({ length: 5 }, () => world.call('getKey', at(recorded))));
  const { records } = await world.deps.storage.getRecords({ sessionId: recorded, kind: 'custody' });
  assert.equal(records.length, before + 5);
  const { crypto, policy } = world.deps.verification;
  const { bytes } = await world.call('exportEvidence', at(recorded));
  const report = await verifyBundle(memoryBundle(await untar(bytes)), { crypto, policy });
  assert.deepEqual(report.findings, []);
});

test('deleting is answered as the contract says, and proven afterwards', async () => {
  const sessionId = await world.record();
  const { body } = await world.call('deleteSession', at(sessionId));
  assert.deepEqual([body.session_id, body.status], [sessionId, 'deleted']);
  const again = await world.call('deleteSession', at(sessionId));
  assert.deepEqual([again.status, again.body.error?.code], [404, 'LUCID_ERR_3001']);
  const changed = await world.call('updateSession', { ...at(sessionId), body: { name: 'x' } });
  assert.deepEqual([changed.status, changed.body.error?.code], [409, 'LUCID_ERR_3004']);
  for (let left = 200; left > 0; left--) {
    const { session } = await world.deps.storage.getSession({ sessionId });
    if (session?.pipeline_state === 'destroyed') break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const chunks = await world.call('listChunks', at(sessionId));
  assert.deepEqual(chunks.body.chunks, []);
  const manifest = await world.call('getManifest', at(sessionId));
  assert.ok((manifest.body.records as { kind: string }[]).some(({ kind }) => kind === 'erase'));
  const live = await world.create();
  await world.connect(live);
  assert.equal((await world.call('deleteSession', at(live))).status, 409);
});

test('every role may do what the contract gives it, and nothing else', async () => {
  const own = await apiWorld({ trustProxy: { kind: 'hops', count: 1 } });
  after(() => own.dispose());
  const params = { session_id: 'nobody', chunk_id: 'x', user_id: 'nobody', token_id: 'x' };
  for (const [operation, route] of Object.entries<RestRoute>(restRoutes)) {
    if (route.permissions === null) continue;
    // What is of whoever is signed in is tried in people.test.ts.
    for (const role of route.permissions.length === 0 ? [] : [...roles, 'unheard_of', 'constructor']) {
      const may = route.permissions.some((permission) => isPermitted([role], permission));
      const { status, body } = await own.call(operation as OperationId, { params, roles: [role] });
      if (may) assert.notEqual(status, 403, `${role} ${operation}`);
      else assert.deepEqual([status, body.error?.code], [403, 'LUCID_ERR_3012'], `${role} ${operation}`);
    }
    const nobody = await own.call(operation as OperationId, {
      params,
      roles: null,
      // Each from elsewhere: refused callers are counted by address.
      headers: { 'x-forwarded-for': `10.0.0.${Object.keys(restRoutes).indexOf(operation) + 1}` },
    });
    assert.deepEqual([nobody.status, nobody.body.error?.code], [401, 'LUCID_ERR_3011'], operation);
  }
  const denied = await own.deps.storage.listAudit({ eventType: 'permission_denied', limit: 1, offset: 0 });
  assert.ok(denied.total > 50);
});

test('the rights of the roles are those of the contract', () => {
  const may = (role: string) =>
    [
      'sessions:create',
      'sessions:delete',
      'sessions:start',
      'chunks:download',
      'pipeline:control',
      'audit:read',
      'evidence:verify',
    ]
      .map((permission) => (isPermitted([role], permission as 'sessions:create') ? 'y' : '-'))
      .join('');
  assert.deepEqual(roles.map(may), ['yyyyyyy', 'yyyyy--', '--y-y--', '-------', '-----yy']);
});

test('the audit log tells who did what, and can be searched', async () => {
  const sessionId = await world.create();
  await world.call('getSession', { ...at(sessionId), headers: { 'user-agent': 'probe/1' } });
  await world.call('pauseSession', at(sessionId));
  const { body } = await world.call('listAudit', { query: { resource_id: sessionId } });
  const events = body.events as {
    event_type: string;
    success: boolean;
    user_agent: string;
    error_message: string | null;
  }[];
  assert.deepEqual(
    events.map(({ event_type, success }) => `${event_type} ${success}`),
    ['session_paused false', 'session_accessed true', 'session_created true'],
  );
  assert.equal(events[1]?.user_agent, 'probe/1');
  assert.match(String(events[0]?.error_message), /created/);
  const filtered = await world.call('listAudit', {
    query: {
      event_type: 'session_accessed',
      user_id: 'ada',
      resource_id: sessionId,
      start_time: '2026-01-01T00:00:00Z',
      end_time: '2100-01-01T00:00:00+02:00',
    },
  });
  assert.equal((filtered.body.events as unknown[]).length, 1);
  assert.equal((await world.call('listAudit', { query: { event_type: 'x' } })).status, 400);
});

test('content that can not be audited is not handed out; a change that happened is answered', async () => {
  const { storage } = world.deps;
  const { appendAudit } = storage;
  storage.appendAudit = () => Promise.reject(new LucidError('storage', 'disk full', { status: 507 }));
  const read = await world.call('downloadChunk', at(recorded));
  const created = await world.call('createSession', { body: { name: 'n', rdp_config: { host: 'h' } } });
  const denied = await world.call('listAudit', { roles: ['session_viewer'] });
  storage.appendAudit = appendAudit;
  assert.deepEqual([read.status, read.body.error?.code], [507, 'LUCID_ERR_3007']);
  assert.equal(created.status, 201);
  assert.equal(denied.status, 507, 'and a refusal that can not be recorded is no answer either');
});

test('errors carry the id of their request, and unexpected ones keep their text to themselves', async () => {
  const { storage } = world.deps;
  const { getSession } = storage;
  storage.getSession = () => Promise.reject(new TypeError('secret inside'));
  const answer = await world.call('getSession', { ...at(recorded), headers: { 'x-request-id': 'abc-1.2_3' } });
  storage.getSession = getSession;
  assert.deepEqual(
    [answer.status, answer.body.error?.code, answer.body.error?.request_id],
    [500, 'LUCID_ERR_3022', 'abc-1.2_3'],
  );
  assert.equal(answer.headers.get('x-request-id'), 'abc-1.2_3');
  assert.doesNotMatch(JSON.stringify(answer.body), /secret inside/);
  assert.ok(world.failures.some((line) => line.includes('secret inside')));
  const odd = await world.call('getSession', { ...at(recorded), headers: { 'x-request-id': 'no <spaces>' } });
  assert.match(String(odd.headers.get('x-request-id')), /^[0-9a-f-]{36}$/);
});

test('every answer carries headers that keep browsers out of trouble', async () => {
  for (const answer of [
    await world.call('listSessions'),
    await world.raw('/nowhere'),
    await world.raw('/openapi.json'),
  ]) {
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
  }
});

test('requests are logged without secrets', async () => {
  await world.call('listSessions', { query: { search: 'needle' } });
  const line = world.lines.at(-1)!;
  assert.deepEqual(
    [line.operation, line.status, line.user, line.path],
    ['listSessions', 200, 'ada', '/api/v1/sessions'],
  );
  assert.doesNotMatch(JSON.stringify(world.lines), /needle|Bearer|eyJ/);
});

test('health and metrics are open to monitors', async () => {
  for (const path of ['/health', `${basePath}/health`]) {
    const health = await world.raw(path);
    assert.equal(health.status, 200);
    restRoutes.health.answer.schema.parse(health.body);
  }
  const { bytes, headers } = await world.raw(`${basePath}/metrics`);
  const text = new TextDecoder().decode(bytes);
  assert.match(headers.get('content-type') ?? '', /^text\/plain/);
  assert.match(text, /^sessions_total\{status="completed"\} \d+$/m);
  assert.match(text, /^chunks_processed_total\{status="stored"\} \d+$/m);
  assert.match(text, /^processing_duration_seconds_bucket\{le="\+Inf"\} [1-9]/m);
  assert.match(text, /^http_request_duration_seconds_count\{operation="createSession",status="201"\}/m);
  assert.match(text, /^rdp_probes_total\{kind="x224"\} 3$/m);
  assert.match(text, /^rdp_connections_total\{outcome="refused"\} 0$/m);
  assert.match(text, /^rdp_unread_pdus_total 0$/m);
  assert.match(text, /^rdp_unknown_channel_pdus_total 5$/m);
});

test('health names the service that is not well', async () => {
  const { health } = world.recorder;
  world.recorder.health = () => Promise.reject(new Error('gone'));
  const answer = await world.raw('/health');
  world.recorder.health = async () => ({
    service: 'recorder',
    status: 'degraded',
    message: 'spool nearly full',
    details: {},
  });
  const degraded = await world.raw('/health');
  world.recorder.health = health;
  assert.deepEqual([answer.status, answer.body.status], [503, 'unhealthy']);
  assert.deepEqual([degraded.status, degraded.body.status], [200, 'degraded']);
});

test('the OpenAPI document is served and is the one in docs', async () => {
  const { body } = await world.raw('/openapi.json');
  assert.deepEqual(body, JSON.parse(JSON.stringify(openApiDocument('0.1.0'))));
  const stored = JSON.parse(await readFile(new URL('../../../docs/openapi.json', import.meta.url), 'utf8'));
  assert.deepEqual(stored, body, 'run node scripts/openapi.ts');
});

test('limits count per user and kind of work, say how much is left, and end with the minute', async () => {
  let nowMs = 120_000;
  const limited = await apiWorld({ rateLimits: { ...rateLimitsPerMinute, create: 2 } }, { nowUs: () => nowMs * 1000 });
  const body = { name: 'n', rdp_config: { host: 'h' } };
  const first = await limited.call('createSession', { body });
  assert.deepEqual(
    ['limit', 'remaining', 'reset'].map((name) => first.headers.get(`x-ratelimit-${name}`)),
    ['2', '1', '180'],
  );
  await limited.call('createSession', { body });
  const third = await limited.call('createSession', { body });
  assert.deepEqual([third.status, third.body.error?.code], [429, 'LUCID_ERR_3010']);
  assert.equal(third.headers.get('retry-after'), '60');
  assert.equal((await limited.call('listSessions')).status, 200, 'other work goes on');
  nowMs += 60_000;
  assert.equal((await limited.call('createSession', { body })).status, 201);
  for (let left = 60; left > 0; left--) await limited.call('listSessions', { roles: null });
  assert.equal((await limited.call('listSessions', { roles: null })).status, 429, 'guessing tokens is limited as well');
  assert.equal((await limited.call('listSessions')).status, 200);
  await limited.dispose();
});

test('the limiter holds a bounded number of counters', async () => {
  const limiter = new MemoryRateLimiter();
  for (let key = 0; key < 100_001; key++) await limiter.take(`old${key}`, 5, 0);
  for (let key = 0; key < 3; key++) await limiter.take(`new${key}`, 5, 60_000);
  assert.equal((await limiter.take('new0', 5, 60_000)).remaining, 3);
});

test('tokens must be whole, fresh, for access, and of the right key', async (t) => {
  // An API of its own: the other tests' refused calls count against the limit of an address.
  const own = await apiWorld();
  t.after(() => own.dispose());
  const claims: [string, string][] = [
    ['expired', await token(['admin'], { exp: Math.floor(Date.now() / 1000) - 60 })],
    ['without end', await token(['admin'], { exp: null })],
    ['of refreshing', await token(['admin'], { type: 'refresh' })],
    ['of a service', await token(['admin'], { type: 'service' })],
    ['without user', await token(['admin'], { user_id: '' })],
    ['with a strange user', await token(['admin'], { user_id: 7 })],
    ['without roles', await token(['admin'], { roles: 'admin' })],
    ['of another key', await token(['admin'], {}, `${jwtSecret}!`)],
    [
      'of no algorithm',
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"user_id":"x","roles":["admin"],"type":"access","exp":9999999999}').toString('base64url')}.`,
    ],
    ['cut', (await token(['admin'])).slice(0, -2)],
    ['too long', 'x'.repeat(9000)],
  ];
  for (const [what, text] of claims) {
    const answer = await own.raw(`${basePath}/sessions`, { headers: { authorization: `Bearer ${text}` } });
    assert.deepEqual([answer.status, answer.body.error?.code], [401, 'LUCID_ERR_3011'], what);
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
  }
  assert.equal((await world.raw(`${basePath}/sessions`, { headers: { authorization: 'Basic abc' } })).status, 401);
});

const good = { user_id: 'ada', roles: ['admin', 7], type: 'access' };
const signed = (key: Parameters<SignJWT['sign']>[0], alg: string, header: object = {}) =>
  new SignJWT({ ...good })
    .setProtectedHeader({ alg, ...header })
    .setExpirationTime('1h')
    .setIssuer('idp')
    .setAudience('lucid')
    .sign(key);
const check = (key: ApiConfig['jwt']['key'], issuer: string | null = null, audience: string | null = null) =>
  authenticator({ key, issuer, audience });
const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};

test('public keys of each kind are checked with their one algorithm', async () => {
  for (const [alg, { publicKey, privateKey }] of Object.entries(pairs)) {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const authenticate = check({ kind: 'public_key', pem }, 'idp', 'lucid');
    assert.deepEqual(await authenticate(`Bearer ${await signed(privateKey, alg)}`), {
      userId: 'ada',
      roles: ['admin'],
    });
    // The public key used as a shared secret: the classic confusion.
    const confused = await signed(new TextEncoder().encode(pem), 'HS256');
    await assert.rejects(authenticate(`Bearer ${confused}`), { code: 'LUCID_ERR_3011' });
    await assert.rejects(
      check({ kind: 'public_key', pem }, 'other')(`Bearer ${await signed(privateKey, alg)}`),
      LucidError,
    );
    await assert.rejects(
      check({ kind: 'public_key', pem }, null, 'other')(`Bearer ${await signed(privateKey, alg)}`),
      LucidError,
    );
  }
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'pem' });
  assert.throws(() => check({ kind: 'public_key', pem: p384 as string }), EnvironmentError);
  assert.throws(() => check({ kind: 'public_key', pem: 'nonsense' }), EnvironmentError);
});

test('keys of the identity provider are fetched, also after it changed them', async () => {
  let keys: object[] = [];
  let status = 200;
  const provider = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(provider.address() as { port: number }).port}/jwks`;
  for (const [alg, { publicKey }] of Object.entries(pairs))
    keys.push({
      ...(await exportJWK(createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })))),
      kid: alg,
      alg,
    });
  const authenticate = check({ kind: 'jwks', url });
  for (const [alg, { privateKey }] of Object.entries(pairs))
    assert.equal((await authenticate(`Bearer ${await signed(privateKey, alg, { kid: alg })}`)).userId, 'ada');
  await assert.rejects(authenticate(`Bearer ${await token(['admin'])}`), { code: 'LUCID_ERR_3011' });
  await assert.rejects(authenticate(`Bearer ${await signed(pairs.EdDSA.privateKey, 'EdDSA', { kid: 'unknown' })}`), {
    code: 'LUCID_ERR_3011',
  });
  keys = [];
  status = 500;
  provider.closeAllConnections();
  provider.close();
  const gone = check({ kind: 'jwks', url });
  await assert.rejects(gone(`Bearer ${await signed(pairs.EdDSA.privateKey, 'EdDSA', { kid: 'EdDSA' })}`), {
    code: 'LUCID_ERR_3016',
  });
});

test('the console is served beside the API, and only it', async () => {
  const staticDir = await mkdtemp(join(tmpdir(), 'lucid-console-'));
  await writeFile(join(staticDir, 'index.html'), '<title>console</title>');
  await writeFile(join(staticDir, 'app.js'), 'export {};');
  await writeFile(join(staticDir, '.secret'), 'x');
  const served = await apiWorld({}, { staticDir });
  for (const path of ['/', '/sessions', '/sessions/abc-1', '/live', '/index.html']) {
    const page = await served.raw(path);
    assert.equal(page.status, 200, path);
    assert.match(new TextDecoder().decode(page.bytes), /console/);
    assert.match(page.headers.get('content-security-policy') ?? '', /script-src 'self'/);
  }
  assert.match((await served.raw('/app.js')).headers.get('content-type') ?? '', /javascript/);
  for (const path of ['/.secret', '/nothing.js', '/../package.json', '/%2e%2e/package.json', '/sessions/a%2fb'])
    assert.ok((await served.raw(path)).status >= 400, path);
  assert.equal((await served.call('listSessions')).status, 200);
  assert.equal((await served.raw('/sessions', { method: 'POST' })).status, 404);
  await served.dispose();
  await rm(staticDir, { recursive: true });
});

test('the environment is read once, with messages that name the variable', () => {
  const secret = { LUCID_JWT_SECRET: 'x'.repeat(32) };
  const config = readApiEnv({ ...secret, RDP_LISTEN_PORT: '3399', LUCID_RATE_LIMIT_READ: '7' }, '1');
  assert.deepEqual([config.port, config.gateway, config.rateLimits.read], [8087, { host: 'localhost', port: 3399 }, 7]);
  const gatewayOf = (more: Record<string, string>) => readApiEnv({ ...secret, ...more }, '1').rdGateway;
  assert.equal(gatewayOf({ LUCID_PUBLIC_URL: 'http://console' }), null);
  assert.deepEqual(gatewayOf({ LUCID_PUBLIC_URL: 'https://[::1]:8443' }), { host: '::1', port: 8443 });
  assert.deepEqual(gatewayOf({ RDP_GATEWAY: 'rdg.example' }), { host: 'rdg.example', port: 443 });
  assert.deepEqual(gatewayOf({ RDP_GATEWAY: '[2001:db8::7]:8443' }), { host: '2001:db8::7', port: 8443 });
  assert.throws(() => gatewayOf({ RDP_GATEWAY: 'rdg.example:0' }), /RDP_GATEWAY/);
  assert.deepEqual(readApiEnv({ LUCID_JWT_JWKS_URL: 'https://idp/jwks' }, '1').jwt.key, {
    kind: 'jwks',
    url: 'https://idp/jwks',
  });
  assert.deepEqual(readApiEnv({ LUCID_JWT_PUBLIC_KEY: 'a\\nb' }, '1').jwt.key, { kind: 'public_key', pem: 'a\nb' });
  const wrong: [Record<string, string>, RegExp][] = [
    [{}, /LUCID_JWT_SECRET/],
    [{ ...secret, LUCID_JWT_JWKS_URL: 'https://idp' }, /only one/],
    [{ LUCID_JWT_SECRET: 'short' }, /32 characters/],
    [{ LUCID_JWT_JWKS_URL: 'ftp://idp' }, /LUCID_JWT_JWKS_URL/],
    [{ ...secret, LUCID_TRUST_PROXY: 'maybe' }, /LUCID_TRUST_PROXY/],
    [{ ...secret, LUCID_PUBLIC_RDP_PORT: '0' }, /LUCID_PUBLIC_RDP_PORT/],
    [{ ...secret, LUCID_PUBLIC_URL: 'nonsense' }, /LUCID_PUBLIC_URL/],
  ];
  for (const [environment, message] of wrong) assert.throws(() => readApiEnv(environment, '1'), { message });
});

test('a connection that waits is decided on by a second person alone, with a reason, and that is audited', async () => {
  const sessionId = await world.create({
    recording_config: { approval: true, consent_text: 'Everything is recorded.' },
  });
  const { body: armed } = await world.call('startSession', at(sessionId));
  assert.equal(armed.status, 'starting');
  const file = new TextDecoder().decode((await world.call('rdpFile', at(sessionId))).bytes);
  const routing = /msts=(\S+)/.exec(file)![1]!;
  const connectionId = randomUUID();
  const request = {
    route: { kind: 'token', token: routing },
    clientAddress: '192.0.2.7:1',
    clientName: null,
    recorderId: 'recorder-1',
  } as const;
  const found = await world.deps.pipeline.find({ connectionId, ...request });
  assert.ok(found.found);
  assert.deepEqual([found.ticket.approval, found.ticket.consentText], [true, 'Everything is recorded.']);
  assert.deepEqual(await world.deps.pipeline.approval({ connectionId, user: 'ann' }), { state: 'waiting' });
  const listed = await world.call('listApprovals', {});
  assert.deepEqual(
    (listed.body.approvals as { connection_id: string; client_user: string }[]).map((each) => [
      each.connection_id,
      each.client_user,
    ]),
    [[connectionId, 'ann']],
  );
  const body = { connection_id: connectionId, decision: 'approve', reason: 'change 12' };
  const own = await world.call('decideApproval', { ...at(sessionId), body });
  assert.deepEqual([own.status, /second person/.test(String(own.body.error?.message))], [403, true]);
  assert.equal((await world.call('decideApproval', { ...at(sessionId), body, roles: ['session_viewer'] })).status, 403);
  const headers = { authorization: `Bearer ${await token(['session_manager'], { user_id: 'bob' })}` };
  for (const wrong of [
    { ...body, reason: '' },
    { ...body, decision: 'maybe' },
    { ...body, connection_id: 'x' },
  ])
    assert.equal((await world.call('decideApproval', { ...at(sessionId), body: wrong, headers })).status, 400);
  assert.equal((await world.call('decideApproval', { ...at(sessionId), body, headers })).status, 200);
  assert.deepEqual(await world.deps.pipeline.approval({ connectionId, user: 'ann' }), {
    ...{ state: 'approved', by: 'bob', reason: 'change 12' },
  });
  const { events } = await world.deps.storage.listAudit({ resourceId: sessionId, limit: 100, offset: 0 });
  const decided = events.filter(({ eventType, success }) => eventType === 'approval_decided' && success);
  assert.deepEqual(
    decided.map(({ userId, details }) => [userId, details.decision, details.reason]),
    [['bob', 'approve', 'change 12']],
  );
});
