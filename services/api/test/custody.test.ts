/** Two API processes over one store write one custody chain. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApiServer } from '@lucid-sessions/api';
import { basePath, restRoutes } from '@lucid-sessions/contract';
import { logEntry, loggedSession, readRecordOf } from '@lucid-sessions/evidence';
import { apiWorld, token } from './world.ts';

const viewsOfEach = 12;

test('views through two of them at the same moment are one chain, and honest evidence stays clean', async () => {
  const world = await apiWorld();
  const { storage } = world.deps;
  // A clock that stands: what both sign at the same moment differs in nothing else.
  const atUs = world.deps.nowUs();
  world.deps.nowUs = () => atUs;
  // As far away as a storage process of its own.
  world.deps.storage = {
    ...storage,
    async getRecords(request) {
      const answer = await storage.getRecords(request);
      await sleep(3);
      return answer;
    },
  };
  const other = createApiServer(world.config, world.deps);
  try {
    const sessionId = await world.record();
    const path = basePath + restRoutes.getKey.path.replace('{session_id}', sessionId);
    const { address } = await other.start();
    const authorization = `Bearer ${await token(['admin'])}`;
    const view = (at: string) => fetch(at + path, { headers: { authorization } });
    const answers = await Promise.all(
      Array.from({ length: viewsOfEach }, () => [view(world.address), view(address)]).flat(),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const { records } = await world.deps.storage.getRecords({ sessionId, kind: 'custody' });
    assert.equal(records.length, 2 * viewsOfEach);
    let previous: string | null = null;
    for (const [at, { record }] of records.entries()) {
      const { body } = readRecordOf('custody', record);
      assert.deepEqual([body.sequence, body.previous_sha256], [at, previous]);
      previous = createHash('sha256').update(record).digest('hex');
    }
    const { body: report } = await world.call('verifySession', { params: { session_id: sessionId } });
    assert.equal(report.clean, true);
    assert.deepEqual(world.failures, []);
  } finally {
    await other.dispose();
    await world.dispose();
  }
});

test('a head that nobody could log at its time is logged before the evidence is shown', async () => {
  const world = await apiWorld();
  const { nowUs, pipeline } = world.deps;
  try {
    const sessionId = await world.record();
    const view = () => world.call('getKey', { params: { session_id: sessionId } });
    // The pipeline is away for a moment.
    world.deps.pipeline = { ...pipeline, custodyAdded: () => Promise.reject(new Error('away')) };
    assert.equal((await view()).status, 200);
    world.deps.pipeline = pipeline;
    world.deps.nowUs = () => nowUs() + 2 * 3_600_000_000;
    assert.equal((await view()).status, 200);
    const { body: report } = await world.call('verifySession', { params: { session_id: sessionId } });
    assert.deepEqual(report.findings, []);
  } finally {
    await world.dispose();
  }
});

test('a record that comes and is logged while a bundle is made does not outrun it', async () => {
  const world = await apiWorld();
  const { pipeline, storage } = world.deps;
  try {
    const sessionId = await world.record();
    const view = () => world.call('getKey', { params: { session_id: sessionId } });
    assert.equal((await view()).status, 200);
    let isFirst = true;
    world.deps.pipeline = {
      ...pipeline,
      async logProofs(request) {
        if (!isFirst) return pipeline.logProofs(request);
        isFirst = false;
        await view();
        const { records } = await storage.getRecords({ sessionId, kind: 'custody' });
        const open = (await storage.getRecords({ sessionId, kind: 'open' })).records[0]!.record;
        const session = loggedSession(readRecordOf('open', open));
        const sha256 = createHash('sha256').update(records.at(-1)!.record).digest('hex');
        await world.log.append(logEntry('custody', sha256, session));
        return pipeline.logProofs(request);
      },
    };
    const { body: report } = await world.call('verifySession', { params: { session_id: sessionId } });
    assert.deepEqual(report.findings, []);
  } finally {
    await world.dispose();
  }
});
