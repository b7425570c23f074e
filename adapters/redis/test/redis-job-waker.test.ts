import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  eventually,
  RedisServer,
  skipUnlessPeers,
  startRedisCluster,
  startRedisSentinels,
} from '@lucid-sessions/testkit';
import { connectRedis, parseRedisUrl, RedisJobWaker } from '../src/index.ts';

interface Pipeline {
  waker: RedisJobWaker;
  listen(): void;
  /** Wake-ups that came here, each with the time it came at. */
  heard: number[];
  said: string[];
  /** What keeps it from taking the next one. */
  busy: Promise<void>;
}

async function pipelineAt(
  t: TestContext,
  url: string,
  { installation = 'one', listens = true } = {},
): Promise<Pipeline> {
  const address = parseRedisUrl(url);
  const redis = connectRedis(address);
  const said: string[] = [];
  const waiting = connectRedis(address, { waits: true });
  const waker = new RedisJobWaker({ redis, waiting, installation, say: (line) => said.push(line) });
  t.after(async () => {
    await waker.dispose();
    redis.disconnect();
  });
  const listen = () =>
    waker.listen(async () => {
      made.heard.push(Date.now());
      await made.busy;
    });
  const made: Pipeline = { waker, listen, heard: [], said, busy: Promise.resolve() };
  if (listens) listen();
  await eventually('a connection to Redis', () => redis.ping().catch(() => false));
  return made;
}

const count = (...pipelines: Pipeline[]) => pipelines.reduce((sum, { heard }) => sum + heard.length, 0);

let told = 0;
/** Tells until somebody hears: what is told while Redis is away is lost. */
async function heardAgain(from: Pipeline, ...all: Pipeline[]): Promise<void> {
  const before = count(...all);
  await eventually('a wake-up', () => {
    from.waker.wake(`anchor:rfc3161:session-${++told}`, 0);
    return count(...all) > before;
  });
}

async function server(t: TestContext): Promise<{ redis: RedisServer; url: string }> {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  return { redis, url: `redis://127.0.0.1:${redis.port}` };
}

test('a wake-up comes to one pipeline of its installation, when its job is due, and is gone then', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { redis, url } = await server(t);
  const [a, b, other] = [
    await pipelineAt(t, url),
    await pipelineAt(t, url),
    await pipelineAt(t, url, { installation: 'two' }),
  ];
  const dueMs = Date.now() + 700;
  a.waker.wake('retention:s1', 700);
  for (let session = 0; session < 20; session += 1) a.waker.wake(`finalise:s${session}`, 0);
  a.waker.wake('anchor_recheck:rfc3161:s1', 3_600_000);
  await eventually('all wake-ups', () => count(a, b) === 21);
  assert.ok(Math.max(...a.heard, ...b.heard) >= dueMs);
  // One more, so that each of the others has had its time to come twice.
  b.waker.wake('purge:s1', 0);
  await eventually('the last one', () => count(a, b) === 22);
  assert.deepEqual([count(other), a.said, b.said], [0, [], []]);
  await eventually('nothing to be left', async () => {
    const keys = (await redis.ask('KEYS', '*')).split('\n');
    return keys.every((key) => /:(?:id|meta|events|marker|stalled-check)$/.test(key));
  });
});

test('who has no room leaves wake-ups to others', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { url } = await server(t);
  const [a, b] = [await pipelineAt(t, url), await pipelineAt(t, url)];
  const room = Promise.withResolvers<void>();
  a.busy = room.promise;
  await eventually('it to be busy', async () => {
    await heardAgain(b, a, b);
    return count(a) > 0;
  });
  const before = count(b);
  for (let session = 0; session < 10; session += 1) a.waker.wake(`finalise:s${session}`, 0);
  await eventually('the other to hear them all', () => count(b) >= before + 10);
  assert.equal(count(a), 1);
  room.resolve();
});

test('Redis hangs, is emptied, full, gone and back: nobody waits for it, it is told once, and wake-ups come again', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { redis, url } = await server(t);
  const [a, b] = [await pipelineAt(t, url), await pipelineAt(t, url)];
  const untilSaid = (words: RegExp, times: number) =>
    eventually(String(words), () => {
      a.waker.wake(`erase:session-${++told}`, 0);
      return a.said.filter((line) => words.test(line)).length === times;
    });
  const isBack = async (times: number) => {
    await untilSaid(/it is back/, times);
    await heardAgain(a, a, b);
    await heardAgain(b, a, b);
  };
  await heardAgain(a, a, b);
  a.waker.wake('retention:s1', 30_000);
  await redis.ask('FLUSHALL');
  await heardAgain(a, a, b);
  redis.signal('SIGSTOP');
  for (let session = 0; session < 1000; session += 1) a.waker.wake(`finalise:s${session}`, 0);
  await untilSaid(/takes no wake-ups/, 1);
  redis.signal('SIGCONT');
  await isBack(1);
  await redis.ask('CONFIG', 'SET', 'maxmemory', '1');
  await untilSaid(/takes no wake-ups/, 2);
  await redis.ask('CONFIG', 'SET', 'maxmemory', '0');
  await isBack(2);
  await redis.end();
  await untilSaid(/takes no wake-ups/, 3);
  await redis.begin();
  await isBack(3);
  assert.equal(a.said.length, 6);
});

test('a wake-up that a pipeline took before it died comes to another', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { url } = await server(t);
  const b = await pipelineAt(t, url, { listens: false });
  const dying = spawn(process.execPath, [fileURLToPath(new URL('dying-pipeline.ts', import.meta.url)), url]);
  t.after(() => dying.kill('SIGKILL'));
  const died = once(dying, 'exit');
  b.waker.wake('finalise:s1', 0);
  assert.deepEqual(await died, [null, 'SIGKILL']);
  b.listen();
  await eventually('its wake-up', () => count(b) === 1);
});

for (const [kind, start] of [
  ['sentinels', startRedisSentinels],
  ['a cluster', startRedisCluster],
] as const)
  test(`wake-ups go by ${kind}`, async (t) => {
    if (skipUnlessPeers(t, 'redis')) return;
    const { url, servers, stop } = await start();
    t.after(stop);
    const [a, b] = [await pipelineAt(t, url), await pipelineAt(t, url)];
    for (let turn = 0; turn < 20; turn += 1) await heardAgain(turn % 2 === 0 ? a : b, a, b);
    if (kind === 'a cluster') return;
    await servers[0]!.end();
    await heardAgain(a, a, b);
    await heardAgain(b, a, b);
  });
