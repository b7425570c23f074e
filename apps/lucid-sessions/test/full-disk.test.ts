/** A disk that is really full: a file system of 90 MB. Looking and deleting work, recording waits for room. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LucidError, spaceBounds } from '@lucid-sessions/contract';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { withReserve } from '@lucid-sessions/files';
import { eventually } from '@lucid-sessions/testkit';
import { isRecordings } from '../src/server/reserved-parts.ts';
import { armSession, type Gateway, recordSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

/** An empty file system of its own; null where this user can't mount one. */
function smallDisk(t: TestContext): string | null {
  const path = mkdtempSync(join(tmpdir(), 'lucid-small-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=90m', 'tmpfs', path]).status === 0;
  t.after(() => {
    if (mounted) spawnSync('umount', ['-l', path]);
    rmSync(path, { recursive: true, force: true });
  });
  return mounted ? path : null;
}

/** Fills the disk until `leftBytes` are left, to the last byte with 0. */
function fill(path: string, leftBytes: number): void {
  const file = openSync(path, 'w');
  try {
    for (const bytes of [65_536, 512, 1])
      try {
        while (leftBytes === 0 || free(path) > leftBytes + bytes) writeSync(file, Buffer.alloc(bytes));
      } catch {
        // As full as it gets with pieces of this size.
      }
  } finally {
    closeSync(file);
  }
}

const free = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

const isPurged = async ({ api }: Gateway, id: string): Promise<boolean> =>
  (await api.json<{ pipeline_state: string }>('GET', `/sessions/${id}`)).pipeline_state === 'destroyed';

const typesOf = async ({ api }: Gateway, id: string): Promise<string[]> =>
  (await api.json<{ events: { event_type: string }[] }>('GET', `/audit?resource_id=${id}`)).events.map(
    ({ event_type }) => event_type,
  );

test('who knocks at the RDP door gets nothing of the reserve, and who looks does', async () => {
  let released = 0;
  const store = {
    appendAudit: (event: { eventType: string }) =>
      released > 0 ? Promise.resolve(event) : Promise.reject(new LucidError('storage', 'full', { status: 507 })),
  };
  const reserve = {
    release: async () => {
      released += 1;
      return true;
    },
  };
  const kept = withReserve(store, reserve, isRecordings);
  for (const eventType of ['connection_refused', 'connection_failed'])
    await assert.rejects(kept.appendAudit({ eventType }), { status: 507 });
  assert.equal(released, 0);
  assert.deepEqual(await kept.appendAudit({ eventType: 'session_accessed' }), { eventType: 'session_accessed' });
  assert.equal(released, 1);
});

test('on a full disk a session is looked at, verified and deleted, and everything is audited', {
  timeout: 120_000,
}, async (t) => {
  const disk = smallDisk(t);
  if (disk === null) return t.skip('mounting a small file system needs root');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_DATA_DIR: join(disk, 'data'), LUCID_SPOOL_MAX_MB: '64' });
  const [first, second] = [await recordSession(gateway, desktop.port), await recordSession(gateway, desktop.port)];
  const { reserveBytes } = spaceBounds(90 * 1024 * 1024);
  const reserve = join(disk, 'data', 'reserve');
  assert.equal(statSync(reserve).size, reserveBytes);
  assert.equal(statSync(reserve).mode & 0o777, 0o600);
  const filler = join(disk, 'filler');
  fill(filler, 0);
  assert.equal(free(disk), 0);

  // Often enough that the write-ahead log can't hold it all in room it has already.
  for (let look = 0; look < 300; look++) await gateway.api.json('GET', `/sessions/${first}`);
  assert.equal((await verifySession(gateway, first)).clean, true);
  await gateway.api.json('GET', '/sessions');
  await gateway.api.json('PUT', `/sessions/${second}`, { name: 'renamed on a full disk' });
  await gateway.api.json('DELETE', `/sessions/${first}`, { reason: 'to make room' });
  await eventually('a purged session', () => isPurged(gateway, first));
  await assert.rejects(
    gateway.api.json('POST', '/sessions', { name: 'n', rdp_config: { host: 'h' } }),
    /nothing is recorded/,
  );
  const types = await typesOf(gateway, first);
  for (const type of ['session_accessed', 'session_verified', 'session_deleted']) assert.ok(types.includes(type), type);
  assert.ok(gateway.logged.some((line) => /ALARM .*the reserve was given up/.test(line)));
  assert.equal(existsSync(reserve), false);

  rmSync(filler);
  await eventually('the reserve again', () => existsSync(reserve) && statSync(reserve).size === reserveBytes, 20_000);
  assert.equal((await verifySession(gateway, second)).clean, true);
  const third = await recordSession(gateway, desktop.port);
  assert.equal((await verifySession(gateway, third)).clean, true);
});

test('a session under way ends before the reserve is touched, is whole up to there, and operators were told before', {
  timeout: 120_000,
}, async (t) => {
  const disk = smallDisk(t);
  if (disk === null) return t.skip('mounting a small file system needs root');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_DATA_DIR: join(disk, 'data'), LUCID_SPOOL_MAX_MB: '64' });
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const { routingToken: late } = await armSession(gateway, desktop.port, { name: 'late' });
  const client = await connectClient({ port: gateway.rdpPort, routingToken });
  await client.type('before\n', 5);
  await client.settled();
  const bounds = spaceBounds(90 * 1024 * 1024);
  const reserve = join(disk, 'data', 'reserve');

  fill(join(disk, 'filler'), (bounds.alarmBytesMin + bounds.recordingBytesMin) / 2);
  await eventually(
    'an early alarm',
    () => gateway.logged.some((line) => /ALARM the disk is nearly full/.test(line)),
    20_000,
  );
  const health = await (await fetch(`${gateway.api.url}/health`)).json();
  assert.match(JSON.stringify(health), /"status":"degraded".*the disk is nearly full/);
  const metrics = await (await fetch(`${gateway.api.url}/metrics`)).text();
  assert.match(metrics, /storage_space_bytes\{what="free"\} \d+/);
  await client.type('still recorded\n', 5);
  await client.settled();

  fill(join(disk, 'filler-2'), bounds.recordingBytesMin - 65_536 * 4);
  await client.type('no more\n', 5).catch(() => {});
  const end = await client.ended;
  assert.ok(end.errorInfo > 0, 'the client learns why its session ends');
  assert.ok(existsSync(reserve), 'the reserve is there');
  const refused = await connectClient({ port: gateway.rdpPort, routingToken: late }).then(
    async (open) => (await open.ended).errorInfo,
    () => -1,
  );
  assert.notEqual(refused, 0, 'nobody else is let in unrecorded');
  const session = await sessionIn(gateway, id, 'completed', 'failed');
  assert.equal(session.end_reason, 'recording_not_persisted');
  const report = await verifySession(gateway, id);
  assert.equal(report.verdicts.integrity, 'intact');
  assert.ok(existsSync(reserve));
});
