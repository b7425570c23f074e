import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LucidError } from '@lucid-sessions/contract';
import { recordBase, signRecord } from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { nodeCrypto } from '@lucid-sessions/node';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService, type StorageService } from '@lucid-sessions/storage';
import { eventually } from '@lucid-sessions/testkit';
import { collect, openSession, sampleChain, sampleSession } from './suites/index.ts';

const nowUs = () => Date.now() * 1000;
const wraps = [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: new Uint8Array([1, 2, 3]) }];

interface World {
  storage: StorageService;
  metadata: SqliteMetadataStore;
  chunks: FsChunkStore;
  errors: string[];
}

async function withStorage(work: (world: World) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-census-'));
  const metadata = new SqliteMetadataStore(join(path, 'metadata.db'));
  const chunks = new FsChunkStore({ path: join(path, 'chunks') });
  const errors: string[] = [];
  const storage = createStorageService({ metadata, chunks, nowUs, onError: (where) => errors.push(where) });
  await work({ storage, metadata, chunks, errors });
  await storage.dispose();
  await rm(path, { recursive: true });
}

const storeChain = async (storage: StorageService, sessionId: string, count: number) => {
  const epoch = await openSession(storage, sessionId);
  for (const chunk of sampleChain(sessionId, count)) await storage.putChunk({ ...chunk, epoch });
};

const eraseRecord = async (sessionId: string) => {
  const seed = new Uint8Array(32).fill(6);
  const bytes = await nodeCrypto.ed25519PublicKey(seed);
  return signRecord(
    { publicKey: { algorithm: 'ed25519', bytes }, sign: (message) => nodeCrypto.ed25519Sign(seed, message) },
    {
      ...recordBase('erase', sessionId),
      at_us: 1,
      actor: 'a',
      reason: 'r',
      erased: 'keys',
      dek_id: null,
      merkle_root: null,
    },
  );
};

test('health says when stored chunks belong to no session, and when chunks of a session are missing', () =>
  withStorage(async ({ storage, chunks }) => {
    await storeChain(storage, 's1', 3);
    await storeChain(storage, 's2', 2);
    assert.deepEqual(await storage.census(), {
      orphans: [],
      incomplete: [],
      orphansCount: 0,
      incompleteCount: 0,
      mended: 0,
    });
    assert.equal((await storage.health()).status, 'healthy');
    await chunks.putFile('stray', 0, new Uint8Array(9));
    const found = await storage.census();
    assert.deepEqual([found.orphans, found.incomplete], [['stray'], []]);
    const orphaned = await storage.health();
    assert.equal(orphaned.status, 'degraded');
    assert.match(orphaned.message ?? '', /1 session belong to no session here/);
    assert.equal(orphaned.details.orphanSessions, 1);
    await chunks.removeFile('s1', 1);
    await chunks.purgeSession('s2');
    assert.deepEqual((await storage.census()).incomplete.toSorted(), ['s1', 's2']);
    const health = await storage.health();
    assert.match(health.message ?? '', /2 sessions have chunks missing/);
    assert.equal(health.details.incompleteSessions, 2);
  }));

test('a chunk that is missed while it is read is known at once', () =>
  withStorage(async ({ storage, chunks }) => {
    await storeChain(storage, 's1', 2);
    assert.equal((await storage.readChunk({ sessionId: 's1', index: 7 })).file, null, 'never was one');
    await chunks.removeFile('s1', 1);
    assert.equal((await storage.readChunk({ sessionId: 's1', index: 1 })).file, null);
    await eventually('health to know it', async () => (await storage.health()).status !== 'healthy');
    assert.match((await storage.health()).message ?? '', /1 session has chunks missing/);
  }));

test('keys and records beside the chunks are written again from the rows, and the rows of lost keys from them', () =>
  withStorage(async ({ storage, metadata, chunks }) => {
    await storeChain(storage, 's1', 1);
    await storage.putWraps({ sessionId: 's1', wraps });
    await storage.putRecord({ sessionId: 's1', kind: 'open', record: new Uint8Array([1]) });
    await storage.putRecord({ sessionId: 's1', kind: 'custody', record: new Uint8Array([2]) });
    assert.deepEqual(await chunks.getWraps('s1'), wraps);
    assert.equal((await chunks.readRecords('s1')).length, 2);
    await chunks.putWraps('s1', []);
    assert.equal((await storage.census()).mended, 1);
    assert.deepEqual(await chunks.getWraps('s1'), wraps);
    await metadata.putWraps('s1', []);
    assert.equal((await storage.census()).mended, 1);
    assert.deepEqual(await metadata.getWraps('s1'), wraps);
    // An installation of before has neither.
    await metadata.putRecord('s1', 'custody', new Uint8Array([3]));
    assert.equal((await storage.census()).mended, 1);
    assert.deepEqual(
      (await chunks.readRecords('s1')).map(({ record }) => record[0]),
      [1, 2, 3],
    );
    assert.equal((await storage.census()).mended, 0);
  }));

test('what was shredded does not come back: neither rows from files nor files from rows', () =>
  withStorage(async ({ storage, metadata, chunks }) => {
    await storeChain(storage, 's1', 1);
    await storage.putWraps({ sessionId: 's1', wraps });
    await storage.putRecord({ sessionId: 's1', kind: 'erase', record: await eraseRecord('s1') });
    await storage.census();
    assert.deepEqual(await metadata.getWraps('s1'), wraps, 'the pipeline destroys them, nobody else');
    await storage.putWraps({ sessionId: 's1', wraps: [] });
    assert.deepEqual([await metadata.getWraps('s1'), await chunks.getWraps('s1')], [[], []]);
    // Put back by somebody's copy of the folder.
    await chunks.putWraps('s1', wraps);
    await storage.census();
    assert.deepEqual([await metadata.getWraps('s1'), await chunks.getWraps('s1')], [[], []]);
    // An erase record nobody can read decides nothing.
    await storage.putRecord({ sessionId: 's1', kind: 'erase', record: new Uint8Array([1]) });
    await chunks.putWraps('s1', wraps);
    await storage.census();
    assert.deepEqual([await metadata.getWraps('s1'), await chunks.getWraps('s1')], [[], wraps]);
  }));

test('a shredding that is cut off between files and rows leaves the rows, so that it is carried on', () =>
  withStorage(async ({ storage, metadata, chunks }) => {
    await storeChain(storage, 's1', 1);
    await storage.putWraps({ sessionId: 's1', wraps });
    const locked = () => Promise.reject(new LucidError('storage', 'locked'));
    Object.defineProperty(metadata, 'putWraps', { value: locked, configurable: true });
    await assert.rejects(storage.putWraps({ sessionId: 's1', wraps: [] }));
    Reflect.deleteProperty(metadata, 'putWraps');
    assert.deepEqual([await metadata.getWraps('s1'), await chunks.getWraps('s1')], [wraps, []]);
  }));

test('a disk of chunks that takes nothing keeps no record from being stored; the copy is made later', () =>
  withStorage(async ({ storage, chunks, errors }) => {
    await storeChain(storage, 's1', 1);
    const full = () => Promise.reject(new LucidError('storage', 'full', { status: 507 }));
    Object.defineProperty(chunks, 'putRecord', { value: full, configurable: true });
    assert.deepEqual(await storage.putRecord({ sessionId: 's1', kind: 'erase', record: new Uint8Array([1]) }), {
      sequence: 1,
    });
    assert.deepEqual(errors, ['copy of a record']);
    Reflect.deleteProperty(chunks, 'putRecord');
    assert.equal((await storage.census()).mended, 1);
  }));

test('files of a destroyed session are said to belong to none', () =>
  withStorage(async ({ storage, metadata, chunks }) => {
    await storeChain(storage, 's1', 1);
    const session = (await metadata.getSession('s1'))!;
    await metadata.replaceSession({ ...session, version: 2, status: 'deleted', pipeline_state: 'cleanup' }, 1);
    assert.equal((await storage.census()).orphansCount, 0, 'it is being removed');
    await metadata.replaceSession(
      { ...sampleSession('s1'), version: 3, status: 'deleted', pipeline_state: 'destroyed' },
      2,
    );
    await chunks.removeFile('s1', 0);
    assert.deepEqual((await storage.census()).orphans, ['s1']);
  }));

test('what is signed or made of a destroyed session leaves no folder that looks like a recording of nobody', () =>
  withStorage(async ({ storage, metadata, chunks }) => {
    const folders = async () => collect(chunks.listSessions());
    await storeChain(storage, 's1', 1);
    await storage.purgeSession({ sessionId: 's1' });
    // Between the purge and the word that it is destroyed, and by versions that knew no better.
    await storage.putRecord({ sessionId: 's1', kind: 'custody', record: new Uint8Array([1]) });
    assert.deepEqual(await folders(), ['s1']);
    const session = (await metadata.getSession('s1'))!;
    await metadata.replaceSession({ ...session, version: 2, status: 'deleted', pipeline_state: 'destroyed' }, 1);
    const { orphansCount, mended } = await storage.census();
    assert.deepEqual([orphansCount, mended, await folders()], [0, 1, []]);
    // Somebody verifies it, which is signed into its custody chain; an index was on its way.
    await storage.putRecord({ sessionId: 's1', kind: 'custody', record: new Uint8Array([2]) });
    await storage.putSidecar({ sessionId: 's1', name: 'index-000001', bytes: new Uint8Array([3]) });
    assert.deepEqual(await folders(), []);
    assert.equal((await storage.getRecords({ sessionId: 's1' })).records.length, 2, 'its rows have them');
    assert.equal((await storage.health()).status, 'healthy');
  }));
