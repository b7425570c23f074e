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
