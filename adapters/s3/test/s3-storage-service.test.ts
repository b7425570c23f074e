/** The storage service over a bucket: its own suite, and what it makes of crashes and old listings. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { GetObjectLegalHoldCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService, Scrub } from '@lucid-sessions/storage';
import {
  openSession,
  sampleChain,
  sampleSession,
  sealedLeafOf,
  storagePortSuite,
} from '@lucid-sessions/storage/suites';
import { eventually, peersMissing, S3Faults, s3Server } from '@lucid-sessions/testkit';
import { clientOf, newPlace, storeIn, useCredentials } from './buckets.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);
const nowUs = () => Date.now() * 1000;
const chain = sampleChain('s1', 3);

if (server === null)
  test('storage over a bucket', (t) => t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('storage over a bucket', () => {
    const faults = S3Faults.before(server.endpoint);
    before(() => useCredentials(server));
    after(async () => {
      await (await faults).stop();
      await server.stop();
    });

    const home = async () => {
      const path = await mkdtemp(join(tmpdir(), 'lucid-s3-'));
      const place = { ...(await newPlace(server.endpoint)), endpoint: (await faults).endpoint };
      const stores = () => ({
        metadata: new SqliteMetadataStore(join(path, 'metadata.db')),
        chunks: storeIn(place),
        nowUs,
      });
      return { stores, remove: () => rm(path, { recursive: true }) };
    };

    storagePortSuite('chunks in a bucket', async () => {
      const { stores, remove } = await home();
      const storage = createStorageService(stores());
      await storage.start();
      return {
        storage,
        dispose: async () => {
          await storage.dispose();
          await remove();
        },
      };
    });

    test('a hold locks what is stored in a bucket that locks, and what its metadata says keeps it as well', async () => {
      const place = await newPlace(server.endpoint, 'locking');
      const storage = createStorageService({
        metadata: new SqliteMetadataStore(':memory:'),
        chunks: storeIn(place, { lockMode: 'GOVERNANCE' }),
        nowUs,
      });
      await storage.start();
      const client = clientOf(server.endpoint);
      const epoch = await openSession(storage, 's1');
      await storage.putChunk({ ...chain[0]!, epoch });
      const status = async () => {
        const key = { Bucket: place.bucket, Key: `${place.prefix}s1/s1/0.chunk` };
        const { LegalHold } = await client.send(new GetObjectLegalHoldCommand(key));
        return LegalHold?.Status;
      };
      const { version, ...session } = (await storage.getSession({ sessionId: 's1' })).session!;
      const hold = { hold_id: 'h', reference: 'M', reason: 'r', set_by: 'u', set_at: '2026-01-01T00:00:00.000Z' };
      const held = { ...session, version: version + 1, holds: [hold] };
      await storage.replaceSession({ session: held, expectedVersion: version });
      const { files } = await storage.holdFiles({ sessionId: 's1', held: true });
      assert.ok(files !== null && files >= 2, `chunk and leaf: ${files}`);
      assert.equal(await status(), 'ON');
      await assert.rejects(storage.purgeSession({ sessionId: 's1' }), {
        message: /legal hold/,
        code: 'LUCID_ERR_3004',
      });
      await storage.replaceSession({ session: { ...session, version: version + 2 }, expectedVersion: version + 1 });
      // By the bucket alone now.
      await assert.rejects(storage.purgeSession({ sessionId: 's1' }), { message: /locked in the object store/ });
      await storage.holdFiles({ sessionId: 's1', held: false });
      assert.equal(await status(), 'OFF');
      await storage.purgeSession({ sessionId: 's1' });
      assert.equal((await storage.readChunk({ sessionId: 's1', index: 0 })).file, null);
      client.destroy();
      await storage.dispose();
    });

    test('after a crash between leaf and row, and with an old listing, the row of a session under way is made again', async () => {
      const { stores, remove } = await home();
      const first = createStorageService(stores());
      await first.start();
      const epoch = await openSession(first, 's1');
      const recording = sampleSession('s1', { status: 'recording', version: 2 });
      await first.replaceSession({ session: recording, expectedVersion: 1 });
      await first.putChunk({ ...chain[0]!, epoch });
      await first.dispose();
      const between = stores();
      await between.chunks.putFile('s1', 1, chain[1]!.file);
      await between.chunks.putLeaf('s1', 1, sealedLeafOf(chain[1]!));
      // A file of a third chunk, which no leaf names.
      await between.chunks.putFile('s1', 2, new Uint8Array(77));
      await between.metadata.dispose();
      await between.chunks.dispose();
      (await faults).on(({ isListing }) => (isListing ? { kind: 'oldListing' } : null));
      const second = createStorageService(stores());
      assert.deepEqual(await second.start(), {
        sessionsChecked: 1,
        temporariesRemoved: 0,
        rowsRebuilt: 1,
        leavesRebuilt: 0,
        findings: [],
      });
      assert.equal((await second.putChunk({ ...chain[2]!, epoch })).appended, true);
      assert.deepEqual((await second.readChunk({ sessionId: 's1', index: 2 })).file, chain[2]!.file);
      const { incompleteCount, orphansCount } = await second.census();
      assert.deepEqual([incompleteCount, orphansCount], [0, 0], 'an old listing is no loss');
      (await faults).off();
      await second.dispose();
      await remove();
    });

    test('a chunk that is gone is told, also by a census that reads an old listing', async () => {
      const { stores, remove } = await home();
      const open = stores();
      const storage = createStorageService(open);
      await storage.start();
      const epoch = await openSession(storage, 's1');
      for (const chunk of chain) await storage.putChunk({ ...chunk, epoch });
      await open.chunks.removeFile('s1', 1);
      assert.deepEqual((await storage.census()).incomplete, ['s1']);
      await storage.dispose();
      await remove();
    });

    test('two storages that take the same session’s chunks at once make one chain', async () => {
      const { stores, remove } = await home();
      const one = createStorageService(stores());
      const two = createStorageService(stores());
      await Promise.all([one.start(), two.start()]);
      const epoch = await openSession(one, 's1');
      for (const chunk of sampleChain('s1', 6)) {
        const answers = await Promise.all([one, two].map((storage) => storage.putChunk({ ...chunk, epoch })));
        // Whoever was late may be told to ask again, as the processor does.
        for (const [at, { appended }] of answers.entries())
          if (!appended) assert.equal((await [one, two][at]!.putChunk({ ...chunk, epoch })).appended, true);
      }
      const { leaves } = await one.readLeaves({ sessionId: 's1' });
      assert.equal(leaves.length, 6 * 224);
      assert.equal((await two.listChunks({ sessionId: 's1', limit: 10, offset: 0 })).total, 6);
      await one.dispose();
      await two.dispose();
      await remove();
    });

    test('an object that is spoiled although the bucket takes it for whole, and one that is gone, come back from a copy in a bucket', async () => {
      const { stores, remove } = await home();
      const { metadata, chunks } = stores();
      const place = await newPlace(server.endpoint);
      const copy = storeIn(place);
      const storage = createStorageService({ metadata, chunks, nowUs, copy: { chunks: copy, which: 'all' } });
      await storage.start();
      const epoch = await openSession(storage, 's1');
      for (const chunk of chain) await storage.putChunk({ ...chunk, epoch });
      await eventually('everything copied', async () => (await copy.leavesTail('s1')).count === 3);
      await chunks.removeFile('s1', 0);
      const client = clientOf(server.endpoint);
      const sha256 = chain[1]!.metadata.fileSha256;
      const object = { Bucket: place.bucket, Key: `${place.prefix}s1/s1/1.chunk` };
      const spoiled = { Body: new Uint8Array(chain[1]!.file.length), Metadata: { 'lucid-sha256': sha256 } };
      await client.send(new PutObjectCommand({ ...object, ...spoiled }));
      client.destroy();
      const { findings } = await new Scrub({ metadata, chunks, copy, nowUs }, { repair: true }).all();
      assert.deepEqual(
        findings.map(({ index, problem, repaired }) => [index, problem, repaired]),
        [
          [0, 'file_missing', true],
          [1, 'copy_spoiled', true],
        ],
      );
      assert.deepEqual((await new Scrub({ metadata, chunks, copy, nowUs }, { repair: false }).all()).findings, []);
      await storage.dispose();
      await remove();
    });
  });
