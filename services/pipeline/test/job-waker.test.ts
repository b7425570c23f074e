/** Two pipelines whose own look into the queue is an hour away: what one queues the other runs, because it is told. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  createPipelineService,
  MemoryCoordination,
  type PipelineLimits,
  type PipelineService,
} from '@lucid-sessions/pipeline';
import { connectRedis, parseRedisUrl, RedisJobWaker } from '@lucid-sessions/redis';
import { eventually, RedisServer, skipUnlessPeers } from '@lucid-sessions/testkit';
import { type World, world } from './world.ts';

const hourMs = 3_600_000;

interface Pair {
  made: World;
  redis: RedisServer;
  /** Queues and runs nothing: it was never started. */
  queuing: PipelineService;
  running: PipelineService;
}

async function pair(t: TestContext, jobLookMs: number): Promise<Pair> {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const made = await world();
  const coordination = new MemoryCoordination();
  const address = parseRedisUrl(`redis://127.0.0.1:${redis.port}`);
  const connections: { disconnect(): void }[] = [];
  const pipeline = async (limits: Partial<PipelineLimits>): Promise<PipelineService> => {
    const connection = connectRedis(address);
    connections.push(connection);
    await eventually('a connection to Redis', () => connection.ping().catch(() => false));
    const waiting = connectRedis(address, { waits: true });
    const waker = new RedisJobWaker({ redis: connection, waiting, installation: 'test', say: () => {} });
    return createPipelineService({ ...made.deps(), coordination, waker }, { ...limits, cookieRoute: true });
  };
  const limits = { reconcileMs: hourMs, progressMs: 0, anchorPollMs: 0, jobLookMs };
  const [queuing, running] = [await pipeline(limits), await pipeline(limits)];
  await made.stop();
  made.pipeline = queuing;
  t.after(async () => {
    await Promise.all([queuing.dispose(), running.dispose()]);
    for (const connection of connections) connection.disconnect();
    await made.dispose();
  });
  return { made, redis, queuing, running };
}

const finished = ({ made }: Pair) =>
  made.calls.filter((call) => call.startsWith('finish')).map((call) => call.split(' ')[1]);

async function recorded({ made }: Pair, sessionId: string): Promise<void> {
  await made.admit(sessionId);
  await made.record(sessionId);
}

test('a job that one pipeline queues another runs because it is told, again and again', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const two = await pair(t, hourMs);
  await two.running.run();
  for (const sessionId of ['s1', 's2', 's3']) {
    await recorded(two, sessionId);
    await eventually('the manifest', () => finished(two).includes(sessionId));
  }
  assert.deepEqual(finished(two), ['s1', 's2', 's3']);
});

test('jobs are queued and run while Redis hangs, is emptied, is gone and comes back', async (t) => {
  if (skipUnlessPeers(t, 'redis')) return;
  const two = await pair(t, 1000);
  await two.running.run();
  const whileIt: [string, () => Promise<unknown>][] = [
    ['hangs', async () => two.redis.signal('SIGSTOP')],
    ['goes-on', async () => two.redis.signal('SIGCONT')],
    ['is-emptied', () => two.redis.ask('FLUSHALL')],
    ['is-full', () => two.redis.ask('CONFIG', 'SET', 'maxmemory', '1')],
    ['is-gone', () => two.redis.end()],
    ['is-back', () => two.redis.begin()],
  ];
  for (const [sessionId, happens] of whileIt) {
    await happens();
    await recorded(two, sessionId);
    await two.made.until(sessionId, 'completed');
  }
  assert.deepEqual(
    finished(two),
    whileIt.map(([sessionId]) => sessionId),
  );
});
