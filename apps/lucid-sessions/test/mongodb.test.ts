/** The whole product with its metadata, journal, jobs and what is agreed on in MongoDB: one process, and five. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startDesktop } from '@lucid-sessions/desktop';
import { MongoDatabase, MongoJobQueue, MongoMetadataStore } from '@lucid-sessions/mongodb';
import { eventually, freePorts, MongoStandIn, s3Server, skipUnlessPeers } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { apart } from './support/apart.ts';
import { startCli } from './support/cli.ts';
import { startFive } from './support/five.ts';
import { type Gateway, recordSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

interface Parts {
  server: MongoStandIn;
  url: string;
  desktopPort: number;
}

async function parts(t: TestContext): Promise<Parts> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const server = await MongoStandIn.start();
  t.after(() => server.stop());
  return { server, url: server.freshUrl(), desktopPort: desktop.port };
}

const listed = async ({ api }: Pick<Gateway, 'api'>): Promise<string[]> =>
  (await api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions')).sessions.map(({ session_id }) => session_id);

/** Deletes it, and looks into the database for what must be gone. */
async function deleted(t: TestContext, gateway: Pick<Gateway, 'api'>, id: string, url: string): Promise<void> {
  await gateway.api.json('DELETE', `/sessions/${id}`);
  await sessionIn(gateway, id, 'deleted');
  const database = await MongoDatabase.open(url);
  t.after(() => database.close());
  const metadata = new MongoMetadataStore(database);
  await eventually('keys and rows that are gone', async () => {
    const [wraps, head] = [await metadata.getWraps(id), await metadata.getHead(id)];
    return wraps.length === 0 && head.count === 0;
  });
  assert.ok((await metadata.getRecords(id, 'erase')).length > 0);
  assert.equal((await new MongoJobQueue(database).countByState()).failed, undefined);
}

test('one process: sessions are recorded, verified, found again after a restart, and deleted', async (t) => {
  if (skipUnlessPeers(t, 'mongo')) return;
  const { url, desktopPort } = await parts(t);
  const environment = { SESSION_METADATA_DB: url };
  const first = await startGateway(t, environment);
  const dataDir = first.lucid.directory.root;
  const id = await recordSession(first, desktopPort, { text: 'kept in a document\n' });
  assert.equal((await verifySession(first, id)).clean, true);
  for (const name of ['metadata.db', 'pipeline-journal.db', 'pipeline-jobs.db'])
    assert.equal(existsSync(join(dataDir, name)), false, `${name} is not made`);
  await first.lucid.dispose();

  const again = await startGateway(t, { ...environment, LUCID_DATA_DIR: dataDir });
  assert.deepEqual(await listed(again), [id]);
  assert.equal((await verifySession(again, id)).clean, true);
  const second = await recordSession(again, desktopPort);
  assert.deepEqual((await listed(again)).sort(), [id, second].sort());
  await deleted(t, again, id, url);
  assert.equal((await verifySession(again, second)).clean, true);
});

test('five processes: each may be started anew in a session, and the database stand still for a moment', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'mongo')) return;
  const { server, url, desktopPort } = await parts(t);
  const bounds = 'serverSelectionTimeoutMS=2000&socketTimeoutMS=2000&connectTimeoutMS=2000';
  const five = await startFive(t, { SESSION_METADATA_DB: `${url}?${bounds}`, LUCID_LEASE_MS: '1000' });
  const id = await recordSession(five, desktopPort, {
    meanwhile: async () => {
      await five.again('storage');
      await five.again('pipeline');
      await server.pause();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      server.resume();
    },
  });
  assert.equal((await verifySession(five, id)).clean, true);
  await deleted(t, five, id, url);
  assert.deepEqual(await listed(five), []);
});

test('two pipelines with their log in a bucket: one is killed in a session, the other ends it, and both go on', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'mongo')) return;
  const s3 = await s3Server(t);
  if (s3 === null) return;
  t.after(() => s3.stop());
  const bucket = `lucid-two-${process.pid}`;
  const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey };
  const client = new S3Client({ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  const { url, desktopPort } = await parts(t);
  const house = await apart();
  const [port, secondPort] = await freePorts(2);
  const environment = {
    ...house.more,
    SESSION_METADATA_DB: url,
    SESSION_PIPELINE_PORT: `${port}`,
    SESSION_PIPELINE_URL: `http://127.0.0.1:${port},http://127.0.0.1:${secondPort}`,
    LUCID_LOG_PATH: `s3://${bucket}/log`,
    LUCID_S3_ENDPOINT: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    LUCID_LEASE_MS: '1000',
    LUCID_RECONCILE_MS: '500',
  };
  const five = await startFive(t, environment, house.options);
  const second = { SESSION_PIPELINE_PORT: `${secondPort}`, LUCID_DATA_DIR: join(house.root, 'second') };
  const own = { ...five.environment, ...house.options.own?.pipeline, ...second };
  await startCli(t, ['up', '--services', 'pipeline'], own, /^data /m);
  const id = await recordSession(five, desktopPort, {
    meanwhile: async () => {
      await five.running.pipeline.stop('SIGKILL');
    },
  });
  assert.equal((await verifySession(five, id)).clean, true);
  await five.again('pipeline');
  const ids = await Promise.all([recordSession(five, desktopPort), recordSession(five, desktopPort)]);
  for (const one of ids) assert.equal((await verifySession(five, one)).clean, true);
  await deleted(t, five, id, url);
});

test('a database that is away, or of a later version, ends the start with a sentence that holds no password', async (t) => {
  if (skipUnlessPeers(t, 'mongo')) return;
  const { server, url } = await parts(t);
  const away = url.replace('://', '://user:hunter2@').replace(/:\d+\//, ':1/');
  const environment = { SESSION_METADATA_DB: `${away}?serverSelectionTimeoutMS=300`, LUCID_DATABASE_WAIT_SECONDS: '0' };
  await assert.rejects(startGateway(t, environment), (error) => {
    assert.match(
      String(error),
      /SESSION_METADATA_DB names a MongoDB that can't be used: the metadata database can not be reached in time: nothing listens there/,
    );
    assert.doesNotMatch(String((error as Error).stack), /hunter2/);
    return true;
  });
  const database = await MongoDatabase.open(url);
  await database.collection<{ _id: string }>('schema').updateOne({ _id: 'schema' }, { $set: { version: 99 } });
  await database.close();
  await assert.rejects(startGateway(t, { SESSION_METADATA_DB: server.lastUrl }), /version 99.*newer program/);
});
