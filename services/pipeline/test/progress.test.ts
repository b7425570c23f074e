/** Heads of running sessions reach the log under one root, and a session's proofs lead to them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  fromHex,
  parseLogEntry,
  progressEntry,
  progressLeafHash,
  progressStatement,
  readRecordOf,
  verifyInclusion,
} from '@lucid-sessions/evidence';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { eventually } from '@lucid-sessions/testkit';
import { createPipelineService } from '../src/index.ts';
import { type World, world } from './world.ts';

async function running(made: World, id: string): Promise<void> {
  await made.pipeline.create({ session: sampleSession(id), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: id });
  await made.admit(id);
  await made.start(id);
}

const statements = (made: World) =>
  made.entries.map(parseLogEntry).flatMap((fields) => (fields?.kind === 'progress' ? [fields.recordSha256] : []));

/** The clock of the pipelines moves on, span by span. */
const spanUs = 30_000_000;

test('one entry for all that run, one for each span of time, whichever pipelines look', async () => {
  const made = await world({ headsMs: 30_000 });
  made.clock.us = 1_767_225_600_000_000;
  const pipelines = [0, 1].map(() => createPipelineService(made.deps(), { headsMs: 30_000 }));
  try {
    assert.deepEqual(statements(made), []);
    await Promise.all(pipelines.map((pipeline) => pipeline.logProgress()));
    assert.deepEqual(statements(made), [], 'nothing runs');
    for (const id of ['s1', 's2', 's3']) await running(made, id);
    let leaf: string | null = null;
    for (let index = 0; index < 3; index += 1) {
      made.clock.us += spanUs;
      leaf = await made.putChunk('s2', index, leaf);
      await Promise.all(pipelines.map((pipeline) => pipeline.logProgress()));
    }
    assert.equal(new Set(statements(made)).size, 3);
    const { progress } = await made.pipeline.logProofs({ sessionId: 's2' });
    assert.deepEqual(
      progress.map(({ head }) => [head.count, head.leavesCount, head.leafHash === leaf]),
      [
        [3, 1, false],
        [3, 2, false],
        [3, 3, true],
      ],
    );
    const [open] = (await made.storage.getRecords({ sessionId: 's2', kind: 'open' })).records;
    const openSha256 = readRecordOf('open', open!.record).sha256;
    for (const { head, proof } of progress) {
      const { atUs, count, root, index, leavesCount, leafHash, hashes } = head;
      assert.ok(
        verifyInclusion({
          leafHash: progressLeafHash({ openSha256, leavesCount, leafHash }),
          index,
          size: count,
          root: fromHex(root, 32),
          proof: hashes.map((hash) => fromHex(hash, 32)),
        }),
      );
      const entry = progressEntry({ statement: progressStatement({ atUs, count, root }), root });
      assert.deepEqual(made.entries[proof.logIndex], entry);
    }
  } finally {
    for (const pipeline of pipelines) await pipeline.dispose();
    await made.dispose();
  }
});

test('heads that were taken by a pipeline that died are logged by the next', async () => {
  const made = await world({ headsMs: 30_000 });
  try {
    await running(made, 's1');
    await made.putChunk('s1', 0);
    const deps = made.deps();
    const broken = createPipelineService(
      { ...deps, log: { ...deps.log, append: () => Promise.reject(new Error('dead')) } },
      { headsMs: 30_000 },
    );
    await broken.logProgress();
    assert.deepEqual(statements(made), []);
    assert.equal((await made.pipeline.logProofs({ sessionId: 's1' })).progress.length, 0);
    made.clock.us += spanUs;
    await made.service.logProgress();
    assert.equal(statements(made).length, 2);
    await broken.dispose();
    await eventually('both heads', async () => {
      const { progress } = await made.pipeline.logProofs({ sessionId: 's1' });
      // The second says no more than the first did not: nothing came since.
      return progress.length === 1 && progress[0]!.head.leavesCount === 1;
    });
  } finally {
    await made.dispose();
  }
});
