/** Backup, restore and check of the whole product: while it records, into an empty place, and when something is missing. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import { type NoteKey, parseNoteKey } from '@lucid-sessions/evidence';
import { sessionFolder } from '@lucid-sessions/files';
import type { Frame } from '@lucid-sessions/recording';
import { eventually, LogWitness, temporaryDirectory } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { runCli } from './support/cli.ts';
import {
  armSession,
  type Gateway,
  readRecording,
  recordSession,
  sessionIn,
  startGateway,
  verifySession,
} from './support/gateway.ts';

interface World {
  directory: string;
  dataDir: string;
  backup: string;
  desktop: Desktop;
}

async function world(t: TestContext): Promise<World> {
  const directory = temporaryDirectory('backup');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  return { directory, dataDir: join(directory, 'data'), backup: join(directory, 'backup'), desktop };
}

const shortChunks = { LUCID_CHUNK_AGE_MS: '400', LUCID_RECONCILE_MS: '300', LUCID_LEASE_MS: '1000' };

const start = (t: TestContext, dataDir: string, more: Record<string, string> = {}) =>
  startGateway(t, { LUCID_DATA_DIR: dataDir, ...shortChunks, ...more });

async function connect(gateway: Gateway, { desktop }: World): Promise<{ id: string; client: RdpClient }> {
  const { id, routingToken } = await armSession(gateway, desktop.port);
  return { id, client: await connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada' }) };
}

const record = (gateway: Gateway, { desktop }: World, text = 'kept\n'): Promise<string> =>
  recordSession(gateway, desktop.port, { text });

const cli = (dataDir: string, ...args: string[]) => runCli(['--data-dir', dataDir, ...args]);
const json = async <T>(dataDir: string, ...args: string[]): Promise<{ code: number; value: T; stderr: string }> => {
  const { code, stdout, stderr } = await cli(dataDir, '--json', ...args);
  return { code, value: JSON.parse(stdout || 'null') as T, stderr };
};

interface Checked {
  sessions: number;
  chunks: number;
  findings: string[];
  clean: boolean;
}

async function assertClean(dataDir: string, ...dir: string[]): Promise<Checked> {
  const { code, value, stderr } = await json<Checked>(dataDir, 'check', ...dir);
  assert.deepEqual(value?.findings, [], stderr);
  assert.equal(code, 0);
  return value;
}

const bodies = (frames: readonly Frame[]) => frames.map(({ body }) => Buffer.from(body).toString('base64'));

const finishedIn = (gateway: Gateway, id: string) =>
  eventually(
    `the end of session ${id}`,
    async () => {
      const session = await gateway.api.json<SessionAnswer>('GET', `/sessions/${id}`);
      return session.merkle_root !== null && ['completed', 'failed'].includes(session.status) && session;
    },
    60_000,
  );

test('a running installation is copied, restored, and every session verifies and plays', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir);
  const done = await record(gateway, at);
  const frames = bodies(await readRecording(gateway, done));
  const running = await connect(gateway, at);
  await running.client.type('under way\n', 20);
  await eventually('a stored chunk', async () =>
    existsSync(join(at.dataDir, 'chunks', sessionFolder(running.id), '0.chunk')),
  );
  const typing = running.client.type('and on it goes while it is copied\n', 20);

  const made = await cli(at.dataDir, 'backup', at.backup);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /holds {6}2 sessions/);
  await typing;
  await running.client.close();
  await sessionIn(gateway, running.id, 'completed');
  await assertClean(at.dataDir);
  await assertClean(at.dataDir, at.backup);
  await gateway.lucid.dispose();

  const restored = join(at.directory, 'restored');
  const back = await cli(restored, 'restore', at.backup);
  assert.equal(back.code, 0, back.stderr);
  assert.match(back.stdout, /unfinished 1 sessions were under way/);
  await assertClean(restored);
  const again = await start(t, restored);
  const report = await verifySession(again, done);
  assert.equal(report.clean, true);
  assert.equal(report.verdicts.readability, 'readable');
  assert.deepEqual(bodies(await readRecording(again, done)), frames);

  const cut = await finishedIn(again, running.id);
  assert.deepEqual([cut.status, cut.outcome], ['completed', 'recovered']);
  const cutReport = await verifySession(again, running.id);
  assert.deepEqual(cutReport.findings, []);
  assert.deepEqual(cutReport.states, ['RECOVERED']);
  assert.ok((await readRecording(again, running.id)).length > 0);
  await verifySession(again, await record(again, at, 'the installation goes on\n'));
  await assertClean(restored);
});

const filesBelow = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

test('a second run copies what is new and drops what was deleted; damage and strangers are told', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir);
  const [kept, deleted, shredded] = [await record(gateway, at), await record(gateway, at), await record(gateway, at)];
  assert.equal((await cli(at.dataDir, 'backup', at.backup)).code, 0);
  const inBackup = (id: string, name: string) => join(at.backup, 'chunks', sessionFolder(id), name);
  const first = statSync(inBackup(kept, '0.chunk'));
  const firstRun = readdirSync(at.backup).filter((name) => name.startsWith('run-'));
  for (const path of filesBelow(at.backup)) assert.equal(statSync(path).nlink, 1, 'a copy, never a link');

  await gateway.api.json('DELETE', `/sessions/${deleted}`);
  await gateway.api.json('POST', `/sessions/${shredded}/erase`, { confirm: shredded, reason: 'test' });
  await eventually('the purge', async () => !existsSync(join(at.dataDir, 'chunks', sessionFolder(deleted))));
  const late = await record(gateway, at);
  // As one that the database knows already and that is on its way beside the chunks.
  const lateRecords = join(at.dataDir, 'chunks', sessionFolder(late), 'records');
  const [onItsWay = ''] = readdirSync(lateRecords);
  const itsBytes = readFileSync(join(lateRecords, onItsWay));
  rmSync(join(lateRecords, onItsWay));
  const again = await json<{ copied_bytes: number; sessions: number }>(at.dataDir, 'backup', at.backup);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(again.value.sessions, 3);
  assert.equal(statSync(inBackup(kept, '0.chunk')).ino, first.ino, 'what is written once is not copied again');
  assert.equal(existsSync(inBackup(deleted, '0.chunk')), false);
  assert.equal(existsSync(inBackup(shredded, 'wraps.json')), false, 'the next run drops the keys too');
  assert.ok(existsSync(inBackup(late, '0.chunk')));
  assert.deepEqual(readFileSync(inBackup(late, join('records', onItsWay))), itsBytes);
  writeFileSync(join(lateRecords, onItsWay), itsBytes);
  assert.ok(!readdirSync(at.backup).includes(firstRun[0] ?? ''), 'one run is kept');
  await assertClean(at.dataDir, at.backup);
  const names = readdirSync(join(at.backup, readdirSync(at.backup).find((name) => name.startsWith('run-')) ?? ''));
  assert.ok(names.includes('keys') && names.includes('secrets'));

  // Another installation, a directory of something else, one inside the other.
  const other = join(at.directory, 'other');
  assert.equal((await cli(other, 'keys', 'init')).code, 0);
  cpSync(join(at.dataDir, 'metadata.db'), join(other, 'metadata.db'));
  const refusals: [string, string, RegExp][] = [
    [other, at.backup, /holds the backup of another installation/],
    [at.dataDir, at.directory, /inside each other/],
    [at.dataDir, join(at.dataDir, 'chunks', 'x'), /inside each other/],
    [join(at.directory, 'nothing'), at.backup, /there is no installation/],
  ];
  const foreign = join(at.directory, 'foreign');
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'letters.txt'), 'mine');
  refusals.push([at.dataDir, foreign, /holds letters\.txt, which is no part of a backup/]);
  for (const [dataDir, directory, words] of refusals) {
    const refused = await cli(dataDir, 'backup', directory);
    assert.match(refused.stderr, words);
    assert.equal(refused.code, 2);
  }

  // Damage: of a shared chunk, of a run's file, of what the installation has.
  const chunk = inBackup(kept, '0.chunk');
  const bytes = readFileSync(chunk);
  writeFileSync(chunk, bytes.with(200, (bytes[200] ?? 0) ^ 1));
  const damaged = await json<Checked>(at.dataDir, 'check', at.backup);
  assert.deepEqual([damaged.code, damaged.value.findings], [1, [`session ${kept}: chunk 0 is not what its leaf says`]]);
  const restored = join(at.directory, 'restored');
  const partly = await cli(restored, 'restore', at.backup);
  assert.equal(partly.code, 1);
  assert.match(partly.stdout, /PROBLEM .*chunk 0 is not what its leaf says/);
  assert.deepEqual((await json<Checked>(restored, 'check')).value.findings, damaged.value.findings);
  writeFileSync(chunk, bytes);
  await assertClean(at.dataDir, at.backup);
  const run = readdirSync(at.backup).find((name) => name.startsWith('run-')) ?? '';
  writeFileSync(join(at.backup, run, 'keys', 'local.key'), 'x');
  const spoiled = await cli(join(at.directory, 'more'), 'restore', at.backup);
  assert.match(spoiled.stderr, /the backup is damaged: .*local\.key/);
  assert.equal(existsSync(join(at.directory, 'more')), false, 'nothing was begun');
  rmSync(join(at.dataDir, 'chunks', sessionFolder(kept), '0.chunk'));
  const missing = await json<Checked>(at.dataDir, 'check');
  assert.deepEqual(missing.value.findings, [`session ${kept}: chunk 0 is missing`]);
});

test('nothing is overwritten: a restore goes into an empty place, and one that was cut off goes on', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir);
  const id = await record(gateway, at);
  assert.match((await cli(at.dataDir, 'restore', at.backup)).stderr, /there is no backup/);
  assert.equal((await cli(at.dataDir, 'backup', at.backup)).code, 0);
  const taken = await cli(at.dataDir, 'restore', at.backup);
  assert.match(taken.stderr, /is not empty \(.*\): a backup is restored into an empty place/);
  assert.equal(taken.code, 2);

  const restored = join(at.directory, 'restored');
  mkdirSync(restored);
  const run = readdirSync(at.backup).find((name) => name.startsWith('run-'));
  // Cut off before a byte was restored.
  const begun = join(at.directory, 'begun');
  mkdirSync(begun);
  writeFileSync(join(begun, 'restoring.json.0a1b2c3d4e5f.tmp'), '{');
  assert.equal((await cli(begun, 'restore', at.backup)).code, 0);
  assert.ok(!readdirSync(begun).some((name) => name.startsWith('restoring.json')));
  writeFileSync(join(restored, 'restoring.json'), JSON.stringify({ backup: at.backup, run: 'run-of-another' }));
  assert.match((await cli(restored, 'restore', at.backup)).stderr, /a restore of another backup .* was cut off/);
  writeFileSync(join(restored, 'restoring.json'), JSON.stringify({ backup: at.backup, run }));
  mkdirSync(join(restored, 'chunks', sessionFolder(id)), { recursive: true });
  writeFileSync(join(restored, 'chunks', sessionFolder(id), '0.chunk'), 'half a chunk');
  await assert.rejects(start(t, restored), /run the same "lucid-sessions restore" again/);
  assert.match((await cli(restored, 'check')).stderr, /was cut off here/);
  assert.equal((await cli(restored, 'restore', at.backup)).code, 0);
  await assertClean(restored);
  assert.equal((await verifySession(await start(t, restored), id)).clean, true);

  // A run that was cut off is told apart from a whole one, and repeating it makes it whole.
  const half = join(at.directory, 'half');
  mkdirSync(join(half, 'run-20260101T000000-00000000'), { recursive: true });
  for (const name of ['installation-id.0a1b2c3d4e5f.tmp', 'installation-id.7-1.tmp', 'backup.json.7-3.tmp'])
    writeFileSync(join(half, name), '');
  assert.match((await cli(at.dataDir, 'check', half)).stderr, /there is no whole backup .* cut off/);
  assert.match((await cli(join(at.directory, 'n'), 'restore', half)).stderr, /there is no whole backup .* cut off/);
  assert.equal((await cli(at.dataDir, 'backup', half)).code, 0);
  assert.equal(existsSync(join(half, 'run-20260101T000000-00000000')), false);
  assert.deepEqual(
    readdirSync(half).filter((name) => name.endsWith('.tmp')),
    [],
  );
  await assertClean(at.dataDir, half);
});

test('a backup without keys holds none, verifies, and is restored beside the keys that were kept apart', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir);
  const id = await record(gateway, at);
  const made = await cli(at.dataDir, 'backup', at.backup, '--without-keys');
  assert.equal(made.code, 0);
  assert.match(made.stdout, /keys {7}none/);
  const secrets = [...filesBelow(join(at.dataDir, 'keys')), ...filesBelow(join(at.dataDir, 'secrets'))]
    .filter((path) => !path.includes('lock.sqlite'))
    .map((path) => readFileSync(path));
  for (const path of filesBelow(at.backup))
    for (const secret of secrets) assert.equal(readFileSync(path).includes(secret), false, path);
  const checked = await cli(at.dataDir, 'check', at.backup);
  assert.equal(checked.code, 0, checked.stdout);
  assert.match(checked.stdout, /not tried {2}the keys of 1 sessions/);

  const restored = join(at.directory, 'restored');
  assert.match((await cli(restored, 'restore', at.backup)).stderr, /put the installation's keys\/ and secrets\/ into/);
  for (const name of ['keys', 'secrets'])
    cpSync(join(at.dataDir, name), join(restored, name), { recursive: true, mode: 0 });
  assert.equal((await cli(restored, 'restore', at.backup)).code, 0);
  const report = await verifySession(await start(t, restored), id);
  assert.deepEqual([report.clean, report.verdicts.readability], [true, 'readable']);
});

test('chunk folders and keys alone are enough: lost databases are made again and every session opens', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir);
  const done = await record(gateway, at);
  const frames = bodies(await readRecording(gateway, done));
  const shredded = await record(gateway, at);
  await gateway.api.json('POST', `/sessions/${shredded}/erase`, { confirm: shredded, reason: 'test' });
  const running = await connect(gateway, at);
  await running.client.type('under way\n', 20);
  const leaves = join(at.dataDir, 'chunks', sessionFolder(running.id), 'leaves.bin');
  await eventually('a stored chunk', () => (statSync(leaves, { throwIfNoEntry: false })?.size ?? 0) > 0);
  const lost = join(at.directory, 'lost');
  // What is left when only chunks, keys and the public log were saved.
  mkdirSync(join(lost, 'log'), { recursive: true });
  for (const name of ['keys', 'secrets', 'chunks'])
    cpSync(join(at.dataDir, name), join(lost, name), { recursive: true });
  for (const name of ['checkpoint', 'tile'])
    cpSync(join(at.dataDir, 'log', name), join(lost, 'log', name), { recursive: true });
  await running.client.close();

  const told = await json<Checked>(lost, 'check');
  assert.equal(told.code, 1);
  assert.deepEqual(told.value.findings, [`${join(lost, 'metadata.db')} is missing`]);
  const repaired = await json<Checked & { repaired: { rebuilt: string[]; failed: unknown[] } }>(
    lost,
    'check',
    '--repair',
  );
  assert.deepEqual(repaired.value.repaired.failed, []);
  assert.deepEqual(repaired.value.repaired.rebuilt.toSorted(), [done, shredded, running.id].toSorted());
  assert.deepEqual(repaired.value.findings, []);
  assert.deepEqual((await json<typeof repaired.value>(lost, 'check', '--repair')).value.repaired.rebuilt, []);

  const again = await start(t, lost);
  const report = await verifySession(again, done);
  assert.deepEqual([report.clean, report.findings, report.verdicts.readability], [true, [], 'readable']);
  assert.deepEqual(bodies(await readRecording(again, done)), frames);
  assert.deepEqual((await verifySession(again, shredded)).states, ['SHREDDED']);
  await finishedIn(again, running.id);
  const cut = await verifySession(again, running.id);
  assert.deepEqual([cut.findings, cut.states], [[], ['RECOVERED']]);
  const { statistics } = await sessionIn(again, running.id, 'completed');
  const held = (await readRecording(again, running.id)).length;
  assert.deepEqual([statistics.frame_count, statistics.average_fps], [held, null], 'what its chunks hold');
  assert.ok(held > 20);
  await record(again, at);
});

test('a restored log waits for its witnesses; one that is older than what they saw does not grow, and takes a later copy', {
  timeout: 240_000,
}, async (t) => {
  const at = await world(t);
  let logKey: NoteKey | null = null;
  const witness = await LogWitness.start('witness.example', () => logKey ?? assert.fail('no log yet'));
  t.after(() => witness.stop());
  const witnesses = { LUCID_WITNESSES: witness.setting, LUCID_WITNESS_SECONDS: '1' };
  const gateway = await start(t, at.dataDir, witnesses);
  const policy = await gateway.api.json<{ log_keys: string[] }>('GET', '/evidence/policy');
  logKey = parseNoteKey(policy.log_keys[0] ?? '');
  const id = await record(gateway, at);
  assert.equal((await cli(at.dataDir, 'backup', at.backup)).code, 0);
  const late = await record(gateway, at);
  await eventually(
    'a witnessed session',
    async () => (await verifySession(gateway, late)).verdicts.time === 'witnessed',
    30_000,
  );
  await gateway.lucid.dispose();

  const older = join(at.directory, 'older');
  const back = await cli(older, 'restore', at.backup);
  assert.match(back.stdout, /If anybody has seen more of it, recording on from here forks it/);
  const held = await start(t, older, witnesses);
  const sizeOf = () => Number(readFileSync(join(older, 'log', 'checkpoint'), 'utf8').split('\n')[1]);
  const size = sizeOf();
  await eventually('the alarm', async () => held.logged.some((line) => line.includes('ALARM: the witness')));
  assert.equal((await verifySession(held, id)).verdicts.integrity, 'intact', 'what there is can be looked at');
  const answer = await fetch(`${held.lucid.addresses.api}/api/v1/health`);
  const health = (await answer.json()) as { status: string; services: { pipeline: { message: string } } };
  assert.equal(health.status, 'unhealthy');
  assert.match(health.services.pipeline.message, /a witness knows a later one: nothing is recorded/);
  const { id: refusedId, routingToken } = await armSession(held, at.desktop.port);
  // Our client may be active for a moment before the refusal reaches it.
  await connectClient({ port: held.rdpPort, routingToken, userName: 'ada' }).then(
    (client) => client.ended,
    () => null,
  );
  assert.equal((await held.api.json<SessionAnswer>('GET', `/sessions/${refusedId}`)).started_at, null);
  assert.equal(sizeOf(), size, 'it did not grow');
  await held.lucid.dispose();

  const newer = join(at.directory, 'newer');
  const mirror = join(at.directory, 'mirror');
  mkdirSync(mirror);
  for (const name of ['checkpoint', 'tile'])
    cpSync(join(at.dataDir, 'log', name), join(mirror, name), { recursive: true });
  const withLog = await cli(newer, 'restore', at.backup, '--log', mirror);
  assert.equal(withLog.code, 0, withLog.stderr);
  const on = await start(t, newer, witnesses);
  await eventually('the witness to agree', async () => {
    const { events } = await on.api.json<{ events: unknown[] }>('GET', '/audit?event_type=log_restored');
    return events.length === 1;
  });
  assert.equal((await verifySession(on, await record(on, at))).verdicts.integrity, 'intact');
  assert.equal((await verifySession(on, id)).clean, true);

  // Another log than ours, and an older one.
  const { 0: checkpoint = '' } = [readFileSync(join(mirror, 'checkpoint'), 'utf8')];
  writeFileSync(
    join(mirror, 'checkpoint'),
    checkpoint.replace(/^\d+$/m, (number) => String(Number(number) - 1)),
  );
  const refused = await cli(join(at.directory, 'x'), 'restore', at.backup, '--log', mirror);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is not signed by this installation's key/);
});

test('an installation that is moved keeps the name of its log', { timeout: 120_000 }, async (t) => {
  const at = await world(t);
  const gateway = await start(t, at.dataDir, { LUCID_LOG_ORIGIN: 'here.example/log' });
  const id = await record(gateway, at);
  assert.equal((await cli(at.dataDir, 'backup', at.backup)).code, 0);
  await gateway.lucid.dispose();
  const moved = join(at.directory, 'moved');
  assert.equal((await cli(moved, 'restore', at.backup)).code, 0);
  await assert.rejects(start(t, moved, { LUCID_LOG_ORIGIN: 'there.example/log' }), /must be here\.example\/log/);
  const there = await start(t, moved);
  assert.ok(there.logged.some((line) => /the log was restored with \d+ entries/.test(line)));
  assert.equal((await verifySession(there, id)).clean, true);
  assert.match(readFileSync(join(moved, 'log', 'checkpoint'), 'utf8'), /^here\.example\/log\n/);
});
