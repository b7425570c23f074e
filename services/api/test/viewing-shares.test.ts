/** Recordings whose keys are shared among holders, shown through two processes of the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createApiServer } from '@lucid-sessions/api';
import { basePath, type OperationId, restRoutes, routeReveals } from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import {
  MemoryKeyShares,
  makeAgeIdentity,
  openShares,
  ShareWrapper,
  sharedWrapOf,
  unwrapDek,
} from '@lucid-sessions/keys';
import { eventually } from '@lucid-sessions/testkit';
import { type ApiWorld, apiWorld, token } from './world.ts';

let world: ApiWorld;
let second: string;
let sealedTo: MemoryKeyShares;
const holders: { identity: string; recipient: string }[] = [];
const disposers: (() => Promise<void>)[] = [];

const needed = 'LUCID_ERR_3023';
const found = { found: [{ timeUs: 1, kind: 'typed', excerpt: 'secret' }], more: false, searchedChunks: 1, chunks: 1 };

before(async () => {
  for (let n = 0; n < 3; n++) holders.push(await makeAgeIdentity());
  const wrapper = new ShareWrapper(
    holders.map(({ recipient }) => recipient),
    2,
  );
  const keeper = () => {
    const keyShares = new MemoryKeyShares(() => Date.now() * 1000);
    return { keyShares, unwrapKey: (wraps: Parameters<typeof unwrapDek>[0]) => unwrapDek(wraps, [keyShares]) };
  };
  const first = { ...keeper(), sessionIndexes: { search: async () => found } as never };
  sealedTo = first.keyShares;
  world = await apiWorld({}, first, [wrapper]);
  const other = createApiServer({ ...world.config }, { ...world.deps, ...keeper() });
  second = (await other.start()).address;
  disposers.push(
    () => other.dispose(),
    () => world.dispose(),
  );
  await eventually('both processes', async () => (await world.deps.pipeline.unlockers()).recipients.length === 2);
});
after(async () => {
  for (const dispose of disposers) await dispose();
});

async function call(at: string, user: string, operation: OperationId, params: Record<string, string>, body?: unknown) {
  const { method, path } = restRoutes[operation];
  const where = at + basePath + path.replaceAll(/\{(\w+)\}/g, (_, name: string) => params[name] ?? 'x');
  const response = await fetch(where, {
    method,
    headers: {
      authorization: `Bearer ${await token(['admin'], { user_id: user })}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, body: isJson ? JSON.parse(text) : {} };
}

const record = async () => {
  const sessionId = await world.record();
  return { sessionId, params: { session_id: sessionId } };
};

async function sharesOf(sessionId: string): Promise<string[]> {
  const { wraps } = await world.deps.storage.getWraps({ sessionId });
  return openShares(
    sharedWrapOf(wraps)!,
    holders.map(({ identity }) => identity),
  );
}

test('when a recording has ended its key is the holders’ alone: no key of the installation opens it', async () => {
  const { sessionId } = await record();
  const { wraps } = await world.deps.storage.getWraps({ sessionId });
  assert.deepEqual(
    wraps.map(({ scheme, recipient }) => [scheme, recipient]),
    [['share', '2 of 3']],
  );
  assert.equal(await world.deps.unwrapKey!(wraps), null);
  const { body } = await call(world.address, 'ann', 'verifySession', { session_id: sessionId });
  assert.deepEqual([body.clean, body.verdicts.integrity], [true, 'intact']);
});

test('two holders open it for one grant, through either process; every route was closed until then', async () => {
  const { sessionId, params } = await record();
  const revealing = (Object.keys(routeReveals) as OperationId[]).filter((name) => routeReveals[name] !== 'nothing');
  const all = { ...params, chunk_id: `${sessionId}.000001`, keyframe: '1' };
  const closed = async () => {
    for (const operation of revealing)
      for (const at of [world.address, second])
        assert.equal((await call(at, 'ann', operation, all)).body.error?.code, needed, operation);
  };
  await closed();
  const asked = await call(world.address, 'ann', 'askViewing', params, { reason: 'incident 7' });
  assert.deepEqual([asked.body.state, asked.body.shares.threshold, asked.body.shares.given], ['waiting', 2, []]);
  await closed();
  const viewing = { ...params, viewing_id: asked.body.viewing_id };
  const give = (at: string, by: string, body: unknown) => call(at, by, 'giveShare', viewing, body);
  const [one, two, three] = await sharesOf(sessionId);
  assert.equal((await give(world.address, 'h1', { share: one })).body.state, 'waiting');
  await closed();
  assert.equal((await give(second, 'h1', { share: one })).status, 409, 'the same share again');
  const box = Buffer.from(await sealedTo.seal(two!, asked.body.shares.unlock_recipients)).toString('base64');
  assert.equal((await give(second, 'h2', { box })).body.state, 'granted', 'sealed to the processes by its holder');
  assert.equal((await give(second, 'h3', { share: three })).status, 409, 'more than are needed');
  const keys = new Set<string>();
  for (const at of [world.address, second, world.address]) {
    const { status, body } = await call(at, 'ann', 'getKey', params);
    assert.equal(status, 200, JSON.stringify(body));
    keys.add(body.key);
  }
  assert.equal(keys.size, 1);
  for (const operation of revealing)
    for (const at of [world.address, second])
      assert.equal((await call(at, 'bob', operation, all)).body.error?.code, needed, `of nobody else's: ${operation}`);
  const { records } = await world.deps.storage.getRecords({ sessionId, kind: 'custody' });
  const told = records.map(({ record: bytes }) => {
    const { actor, extra } = readRecordOf('custody', bytes).body;
    return `${actor} ${(extra as { viewing?: { step: string } }).viewing?.step}`;
  });
  assert.deepEqual(told, ['ann ask', 'h1 share', 'h2 share', 'ann use', 'ann use', 'ann use']);
  assert.equal(
    (await call(second, 'root', 'decideViewing', viewing, { decision: 'refuse', reason: 'done' })).status,
    200,
  );
  assert.equal((await call(world.address, 'ann', 'getKey', params)).body.error?.code, needed, 'taken back');
});

test('shares that are wrong are told, change nothing, and stand in no answer, log or list in clear', async () => {
  const [{ sessionId, params }, other] = [await record(), await record()];
  const asked = await call(world.address, 'ann', 'askViewing', params, { reason: 'incident 8', use: 'once' });
  const viewing = { ...params, viewing_id: asked.body.viewing_id };
  const give = (body: unknown) => call(world.address, 'h1', 'giveShare', viewing, body);
  const [one] = await sharesOf(sessionId);
  const [foreign] = await sharesOf(other.sessionId);
  const mistyped = one!.slice(0, 40) + (one![40] === 'A' ? 'B' : 'A') + one!.slice(41);
  for (const [share, why] of [
    [foreign, 'other_recording'],
    [mistyped, 'mistyped'],
    ['lucid-share-1-of-nobody-at-all', 'malformed'],
  ]) {
    const { status, body } = await give({ share });
    assert.deepEqual([status, body.error.details.share], [400, why]);
    assert.equal(JSON.stringify(body).includes(String(share)), false);
  }
  const stranger = new MemoryKeyShares(() => 0);
  const elsewhere = Buffer.from(await stranger.seal(one!, [await stranger.recipient()])).toString('base64');
  assert.match((await give({ box: elsewhere })).body.error.message, /not sealed to this process/);
  assert.equal((await give({ box: 'AAAA' })).status, 400);
  const list = await call(second, 'eve', 'sessionViewings', params);
  assert.deepEqual(list.body.viewings[0].shares.given, []);
  await give({ share: one });
  const { viewings } = await world.deps.pipeline.viewings({ sessionId });
  const everything = JSON.stringify([
    viewings,
    world.lines,
    world.failures,
    list.body,
    (await world.deps.storage.listAudit({ limit: 100, offset: 0 })).events,
  ]);
  assert.equal(viewings[0]!.shares.length, 1);
  assert.equal(everything.includes(one!), false);
  assert.equal(everything.includes(Buffer.from(one!).toString('base64').slice(0, 60)), false);
});

test('a process that came after the shares can not show it, and says what to do', async () => {
  const { sessionId, params } = await record();
  const asked = await call(world.address, 'ann', 'askViewing', params, { reason: 'incident 9' });
  const viewing = { ...params, viewing_id: asked.body.viewing_id };
  for (const share of (await sharesOf(sessionId)).slice(1))
    await call(world.address, 'h', 'giveShare', viewing, { share });
  const late = createApiServer(
    { ...world.config },
    { ...world.deps, keyShares: new MemoryKeyShares(world.deps.nowUs) },
  );
  const { address } = await late.start();
  disposers.unshift(() => late.dispose());
  const { status, body } = await call(address, 'ann', 'getKey', params);
  assert.deepEqual([status, body.error.code], [503, 'LUCID_ERR_3016']);
  assert.match(body.error.message, /ask again/);
  assert.equal((await call(world.address, 'ann', 'getKey', params)).status, 200);
});

test('a search over many recordings passes over one whose key is shared, also while somebody may see it', async () => {
  const { sessionId, params } = await record();
  const asked = await call(world.address, 'ann', 'askViewing', params, { reason: 'incident 10' });
  const viewing = { ...params, viewing_id: asked.body.viewing_id };
  for (const share of (await sharesOf(sessionId)).slice(1))
    await call(world.address, 'h', 'giveShare', viewing, { share });
  assert.equal((await call(world.address, 'ann', 'getKey', params)).status, 200);
  const body = { text: 'secret', reason: 'incident 10', inputs: true };
  const answer = await call(world.address, 'bob', 'searchRecordings', {}, body);
  assert.deepEqual([answer.status, answer.body.recordings, answer.body.searched], [200, [], 0]);
  assert.ok(answer.body.on_request >= 1);
});
