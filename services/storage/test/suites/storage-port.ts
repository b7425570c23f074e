/** What the storage service must do, whether called directly or over HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoragePort } from '@lucid-sessions/contract';
import { auditRowHash, readAuditRow } from '@lucid-sessions/evidence';
import { openSession, sampleAudit, sampleChain, sampleChunk, sampleSession } from './sample.ts';

export interface StorageHome {
  storage: StoragePort;
  dispose(): Promise<void>;
}

export function storagePortSuite(name: string, open: () => Promise<StorageHome>): void {
  const check = (what: string, work: (storage: StoragePort) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const home = await open();
      try {
        await work(home.storage);
      } finally {
        await home.dispose();
      }
    });

  check('keeps sessions, their routes and versions', async (storage) => {
    const session = sampleSession('s1');
    assert.deepEqual(await storage.createSession({ session, routeTokenSha256: 'aa' }), { created: true });
    assert.deepEqual(await storage.createSession({ session, routeTokenSha256: null }), { created: false });
    assert.deepEqual(await storage.getSession({ sessionId: 's1' }), { session });
    assert.deepEqual(await storage.findSession({ route: { tokenSha256: 'aa' } }), { session });
    assert.deepEqual(await storage.findSession({ route: { cookie: 'alice' } }), { session });
    assert.deepEqual(await storage.setRouteToken({ sessionId: 's1', tokenSha256: 'bb' }), { stored: true });
    assert.deepEqual(await storage.findSession({ route: { tokenSha256: 'aa' } }), { session: null });
    const next = { ...session, version: 2, status: 'recording' as const };
    assert.deepEqual(await storage.replaceSession({ session: next, expectedVersion: 1 }), {
      replaced: true,
      current: next,
    });
    assert.deepEqual(await storage.replaceSession({ session: next, expectedVersion: 1 }), {
      replaced: false,
      current: next,
    });
    assert.equal((await storage.listSessions({ limit: 10, offset: 0 })).total, 1);
    assert.deepEqual(await storage.countSessions(), { byStatus: { recording: 1 } });
  });

  check('refuses what is out of bounds', async (storage) => {
    const invalid = { code: 'LUCID_ERR_3002' };
    await assert.rejects(storage.replaceSession({ session: sampleSession('s1'), expectedVersion: 5 }), invalid);
    await assert.rejects(storage.getSidecar({ sessionId: 's1', name: '../x' }), invalid);
    // What becomes a path is refused where paths are made, too.
    await assert.rejects(storage.readLeaves({ sessionId: '../x' }), invalid);
    await assert.rejects(storage.putWraps({ sessionId: '../x', wraps: [] }), invalid);
  });

  check('appends chunks in order and reads them back', async (storage) => {
    const epoch = await openSession(storage, 's1');
    const chain = sampleChain('s1', 3);
    for (const chunk of chain) {
      const answer = await storage.putChunk({ ...chunk, epoch });
      assert.equal(answer.appended, true);
      assert.deepEqual(answer.head, { count: chunk.metadata.index + 1, leafHash: chunk.metadata.leafHash });
      assert.ok(answer.storedAtUs > 0);
    }
    const { chunks, total } = await storage.listChunks({ sessionId: 's1', limit: 10, offset: 0 });
    assert.equal(total, 3);
    assert.deepEqual(
      chunks.map(({ storedAtUs: _at, storagePath: _path, ...rest }) => rest),
      chain.map((chunk) => chunk.metadata),
    );
    assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: 1 })).file, chain[1]!.file);
    assert.equal((await storage.readChunk({ sessionId: 's1', index: 9 })).file, null);
    assert.deepEqual((await storage.getChunk({ sessionId: 's1', index: 1 })).chunk, chunks[1]);
    assert.equal((await storage.getChunk({ sessionId: 's1', index: 9 })).chunk, null);
    const { leaves } = await storage.readLeaves({ sessionId: 's1' });
    assert.equal(Buffer.compare(leaves, Buffer.concat(chain.flatMap((chunk) => [chunk.leaf, chunk.seal]))), 0);
    assert.equal((await storage.sessionTotals({ sessionId: 's1' })).storedBytes, 15_003);
    const statistics = await storage.statistics();
    assert.deepEqual([statistics.chunksCount, statistics.storedBytes], [3, 15_003]);
    assert.ok(statistics.freeBytes > 0 || statistics.totalBytes === 0);
    assert.equal(statistics.lineSeconds?.count, 3);
  });

  check('takes many chunks of a session at once, in the order they were sent', async (storage) => {
    const epoch = await openSession(storage, 's1');
    const chain = sampleChain('s1', 20);
    const answers = await Promise.all(chain.map((chunk) => storage.putChunk({ ...chunk, epoch })));
    assert.ok(answers[0]!.appended);
    // Over HTTP calls may overtake each other: what was refused is sent again, as the processor does.
    for (const [at, answer] of answers.entries())
      if (!answer.appended) assert.ok((await storage.putChunk({ ...chain[at]!, epoch })).appended);
    assert.equal((await storage.listChunks({ sessionId: 's1', limit: 1, offset: 0 })).total, 20);
    for (const chunk of chain)
      assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: chunk.metadata.index })).file, chunk.file);
  });

  check('the same chunk again is stored; another one in its place is not', async (storage) => {
    const epoch = await openSession(storage, 's1');
    const chain = sampleChain('s1', 2);
    const first = await storage.putChunk({ ...chain[0]!, epoch });
    await storage.putChunk({ ...chain[1]!, epoch });
    const again = await storage.putChunk({ ...chain[0]!, epoch });
    assert.deepEqual([again.appended, again.storedAtUs, again.head.count], [true, first.storedAtUs, 2]);
    const rival = sampleChunk('s1', 0, null, new Uint8Array(6000));
    const refused = await storage.putChunk({ ...rival, epoch });
    assert.equal(refused.appended, false);
    assert.deepEqual(refused.head, { count: 2, leafHash: chain[1]!.metadata.leafHash });
    assert.deepEqual((await storage.readChunk({ sessionId: 's1', index: 0 })).file, chain[0]!.file);
  });

  check('a chunk that skips, forks or comes without the lease is refused and leaves nothing', async (storage) => {
    const epoch = await openSession(storage, 's1');
    const [first, second, third] = sampleChain('s1', 3);
    assert.equal((await storage.putChunk({ ...second!, epoch })).appended, false, 'skips');
    assert.equal((await storage.putChunk({ ...first!, epoch: epoch + 1 })).appended, false, 'no lease');
    assert.equal((await storage.putChunk({ ...first!, epoch })).appended, true);
    const fork = sampleChunk('s1', 1, 'ab'.repeat(32));
    assert.equal((await storage.putChunk({ ...fork, epoch })).appended, false, 'forks');
    assert.equal((await storage.readChunk({ sessionId: 's1', index: 1 })).file, null);
    assert.equal((await storage.putChunk({ ...second!, epoch })).appended, true);
    await storage.releaseLease({ sessionId: 's1', owner: 'processor-1' });
    const taken = await storage.acquireLease({ sessionId: 's1', owner: 'processor-2', ttlMs: 1000 });
    assert.deepEqual(taken, { acquired: true, epoch: epoch + 1, owner: 'processor-2' });
    assert.equal((await storage.putChunk({ ...third!, epoch })).appended, false, 'the dead owner is late');
    assert.equal((await storage.putChunk({ ...third!, epoch: taken.epoch })).appended, true);
  });

  check('metadata, leaf and file must be of one chunk', async (storage) => {
    const epoch = await openSession(storage, 's1');
    const [chunk] = sampleChain('s1', 1);
    const { metadata } = chunk!;
    const wrong: Partial<Parameters<StoragePort['putChunk']>[0]>[] = [
      { file: chunk!.file.slice(1) },
      { leaf: chunk!.leaf.slice(1) },
      { leaf: chunk!.leaf.with(0, 0) },
      { seal: new Uint8Array(63) },
      { metadata: { ...metadata, index: 1 } },
      { metadata: { ...metadata, leafHash: '00'.repeat(32) } },
      { metadata: { ...metadata, fileSha256: '00'.repeat(32) } },
      { metadata: { ...metadata, fileBytes: 1 } },
      { metadata: { ...metadata, sessionId: 's2' } },
      { metadata: { ...metadata, sessionId: '../x' } },
    ];
    for (const change of wrong)
      await assert.rejects(storage.putChunk({ ...chunk!, epoch, ...change }), { code: 'LUCID_ERR_3002' });
    await assert.rejects(storage.putChunk({ ...sampleChunk('s9', 0, null), epoch }), { code: 'LUCID_ERR_3001' });
    assert.equal((await storage.listChunks({ sessionId: 's1', limit: 1, offset: 0 })).total, 0);
  });

  check('keeps records, wraps, sidecars and audit events', async (storage) => {
    const record = new Uint8Array([1, 2, 3]);
    assert.deepEqual(await storage.putRecord({ sessionId: 's1', kind: 'open', record }), { sequence: 1 });
    assert.deepEqual(await storage.putRecord({ sessionId: 's1', kind: 'open', record }), { sequence: 1 });
    assert.deepEqual(await storage.getRecords({ sessionId: 's1' }), {
      records: [{ kind: 'open', sequence: 1, record }],
    });
    assert.deepEqual(await storage.getRecords({ sessionId: 's1', kind: 'erase' }), { records: [] });
    const wraps = [{ scheme: 'age', recipient: 'age1', keyId: 'k', wrapped: new Uint8Array([9]) }];
    await storage.putWraps({ sessionId: 's1', wraps });
    assert.deepEqual(await storage.getWraps({ sessionId: 's1' }), { wraps });
    await storage.putSidecar({ sessionId: 's1', name: 'index.bin', bytes: record });
    assert.deepEqual(await storage.getSidecar({ sessionId: 's1', name: 'index.bin' }), { bytes: record });
    const event = sampleAudit('e1');
    await storage.appendAudit(event);
    assert.deepEqual(await storage.listAudit({ resourceId: 's1', limit: 5, offset: 0 }), {
      events: [{ ...event, sequence: 1 }],
      total: 1,
    });
  });

  check('the audit log is one chain, whatever comes at once, and tells an event once', async (storage) => {
    assert.deepEqual(await storage.auditHead(), { head: null });
    const told = [...Array(250).keys()].map((at) => sampleAudit(`e${at % 200}`, { details: { half: at / 2 } }));
    await Promise.all(told.map((event) => storage.appendAudit(event)));
    const { rows, unchained } = await storage.auditRows({ from: 0, limit: 1000 });
    assert.deepEqual([rows.length, unchained], [201, 0]);
    const head = (await storage.auditHead()).head!;
    assert.deepEqual(head, {
      sequence: 200,
      rowSha256: auditRowHash(rows[200]!.text),
      chain: auditRowHash(rows[0]!.text),
    });
    rows.forEach((row, at) => {
      const { sequence, previous_sha256, event } = readAuditRow(row.text);
      assert.deepEqual([sequence, row.sequence, event.event_id], [at, at, row.eventId]);
      assert.equal(previous_sha256, at === 0 ? null : auditRowHash(rows[at - 1]!.text));
    });
    assert.deepEqual((await storage.auditRows({ from: 199, limit: 1 })).rows, [rows[199]]);
  });

  check('purging shreds the keys and frees the chunks; the record of it stays', async (storage) => {
    const epoch = await openSession(storage, 's1');
    for (const chunk of sampleChain('s1', 2)) await storage.putChunk({ ...chunk, epoch });
    await storage.putWraps({
      sessionId: 's1',
      wraps: [{ scheme: 'l', recipient: 'r', keyId: 'k', wrapped: new Uint8Array(3) }],
    });
    await storage.putRecord({ sessionId: 's1', kind: 'erase', record: new Uint8Array([1]) });
    assert.deepEqual(await storage.purgeSession({ sessionId: 's1' }), { bytesFreed: 10_001 + 2 * 224 + 1 });
    assert.deepEqual(await storage.purgeSession({ sessionId: 's1' }), { bytesFreed: 0 });
    assert.deepEqual(await storage.getWraps({ sessionId: 's1' }), { wraps: [] });
    assert.equal((await storage.listChunks({ sessionId: 's1', limit: 1, offset: 0 })).total, 0);
    assert.equal((await storage.getRecords({ sessionId: 's1' })).records.length, 1);
    assert.notEqual((await storage.getSession({ sessionId: 's1' })).session, null);
  });

  check('says that it is well', async (storage) => {
    const health = await storage.health();
    assert.deepEqual([health.service, health.status], ['storage', 'healthy']);
  });
}
