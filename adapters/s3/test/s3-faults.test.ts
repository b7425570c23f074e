/** An S3 that answers 503, slowly, not at all, twice, wrongly or with an old listing: nothing is lost, and nothing is there twice. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, type TestContext, test } from 'node:test';
import type { S3BucketOptions, S3ChunkStore } from '@lucid-sessions/s3';
import { collect, sampleChain, sealedLeafOf } from '@lucid-sessions/storage/suites';
import { peersMissing, type S3Fault, S3Faults, type S3Request, s3Server } from '@lucid-sessions/testkit';
import { newPlace, quickLimits, storeIn, useCredentials } from './buckets.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);
const chunk = new Uint8Array(300_000).map((_, at) => (at * 7) % 251);
const other = chunk.with(5, 99);
const isPut = ({ method }: S3Request) => method === 'PUT';
const isGet = ({ method, isListing }: S3Request) => method === 'GET' && !isListing;

if (server === null)
  test('a bad S3', (t) => t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('a bad S3', () => {
    let faults: S3Faults;
    let place: S3BucketOptions;
    let store: S3ChunkStore;

    before(async () => {
      useCredentials(server);
      faults = await S3Faults.before(server.endpoint);
      place = { ...(await newPlace(server.endpoint)), endpoint: faults.endpoint };
    });
    afterEach(() => faults.off());
    after(async () => {
      await faults.stop();
      await server.stop();
    });

    let sessions = 0;
    const fresh = () => {
      sessions += 1;
      return `s${sessions}`;
    };
    const check = (what: string, work: (sessionId: string) => Promise<void>) =>
      test(what, async () => {
        store = storeIn(place);
        try {
          await work(fresh());
        } finally {
          await store.dispose();
        }
      });

    const faulty: Record<string, S3Fault> = {
      '503': { kind: 'refuse', status: 503, code: 'SlowDown' },
      '500': { kind: 'refuse', status: 500, code: 'InternalError' },
      'a conflict': { kind: 'refuse', status: 409, code: 'ConditionalRequestConflict' },
      'a cut connection': { kind: 'cut' },
      'a lost answer': { kind: 'lose' },
      'an answer that breaks off': { kind: 'cutAnswer' },
      'bytes that changed on the way': { kind: 'spoilRequest' },
    };
    for (const [name, fault] of Object.entries(faulty))
      check(`a chunk put into ${name} is written once, and the caller knows that it was`, async (sessionId) => {
        faults.next(isPut, fault, fault);
        assert.equal((await store.putFile(sessionId, 0, chunk)).written, true);
        assert.deepEqual(await store.readFile(sessionId, 0), chunk);
        assert.equal((await store.putFile(sessionId, 0, other)).written, false);
        assert.deepEqual(await store.readFile(sessionId, 0), chunk);
      });

    check('a write that reaches the server twice is one', async (sessionId) => {
      faults.next(isPut, { kind: 'repeat' });
      // The second of them is refused: whose the first was can't be told, the bytes can.
      await store.putFile(sessionId, 0, chunk);
      assert.equal((await store.putFile(sessionId, 0, chunk, { replace: true })).written, true);
      assert.deepEqual(await store.readFile(sessionId, 0), chunk);
    });

    check('somebody else’s chunk is not taken for one whose answer was lost', async (sessionId) => {
      await store.putFile(sessionId, 0, other);
      faults.next(isPut, { kind: 'lose' });
      assert.equal((await store.putFile(sessionId, 0, chunk)).written, false);
      assert.deepEqual(await store.readFile(sessionId, 0), other);
    });

    check('a server that is slow is asked again, and late answers change nothing', async (sessionId) => {
      const slow = storeIn(place, { limits: { ...quickLimits, tryMsMax: 300 } });
      let release: () => void = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      faults.next(isPut, { kind: 'hold', until });
      assert.equal((await slow.putFile(sessionId, 0, chunk)).written, true);
      faults.off();
      assert.equal((await slow.putFile(sessionId, 0, other)).written, false);
      release();
      assert.deepEqual(await slow.readFile(sessionId, 0), chunk);
      await slow.dispose();
    });

    check('what stays out of reach is told in words', async (sessionId) => {
      const hasty = storeIn(place, { limits: { ...quickLimits, giveUpMs: 50 } });
      faults.on(() => ({ kind: 'refuse', status: 503, code: 'SlowDown' }));
      const refused = { code: 'LUCID_ERR_3007', message: /writing a chunk failed: the object store says SlowDown/ };
      await assert.rejects(hasty.putFile(sessionId, 0, chunk), refused);
      await hasty.dispose();
      const nobody = storeIn(
        { ...place, endpoint: 'http://127.0.0.1:9' },
        { limits: { ...quickLimits, giveUpMs: 50 } },
      );
      await assert.rejects(nobody.readFile(sessionId, 0), { message: /gives no answer \(ECONNREFUSED\)/ });
      await nobody.dispose();
      const full = storeIn(place);
      faults.on(() => ({ kind: 'refuse', status: 403, code: 'QuotaExceeded' }));
      await assert.rejects(full.putFile(sessionId, 0, chunk), { status: 507 });
      await full.dispose();
    });

    check('bytes that change on the way back are read again; spoiled ones are told or judged', async (sessionId) => {
      await store.putFile(sessionId, 0, chunk);
      await store.putSidecar(sessionId, 'index.bin', chunk);
      faults.next(isGet, { kind: 'spoilAnswer' }, { kind: 'cutAnswer' });
      assert.deepEqual(await store.readFile(sessionId, 0), chunk);
      faults.on((request) => (isGet(request) ? { kind: 'spoilAnswer' } : null));
      await assert.rejects(store.getSidecar(sessionId, 'index.bin'), { code: 'LUCID_ERR_3007' });
      assert.equal((await store.readFile(sessionId, 0))?.length, chunk.length);
    });

    check('an old listing hides no leaf and no key from being destroyed', async (sessionId) => {
      const leaves = sampleChain(sessionId, 5).map(sealedLeafOf);
      for (const [index, leaf] of leaves.entries()) {
        await store.putFile(sessionId, index, chunk);
        await store.putLeaf(sessionId, index, leaf);
      }
      await store.putWraps(sessionId, [{ scheme: 'l', recipient: 'r', keyId: 'k', wrapped: chunk.slice(0, 9) }]);
      faults.on(({ isListing }) => (isListing ? { kind: 'oldListing' } : null));
      const late = storeIn(place);
      assert.deepEqual(await late.leavesTail(sessionId), { count: 5, last: leaves[4] });
      assert.deepEqual(await late.readLeaves(sessionId), new Uint8Array(leaves.flatMap((leaf) => [...leaf])));
      assert.equal(await late.fileBytes(sessionId, 4), chunk.length);
      assert.equal(await late.purgeSession(sessionId, { chunksCount: 5 }), 5 * (chunk.length + 224));
      assert.deepEqual(await late.getWraps(sessionId), []);
      faults.off();
      assert.deepEqual(await collect(store.listSessions()).then((ids) => ids.filter((id) => id === sessionId)), []);
      await late.dispose();
    });

    check('many leaves are merged, and read the same with the merged object and without', async (sessionId) => {
      const leaves = Array.from({ length: 260 }, (_, index) => new Uint8Array(224).fill(index));
      for (const [index, leaf] of leaves.entries()) await store.putLeaf(sessionId, index, leaf);
      const all = new Uint8Array(leaves.flatMap((leaf) => [...leaf]));
      const before = faults.seen.length;
      assert.deepEqual(await store.readLeaves(sessionId), all);
      assert.ok(faults.seen.length - before < 30, 'most came in one object');
      faults.on(({ path }) => (path.includes('merged-') ? { kind: 'refuse', status: 404, code: 'NoSuchKey' } : null));
      assert.deepEqual(await store.readLeaves(sessionId), all);
      const fresh = storeIn(place);
      assert.equal((await fresh.leavesTail(sessionId)).count, 260);
      await fresh.dispose();
    });

    check('a large object goes in parts, is written once, and survives the loss of any answer', async (sessionId) => {
      const large = new Uint8Array(11 * 1024 * 1024).map((_, at) => at % 253);
      const parts = storeIn(place, { partBytes: 5 * 1024 * 1024 });
      faults.next(
        ({ method }) => method === 'POST' || method === 'PUT',
        ...Array.from({ length: 4 }, (): S3Fault => ({ kind: 'refuse', status: 503, code: 'SlowDown' })),
      );
      assert.equal((await parts.putFile(sessionId, 0, large)).written, true);
      assert.equal(Buffer.compare((await parts.readFile(sessionId, 0))!, large), 0);
      assert.equal((await parts.putFile(sessionId, 0, large.with(9, 1))).written, false);
      const isCompletion = ({ method, path }: S3Request) =>
        method === 'POST' && path.includes('uploadId=') && !path.includes('uploads');
      faults.next(isCompletion, { kind: 'lose' });
      assert.equal((await parts.putFile(sessionId, 1, large)).written, true);
      assert.equal(Buffer.compare((await parts.readFile(sessionId, 1))!, large), 0);
      await parts.dispose();
    });

    check('a bucket that ignores conditions is refused', async () => {
      await store.check();
      let puts = 0;
      faults.on((request) => {
        if (isPut(request)) puts += 1;
        return isPut(request) && puts === 2 ? { kind: 'pretend' } : null;
      });
      await assert.rejects(store.check(), { message: /ignores If-None-Match/ });
    });
  });
