/** What every ChunkStore must do. `open` answers an empty store, `reopen` the same one after a restart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChunkStore } from '@lucid-sessions/storage';
import { collect, sampleChain, sealedLeafOf } from './sample.ts';

export interface ChunkStoreHome {
  store: ChunkStore;
  reopen(): Promise<ChunkStore>;
  dispose(): Promise<void>;
}

const ids = async (store: ChunkStore) => (await collect(store.listSessions())).sort();

export function chunkStoreSuite(name: string, open: () => Promise<ChunkStoreHome>): void {
  const check = (what: string, work: (store: ChunkStore, home: ChunkStoreHome) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const home = await open();
      try {
        await work(home.store, home);
      } finally {
        await home.store.dispose();
        await home.dispose();
      }
    });

  check('files of all sizes and alignments come back as they were, also after a restart', async (store, home) => {
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 200, maximum: 200, shared: true }).buffer);
    for (let at = 0; at < memory.length; at += 997) memory[at] = at % 251;
    const views: Uint8Array[] = [0, 1, 4095, 4096, 4097, 8192, 65_536, 4 * 1024 * 1024 + 5, 9_000_001].flatMap(
      (length) => [memory.subarray(4096, 4096 + length), memory.slice(0, length), memory.subarray(13, 13 + length)],
    );
    for (const [index, view] of views.entries()) {
      const { written, storagePath } = await store.putFile('s1', index, view);
      assert.equal(written, true);
      assert.equal(storagePath, store.storagePath('s1', index));
    }
    const again = await home.reopen();
    for (const [index, view] of views.entries()) {
      assert.equal(Buffer.compare((await again.readFile('s1', index))!, view), 0, `file ${index}`);
      assert.equal(await again.fileBytes('s1', index), view.length);
    }
    await again.dispose();
  });

  check('a file is written once, unless it is replaced on purpose', async (store) => {
    assert.equal((await store.putFile('s1', 0, new Uint8Array([1]))).written, true);
    assert.equal((await store.putFile('s1', 0, new Uint8Array([2]))).written, false);
    assert.deepEqual(await store.readFile('s1', 0), new Uint8Array([1]));
    assert.equal((await store.putFile('s1', 0, new Uint8Array([3]), { replace: true })).written, true);
    assert.deepEqual(await store.readFile('s1', 0), new Uint8Array([3]));
    await store.removeFile('s1', 0);
    await store.removeFile('s1', 0);
    assert.equal(await store.readFile('s1', 0), null);
    assert.equal(await store.fileBytes('s1', 0), null);
  });

  check('one of several writers at once wins', async (store) => {
    const puts = Array.from({ length: 8 }, (_, at) => store.putFile('s1', 0, new Uint8Array(5000).fill(at)));
    const winners = (await Promise.all(puts)).flatMap(({ written }, at) => (written ? [at] : []));
    assert.equal(winners.length, 1);
    assert.deepEqual(await store.readFile('s1', 0), new Uint8Array(5000).fill(winners[0]!));
  });

  check('leaves are appended, overwritten at their place, never with a hole', async (store, home) => {
    const leaves = sampleChain('s1', 3).map(sealedLeafOf);
    assert.deepEqual(await store.leavesTail('s1'), { count: 0, last: null });
    assert.equal((await store.readLeaves('s1')).length, 0);
    await assert.rejects(store.putLeaf('s1', 1, leaves[1]!), { code: 'LUCID_ERR_3007' });
    await store.putLeaf('s1', 0, leaves[2]!);
    await store.putLeaf('s1', 0, leaves[0]!);
    await store.putLeaf('s1', 1, leaves[1]!);
    await store.putLeaf('s1', 2, leaves[2]!);
    await assert.rejects(store.putLeaf('s1', 3, new Uint8Array(10)), { code: 'LUCID_ERR_3002' });
    const again = await home.reopen();
    assert.equal(Buffer.compare(await again.readLeaves('s1'), Buffer.concat(leaves)), 0);
    assert.deepEqual(await again.leavesTail('s1'), { count: 3, last: leaves[2] });
    await again.dispose();
  });

  check('sidecars are replaced as a whole', async (store) => {
    assert.equal(await store.getSidecar('s1', 'index.bin'), null);
    await store.putSidecar('s1', 'index.bin', new Uint8Array([1, 2]));
    await store.putSidecar('s1', 'index.bin', new Uint8Array([3]));
    assert.deepEqual(await store.getSidecar('s1', 'index.bin'), new Uint8Array([3]));
  });

  check(
    'wrapped keys lie beside the chunks, are replaced as a whole, and an empty list destroys them',
    async (store, home) => {
      const wrap = (text: string) => ({ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: Buffer.from(text) });
      const plain = (wraps: readonly { wrapped: Uint8Array }[]) =>
        wraps.map(({ wrapped }) => Buffer.from(wrapped).toString());
      assert.deepEqual(await store.getWraps('s1'), []);
      await store.putWraps('s1', []);
      assert.deepEqual(await ids(store), [], 'nothing to destroy leaves nothing behind');
      await store.putWraps('s1', [wrap('first'), wrap('second')]);
      await store.putWraps('s2', [wrap('other')]);
      await store.putWraps('s1', [wrap('third')]);
      const again = await home.reopen();
      assert.deepEqual(plain(await again.getWraps('s1')), ['third']);
      const { scheme, recipient, keyId } = (await again.getWraps('s1'))[0]!;
      assert.deepEqual([scheme, recipient, keyId], ['local', 'r', 'k']);
      await again.putWraps('s1', []);
      assert.deepEqual(await again.getWraps('s1'), []);
      assert.deepEqual(plain(await again.getWraps('s2')), ['other']);
      await again.purgeSession('s2');
      assert.deepEqual(await again.getWraps('s2'), []);
      await again.dispose();
    },
  );

  check('records lie beside the chunks, once each, in order', async (store, home) => {
    const record = (text: string) => new TextEncoder().encode(text);
    assert.equal(await store.recordsCount('s1'), 0);
    assert.deepEqual(await store.readRecords('s1'), []);
    for (const sequence of [2, 1, 11, 2]) await store.putRecord('s1', sequence, record(`r${sequence}`));
    // Of an older copy of the rows: neither takes the other's place.
    await store.putRecord('s1', 2, record('another'));
    const again = await home.reopen();
    assert.equal(await again.recordsCount('s1'), 4);
    const read = (await again.readRecords('s1')).map(
      ({ sequence, record: bytes }) => `${sequence}:${Buffer.from(bytes)}`,
    );
    assert.deepEqual(read.toSorted(), ['11:r11', '1:r1', '2:another', '2:r2'].toSorted());
    assert.deepEqual([read[0], read[3]], ['1:r1', '11:r11']);
    await assert.rejects(again.putRecord('s1', -1, record('x')), { code: 'LUCID_ERR_3002' });
    assert.deepEqual(await again.listFiles('s1'), []);
    await again.dispose();
  });

  check('the chunk files there are can be listed', async (store) => {
    assert.deepEqual(await store.listFiles('s1'), []);
    for (const index of [10, 2, 0]) await store.putFile('s1', index, new Uint8Array(1));
    await store.putLeaf('s1', 0, new Uint8Array(224));
    assert.deepEqual(await store.listFiles('s1'), [0, 2, 10]);
  });

  check('ids that differ in case only, and odd ones, do not meet', async (store) => {
    const odd = ['abc', 'ABC', 'aBc', 'con', 'CON', '__', '-', 'tmp', 'x', 'x'.repeat(100), 'X'.repeat(100)];
    for (const [at, id] of odd.entries()) await store.putFile(id, 0, new Uint8Array([at]));
    for (const [at, id] of odd.entries()) assert.deepEqual(await store.readFile(id, 0), new Uint8Array([at]));
    assert.deepEqual(await ids(store), odd.toSorted());
    const paths = new Set(odd.map((id) => store.storagePath(id, 0).toLowerCase()));
    assert.equal(paths.size, odd.length);
  });

  check('nothing outside the store can be named', async (store) => {
    for (const id of ['..', '../x', 'a/b', 'a\\b', '', 'a.b', 'a\0b', 'ä', 'x'.repeat(101)]) {
      assert.throws(() => store.storagePath(id, 0), { code: 'LUCID_ERR_3002' });
      await assert.rejects(store.putFile(id, 0, new Uint8Array(1)), { code: 'LUCID_ERR_3002' });
      await assert.rejects(store.readFile(id, 0), { code: 'LUCID_ERR_3002' });
      await assert.rejects(store.purgeSession(id), { code: 'LUCID_ERR_3002' });
    }
    for (const index of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      await assert.rejects(store.putFile('s1', index, new Uint8Array(1)), { code: 'LUCID_ERR_3002' });
    for (const side of ['..', '../x', '.hidden', 'a/b', 'A', ''])
      await assert.rejects(store.putSidecar('s1', side, new Uint8Array(1)), { code: 'LUCID_ERR_3002' });
    assert.deepEqual(await ids(store), []);
  });

  check('purging frees what the session held and leaves others alone', async (store) => {
    for (const id of ['s1', 's2']) {
      await store.putFile(id, 0, new Uint8Array(5000));
      await store.putLeaf(id, 0, new Uint8Array(224));
      await store.putSidecar(id, 'thumb.png', new Uint8Array(10));
      await store.putRecord(id, 1, new Uint8Array(7));
    }
    assert.equal(await store.purgeSession('s1'), 5241);
    assert.equal(await store.purgeSession('s1'), 0);
    assert.equal(await store.readFile('s1', 0), null);
    assert.equal((await store.readLeaves('s1')).length, 0);
    assert.deepEqual(await ids(store), ['s2']);
    assert.equal((await store.putFile('s1', 0, new Uint8Array(1))).written, true, 'and can be written again');
    const space = await store.space();
    assert.ok(space === null || (space.freeBytes > 0 && space.freeBytes <= space.totalBytes));
  });
}
