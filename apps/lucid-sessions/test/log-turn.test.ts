/** Of several pipelines that share a log one speaks with witnesses, knowing all that the others have logged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EmbeddedLog } from '@lucid-sessions/log';
import { MemoryCoordination } from '@lucid-sessions/pipeline';
import { LogTurn } from '../src/server/log-turn.ts';

/** A log as far as turns need it: what is refreshed is seen. */
const sharedLog = (written: { size: number }) => {
  let seen = 0;
  return {
    get checkpoint() {
      return seen === 0 ? null : `checkpoint of ${seen}`;
    },
    witnessed: { size: 0, checkpoint: '' },
    refresh: async () => {
      seen = written.size;
    },
  } as unknown as EmbeddedLog;
};

test('one has the turn; it passes on when it is given back or its lease ends, to one that is up to date', async () => {
  const coordination = new MemoryCoordination();
  const written = { size: 3 };
  let nowUs = 1_000_000;
  const problems: unknown[] = [];
  const turnOf = (owner: string) =>
    new LogTurn({
      log: sharedLog(written),
      coordination,
      owner,
      nowUs: () => nowUs,
      onProblem: (_where, thrown) => problems.push(thrown),
    });
  const [one, two] = [turnOf('one'), turnOf('two')];
  await one.look();
  await two.look();
  assert.deepEqual([one.isMine, two.isMine], [true, false]);
  assert.deepEqual([one.heard.checkpoint, two.heard.checkpoint], ['checkpoint of 3', null]);
  written.size = 5;
  await one.dispose();
  assert.equal(one.heard.checkpoint, null);
  await two.look();
  assert.equal(two.heard.checkpoint, 'checkpoint of 5');
  // Its machine stood still: another takes over, and it says nothing when it comes back.
  nowUs += 60_000_000;
  written.size = 6;
  await one.look();
  await two.look();
  assert.deepEqual([one.heard.checkpoint, two.heard.checkpoint], ['checkpoint of 6', null]);
  assert.deepEqual(problems, []);
});
