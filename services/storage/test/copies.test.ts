/** The second store, and what scrubbing makes of both. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FsChunkStore } from '@lucid-sessions/files';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { type ChunkStore, createStorageService, Scrub, type StorageService } from '@lucid-sessions/storage';
import { eventually } from '@lucid-sessions/testkit';
import { openSession, sampleChain, sampleSession, sealedLeafOf } from './suites/index.ts';

const nowUs = () => Date.now() * 1000;
const chain = sampleChain('s1', 4);

interface Home {
  path: string;
  storage: StorageService;
  metadata: SqliteMetadataStore;
  chunks: FsChunkStore;
  copy: FsChunkStore;
  file(side: 'chunks' | 'copy', name: string): string;
  scrub(repair: boolean): Promise<Awaited<ReturnType<Scrub['all']>>>;
}

async function home(
  t: TestContext,
  { which = 'asked' as 'all' | 'asked', under = (copy: ChunkStore) => copy } = {},
): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-copies-'));
  const metadata = new SqliteMetadataStore(join(path, 'metadata.db'));
  const [chunks, copy] = ['chunks', 'copy'].map((name) => new FsChunkStore({ path: join(path, name) }));
  const storage = createStorageService({
    metadata,
    chunks: chunks!,
    nowUs,
    copy: { chunks: under(copy!), which },
  });
  await storage.start();
  t.after(async () => {
    await storage.dispose();
    await rm(path, { recursive: true });
  });
  return {
    path,
    storage,
    metadata,
    chunks: chunks!,
    copy: copy!,
    file: (side, name) => join(path, side, 's1', 's1', name),
    scrub: (repair) => new Scrub({ metadata, chunks: chunks!, copy: copy!, nowUs }, { repair }).all(),
  };
}

async function recorded({ storage }: Home, wish: 'backup_enabled' | 'archive_enabled' | null): Promise<void> {
  const session = sampleSession('s1');
  if (wish !== null) session.storage_config = { ...session.storage_config, [wish]: true };
  await storage.createSession({ session, routeTokenSha256: null });
  const { epoch } = await storage.acquireLease({ sessionId: 's1', owner: 'p', ttlMs: 60_000 });
  for (const chunk of chain) assert.ok((await storage.putChunk({ ...chunk, epoch })).appended);
}

const copied = ({ storage, copy }: Home) =>
  eventually('everything copied', async () => {
    const { waitingChunks } = (await storage.statistics()).copies!;
    return waitingChunks === 0 && (await copy.leavesTail('s1')).count === chain.length;
  });

/** A second store that takes nothing until it is mended. */
function brokenAtFirst() {
  let isBroken = true;
  return {
    mend() {
      isBroken = false;
    },
    under: (copy: ChunkStore): ChunkStore =>
      new Proxy(copy, {
        get(target, name) {
          const member = Reflect.get(target, name) as unknown;
          if (name === 'putFile' && isBroken) return () => Promise.reject(new Error('the other site is away'));
          return typeof member === 'function' ? member.bind(target) : member;
        },
      }),
  };
}

const problems = ({ findings }: Awaited<ReturnType<Home['scrub']>>) =>
  findings.map(({ index, problem, repaired }) => `${index} ${problem}${repaired ? ' repaired' : ''}`);

for (const wish of ['backup_enabled', 'archive_enabled'] as const)
  test(`a session with ${wish} is copied, chunk by chunk, without its keys`, async (t) => {
    const here = await home(t);
    await recorded(here, wish);
    await here.storage.putWraps({
      sessionId: 's1',
      wraps: [{ scheme: 'l', recipient: 'r', keyId: 'k', wrapped: new Uint8Array(9) }],
    });
    await copied(here);
    for (const { metadata, file } of chain) assert.deepEqual(await here.copy.readFile('s1', metadata.index), file);
    assert.deepEqual(
      await here.copy.readLeaves('s1'),
      new Uint8Array(chain.flatMap((chunk) => [...sealedLeafOf(chunk)])),
    );
    assert.deepEqual(await here.copy.getWraps('s1'), []);
    await here.storage.putRecord({ sessionId: 's1', kind: 'open', record: new Uint8Array(5) });
    await eventually('the record', async () => (await here.copy.recordsCount('s1')) === 1);
    const { status, details } = await here.storage.health();
    assert.deepEqual([status, details.copyWaitingChunks], ['healthy', 0]);
  });

test('a session that asks for none is not copied, unless all are', async (t) => {
  const here = await home(t);
  await recorded(here, null);
  await eventually('a look at it', async () => (await here.storage.statistics()).copies!.waitingChunks === 0);
  assert.equal((await here.copy.leavesTail('s1')).count, 0);
  const all = await home(t, { which: 'all' });
  await recorded(all, null);
  await copied(all);
});

test('a copy that fails is told, tried again, and found again after a restart', async (t) => {
  const broken = brokenAtFirst();
  const here = await home(t, { under: broken.under });
  await recorded(here, 'backup_enabled');
  await eventually('health that says so', async () => {
    const { status, message } = await here.storage.health();
    return status === 'degraded' && /copied: the other site is away/.test(message ?? '');
  });
  assert.equal((await here.storage.statistics()).copies!.waitingChunks, chain.length);
  broken.mend();
  await copied(here);
  assert.equal((await here.storage.health()).status, 'healthy');
  // Another process, which was told of nothing.
  await here.copy.purgeSession('s1');
  const again = createStorageService({
    metadata: new SqliteMetadataStore(join(here.path, 'metadata.db')),
    chunks: new FsChunkStore({ path: join(here.path, 'chunks') }),
    nowUs,
    copy: { chunks: new FsChunkStore({ path: join(here.path, 'copy') }), which: 'asked' },
  });
  await again.start();
  await eventually('a walk', async () => (await here.copy.leavesTail('s1')).count === chain.length);
  await again.dispose();
});

test('purging takes the copy, too', async (t) => {
  const here = await home(t);
  await recorded(here, 'backup_enabled');
  await copied(here);
  await here.storage.purgeSession({ sessionId: 's1' });
  assert.deepEqual(await here.copy.listFiles('s1'), []);
});

test('scrubbing finds what is missing or spoiled on either side, and puts it back from the other', async (t) => {
  const here = await home(t);
  await recorded(here, 'backup_enabled');
  await copied(here);
  assert.deepEqual(problems(await here.scrub(false)), []);
  await rm(here.file('chunks', '0.chunk'));
  await writeFile(here.file('chunks', '1.chunk'), 'spoiled');
  await writeFile(here.file('copy', '2.chunk'), 'spoiled');
  await rm(here.file('copy', '3.chunk'));
  const expected = ['0 file_missing', '1 file_spoiled', '2 copy_spoiled', '3 copy_missing'];
  assert.deepEqual(problems(await here.scrub(false)), expected);
  const report = await here.scrub(true);
  assert.deepEqual(
    problems(report),
    expected.map((problem) => `${problem} repaired`),
  );
  assert.deepEqual([report.findingsCount, report.repairedCount, report.chunksChecked], [4, 4, 4]);
  assert.deepEqual(problems(await here.scrub(false)), []);
});

test('what is spoiled on both sides stays as it is, and is told', async (t) => {
  const here = await home(t);
  await recorded(here, 'backup_enabled');
  await copied(here);
  for (const side of ['chunks', 'copy'] as const) await writeFile(here.file(side, '1.chunk'), side);
  assert.deepEqual(problems(await here.scrub(true)), ['1 file_spoiled', '1 copy_spoiled']);
  assert.deepEqual(await here.chunks.readFile('s1', 1), new TextEncoder().encode('chunks'));
});

test('leaves that are lost or others are written again where row and file agree', async (t) => {
  const here = await home(t);
  await recorded(here, null);
  await here.chunks.putLeaf('s1', 1, new Uint8Array(224).fill(9));
  await truncate(here.file('chunks', 'leaves.bin'), 3 * 224);
  assert.deepEqual(problems(await here.scrub(true)), ['1 leaf_differs repaired', '3 leaf_missing repaired']);
  assert.deepEqual(problems(await here.scrub(false)), []);
  const scrub = new Scrub({ ...here, copy: null, nowUs }, { repair: false });
  await assert.rejects(scrub.session('nobody'), { code: 'LUCID_ERR_3001' });
});

test('a spoiled file is never copied', async (t) => {
  const broken = brokenAtFirst();
  const here = await home(t, { under: broken.under });
  await recorded(here, 'backup_enabled');
  await writeFile(here.file('chunks', '1.chunk'), 'spoiled');
  broken.mend();
  await eventually('health that says so', async () =>
    /chunk 1 of session s1 is missing or spoiled/.test((await here.storage.health()).message ?? ''),
  );
  assert.equal((await here.copy.leavesTail('s1')).count, 1);
});

test('a chunk that is stored while its session is being copied is copied, too', async (t) => {
  let slow: Promise<void> | null = null;
  let reached: () => void = () => {};
  const isCopying = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const under = (copy: ChunkStore): ChunkStore =>
    new Proxy(copy, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        // The last thing asked of a session that is all copied.
        if (name === 'recordsCount')
          return async (sessionId: string) => {
            reached();
            await slow;
            return target.recordsCount(sessionId);
          };
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  const here = await home(t, { which: 'all', under });
  const epoch = await openSession(here.storage, 's1');
  let release: () => void = () => {};
  slow = new Promise((resolve) => {
    release = resolve;
  });
  await here.storage.putChunk({ ...chain[0]!, epoch });
  await isCopying;
  await here.storage.putChunk({ ...chain[1]!, epoch });
  release();
  await eventually('the second', async () => (await here.copy.leavesTail('s1')).count === 2);
});
