/** Which recorder the API asks for what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LucidError, type RecorderPort, type RecorderPresence, type ServiceHealth } from '@lucid-sessions/contract';
import { Recorders } from '../src/recorders.ts';

const presence = (recorderId: string, sessions: number, draining = false): RecorderPresence => ({
  ...{ recorderId, url: `http://${recorderId}:8084`, sessions, sessionsMax: 10, draining },
});

function world(here: RecorderPresence[], holder: Record<string, string> = {}) {
  const calls: string[] = [];
  const clock = { us: 0 };
  const ill = new Set<string>();
  const portOf = (name: string) =>
    ({
      liveFrames: async ({ sessionId }: { sessionId: string }) => calls.push(`${name} frames ${sessionId}`),
      judgeTarget: async () => calls.push(`${name} judge`),
      stop: async ({ sessionId }: { sessionId: string }) => calls.push(`${name} stop ${sessionId}`),
      health: async (): Promise<ServiceHealth> => {
        if (ill.has(name)) throw new LucidError('unavailable', 'gone');
        return { service: 'recorder', status: 'healthy', message: null, details: { sessions: 2, draining: false } };
      },
    }) as unknown as RecorderPort;
  const recorders = new Recorders({
    pipeline: {
      recorders: async () => ({ recorders: here }),
      recorderOf: async ({ sessionId }) => {
        calls.push(`where ${sessionId}`);
        return { recorder: here.find(({ recorderId }) => recorderId === holder[sessionId]) ?? null };
      },
    },
    configured: portOf('configured'),
    configuredUrls: ['http://configured:1'],
    at: ({ recorderId }) => portOf(recorderId),
    nowUs: () => clock.us,
  });
  return { recorders, calls, clock, here, ill, holder };
}

const frames = { sessionId: 's1', afterFrame: 0, waitMs: 0 };

test('frames and commands of a session are asked of who holds it, and it is looked for again after a second', async () => {
  const { recorders, calls, clock, holder } = world([presence('a', 1), presence('b', 2)], { s1: 'b' });
  await recorders.port.liveFrames(frames);
  await recorders.port.liveFrames(frames);
  assert.deepEqual(calls.splice(0), ['where s1', 'b frames s1', 'b frames s1']);
  holder.s1 = 'a';
  clock.us += 1_000_000;
  await recorders.port.liveFrames(frames);
  await recorders.port.stop({ sessionId: 's2', reason: 'stopped', message: '' });
  assert.deepEqual(calls, ['where s1', 'a frames s1', 'where s2', 'configured stop s2']);
});

test('who comes new comes to the recorder with most room, and to none that drains', async () => {
  const { recorders, calls, clock, here } = world([presence('a', 5), presence('b', 2), presence('c', 0, true)]);
  assert.deepEqual(await recorders.doors({ sessionId: null, key: null }), ['http://b:8084', 'http://a:8084']);
  await recorders.port.judgeTarget({ host: 'h', port: 1 });
  assert.deepEqual(calls, ['b judge']);
  here.splice(0, 2);
  clock.us += 1_000_000;
  assert.deepEqual(await recorders.doors({ sessionId: null, key: null }), ['http://configured:1']);
});

test('who asks for a session that a recorder holds comes there and nowhere else, and at once where it has moved', async () => {
  const here = [presence('a', 1), presence('b', 9, true)];
  const { recorders, holder } = world(here, { s1: 'b' });
  assert.deepEqual(await recorders.doors({ sessionId: 's1', key: null }), ['http://b:8084']);
  holder.s1 = 'a';
  assert.deepEqual(await recorders.doors({ sessionId: 's1', key: null }), ['http://a:8084']);
  assert.deepEqual(await recorders.doors({ sessionId: 'nowhere', key: null }), ['http://a:8084']);
  holder.s1 = 'gone';
  assert.deepEqual(await recorders.doors({ sessionId: 's1', key: null }), ['http://a:8084']);
});

test('both connections of one visit come to the same recorder, whatever it has room for, and visits are spread', async () => {
  const { recorders, clock, here } = world([presence('a', 5), presence('b', 2), presence('c', 0)]);
  const visits = [...Array(30).keys()].map((n) => `{visit-${n}}`);
  const firsts = await Promise.all(visits.map(async (key) => (await recorders.doors({ sessionId: null, key }))[0]));
  assert.equal(new Set(firsts).size, 3);
  here.reverse();
  here[0] = presence('c', 9);
  clock.us += 1_000_000;
  assert.deepEqual(
    await Promise.all(visits.map(async (key) => (await recorders.doors({ sessionId: null, key }))[0])),
    firsts,
  );
});

test('their health is one: figures are added up, and one that is gone is named', async () => {
  const { recorders, ill } = world([presence('a', 5), presence('b', 2)]);
  const well = await recorders.port.health();
  assert.deepEqual([well.status, well.details], ['healthy', { recorders: 2, sessions: 4 }]);
  ill.add('a');
  const half = await recorders.port.health();
  assert.deepEqual([half.status, half.message], ['degraded', 'a: it does not answer']);
  ill.add('b');
  assert.equal((await recorders.port.health()).status, 'unhealthy');
});

test('where none has said who it is, those that were configured are asked', async () => {
  const { recorders, calls } = world([]);
  assert.equal((await recorders.port.health()).details.sessions, 2);
  await recorders.port.judgeTarget({ host: 'h', port: 1 });
  assert.deepEqual(calls, ['configured judge']);
});
