import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RestCall, type RestRoute, restClient, restOperations, restRoutes } from '../src/index.ts';

test('the table clients go by says of every route what the schemas say', () => {
  assert.deepEqual(Object.keys(restOperations).sort(), Object.keys(restRoutes).sort());
  for (const [operation, route] of Object.entries<RestRoute>(restRoutes)) {
    assert.equal(route.answers === 'file', 'contentType' in route.answer, operation);
    assert.equal(route.sends, route.upload?.contentType, operation);
  }
});

const asked: RestCall[] = [];
const client = restClient({
  send: async (call) => {
    asked.push(call);
    return new Response('{"number":7}');
  },
});

test('a call is made of its route: path, query, body, file, and what it answers', async () => {
  const signal = new AbortController().signal;
  const query = { limit: 5, offset: 0, search: undefined, status: 'failed' } as const;
  assert.deepEqual(await client.listSessions({ query, signal }), { number: 7 });
  const download = await client.downloadChunk({ params: { session_id: 'a/b', chunk_id: 'c d' } });
  assert.ok(download instanceof Response && !download.bodyUsed);
  await client.getKey({ params: { session_id: 's' }, query: { inputs: true } });
  await client.stopSession({ params: { session_id: 's' }, body: { reason: 'done' } });
  const file = new Uint8Array([1]);
  await client.importSession({ query: { name: 'n', source_name: 'f', source_sha256: 'ab' }, file });
  assert.deepEqual(asked, [
    { operation: 'listSessions', method: 'GET', path: '/api/v1/sessions?limit=5&offset=0&status=failed', signal },
    { operation: 'downloadChunk', method: 'GET', path: '/api/v1/sessions/a%2Fb/chunks/c%20d/download' },
    { operation: 'getKey', method: 'GET', path: '/api/v1/sessions/s/key?inputs=true' },
    {
      ...{ operation: 'stopSession', method: 'POST', path: '/api/v1/sessions/s/stop' },
      ...{ body: '{"reason":"done"}', contentType: 'application/json' },
    },
    {
      ...{ operation: 'importSession', method: 'POST' },
      path: '/api/v1/sessions/import?name=n&source_name=f&source_sha256=ab',
      ...{ body: file, contentType: 'application/gzip' },
    },
  ]);
});

test('a parameter that is empty leads to no other route', async () => {
  await assert.rejects(client.getSession({ params: { session_id: '' } }), /getSession needs session_id/);
});

/** Never called: what the compiler must refuse. */
export const refused = [
  // @ts-expect-error its session is missing
  () => client.getSession(),
  // @ts-expect-error no such status
  () => client.listSessions({ query: { status: 'gone' } }),
  // @ts-expect-error a chunk's answer has no body
  async () => (await client.getChunk({ params: { session_id: 's', chunk_id: 'c' } })).body,
  // @ts-expect-error it takes no body
  () => client.pauseSession({ params: { session_id: 's' }, body: {} }),
];
