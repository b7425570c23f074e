/** What every MetadataStore must do. An adapter runs this against itself: `metadataStoreSuite('sqlite', open)`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditEvent, chainedEventOf, isLucidError, type SessionStatus } from '@lucid-sessions/contract';
import type { AuditEntry, ChainHead, MetadataStore } from '@lucid-sessions/storage';
import {
  type SampleChunk,
  sampleAudit,
  sampleChain,
  sampleChunk,
  sampleEntry,
  sampleSession,
  sealedLeafOf,
} from './sample.ts';

const ten = [...Array(10).keys()];
const winnersOf = (answers: readonly boolean[]) => answers.filter((answer) => answer);
const chunkRow = (chunk: SampleChunk) => ({
  metadata: { ...chunk.metadata, storedAtUs: 5_000_000, storagePath: 'p' },
  sealedLeaf: sealedLeafOf(chunk),
  rebuilt: false,
});

const empty: ChainHead = { count: 0, leafHash: null, storedBytes: 0 };

/** `open` answers an empty store each time. */
export function metadataStoreSuite(name: string, open: () => Promise<MetadataStore>): void {
  const check = (what: string, work: (store: MetadataStore) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const store = await open();
      try {
        await work(store);
      } finally {
        await store.dispose();
      }
    });

  check('a session is stored once and read back as it was', async (store) => {
    const session = sampleSession('s1');
    assert.equal(await store.insertSession(session, 'aa'), true);
    assert.equal(await store.insertSession(session, null), false);
    assert.equal(await store.insertSession(sampleSession('s2'), 'aa'), false, 'a token belongs to one session');
    assert.deepEqual(await store.getSession('s1'), session);
    assert.equal(await store.getSession('s2'), null);
  });

  check('replacing is a compare-and-swap on the version', async (store) => {
    await store.insertSession(sampleSession('s1'), null);
    const next = sampleSession('s1', { version: 2, status: 'recording' });
    assert.equal(await store.replaceSession(next, 1), true);
    assert.equal(await store.replaceSession({ ...next, name: 'late' }, 1), false);
    assert.equal(await store.replaceSession(sampleSession('s9', { version: 2 }), 1), false);
    assert.deepEqual(await store.getSession('s1'), next);
    assert.deepEqual(await store.countSessions(), { recording: 1 });
  });

  check('routes find their session', async (store) => {
    await store.insertSession(sampleSession('old', { created_at: '2025-01-01T00:00:00.000Z' }), 'aa');
    await store.insertSession(sampleSession('armed', { status: 'starting' }), null);
    await store.insertSession(sampleSession('fresh', { created_at: '2026-05-01T00:00:00.000Z' }), null);
    await store.insertSession(sampleSession('done', { status: 'completed' }), null);
    assert.equal((await store.findByToken('aa'))?.session_id, 'old');
    assert.equal(await store.setRouteToken('old', 'bb'), true);
    assert.equal(await store.setRouteToken('nowhere', 'cc'), false);
    assert.equal(await store.findByToken('aa'), null);
    assert.equal((await store.findByToken('bb'))?.session_id, 'old');
    assert.equal(await store.setRouteToken('old', null), true);
    assert.equal(await store.findByToken('bb'), null);
    assert.equal((await store.findByCookie('done'))?.session_id, 'done', 'an id names its session');
    assert.equal((await store.findByCookie('ALICE'))?.session_id, 'armed', 'an armed session goes first');
    assert.equal(await store.findByCookie('nobody'), null);
    const named = (sessionId: string, username: string, domain?: string) => {
      const session = sampleSession(sessionId);
      const rdp_config = { ...session.rdp_config, username, ...(domain === undefined ? {} : { domain }) };
      return store.insertSession({ ...session, status: 'starting', rdp_config }, null);
    };
    await named('admin', 'Administrator');
    await named('domain', 'CONTOSO\\bob');
    await named('apart', 'carol', 'FABRIKAM');
    const found = async (cookie: string) => (await store.findByCookie(cookie))?.session_id ?? null;
    assert.deepEqual(
      await Promise.all(
        ['administr', 'ADMINISTRATOR', 'admin12', 'CONTOSO\\b', 'bob', 'fabrikam\\', 'FABRIKAM\\carol'].map(found),
      ),
      ['admin', 'admin', null, 'domain', 'domain', 'apart', 'apart'],
      'mstsc cuts names at nine characters',
    );
    await named('admins', 'administrative');
    assert.deepEqual(await Promise.all(['administr', 'administrator'].map(found)), [null, 'admin'], 'two fit');
    // A user whose name is the id of a session, or a session made with a user's name as its id.
    await store.insertSession(sampleSession('s-1', { status: 'starting' }), null);
    assert.equal(await found('s-1'), 's-1');
    await named('thief', 'S-1');
    assert.deepEqual(await Promise.all(['s-1', 'S-1'].map(found)), [null, 'thief'], 'neither has the other');
    await store.insertSession(sampleSession('carol', { status: 'starting' }), null);
    assert.deepEqual(await Promise.all(['carol', 'FABRIKAM\\carol'].map(found)), [null, 'apart']);
    await store.insertSession(sampleSession('bob', { status: 'completed' }), null);
    assert.equal(await found('bob'), 'domain', "one that is over stands in nobody's way");
    await named('self', 'self');
    assert.equal(await found('self'), 'self');
  });

  check('of many sessions of one user the armed one is found, also by a name that mstsc cut', async (store) => {
    const named = (sessionId: string, status: SessionStatus) => {
      const session = sampleSession(sessionId, { status });
      const rdp_config = { ...session.rdp_config, username: 'Administrator', domain: 'FABRIKAM' };
      return store.insertSession({ ...session, rdp_config }, null);
    };
    for (let at = 0; at < 150; at += 1) await named(`a${at}`, 'created');
    const found = () =>
      Promise.all(
        ['administrator', 'administr', 'FABRIKAM\\'].map(
          async (cookie) => (await store.findByCookie(cookie))?.session_id,
        ),
      );
    assert.deepEqual(await found(), [undefined, undefined, undefined], 'many fit');
    await named('z', 'starting');
    assert.deepEqual(await found(), ['z', 'z', 'z']);
    await named('y', 'starting');
    assert.deepEqual(await found(), [undefined, undefined, undefined]);
  });

  check('of ten who make, change or take the same at once one does', async (store) => {
    const sessions = ten.map((who) => sampleSession('s1', { name: `session ${who}` }));
    const inserted = await Promise.all(sessions.map((session, who) => store.insertSession(session, `token ${who}`)));
    assert.equal(winnersOf(inserted).length, 1);
    const tokens = await Promise.all(ten.map((who) => store.insertSession(sampleSession(`t${who}`), 'one token')));
    assert.equal(winnersOf(tokens).length, 1);
    for (const version of [1, 2]) {
      const next = ten.map((who) =>
        sampleSession('s1', { version: version + 1, name: `version ${version} by ${who}` }),
      );
      const replaced = await Promise.all(next.map((session) => store.replaceSession(session, version)));
      assert.deepEqual(
        [await store.getSession('s1')],
        next.filter((_, who) => replaced[who]),
      );
    }
    for (const [nowUs, epoch] of [
      [0, 1],
      [100, 2],
    ] as const) {
      const taken = await Promise.all(
        ten.map((who) => store.acquireLease('s1', `${nowUs} ${who}`, nowUs, nowUs + 100)),
      );
      const [winner, ...others] = taken.filter(({ acquired }) => acquired);
      assert.deepEqual([others.length, winner?.lease.epoch], [0, epoch]);
      for (const { lease } of taken) assert.deepEqual(lease, winner?.lease);
    }
  });

  check('of ten who append to a chain at once one does, and the chain goes on from its chunk', async (store) => {
    const { lease } = await store.acquireLease('s1', 'a', 0, 100);
    for (const index of [0, 1, 2, 3]) {
      const expected = await store.getHead('s1');
      const rivals = ten.map((who) => sampleChunk('s1', index, expected.leafHash, new Uint8Array(100 + who)));
      const appended = await Promise.all(
        rivals.map((chunk, who) => store.appendChunk(chunkRow(chunk), expected, who % 2 === 0 ? lease.epoch : null)),
      );
      const [winner, ...others] = rivals.filter((_, who) => appended[who]);
      assert.equal(others.length, 0);
      assert.deepEqual(await store.getChunk('s1', index), chunkRow(winner!));
      const storedBytes = expected.storedBytes + winner!.metadata.fileBytes;
      assert.deepEqual(await store.getHead('s1'), {
        count: index + 1,
        leafHash: winner!.metadata.leafHash,
        storedBytes,
      });
    }
  });

  check('of ten who append and one who takes the lease from them, the one has a head that stays', async (store) => {
    const { lease } = await store.acquireLease('s1', 'a', 0, 100);
    const [chunk] = sampleChain('s1', 1);
    const appends = ten.map(() => store.appendChunk(chunkRow(chunk!), empty, lease.epoch));
    const head = store.acquireLease('s1', 'b', 100, 200).then(() => store.getHead('s1'));
    const appended = winnersOf(await Promise.all(appends)).length;
    assert.ok(appended <= 1);
    assert.equal((await head).count, appended);
    assert.equal((await store.getHead('s1')).count, appended);
  });

  check('of ten who put a record in one place one does; without a place all have one', async (store) => {
    for (const place of [0, 1]) {
      const put = ten.map((who) => store.putRecord('s1', 'custody', new Uint8Array([place, who]), place));
      const answers = await Promise.allSettled(put);
      assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1);
    }
    const sequences = await Promise.all(ten.map((who) => store.putRecord('s1', 'replay', new Uint8Array([who]))));
    assert.deepEqual(
      [...sequences].sort((a, b) => a - b),
      ten.map((who) => 3 + who),
    );
    const same = await Promise.all(ten.map(() => store.putRecord('s1', 'open', new Uint8Array([1]))));
    assert.deepEqual(new Set(same), new Set([13]));
    assert.equal(await store.recordsCount('s1'), 13);
  });

  check('lists filter, search, page and leave deleted sessions out', async (store) => {
    for (let at = 0; at < 5; at++)
      await store.insertSession(
        sampleSession(`s${at}`, {
          created_at: `2026-01-0${at + 1}T00:00:00.000Z`,
          name: at === 3 ? '100% sure_thing' : `n${at}`,
          status: at === 4 ? 'deleted' : at === 2 ? 'recording' : 'created',
          metadata: at === 0 ? { project: 'other' } : { project: 'p1', environment: 'test', tags: ['Blue'] },
        }),
        null,
      );
    const ids = async (query: Partial<Parameters<MetadataStore['listSessions']>[0]>) => {
      const { sessions, total } = await store.listSessions({ limit: 50, offset: 0, ...query });
      return [sessions.map((session) => session.session_id).join(' '), total];
    };
    assert.deepEqual(await ids({}), ['s3 s2 s1 s0', 4]);
    assert.deepEqual(await ids({ limit: 2, offset: 1 }), ['s2 s1', 4]);
    assert.deepEqual(await ids({ status: 'deleted' }), ['s4', 1]);
    assert.deepEqual(await ids({ project: 'other' }), ['s0', 1]);
    assert.deepEqual(await ids({ project: 'p1', environment: 'test', status: 'recording' }), ['s2', 1]);
    assert.deepEqual(await ids({ search: 'bLUE' }), ['s3 s2 s1', 3]);
    assert.deepEqual(await ids({ search: '100% SURE_' }), ['s3', 1]);
    assert.deepEqual(await ids({ search: '%' }), ['s3', 1], 'a wildcard is text');
    assert.deepEqual(await ids({ held: true }), ['', 0]);
    const hold = {
      hold_id: 'h',
      reference: 'M',
      reason: 'r "holds":[',
      set_by: 'u',
      set_at: '2026-01-01T00:00:00.000Z',
    };
    for (const [id, holds] of [
      ['s1', [hold]],
      ['s2', undefined],
      ['s4', [hold, hold]],
    ] as const) {
      const known = (await store.getSession(id))!;
      const named = {
        ...known,
        version: known.version + 1,
        description: '"holds":[',
        ...(holds && { holds: [...holds] }),
      };
      assert.ok(await store.replaceSession(named, known.version));
    }
    assert.deepEqual(await ids({ held: true }), ['s4 s1', 2], 'deleted ones too');
    assert.deepEqual(await ids({ held: true, status: 'deleted' }), ['s4', 1]);
    assert.deepEqual(await ids({ held: true, search: 'n1' }), ['s1', 1]);
    const pages = await Promise.all([0, 1, 2, 3, 4, 5].map((offset) => ids({ limit: 1, offset })));
    assert.deepEqual(pages, [
      ['s3', 4],
      ['s2', 4],
      ['s1', 4],
      ['s0', 4],
      ['', 4],
      ['', 4],
    ]);
    assert.deepEqual(await ids({ limit: 3, offset: 2 }), ['s1 s0', 4], 'the last page may be short');
  });

  check('what is counted of sessions follows what becomes of them', async (store) => {
    const project = (name: string | undefined) => ({ metadata: name === undefined ? {} : { project: name } });
    const first = sampleSession('s1', { status: 'created', ...project(undefined) });
    await store.insertSession(first, null);
    await store.insertSession(first, null);
    await store.insertSession(sampleSession('s2', { status: 'created', ...project("it's 'p1' ") }), null);
    const counted = async (query: Partial<Parameters<MetadataStore['listSessions']>[0]>) =>
      (await store.listSessions({ limit: 0, offset: 0, ...query })).total;
    assert.deepEqual(await store.countSessions(), { created: 2 });
    assert.equal(await counted({ project: "it's 'p1' " }), 1);
    const next = { ...first, version: first.version + 1, status: 'recording' as const, ...project("it's 'p1' ") };
    assert.equal(await store.replaceSession(next, first.version), true);
    assert.equal(await store.replaceSession(next, first.version), false);
    assert.deepEqual(await store.countSessions(), { created: 1, recording: 1 });
    assert.equal(await counted({ project: "it's 'p1' " }), 2);
    assert.equal(await counted({ project: "it's 'p1' ", status: 'recording' }), 1);
    await store.replaceSession({ ...next, version: next.version + 1, status: 'deleted' }, next.version);
    assert.deepEqual(await store.countSessions(), { created: 1, deleted: 1 });
    assert.equal(await counted({}), 1);
  });

  check('every session there is comes by its id, with its route, in pages', async (store) => {
    for (const [sessionId, token] of [
      ['b', null],
      ['B', 'bb'],
      ['a', 'aa'],
      ['deleted', null],
    ] as const)
      await store.insertSession(
        sampleSession(sessionId, { status: sessionId === 'deleted' ? 'deleted' : 'created' }),
        token,
      );
    const first = await store.listStored('', 3);
    assert.deepEqual(
      first.map(({ session, routeTokenSha256 }) => [session.session_id, routeTokenSha256]),
      [
        ['B', 'bb'],
        ['a', 'aa'],
        ['b', null],
      ],
    );
    assert.deepEqual((await store.listStored('b', 3))[0]?.session, sampleSession('deleted', { status: 'deleted' }));
    assert.deepEqual(await store.listStored('deleted', 3), []);
  });

  check('a lease has one owner, and its epoch never repeats', async (store) => {
    assert.equal(await store.getLease('s1'), null);
    const first = await store.acquireLease('s1', 'a', 0, 100);
    assert.deepEqual(first, { acquired: true, lease: { owner: 'a', epoch: 1, expiresUs: 100 } });
    const refused = await store.acquireLease('s1', 'b', 50, 150);
    assert.deepEqual([refused.acquired, refused.lease.owner], [false, 'a']);
    assert.equal((await store.acquireLease('s1', 'a', 50, 200)).lease.epoch, 1);
    assert.equal((await store.acquireLease('s1', 'b', 200, 300)).lease.epoch, 2);
    await store.releaseLease('s1', 'a');
    assert.equal((await store.getLease('s1'))?.expiresUs, 300, 'only the owner lets go');
    await store.releaseLease('s1', 'b');
    assert.equal((await store.acquireLease('s1', 'a', 210, 400)).lease.epoch, 3);
  });

  check(
    'chunks of several sessions at once: each gets its own answer, whatever becomes of the others',
    async (store) => {
      const append = (sessionId: string, broken = {}) => {
        const [chunk] = sampleChain(sessionId, 1);
        const metadata = { ...chunk!.metadata, storedAtUs: 5_000_000, storagePath: 'p/0', ...broken };
        return store.appendChunk({ metadata, sealedLeaf: sealedLeafOf(chunk!), rebuilt: false }, empty, null);
      };
      const unstorable = { storagePath: { not: 'text' } as unknown as string };
      const answers = await Promise.allSettled([
        append('s1'),
        append('s2'),
        append('s2'),
        append('s3', unstorable),
        append('s4'),
      ]);
      const [first, ...others] = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : 'failed'));
      assert.deepEqual([first, ...others.splice(0, 2).sort(), ...others], [true, false, true, 'failed', true]);
      for (const [sessionId, count] of [
        ['s1', 1],
        ['s2', 1],
        ['s3', 0],
        ['s4', 1],
      ] as const)
        assert.equal((await store.getHead(sessionId)).count, count, sessionId);
    },
  );

  check('the chain takes a chunk only at its head and under the lease', async (store) => {
    const chain = sampleChain('s1', 3);
    const row = (at: number) => ({
      metadata: { ...chain[at]!.metadata, storedAtUs: 5_000_000, storagePath: `p/${at}` },
      sealedLeaf: sealedLeafOf(chain[at]!),
      rebuilt: false,
    });
    const { lease } = await store.acquireLease('s1', 'a', 0, 100);
    assert.equal(await store.appendChunk(row(1), empty, lease.epoch), false, 'not the next index');
    assert.equal(await store.appendChunk(row(0), empty, lease.epoch + 1), false, 'another epoch');
    assert.equal(await store.appendChunk(row(0), empty, lease.epoch), true);
    assert.equal(await store.appendChunk(row(0), empty, lease.epoch), false, 'head moved');
    const head = await store.getHead('s1');
    assert.deepEqual(head, { count: 1, leafHash: chain[0]!.metadata.leafHash, storedBytes: 5000 });
    assert.equal(await store.appendChunk(row(1), { ...head, leafHash: '00' }, lease.epoch), false);
    assert.equal(await store.appendChunk(row(1), head, null), true, 'recovery needs no lease');
    assert.equal(await store.appendChunk(row(2), await store.getHead('s1'), lease.epoch), true);
    assert.deepEqual(await store.getChunk('s1', 1), row(1));
    assert.equal(await store.getChunk('s1', 3), null);
    assert.deepEqual(await store.chainTotals('s1'), {
      chunksCount: 3,
      storedBytes: 15_003,
      payloadBytes: 60_000,
      framesCount: 30,
      updatesCount: 12,
      lineUs: 3_100_000 + 2_100_000 + 1_100_000,
    });
    assert.deepEqual(await store.totals(), { chunksCount: 3, storedBytes: 15_003, payloadBytes: 60_000 });
    const listed = await store.listChunks({ sessionId: 's1', limit: 2, offset: 1 });
    assert.deepEqual([listed.chunks.map((chunk) => chunk.index), listed.total], [[1, 2], 3]);
    const timed = await store.listChunks({ sessionId: 's1', limit: 9, offset: 0, fromUs: 2_000_000, toUs: 2_950_000 });
    assert.deepEqual([timed.chunks.map((chunk) => chunk.index), timed.total], [[1], 1]);
  });

  check(
    'what nobody counted is unknown, not 0: frames until its chunk is opened, updates until it comes again',
    async (store) => {
      const [first, second] = sampleChain('s1', 2).map((chunk) => ({
        metadata: { ...chunk.metadata, storedAtUs: 9, storagePath: 'p' },
        sealedLeaf: sealedLeafOf(chunk),
        rebuilt: false,
      }));
      const unknown = { payloadBytes: 0, framesCount: null, updatesCount: null };
      await store.appendChunk(first!, empty, null);
      await store.appendChunk(
        { ...second!, metadata: { ...second!.metadata, ...unknown }, rebuilt: true },
        await store.getHead('s1'),
        null,
      );
      const counts = async () => {
        const { framesCount, updatesCount, payloadBytes } = await store.chainTotals('s1');
        const chunk = await store.getChunk('s1', 1);
        return [framesCount, updatesCount, payloadBytes, chunk?.metadata.framesCount, chunk?.metadata.updatesCount];
      };
      assert.deepEqual(await counts(), [null, null, 20_000, null, null]);
      // No frame crossed in it: a count like any other.
      const opened = { payloadBytes: 32, framesCount: 0, updatesCount: null };
      await store.completeChunk({ ...second!, metadata: { ...second!.metadata, ...opened }, rebuilt: true });
      assert.deepEqual(await counts(), [10, null, 20_032, 0, null]);
      await store.completeChunk(second!);
      assert.deepEqual(await counts(), [20, 8, 40_000, 10, 4]);
      assert.equal((await store.totals()).payloadBytes, 40_000);
    },
  );

  check('a rebuilt row is completed once, by its own chunk', async (store) => {
    const [chunk] = sampleChain('s1', 1);
    const full = {
      metadata: { ...chunk!.metadata, storedAtUs: 9, storagePath: 'p' },
      sealedLeaf: sealedLeafOf(chunk!),
      rebuilt: false,
    };
    const unknown = { payloadBytes: 0, framesCount: null, updatesCount: null };
    const rebuilt = { ...full, metadata: { ...full.metadata, ...unknown }, rebuilt: true };
    await store.appendChunk(rebuilt, empty, null);
    const other = sampleChunk('s1', 0, 'ab'.repeat(32));
    await store.completeChunk({ ...full, metadata: { ...full.metadata, leafHash: other.metadata.leafHash } });
    assert.deepEqual(await store.getChunk('s1', 0), rebuilt);
    await store.completeChunk(full);
    await store.completeChunk(full);
    assert.deepEqual(await store.getChunk('s1', 0), full);
    assert.equal((await store.totals()).payloadBytes, 20_000);
  });

  check('purging a chain takes rows, head, lease and wraps; records and the session stay', async (store) => {
    await store.insertSession(sampleSession('s1'), null);
    const [chunk] = sampleChain('s1', 1);
    const metadata = { ...chunk!.metadata, storedAtUs: 9, storagePath: 'p' };
    await store.appendChunk({ metadata, sealedLeaf: sealedLeafOf(chunk!), rebuilt: false }, empty, null);
    await store.acquireLease('s1', 'a', 0, 100);
    await store.putWraps('s1', [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: new Uint8Array([1]) }]);
    await store.putRecord('s1', 'open', new Uint8Array([1]));
    assert.deepEqual(await store.listChains('', 10), ['s1']);
    assert.deepEqual(await store.listChains('s1', 10), []);
    await store.purgeChain('s1');
    assert.deepEqual(await store.getHead('s1'), empty);
    assert.equal(await store.getChunk('s1', 0), null);
    assert.equal(await store.getLease('s1'), null);
    assert.deepEqual(await store.getWraps('s1'), []);
    assert.deepEqual(await store.listChains('', 10), []);
    assert.equal((await store.getRecords('s1', null)).length, 1);
    assert.notEqual(await store.getSession('s1'), null);
  });

  check('records keep their order and are not doubled', async (store) => {
    assert.equal(await store.recordsCount('s1'), 0);
    assert.equal(await store.putRecord('s1', 'open', new Uint8Array([1, 2])), 1);
    assert.equal(await store.recordsCount('s1'), 1);
    assert.equal(await store.putRecord('s1', 'custody', new Uint8Array([3])), 2);
    assert.equal(await store.putRecord('s1', 'custody', new Uint8Array([4])), 3);
    assert.equal(await store.putRecord('s1', 'custody', new Uint8Array([3])), 2);
    assert.deepEqual(await store.getRecords('s1', 'custody'), [
      { kind: 'custody', sequence: 2, record: new Uint8Array([3]) },
      { kind: 'custody', sequence: 3, record: new Uint8Array([4]) },
    ]);
    assert.equal((await store.getRecords('s1', null)).length, 3);
    assert.deepEqual(await store.getRecords('s2', null), []);
  });

  check('of two writers of one place in a chain of records one is refused', async (store) => {
    const put = (byte: number, place?: number) => store.putRecord('s1', 'custody', new Uint8Array([byte]), place);
    await store.putRecord('s1', 'open', new Uint8Array([1]));
    assert.equal(await put(2, 0), 2);
    const refused = (error: unknown) => isLucidError(error, 'conflict');
    await assert.rejects(put(3, 0), refused);
    await assert.rejects(put(3, 2), refused);
    // What was taken is taken: the same again is no conflict, wherever it is said to stand.
    assert.equal(await put(2, 0), 2);
    const both = await Promise.allSettled([put(4, 1), put(5, 1)]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    assert.equal((await store.getRecords('s1', 'custody')).length, 2);
  });

  check('wraps are replaced as a whole and can be destroyed', async (store) => {
    const wrap = { scheme: 'age', recipient: 'age1x', keyId: 'k', wrapped: new Uint8Array([1, 2, 3]) };
    await store.putWraps('s1', [wrap, { ...wrap, recipient: 'age1y' }]);
    await store.putWraps('s1', [wrap]);
    assert.deepEqual(await store.getWraps('s1'), [wrap]);
    await store.putWraps('s1', []);
    assert.deepEqual(await store.getWraps('s1'), []);
  });

  check('the audit log filters, pages and takes an event once', async (store) => {
    const old = (event: AuditEvent) => store.putAudit([{ event, row: null }]);
    for (let at = 0; at < 4; at++)
      assert.ok(
        await old(
          sampleAudit(`e${at}`, {
            timestampUs: at * 1000,
            eventType: at === 2 ? 'permission_denied' : 'session_created',
            userId: at === 3 ? null : 'u1',
            resourceId: `s${at}`,
          }),
        ),
      );
    assert.equal(await old(sampleAudit('e0', { eventType: 'changed_later' })), false);
    assert.equal(await store.countUnchained(), 4);
    assert.equal(await store.auditHead(), null);
    const ids = async (query: Partial<Parameters<MetadataStore['listAudit']>[0]>) => {
      const { events, total } = await store.listAudit({ limit: 50, offset: 0, ...query });
      return [events.map((event) => event.eventId).join(' '), total];
    };
    assert.deepEqual(await ids({}), ['e3 e2 e1 e0', 4]);
    assert.deepEqual(await ids({ limit: 1, offset: 1 }), ['e2', 4]);
    assert.deepEqual(await ids({ eventType: 'permission_denied' }), ['e2', 1]);
    assert.deepEqual(await ids({ userId: 'u1', fromUs: 1000, toUs: 2000 }), ['e2 e1', 2]);
    assert.deepEqual(await ids({ resourceId: 's3' }), ['e3', 1]);
    assert.deepEqual(
      (await store.listAudit({ limit: 1, offset: 3 })).events[0],
      sampleAudit('e0', { timestampUs: 0, resourceId: 's0' }),
    );
  });

  check('an entry is put at its version, and removed at one', async (store) => {
    const entry = sampleEntry('ada');
    assert.equal(await store.getEntry('user', 'ada'), null);
    assert.equal(await store.putEntry({ ...entry, version: 2 }), false, 'there is none to change');
    assert.equal(await store.putEntry(entry), true);
    assert.equal(await store.putEntry({ ...entry, value: { late: true } }), false, 'one is there');
    assert.deepEqual(await store.getEntry('user', 'ada'), entry);
    assert.equal(await store.getEntry('token', 'ada'), null, 'kinds are apart');
    const changes = ten.map((at) => ({ ...entry, value: { $set: at, 'a.b': null }, version: 2 }));
    const answers = await Promise.all(changes.map((change) => store.putEntry(change)));
    assert.equal(winnersOf(answers).length, 1);
    assert.deepEqual(await store.getEntry('user', 'ada'), changes[answers.indexOf(true)]);
    assert.equal(await store.removeEntry('user', 'ada', 1), false);
    assert.equal(await store.removeEntry('user', 'ada', 2), true);
    assert.equal(await store.removeEntry('user', 'ada'), false);
    const first = await Promise.all(ten.map(() => store.putEntry(entry)));
    assert.equal(winnersOf(first).length, 1);
  });

  check(
    'an entry made for an account that goes is seen by whoever makes it, or by whoever clears up',
    async (store) => {
      for (const at of Array(20).keys()) {
        const user = sampleEntry(`u${at}`);
        const token = sampleEntry(`t${at}`, { kind: 'token', owner: user.id });
        await store.putEntry(user);
        const make = async () => {
          assert.equal(await store.putEntry(token), true);
          return (await store.getEntry('user', user.id)) === null;
        };
        const remove = async () => {
          assert.equal(await store.removeEntry('user', user.id), true);
          return (await store.listEntries({ kind: 'token', owner: user.id, after: '', limit: 10 }, 0)).length === 1;
        };
        const [isGone, isFound] = await Promise.all(at % 2 === 0 ? [make(), remove()] : [remove(), make()]);
        assert.ok(isGone || isFound, `token ${at} would outlive its account`);
      }
    },
  );

  check('entries are listed by id, by owner, and without those that have ended', async (store) => {
    for (const id of ['b', 'B', 'ä', 'a'])
      await store.putEntry(sampleEntry(id, { kind: 'token', owner: id === 'b' ? 'bob' : 'ada' }));
    await store.putEntry(sampleEntry('ended', { kind: 'token', owner: 'ada', untilUs: 1000 }));
    await store.putEntry(sampleEntry('c', { kind: 'token', owner: null, untilUs: 1001 }));
    await store.putEntry(sampleEntry('x', { owner: 'ada' }));
    const ids = async (query: object) =>
      (await store.listEntries({ kind: 'token', after: '', limit: 10, ...query }, 1000)).map(({ id }) => id).join(' ');
    assert.equal(await ids({}), 'B a b c ä');
    assert.equal(await ids({ owner: 'ada' }), 'B a ä');
    assert.equal(await ids({ after: 'a', limit: 2 }), 'b c');
    assert.equal(await store.sweepEntries(1000), 1);
    assert.equal(await store.getEntry('token', 'ended'), null);
    assert.equal(await ids({}), 'B a b c ä');
  });

  check('each place in the audit chain is given once, and a row is kept as it is', async (store) => {
    const entry = (eventId: string, sequence: number): AuditEntry => {
      const event = sampleAudit(eventId, { userId: null });
      const text = JSON.stringify({ sequence, previous_sha256: null, v: 1, event: chainedEventOf(event) });
      return { event, row: { sequence, text } };
    };
    const [first, second, third] = [entry('a', 0), entry('b', 1), entry('c', 2)];
    assert.ok(await store.putAudit([{ event: sampleAudit('old'), row: null }]));
    assert.ok(await store.putAudit([first, second]));
    assert.equal(await store.putAudit([entry('d', 1)]), false, 'the place is taken');
    assert.equal(await store.putAudit([entry('a', 2)]), false, 'the event is there');
    assert.deepEqual(await store.auditHead(), second.row);
    assert.ok(await store.putAudit([third]));
    assert.deepEqual(await store.auditHead(), third.row);
    assert.deepEqual((await store.knownAudit(['a', 'x', 'old', 'c'])).sort(), ['a', 'c', 'old']);
    assert.equal(await store.countUnchained(), 1);
    const rows = await store.listAuditRows({ from: 1, limit: 5 });
    assert.deepEqual(
      rows.map(({ sequence, text, eventId }) => [sequence, text, eventId]),
      [second, third].map(({ event, row }) => [row!.sequence, row!.text, event.eventId]),
    );
    const { timestampUs, eventType, userId, resourceId } = rows[0]!;
    assert.deepEqual([timestampUs, eventType, userId, resourceId], [1000, 'session_created', null, 's1']);
    const { events } = await store.listAudit({ limit: 9, offset: 0 });
    assert.deepEqual(
      events.map(({ eventId, sequence }) => [eventId, sequence]),
      [
        ['a', 0],
        ['b', 1],
        ['c', 2],
        ['old', undefined],
      ],
    );
  });

  check('of several that write the next row one has its place', async (store) => {
    const answers = await Promise.all(
      ten.map((at) => {
        const event = sampleAudit(`e${at}`);
        return store.putAudit([{ event, row: { sequence: 0, text: JSON.stringify({ sequence: 0, event }) } }]);
      }),
    );
    assert.equal(winnersOf(answers).length, 1);
    assert.equal((await store.listAuditRows({ from: 0, limit: 99 })).length, 1);
  });

  check('answers a ping', async (store) => {
    await store.ping();
  });
}
