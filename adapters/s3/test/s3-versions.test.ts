/** Buckets that keep versions, and such that lock objects: what must go goes, what must stay stays. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectLegalHoldCommand,
  GetObjectRetentionCommand,
  ListObjectVersionsCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { S3BucketOptions } from '@lucid-sessions/s3';
import { peersMissing, s3Server } from '@lucid-sessions/testkit';
import { clientOf, newPlace, storeIn, useCredentials } from './buckets.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);
const wrap = (text: string) => ({ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: Buffer.from(text) });
const chunk = new Uint8Array(5000).fill(7);

async function versionsOf(client: S3Client, { bucket, prefix }: S3BucketOptions, name: string): Promise<number> {
  const answer = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix }));
  const all = [...(answer.Versions ?? []), ...(answer.DeleteMarkers ?? [])];
  return all.filter(({ Key }) => Key?.includes(name)).length;
}

if (server === null)
  test('buckets with versions and locks', (t) =>
    t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('buckets with versions and locks', () => {
    let client: S3Client;
    before(() => {
      useCredentials(server);
      client = clientOf(server.endpoint);
    });
    after(async () => {
      client.destroy();
      await server.stop();
    });

    test('wrapped keys have one version, and none once they are destroyed, also below a delete marker', async () => {
      const place = await newPlace(server.endpoint, 'versioned');
      const store = storeIn(place);
      for (const text of ['first', 'second', 'third']) await store.putWraps('s1', [wrap(text)]);
      assert.equal(await versionsOf(client, place, 'wraps.json'), 1);
      // Somebody deleted it by hand: hidden, not gone.
      await client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: `${place.prefix}s1/s1/wraps.json` }));
      assert.deepEqual(await store.getWraps('s1'), []);
      assert.equal(await versionsOf(client, place, 'wraps.json'), 2);
      await store.putWraps('s1', []);
      assert.equal(await versionsOf(client, place, 'wraps.json'), 0);
      await store.dispose();
    });

    test('purging takes every version of everything', async () => {
      const place = await newPlace(server.endpoint, 'versioned');
      const store = storeIn(place);
      await store.putFile('s1', 0, chunk);
      await store.putFile('s1', 0, chunk.with(0, 1), { replace: true });
      await store.removeFile('s1', 0);
      await store.putSidecar('s1', 'index.bin', chunk);
      await store.putSidecar('s1', 'index.bin', chunk.with(0, 1));
      assert.equal(await versionsOf(client, place, ''), 5);
      await store.purgeSession('s1', { chunksCount: 1 });
      assert.equal(await versionsOf(client, place, ''), 0);
      await store.dispose();
    });

    test('a chunk that another version has replaced is neither replaced nor removed by who saw the one before', async () => {
      const store = storeIn(await newPlace(server.endpoint));
      const { version: old } = await store.putFile('s1', 0, chunk);
      await store.putFile('s1', 0, chunk.with(0, 1), { replace: true });
      const replaced = store.putFile('s1', 0, chunk.with(0, 2), { replace: true, version: old! });
      await assert.rejects(replaced, { message: /somebody else/ });
      await store.removeFile('s1', 0, old!);
      assert.deepEqual(await store.readFile('s1', 0), chunk.with(0, 1));
      await store.dispose();
    });

    test('locked chunks stay until their time, keys go at any time', async () => {
      const place = await newPlace(server.endpoint, 'locking');
      const store = storeIn(place, { lockMode: 'COMPLIANCE' });
      const retainUntilUs = (Date.now() + 6000) * 1000;
      await store.putFile('s1', 0, chunk, { retainUntilUs });
      await store.putLeaf('s1', 0, new Uint8Array(224), { retainUntilUs });
      await store.putRecord('s1', 1, chunk, { retainUntilUs });
      await store.putWraps('s1', [wrap('key')]);
      const key = { Bucket: place.bucket, Key: `${place.prefix}s1/s1/0.chunk` };
      const { Retention } = await client.send(new GetObjectRetentionCommand(key));
      assert.equal(Retention?.Mode, 'COMPLIANCE');
      assert.equal(Math.abs(Retention!.RetainUntilDate!.getTime() * 1000 - retainUntilUs) < 1_000_000, true);
      await assert.rejects(store.purgeSession('s1', { chunksCount: 1 }), { message: /locked in the object store/ });
      assert.deepEqual(await store.readFile('s1', 0), chunk);
      assert.equal(await versionsOf(client, place, 'wraps.json'), 0, 'shredded all the same');
      while (Date.now() * 1000 < retainUntilUs + 1_000_000) await new Promise((resolve) => setTimeout(resolve, 100));
      await store.purgeSession('s1', { chunksCount: 1 });
      assert.equal(await versionsOf(client, place, ''), 0);
      await store.dispose();
    });

    test('a legal hold keeps what was recorded until it is taken off', async () => {
      const place = await newPlace(server.endpoint, 'locking');
      const store = storeIn(place, { lockMode: 'GOVERNANCE' });
      await store.putFile('s1', 0, chunk);
      await store.putLeaf('s1', 0, new Uint8Array(224));
      await store.putWraps('s1', [wrap('key')]);
      assert.equal(await store.hold('s1', true), 2);
      const key = { Bucket: place.bucket, Key: `${place.prefix}s1/s1/0.chunk` };
      assert.equal((await client.send(new GetObjectLegalHoldCommand(key))).LegalHold?.Status, 'ON');
      await assert.rejects(store.purgeSession('s1', { chunksCount: 1 }), { message: /legal hold/ });
      assert.equal(await store.hold('s1', false), 2);
      const without = storeIn(place);
      assert.equal(await without.hold('s1', true), null, 'nobody said that this bucket locks');
      await without.dispose();
      await store.purgeSession('s1', { chunksCount: 1 });
      assert.equal(await versionsOf(client, place, ''), 0);
      await store.dispose();
    });
  });
