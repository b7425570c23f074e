/** Who is calling and from where: headers are anybody's words, tokens hold only as they were meant. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  addressGroup,
  authenticator,
  clientAddress,
  MemoryRateLimiter,
  normalAddress,
  readApiEnv,
  readProxyTrust,
} from '@lucid-sessions/api';
import { basePath } from '@lucid-sessions/contract';
import fc from 'fast-check';
import { exportJWK, SignJWT } from 'jose';
import { apiWorld, jwtSecret, token } from './world.ts';

const trustOf = (text: string) => readProxyTrust({ LUCID_TRUST_PROXY: text }, 'LUCID_TRUST_PROXY');

test('hops are counted and networks matched from the right', () => {
  const forged = '6.6.6.6, 7.7.7.7';
  const cases: [string, string, string | undefined, string][] = [
    ['', '10.0.0.1', '1.2.3.4', '10.0.0.1'],
    ['false', '10.0.0.1', '1.2.3.4', '10.0.0.1'],
    ['0', '10.0.0.1', '1.2.3.4', '10.0.0.1'],
    ['true', '10.0.0.1', `${forged}, 1.2.3.4`, '1.2.3.4'],
    ['1', '10.0.0.1', `${forged}, 1.2.3.4`, '1.2.3.4'],
    ['2', '10.0.0.1', `${forged}, 1.2.3.4, 10.0.0.2`, '1.2.3.4'],
    ['2', '10.0.0.1', '10.0.0.2', '10.0.0.2'],
    ['3', '10.0.0.1', undefined, '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', `${forged}, 1.2.3.4, 10.9.9.9`, '1.2.3.4'],
    ['10.0.0.0/8', '1.2.3.4', forged, '1.2.3.4'],
    ['10.0.0.1', '10.0.0.2', forged, '10.0.0.2'],
    ['10.0.0.0/8, fd00::/8', 'fd00::1', '2001:db8::7, 10.1.1.1', '2001:db8::7'],
    ['10.0.0.0/8', '::ffff:10.0.0.1', '1.2.3.4', '1.2.3.4'],
    ['1', '10.0.0.1', '1.2.3.4:5678', '1.2.3.4'],
    ['1', '10.0.0.1', '[2001:DB8:0::1]:443', '2001:db8::1'],
    ['1', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['1', '10.0.0.1', '1.2.3.4, <script>', '10.0.0.1'],
    ['1', '10.0.0.1', '', '10.0.0.1'],
    ['2', '10.0.0.1', '1.2.3.4, _hidden, 10.0.0.2', '10.0.0.2'],
  ];
  for (const [trust, remote, forwarded, expected] of cases)
    assert.equal(clientAddress(remote, forwarded, trustOf(trust)), expected, `${trust} ${remote} ${forwarded}`);
  assert.equal(clientAddress(undefined, '1.2.3.4', trustOf('1')), 'unknown');
});

test('whatever stands left of what trusted proxies wrote changes nothing, and what comes out is an address', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  const junk = fc.oneof(fc.string(), fc.ipV4(), fc.constant('unknown'), fc.constant('a'.repeat(20_000)));
  fc.assert(
    fc.property(
      fc.array(junk, { maxLength: 5 }),
      address,
      fc.array(fc.ipV4(), { maxLength: 4 }),
      (forged, client, proxies) => {
        const trust = { kind: 'hops', count: proxies.length + 1 } as const;
        const header = [...forged, client, ...proxies].join(', ');
        assert.equal(clientAddress('10.0.0.1', header, trust), normalAddress(client));
      },
    ),
  );
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.integer({ min: 0, max: 20 }), (remote, header, count) => {
      const found = clientAddress(remote, header, { kind: 'hops', count });
      assert.ok(found === 'unknown' || isIP(found) > 0, found);
    }),
  );
});

test('a wrong setting is refused by its name', () => {
  for (const text of [
    'maybe',
    '21',
    '-1',
    '1.5',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8,',
    'proxy.example',
  ])
    assert.throws(() => trustOf(text), /LUCID_TRUST_PROXY must be the number of proxies/, text);
});

test('an IPv6 host counts by its /64, an IPv4 host by its address', () => {
  assert.equal(addressGroup('1.2.3.4'), '1.2.3.4');
  assert.equal(addressGroup('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(addressGroup('2001:db8::1'), '2001:db8:0:0::/64');
  assert.equal(addressGroup('::1'), '0:0:0:0::/64');
  fc.assert(
    fc.property(fc.ipV6(), fc.ipV6(), (one, other) => {
      const bits = (text: string) => normalAddress(text)!;
      const same = addressGroup(bits(one)) === addressGroup(bits(other));
      assert.ok(!same || bits(one).split(':')[0] === bits(other).split(':')[0] || isIP(bits(one)) === 4);
    }),
  );
});

test('a forged X-Forwarded-For neither reaches the audit log nor escapes the limit of refused tokens', async (t) => {
  const world = await apiWorld();
  t.after(() => world.dispose());
  const sessionId = await world.create();
  const headers = { 'x-forwarded-for': '6.6.6.6', forwarded: 'for=6.6.6.6', 'x-real-ip': '6.6.6.6' };
  await world.call('getSession', {
    params: { session_id: sessionId },
    headers: { ...headers, 'user-agent': 'x'.repeat(5000) },
  });
  const { events } = await world.deps.storage.listAudit({ eventType: 'session_accessed', limit: 1, offset: 0 });
  assert.deepEqual([events[0]?.ipAddress, events[0]?.userAgent?.length], ['127.0.0.1', 300]);
  assert.doesNotMatch(JSON.stringify(world.lines), /6\.6\.6\.6/);
  let limited = 0;
  for (let tried = 0; tried < 140; tried++) {
    const bad = { authorization: 'Bearer x.y.z', 'x-forwarded-for': `6.6.${tried}.6, ${tried}` };
    const { status } = await world.raw(`${basePath}/sessions`, { headers: bad });
    if (status === 429) limited += 1;
  }
  // A minute may have ended in between.
  assert.ok(limited >= 20, `${limited} of 140 were limited`);
});

test('behind a proxy each caller has a limit of its own, and the audit log their address', async (t) => {
  const world = await apiWorld({ trustProxy: trustOf('1') });
  t.after(() => world.dispose());
  const sessionId = await world.create();
  const from = (address: string) => ({ 'x-forwarded-for': `6.6.6.6, ${address}` });
  await world.call('getSession', { params: { session_id: sessionId }, headers: from('2001:db8::7') });
  const { events } = await world.deps.storage.listAudit({ eventType: 'session_accessed', limit: 1, offset: 0 });
  assert.equal(events[0]?.ipAddress, '2001:db8::7');
  const refused = async (address: string) =>
    (await world.raw(`${basePath}/sessions`, { headers: { authorization: 'Bearer x.y.z', ...from(address) } })).status;
  let limited = 0;
  for (let tried = 0; tried < 140; tried++) if ((await refused(`2001:db8::${tried + 1}`)) === 429) limited += 1;
  assert.ok(limited >= 20, `${limited} of 140 of one /64 were limited`);
  assert.equal(await refused('2001:db8:0:1::1'), 401, 'another network is not');
});

test('a permission that is denied names no resource but an id', async (t) => {
  const world = await apiWorld();
  t.after(() => world.dispose());
  const asked = { params: { session_id: '<script> \u0007' }, roles: ['session_viewer'] };
  assert.equal((await world.call('deleteSession', asked)).status, 403);
  const { events } = await world.deps.storage.listAudit({ eventType: 'permission_denied', limit: 1, offset: 0 });
  assert.equal(events[0]?.resourceId, null);
});

test('counters of refused callers are bounded by themselves', async () => {
  const limiter = new MemoryRateLimiter(10);
  for (let caller = 0; caller < 1000; caller++) await limiter.take(`c${caller}`, 1, 0);
  assert.equal((await limiter.take('c999', 1, 0)).allowed, false);
  assert.equal((await limiter.take('c1', 1, 0)).allowed, true, 'the oldest were forgotten');
});

const nowS = () => Math.floor(Date.now() / 1000);

test('tokens from the future are refused, small differences of clocks are not', async () => {
  const authenticate = authenticator({ key: { kind: 'secret', secret: jwtSecret }, issuer: null, audience: null });
  const holding = async (claims: Record<string, unknown>) => {
    const text = await token(['admin'], claims as { exp?: number });
    return authenticate(`Bearer ${text}`).then(
      ({ userId }) => userId,
      (error: Error) => error.message,
    );
  };
  for (const claim of ['iat', 'nbf']) {
    for (const offset of [-1e6, 0, 20])
      assert.equal(await holding({ [claim]: nowS() + offset }), 'ada', `${claim} ${offset}`);
    for (const offset of [60, 3600, 1e9, 1e300])
      assert.match(await holding({ [claim]: nowS() + offset }), /future|not valid yet/, `${claim} ${offset}`);
    for (const value of ['soon', null, [], {}])
      assert.notEqual(await holding({ [claim]: value }), 'ada', `${claim} ${value}`);
  }
  assert.match(await holding({ exp: nowS() - 60 }), /has expired/);
});

test('a token that was found good is good no longer than it says', async (t) => {
  const authenticate = authenticator({ key: { kind: 'secret', secret: jwtSecret }, issuer: null, audience: null });
  const text = await token(['admin'], { exp: nowS() + 60 });
  for (let time = 0; time < 3; time += 1) assert.equal((await authenticate(`Bearer ${text}`)).userId, 'ada');
  await assert.rejects(authenticate(`Bearer ${text.slice(0, -2)}`), /not valid/, 'another than the one that was');
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 91_000 });
  await assert.rejects(authenticate(`Bearer ${text}`), /expired/);
});

test('keys that would let others in are refused at the start', () => {
  const pem = (key: KeyObject) =>
    key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }) as string;
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const withKey = (text: string) => () =>
    authenticator({ key: { kind: 'public_key', pem: text }, issuer: null, audience: null });
  assert.doesNotThrow(withKey(pem(publicKey)));
  assert.throws(withKey(pem(privateKey)), /holds a private key/);
  assert.throws(withKey(pem(weak.publicKey)), /at least 2048 bits/);
  assert.throws(() => readApiEnv({ LUCID_JWT_SECRET: pem(publicKey) }, '1'), /LUCID_JWT_SECRET holds a PEM key/);
});

test('keys of a provider come over https, or from this machine', () => {
  const urlOf = (url: string) => readApiEnv({ LUCID_JWT_JWKS_URL: url }, '1').jwt.key;
  for (const url of [
    'https://idp.example/jwks',
    'http://127.0.0.1:8080/jwks',
    'http://[::1]/jwks',
    'http://localhost/jwks',
  ])
    assert.deepEqual(urlOf(url), { kind: 'jwks', url });
  for (const url of [
    'http://idp.example/jwks',
    'http://127.0.0.1.evil.example/jwks',
    'http://localhost.evil.example/',
    'http://10.0.0.1/',
    'https://user:secret-word@idp.example/jwks',
    'file:///etc/passwd',
  ])
    assert.throws(
      () => urlOf(url),
      (error: Error) => /LUCID_JWT_JWKS_URL must be/.test(error.message) && !error.message.includes('secret-word'),
      url,
    );
});

async function provider(t: TestContext, answer: RequestListener) {
  let asked = 0;
  const server = createServer((request, response) => {
    asked += 1;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwk = await exportJWK(createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })));
  const authenticate = authenticator({ key: { kind: 'jwks', url }, issuer: null, audience: null });
  const signIn = async (kid = 'a') => {
    const text = await new SignJWT({ user_id: 'ada', roles: ['admin'], type: 'access' })
      .setProtectedHeader({ alg: 'EdDSA', kid })
      .setExpirationTime('1h')
      .sign(privateKey);
    return authenticate(`Bearer ${text}`).then(
      ({ userId }) => userId,
      (error: Error) => error.message,
    );
  };
  return { signIn, keySet: JSON.stringify({ keys: [{ ...jwk, kid: 'a', alg: 'EdDSA' }] }), asked: () => asked };
}

const sick: [string, RequestListener, RegExp][] = [
  [
    'endless',
    (_, response) => void setInterval(() => response.destroyed || response.write('x'.repeat(65_536)), 1).unref(),
    /longer than/,
  ],
  [
    'elsewhere',
    (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
    /can not be reached/,
  ],
  ['an error', (_, response) => response.writeHead(500).end('no'), /answered HTTP 500/],
  ['no JSON', (_, response) => response.end('<html>'), /no set of keys/],
  ['no keys', (_, response) => response.end('{"keys":7}'), /no set of keys/],
  ['very many keys', (_, response) => response.end(JSON.stringify({ keys: Array(101).fill({}) })), /no set of keys/],
];
for (const [what, answer, message] of sick)
  test(`a provider that answers ${what} is said to be away, and is not asked with every request`, async (t) => {
    const { signIn, asked } = await provider(t, answer);
    assert.match(await signIn(), message);
    for (let tried = 0; tried < 20; tried++) assert.match(await signIn(), /failed a moment ago/);
    assert.equal(asked(), 1);
  });

test('a token that names a key the provider has not does not have it asked each time', async (t) => {
  let text = '';
  const { signIn, keySet, asked } = await provider(t, (_, response) => response.end(text));
  text = keySet;
  assert.equal(await signIn(), 'ada');
  for (let tried = 0; tried < 20; tried++) assert.match(await signIn(`unknown ${tried}`), /not valid/);
  assert.equal(asked(), 1);
});
