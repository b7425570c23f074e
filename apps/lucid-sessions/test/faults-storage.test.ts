/** Disks and databases that fail under storage: chunks wait in the spool, health says so, and all is stored afterwards. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { eventually } from '@lucid-sessions/testkit';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { type House, severalProcesses, startHouse } from './support/house.ts';

const directory = mkdtempSync(join(tmpdir(), 'lucid-faults-'));
const faultFile = join(directory, 'fault');
const setFault = (fault: string): void => writeFileSync(faultFile, fault);

let house: House;
let desktop: Desktop;
before(async () => {
  setFault('');
  desktop = await startDesktop();
  house = await startHouse({
    processes: severalProcesses,
    chunkDisk: fileURLToPath(import.meta.resolve('@lucid-sessions/testkit/crash/faulty-chunk-disk')),
    environment: { CRASH_FAULT_FILE: faultFile },
  });
});
after(async () => {
  await house?.stop();
  await desktop?.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Fault {
  begin: () => void;
  end: () => void;
  /** How long it lasts at least. */
  lastsMs: number;
  /** Who must say so, and what storage says. */
  say: readonly ('storage' | 'recorder')[];
  message: RegExp;
}

/** A session that is worked in before, during and after the fault. */
async function through(t: TestContext, { begin, end, lastsMs, say, message }: Fault): Promise<void> {
  const session = await witnessedSession(t, house, desktop);
  begin();
  t.after(end);
  await workFor(session.client, lastsMs);
  for (const name of say)
    await eventually(
      `${name} that says so`,
      async () => {
        const health = await house.service(name).health();
        if (name === 'storage' && health.status !== 'healthy') assert.match(health.message ?? '', message);
        return health.status !== 'healthy';
      },
      30_000,
    );
  const { details } = await house.service('recorder').health();
  assert.ok(Number(details.spooledChunks) > 0, 'chunks wait in the spool');
  end();
  await workFor(session.client, 500);
  await session.client.close();
  await assertWhole(house, session);
  assert.equal((await house.service('storage').health()).status, 'healthy');
}

const faults = [
  ['disk full', 'write ENOSPC', /the disk is full/],
  ['read-only disk', 'open EROFS', /EROFS/],
  ['EIO on write', 'write EIO', /EIO/],
  ['EIO on fsync', 'sync EIO', /EIO/],
] as const;

describe('storage that can not store', { concurrency: 1 }, () => {
  for (const [name, fault, message] of faults)
    test(`${name}: the session goes on, and nothing is missing afterwards`, { timeout: 120_000 }, (t) =>
      through(t, {
        begin: () => setFault(fault),
        end: () => setFault(''),
        lastsMs: 1000,
        say: ['storage', 'recorder'],
        message,
      }),
    );

  test('a database that does not commit: the same', { timeout: 120_000 }, async (t) => {
    const other = new DatabaseSync(join(house.dataDir, 'metadata.db'), { timeout: 10_000 });
    await through(t, {
      begin: () => other.exec('BEGIN IMMEDIATE'),
      // Rolls back.
      end: () => other.isOpen && other.close(),
      // Longer than a commit waits for a lock.
      lastsMs: 7000,
      say: ['storage'],
      message: /metadata/,
    });
  });
});
