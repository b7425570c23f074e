/** Connecting, versions, indexes, and what a caller is told when the server is away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LucidError } from '@lucid-sessions/contract';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { freePort, MongoStandIn } from '@lucid-sessions/testkit';
import { checkMongoUrl, MongoDatabase, MongoMetadataStore, mongoCollections } from '../src/index.ts';
import { withMongo } from './open-mongo.ts';

const unavailable = { code: 'LUCID_ERR_3016' };
const storage = { code: 'LUCID_ERR_3007' };

const indexesOf = async (database: MongoDatabase, collection: string) =>
  (await database.collection(collection).indexes())
    .map(({ name }) => String(name))
    .filter((name) => name !== '_id_')
    .sort();

async function failure(work: Promise<unknown>): Promise<LucidError> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof LucidError, String(thrown));
  return thrown;
}

test('addresses are those of MongoDB', () => {
  for (const url of ['mongodb://a,b:1/x', 'mongodb+srv://a.example/x', 'mongodb://u:p%2Fq@a/x?tls=true&replicaSet=r'])
    checkMongoUrl(url);
  for (const url of ['postgres://a/x', 'sqlite:mongodb://a', 'mongodb://', 'mongodb://a/x?retryWrite=true'])
    assert.throws(() => checkMongoUrl(url), storage, url);
});

test('nobody listens, or the address is none: said without anything of the address', async () => {
  const port = await freePort();
  const quick = 'serverSelectionTimeoutMS=300';
  for (const [url, code] of [
    [`mongodb://user:hunter2@127.0.0.1:${port}/db?${quick}`, 'LUCID_ERR_3016'],
    [`mongodb://user:hunter2@127.0.0.1:${port}/db?hunter2=hunter2`, 'LUCID_ERR_3007'],
    ['mongodb://user:hunter2@', 'LUCID_ERR_3007'],
    ['mongodb://user:hun/ter2@hunter2:99999', 'LUCID_ERR_3007'],
    ['postgres://user:hunter2@h/x', 'LUCID_ERR_3007'],
  ] as const) {
    const thrown = await failure(MongoDatabase.open(url));
    assert.equal(thrown.code, code, url);
    const told = [thrown.message, thrown.stack, JSON.stringify(thrown.details), String(thrown.cause)].join();
    assert.doesNotMatch(told, /hunter2|127\.0\.0\.1/);
  }
});

await withMongo('the MongoDB connection', ({ server, open }) => {
  test('the collections have exactly the indexes that are named for their queries', async () => {
    const database = await open();
    for (const [name, indexes] of Object.entries(mongoCollections)) {
      const there = await database.collection(name).indexes();
      assert.deepEqual(
        there
          .filter((index) => index.name !== '_id_')
          .map(({ key, name: called, unique, sparse }) => [called, key, unique === true, sparse === true])
          .sort(),
        indexes.map((index) => [index.name, index.key, index.unique === true, index.sparse === true]).sort(),
        name,
      );
    }
    await database.close();
  });

  test('ten who start at once migrate once, and nobody begins before it is done', async () => {
    const url = server.freshUrl();
    const opened = await Promise.all(Array.from({ length: 10 }, () => open(url, { waitMs: 60_000 })));
    const known = await opened[0]!.collection('schema').find({}).toArray();
    assert.deepEqual(
      known.map(({ _id, owner }) => [String(_id), owner]),
      [['schema', null]],
    );
    assert.ok(known[0]!.version >= 1);
    for (const database of opened) {
      assert.deepEqual(await database.collection('schema').find({}).toArray(), known);
      await database.close();
    }
  });

  test('a migration whose process died is carried out by the next, when its time is over', async () => {
    const database = await open();
    const url = server.lastUrl;
    const schema = database.collection<{ _id: string }>('schema');
    for (const name of await indexesOf(database, 'jobs')) await database.collection('jobs').dropIndex(name);
    await schema.updateOne({ _id: 'schema' }, { $set: { version: 0, owner: 'dead', untilMs: Date.now() + 1500 } });
    const again = MongoDatabase.open(url);
    assert.deepEqual(await indexesOf(database, 'jobs'), []);
    await (await again).close();
    assert.deepEqual(await indexesOf(database, 'jobs'), ['by_session', 'due', 'left']);
    await database.close();
  });

  test('a database of a later program is refused, and an index that says something else', async () => {
    const database = await open();
    const url = server.lastUrl;
    const records = database.collection('records');
    await records.dropIndex('by_sequence');
    await records.createIndex({ session: 1, sequence: 1 }, { name: 'by_sequence' });
    const thrown = await failure(MongoDatabase.open(url));
    assert.equal(thrown.code, storage.code);
    assert.match(thrown.message, /index by_sequence of the collection records/);
    await records.dropIndex('by_sequence');
    await (await MongoDatabase.open(url)).close();
    assert.deepEqual(await indexesOf(database, 'records'), ['by_sequence'], 'one that is missing is made again');
    const schema = database.collection<{ _id: string }>('schema');
    await schema.updateOne({ _id: 'schema' }, { $set: { version: 99 } });
    assert.match((await failure(MongoDatabase.open(url))).message, /version 99.*newer program/);
    await database.close();
  });

  test('stores share a pool, and the last one closes it', async () => {
    const database = await open();
    const [first, second] = [new MongoMetadataStore(database), new MongoMetadataStore(database)];
    await first.insertSession(sampleSession('s1'), null);
    await first.dispose();
    assert.equal((await second.getSession('s1'))?.session_id, 's1');
    await second.dispose();
    await assert.rejects(second.getSession('s1'), unavailable);
  });

  test('a server that stands still is told as such, and what it answers afterwards is right', async () => {
    const url = `${server.freshUrl()}?socketTimeoutMS=700&connectTimeoutMS=700&serverSelectionTimeoutMS=700`;
    const store = new MongoMetadataStore(await open(url));
    await store.insertSession(sampleSession('s1'), null);
    await server.pause();
    try {
      await assert.rejects(store.getSession('s1'), unavailable);
      await assert.rejects(store.insertSession(sampleSession('s2'), null), unavailable);
    } finally {
      server.resume();
    }
    assert.equal((await store.getSession('s1'))?.session_id, 's1');
    await store.dispose();
  });

  test('a server that is away is waited for at the start', async () => {
    const port = await freePort();
    const opening = open(`mongodb://127.0.0.1:${port}/db?serverSelectionTimeoutMS=200`, { waitMs: 60_000 });
    const late = await MongoStandIn.start(port);
    await (await opening).close();
    await late.stop();
  });
});
