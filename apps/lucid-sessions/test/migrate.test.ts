/** An embedded installation is moved into a database and another place for chunks, cut off on the way, and goes on there. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { MongoDatabase } from '@lucid-sessions/mongodb';
import { MongoStandIn, PostgresServer, s3Server, skipUnlessPeers, temporaryDirectory } from '@lucid-sessions/testkit';
import type { MigrationReport } from '../src/commands/migrate.ts';
import { runCli } from './support/cli.ts';
import { armSession, recordSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

interface Old {
  dataDir: string;
  desktopPort: number;
  recorded: string;
  deleted: string;
  waiting: { id: string; routingToken: string };
}

/** With a recording, one that was deleted, and a session that waits for its client. */
async function oldInstallation(t: TestContext): Promise<Old> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const dataDir = temporaryDirectory('old');
  const gateway = await startGateway(t, { LUCID_DATA_DIR: dataDir });
  const recorded = await recordSession(gateway, desktop.port, { text: 'moved with all it has\n' });
  const deleted = await recordSession(gateway, desktop.port);
  await gateway.api.json('DELETE', `/sessions/${deleted}`);
  await sessionIn(gateway, deleted, 'deleted');
  const waiting = await armSession(gateway, desktop.port, { name: 'waits' });
  await gateway.lucid.dispose();
  return { dataDir, desktopPort: desktop.port, recorded, deleted, waiting };
}

const filesBelow = (directory: string): Map<string, string> =>
  new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path, readFileSync(path).toString('base64')]),
  );

test('an embedded installation goes on in MongoDB with its recordings in another place, and the old one stays as it was', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'mongo')) return;
  const old = await oldInstallation(t);
  const server = await MongoStandIn.start();
  t.after(() => server.stop());
  const url = server.freshUrl();
  const home = temporaryDirectory('new');
  const dataDir = join(home, 'pipeline');
  const environment = { LUCID_DATA_DIR: dataDir, SESSION_METADATA_DB: url, CHUNK_STORAGE_PATH: join(home, 'chunks') };
  const file = join(home, 'lucid.env');
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(file, ['# the new installation\n', ...lines].join(''));
  const migrate = () => runCli(['--json', 'migrate', '--to', file], { LUCID_DATA_DIR: old.dataDir });

  const before = [filesBelow(join(old.dataDir, 'chunks')), filesBelow(join(old.dataDir, 'log'))];
  const first = await migrate();
  assert.equal(first.code, 0, first.stderr + first.stdout);
  const report = JSON.parse(first.stdout) as MigrationReport;
  assert.deepEqual([report.sessions, report.verified, report.not_recorded, report.findings], [3, 2, 1, []]);
  assert.ok(report.chunks > 0 && report.jobs > 0 && report.auditEvents > 3);
  assert.deepEqual([filesBelow(join(old.dataDir, 'chunks')), filesBelow(join(old.dataDir, 'log'))], before);

  // What was cut off goes on: a row, a document and a file are not there yet.
  const database = await MongoDatabase.open(url);
  t.after(() => database.close());
  await database.collection<{ _id: string }>('sessions').deleteOne({ _id: old.recorded });
  await database.collection('records').deleteMany({ session: old.recorded, sequence: { $gt: 2 } });
  const chunk = [...filesBelow(join(home, 'chunks')).keys()].find((path) => /\d\.lsc?$|chunk/.test(path));
  rmSync(chunk ?? '');
  const again = JSON.parse((await migrate()).stdout) as MigrationReport;
  assert.deepEqual([again.chunks, again.verified, again.findings], [1, 2, []]);

  // A file that came to harm there is found, and the old installation is the one to go on with.
  const bytes = readFileSync(chunk ?? '');
  writeFileSync(chunk ?? '', bytes.with(bytes.length - 1, bytes.at(-1)! ^ 1));
  const harmed = await migrate();
  assert.equal(harmed.code, 1);
  const { findings } = JSON.parse(harmed.stdout) as MigrationReport;
  assert.match(findings.join('\n'), /^the file of chunk \d+ of \S+ differs\n\S+ does not verify there/);
  writeFileSync(chunk ?? '', bytes);

  // The new one goes on with the keys of the old one.
  for (const name of ['keys', 'secrets']) cpSync(join(old.dataDir, name), join(dataDir, name), { recursive: true });
  const gateway = await startGateway(t, environment);
  assert.equal((await verifySession(gateway, old.recorded)).clean, true);
  const client = await connectClient({ port: gateway.rdpPort, routingToken: old.waiting.routingToken });
  await client.settled();
  await client.close();
  await sessionIn(gateway, old.waiting.id, 'completed');
  const report2 = await verifySession(gateway, old.waiting.id);
  assert.equal(report2.clean, true, JSON.stringify(report2.findings));
  await recordSession(gateway, old.desktopPort);
  await gateway.lucid.dispose();
  const late = await migrate();
  assert.match(late.stderr, /sessions that are not of this installation/);

  const source = await startGateway(t, { LUCID_DATA_DIR: old.dataDir });
  assert.equal((await verifySession(source, old.recorded)).clean, true, 'the old one is what it was');
  const running = await migrate();
  assert.match(running.stderr, /the storage of another process runs/);
});

test('an embedded installation moves into PostgreSQL, its recordings and its log into a bucket', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'postgres')) return;
  const s3 = await s3Server(t);
  if (s3 === null) return;
  t.after(() => s3.stop());
  const old = await oldInstallation(t);
  const server = await PostgresServer.start();
  t.after(() => server.stop());
  const { endpoint, accessKeyId, secretAccessKey } = s3;
  const bucket = `lucid-move-${process.pid}`;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  const home = temporaryDirectory('new');
  const file = join(home, 'lucid.env');
  const target = {
    LUCID_DATA_DIR: join(home, 'data'),
    SESSION_METADATA_DB: server.url('lucid'),
    CHUNK_STORAGE_PATH: `s3://${bucket}/recordings`,
    LUCID_LOG_PATH: `s3://${bucket}/log`,
    LUCID_S3_ENDPOINT: endpoint,
  };
  writeFileSync(
    file,
    Object.entries(target)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  const environment = {
    LUCID_DATA_DIR: old.dataDir,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
  for (const copied of [true, false]) {
    const { stdout, stderr, code } = await runCli(['--json', 'migrate', '--to', file], environment);
    assert.equal(code, 0, stderr + stdout);
    const report = JSON.parse(stdout) as MigrationReport;
    assert.deepEqual([report.sessions, report.verified, report.not_recorded, report.findings], [3, 2, 1, []]);
    assert.equal(report.chunks > 0, copied);
  }
  const said = await runCli(['migrate', '--to', file], environment);
  assert.match(said.stdout, /^log +in s3:\S+: start with LUCID_LOG_ORIGIN=\S+, the name it has$/m);
  writeFileSync(file, 'LUCID_LOG_ORIGIN=another.example/log\n', { flag: 'a' });
  const renamed = await runCli(['migrate', '--to', file], environment);
  assert.notEqual(renamed.code, 0);
  assert.match(renamed.stderr, /LUCID_LOG_ORIGIN must be \S+ there, too/);
});

test('a move names what it lacks, and moves nothing onto itself', async () => {
  const home = temporaryDirectory('new');
  const file = join(home, 'lucid.env');
  const migrate = async (text: string) => {
    writeFileSync(file, text);
    const { stderr, code } = await runCli(['migrate', '--to', file], { LUCID_DATA_DIR: home });
    assert.notEqual(code, 0);
    return stderr;
  };
  assert.match(await migrate(''), /LUCID_DATA_DIR must stand in/);
  assert.match(await migrate(`LUCID_DATA_DIR=${home}\n`), /SESSION_METADATA_DB must stand in/);
  const same = `LUCID_DATA_DIR=${home}\nSESSION_METADATA_DB=sqlite:${home}/metadata.db\n`;
  assert.match(await migrate(same), /is the same there/);
});
