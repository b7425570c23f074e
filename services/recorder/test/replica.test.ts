/** A spool copied to another recorder, file by file: whatever happens between two looks, the copy ends as what is there. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LucidError } from '@lucid-sessions/contract';
import fc from 'fast-check';
import { ReplicaShelf } from '../src/replica/replica-shelf.ts';
import { Replicator } from '../src/replica/replicator.ts';
import { segmentPath } from '../src/spool/spool-disk.ts';
import { temporaryDirectory } from './spool-kit.ts';

const filesOf = (directory: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.seg') && !entry.parentPath.includes('/.forgotten'))
      .map(({ parentPath, name }) => [
        `${parentPath.split('/').at(-1)}/${name}`,
        readFileSync(join(parentPath, name)).toString('hex'),
      ])
      .sort(),
  );

function shelfIn(directory: string, granted: () => boolean = () => false): ReplicaShelf {
  return new ReplicaShelf({
    directory,
    recorderId: 'second',
    pipeline: { takeOverSpool: async () => ({ granted: granted() }) },
    takeOverMs: 1,
    recover: async () => ({ undrained: [], undrainedCount: 0, close: async () => {} }) as never,
    onProblem: () => {},
  });
}

interface World {
  spool: string;
  copies: string;
  shelf: ReplicaShelf;
  replicator: () => Replicator;
}

function world(t: TestContext): World {
  const root = temporaryDirectory(t);
  const [spool, copies] = [join(root, 'spool'), join(root, 'replicas')];
  mkdirSync(spool);
  const shelf = shelfIn(copies);
  const replica = {
    replicaState: (request: { recorderId: string; begins: boolean }) => shelf.state(request),
    replicate: (copy: Parameters<ReplicaShelf['replicate']>[0]) => shelf.replicate(copy),
  };
  return {
    spool,
    copies,
    shelf,
    replicator: () =>
      new Replicator({ directory: spool, recorderId: 'first', replica, nowMs: () => performance.now() }),
  };
}

async function all(replicator: Replicator): Promise<void> {
  while (await replicator.round());
}

type Step =
  | { kind: 'append'; session: number; index: number; bytes: number }
  | { kind: 'cut'; session: number; index: number; to: number; behind: number }
  | { kind: 'remove'; session: number; index: number }
  | { kind: 'forget'; session: number }
  | { kind: 'look' }
  | { kind: 'restart' };

const small = fc.nat({ max: 1 });
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('append' as const), session: small, index: small, bytes: fc.nat({ max: 300 }) }),
    fc.record({ kind: fc.constant('append' as const), session: small, index: small, bytes: fc.nat({ max: 300 }) }),
    fc.record({
      kind: fc.constant('cut' as const),
      session: small,
      index: small,
      to: fc.nat({ max: 200 }),
      behind: fc.nat({ max: 300 }),
    }),
    fc.record({ kind: fc.constant('remove' as const), session: small, index: small }),
    fc.record({ kind: fc.constant('forget' as const), session: small }),
    fc.constant({ kind: 'look' as const }),
    fc.constant({ kind: 'restart' as const }),
  ),
  { maxLength: 40, size: 'max' },
);

test('after any life of a spool its copy is what is there', { timeout: 120_000 }, async (t) => {
  let byte = 1;
  // No two of them alike: what was written anew is told from what was there.
  const fresh = (length: number): Buffer =>
    Buffer.from(
      Array.from({ length }, () => {
        byte = (byte * 48_271) % 2_147_483_647;
        return byte & 0xff;
      }),
    );
  await fc.assert(
    fc.asyncProperty(steps, async (life: Step[]) => {
      const { spool, copies, replicator } = world(t);
      let now = replicator();
      const pathOf = (session: number, index: number): string => segmentPath(join(spool, `s-${session}`), index);
      for (const step of life) {
        if (step.kind === 'look') await now.round();
        else if (step.kind === 'restart') now = replicator();
        else if (step.kind === 'forget') rmSync(join(spool, `s-${step.session}`), { recursive: true, force: true });
        else if (step.kind === 'remove') rmSync(pathOf(step.session, step.index), { force: true });
        else {
          mkdirSync(join(spool, `s-${step.session}`), { recursive: true });
          const path = pathOf(step.session, step.index);
          if (step.kind === 'append') appendFileSync(path, fresh(step.bytes));
          else {
            appendFileSync(path, fresh(0));
            if (readFileSync(path).length > step.to) truncateSync(path, step.to);
            appendFileSync(path, fresh(step.behind));
          }
        }
      }
      await all(now);
      assert.deepEqual(filesOf(copies), filesOf(spool));
    }),
    { numRuns: 60 },
  );
});

test('a segment is gone from the copy only when the one behind it is there', async (t) => {
  const { spool, copies, replicator } = world(t);
  mkdirSync(join(spool, 's-1'));
  const first = segmentPath(join(spool, 's-1'), 0);
  appendFileSync(first, Buffer.alloc(1000, 1));
  const now = replicator();
  await all(now);
  // More than one request holds.
  appendFileSync(segmentPath(join(spool, 's-1'), 1), Buffer.alloc(9_000_000, 2));
  renameSync(first, join(spool, 'gone'));
  assert.equal(await now.round(), true);
  assert.deepEqual(Object.keys(filesOf(copies)), ['s-1/0000000000.seg', 's-1/0000000001.seg']);
  await all(now);
  assert.deepEqual(Object.keys(filesOf(copies)), ['s-1/0000000001.seg']);
});

test('a hole is refused, and a spool that was taken over takes nothing until its recorder begins anew', async (t) => {
  const root = temporaryDirectory(t);
  const shelf = shelfIn(join(root, 'replicas'), () => true);
  await shelf.start();
  t.after(() => shelf.dispose());
  const write = (at: number) =>
    shelf.replicate({
      recorderId: 'first',
      writes: [{ sessionId: 's-1', index: 0, at, bytes: new Uint8Array(5) }],
      removals: [],
    });
  await write(0);
  await assert.rejects(write(6), (error: LucidError) => /has 5 bytes here/.test(error.message));
  let taken: string[] = [];
  while (taken.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    taken = (await shelf.state({ recorderId: 'first', begins: false })).takenOver;
  }
  assert.deepEqual(taken, ['s-1']);
  await assert.rejects(write(5), /was taken over/);
  let begun: Awaited<ReturnType<ReplicaShelf['state']>> | null = null;
  while (begun === null) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    begun = await shelf.state({ recorderId: 'first', begins: true }).catch((error: unknown) => {
      assert.ok(error instanceof LucidError && /still being recovered/.test(error.message));
      return null;
    });
  }
  assert.deepEqual(begun, { segments: [], takenOver: [] });
  await write(0);
});
