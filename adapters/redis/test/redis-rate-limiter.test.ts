import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MemoryRateLimiter, type RateLimiter } from '@lucid-sessions/api';
import {
  eventually,
  RedisServer,
  skipUnlessPeers,
  startRedisCluster,
  startRedisSentinels,
} from '@lucid-sessions/testkit';
import { connectRedis, evictionProblem, parseRedisUrl, RedisRateLimiter } from '../src/index.ts';

const minuteMs = 60_000;

interface Process {
  limiter: RateLimiter;
  said: string[];
}

async function processAt(t: TestContext, url: string): Promise<Process> {
  const redis = connectRedis(parseRedisUrl(url));
  t.after(() => redis.disconnect());
  const said: string[] = [];
  const limiter = new RedisRateLimiter({ redis, local: new MemoryRateLimiter(), say: (line) => said.push(line) });
  // Until it is connected each counts for itself.
  await eventually('a connection to Redis', () => redis.ping().catch(() => false));
  return { limiter, said };
}

/** Many requests at once of two processes: together they get what one user may have. */
async function sharing(a: Process, b: Process, key: string): Promise<void> {
  const asked = await Promise.all(
    [...Array(40).keys()].map((at) => (at % 2 === 0 ? a : b).limiter.take(key, 25, minuteMs)),
  );
  assert.equal(asked.filter(({ allowed }) => allowed).length, 25);
  const [first] = asked;
  assert.deepEqual([first?.limit, first?.resetSeconds, first?.retryAfterSeconds], [25, 120, 60]);
  assert.deepEqual(
    [...new Set(asked.map(({ remaining }) => remaining))].sort((x, y) => x - y),
    [...Array(25).keys()],
  );
  assert.equal((await b.limiter.take(key, 25, 2 * minuteMs)).allowed, true, 'the next minute');
  assert.equal((await a.limiter.take(`${key} of somebody else`, 25, minuteMs)).allowed, true);
}

test('processes count together; when Redis hangs, empties itself or is gone, each counts for itself and says so once', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const server = await RedisServer.start({ password: 'pass-of-the-test' });
  t.after(() => server.stop());
  const url = `redis://:pass-of-the-test@127.0.0.1:${server.port}/2`;
  const [a, b] = [await processAt(t, url), await processAt(t, url)];
  await sharing(a, b, 'ada');
  assert.ok(
    Number(await server.ask('-n', '2', 'TTL', (await server.ask('-n', '2', 'KEYS', '*')).split('\n')[0]!)) > 60,
  );
  await server.ask('FLUSHALL');
  assert.equal((await a.limiter.take('ada', 25, minuteMs)).remaining, 24);
  server.signal('SIGSTOP');
  const local = await Promise.all([...Array(30)].map(() => a.limiter.take('ada', 25, minuteMs)));
  assert.equal(local.filter(({ allowed }) => allowed).length, 25, 'by itself');
  server.signal('SIGCONT');
  await eventually('Redis to be asked again', async () => {
    await a.limiter.take('bob', 1e6, minuteMs);
    return a.said.length === 2;
  });
  await server.end();
  await eventually('Redis to be missed', async () => {
    assert.equal((await b.limiter.take('carol', 1e6, minuteMs)).allowed, true);
    return b.said.length === 1;
  });
  await server.begin();
  await eventually('Redis to be back', async () => {
    await b.limiter.take('carol', 1e6, minuteMs);
    return b.said.length === 2;
  });
  assert.match(b.said.join(), /does not answer.*it is back/);
  assert.doesNotMatch([...a.said, ...b.said].join(), /pass-of-the-test/);
});

test('sentinels lead to the master, and to the next one when it is gone', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { url, servers, stop } = await startRedisSentinels();
  t.after(stop);
  const [a, b] = [await processAt(t, url), await processAt(t, url)];
  await sharing(a, b, 'ada');
  await servers[0]!.end();
  await eventually('the replica to count', async () => {
    await a.limiter.take('bob', 1e6, minuteMs);
    await b.limiter.take('bob', 1e6, minuteMs);
    return a.said.length === 2 && b.said.length === 2;
  });
  await sharing(a, b, 'carol');
});

test('the nodes of a cluster each have their share of the counts', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const { url, servers, stop } = await startRedisCluster();
  t.after(stop);
  const [a, b] = [await processAt(t, url), await processAt(t, url)];
  for (const who of ['ada', 'bob', 'carol', 'dave', 'eve', 'frank']) await sharing(a, b, who);
  const sizes = await Promise.all(servers.map((server) => server.ask('DBSIZE')));
  assert.ok(
    sizes.every((size) => Number(size) > 0),
    sizes.join(),
  );
});

test('a Redis that throws away is told', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const server = await RedisServer.start();
  t.after(() => server.stop());
  const redis = connectRedis(parseRedisUrl(`redis://127.0.0.1:${server.port}`));
  t.after(() => redis.disconnect());
  await eventually('a connection to Redis', () => redis.ping().catch(() => false));
  assert.equal(await evictionProblem(redis), null);
  await server.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  assert.match((await evictionProblem(redis)) ?? '', /maxmemory-policy allkeys-lru.*noeviction/);
});

test('addresses of each kind are read, and what is none is refused without its password', () => {
  const plain = parseRedisUrl('rediss://ada:p%40ss@cache.example/3');
  assert.deepEqual(plain, {
    kind: 'single',
    nodes: [{ host: 'cache.example', port: 6379 }],
    masterName: null,
    user: 'ada',
    password: 'p@ss',
    database: 3,
    tls: true,
  });
  const sentinel = parseRedisUrl('redis+sentinel://:p@s1,s2:26380,[::1]/lucid/1');
  assert.deepEqual(
    [sentinel.kind, sentinel.masterName, sentinel.database, sentinel.user],
    ['sentinel', 'lucid', 1, null],
  );
  assert.deepEqual(
    sentinel.nodes.map(({ host, port }) => `${host} ${port}`),
    ['s1 26379', 's2 26380', '::1 26379'],
  );
  assert.equal(parseRedisUrl('redis+cluster://a:7000,b:7001').kind, 'cluster');
  for (const bad of [
    'http://secret@x',
    'redis://u:secret@',
    'redis://u:secret@a,b',
    'redis://u:secret@a:0',
    'redis://u:secret@a/x',
    'redis+sentinel://u:secret@a',
    'redis+cluster://u:secret@a/1',
    'redis://u:%secret@a',
    `redis+cluster://u:secret@${'a,'.repeat(32)}a`,
  ])
    assert.throws(
      () => parseRedisUrl(bad),
      (thrown: unknown) => {
        assert.match((thrown as Error).message, /^(?:must|may|holds)/, bad);
        assert.doesNotMatch((thrown as Error).message, /secret/);
        return true;
      },
    );
});
