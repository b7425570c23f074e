import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import { createServiceHttp, fromFastify } from '@lucid-sessions/kit';
import fc from 'fast-check';
import {
  decodeRpc,
  encodeRpc,
  LucidError,
  type PipelinePort,
  type RecorderPort,
  rpcClient,
  rpcContentType,
  rpcFailoverClient,
  rpcMethod,
  rpcPorts,
  rpcServer,
  toLucidError,
} from '../src/index.ts';

const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    json,
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__'), fc.constant('value')), tie('node'), { maxKeys: 4 }),
  ),
})).node;

/** fast-check's dictionaries have a null prototype; JSON's have not. */
const plain = (input: unknown): unknown => {
  if (input instanceof Uint8Array || typeof input !== 'object' || input === null) return input;
  if (Array.isArray(input)) return input.map(plain);
  return Object.fromEntries(Object.entries(input).map(([key, item]) => [key, plain(item)]));
};

test('any value of JSON and bytes survives the codec', () => {
  fc.assert(
    fc.property(value, (input) => {
      assert.deepEqual(decodeRpc(encodeRpc(input)), plain(input));
    }),
    { numRuns: 300 },
  );
});

test('bytes over shared memory are carried', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(5);
  assert.deepEqual(decodeRpc(encodeRpc({ file: shared })), { file: new Uint8Array(8).fill(5) });
});

test('cut or changed bodies are refused with invalid request, never with anything else', () => {
  const whole = encodeRpc({ a: [new Uint8Array([1, 2, 3])], b: 'text' });
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => decodeRpc(whole.subarray(0, length)), { code: 'LUCID_ERR_3002' });
  fc.assert(
    fc.property(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = whole.slice();
      changed[at]! ^= change;
      try {
        decodeRpc(changed);
      } catch (thrown) {
        assert.equal((thrown as LucidError).code, 'LUCID_ERR_3002');
      }
    }),
  );
});

const body = (envelope: unknown, tail: number[] = []) => {
  const text = new TextEncoder().encode(JSON.stringify(envelope));
  const bytes = new Uint8Array(4 + text.length + tail.length);
  new DataView(bytes.buffer).setUint32(0, text.length);
  bytes.set(text, 4);
  bytes.set(tail, 4 + text.length);
  return bytes;
};

test('binaries can only be put where a null is, and only on own properties', () => {
  for (const [envelope, tail] of [
    [{ value: {}, binaries: [{ path: ['__proto__'], length: 1 }] }, [1]],
    [{ value: {}, binaries: [{ path: ['a', 'b'], length: 1 }] }, [1]],
    [{ value: { a: 1 }, binaries: [{ path: ['a'], length: 1 }] }, [1]],
    [{ value: null, binaries: [{ path: 'a', length: 1 }] }, [1]],
    [{ value: null, binaries: [{ path: [], length: 2 }] }, [1]],
    [{ value: null, binaries: [{ path: [], length: -1 }] }, [1]],
    [{ value: null, binaries: [null] }, []],
    [{ value: null, binaries: Array(10_001).fill({ path: [], length: 0 }) }, []],
    [{ value: 1, binaries: [] }, [9]],
    [{ value: 1 }, []],
    [null, []],
  ] as const)
    assert.throws(() => decodeRpc(body(envelope, [...tail])), { code: 'LUCID_ERR_3002' });
});

test('values nested too deep are refused when sent', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 20; level++) deep = [deep];
  assert.throws(() => encodeRpc(deep), { code: 'LUCID_ERR_3022' });
});

const secret = 'a shared secret of the services, long enough';
const statistics = {
  framesCount: 1,
  relayedBytes: 2,
  framesDropped: 0,
  errorsCount: 0,
  durationUs: 3,
  updatesCount: 1,
};
const recorder: RecorderPort = {
  stop: async ({ sessionId }) => {
    if (sessionId === 'nowhere')
      throw new LucidError('sessionNotFound', 'no such session', { details: { session_id: sessionId } });
    if (sessionId === 'full') throw new LucidError('storage', 'disk full', { status: 507 });
    if (sessionId === 'bug') throw new TypeError('secret inside text');
    return { stopped: true };
  },
  pause: async () => ({ pausedAtUs: 7 }),
  resume: () => new Promise(() => {}),
  message: async () => ({ untilUs: 9 }),
  steer: async () => ({ token: 't', expiresUs: 9 }),
  live: async () => ({ sessions: [{ sessionId: 's', startedAtUs: 1, paused: false, statistics }] }),
  importCapture: async () => ({ session: null as never }),
  liveFrames: async ({ afterFrame }) => ({
    state: 'ended',
    chunkIndex: 0,
    firstFrame: afterFrame,
    framesCount: 0,
    frames: new Uint8Array(0),
  }),
  judgeTarget: async () => ({ open: true }),
  checkTarget: async () => ({ message: 'no', address: null, certificate: null }),
  drain: async () => ({ sessions: 0, spooled: 0 }),
  replicaState: async () => ({ segments: [], takenOver: [] }),
  replicate: async () => {},
  health: async () => ({ service: 'recorder', status: 'healthy', message: null, details: {} }),
};

const seen: string[] = [];
const app = createServiceHttp({
  name: 'recorder',
  port: recorder,
  serviceSecret: secret,
  metrics: async () => 'x_total 1\n',
  onError: (where, thrown) => seen.push(`${where}: ${(thrown as Error).message}`),
});
let base = '';
/** Answers whatever a test puts here. */
let oddAnswer: { status: number; type: string; body: Uint8Array; announce?: boolean } = {
  status: 200,
  type: 'text/plain',
  body: new Uint8Array(0),
};
let odd: Server;
let oddBase = '';
before(async () => {
  base = await app.listen({ host: '127.0.0.1', port: 0 });
  odd = createServer((request, response) => {
    request.resume();
    response.writeHead(oddAnswer.status, {
      'content-type': oddAnswer.type,
      ...(oddAnswer.announce ? { 'content-length': oddAnswer.body.length } : {}),
    });
    response.write(oddAnswer.body);
    response.end();
  });
  await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
  oddBase = `http://127.0.0.1:${(odd.address() as { port: number }).port}`;
});
after(async () => {
  odd.closeAllConnections();
  odd.close();
  app.server.closeAllConnections();
  await app.close();
});

test('a client answers like the port itself', async () => {
  const client = rpcClient('recorder', `${base}/`, { token: secret });
  assert.deepEqual(await client.live(), await recorder.live());
  assert.deepEqual(await client.stop({ sessionId: 's', reason: 'stopped', message: '' }), { stopped: true });
});

test('codes, statuses and details survive the wire; unknown errors keep their text to themselves', async () => {
  const client = rpcClient('recorder', base, { token: secret });
  const stop = (sessionId: string) => client.stop({ sessionId, reason: 'stopped', message: '' });
  await assert.rejects(stop('nowhere'), {
    code: 'LUCID_ERR_3001',
    status: 404,
    message: 'no such session',
    details: { session_id: 'nowhere' },
  });
  await assert.rejects(stop('full'), { code: 'LUCID_ERR_3007', status: 507 });
  await assert.rejects(stop('bug'), (thrown: LucidError) => {
    assert.equal(thrown.code, 'LUCID_ERR_3022');
    assert.doesNotMatch(thrown.message, /secret/);
    return true;
  });
  assert.deepEqual(seen, ['stop: secret inside text']);
});

test('without the shared secret nothing is called', async () => {
  for (const token of ['', 'x'.repeat(44), secret.slice(1)])
    await assert.rejects(rpcClient('recorder', base, { token }).live(), { code: 'LUCID_ERR_3011', status: 401 });
  assert.throws(() => createServiceHttp({ name: 'recorder', port: recorder, serviceSecret: 'short' }), LucidError);
});

test('unknown methods, routes and content types are refused', async () => {
  const post = (path: string, type: string, bytes: Uint8Array<ArrayBuffer> | null) =>
    fetch(base + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, ...(bytes === null ? {} : { 'content-type': type }) },
      body: bytes,
    });
  const empty = encodeRpc(undefined);
  assert.equal((await post('/rpc/recorder/constructor', rpcContentType, empty)).status, 404);
  assert.equal((await post('/rpc/storage/health', rpcContentType, empty)).status, 404);
  assert.equal((await post('/rpc/recorder/live', 'application/xml', empty)).status, 415);
  assert.equal((await post('/rpc/recorder/live', 'application/json', new Uint8Array([123]))).status, 400);
  assert.equal((await post('/rpc/recorder/live', rpcContentType, null)).status, 400);
  assert.equal((await post('/rpc/recorder/live', rpcContentType, new Uint8Array(5_000_000))).status, 413);
});

test('health and metrics are open', async () => {
  assert.equal(((await (await fetch(`${base}/health`)).json()) as { status: string }).status, 'healthy');
  const metrics = await (await fetch(`${base}/metrics`)).text();
  assert.match(metrics, /^lucid_recorder_health 0$/m);
  assert.match(metrics, /^x_total 1$/m);
});

test('a service that hangs, is gone or answers nonsense is unavailable', async () => {
  const hasty = rpcClient('recorder', base, { token: secret, timeoutMsMax: 50 });
  await assert.rejects(hasty.resume({ sessionId: 's' }), { code: 'LUCID_ERR_3016', status: 504 });
  const gone = rpcClient('recorder', 'http://127.0.0.1:1', { token: secret });
  await assert.rejects(gone.live(), { code: 'LUCID_ERR_3016', status: 503 });

  const client = rpcClient('recorder', oddBase, { token: secret });
  await assert.rejects(client.live(), { code: 'LUCID_ERR_3016' });
  oddAnswer = { status: 200, type: rpcContentType, body: encodeRpc(3) };
  await assert.rejects(client.live(), { code: 'LUCID_ERR_3016' });
  oddAnswer = { status: 200, type: rpcContentType, body: encodeRpc({ result: { sessions: [] } }) };
  assert.deepEqual(await client.live(), { sessions: [] });
});

test('answers and requests beyond the limit of their method are refused by the client', async () => {
  const limit = rpcMethod('recorder', 'live')!.responseBytesMax;
  oddAnswer = { status: 200, type: rpcContentType, body: new Uint8Array(limit + 1) };
  const client = rpcClient('recorder', oddBase, { token: secret });
  await assert.rejects(client.live(), { code: 'LUCID_ERR_3017' });
  oddAnswer.announce = true;
  await assert.rejects(client.live(), { code: 'LUCID_ERR_3017' });
  const message = 'x'.repeat(5_000_000);
  await assert.rejects(client.stop({ sessionId: 's', reason: 'stopped', message }), { code: 'LUCID_ERR_3017' });
});

test('the pure handler bounds requests and answers', async () => {
  const long = { logCheckpoint: async () => ({ checkpoint: 'x'.repeat(17 * 1024 * 1024), publicKey: '' }) };
  const handler = rpcServer('pipeline', long as unknown as PipelinePort);
  assert.equal((await handler('logCheckpoint', encodeRpc(undefined))).status, 413);
  assert.equal((await handler('logCheckpoint', new Uint8Array(5_000_000))).status, 413);
  assert.equal((await handler('toString', encodeRpc(undefined))).status, 404);
});

test('every method has limits', () => {
  for (const methods of Object.values(rpcPorts))
    for (const limits of Object.values(methods)) {
      assert.ok(limits.timeoutMs > 0 && limits.timeoutMs <= 300_000);
      assert.ok(limits.requestBytesMax > 0 && limits.responseBytesMax > 0);
    }
});

test('errors keep to the closed table', () => {
  assert.equal(new LucidError('storage', 'm', { status: 200 }).status, 500);
  assert.equal(LucidError.fromWire(null).code, 'LUCID_ERR_3022');
  assert.equal(LucidError.fromWire({ code: 'LUCID_ERR_9999', message: 'm' }).code, 'LUCID_ERR_3022');
  assert.equal(toLucidError('thrown text').code, 'LUCID_ERR_3022');
  assert.equal(fromFastify({ code: 'FST_ERR_CTP_BODY_TOO_LARGE' })?.status, 413);
  assert.equal(fromFastify({ statusCode: 400 })?.code, 'LUCID_ERR_3002');
  assert.equal(fromFastify(new Error('x')), null);
});

test('several addresses: the one that answers is asked, and stays preferred', async () => {
  const both = rpcFailoverClient('recorder', ['http://127.0.0.1:1', base], { token: secret });
  assert.deepEqual(await both.live(), await recorder.live());
  await assert.rejects(both.stop({ sessionId: 'nowhere', reason: 'stopped', message: '' }), { code: 'LUCID_ERR_3001' });
  const neither = rpcFailoverClient('recorder', ['http://127.0.0.1:1', 'http://127.0.0.1:2'], { token: secret });
  await assert.rejects(neither.live(), { code: 'LUCID_ERR_3016' });
});
