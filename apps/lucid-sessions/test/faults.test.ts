/** Disks that are full, read-only, broken or slow under the spool: what the user is told, and what the recording says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import { finished } from './support/crash-runs.ts';
import { workFor } from './support/fault-sessions.ts';
import { armSession, verifySession } from './support/gateway.ts';
import { type House, oneProcess, startHouse } from './support/house.ts';

const toldWithinMs = 5000;
const directory = mkdtempSync(join(tmpdir(), 'lucid-faults-'));
const faultFile = join(directory, 'fault');
const setFault = (fault: string): void => writeFileSync(faultFile, fault);

let house: House;
let desktop: Desktop;
before(async () => {
  setFault('');
  desktop = await startDesktop();
  house = await startHouse({
    processes: oneProcess,
    spoolDisk: fileURLToPath(import.meta.resolve('@lucid-sessions/testkit/crash/faulty-disk')),
    environment: { CRASH_FAULT_FILE: faultFile },
  });
});
after(async () => {
  await house?.stop();
  await desktop?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function record(
  t: TestContext,
  persistence: 'strict' | 'best_effort',
): Promise<{ id: string; client: RdpClient }> {
  setFault('');
  t.after(() => setFault(''));
  const { id, routingToken } = await armSession(house, desktop.port, { recording_config: { persistence } });
  const client = await connectClient({ port: house.rdpPort, routingToken, userName: 'faults' });
  t.after(() => client.destroy());
  await workFor(client, 400);
  return { id, client };
}

const faults = [
  ['disk full', 'append ENOSPC'],
  ['read-only disk', 'append EROFS'],
  ['EIO on write', 'append EIO'],
  ['EIO on fsync', 'sync EIO'],
] as const;

describe('a spool disk that fails', { concurrency: 1 }, () => {
  for (const [name, fault] of faults) {
    test(`strict, ${name}: the user is told why, and what was durable verifies`, { timeout: 90_000 }, async (t) => {
      const { id, client } = await record(t, 'strict');
      setFault(fault);
      const atMs = performance.now();
      void workFor(client, 1000);
      const end = await client.ended;
      assert.ok(performance.now() - atMs < toldWithinMs, 'within 5 s');
      assert.notEqual(end.errorInfo, 0, 'an error info PDU came first');
      assert.equal(end.orderly, true);
      setFault('');
      const session = await finished(house, id);
      assert.equal(session.status, 'failed');
      assert.equal(session.end_reason, 'recording_not_persisted');
      const report = await verifySession(house, id);
      assert.equal(report.verdicts.integrity, 'intact');
      assert.notEqual(report.verdicts.completeness, 'incomplete');
    });

    test(`best effort, ${name}: the session goes on, and the gap is in the verdict`, { timeout: 90_000 }, async (t) => {
      const { id, client } = await record(t, 'best_effort');
      setFault(fault);
      await workFor(client, 600);
      setFault('');
      await workFor(client, 900);
      await client.close();
      const session = await finished(house, id);
      assert.equal(session.status, 'completed');
      const report = await verifySession(house, id);
      assert.equal(report.verdicts.integrity, 'intact');
      assert.equal(report.verdicts.completeness, 'gaps');
    });
  }

  test('best effort, the recorder dies while the disk takes nothing: the recording claims no completeness', {
    timeout: 90_000,
  }, async (t) => {
    const { id, client } = await record(t, 'best_effort');
    setFault('append ENOSPC');
    await workFor(client, 600);
    await house.victim('all').kill();
    setFault('');
    await house.victim('all').start();
    const session = await finished(house, id);
    assert.deepEqual([session.status, session.outcome], ['completed', 'gap']);
    assert.equal(session.end_reason, 'recorder_crashed');
    const report = await verifySession(house, id);
    assert.deepEqual(report.states, ['RECOVERED']);
    assert.equal(report.verdicts.integrity, 'intact');
    assert.equal(report.verdicts.completeness, 'gaps');
  });

  test('the recorder dies while it is paused: the pause is in the verdict', { timeout: 90_000 }, async (t) => {
    const { id, client } = await record(t, 'strict');
    await house.api.json('POST', `/sessions/${id}/pause`, {});
    await workFor(client, 600);
    await house.victim('all').kill();
    await house.victim('all').start();
    await finished(house, id);
    const report = await verifySession(house, id);
    assert.deepEqual(report.states, ['RECOVERED']);
    assert.equal(report.verdicts.integrity, 'intact');
    assert.equal(report.verdicts.completeness, 'gaps');
  });

  test('slow disk: nothing is lost, nobody is disconnected', { timeout: 90_000 }, async (t) => {
    const { id, client } = await record(t, 'strict');
    setFault('sync slow 400');
    await workFor(client, 1500);
    setFault('');
    await client.close();
    assert.equal((await finished(house, id)).status, 'completed');
    const report = await verifySession(house, id);
    assert.deepEqual(report.findings, []);
  });
});
