import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import {
  metadataStoreSuite,
  sampleChain,
  sampleSession,
  sealedLeafOf,
  sessionListSuite,
} from '@lucid-sessions/storage/suites';
import { SqliteDatabase, SqliteMetadataStore } from '../src/index.ts';

metadataStoreSuite('sqlite in memory', async () => new SqliteMetadataStore(':memory:'));
sessionListSuite('sqlite in memory', async () => new SqliteMetadataStore(':memory:'), 40);

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lucid-sqlite-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a file holds what was stored, in WAL mode with full synchronisation', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'deep', 'metadata.db');
    const store = new SqliteMetadataStore(path);
    await store.insertSession(sampleSession('s1'), null);
    await store.dispose();
    const again = new SqliteMetadataStore(path);
    assert.equal((await again.getSession('s1'))?.session_id, 's1');
    await again.dispose();
    const bare = new DatabaseSync(path);
    assert.equal(bare.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
    assert.equal(bare.prepare('PRAGMA user_version').get()?.user_version, 10);
    bare.close();
  }));

test('what is appended as the store is closed is in the file', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'metadata.db');
    const store = new SqliteMetadataStore(path);
    const [chunk] = sampleChain('s1', 1);
    const metadata = { ...chunk!.metadata, storedAtUs: 5_000_000, storagePath: 'p/0' };
    const empty = { count: 0, leafHash: null, storedBytes: 0 };
    const appended = store.appendChunk({ metadata, sealedLeaf: sealedLeafOf(chunk!), rebuilt: false }, empty, null);
    await store.dispose();
    assert.equal(await appended, true);
    const again = new SqliteMetadataStore(path);
    assert.equal((await again.getHead('s1')).count, 1);
    await again.dispose();
  }));

test('destroyed wraps are in no file of the database any more', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'metadata.db');
    const store = new SqliteMetadataStore(path);
    const wrapped = new TextEncoder().encode('wrapped key that must be gone afterwards');
    await store.putWraps('s1', [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped }]);
    await store.putWraps('s1', []);
    for (const name of await readdir(folder))
      assert.equal((await readFile(join(folder, name))).includes(wrapped), false, name);
    await store.dispose();
  }));

test('destroyed wraps wait for a reader of another process, then they are in no file; other calls go on meanwhile', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'metadata.db');
    const store = new SqliteMetadataStore(path);
    const wrapped = new TextEncoder().encode('wrapped key that must be gone afterwards');
    await store.putWraps('s1', [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped }]);
    const reader = new DatabaseSync(path, { readOnly: true });
    reader.exec('BEGIN');
    reader.prepare('SELECT * FROM wraps').all();
    let destroyed = false;
    const destroying = store.putWraps('s1', []).then(() => {
      destroyed = true;
    });
    for (let call = 0; call < 20; call += 1) assert.deepEqual(await store.getWraps('s1'), []);
    assert.equal(destroyed, false, 'the copy that the reader holds is still in the log');
    reader.close();
    await destroying;
    for (const name of await readdir(folder))
      assert.equal((await readFile(join(folder, name))).includes(wrapped), false, name);
    await store.dispose();
  }));

test('sessions of a database that did not count them are counted', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'metadata.db');
    const store = new SqliteMetadataStore(path);
    for (const id of ['s1', 's2']) await store.insertSession(sampleSession(id, { status: 'created' }), null);
    await store.dispose();
    const bare = new DatabaseSync(path);
    bare.exec(
      `DROP TABLE session_grams; DROP TABLE session_list; DROP TABLE session_words; ALTER TABLE sessions ADD COLUMN search TEXT NOT NULL DEFAULT '';
       CREATE INDEX sessions_by_time ON sessions (created_at); CREATE INDEX sessions_by_status ON sessions (status);
       CREATE INDEX sessions_by_words ON sessions (search); CREATE INDEX sessions_by_project ON sessions (project);
       CREATE INDEX sessions_by_environment ON sessions (environment);`,
    );
    const triggers = bare.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all();
    for (const { name } of triggers) bare.exec(`DROP TRIGGER ${String(name)}`);
    // What came behind the counts comes again.
    bare.exec(
      'DROP TABLE session_counts; DROP INDEX audit_by_sequence; ALTER TABLE audit DROP COLUMN sequence; PRAGMA user_version = 4',
    );
    bare.close();
    const again = new SqliteMetadataStore(path);
    assert.deepEqual(await again.countSessions(), { created: 2 });
    assert.equal((await again.listSessions({ limit: 1, offset: 0 })).total, 2);
    assert.equal((await again.listSessions({ limit: 1, offset: 0, user: 'ALICE', search: 'sion s1' })).total, 1);
    await again.dispose();
  }));

test('a database of a later program is refused', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'metadata.db');
    const bare = new DatabaseSync(path);
    bare.exec('PRAGMA user_version = 99');
    bare.close();
    assert.throws(() => new SqliteMetadataStore(path), { code: 'LUCID_ERR_3007' });
  }));

test('migrations run once and in order, and a transaction that throws leaves nothing', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'x.db');
    const first = ['CREATE TABLE a (x)'];
    new SqliteDatabase(path, first).close();
    const database = new SqliteDatabase(path, [...first, 'CREATE TABLE b (y)']);
    database.run('INSERT INTO b VALUES (1)');
    assert.throws(() =>
      database.transaction(() => {
        database.run('INSERT INTO b VALUES (2)');
        throw new Error('no');
      }),
    );
    assert.equal(database.all('SELECT y FROM b').length, 1);
    database.close();
  }));

test('errors of SQLite are storage errors that keep its text to themselves', async () => {
  const store = new SqliteMetadataStore(':memory:');
  await store.dispose();
  await assert.rejects(store.getSession('s1'), { code: 'LUCID_ERR_3007', status: 500 });
});
