import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { LEAF_RECORD_BYTES } from '@lucid-sessions/evidence';
import { chunkStoreSuite, collect } from '@lucid-sessions/storage/suites';
import { FsChunkStore, realDisk } from '../src/index.ts';

async function home(options: { direct?: boolean } = {}) {
  const path = await mkdtemp(join(tmpdir(), 'lucid-chunks-'));
  return {
    path,
    store: new FsChunkStore({ path, ...options }),
    reopen: async () => new FsChunkStore({ path, ...options }),
    dispose: () => rm(path, { recursive: true }),
  };
}

chunkStoreSuite('files, past the page cache', () => home());
chunkStoreSuite('files, through the page cache', () => home({ direct: false }));

test('half-written files of a crash are cleared when they are old, and never read as chunks', async () => {
  const { path, store, dispose } = await home();
  await mkdir(join(path, 'tmp'));
  for (const name of ['old', 'young']) await writeFile(join(path, 'tmp', name), 'half a chunk');
  await utimes(join(path, 'tmp', 'old'), 1, 1);
  assert.deepEqual(await store.recover(), { temporariesRemoved: 1 });
  assert.deepEqual(await readdir(join(path, 'tmp')), ['young']);
  assert.deepEqual(await collect(store.listSessions()), []);
  await dispose();
});

test('an empty disk has nothing to recover', async () => {
  const { path, store, dispose } = await home();
  await rm(path, { recursive: true });
  assert.deepEqual(await store.recover(), { temporariesRemoved: 0 });
  assert.deepEqual(await collect(store.listSessions()), []);
  await mkdir(path);
  await dispose();
});

test('a torn last leaf is left out and then overwritten', async () => {
  const { path, store, dispose } = await home();
  const leaf = new Uint8Array(LEAF_RECORD_BYTES).fill(3);
  await store.putLeaf('s1', 0, leaf);
  await store.putLeaf('s1', 1, leaf);
  await truncate(join(path, 's1', 's1', 'leaves.bin'), 300);
  assert.equal((await store.leavesTail('s1')).count, 1);
  assert.equal((await store.readLeaves('s1')).length, LEAF_RECORD_BYTES);
  await store.putLeaf('s1', 1, leaf.fill(4));
  assert.deepEqual((await store.leavesTail('s1')).last, leaf);
  await dispose();
});

test('a name that could not be made durable is made durable by the next try', async () => {
  const { path, dispose } = await home();
  const synced = new Set<string>();
  let failing = '';
  const disk = {
    ...realDisk,
    open: (folder: string, flags: string | number, mode?: number) => {
      if (folder === failing) return Promise.reject(Object.assign(new Error('injected'), { code: 'EIO' }));
      if (flags === 'r') synced.add(folder);
      return realDisk.open(folder, flags, mode);
    },
  };
  const folder = join(path, 's1', 's1');
  for (const broken of [dirname(folder), folder]) {
    const store = new FsChunkStore({ path, disk });
    failing = broken;
    await assert.rejects(store.putLeaf('s1', 0, new Uint8Array(LEAF_RECORD_BYTES)), { status: 500 });
    failing = '';
    synced.clear();
    await store.putLeaf('s1', 0, new Uint8Array(LEAF_RECORD_BYTES));
    assert.ok(synced.has(broken), 'the retry of a failed name makes it durable');
    assert.ok(synced.has(folder));
  }
  await dispose();
});

test('what the disk refuses is a storage error without a path, and leaves no half file', async () => {
  const { path, store, dispose } = await home();
  await store.putFile('s1', 0, new Uint8Array(10));
  // A folder where a file should be: neither link, rename nor open can succeed.
  await mkdir(join(path, 's1', 's1', '1.chunk', 'x'), { recursive: true });
  await mkdir(join(path, 's1', 's1', 'leaves.bin'));
  const failed = async (work: Promise<unknown>) => {
    await assert.rejects(work, (thrown: { code: string; status: number; message: string }) => {
      assert.deepEqual([thrown.code, thrown.status], ['LUCID_ERR_3007', 500]);
      assert.equal(thrown.message.includes(path), false);
      return true;
    });
  };
  await failed(store.putFile('s1', 1, new Uint8Array(10), { replace: true }));
  await failed(store.readFile('s1', 1));
  await failed(store.putLeaf('s1', 0, new Uint8Array(LEAF_RECORD_BYTES)));
  assert.deepEqual(await readdir(join(path, 'tmp')), []);
  await dispose();
});

test('strange files beside the sessions are not sessions', async () => {
  const { path, store, dispose } = await home();
  await mkdir(join(path, 'ab', 'abc.12345678'), { recursive: true });
  await mkdir(join(path, 'ab', 'a b'));
  await mkdir(join(path, 'longer'));
  await writeFile(join(path, 'xy'), '');
  await chmod(join(path, 'ab'), 0o755);
  assert.deepEqual(await collect(store.listSessions()), []);
  await dispose();
});

test('destroyed keys are in no file of the session, whatever a crash left half written, and none of it needs room', async () => {
  const { path, store, dispose } = await home();
  const secret = 'the wrapped key that has to be gone';
  const wraps = [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: Buffer.from(secret) }];
  const told = Buffer.from(secret).toString('base64');
  await store.putWraps('s1', wraps);
  const folder = join(path, 's1', 's1');
  await writeFile(join(folder, 'wraps.json.new'), await readFile(join(folder, 'wraps.json')));
  // Still held by whoever opened it before: its bytes are overwritten, not only its name removed.
  const held = await open(join(folder, 'wraps.json'), 'r');
  const full = {
    ...realDisk,
    open: (file: string, flags: string | number, mode?: number) =>
      flags === 'r' || flags === 'r+'
        ? realDisk.open(file, flags, mode)
        : Promise.reject(Object.assign(new Error('injected'), { code: 'ENOSPC' })),
  };
  const onFullDisk = new FsChunkStore({ path, disk: full });
  await assert.rejects(onFullDisk.putWraps('s2', wraps), { status: 507 });
  await onFullDisk.putWraps('s1', []);
  assert.equal((await held.readFile()).includes(told), false);
  await held.close();
  assert.deepEqual(await readdir(folder), []);
  await dispose();
});

test('replaced keys are overwritten where they lay; a spoiled file is said to be one', async () => {
  const { path, store, dispose } = await home();
  const wrap = (text: string) => [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: Buffer.from(text) }];
  await store.putWraps('s1', wrap('before'));
  const file = join(path, 's1', 's1', 'wraps.json');
  const held = await open(file, 'r');
  await store.putWraps('s1', wrap('after'));
  assert.equal((await held.readFile()).includes(Buffer.from('before').toString('base64')), false);
  await held.close();
  for (const spoiled of ['', '{', '[{}]', '{"a":1}']) {
    await writeFile(file, spoiled);
    await assert.rejects(store.getWraps('s1'), { code: 'LUCID_ERR_3007' });
  }
  await dispose();
});
