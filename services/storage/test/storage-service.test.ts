import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LucidError, rpcClient } from '@lucid-sessions/contract';
import { FsChunkStore } from '@lucid-sessions/files';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import {
  createStorageServer,
  createStorageService,
  readStorageEnv,
  type StorageService,
} from '@lucid-sessions/storage';
import { openSession, sampleChain, sampleSession, sealedLeafOf, storagePortSuite } from './suites/index.ts';

const nowUs = () => Date.now() * 1000;
const serviceSecret = 'test secret of the services, 32 or more';

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'lucid-storage-'));
  const stores = () => ({
    metadata: new SqliteMetadataStore(join(path, 'metadata.db')),
    chunks: new FsChunkStore({ path: join(path, 'chunks'), temporaryAgeMs: -1 }),
  });
  return { path, stores, remove: () => rm(path, { recursive: true }) };
}

storagePortSuite('called directly', async () => {
  const { stores, remove } = await folder();
  const storage = createStorageService({ ...stores(), nowUs });
  await storage.start();
  return {
    storage,
    dispose: async () => {
      await storage.dispose();
      await remove();
    },
  };
});

storagePortSuite('over HTTP', async () => {
  const { stores, remove } = await folder();
  const server = createStorageServer(
    { host: '127.0.0.1', port: 0, serviceSecret, verifyOnPut: true },
    { ...stores(), nowUs },
  );
  const { address } = await server.start();
  return {
    storage: rpcClient('storage', address, { token: serviceSecret }),
    dispose: async () => {
      await server.dispose();
      await remove();
    },
  };
});

/** Runs `work` on a service, then hands the same disk to a new one, as after a crash. */
async function restarted(
  work: (storage: StorageService, path: string) => Promise<void>,
  tamper: (path: string, stores: { metadata: SqliteMetadataStore; chunks: FsChunkStore }) => Promise<void>,
  check: (storage: StorageService, report: Awaited<ReturnType<StorageService['start']>>) => Promise<void>,
): Promise<void> {
  const { path, stores, remove } = await folder();
  const first = createStorageService({ ...stores(), nowUs });
  await first.start();
  await work(first, path);
  await first.dispose();
  const between = stores();
  await tamper(path, between);
  await between.metadata.dispose();
  const second = createStorageService({ ...stores(), nowUs });
  await check(second, await second.start());
  await second.dispose();
  await remove();
}

const chain = sampleChain('s1', 3);
const fill = (count: number) => async (storage: StorageService) => {
  const epoch = await openSession(storage, 's1');
  for (const chunk of chain.slice(0, count)) await storage.putChunk({ ...chunk, epoch });
};

test('after a crash between file and leaf the chunk is sent again and replaces the file', () =>
  restarted(
    fill(1),
    async (_path, { chunks }) => {
      await chunks.putFile('s1', 1, new Uint8Array(77));
    },
    async (storage, report) => {
      assert.deepEqual([report.rowsRebuilt, report.findings], [0, []]);
      assert.equal((await storage.putChunk({ ...chain[1]!, epoch: 1 })).appended, true);
      assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: 1 })).file, chain[1]!.file);
    },
  ));

test('after a crash between leaf and row the row is made again, and completed when the chunk is sent again', () =>
  restarted(
    fill(1),
    async (_path, { chunks }) => {
      await chunks.putFile('s1', 1, chain[1]!.file);
      await chunks.putLeaf('s1', 1, sealedLeafOf(chain[1]!));
    },
    async (storage, report) => {
      assert.deepEqual([report.rowsRebuilt, report.leavesRebuilt, report.findings], [1, 0, []]);
      const rebuilt = (await storage.getChunk({ sessionId: 's1', index: 1 })).chunk!;
      assert.deepEqual(
        [rebuilt.leafHash, rebuilt.fileSha256, rebuilt.framesCount],
        [chain[1]!.metadata.leafHash, chain[1]!.metadata.fileSha256, null],
      );
      const again = await storage.putChunk({ ...chain[1]!, epoch: 1 });
      assert.deepEqual([again.appended, again.head.count], [true, 2]);
      assert.equal((await storage.getChunk({ sessionId: 's1', index: 1 })).chunk!.framesCount, 10);
      assert.equal((await storage.putChunk({ ...chain[2]!, epoch: 1 })).appended, true);
    },
  ));

test('a lost database is made again from the leaves', () =>
  restarted(
    fill(3),
    async (_path, { metadata }) => {
      await metadata.purgeChain('s1');
    },
    async (storage, report) => {
      assert.deepEqual([report.rowsRebuilt, report.findings], [3, []]);
      assert.equal((await storage.listChunks({ sessionId: 's1', limit: 9, offset: 0 })).total, 3);
    },
  ));

test('lost leaves are made again from the rows', () =>
  restarted(
    fill(3),
    async (path) => {
      await truncate(join(path, 'chunks', 's1', 's1', 'leaves.bin'), 224 + 100);
    },
    async (storage, report) => {
      assert.deepEqual([report.leavesRebuilt, report.findings], [2, []]);
      const { leaves } = await storage.readLeaves({ sessionId: 's1' });
      assert.equal(Buffer.compare(leaves, Buffer.concat(chain.map(sealedLeafOf))), 0);
    },
  ));

test('what can not be reconciled is reported and left as it is', async () => {
  const problems = (report: { findings: { problem: string; index: number }[] }) =>
    report.findings.map(({ problem, index }) => `${problem} ${index}`);
  await restarted(
    fill(2),
    async (path, { metadata }) => {
      await metadata.purgeChain('s1');
      await rm(join(path, 'chunks', 's1', 's1', '1.chunk'));
    },
    async (storage, report) => {
      assert.deepEqual(problems(report), ['chunk_file_missing 1']);
      assert.equal((await storage.health()).status, 'degraded');
    },
  );
  await restarted(
    fill(2),
    async (path) => rm(join(path, 'chunks', 's1'), { recursive: true }),
    async (_storage, report) => assert.deepEqual(problems(report), ['chunk_file_missing 0']),
  );
  await restarted(
    fill(2),
    async (path) => {
      const leaves = join(path, 'chunks', 's1', 's1', 'leaves.bin');
      await writeFile(leaves, Buffer.concat([sealedLeafOf(chain[0]!), sealedLeafOf(sampleChain('s2', 2)[1]!)]));
    },
    async (_storage, report) => assert.deepEqual(problems(report), ['chain_forked 1']),
  );
  await restarted(
    fill(1),
    async (_path, { chunks }) => {
      await chunks.putLeaf('s1', 1, new Uint8Array(224));
    },
    async (_storage, report) => assert.deepEqual(problems(report), ['leaf_unreadable 1']),
  );
  await restarted(
    fill(1),
    async (_path, { chunks }) => {
      await chunks.putLeaf('s1', 1, sealedLeafOf(chain[2]!));
    },
    async (_storage, report) => assert.deepEqual(problems(report), ['chain_forked 1']),
  );
});

async function withService(
  work: (
    storage: StorageService,
    stores: { metadata: SqliteMetadataStore; chunks: FsChunkStore },
    path: string,
  ) => Promise<void>,
  options: { verifyOnPut?: boolean } = {},
): Promise<void> {
  const { path, stores, remove } = await folder();
  const used = stores();
  const storage = createStorageService({ ...used, nowUs, ...options });
  await storage.start();
  await work(storage, used, path);
  await storage.dispose();
  await remove();
}

test('a session that has used its size is refused with 507 and keeps what it has', () =>
  withService(async (storage, { metadata }) => {
    const epoch = await openSession(storage, 's1');
    await storage.putChunk({ ...chain[0]!, epoch });
    // A chain that already counts a little less than a gigabyte.
    const { metadata: said, leaf, seal } = chain[1]!;
    const sealedLeaf = new Uint8Array([...leaf, ...seal]);
    const row = {
      metadata: { ...said, fileBytes: 999_994_000, storedAtUs: 1, storagePath: '' },
      sealedLeaf,
      rebuilt: false,
    };
    assert.ok(await metadata.appendChunk(row, await metadata.getHead('s1'), epoch));
    await assert.rejects(storage.putChunk({ ...chain[2]!, epoch }), { code: 'LUCID_ERR_3007', status: 507 });
    assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: 0 })).file, chain[0]!.file);
    await storage.replaceSession({
      session: sampleSession('s1', {
        version: 2,
        storage_config: { ...sampleSession('s1').storage_config, max_size_gb: 2 },
      }),
      expectedVersion: 1,
    });
    await assert.rejects(
      storage.putChunk({ ...chain[2]!, epoch }),
      { code: 'LUCID_ERR_3007', status: 500 },
      'a hole in the leaves',
    );
  }));

test('a disk that fails at any step leaves a chain that takes the same chunk later', () =>
  withService(async (storage, { metadata, chunks }) => {
    const epoch = await openSession(storage, 's1');
    await storage.putChunk({ ...chain[0]!, epoch });
    const full = () => Promise.reject(new LucidError('storage', 'the disk is full', { status: 507 }));
    for (const [store, method] of [
      [chunks, 'putFile'],
      [chunks, 'putLeaf'],
      [metadata, 'appendChunk'],
    ] as const) {
      Object.defineProperty(store, method, { value: full, configurable: true });
      await assert.rejects(storage.putChunk({ ...chain[1]!, epoch }), { code: 'LUCID_ERR_3007', status: 507 });
      Reflect.deleteProperty(store, method);
      assert.equal((await storage.listChunks({ sessionId: 's1', limit: 9, offset: 0 })).total, 1);
    }
    assert.equal((await storage.putChunk({ ...chain[1]!, epoch })).appended, true);
    assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: 1 })).file, chain[1]!.file);
  }));

test('a file that is not the one its leaf names is refused where files are hashed again', () =>
  withService(
    async (storage) => {
      const epoch = await openSession(storage, 's1');
      const file = chain[0]!.file.with(9, 255);
      await assert.rejects(storage.putChunk({ ...chain[0]!, file, epoch }), { code: 'LUCID_ERR_3002' });
      const shared = new Uint8Array(new SharedArrayBuffer(file.length));
      shared.set(chain[0]!.file);
      assert.equal((await storage.putChunk({ ...chain[0]!, file: shared, epoch })).appended, true);
    },
    { verifyOnPut: true },
  ));

test('at most 64 chunks of a session wait at once', () =>
  withService(async (storage) => {
    const epoch = await openSession(storage, 's1');
    const puts = Array.from({ length: 66 }, () => storage.putChunk({ ...chain[0]!, epoch }));
    const refused = (await Promise.allSettled(puts)).filter(({ status }) => status === 'rejected');
    assert.equal(refused.length, 2);
    assert.equal((refused[0] as PromiseRejectedResult).reason.code, 'LUCID_ERR_3016');
  }));

test('a chunk far ahead of the chain writes no file', () =>
  withService(async (storage, _stores, path) => {
    const epoch = await openSession(storage, 's1');
    const far = sampleChain('s1', 100).at(-1)!;
    assert.equal((await storage.putChunk({ ...far, epoch })).appended, false);
    assert.equal(existsSync(join(path, 'chunks', 's1')), false);
  }));

test('storage says why it stores nothing, until it does', () =>
  withService(async (storage, { metadata, chunks }) => {
    const epoch = await openSession(storage, 's1');
    const [chunk] = sampleChain('s1', 1);
    const put = () => storage.putChunk({ ...chunk!, epoch });
    const full = new LucidError('storage', 'the disk is full', { status: 507 });
    for (const [store, name, thrown, said] of [
      [chunks, 'putFile', full, 'the disk is full'],
      [metadata, 'appendChunk', new Error('locked'), 'the metadata database does not take rows'],
    ] as const) {
      Object.defineProperty(store, name, { value: () => Promise.reject(thrown), configurable: true });
      await assert.rejects(put());
      assert.equal((await storage.health()).message, said);
      Reflect.deleteProperty(store, name);
    }
    await assert.rejects(storage.putChunk({ ...chunk!, epoch, file: new Uint8Array(1) }), { status: 400 });
    assert.equal((await storage.health()).status, 'degraded');
    await put();
    assert.equal((await storage.health()).status, 'healthy');
    Object.defineProperty(metadata, 'ping', { value: () => new Promise(() => {}) });
    assert.equal((await storage.health()).status, 'unhealthy');
  }));

test('storage says when it is not well', () =>
  withService(async (storage, { metadata, chunks }) => {
    Object.defineProperty(chunks, 'space', {
      value: async () => ({ freeBytes: 1, totalBytes: 100 }),
      configurable: true,
    });
    assert.deepEqual((await storage.health()).status, 'degraded');
    Object.defineProperty(metadata, 'ping', { value: () => Promise.reject(new Error('gone')) });
    assert.deepEqual((await storage.health()).status, 'unhealthy');
  }));

test('the environment is read once, with messages that name the variable', () => {
  const config = readStorageEnv({ LUCID_SERVICE_SECRET: serviceSecret, LUCID_DATA_DIR: '/d' });
  assert.deepEqual(
    [config.port, config.chunkStoragePath, config.metadataDb, config.verifyOnPut],
    [8086, '/d/chunks', 'sqlite:/d/metadata.db', true],
  );
  assert.throws(() => readStorageEnv({}), { variable: 'LUCID_SERVICE_SECRET' });
  assert.throws(() => readStorageEnv({ LUCID_SERVICE_SECRET: serviceSecret, SESSION_STORAGE_PORT: '70000' }), {
    message: /SESSION_STORAGE_PORT must be a whole number/,
  });
});
