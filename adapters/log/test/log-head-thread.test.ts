import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { LogHeadThread } from '../src/embedded-log-head-thread.ts';
import { SqliteLogHeadStore } from '../src/index.ts';

const folder = await mkdtemp(join(tmpdir(), 'lucid-log-head-'));
after(() => rm(folder, { recursive: true }));

const root = (byte: number) => new Uint8Array(32).fill(byte);

test('what the thread answered is committed, moves from the head it was told only, and its lock goes with it', async () => {
  const path = join(folder, 'head.sqlite');
  const thread = await LogHeadThread.open(path);
  const empty = await thread.load();
  const next = { size: 1, root: root(1), checkpoint: 'one', staged: [new Uint8Array([7])] };
  assert.equal(await thread.swap(empty, next, [root(9)]), true);
  assert.equal(await thread.swap(empty, { ...next, root: root(2) }, [root(8)]), false, 'it is another head by now');
  await thread.putWitnessed({ size: 1, checkpoint: 'seen' });
  assert.equal(await thread.indexOf(root(9)), 0);
  assert.equal(await thread.indexOf(root(8)), null);
  assert.throws(() => new SqliteLogHeadStore(path), { code: 'locked' });
  await assert.rejects(LogHeadThread.open(path), { code: 'locked' });
  await thread.close();
  await assert.rejects(thread.load(), { code: 'closed' });
  const here = new SqliteLogHeadStore(path);
  assert.deepEqual(here.load(), next);
  assert.deepEqual({ ...here.loadWitnessed() }, { size: 1, checkpoint: 'seen' });
  here.close();
});

test('another process is kept out, and a head with its write-ahead log is of one owner', async () => {
  const path = join(folder, 'shared.sqlite');
  const here = new SqliteLogHeadStore(path);
  here.swap(here.load(), { size: 1, root: root(1), checkpoint: 'one', staged: [] }, [root(9)]);
  const program = `
    import { SqliteLogHeadStore } from '../src/index.ts';
    try { new SqliteLogHeadStore(process.argv[1]); console.log('taken'); } catch (error) { console.log(error.code); }
  `;
  const other = () =>
    execFileSync(process.execPath, ['-e', program, path], { cwd: import.meta.dirname, encoding: 'utf8' });
  assert.equal(other(), 'locked\n');
  for (const name of [path, `${path}-wal`]) assert.equal((await stat(name)).mode & 0o077, 0, name);
  await assert.rejects(stat(`${path}-shm`), { code: 'ENOENT' });
  here.close();
  assert.equal(other(), 'taken\n');
});

test('a folder that is not there keeps the system’s code', async () => {
  await assert.rejects(LogHeadThread.open(join(folder, 'none', 'head.sqlite')), { code: 'ENOENT' });
});

test('when the thread dies nobody waits for it, and nothing is taken to be committed', async () => {
  const dying = `
    import { parentPort } from 'node:worker_threads';
    parentPort.on('message', ({ call, request }) => {
      if (request.method !== 'open') throw new Error('gone');
      parentPort.postMessage({ call, result: null });
    });`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(dying)}`);
  const thread = await LogHeadThread.open(join(folder, 'dying.sqlite'), url);
  await assert.rejects(thread.load(), /the thread of the log failed/);
  await assert.rejects(thread.indexOf(root(1)), /the thread of the log failed/);
});
