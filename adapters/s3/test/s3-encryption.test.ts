/** Encryption by the server, as it is asked for with each object: what a real one says of them then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { S3BucketOptions, S3Encryption } from '@lucid-sessions/s3';
import { S3Faults, s3Server } from '@lucid-sessions/testkit';
import { clientOf, newPlace, storeIn, useCredentials } from './buckets.ts';

const mebibyte = 1024 * 1024;

test('objects are encrypted by the server as was asked, whole ones and those in parts, and read back as they were', async (t) => {
  const server = await s3Server(t);
  if (server === null) return;
  t.after(() => server.stop());
  useCredentials(server);
  const client = clientOf(server.endpoint);
  t.after(() => client.destroy());
  const wanted: (S3Encryption | undefined)[] = [
    undefined,
    { kind: 'AES256' },
    { kind: 'aws:kms', keyId: 'lucid-recordings' },
  ];
  for (const encryption of wanted) {
    const place: S3BucketOptions = {
      ...(await newPlace(server.endpoint)),
      ...(encryption === undefined ? {} : { encryption }),
    };
    const store = storeIn(place, { partBytes: 5 * mebibyte });
    const refusal = await store.check().then(
      () => null,
      (thrown: Error) => thrown.message,
    );
    if (refusal !== null && process.env.LUCID_TEST_S3) {
      t.diagnostic(`${encryption?.kind}: ${refusal}`);
      continue;
    }
    assert.equal(refusal, null);
    const files = [Buffer.alloc(1000, 1), Buffer.alloc(11 * mebibyte, 2)];
    for (const [index, file] of files.entries()) {
      const { storagePath, written } = await store.putFile('s1', index, file);
      assert.ok(written);
      assert.equal((await store.putFile('s1', index, file)).written, false);
      assert.equal(Buffer.compare((await store.readFile('s1', index))!, file), 0);
      const Key = place.prefix + storagePath;
      const head = await client.send(new HeadObjectCommand({ Bucket: place.bucket, Key }));
      assert.deepEqual(
        [head.ServerSideEncryption, head.SSEKMSKeyId],
        [encryption?.kind, encryption?.kind === 'aws:kms' ? encryption.keyId : undefined],
      );
    }
    await store.dispose();
  }
});

test('a server that does not say that it encrypts is refused before anything is stored', async (t) => {
  const server = await s3Server(t);
  if (server === null) return;
  t.after(() => server.stop());
  useCredentials(server);
  const faults = await S3Faults.before(server.endpoint);
  t.after(() => faults.stop());
  faults.on(() => ({ kind: 'unencrypted' }));
  const { bucket } = await newPlace(server.endpoint);
  const place = { ...(await newPlace(faults.endpoint)), bucket };
  await storeIn(place).check();
  // The named server of a developer may do none, and say so by itself.
  if (process.env.LUCID_TEST_S3) return;
  const store = storeIn({ ...place, encryption: { kind: 'AES256' } });
  await assert.rejects(store.check(), /does not say that it encrypts as it was asked to/);
  const { KeyCount } = await clientOf(server.endpoint).send(
    new ListObjectsV2Command({ Bucket: bucket, Prefix: place.prefix }),
  );
  assert.equal(KeyCount ?? 0, 0, 'the probe is gone');
});
