import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64, readEvidenceRecord, timestampRequest, timestampToken } from '@lucid-sessions/evidence';
import type { PipelineService } from '@lucid-sessions/pipeline';
import { eventually, FakeTimestampAuthority } from '@lucid-sessions/testkit';
import { world } from './world.ts';

const dayMs = 86_400_000;

async function recorded(limits: Parameters<typeof world>[0]) {
  const made = await world(limits);
  const authority = new FakeTimestampAuthority({ nowMs: () => made.clock.us / 1000 });
  let away = false;
  const asked: string[] = [];
  made.lender.stamper = {
    async stamp(digest, hash) {
      asked.push(hash);
      if (away) throw new Error('the authority is away');
      const token = timestampToken(authority.respond(timestampRequest(digest, new Uint8Array(16), hash)));
      return { token, timeUs: made.clock.us };
    },
  };
  await made.restart();
  for (const id of ['s1', 's2']) {
    await made.admit(id);
    await made.record(id);
    await made.until(id, 'completed');
  }
  const recordsOf = async (id: string) => {
    const { receipts } = await made.pipeline.anchor({ sessionId: id });
    const found = receipts.find(({ backend }) => backend === 'rfc4998');
    return found === undefined ? null : readEvidenceRecord(fromBase64(found.detail ?? ''));
  };
  const setAway = (is: boolean): void => {
    away = is;
  };
  return { made, asked, recordsOf, setAway, service: () => made.pipeline as PipelineService };
}

test('one timestamp covers all recordings that have ended, and another when it is old', async () => {
  const { made, asked, recordsOf, service } = await recorded({ renewalMs: 100 * dayMs });
  try {
    assert.equal(await recordsOf('s1'), null);
    assert.deepEqual(await service().renew(), { renewed: 2, finished: true });
    assert.deepEqual(await service().renew(), { renewed: 0, finished: true });
    assert.deepEqual(asked, ['sha256'], 'what is young is let be');
    for (const id of ['s1', 's2'])
      assert.deepEqual(
        (await recordsOf(id))?.map(({ length }) => length),
        [1],
      );
    made.clock.us += 101 * dayMs * 1000;
    await service().renew();
    assert.equal(asked.length, 2);
    for (const id of ['s1', 's2'])
      assert.deepEqual(
        (await recordsOf(id))?.map(({ length }) => length),
        [2],
      );
    const [one, two] = [await recordsOf('s1'), await recordsOf('s2')];
    assert.deepEqual(one![0]![1]!.token, two![0]![1]!.token);
  } finally {
    await made.dispose();
  }
});

test('an authority that is away is counted and asked again; without the setting nobody is', async () => {
  const { made, asked, recordsOf, setAway, service } = await recorded({ renewalMs: dayMs, renewalHash: 'sha384' });
  try {
    setAway(true);
    await assert.rejects(service().renew(), { code: 'LUCID_ERR_3013', message: /not all could be renewed/ });
    assert.equal(await recordsOf('s1'), null);
    assert.match(await service().metrics(), /^lucid_renewal_failures_total 1$/m);
    setAway(false);
    await service().renew();
    assert.equal((await recordsOf('s1'))?.[0]?.[0]?.hash, 'sha384');
    assert.match(await service().metrics(), /^lucid_renewals_total 2$/m);
    assert.deepEqual(asked, ['sha384', 'sha384']);
    assert.ok(made.failures.some((line) => line.includes('the authority is away')));
  } finally {
    await made.dispose();
  }
  const off = await recorded({ renewalMs: 0 });
  try {
    await assert.rejects(off.service().renew(), /LUCID_RENEWAL_DAYS is 0/);
    assert.deepEqual(off.asked, []);
  } finally {
    await off.made.dispose();
  }
});

test('a stamp that came behind the record is taken up, and one recording that can not be read keeps no other waiting', async () => {
  const { made, asked, recordsOf, service } = await recorded({ renewalMs: 100 * dayMs });
  const { getRecords } = made.storage;
  try {
    await service().renew();
    const { receipts } = await made.pipeline.anchor({ sessionId: 's1' });
    const authority = new FakeTimestampAuthority({ nowMs: () => made.clock.us / 1000 });
    const known = receipts.find(({ backend }) => backend === 'rfc4998')!;
    const token = authority.token(new Uint8Array(Buffer.from(known.merkleRoot, 'hex')), null);
    const stamp = { ...known, backend: 'rfc3161', detail: Buffer.from(token).toString('base64') };
    await made.deps().journal.putReceipt('s1', stamp);
    await service().renew();
    await service().renew();
    assert.equal(asked.length, 2, 'once');
    const [first, later] = (await recordsOf('s1'))!;
    assert.deepEqual([first?.[0]?.lists[0]?.length, later?.[0]?.lists[0]?.length], [2, 3]);
    assert.equal((await recordsOf('s2'))?.length, 1);

    made.clock.us += 101 * dayMs * 1000;
    made.storage.getRecords = async (request) => {
      if (request.sessionId === 's1') throw new Error('its disk is gone');
      return getRecords.call(made.storage, request);
    };
    await assert.rejects(service().renew(), { code: 'LUCID_ERR_3013' });
    assert.equal((await recordsOf('s2'))?.[0]?.length, 2);
    assert.ok(made.failures.some((line) => line.includes('its disk is gone')));
    assert.match(await service().metrics(), /^lucid_renewal_failures_total 1$/m);
  } finally {
    made.storage.getRecords = getRecords;
    await made.dispose();
  }
});

test('a renewal that takes longer than somebody waits goes on', async () => {
  const { made, recordsOf, service } = await recorded({ renewalMs: dayMs, renewalWaitMs: 1 });
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const { stamper } = made.lender;
  made.lender.stamper = {
    async stamp(...asked) {
      await gate;
      return stamper!.stamp(...asked);
    },
  };
  try {
    await made.restart();
    assert.deepEqual(await service().renew(), { renewed: 0, finished: false });
    open();
    await eventually(
      'records of both',
      async () => (await recordsOf('s1')) !== null && (await recordsOf('s2')) !== null,
    );
  } finally {
    open();
    await made.dispose();
  }
});
