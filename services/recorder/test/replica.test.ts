/** A spool copied to another recorder, file by file: whatever happens between two looks, the copy ends as what is there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeRpc, LucidError, rpcContentType } from '@lucid-sessions/contract';
import { eventually } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { ReplicaShelf } from '../src/replica/replica-shelf.ts';
import { Replicas } from '../src/replica/replicas.ts';
import { Replicator } from '../src/replica/replicator.ts';
import { SpoolReplica } from '../src/replica/spool-replica.ts';
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
    recorderId: directory.split('/').at(-1) === 'first' ? 'first' : 'second',
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

test('of two that may keep the copy the next one does when the first is gone, and what that one has is removed when it is back', async (t) => {
  const { spool, copies } = world(t);
  const away = { first: false, second: false };
  const shelves = { first: shelfIn(join(copies, 'first'), () => false), second: shelfIn(join(copies, 'second')) };
  const keeper = (name: 'first' | 'second') => {
    const reached = <T>(ask: () => Promise<T>): Promise<T> =>
      away[name] ? Promise.reject(new LucidError('unavailable', `${name} does not answer`)) : ask();
    return {
      url: `http://${name}:8084`,
      replica: {
        replicaState: (request: { recorderId: string; begins: boolean }) => reached(() => shelves[name].state(request)),
        replicate: (copy: Parameters<ReplicaShelf['replicate']>[0]) => reached(() => shelves[name].replicate(copy)),
      },
    };
  };
  let nowMs = 0;
  const replicas = new Replicas({
    ...{ directory: spool, recorderId: 'own', nowMs: () => nowMs },
    replicas: [keeper('first'), keeper('second')],
  });
  const round = async (): Promise<string | null> => {
    nowMs += 1000;
    try {
      while (await replicas.round());
      return null;
    } catch (thrown) {
      return (thrown as Error).message;
    }
  };
  const write = (bytes: number) => appendFileSync(segmentPath(join(spool, 's-1'), 0), Buffer.alloc(bytes, bytes));
  const copyAt = (name: string) => filesOf(join(copies, name));
  mkdirSync(join(spool, 's-1'));
  write(10);
  assert.equal(await round(), null);
  assert.deepEqual(copyAt('first'), filesOf(spool));
  away.first = true;
  write(20);
  const covered = replicas.coveredMs;
  assert.equal(await round(), 'first does not answer');
  assert.deepEqual([replicas.url, replicas.keptBy], ['http://first:8084', null], 'it may be slow once');
  assert.equal(await round(), 'first does not answer');
  assert.equal(replicas.coveredMs, covered);
  assert.equal(await round(), null);
  assert.deepEqual([replicas.url, replicas.keptBy], ['http://second:8084', 'second']);
  assert.deepEqual(copyAt('second'), filesOf(spool));
  assert.equal(Object.keys(copyAt('first')).length, 1, 'an old copy');
  away.first = false;
  for (let rounds = 0; rounds < 6; rounds += 1) assert.equal(await round(), null);
  assert.deepEqual([replicas.url, copyAt('first')], ['http://second:8084', {}], 'it stays where it is');
  away.second = true;
  write(30);
  assert.deepEqual([await round(), await round(), await round()], [...Array(2).fill('second does not answer'), null]);
  assert.deepEqual([replicas.url, copyAt('first')], ['http://first:8084', filesOf(spool)]);
  away.first = true;
  for (let rounds = 0; rounds < 8; rounds += 1) assert.match((await round()) ?? '', /does not answer/);
  away.second = false;
  for (let rounds = 0; rounds < 3; rounds += 1) await round();
  assert.deepEqual([replicas.url, copyAt('second')], ['http://second:8084', filesOf(spool)]);
});

test('a spool that was taken over is copied nowhere else', async (t) => {
  const { spool, copies } = world(t);
  const shelf = shelfIn(copies, () => true);
  await shelf.start();
  t.after(() => shelf.dispose());
  const asked: string[] = [];
  const keeper = (url: string) => ({
    url,
    replica: {
      replicaState: (request: { recorderId: string; begins: boolean }) => shelf.state(request),
      replicate: async (copy: Parameters<ReplicaShelf['replicate']>[0]) => {
        asked.push(url);
        await shelf.replicate(copy);
      },
    },
  });
  const replicas = new Replicas({
    ...{ directory: spool, recorderId: 'own', nowMs: () => performance.now() },
    replicas: [keeper('http://first'), keeper('http://second')],
  });
  mkdirSync(join(spool, 's-1'));
  appendFileSync(segmentPath(join(spool, 's-1'), 0), Buffer.alloc(10));
  await replicas.round();
  while ((await shelf.state({ recorderId: 'own', begins: false })).takenOver.length === 0)
    await new Promise((resolve) => setTimeout(resolve, 100));
  appendFileSync(segmentPath(join(spool, 's-1'), 0), Buffer.alloc(10));
  for (let rounds = 0; rounds < 5; rounds += 1) await assert.rejects(replicas.round(), /was taken over/);
  assert.deepEqual(new Set(asked), new Set(['http://first']));
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
  assert.deepEqual(begun, { segments: [], takenOver: [], keptBy: 'second' });
  await write(0);
});

test('sessions wait for a copy that is reached and too far behind, and for none that is not', async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 's-1'));
  let isSlow = true;
  let isThere = true;
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const isState = request.url?.includes('replicaState') === true;
      const answer = () => {
        response.writeHead(200, { 'content-type': isThere ? rpcContentType : 'text/plain' });
        response.end(encodeRpc({ result: isState ? { segments: [], takenOver: [] } : null }));
      };
      const wait = () => void (isSlow && !isState ? setTimeout(wait, 5) : answer());
      wait();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  appendFileSync(segmentPath(join(directory, 's-1'), 0), Buffer.alloc(1000, 1));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const data = {
    directory,
    recorderId: 'first',
    urls: [url],
    access: { serviceSecret: 'a secret of this test alone' },
  };
  const replica = new SpoolReplica(data, () => {}, 2000);
  t.after(() => replica.stop());
  await eventually('it holds back', async () => replica.holdsBack);
  isSlow = false;
  await eventually('it has caught up', async () => !replica.holdsBack);
  isThere = false;
  await eventually('it is not reached', async () => replica.problem !== null);
  await eventually('it is behind', async () => replica.behindMs > 2000);
  assert.equal(replica.holdsBack, false);
});

test('each trouble of a copy is told once, also behind another one, and that it is well again', async (t) => {
  const directory = temporaryDirectory(t);
  let refusal: LucidError | null = new LucidError('unavailable', 'its disk is nearly full');
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(refusal?.status ?? 200, { 'content-type': rpcContentType });
      response.end(
        encodeRpc(
          refusal === null
            ? { result: { segments: [], takenOver: [] } }
            : { error: { code: refusal.code, message: refusal.message, status: refusal.status } },
        ),
      );
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const access = { serviceSecret: 'a secret of this test alone' };
  const said: string[] = [];
  const replica = new SpoolReplica({ directory, recorderId: 'first', urls: [url], access }, (text) => said.push(text));
  t.after(() => replica.stop());
  await eventually('the first trouble', () => said.some((text) => /nearly full/.test(text)));
  refusal = new LucidError('notInThisState', 'the spool of first was taken over');
  await eventually('the second trouble', () => said.some((text) => /was taken over/.test(text)));
  refusal = null;
  await eventually('it is well again', () => said.some((text) => /again/.test(text)));
  assert.deepEqual(
    said.map((text) => /nearly full|taken over|again/.exec(text)?.[0]),
    ['nearly full', 'taken over', 'again'],
  );
});
