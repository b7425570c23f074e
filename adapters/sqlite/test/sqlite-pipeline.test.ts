import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { embeddedLogPort } from '@lucid-sessions/log';
import { jobQueueSuite, journalStoreSuite } from '@lucid-sessions/pipeline/suites';
import { SqliteJobQueue, SqliteJournalStore } from '../src/index.ts';

jobQueueSuite('sqlite', async () => new SqliteJobQueue(':memory:'));
journalStoreSuite('sqlite', async () => new SqliteJournalStore(':memory:'));

test('a recorder that repeats itself without end does not fill the journal', async () => {
  const store = new SqliteJournalStore(':memory:');
  const facts = 20_001;
  for (let atUs = 0; atUs < facts; atUs += 1000) await store.appendFact('s1', { kind: 'downgrade', atUs, what: 'x' });
  assert.equal((await store.listFacts('s1')).length, 21);
  await store.dispose();
});

test('a journal of before journals had versions is read, and changed once by whoever read it', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'lucid-journal-'));
  t.after(() => rm(path, { recursive: true }));
  const file = join(path, 'journal.db');
  await new SqliteJournalStore(file).dispose();
  const bare = new DatabaseSync(file);
  bare.exec(`ALTER TABLE journals DROP COLUMN version; DROP TABLE progress; PRAGMA user_version = 3;
    INSERT INTO journals (session_id, unfinished, document) VALUES ('s1', 1, '{"sessionId":"s1","connected":true}')`);
  bare.close();
  const store = new SqliteJournalStore(file);
  const known = await store.get('s1');
  assert.deepEqual(known, { sessionId: 's1', connected: true, version: 1 });
  assert.equal((await store.put({ ...known, armed: true }))?.version, 2);
  assert.equal(await store.put(known), null);
  await store.dispose();
});

test('the pipeline sees the embedded log through its own port', async () => {
  const log = {
    publicKey: { name: 'log', algorithm: 1 as const, publicKey: new Uint8Array(32) },
    checkpoint: 'signed',
    refresh: async () => {},
    append: async () => 4,
    find: () => 4,
    witnessed: { size: 0, checkpoint: '' },
    prove: async () => ({
      size: 9,
      checkpoint: 'signed',
      inclusion: [[new Uint8Array([255])]],
      consistency: [new Uint8Array([1])],
    }),
  };
  const port = embeddedLogPort(log as never);
  assert.deepEqual(await port.append(new Uint8Array(1)), { index: 4 });
  const proven = { size: 9, checkpoint: 'signed', inclusion: [['ff']], consistency: ['01'] };
  assert.deepEqual(await port.prove([4], 2), proven);
  assert.equal(await port.find(new Uint8Array(1)), 4);
  assert.equal(await port.checkpoint(), 'signed');
  assert.match(port.publicKey, /^log\+/);
});
