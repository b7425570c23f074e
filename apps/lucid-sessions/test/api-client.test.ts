/** What a person reads whose command reaches no API. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiClient } from '../src/cli/api-client.ts';

const cases: [string, string, RegExp][] = [
  ['UND_ERR_SOCKET', 'other side closed', /other side closed; https:\/\/ may be meant/],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'error:0A00010B', /no TLS is spoken there: http:\/\/ may be meant/],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed', /not trusted, DEPTH_ZERO_SELF_SIGNED_CERT: NODE_EXTRA_CA_CERTS names/],
  ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1', /\(connect ECONNREFUSED 127\.0\.0\.1:1\)/],
];

for (const [code, text, words] of cases)
  test(`${code} in words`, async () => {
    const cause = Object.assign(new Error(text), { code });
    const fetch = () => Promise.reject(new TypeError('fetch failed', { cause }));
    const api = new ApiClient({ url: 'https://gw.example', token: 'x', fetch });
    await assert.rejects(api.rest.listApprovals({}), words);
  });

/** An API that is asked `refusals` times before it answers. */
function limited(refusals: number, retryAfter: string | null) {
  const pauses: number[] = [];
  let asked = 0;
  const fetch = async () => {
    asked += 1;
    if (asked > refusals) return Response.json({ approvals: [] });
    const headers = retryAfter === null ? {} : { 'retry-after': retryAfter };
    return Response.json({ error: { code: 'LUCID_ERR_3010', message: 'too many requests' } }, { status: 429, headers });
  };
  const onPause = (seconds: number) => pauses.push(seconds);
  const api = new ApiClient({ url: 'https://gw.example', token: 'x', fetch, onPause });
  return { list: () => api.rest.listApprovals({}), pauses, asked: () => asked };
}

test('a pause that the API asks for is kept, and told', async () => {
  const { list, pauses, asked } = limited(3, '0');
  await list();
  assert.deepEqual([pauses, asked()], [[0, 0, 0], 4]);
});

for (const retryAfter of ['900', null])
  test(`a refusal without a pause worth waiting for is told (Retry-After: ${retryAfter})`, async () => {
    const { list, pauses, asked } = limited(1, retryAfter);
    await assert.rejects(list(), { message: 'too many requests (LUCID_ERR_3010)', code: 'LUCID_ERR_3010' });
    assert.deepEqual([pauses, asked()], [[], 1]);
  });

test('an API that goes on asking for pauses is left in the end', async () => {
  const { list, asked } = limited(1000, '0');
  await assert.rejects(list(), /too many requests/);
  assert.equal(asked(), 11);
});
