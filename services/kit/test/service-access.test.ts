/** How services know each other: certificates, signed tokens, the secret; what each door takes and refuses. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import {
  doorCallers,
  type ErrorName,
  isLucidError,
  type LucidError,
  mayCall,
  mayEnter,
  type Ports,
  rpcClient,
  rpcPorts,
  type ServiceName,
  serviceNames,
} from '@lucid-sessions/contract';
import { eventually } from '@lucid-sessions/testkit';
import { makeServiceCa, type ServiceCa } from '@lucid-sessions/testkit/service-ca';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import {
  createServiceHttp,
  doorHeader,
  readServiceAccess,
  type ServiceAccess,
  ServiceCaller,
  servicesOf,
} from '../src/index.ts';

const secret = 'test secret of the services, 32 or more';

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-access-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A storage service that answers `statistics` after `waitMs`. */
async function storageDoor(t: TestContext, access: ServiceAccess, waitMs = 0): Promise<string> {
  let kept: Uint8Array | null = null;
  const port = {
    health: async () => ({ service: 'storage', status: 'healthy', message: null, details: {} }),
    statistics: async () => {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      return { sessions: 1 };
    },
    putSidecar: async ({ bytes }: { bytes: Uint8Array }) => {
      kept = bytes;
    },
    getSidecar: async () => ({ bytes: kept }),
  };
  const app = createServiceHttp({
    name: 'storage',
    port: port as unknown as Ports['storage'],
    ...access,
    doors: { browser: ({ socket }) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n') },
  });
  t.after(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  return app.listen({ host: '127.0.0.1', port: 0 });
}

interface Certified {
  access: ServiceAccess;
  /** Renews the files as a person would: one after the other, each at once. */
  renew(ca: ServiceCa, options: Parameters<ServiceCa['issue']>[0], trusted?: string): Promise<void>;
}

async function certified(
  t: TestContext,
  ca: ServiceCa,
  options: Parameters<ServiceCa['issue']>[0],
  trusted = ca.certificate,
): Promise<Certified> {
  const directory = directoryFor(t);
  const [certificatePath, keyPath, caPath] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const put = (path: string, text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  const renew: Certified['renew'] = async (by, what, trust = by.certificate) => {
    const { certificate, key } = await by.issue(what);
    put(caPath, trust);
    put(certificatePath, certificate);
    put(keyPath, key);
  };
  await renew(ca, options, trusted);
  return {
    renew,
    access: { serviceSecret: '', proof: { tls: { certificatePath, keyPath, caPath }, tokens: null } },
  };
}

const storageOf = (url: string, access: ServiceAccess) =>
  rpcClient('storage', url, new ServiceCaller(access).rpcOptions('storage'));

const isCode = (name: ErrorName) => (error: unknown) =>
  isLucidError(error, name) || assert.fail(`${(error as LucidError).code}: ${(error as Error).message}`);

test('over mutual TLS a service calls what is its to call, and its certificate says who it is', async (t) => {
  const ca = await makeServiceCa();
  const door = await certified(t, ca, { dns: ['session-storage.lucid.svc'], addresses: ['127.0.0.1'] });
  const url = await storageDoor(t, door.access);
  assert.match(url, /^https:/);
  const as = async (options: Parameters<ServiceCa['issue']>[0]) =>
    storageOf(url, (await certified(t, ca, options)).access);
  const api = await as({ dns: ['lucid-api-3.ns.svc.cluster.local'] });
  assert.deepEqual(await api.statistics(), { sessions: 1 });
  const processor = await as({ uris: ['spiffe://cluster.local/ns/lucid/sa/chunk-processor'] });
  const sidecar = { sessionId: '00000000-0000-4000-8000-000000000001', name: 'index' };
  const bytes = new Uint8Array(3_000_000).map((_, at) => at % 251);
  await processor.putSidecar({ ...sidecar, bytes });
  assert.ok(Buffer.from((await processor.getSidecar(sidecar)).bytes!).equals(bytes));
  await assert.rejects(processor.purgeSession({ sessionId: 's' } as never), isCode('forbidden'));
  for (const dns of [['recorder'], ['storage'], ['evil'], ['apis'], []])
    await assert.rejects((await as({ dns })).statistics(), isCode('forbidden'), dns.join());
});

test('nobody comes in without a certificate of the CA, and nobody talks to who is not the service', async (t) => {
  const ca = await makeServiceCa();
  const other = await makeServiceCa('somebody else');
  const door = await certified(t, ca, { dns: ['storage'] });
  const url = await storageDoor(t, door.access);
  const wrongCa = await certified(t, other, { dns: ['api'] }, ca.certificate);
  await assert.rejects(storageOf(url, wrongCa.access).statistics(), isCode('unauthenticated'));
  const expired = await certified(t, ca, { dns: ['api'], lifetimeMs: -3_600_000 });
  await assert.rejects(storageOf(url, expired.access).statistics(), isCode('unauthenticated'));
  // It believes another CA: the door is nobody it knows.
  const strict = await certified(t, other, { dns: ['api'] });
  await assert.rejects(storageOf(url, strict.access).statistics(), isCode('unavailable'));
  // A service of the CA, but not the one that is called.
  const pipeline = await certified(t, ca, { dns: ['pipeline'] });
  const elsewhere = await storageDoor(t, pipeline.access);
  const api = await certified(t, ca, { dns: ['api'] });
  await assert.rejects(storageOf(elsewhere, api.access).statistics(), isCode('unavailable'));
  // Plain HTTP to a TLS door, and TLS to a plain one.
  const plain = rpcClient('storage', url.replace('https', 'http'), { token: secret });
  await assert.rejects(plain.statistics(), isCode('unavailable'));
  const open = await storageDoor(t, { serviceSecret: secret });
  await assert.rejects(storageOf(open.replace('http', 'https'), api.access).statistics(), isCode('unavailable'));
  // Probes have no certificate.
  const status = await new Promise((resolve, reject) =>
    request(`${url}/readyz`, { rejectUnauthorized: false }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end(),
  );
  assert.equal(status, 200);
});

test('doors are entered the same way', async (t) => {
  const ca = await makeServiceCa();
  const url = await storageDoor(t, (await certified(t, ca, { dns: ['storage'] })).access);
  const enter = async (name: string) => {
    const caller = new ServiceCaller((await certified(t, ca, { dns: [name] })).access);
    return new Promise((resolve, reject) =>
      request(
        `${url}/doors/browser`,
        {
          ...caller.requestOptions('storage'),
          headers: { connection: 'Upgrade', upgrade: 'x', [doorHeader.clientAddress]: '192.0.2.1' },
          agent: false,
        },
        (answer) => resolve(answer.resume().statusCode),
      )
        .on('error', reject)
        .end(),
    );
  };
  assert.deepEqual([await enter('api'), await enter('recorder')], [200, 401]);
});

test('renewed certificates and a new CA are used without a restart, and no call under way notices', async (t) => {
  const [first, second] = [await makeServiceCa('first'), await makeServiceCa('second')];
  const both = `${first.certificate}${second.certificate}`;
  const door = await certified(t, first, { dns: ['storage'] }, both);
  const api = await certified(t, first, { dns: ['api'] }, both);
  const url = await storageDoor(t, door.access, 20);
  const storage = storageOf(url, api.access);
  let calls = 0;
  let failed: unknown = null;
  let going = true;
  const lanes = Array.from({ length: 4 }, async () => {
    while (going) {
      await storage.statistics().catch((error: unknown) => {
        failed ??= error;
      });
      calls += 1;
    }
  });
  await eventually('calls under the first CA', async () => calls > 8);
  await door.renew(second, { dns: ['storage'] }, both);
  await api.renew(second, { dns: ['api'] }, both);
  const isSecond = () =>
    new Promise<boolean>((resolve, reject) => {
      const asked = request(`${url}/livez`, { rejectUnauthorized: false, agent: false }, (answer) => {
        answer.resume();
        const { issuer } = (answer.socket as TLSSocket).getPeerCertificate();
        resolve(issuer.CN === 'second');
      });
      asked.on('error', reject).end();
    });
  await eventually('the renewed certificate at the door', isSecond);
  const then = calls;
  await eventually('calls behind it', async () => calls > then + 8);
  going = false;
  await Promise.all(lanes);
  assert.equal(failed, null);
  // Who is left with the first CA's certificate, once nobody trusts it any more, stays outside.
  await door.renew(second, { dns: ['storage'] });
  const late = await certified(t, first, { dns: ['api'] }, both);
  await eventually('the first CA is gone', () =>
    storageOf(url, late.access)
      .statistics()
      .then(
        () => false,
        (error: unknown) => isLucidError(error, 'unauthenticated'),
      ),
  );
});

interface SignedHouse {
  keysPath: string;
  accessOf(service: ServiceName): ServiceAccess;
  sign(service: ServiceName, claims: Record<string, unknown>, more?: { kid?: string; typ?: string }): Promise<string>;
  /** As the file has them. */
  publish(services: readonly ServiceName[]): void;
}

function signedHouse(t: TestContext): SignedHouse {
  const directory = directoryFor(t);
  const keysPath = join(directory, 'keys.json');
  const pairs = new Map(serviceNames.map((name) => [name, generateKeyPairSync('ed25519')] as const));
  for (const [name, { privateKey }] of pairs)
    writeFileSync(join(directory, `${name}.pem`), privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const publish = (services: readonly ServiceName[]): void => {
    const keys = services.map((name) => ({
      ...createPublicKey(pairs.get(name)!.privateKey).export({ format: 'jwk' }),
      services: [name],
    }));
    writeFileSync(`${keysPath}.new`, JSON.stringify({ keys }));
    renameSync(`${keysPath}.new`, keysPath);
  };
  publish(serviceNames);
  return {
    keysPath,
    publish,
    accessOf: (service) => ({
      serviceSecret: '',
      proof: { tls: null, tokens: { keyPath: join(directory, `${service}.pem`), keysPath } },
    }),
    async sign(service, claims, { kid, typ = 'lucid-call+jwt' } = {}) {
      const { privateKey } = pairs.get(service)!;
      const own = await calculateJwkThumbprint(
        createPublicKey(privateKey).export({ format: 'jwk' }) as { kty: string },
      );
      return new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ, kid: kid ?? own }).sign(privateKey);
    },
  };
}

test('a signed token opens one call of one service, once, for as long as it says', async (t) => {
  const house = signedHouse(t);
  const url = await storageDoor(t, house.accessOf('storage'));
  const path = '/rpc/storage/statistics';
  assert.deepEqual(await storageOf(url, house.accessOf('api')).statistics(), { sessions: 1 });
  await assert.rejects(storageOf(url, house.accessOf('recorder')).statistics(), isCode('forbidden'));
  const ask = (token: string) => rpcClient('storage', url, { token }).statistics();
  const caller = new ServiceCaller(house.accessOf('api'));
  const token = await caller.token('storage', path);
  assert.deepEqual(await ask(token), { sessions: 1 });
  await assert.rejects(ask(token), /was used already/);
  await assert.rejects(ask(await caller.token('storage', '/rpc/storage/putChunk')), /is for another call/);
  await assert.rejects(ask(await caller.token('pipeline', path)), /ERR_JWT_CLAIM_VALIDATION_FAILED/);
  const now = Math.floor(Date.now() / 1000);
  const good = { path, aud: 'storage', iat: now, exp: now + 30, jti: 'a' };
  assert.deepEqual(await ask(await house.sign('api', good)), { sessions: 1 });
  const cases: [Record<string, unknown>, Parameters<SignedHouse['sign']>[2], RegExp][] = [
    [{ ...good, jti: 'b', iat: now - 60, exp: now - 20 }, {}, /has expired/],
    [{ ...good, jti: 'c', exp: now + 120 }, {}, /lasts longer than 60 s/],
    [{ ...good, jti: 'd', iat: now + 300, exp: now + 330, nbf: now + 300 }, {}, /is not good/],
    [{ ...good, jti: 'i', iat: now + 3600, exp: now + 3630 }, {}, /is not good yet/],
    [{ ...good, jti: undefined }, {}, /has no name of its own/],
    [{ ...good, jti: 'e', exp: undefined }, {}, /is not good/],
    [{ ...good, jti: 'f' }, { kid: 'nobody' }, /a key nobody here knows/],
    [{ ...good, jti: 'g' }, { typ: 'JWT' }, /is not good/],
  ];
  for (const [claims, more, message] of cases)
    await assert.rejects(ask(await house.sign('api', claims, more)), message);
  // Clocks a few seconds apart are none's fault.
  assert.deepEqual(await ask(await house.sign('api', { ...good, jti: 'h', iat: now - 35, exp: now - 5 })), {
    sessions: 1,
  });
  for (const none of ['', secret, 'a.b.c', `${token}x`]) await assert.rejects(ask(none), isCode('unauthenticated'));
});

test('keys are added and withdrawn in the file, without a restart', async (t) => {
  const house = signedHouse(t);
  house.publish(['pipeline']);
  const url = await storageDoor(t, house.accessOf('storage'));
  const api = storageOf(url, house.accessOf('api'));
  await assert.rejects(api.statistics(), /a key nobody here knows/);
  house.publish(['pipeline', 'api']);
  await eventually('the new key', () =>
    api.statistics().then(
      () => true,
      () => false,
    ),
  );
  writeFileSync(house.keysPath, '{ half');
  assert.deepEqual(await api.statistics(), { sessions: 1 });
  house.publish(['pipeline']);
  await eventually('the withdrawn key', () =>
    api.statistics().then(
      () => false,
      () => true,
    ),
  );
});

test('while both are configured tokens and the secret open a door, and TLS is asked for beside either', async (t) => {
  const house = signedHouse(t);
  const { proof } = house.accessOf('storage');
  const url = await storageDoor(t, { serviceSecret: secret, proof: proof! });
  assert.deepEqual(await rpcClient('storage', url, { token: secret }).statistics(), { sessions: 1 });
  assert.deepEqual(await storageOf(url, house.accessOf('api')).statistics(), { sessions: 1 });
  await assert.rejects(rpcClient('storage', url, { token: 'x'.repeat(40) }).statistics(), isCode('unauthenticated'));
  const ca = await makeServiceCa();
  const tls = (await certified(t, ca, { dns: ['storage'] })).access.proof!.tls;
  const guarded = await storageDoor(t, { serviceSecret: '', proof: { tls, tokens: proof!.tokens } });
  const apiTls = (await certified(t, ca, { dns: ['api'] })).access;
  const { tokens } = house.accessOf('api').proof!;
  await assert.rejects(storageOf(guarded, apiTls).statistics(), isCode('unauthenticated'));
  const whole = { serviceSecret: '', proof: { tls: apiTls.proof!.tls, tokens } };
  assert.deepEqual(await storageOf(guarded, whole).statistics(), { sessions: 1 });
});

test('what a certificate is for is read from its names alone, and nothing quoted in them counts', () => {
  const cases: [string | undefined, ServiceName[]][] = [
    ['DNS:recorder', ['recorder']],
    ['DNS:lucid-recorder-12.lucid-recorder.ns.svc', ['recorder']],
    ['DNS:session-api, URI:spiffe://x/sa/pipeline', ['pipeline', 'api']],
    ['DNS:chunk-processor.lucid', ['processor']],
    ['DNS:recorder-x, DNS:xrecorder, DNS:my-recorder, DNS:chunk-recorder', []],
    ['DNS:"evil, DNS:api", IP Address:127.0.0.1', []],
    ['email:recorder', []],
    ['URI:api://host/evil', []],
    [undefined, []],
  ];
  for (const [names, services] of cases) assert.deepEqual(servicesOf(names), services, String(names));
});

test('the table of callers names methods that are there, and keeps the recorder from what ends or reads recordings', () => {
  for (const method of ['remove', 'erase', 'create', 'stop', 'control', 'decideApproval', 'issueCredential'])
    assert.equal(mayCall(['recorder'], 'pipeline', method), false, method);
  for (const method of Object.keys(rpcPorts.storage)) assert.equal(mayCall(['recorder'], 'storage', method), false);
  assert.equal(mayCall(['storage'], 'processor', 'signRecord'), false);
  assert.equal(mayCall(['recorder'], 'pipeline', 'admit'), true);
  assert.deepEqual(Object.keys(doorCallers), ['browser', 'rdg', 'steer', 'passed']);
  assert.deepEqual([mayEnter(['recorder'], 'passed'), mayEnter(['recorder'], 'rdg')], [true, false]);
  assert.deepEqual([mayEnter(['pipeline'], 'passed'), mayEnter(['api'], 'passed')], [false, false]);
});

test('half of what is needed is refused, and so are files that are none', (t) => {
  const directory = directoryFor(t);
  const bad = join(directory, 'bad');
  writeFileSync(bad, 'nothing');
  assert.throws(() => readServiceAccess({ LUCID_SERVICE_TLS_CERT: 'a' }), { variable: 'LUCID_SERVICE_TLS_CERT' });
  assert.throws(() => readServiceAccess({ LUCID_SERVICE_KEY: 'a' }), { variable: 'LUCID_SERVICE_KEY' });
  assert.throws(() => readServiceAccess({}), { variable: 'LUCID_SERVICE_SECRET' });
  const both = { LUCID_SERVICE_KEY: bad, LUCID_SERVICE_KEYS: bad };
  assert.throws(() => new ServiceCaller(readServiceAccess(both)), { variable: 'LUCID_SERVICE_KEY' });
  const tls = {
    LUCID_SERVICE_TLS_CERT: bad,
    LUCID_SERVICE_TLS_KEY: bad,
    LUCID_SERVICE_TLS_CA: join(directory, 'none'),
  };
  assert.throws(() => new ServiceCaller(readServiceAccess(tls)), { variable: 'LUCID_SERVICE_TLS_CERT' });
  assert.throws(() => new ServiceCaller(readServiceAccess({ ...tls, LUCID_SERVICE_TLS_CA: bad })), {
    variable: 'LUCID_SERVICE_TLS_CERT',
  });
});
