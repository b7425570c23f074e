/** Stored chunks are read again by themselves: whoever has the lease goes on where the one before was. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AuditEvent } from '@lucid-sessions/contract';
import { FsChunkStore } from '@lucid-sessions/files';
import { healthMetrics } from '@lucid-sessions/kit';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService, readStorageEnv, Scrubber, type ScrubberOptions } from '@lucid-sessions/storage';
import { eventually } from '@lucid-sessions/testkit';
import { sampleChain, sampleSession, sealedLeafOf } from './suites/index.ts';

const dayUs = 86_400_000_000;

interface Home {
  clock: { us: number };
  metadata: SqliteMetadataStore;
  chunks: FsChunkStore;
  copy: FsChunkStore;
  file(side: 'chunks' | 'copy', session: string, index: number): string;
  /** `session index`, by whoever read it. */
  read: string[];
  said: string[];
  audited: AuditEvent[];
  scrubber(changes?: Partial<ScrubberOptions>): Scrubber;
}

async function home(t: TestContext, sessions: readonly string[] = ['s1', 's2', 's3']): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-scrubber-'));
  const metadata = new SqliteMetadataStore(join(path, 'metadata.db'));
  const [chunks, copy] = ['chunks', 'copy'].map((name) => new FsChunkStore({ path: join(path, name) }));
  const clock = { us: Date.now() * 1000 };
  const scrubbers: Scrubber[] = [];
  t.after(async () => {
    await Promise.all(scrubbers.map((scrubber) => scrubber.dispose()));
    await Promise.allSettled([metadata.dispose(), chunks!.dispose(), copy!.dispose()]);
    await rm(path, { recursive: true });
  });
  for (const sessionId of sessions) {
    await metadata.insertSession(sampleSession(sessionId), null);
    const storage = createStorageService({ metadata, chunks: chunks!, nowUs: () => clock.us });
    const { epoch } = await storage.acquireLease({ sessionId, owner: 'p', ttlMs: 60_000 });
    for (const chunk of sampleChain(sessionId, 3)) {
      await storage.putChunk({ ...chunk, epoch });
      await copy!.putFile(sessionId, chunk.metadata.index, chunk.file);
      await copy!.putLeaf(sessionId, chunk.metadata.index, sealedLeafOf(chunk));
    }
  }
  const made: Home = {
    ...{ clock, metadata, chunks: chunks!, copy: copy!, read: [], said: [], audited: [] },
    file: (side, session, index) => join(path, side, chunks!.storagePath(session, index)),
    scrubber(changes = {}) {
      const seen = new Proxy(made.chunks, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name);
          if (typeof member !== 'function') return member;
          if (name !== 'readFile') return member.bind(target);
          return (sessionId: string, index: number) => {
            made.read.push(`${sessionId} ${index}`);
            return target.readFile(sessionId, index);
          };
        },
      });
      const scrubber = new Scrubber({
        settings: { days: 30, bytesPerSecondMax: 1e12, repair: true },
        ...{ metadata, chunks: seen, copy: made.copy, nowUs: () => clock.us },
        audit: async (event) => void made.audited.push(event),
        say: (line) => made.said.push(line),
        onError: (_, thrown) => made.said.push(String(thrown)),
        ...{ startMs: 0, lookMs: 5, recheckMs: 0 },
        ...changes,
      });
      scrubbers.push(scrubber);
      scrubber.start();
      return scrubber;
    },
  };
  return made;
}

const everyChunk = ['s1', 's2', 's3'].flatMap((session) => [0, 1, 2].map((index) => `${session} ${index}`));
const walked = (scrubber: Scrubber, times = 1) => eventually('a walk', () => scrubber.view.lastWalkSeconds >= times);
const facts = ({ audited }: Home) =>
  audited.map(
    ({ eventType, resourceId, details }) => `${eventType} ${resourceId} ${details.chunk_index} ${details.problem}`,
  );

test('all chunks are read once in a period, by one of several processes, and again in the next', async (t) => {
  const here = await home(t);
  const both = [here.scrubber(), here.scrubber()];
  await Promise.all(both.map((scrubber) => walked(scrubber)));
  assert.deepEqual(here.read, everyChunk);
  here.clock.us += 30 * dayUs;
  const endedSeconds = Math.round(here.clock.us / 1e6);
  await Promise.all(both.map((scrubber) => walked(scrubber, endedSeconds)));
  assert.deepEqual(here.read, [...everyChunk, ...everyChunk]);
  assert.deepEqual([here.said, here.audited], [[], []]);
});

test('who comes next goes on where the last one was, also when that one died with the lease', async (t) => {
  const here = await home(t);
  const ownBytes = (await here.metadata.totals()).storedBytes;
  // One chunk and its copy in an hour or so: each of them reads one.
  const slow = { settings: { days: 30, bytesPerSecondMax: 1e-3, repair: true } };
  assert.ok(ownBytes > 0);
  for (const [at, chunk] of everyChunk.entries()) {
    const scrubber = here.scrubber(slow);
    await eventually(`chunk ${at}`, () => here.read.length === at + 1 && scrubber.view.chunks === at + 1);
    assert.equal(here.read.at(-1), chunk);
    // The wait is cut short, and where it is is kept.
    await scrubber.dispose();
  }
  const dying = await here.metadata.getEntry('scrub', 'storage');
  const held = { ...dying!.value, owner: 'somebody who died', leaseUntilUs: here.clock.us + 60_000_000 };
  assert.ok(await here.metadata.putEntry({ ...dying!, value: held, version: dying!.version + 1 }));
  const last = here.scrubber();
  await eventually('a look', () => last.view.chunks === everyChunk.length);
  assert.equal(last.view.lastWalkSeconds, 0, 'another one has the lease');
  here.clock.us += 60_000_000;
  await walked(last);
  assert.deepEqual(here.read, everyChunk);
});

test('what is spoiled or missing is put back from the second store, on either side, told and audited', async (t) => {
  const here = await home(t);
  await writeFile(here.file('chunks', 's1', 1), 'not what it was');
  await unlink(here.file('chunks', 's2', 2));
  await unlink(here.file('copy', 's3', 0));
  const scrubber = here.scrubber();
  await walked(scrubber);
  assert.deepEqual(facts(here), [
    'chunk_repaired s1 1 file_spoiled',
    'chunk_repaired s2 2 file_missing',
    'chunk_repaired s3 0 copy_missing',
  ]);
  assert.match(here.said.join('\n'), /^session s1, chunk 1: file spoiled; it was put back, and is whole again\n/);
  assert.deepEqual([scrubber.view.problems, scrubber.view.repaired, scrubber.problem], [0, 3, null]);
  assert.deepEqual(await here.chunks.readFile('s1', 1), sampleChain('s1', 3)[1]!.file);
});

test('what nothing puts back is an alarm once, a problem until it is whole, and no loss once its session is gone', async (t) => {
  const here = await home(t);
  const good = sampleChain('s1', 3)[1]!.file;
  await writeFile(here.file('chunks', 's1', 1), 'not what it was');
  await unlink(here.file('chunks', 's2', 0));
  const scrubber = here.scrubber({ copy: null });
  await walked(scrubber);
  assert.equal(scrubber.view.problems, 2);
  const saysFirst = () =>
    assert.match(
      scrubber.problem ?? '',
      /^2 stored chunks are missing or spoiled \(the first: session s1, chunk 1\): run lucid/,
    );
  saysFirst();
  const reads = () => here.read.filter((chunk) => chunk === 's1 1').length;
  await eventually('looks at it again', () => {
    saysFirst();
    return reads() > 3;
  });
  assert.deepEqual(facts(here), ['chunk_damaged s1 1 file_spoiled', 'chunk_damaged s2 0 file_missing']);
  assert.equal(here.said.filter((line) => line.startsWith('ALARM session s1, chunk 1: file spoiled')).length, 1);
  await writeFile(here.file('chunks', 's1', 1), good);
  await eventually('it to be whole', () => scrubber.view.problems === 1);
  const session = (await here.metadata.getSession('s2'))!;
  const destroyed = { ...session, pipeline_state: 'cleanup' as const, version: session.version + 1 };
  assert.ok(await here.metadata.replaceSession(destroyed, session.version));
  await eventually('nobody to miss it', () => scrubber.problem === null);
  assert.equal(here.said.length, 2);
});

test('health of each storage process tells what any of them found, from its start on', async (t) => {
  const here = await home(t, ['s1']);
  const value = {
    ...{ owner: 'another', leaseUntilUs: here.clock.us + dayUs, walk: null, problemsCount: 1 },
    last: { startedUs: here.clock.us, endedUs: 5e6, chunks: 3, bytes: 9, findings: 3, repaired: 2 },
    problems: [{ sessionId: 's1', index: 2, problem: 'file_spoiled' }],
  };
  assert.ok(
    await here.metadata.putEntry({ kind: 'scrub', id: 'storage', owner: null, value, version: 1, untilUs: null }),
  );
  const { metadata, chunks, clock } = here;
  const scrub = { days: 30, bytesPerSecondMax: 1e6, repair: true };
  const storage = createStorageService({ metadata, chunks, nowUs: () => clock.us, scrub });
  await storage.start();
  const health = await eventually('what is known', async () => {
    const known = await storage.health();
    return known.status === 'degraded' ? known : null;
  });
  assert.match(health.message ?? '', /^a stored chunk is missing or spoiled \(the first: session s1, chunk 2\): run/);
  const { scrubProblems, scrubRepaired, scrubLastWalkSeconds } = health.details;
  assert.deepEqual([scrubProblems, scrubRepaired, scrubLastWalkSeconds], [1, 2, 5]);
  assert.match(healthMetrics(health), /^lucid_storage_scrub_problems 1$/m);
  assert.match(healthMetrics(health), /^lucid_storage_scrub_last_walk_timestamp_seconds 5$/m);
  await storage.dispose();
});

test('its settings have bounds, and 0 days is never', () => {
  const base = { LUCID_SERVICE_SECRET: 'x'.repeat(32) };
  const bytesPerSecondMax = 8 * 1024 * 1024;
  assert.deepEqual(readStorageEnv(base).scrub, { days: 30, bytesPerSecondMax, repair: true });
  assert.equal(readStorageEnv({ ...base, LUCID_SCRUB_DAYS: '0' }).scrub, null);
  for (const [variable, wrong] of [
    ['LUCID_SCRUB_DAYS', '3651'],
    ['LUCID_SCRUB_MB_PER_SECOND', '0'],
    ['LUCID_SCRUB_REPAIR', 'perhaps'],
  ] as const)
    assert.throws(
      () => readStorageEnv({ ...base, [variable]: wrong }),
      new RegExp(`^EnvironmentError: ${variable} must be`),
    );
});
