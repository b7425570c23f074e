/** What is left of a change of a chain when its process dies, and what late ones do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChainHead, ChunkRow } from '@lucid-sessions/storage';
import { sampleChain, sealedLeafOf } from '@lucid-sessions/storage/suites';
import type { Collection } from 'mongodb';
import { type ChainDoc, type ChunkDoc, MongoChains, type MongoDatabase } from '../src/index.ts';
import { DyingProcess, withCalls } from './faulty-collection.ts';
import { withMongo } from './open-mongo.ts';

const empty: ChainHead = { count: 0, leafHash: null, storedBytes: 0 };
const unknown = { payloadBytes: 0, framesCount: null, updatesCount: null };

const rowsOf = (sessionId: string, count: number): ChunkRow[] =>
  sampleChain(sessionId, count).map((chunk, at) => ({
    metadata: { ...chunk.metadata, storedAtUs: 5_000_000, storagePath: `p/${at}` },
    sealedLeaf: sealedLeafOf(chunk),
    rebuilt: false,
  }));

const rebuiltOf = (row: ChunkRow): ChunkRow => ({ ...row, metadata: { ...row.metadata, ...unknown }, rebuilt: true });

const chainsOf = (database: MongoDatabase) => database.collection<ChainDoc>('chains');
const chunksOf = (database: MongoDatabase) => database.collection<ChunkDoc>('chunks');
const storeOf = (database: MongoDatabase) => new MongoChains(chainsOf(database), chunksOf(database));

async function deadStore(database: MongoDatabase, dying: DyingProcess): Promise<MongoChains> {
  return new MongoChains(dying.collection(chainsOf(database)), dying.collection(chunksOf(database)));
}

/** What anybody may read of a chain, one part against the other. */
async function checkChain(store: MongoChains, sessionId: string, rows: readonly ChunkRow[]): Promise<void> {
  const head = await store.getHead(sessionId);
  assert.ok(head.count <= rows.length);
  assert.equal(head.leafHash, rows[head.count - 1]?.metadata.leafHash ?? null);
  const { chunks, total } = await store.listChunks({ sessionId, limit: 100, offset: 0 });
  assert.deepEqual([chunks.length, total], [head.count, head.count]);
  const totals = await store.chainTotals(sessionId);
  const payloads = chunks.reduce((sum, chunk) => sum + chunk.payloadBytes, 0);
  assert.deepEqual([totals.chunksCount, totals.storedBytes], [head.count, head.storedBytes]);
  assert.equal(totals.payloadBytes, payloads);
  assert.deepEqual(await store.totals(), {
    chunksCount: head.count,
    storedBytes: head.storedBytes,
    payloadBytes: payloads,
  });
  for (const [index, chunk] of chunks.entries())
    assert.deepEqual((await store.getChunk(sessionId, index))?.metadata, chunk);
  assert.equal(await store.getChunk(sessionId, head.count), null);
}

interface Change {
  name: string;
  /** What is there before; answers how many rows it may come to. */
  before(store: MongoChains, rows: readonly ChunkRow[]): Promise<void>;
  work(store: MongoChains, rows: readonly ChunkRow[]): Promise<unknown>;
  /** Behind a retry. */
  after(store: MongoChains, rows: readonly ChunkRow[]): Promise<void>;
}

const append = async (store: MongoChains, row: ChunkRow, epoch: number | null = null) =>
  store.appendChunk(row, await store.getHead('s1'), epoch);

const changes: Change[] = [
  {
    name: 'the first chunk, in recovery',
    before: async () => {},
    work: (store, rows) => append(store, rows[0]!),
    after: async (store) => assert.equal((await store.getHead('s1')).count, 1),
  },
  {
    name: 'a chunk under the lease',
    before: async (store, rows) => {
      await store.acquireLease('s1', 'a', 0, 100);
      await append(store, rows[0]!, 1);
    },
    work: (store, rows) => append(store, rows[1]!, 1),
    after: async (store, rows) => assert.deepEqual(await store.getChunk('s1', 1), rows[1]),
  },
  {
    name: 'a row that comes to know more',
    before: async (store, rows) => {
      await append(store, rebuiltOf(rows[0]!));
      await append(store, rows[1]!);
    },
    work: (store, rows) => store.completeChunk(rows[0]!),
    after: async (store, rows) => {
      assert.deepEqual(await store.getChunk('s1', 0), rows[0]);
      assert.equal((await store.totals()).payloadBytes, 40_000);
    },
  },
  {
    name: 'a lease',
    before: async () => {},
    work: (store) => store.acquireLease('s1', 'a', 0, 100),
    after: async (store) =>
      assert.deepEqual((await store.acquireLease('s1', 'a', 0, 100)).lease, { owner: 'a', epoch: 1, expiresUs: 100 }),
  },
  {
    name: 'a purge',
    before: async (store, rows) => {
      await store.acquireLease('s1', 'a', 0, 100);
      for (const row of rows) await append(store, row, 1);
    },
    work: (store) => store.purge('s1'),
    after: async (store) => {
      assert.deepEqual(await store.getHead('s1'), empty);
      assert.equal(await store.getLease('s1'), null);
    },
  },
];

await withMongo('chains in MongoDB', ({ open }) => {
  for (const change of changes)
    test(`a process dies at each write of ${change.name}: all of it is there, or nothing, and a retry ends it`, async () => {
      const rows = rowsOf('s1', 2);
      let deaths = 0;
      for (let at = 0, died = true; died; at += 1)
        for (const done of [false, true]) {
          const database = await open();
          const whole = storeOf(database);
          await change.before(whole, rows);
          const dying = new DyingProcess({ at, done });
          await change.work(await deadStore(database, dying), rows).catch(() => {});
          died = dying.isDead;
          deaths += died ? 1 : 0;
          await checkChain(whole, 's1', rows);
          await change.work(whole, rows);
          await change.after(whole, rows);
          await checkChain(whole, 's1', rows);
          await database.drop();
          await database.close();
        }
      assert.ok(deaths >= 2, `${deaths} deaths`);
    });

  /** A store that stops before it copies a row, until it is let go. */
  function slowAtCopy(database: MongoDatabase) {
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const chunks = withCalls(chunksOf(database), async (name, call) => {
      if (name === 'replaceOne') {
        reached.resolve();
        await go.promise;
      }
      return call();
    });
    return { store: new MongoChains(chainsOf(database), chunks as Collection<ChunkDoc>), reached: reached.promise, go };
  }

  test('a copy that comes late leaves a later row alone', async () => {
    const database = await open();
    const [row] = rowsOf('s1', 1);
    const { store: slow, reached, go } = slowAtCopy(database);
    const late = slow.appendChunk(rebuiltOf(row!), empty, null);
    await reached;
    const store = storeOf(database);
    // A reader ends what the slow one began; then the row changes.
    assert.deepEqual(await store.getChunk('s1', 0), rebuiltOf(row!));
    await store.completeChunk(row!);
    go.resolve();
    assert.equal(await late, true);
    assert.deepEqual(await store.getChunk('s1', 0), row);
    await checkChain(store, 's1', [row!]);
    await database.close();
  });

  test('a copy that comes late to a purged chain takes its row back, and a chain begun again has its own', async () => {
    for (const again of [false, true]) {
      const database = await open();
      const rows = rowsOf('s1', 2);
      const { store: slow, reached, go } = slowAtCopy(database);
      const late = slow.appendChunk(rebuiltOf(rows[0]!), empty, null);
      await reached;
      const store = storeOf(database);
      await store.purge('s1');
      if (again) assert.equal(await store.appendChunk(rows[0]!, empty, null), true);
      go.resolve();
      await late;
      assert.equal(await chunksOf(database).countDocuments(), again ? 1 : 0);
      if (again) assert.deepEqual(await store.getChunk('s1', 0), rows[0]);
      await checkChain(store, 's1', rows);
      await database.close();
    }
  });

  test('ten writers of one chain: each place is given once, the chain is one', async () => {
    const database = await open();
    const rows = rowsOf('s1', 12);
    const taken: number[] = [];
    const writer = async () => {
      const store = storeOf(database);
      for (let head = await store.getHead('s1'); head.count < rows.length; head = await store.getHead('s1'))
        if (await store.appendChunk(rows[head.count]!, head, null)) taken.push(head.count);
    };
    await Promise.all(Array.from({ length: 10 }, writer));
    assert.deepEqual(
      taken.sort((a, b) => a - b),
      rows.map((_, at) => at),
    );
    await checkChain(storeOf(database), 's1', rows);
    await database.close();
  });

  test('a rebuilt row that ten complete at once is counted once', async () => {
    const database = await open();
    const [row] = rowsOf('s1', 1);
    await storeOf(database).appendChunk(rebuiltOf(row!), empty, null);
    await Promise.all(Array.from({ length: 10 }, () => storeOf(database).completeChunk(row!)));
    assert.equal((await storeOf(database).totals()).payloadBytes, 20_000);
    await checkChain(storeOf(database), 's1', [row!]);
    await database.close();
  });
});
