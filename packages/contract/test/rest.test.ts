import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EnvironmentError,
  readBoolean,
  readInteger,
  readPort,
  readSecret,
  readText,
  readUrl,
} from '@lucid-sessions/kit';
import fc from 'fast-check';
import {
  chunkIdOf,
  chunkIndexOf,
  createSessionRequest,
  errorCodes,
  errorNames,
  errorTable,
  isErrorCode,
  isPermitted,
  listChunksQuery,
  listSessionsQuery,
  openApiDocument,
  permissions,
  type RestRoute,
  recordingConfigSchema,
  restRoutes,
  rolePermissions,
  roles,
  storageConfigSchema,
  updateSessionRequest,
} from '../src/index.ts';

test('codes are a closed series with one name each', () => {
  assert.deepEqual(errorCodes, errorCodes.toSorted());
  assert.deepEqual(Object.values(errorNames).toSorted(), errorCodes);
  assert.deepEqual(
    errorCodes.slice(0, 10).map((code) => errorTable[code].statuses),
    [[404], [400], [409], [409], [404], [500, 502], [500, 507], [500], [500], [429]],
  );
  assert.equal(isErrorCode('LUCID_ERR_3001'), true);
  for (const other of ['LUCID_ERR_3000', 'constructor', 3001, null]) assert.equal(isErrorCode(other), false);
});

test('a chunk id can be taken apart again, and only by its own session', () => {
  const sessionId = fc.stringMatching(/^[A-Za-z0-9_-]{1,100}$/);
  fc.assert(
    fc.property(sessionId, sessionId, fc.nat({ max: 2 ** 31 }), (mine, other, index) => {
      const chunkId = chunkIdOf(mine, index);
      assert.equal(chunkIndexOf(mine, chunkId), index);
      assert.equal(chunkIndexOf(other, chunkId), other === mine ? index : null);
    }),
  );
  for (const chunkId of ['s.000000', 's.1', 's.0000001', 's.', 's', 's.00000x', '.000001'])
    assert.equal(chunkIndexOf('s', chunkId), null, chunkId);
});

test('roles hold the rights of the contract', () => {
  assert.deepEqual(rolePermissions.admin, permissions);
  for (const role of roles)
    for (const permission of permissions)
      assert.equal(isPermitted([role], permission), rolePermissions[role].includes(permission));
  assert.equal(isPermitted(['session_viewer', 'auditor'], 'audit:read'), true);
  assert.equal(isPermitted(['toString', '__proto__', ''], 'sessions:read'), false);
  assert.equal(isPermitted([], 'sessions:read'), false);
});

test('defaults and bounds of the models', () => {
  const { rdp_config, recording_config, storage_config } = createSessionRequest.parse({
    name: 'n',
    rdp_config: { host: '::1' },
  });
  assert.deepEqual([rdp_config?.port, rdp_config?.use_tls, rdp_config?.ignore_cert], [3389, true, false]);
  assert.deepEqual(
    [recording_config, storage_config],
    [undefined, undefined],
    'left out, as a target’s session leaves it',
  );
  const recording = recordingConfigSchema.parse({});
  assert.deepEqual([recording.frame_rate, recording.resolution, recording.compression], [30, '1920x1080', 'zstd']);
  const storage = storageConfigSchema.parse({});
  assert.deepEqual([storage.retention_days, storage.max_size_gb, storage.encryption_enabled], [null, 10, true]);
  for (const resolution of ['319x240', '320x239', '7681x240', '320x4321', '1x1', 'axb', '320x240x1'])
    assert.equal(
      createSessionRequest.safeParse({ name: 'n', rdp_config: { host: 'h' }, recording_config: { resolution } })
        .success,
      false,
      resolution,
    );
});

test('a change holds what was sent and nothing else', () => {
  assert.deepEqual(updateSessionRequest.parse({ rdp_config: { port: 5 }, metadata: {} }), {
    rdp_config: { port: 5 },
    metadata: {},
  });
  assert.equal(updateSessionRequest.safeParse({ rdp_config: { password: 'x' } }).success, false);
  assert.equal(updateSessionRequest.safeParse({ session_id: 'x' }).success, false);
});

test('numbers in queries are digits within their bounds', () => {
  assert.deepEqual(listSessionsQuery.parse({}), { limit: 50, offset: 0 });
  assert.deepEqual(listChunksQuery.parse({ limit: '1000' }), { limit: 1000, offset: 0 });
  for (const limit of ['', ' 5', '5.0', '1e2', '0x10', '-1', '0', '101', '9'.repeat(20)])
    assert.equal(listSessionsQuery.safeParse({ limit }).success, false, limit);
});

test('the OpenAPI document has every route once, with its errors and without loose ends', () => {
  const document = openApiDocument('1.2.3') as {
    openapi: string;
    info: { version: string };
    paths: Record<
      string,
      Record<string, { operationId: string; responses: Record<string, unknown>; security: unknown[] }>
    >;
    components: { schemas: Record<string, unknown> };
  };
  assert.deepEqual([document.openapi, document.info.version], ['3.1.0', '1.2.3']);
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  assert.deepEqual(operations.map(({ operationId }) => operationId).sort(), Object.keys(restRoutes).sort());
  for (const { operationId, responses, security } of operations) {
    const route: RestRoute = restRoutes[operationId as keyof typeof restRoutes];
    assert.equal(security.length === 0, route.permissions === null);
    assert.ok(responses[route.answer.status] !== undefined && responses['500'] !== undefined);
    const mayBeStrange = route.permissions !== null || route.errors.includes('unauthenticated');
    assert.equal('401' in responses, mayBeStrange, operationId);
  }
  for (const [, name] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    assert.ok(name !== undefined && name in document.components.schemas, name);
  assert.match(JSON.stringify(document), /"writeOnly":true/);
});

test('variables of the environment have defaults, bounds and messages that name them', () => {
  const environment = { A: '', PORT: '80', YES: 'TRUE', NO: '0', URL: 'https://x.example/', KEY: 'k'.repeat(32) };
  assert.equal(readText(environment, 'A', 'fallback'), 'fallback');
  assert.equal(readText(environment, 'PORT', ''), '80');
  assert.equal(readPort(environment, 'PORT', 1), 80);
  assert.equal(readPort(environment, 'A', 1), 1);
  assert.deepEqual(
    [readBoolean(environment, 'YES', false), readBoolean(environment, 'NO', true), readBoolean(environment, 'A', true)],
    [true, false, true],
  );
  assert.equal(readUrl(environment, 'URL', ''), 'https://x.example');
  assert.equal(readSecret(environment, 'KEY', 32), environment.KEY);
  const refused: (() => unknown)[] = [
    () => readInteger({ BAD: '7' }, 'BAD', { min: 8, max: 9, fallback: 8 }),
    () => readInteger({ BAD: '8.5' }, 'BAD', { min: 8, max: 9, fallback: 8 }),
    () => readPort({ BAD: '70000' }, 'BAD', 1),
    () => readBoolean({ BAD: 'perhaps' }, 'BAD', true),
    () => readUrl({ BAD: 'file:///etc' }, 'BAD', ''),
    () => readUrl({ BAD: 'x' }, 'BAD', ''),
  ];
  for (const read of refused)
    assert.throws(read, (thrown) => thrown instanceof EnvironmentError && thrown.message.startsWith('BAD must be'));
  assert.throws(
    () => readSecret({ BAD: 'hunter2' }, 'BAD', 32),
    (thrown: Error) => thrown.message.startsWith('BAD must be') && !thrown.message.includes('hunter2'),
  );
});
