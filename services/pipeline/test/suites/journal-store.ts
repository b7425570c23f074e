/** What every JournalStore must do. `open` answers an empty store each time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnchorReceipt } from '@lucid-sessions/contract';
import { type JournalStore, newJournal } from '@lucid-sessions/pipeline';

export function journalStoreSuite(name: string, open: () => Promise<JournalStore>): void {
  test(`${name}: journals, facts and receipts come back as they were`, async () => {
    const store = await open();
    assert.equal(await store.get('s1'), null);
    const journal = await store.put({ ...newJournal('s1'), connected: true, admittedUs: 5 });
    assert.deepEqual(journal, { ...newJournal('s1'), version: 1, connected: true, admittedUs: 5 });
    await store.put({ ...newJournal('s2'), endedUs: 5 });
    await store.put({ ...newJournal('s3'), endedUs: 5, manifestUs: 6 });
    await store.put(newJournal('s4'));
    assert.deepEqual(await store.get('s1'), journal);
    assert.deepEqual(await store.listUnfinished(), ['s1', 's2']);
    assert.equal((await store.put({ ...journal, connected: false }))?.version, 2);
    assert.deepEqual(await store.listUnfinished(), ['s2']);
    assert.deepEqual(await store.list('', 3), ['s1', 's2', 's3']);
    assert.deepEqual(await store.list('s3', 3), ['s4']);

    const first = { kind: 'downgrade', atUs: 1, what: 'x' } as const;
    const second = { kind: 'pause', fromUs: 2, toUs: null } as const;
    for (const fact of [first, second, first]) await store.appendFact('s1', fact);
    assert.deepEqual(await store.listFacts('s1'), [first, second]);
    assert.deepEqual(await store.listFacts('s2'), []);

    const receipt: AnchorReceipt = {
      backend: 'b',
      status: 'pending',
      submittedAtUs: 1,
      confirmedAtUs: null,
      blockHeight: null,
      transactionId: null,
      merkleRoot: '00'.repeat(32),
      detail: null,
    };
    await store.putReceipt('s1', receipt);
    await store.putReceipt('s1', { ...receipt, status: 'confirmed' });
    await store.putReceipt('s1', { ...receipt, backend: 'a' });
    assert.deepEqual(
      (await store.listReceipts('s1')).map(({ backend, status }) => `${backend} ${status}`),
      ['a pending', 'b confirmed'],
    );
    await store.dispose();
  });
  test(`${name}: heads of a span of time are put once, and found by it`, async () => {
    const store = await open();
    const row = (spanUs: number, byte: number) => ({ spanUs, atUs: spanUs + 1, heads: new Uint8Array(160).fill(byte) });
    assert.equal(await store.getProgress(5_000_000), null);
    const answers = await Promise.all([1, 2, 3, 4].map((byte) => store.putProgress(row(5_000_000, byte))));
    assert.equal(answers.filter((answer) => answer).length, 1);
    assert.deepEqual(await store.getProgress(5_000_000), row(5_000_000, answers.indexOf(true) + 1));
    for (const spanUs of [1_000_000, 3_000_000, 1_767_225_600_000_000])
      assert.ok(await store.putProgress(row(spanUs, 9)));
    assert.deepEqual(await store.progressSpans(0, 9_000_000, 9), [5_000_000, 3_000_000, 1_000_000]);
    assert.deepEqual(await store.progressSpans(3_000_000, 5_000_000, 9), [5_000_000, 3_000_000]);
    assert.deepEqual(await store.progressSpans(0, Number.MAX_SAFE_INTEGER, 1), [1_767_225_600_000_000]);
    await store.dispose();
  });
  test(`${name}: of ten who change a journal at once one does, and who read it before changes nothing`, async () => {
    const store = await open();
    const ten = [...Array(10).keys()];
    const write = async (version: number) => {
      const answers = await Promise.all(
        ten.map((who) => store.put({ ...newJournal('s1'), version, connected: true, clientName: `${version} ${who}` })),
      );
      const [winner, ...others] = answers.filter((journal) => journal !== null);
      assert.equal(others.length, 0);
      assert.deepEqual(await store.get('s1'), winner);
      return winner;
    };
    assert.equal((await write(0))?.version, 1);
    const second = await write(1);
    assert.equal(second?.version, 2);
    for (const version of [0, 1, 3]) assert.equal(await store.put({ ...newJournal('s1'), version }), null);
    assert.equal(await store.put({ ...newJournal('s2'), version: 1 }), null, 'there is none');
    assert.equal(await store.get('s2'), null);
    assert.deepEqual(await store.get('s1'), second);
    assert.deepEqual(await store.listUnfinished(), ['s1']);
    await store.dispose();
  });

  test(`${name}: sealed secrets are of one session and name, and are forgotten`, async () => {
    const store = await open();
    const sealed = Uint8Array.of(1, 2, 3);
    assert.equal(await store.getSealed('s1', 'target'), null);
    await store.putSealed('s1', 'target', Uint8Array.of(9));
    await store.putSealed('s1', 'target', sealed);
    await store.putSealed('s1', 'gateway', Uint8Array.of(4));
    await store.putSealed('s2', 'target', Uint8Array.of(5));
    assert.deepEqual(await store.getSealed('s1', 'target'), sealed);
    assert.deepEqual(await store.listSealed(), [
      { sessionId: 's1', name: 'gateway' },
      { sessionId: 's1', name: 'target' },
      { sessionId: 's2', name: 'target' },
    ]);
    await store.dropSealed('s1', 'target');
    assert.equal(await store.getSealed('s1', 'target'), null);
    assert.deepEqual(await store.getSealed('s1', 'gateway'), Uint8Array.of(4));
    await store.dropSealed('s1');
    assert.equal(await store.getSealed('s1', 'gateway'), null);
    assert.deepEqual(await store.getSealed('s2', 'target'), Uint8Array.of(5));
    await store.dispose();
  });

  test(`${name}: a credential is found by its user, is one a session, and is forgotten`, async () => {
    const store = await open();
    const credential = {
      sessionId: 's1',
      user: 'lucid-a',
      issuedUs: 1,
      expiresUs: 2,
      usedUs: null,
      wrongTries: 0,
      sealed: Uint8Array.of(1, 2),
    };
    assert.equal(await store.findCredential('lucid-a'), null);
    await store.putCredential(credential);
    await store.putCredential({ ...credential, sessionId: 's2', user: 'lucid-b', sealed: null, usedUs: 3 });
    assert.deepEqual(await store.findCredential('lucid-a'), credential);
    assert.deepEqual((await store.findCredential('lucid-b'))?.sealed, null);
    assert.deepEqual(await store.credentialOf('s1'), credential);
    assert.equal((await store.credentialOf('s2'))?.user, 'lucid-b');
    assert.equal(await store.credentialOf('s3'), null);
    await store.putCredential({ ...credential, issuedUs: 5 });
    assert.equal((await store.findCredential('lucid-a'))?.issuedUs, 5);
    await store.dropCredential('s1');
    assert.equal(await store.findCredential('lucid-a'), null);
    assert.equal((await store.findCredential('lucid-b'))?.usedUs, 3);
    await store.dispose();
  });
}
