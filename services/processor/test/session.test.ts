import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { LucidError, rpcClient } from '@lucid-sessions/contract';
import {
  checkRecord,
  fromHex,
  merkleRoot,
  parsePublicKey,
  readRecordOf,
  toHex,
  verifySeal,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { createProcessorServer } from '@lucid-sessions/processor';
import fc from 'fast-check';
import {
  chunkOf,
  finishRequest,
  inHouse,
  leavesOf,
  noise,
  openedUs,
  openRequest,
  openSession,
  pattern,
  readBack,
  sessionOf,
  shared,
} from './support/house.ts';

test('a session is sealed, read back, and signed from its first key to its manifest', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = await openSession(house, processor, 's1');
    const payloads = [pattern(300_000), noise(700_000), pattern(0), pattern(1_000_000, 2)];
    const receipts = [];
    for (const [index, payload] of payloads.entries())
      receipts.push(await processor.seal(chunkOf('s1', index, payload, { final: index === payloads.length - 1 })));

    for (const [index, payload] of payloads.entries()) {
      const { file, payload: back } = await readBack(house, 's1', index);
      assert.ok(Buffer.from(back).equals(payload));
      assert.equal(receipts[index]!.fileSha256, createHash('sha256').update(file).digest('hex'));
      assert.equal(receipts[index]!.fileBytes, file.length);
      assert.equal(receipts[index]!.payloadBytes, payload.length);
    }
    const [openRow] = (await house.storage.getRecords({ sessionId: 's1', kind: 'open' })).records;
    const open = readRecordOf('open', openRow!.record);
    const identity = parsePublicKey(open.body.recorder.identity_key);
    assert.equal((await checkRecord(nodeCrypto, open, [identity])).finding, null);
    let sealKey = fromHex(open.body.first_seal_key, 32);
    const leaves = await leavesOf(house.storage, 's1');
    for (const [index, { leaf, hash, seal }] of leaves.entries()) {
      assert.ok(await verifySeal(nodeCrypto, sealKey, hash, seal), `seal ${index}`);
      assert.deepEqual(leaf.previousLeafHash, leaves[index - 1]?.hash ?? new Uint8Array(32));
      assert.equal(receipts[index]!.leafHash, toHex(hash));
      sealKey = leaf.nextSealKey as typeof sealKey;
    }
    assert.deepEqual(sealKey, new Uint8Array(32), 'a final leaf announces no key');

    const finished = await processor.finish(finishRequest(session));
    const manifest = readRecordOf('manifest', finished.manifestRecord);
    assert.equal((await checkRecord(nodeCrypto, manifest, [identity])).finding, null);
    assert.equal(manifest.body.merkle_root, toHex(merkleRoot(leaves.map(({ hash }) => hash))));
    assert.equal(manifest.body.open_sha256, open.sha256);
    assert.equal(manifest.body.chunks_count, payloads.length);
    assert.equal(
      manifest.body.total_bytes,
      receipts.reduce((sum, receipt) => sum + receipt.fileBytes, 0),
    );
    assert.deepEqual(
      { ...finished, manifestRecord: 0 },
      {
        manifestRecord: 0,
        merkleRoot: manifest.body.merkle_root,
        chunksCount: 4,
        totalBytes: manifest.body.total_bytes,
      },
    );
  }));

for (const compression of ['none', 'zstd', 'gzip', 'lz4'] as const) {
  test(`compression ${compression}: compressible data shrinks and comes back, the rest is stored as it is`, () =>
    inHouse(async (house) => {
      const processor = house.processor();
      await openSession(house, processor, 's1', { compression });
      const easy = await processor.seal(chunkOf('s1', 0, pattern(500_000)));
      const small = await processor.seal(chunkOf('s1', 1, shared(pattern(20_000))));
      const hard = await processor.seal(chunkOf('s1', 2, shared(noise(500_000))));
      const tiny = await processor.seal(chunkOf('s1', 3, noise(40)));
      assert.equal(easy.compression, compression);
      assert.equal(small.compression, compression);
      assert.equal(hard.compression, 'none');
      assert.equal(tiny.compression, 'none');
      if (compression !== 'none') assert.ok(easy.fileBytes < easy.payloadBytes / 4);
      const stored = await Promise.all([0, 1, 2, 3].map((index) => readBack(house, 's1', index)));
      assert.ok(Buffer.from(stored[0]!.payload).equals(pattern(500_000)));
      assert.ok(Buffer.from(stored[1]!.payload).equals(pattern(20_000)));
      assert.ok(Buffer.from(stored[2]!.payload).equals(noise(500_000)));
      assert.deepEqual(
        stored.map(({ header }) => header.stored),
        [false, false, compression !== 'none', compression !== 'none'],
      );
    }));
}

test('a session without encryption is stored in clear under suite 0, one without compression as it came', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 'clear', { encryptionEnabled: false, compressionEnabled: false });
    const receipt = await processor.seal(chunkOf('clear', 0, pattern(300_000)));
    assert.equal(receipt.compression, 'none');
    assert.equal(receipt.fileBytes, 300_000 + 96);
    const { file, header, payload } = await readBack(house, 'clear', 0);
    assert.equal(header.suite, 0);
    assert.equal(header.stored, false);
    assert.ok(Buffer.from(payload).equals(file.subarray(96)));
    assert.ok(Buffer.from(payload).equals(pattern(300_000)));
    assert.deepEqual((await house.storage.getWraps({ sessionId: 'clear' })).wraps, []);
    const [open] = (await house.storage.getRecords({ sessionId: 'clear', kind: 'open' })).records;
    const { body } = readRecordOf('open', open!.record);
    assert.deepEqual([body.encryption, body.dek_id, body.policy.compression], ['none', null, 'none']);
  }));

test('flags of a chunk reach header and leaf', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 's1');
    await processor.seal(chunkOf('s1', 0, pattern(100), { recovered: true }));
    await processor.seal(chunkOf('s1', 1, pattern(100), { gapBefore: true, final: true }));
    const [first, second] = await leavesOf(house.storage, 's1');
    assert.deepEqual([first!.leaf.recovered, first!.leaf.gapBefore, first!.leaf.final], [true, false, false]);
    assert.deepEqual([second!.leaf.recovered, second!.leaf.gapBefore, second!.leaf.final], [false, true, true]);
    const headers = await Promise.all([0, 1].map(async (index) => (await readBack(house, 's1', index)).header));
    assert.deepEqual(
      headers.map(({ recovered, gapBefore }) => [recovered, gapBefore]),
      [
        [true, false],
        [false, true],
      ],
    );
    assert.deepEqual(
      (await house.storage.listChunks({ sessionId: 's1', limit: 10, offset: 0 })).chunks.map(({ flags }) => flags),
      [1, 6],
    );
  }));

test('many sessions at once keep their own order', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const sessions = Array.from({ length: 12 }, (_, i) => `s${i}`);
    await Promise.all(sessions.map((sessionId) => openSession(house, processor, sessionId)));
    const sealing: Promise<unknown>[] = [];
    for (let index = 0; index < 8; index += 1)
      for (const [at, sessionId] of sessions.entries())
        sealing.push(processor.seal(chunkOf(sessionId, index, pattern(1000 * (at + 1) + index, index))));
    await Promise.all(sealing);
    for (const [at, sessionId] of sessions.entries()) {
      const leaves = await leavesOf(house.storage, sessionId);
      assert.deepEqual(
        leaves.map(({ leaf }) => leaf.index),
        [0, 1, 2, 3, 4, 5, 6, 7],
      );
      for (const [index, { leaf }] of leaves.entries()) {
        assert.deepEqual(leaf.previousLeafHash, leaves[index - 1]?.hash ?? new Uint8Array(32));
        const { payload } = await readBack(house, sessionId, index);
        assert.ok(Buffer.from(payload).equals(pattern(1000 * (at + 1) + index, index)));
      }
    }
  }));

test('chunks that overtake each other wait for their predecessors', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 's1');
    const receipts = await Promise.all(
      [2, 1, 3, 0].map((index) => processor.seal(chunkOf('s1', index, pattern(5000)))),
    );
    assert.deepEqual(
      receipts.map(({ index }) => index),
      [2, 1, 3, 0],
    );
    assert.equal((await leavesOf(house.storage, 's1')).length, 4);
  }));

test('the same chunk again answers the same receipt: at once, under way, and after a restart', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 's1');
    const chunk = chunkOf('s1', 0, pattern(200_000));
    const [first, meanwhile] = await Promise.all([processor.seal(chunk), processor.seal(chunk)]);
    assert.deepEqual(meanwhile, first);
    assert.deepEqual(await processor.seal(chunk), first);
    await processor.dispose();
    const next = house.processor();
    assert.deepEqual(await next.seal(chunk), first);
    assert.equal((await house.storage.getRecords({ sessionId: 's1', kind: 'resume' })).records.length, 0);
    await assert.rejects(next.seal({ ...chunk, closedUs: chunk.closedUs + 1 }), { code: 'LUCID_ERR_3020' });
  }));

test('opening is idempotent and needs someone to wrap keys to', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = await openSession(house, processor, 's1');
    const first = await processor.open(openRequest(session));
    assert.deepEqual(await processor.open(openRequest(session)), first);
    assert.equal((await house.storage.getWraps({ sessionId: 's1' })).wraps.length, 1);
    const { records } = await house.storage.getRecords({ sessionId: 's1', kind: 'open' });
    assert.deepEqual(
      records.map(({ record }) => record),
      [first.openRecord],
      'storage has it when it answers, once',
    );
    const copies: string[] = [];
    const putRecord: typeof house.storage.putRecord = (request) => {
      copies.push(Buffer.from(request.record).toString());
      return house.storage.putRecord(request);
    };
    const again = house.processor({ storage: { ...house.storage, putRecord } });
    assert.deepEqual(await again.open(openRequest(session)), first);
    const copy = Buffer.from(first.openRecord).toString();
    assert.deepEqual(copies, [copy], 'its copy beside the chunks may be what a crash kept from being written');
    const lonely = house.processor({ keys: { ...house.keys, wrappers: [] } });
    await house.storage.createSession({ session: sessionOf('s2'), routeTokenSha256: null });
    await assert.rejects(lonely.open(openRequest(sessionOf('s2'))), { code: 'LUCID_ERR_3009' });
    const failing = house.processor({
      keys: { ...house.keys, wrappers: [{ wrap: () => Promise.reject(new Error()) }] },
    });
    await assert.rejects(failing.open(openRequest(sessionOf('s2'))), { code: 'LUCID_ERR_3009' });
    assert.deepEqual((await processor.open(openRequest(sessionOf('s2')))).openRecord instanceof Uint8Array, true);
  }));

test('finish is idempotent, lists the facts, and nothing is sealed behind it', () =>
  inHouse(async (house) => {
    const processor = house.processor({ clock: () => ({ offsetUs: -250, source: 'chrony' }) });
    const session = await openSession(house, processor, 's1');
    await processor.seal(chunkOf('s1', 0, pattern(1000)));
    const request = finishRequest(session);
    request.facts = [
      { kind: 'connected', atUs: openedUs, clientAddress: '10.0.0.1:5000', targetAddress: '10.0.0.2:3389' },
      { kind: 'target_certificate', atUs: openedUs, sha256: 'ab'.repeat(32), check: 'pinned', valid: true },
      {
        kind: 'target_certificate',
        atUs: openedUs,
        sha256: 'cd'.repeat(32),
        check: 'ignored',
        valid: false,
        problem: 'x'.repeat(999),
      },
      { kind: 'client_logon', atUs: openedUs, user: 'u'.repeat(999), workstation: 'PC', targetName: '', version: 6 },
      { kind: 'target_logon', atUs: openedUs, user: 'LAB\\alice', method: 'ntlm', envelope: 'raw', credsspVersion: 6 },
      { kind: 'downgrade', atUs: openedUs, what: 'graphics pipeline off' },
      { kind: 'policy', atUs: openedUs, what: 'in force: drives:off', count: 0 },
      { kind: 'policy', atUs: openedUs + 1, what: 'device refused: drives', count: 1 },
      { kind: 'policy', atUs: openedUs + 2, what: 'device refused: drives', count: 4 },
      { kind: 'pause', fromUs: openedUs + 5, toUs: null },
      ...Array.from({ length: 5000 }, (_, i) => ({
        kind: 'gap' as const,
        fromUs: openedUs + i,
        toUs: openedUs + i + 1,
        reason: 'disk full',
        framesLost: 2,
      })),
      ...Array.from({ length: 4500 }, (_, i) => ({ kind: 'pause' as const, fromUs: openedUs + i, toUs: openedUs + i })),
      { kind: 'clock_step', atUs: openedUs, stepUs: -7 },
      { kind: 'clock_check', atUs: openedUs, offsetUs: 12, errorUs: 3, source: 'a.example' },
      { kind: 'clock_check', atUs: openedUs + 1, offsetUs: null, errorUs: null, source: 'nobody answers' },
    ];
    const [first, meanwhile] = await Promise.all([processor.finish(request), processor.finish(request)]);
    assert.deepEqual(meanwhile, first);
    assert.deepEqual(await processor.finish({ ...request, endedUs: 1 }), first);
    const { body } = readRecordOf('manifest', first.manifestRecord);
    assert.deepEqual(body.clock, { offset_us: 12, source: 'a.example' }, 'the last that came to something');
    assert.deepEqual(body.clock_checks, [
      { at_us: openedUs, offset_us: 12, error_us: 3, source: 'a.example' },
      { at_us: openedUs + 1, offset_us: null, error_us: null, source: 'nobody answers' },
    ]);
    assert.equal(body.gaps.length, 4000);
    assert.equal(
      body.gaps.reduce((sum, gap) => sum + gap.frames_lost, 0),
      10_000,
    );
    assert.equal(body.gaps.at(-1)!.to_us, openedUs + 5000);
    assert.equal(body.pauses.length, 4000);
    assert.equal(body.target_certificates[1]!.problem!.length, 200);
    assert.deepEqual(body.client_logons, [
      { at_us: openedUs, user: 'u'.repeat(200), workstation: 'PC', target_name: '', version: 6 },
    ]);
    assert.deepEqual(body.target_logons, [
      { at_us: openedUs, user: 'LAB\\alice', method: 'ntlm', envelope: 'raw', credssp_version: 6 },
    ]);
    assert.deepEqual(body.policy, [
      { at_us: openedUs, what: 'in force: drives:off', count: 0 },
      { at_us: openedUs + 1, what: 'device refused: drives', count: 5 },
    ]);
    assert.deepEqual([body.connections.length, body.downgrades.length, body.clock_steps[0]!.step_us], [1, 1, -7]);
    await assert.rejects(processor.seal(chunkOf('s1', 1, pattern(10))), { code: 'LUCID_ERR_3004' });
    await assert.rejects(processor.finish(finishRequest(sessionOf('never'))), { code: 'LUCID_ERR_3004' });
  }));

test('a best-effort session whose recorder died does not look gapless; a strict one is cut off and no more', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    for (const persistence of ['strict', 'best_effort'] as const) {
      const session = sessionOf(persistence);
      await house.storage.createSession({ session, routeTokenSha256: null });
      await processor.open({ ...openRequest(session), persistence });
      await processor.seal(chunkOf(persistence, 0, pattern(10), { final: true, recovered: true }));
      const finished = await processor.finish({ ...finishRequest(session), reason: 'recorder_crashed' });
      const { body } = readRecordOf('manifest', finished.manifestRecord);
      const gaps = body.gaps.map(({ from_us, to_us }) => [from_us, to_us]);
      assert.deepEqual(gaps, persistence === 'strict' ? [] : [[openedUs + 60_000_000, null]]);
    }
  }));

test('a pause or gap whose end was never told stays open; one that ended counts once', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = await openSession(house, processor, 's1');
    const request = finishRequest(session);
    request.facts = [1, 2].flatMap((fromUs) => [
      { kind: 'pause', fromUs, toUs: null },
      { kind: 'gap', fromUs, toUs: null, framesLost: 0, reason: 'paused' },
    ]);
    request.facts.push(
      { kind: 'pause', fromUs: 1, toUs: 2 },
      { kind: 'gap', fromUs: 1, toUs: 2, framesLost: 5, reason: 'paused' },
    );
    const { body } = readRecordOf('manifest', (await processor.finish(request)).manifestRecord);
    const byStart = (a: { from_us: number }, b: { from_us: number }) => a.from_us - b.from_us;
    assert.deepEqual(
      body.pauses.sort(byStart).map(({ from_us, to_us }) => [from_us, to_us]),
      [
        [1, 2],
        [2, null],
      ],
    );
    assert.deepEqual(
      body.gaps.sort(byStart).map(({ from_us, to_us, frames_lost }) => [from_us, to_us, frames_lost]),
      [
        [1, 2, 5],
        [2, null, 0],
      ],
    );
  }));

test('a final chunk ends the chain, for this processor and the next', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = await openSession(house, processor, 's1');
    await processor.seal(chunkOf('s1', 0, pattern(10), { final: true }));
    await assert.rejects(processor.seal(chunkOf('s1', 1, pattern(10))), { code: 'LUCID_ERR_3004' });
    await processor.dispose();
    const next = house.processor();
    await assert.rejects(next.seal(chunkOf('s1', 1, pattern(10))), { code: 'LUCID_ERR_3004' });
    assert.equal((await next.finish(finishRequest(session))).chunksCount, 1);
  }));

test('what is no chunk is refused', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 's1');
    await assert.rejects(processor.seal(chunkOf('s1', 0, new Uint8Array(4 << 20))), { code: 'LUCID_ERR_3017' });
    await assert.rejects(processor.seal(chunkOf('s1', 99, pattern(1))), { code: 'LUCID_ERR_3016' });
    await assert.rejects(processor.seal(chunkOf('unknown', 0, pattern(1))), { code: 'LUCID_ERR_3004' });
    assert.equal((await processor.seal(chunkOf('s1', 0, pattern(1)))).index, 0);
  }));

test('other records are signed with the identity key', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const { record } = await processor.signRecord({
      sessionId: 's1',
      kind: 'custody',
      body: { at_us: 5, action: 'view', actor: 'u1', detail: 'player', sequence: 0, previous_sha256: null },
    });
    const custody = readRecordOf('custody', record);
    assert.equal((await checkRecord(nodeCrypto, custody, [house.keys.identity.publicKey])).finding, null);
    await assert.rejects(processor.signRecord({ sessionId: 's1', kind: 'erase', body: {} }), {
      code: 'LUCID_ERR_3002',
    });
    await assert.rejects(processor.signRecord({ sessionId: 's1', kind: 'erase', body: { at_us: 0.5 } }), LucidError);
    const identity = { ...house.keys.identity, sign: () => Promise.reject(new Error('token removed')) };
    const broken = house.processor({ keys: { ...house.keys, identity } });
    const body = { at_us: 5, action: 'view', actor: 'u1', detail: '', sequence: 0, previous_sha256: null };
    await assert.rejects(broken.signRecord({ sessionId: 's1', kind: 'custody', body }), { code: 'LUCID_ERR_3009' });
  }));

test('the same service over HTTP', () =>
  inHouse(async (house) => {
    const serviceSecret = 'a secret the services of a test share';
    const config = {
      host: '127.0.0.1',
      port: 0,
      serviceSecret,
      dataDir: house.path,
      chunkBytesMax: 1 << 20,
      compressionLevel: 6,
      workersMax: 1,
      sessionsMax: 4,
      recorderId: 'r1',
      recipients: [],
      keyHolders: null,
      leaseTtlMs: 60_000,
    };
    const { storage, keys } = house;
    const errors: unknown[] = [];
    const server = createProcessorServer(config, {
      storage,
      keys,
      crypto: nodeCrypto,
      nowUs: () => openedUs,
      onError: (_where, thrown) => errors.push(thrown),
    });
    const { address } = await server.start();
    try {
      const client = rpcClient('processor', address, { token: serviceSecret });
      const session = await openSession(house, client, 's1');
      const receipts = await Promise.all([0, 1, 2].map((index) => client.seal(chunkOf('s1', index, pattern(100_000)))));
      assert.deepEqual(
        receipts.map(({ compression }) => compression),
        ['zstd', 'zstd', 'zstd'],
      );
      assert.ok(Buffer.from((await readBack(house, 's1', 2)).payload).equals(pattern(100_000)));
      await assert.rejects(client.seal(chunkOf('nobody', 0, pattern(1))), { code: 'LUCID_ERR_3004' });
      assert.equal((await client.finish(finishRequest(session))).chunksCount, 3);
      assert.equal((await client.health()).status, 'healthy');
      assert.deepEqual(errors, []);
    } finally {
      await server.dispose();
    }
  }));

test('any payload comes back as it went in', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    let session = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 3000 }),
            fc.tuple(fc.nat(400_000), fc.integer({ min: 1, max: 200 })).map(([length, seed]) => pattern(length, seed)),
            fc.tuple(fc.nat(400_000), fc.integer({ min: 1, max: 200 })).map(([length, seed]) => noise(length, seed)),
          ),
          { minLength: 1, maxLength: 5 },
        ),
        fc.constantFrom('none', 'zstd', 'gzip', 'lz4'),
        fc.boolean(),
        async (payloads, compression, encryptionEnabled) => {
          session += 1;
          const sessionId = `p${session}`;
          await openSession(house, processor, sessionId, { compression, encryptionEnabled });
          await Promise.all(payloads.map((payload, index) => processor.seal(chunkOf(sessionId, index, payload))));
          for (const [index, payload] of payloads.entries())
            assert.ok(Buffer.from((await readBack(house, sessionId, index)).payload).equals(payload));
        },
      ),
      { numRuns: 25 },
    );
  }));
