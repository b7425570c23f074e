import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError, type StoragePort } from '@lucid-sessions/contract';
import { checkRecord, fromHex, LEAF_RECORD_BYTES, readRecordOf, toHex, verifySeal } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import {
  chunkOf,
  finishRequest,
  type House,
  inHouse,
  leavesOf,
  noise,
  openRequest,
  openSession,
  pattern,
  readBack,
  sessionOf,
} from './support/house.ts';

type Put = StoragePort['putChunk'];

/** The house's storage with some calls replaced. */
function storageWith(house: House, calls: Partial<StoragePort>): StoragePort {
  return { ...house.storage, ...calls };
}

/** Every lease given so far is over; its owners don't know. */
function expireLeases(house: House): void {
  house.time.aheadUs += 3_600_000_000;
}

async function resumesOf(house: House, sessionId: string) {
  const { records } = await house.storage.getRecords({ sessionId, kind: 'resume' });
  return records.map(({ record }) => readRecordOf('resume', record));
}

const diskFull = new LucidError('storage', 'the disk is full', { status: 507 });

test('a session of a dead processor goes on under a signed resume, and the zombie stops', () =>
  inHouse(async (house) => {
    const zombie = house.processor();
    const session = await openSession(house, zombie, 's1');
    await zombie.seal(chunkOf('s1', 0, pattern(1000)));
    await zombie.seal(chunkOf('s1', 1, pattern(2000)));
    const next = house.processor();
    await assert.rejects(next.seal(chunkOf('s1', 2, pattern(3000))), { code: 'LUCID_ERR_3016' });
    expireLeases(house);
    await next.seal(chunkOf('s1', 2, pattern(3000), { recovered: true }));

    await assert.rejects(zombie.seal(chunkOf('s1', 2, noise(3000))), { code: 'LUCID_ERR_3020' });
    await assert.rejects(zombie.seal(chunkOf('s1', 3, noise(3000))), { code: 'LUCID_ERR_3016' });
    await next.seal(chunkOf('s1', 3, pattern(4000)));

    const leaves = await leavesOf(house.storage, 's1');
    const [resume, ...more] = await resumesOf(house, 's1');
    assert.deepEqual(more, []);
    assert.equal((await checkRecord(nodeCrypto, resume!, [house.keys.identity.publicKey])).finding, null);
    assert.equal(resume!.body.index, 2);
    assert.equal(resume!.body.epoch, 2);
    assert.equal(resume!.body.previous_leaf_hash, toHex(leaves[1]!.hash));
    assert.equal(resume!.body.extra, undefined);
    assert.ok(await verifySeal(nodeCrypto, fromHex(resume!.body.seal_key, 32), leaves[2]!.hash, leaves[2]!.seal));
    assert.ok(!(await verifySeal(nodeCrypto, leaves[1]!.leaf.nextSealKey, leaves[2]!.hash, leaves[2]!.seal)));
    assert.ok(await verifySeal(nodeCrypto, leaves[2]!.leaf.nextSealKey, leaves[3]!.hash, leaves[3]!.seal));
    for (const index of [0, 1, 2, 3])
      assert.ok(Buffer.from((await readBack(house, 's1', index)).payload).equals(pattern(1000 * (index + 1))));
    assert.equal((await house.storage.getWraps({ sessionId: 's1' })).wraps.length, 1);
    const finished = await next.finish(finishRequest(session));
    const manifest = readRecordOf('manifest', finished.manifestRecord);
    assert.deepEqual(manifest.body.resumes_sha256, [resume!.sha256]);
    assert.equal(finished.chunksCount, 4);
  }));

test('a processor that can only encrypt leaves a session to one that can unwrap its key', () =>
  inHouse(async (house) => {
    const blind = { ...house.keys, unwrappers: [{ unwrap: () => Promise.reject(new Error('not for us')) }] };
    const first = house.processor({ keys: blind });
    await openSession(house, first, 's1');
    await first.seal(chunkOf('s1', 0, pattern(1000)));
    await first.dispose();
    const second = house.processor({ keys: blind });
    await assert.rejects(second.seal(chunkOf('s1', 1, pattern(2000))), { code: 'LUCID_ERR_3016', status: 503 });
    await assert.rejects(second.seal(chunkOf('s1', 1, pattern(2000))), /start one with the key directory/);
    assert.deepEqual(await resumesOf(house, 's1'), []);
    const able = house.processor();
    await able.seal(chunkOf('s1', 1, pattern(2000)));
    const { wraps } = await house.storage.getWraps({ sessionId: 's1' });
    assert.equal(wraps.length, 1);
    assert.equal((await resumesOf(house, 's1')).length, 1);
    for (const index of [0, 1]) {
      const { header, payload } = await readBack(house, 's1', index);
      assert.equal(toHex(header.dekId), wraps[0]!.keyId);
      assert.ok(Buffer.from(payload).equals(pattern(1000 * (index + 1))));
    }
  }));

test('a session stored in clear is taken over, too', () =>
  inHouse(async (house) => {
    const first = house.processor();
    await openSession(house, first, 's1', { encryptionEnabled: false });
    await first.dispose();
    await house.processor().seal(chunkOf('s1', 0, pattern(2000)));
    assert.ok(Buffer.from((await readBack(house, 's1', 0)).payload).equals(pattern(2000)));
    assert.equal((await resumesOf(house, 's1'))[0]!.body.index, 0);
  }));

test('answers that get lost are asked for again', () =>
  inHouse(async (house) => {
    const lost = new Set<string>();
    const losing =
      <R, A>(name: string, call: (request: R) => Promise<A>) =>
      async (request: R): Promise<A> => {
        const answer = await call(request);
        if (!lost.has(name)) {
          lost.add(name);
          throw new Error('connection reset');
        }
        return answer;
      };
    const { storage } = house;
    const processor = house.processor({
      storage: storageWith(house, {
        putChunk: losing('putChunk', storage.putChunk),
        putRecord: losing('putRecord', storage.putRecord),
        putWraps: losing('putWraps', storage.putWraps),
        acquireLease: losing('acquireLease', storage.acquireLease),
      }),
    });
    const session = await openSession(house, processor, 's1');
    const receipt = await processor.seal(chunkOf('s1', 0, pattern(1000)));
    assert.deepEqual([...lost].sort(), ['acquireLease', 'putChunk', 'putRecord', 'putWraps']);
    const { chunk } = await storage.getChunk({ sessionId: 's1', index: 0 });
    assert.equal(chunk!.fileSha256, receipt.fileSha256);
    assert.equal((await processor.finish(finishRequest(session))).chunksCount, 1);
    assert.equal((await storage.getRecords({ sessionId: 's1' })).records.length, 2);
  }));

test('storage that stays away is an error of storage', () =>
  inHouse(async (house) => {
    const away = () => Promise.reject(new Error('connection refused'));
    const processor = house.processor({ storage: storageWith(house, { getRecords: away }) });
    await assert.rejects(processor.open(openRequest(sessionOf('s1'))), { code: 'LUCID_ERR_3007' });
  }));

test('a chunk that storage did not take is made again byte for byte, without a new chain', () =>
  inHouse(async (house) => {
    const tried: string[] = [];
    let refusals = 2;
    const putChunk: Put = async (request) => {
      tried.push(createHash('sha256').update(request.file).digest('hex'));
      if (refusals > 0) {
        refusals -= 1;
        throw diskFull;
      }
      return house.storage.putChunk(request);
    };
    const processor = house.processor({ storage: storageWith(house, { putChunk }) });
    const session = await openSession(house, processor, 's1');
    const chunks = [0, 1, 2].map((index) => chunkOf('s1', index, pattern(90_000 + index), { final: index === 2 }));
    const results = await Promise.allSettled(chunks.map((chunk) => processor.seal(chunk)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    const receipts = [];
    for (const chunk of chunks) receipts.push(await processor.seal(chunk));
    assert.deepEqual(await resumesOf(house, 's1'), []);
    assert.equal(receipts[0]!.fileSha256, tried[0]);
    assert.equal(receipts[1]!.fileSha256, tried[1]);
    for (const [index, { payload }] of chunks.entries())
      assert.ok(Buffer.from((await readBack(house, 's1', index)).payload).equals(payload));
    assert.equal((await processor.finish(finishRequest(session))).chunksCount, 3);
  }));

test('another payload for a leaf that was signed stops the chain; the next one begins with a resume', () =>
  inHouse(async (house) => {
    let full = true;
    const putChunk: Put = (request) => (full ? Promise.reject(diskFull) : house.storage.putChunk(request));
    const processor = house.processor({ storage: storageWith(house, { putChunk }) });
    await openSession(house, processor, 's1');
    await assert.rejects(processor.seal(chunkOf('s1', 0, pattern(5000))), { code: 'LUCID_ERR_3007' });
    full = false;
    await assert.rejects(processor.seal(chunkOf('s1', 0, pattern(6000))), { code: 'LUCID_ERR_3020' });
    await processor.seal(chunkOf('s1', 0, pattern(6000)));
    assert.equal((await resumesOf(house, 's1')).length, 1);
    assert.ok(Buffer.from((await readBack(house, 's1', 0)).payload).equals(pattern(6000)));
  }));

test('a chunk that reaches storage before its predecessor waits for it', () =>
  inHouse(async (house) => {
    const secondRefused = Promise.withResolvers<void>();
    const putChunk: Put = async (request) => {
      if (request.metadata.index === 0) await secondRefused.promise;
      const answer = await house.storage.putChunk(request);
      if (request.metadata.index === 1) secondRefused.resolve();
      return answer;
    };
    const processor = house.processor({ storage: storageWith(house, { putChunk }) });
    await openSession(house, processor, 's1');
    await Promise.all([0, 1].map((index) => processor.seal(chunkOf('s1', index, pattern(500)))));
    assert.equal((await leavesOf(house.storage, 's1')).length, 2);
  }));

test('a chunk that can not be compressed fails alone and can be sent again with those behind it', () =>
  inHouse(async (house) => {
    const workerUrl = new URL('./support/mortal-worker.ts', import.meta.url);
    const processor = house.processor({ workerUrl });
    await openSession(house, processor, 's1');
    const memory = new Uint8Array(new SharedArrayBuffer(1004));
    memory.set([0, 0, 1, 0]);
    const poisoned = chunkOf('s1', 1, memory.subarray(4));
    const results = await Promise.allSettled([
      processor.seal(chunkOf('s1', 0, pattern(1000))),
      processor.seal(poisoned),
      processor.seal(chunkOf('s1', 2, pattern(3000))),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === 'rejected' ? result.reason.code : 'sealed')),
      ['sealed', 'LUCID_ERR_3008', 'LUCID_ERR_3016'],
    );
    memory[2] = 0;
    await Promise.all([processor.seal(poisoned), processor.seal(chunkOf('s1', 2, pattern(3000)))]);
    assert.equal((await leavesOf(house.storage, 's1')).length, 3);
    assert.deepEqual(await resumesOf(house, 's1'), []);
  }));

test('health tells of workers that die', () =>
  inHouse(async (house) => {
    const workerUrl = new URL('./support/no-such-worker.ts', import.meta.url);
    const processor = house.processor({ workerUrl }, { workersMax: 1 });
    const seen = new Set<string>();
    while (!seen.has('unhealthy')) {
      const { status, message } = await processor.health();
      if (status !== 'healthy') assert.match(message!, /no-such-worker/);
      seen.add(status);
      await delay(1);
    }
    assert.ok(seen.has('degraded'));
  }));

test('health tells what draws H.264, and when keyframes are made', () =>
  inHouse(async (house) => {
    const keyframes = () => ({ policy: 'made when somebody looks', usedMs: 1234 });
    const having = house.processor({ keyframes, h264: async () => ({ decoder: 'ffmpeg' }) });
    const { details } = await having.health();
    const { h264Decoder, keyframeSeconds } = details;
    assert.deepEqual([h264Decoder, details.keyframes, keyframeSeconds], ['ffmpeg', 'made when somebody looks', 1.2]);
    const lacking = await house.processor({ h264: async () => ({ missing: 'install ffmpeg' }) }).health();
    assert.deepEqual(
      [lacking.status, lacking.message, lacking.details.h264Decoder],
      ['healthy', 'install ffmpeg', 'none'],
    );
  }));

test('a lease that is lost is noticed without a chunk', () =>
  inHouse(async (house) => {
    let asked = 0;
    const storage = storageWith(house, {
      acquireLease: (request) => {
        asked += 1;
        // Away once: that alone must not end the chain.
        return asked === 2 ? Promise.reject(new Error('timeout')) : house.storage.acquireLease(request);
      },
    });
    const first = house.processor({ storage }, { leaseTtlMs: 60 });
    await openSession(house, first, 's1');
    while (asked < 4) await delay(5);
    assert.equal((await first.health()).details.sessions, 1);
    expireLeases(house);
    await house.processor().seal(chunkOf('s1', 0, pattern(10)));
    while ((await first.health()).details.sessions !== 0) await delay(5);
    await assert.rejects(first.seal(chunkOf('s1', 1, pattern(10))), { code: 'LUCID_ERR_3016' });
  }));

test('the chain that was idle longest makes room and is carried on when it is needed', () =>
  inHouse(async (house) => {
    const processor = house.processor({}, { sessionsMax: 1 });
    for (const sessionId of ['s1', 's2', 's3']) {
      await openSession(house, processor, sessionId);
      await processor.seal(chunkOf(sessionId, 0, pattern(10)));
    }
    assert.equal((await processor.health()).details.sessions, 2);
    await processor.seal(chunkOf('s1', 1, pattern(20)));
    assert.equal((await resumesOf(house, 's1')).length, 1);
    assert.equal((await leavesOf(house.storage, 's1')).length, 2);
  }));

test('a manifest covers what storage has, not what was signed and never stored', () =>
  inHouse(async (house) => {
    const putChunk: Put = (request) =>
      request.metadata.index === 1 ? Promise.reject(diskFull) : house.storage.putChunk(request);
    const processor = house.processor({ storage: storageWith(house, { putChunk }) });
    const session = await openSession(house, processor, 's1');
    await processor.seal(chunkOf('s1', 0, pattern(10)));
    await assert.rejects(processor.seal(chunkOf('s1', 1, pattern(20))), diskFull);
    const finished = await processor.finish(finishRequest(session));
    assert.equal(finished.chunksCount, 1);
    const [leaf] = await leavesOf(house.storage, 's1');
    assert.equal(finished.merkleRoot, toHex(leaf!.hash));
  }));

test('another processor finishes what a dead one left, while nobody else may', () =>
  inHouse(async (house) => {
    const dead = house.processor();
    const session = await openSession(house, dead, 's1');
    for (let index = 0; index < 3; index += 1) await dead.seal(chunkOf('s1', index, pattern(10)));
    const next = house.processor();
    await assert.rejects(next.finish(finishRequest(session)), { code: 'LUCID_ERR_3016' });
    expireLeases(house);
    assert.equal((await next.finish(finishRequest(session))).chunksCount, 3);
    await assert.rejects(dead.seal(chunkOf('s1', 3, pattern(10))), { code: 'LUCID_ERR_3020' });
    assert.equal((await leavesOf(house.storage, 's1')).length, 3);
  }));

test('of two finishes at two processors one manifest remains', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = await openSession(house, processor, 's1');
    const first = await processor.finish(finishRequest(session));
    let looked = 0;
    const late = house.processor({
      storage: storageWith(house, {
        getRecords: (request) => {
          looked += 1;
          return looked === 1 ? Promise.resolve({ records: [] }) : house.storage.getRecords(request);
        },
      }),
    });
    assert.deepEqual(await late.finish({ ...finishRequest(session), endedUs: 7 }), first);
    looked = 0;
    await assert.rejects(late.open(openRequest(session)), { code: 'LUCID_ERR_3020' });
  }));

test('leaves that do not form a chain are not carried on', () =>
  inHouse(async (house) => {
    const first = house.processor();
    await openSession(house, first, 's1');
    for (let index = 0; index < 300; index += 1) await first.seal(chunkOf('s1', index, pattern(1)));
    await first.dispose();
    const { leaves } = await house.storage.readLeaves({ sessionId: 's1' });
    const cut = leaves.slice(LEAF_RECORD_BYTES);
    const broken = house.processor({ storage: storageWith(house, { readLeaves: async () => ({ leaves: cut }) }) });
    await assert.rejects(broken.seal(chunkOf('s1', 300, pattern(1))), { code: 'LUCID_ERR_3007' });
    await house.processor().seal(chunkOf('s1', 300, pattern(1)));
    assert.equal((await resumesOf(house, 's1'))[0]!.body.index, 300);
  }));

test('a processor that was shut down takes nothing up again', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    await openSession(house, processor, 's1');
    await processor.dispose();
    await assert.rejects(processor.seal(chunkOf('s1', 0, pattern(1))), { code: 'LUCID_ERR_3016' });
    await house.storage.createSession({ session: sessionOf('s2'), routeTokenSha256: null });
    await assert.rejects(processor.open(openRequest(sessionOf('s2'))), { code: 'LUCID_ERR_3016' });
  }));
