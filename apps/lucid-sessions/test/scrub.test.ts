/** `lucid-sessions scrub` on an installation that runs and keeps its chunks twice. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { FsChunkStore } from '@lucid-sessions/files';
import type { ScrubReport } from '@lucid-sessions/storage';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { oneProcess, startHouse } from './support/house.ts';

test('a lost chunk is found while the installation runs, and comes back from the second store', {
  timeout: 180_000,
}, async (t) => {
  const second = temporaryDirectory('second');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const copies = { CHUNK_COPY_PATH: second, CHUNK_COPY_SESSIONS: 'all' };
  const house = await startHouse({ processes: oneProcess, environment: copies });
  t.after(() => house.stop());
  const session = await witnessedSession(t, house, desktop);
  await workFor(session.client, 1000);
  await session.client.close();
  await assertWhole(house, session);
  const { count } = await new FsChunkStore({ path: join(house.dataDir, 'chunks') }).leavesTail(session.id);
  const copy = new FsChunkStore({ path: second });
  await eventually('the copy', async () => (await copy.leavesTail(session.id)).count === count);

  const scrub = async (...options: string[]) => {
    const { code, stdout } = await runCli(['--json', 'scrub', session.id, ...options], house.environment);
    return { code, report: JSON.parse(stdout) as ScrubReport };
  };
  const whole = await scrub();
  assert.deepEqual([whole.code, whole.report.chunksChecked, whole.report.findings], [0, count, []]);
  await new FsChunkStore({ path: join(house.dataDir, 'chunks') }).removeFile(session.id, 0);
  const lost = { sessionId: session.id, index: 0, problem: 'file_missing' };
  const found = await scrub();
  assert.deepEqual([found.code, found.report.findings], [1, [{ ...lost, repaired: false }]]);
  const repaired = await scrub('--repair');
  assert.deepEqual([repaired.code, repaired.report.findings], [0, [{ ...lost, repaired: true }]]);
  await assertWhole(house, session);
});
