/** An installation whose chunks and log lie in a bucket: sessions are recorded through an S3 that fails, verified, and deleted. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, type TestContext, test } from 'node:test';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { peersMissing, S3Faults, s3Server } from '@lucid-sessions/testkit';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { type House, severalProcesses, startHouse } from './support/house.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);

if (server === null)
  test('an installation in a bucket', (t) =>
    t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('an installation in a bucket', { concurrency: 1 }, () => {
    const bucket = `lucid-${randomBytes(6).toString('hex')}`;
    let faults: S3Faults;
    let house: House;
    let desktop: Desktop;

    before(async () => {
      desktop = await startDesktop();
      faults = await S3Faults.before(server.endpoint);
      const { accessKeyId, secretAccessKey } = server;
      const credentials = { accessKeyId, secretAccessKey };
      const client = new S3Client({
        endpoint: server.endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        credentials,
      });
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      client.destroy();
      house = await startHouse({
        processes: severalProcesses,
        environment: {
          CHUNK_STORAGE_PATH: `s3://${bucket}/recordings`,
          LUCID_LOG_PATH: `s3://${bucket}/log`,
          LUCID_LOG_ORIGIN: 'bucket.example/lucid',
          LUCID_S3_ENDPOINT: faults.endpoint,
          AWS_ACCESS_KEY_ID: server.accessKeyId,
          AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
        },
      });
    });
    after(async () => {
      await house?.stop();
      await desktop?.stop();
      await faults?.stop();
      await server.stop();
    });

    test('a session that is recorded while the bucket answers 503 and loses answers is whole', {
      timeout: 180_000,
    }, async (t) => {
      const session = await witnessedSession(t, house, desktop);
      await workFor(session.client, 1000);
      faults.on(() => ({ kind: 'refuse', status: 503, code: 'SlowDown' }));
      await workFor(session.client, 2000);
      let requests = 0;
      faults.on(({ method }) => {
        requests += 1;
        return method === 'PUT' && requests % 3 === 0 ? { kind: 'lose' } : null;
      });
      await workFor(session.client, 2000);
      faults.off();
      await session.client.close();
      await assertWhole(house, session);
      assert.equal((await house.service('storage').health()).status, 'healthy');
    });

    test('storage and pipeline that are killed go on where they were', { timeout: 180_000 }, async (t) => {
      const session = await witnessedSession(t, house, desktop);
      await workFor(session.client, 1000);
      for (const name of ['storage', 'rest']) {
        await house.victim(name).kill();
        await house.victim(name).start();
      }
      await workFor(session.client, 1000);
      await session.client.close();
      await assertWhole(house, session);
    });
  });
