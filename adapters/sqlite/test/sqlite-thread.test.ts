import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { jobQueueSuite, journalStoreSuite } from '@lucid-sessions/pipeline/suites';
import type { MetadataStore } from '@lucid-sessions/storage';
import { metadataStoreSuite, sampleSession, sessionListSuite } from '@lucid-sessions/storage/suites';
import { SqliteThread } from '../src/index.ts';

metadataStoreSuite('sqlite in a thread', () => new SqliteThread().metadata(':memory:'));
/** A file: what people read is read by a second thread. */
async function inFile(): Promise<MetadataStore> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-thread-'));
  const store = await new SqliteThread().metadata(join(path, 'metadata.db'));
  const dispose = async () => {
    await store.dispose();
    await rm(path, { recursive: true });
  };
  return { ...store, dispose };
}
metadataStoreSuite('sqlite in two threads', inFile);
sessionListSuite('sqlite in two threads', inFile, 3);
jobQueueSuite('sqlite in a thread', () => new SqliteThread().jobQueue(':memory:'));
journalStoreSuite('sqlite in a thread', () => new SqliteThread().journal(':memory:'));

test('one thread holds several stores and ends with the last', async () => {
  const path = await mkdtemp(join(tmpdir(), 'lucid-thread-'));
  const thread = new SqliteThread();
  const metadata = await thread.metadata(join(path, 'metadata.db'));
  const queue = await thread.jobQueue(join(path, 'jobs.db'));
  await metadata.insertSession(sampleSession('s1'), null);
  await metadata.dispose();
  assert.deepEqual(await queue.countByState(), {});
  await queue.dispose();
  await assert.rejects(queue.countByState(), { code: 'LUCID_ERR_3007' });
  const again = await new SqliteThread().metadata(join(path, 'metadata.db'));
  assert.equal((await again.getSession('s1'))?.session_id, 's1');
  await again.dispose();
  await rm(path, { recursive: true });
});

test('errors keep their code, and a database that can not be opened says so', async () => {
  await assert.rejects(new SqliteThread().metadata('/dev/null/metadata.db'), { code: 'LUCID_ERR_3007' });
  const thread = new SqliteThread();
  const queue = await thread.jobQueue(':memory:');
  const closed = await thread.metadata(':memory:');
  await closed.dispose();
  await assert.rejects(closed.getSession('s1'), { code: 'LUCID_ERR_3007', status: 500 });
  await queue.dispose();
});

test('when the thread dies nobody waits for it', async () => {
  const workerUrl = new URL('data:text/javascript,setTimeout(() => { throw new Error("gone"); }, 20)');
  await assert.rejects(new SqliteThread({ workerUrl }).metadata(':memory:'), { code: 'LUCID_ERR_3007' });
});

test('at most 10,000 calls wait for the thread', async () => {
  const store = await new SqliteThread().metadata(':memory:');
  const calls = await Promise.allSettled(Array.from({ length: 10_001 }, () => store.getHead('s1')));
  const refused = calls.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  assert.deepEqual(
    refused.map(({ reason }) => reason.code),
    ['LUCID_ERR_3016'],
  );
  await store.dispose();
});
