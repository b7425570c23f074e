/** What every Coordination must do. `open` answers an empty one each time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLucidError } from '@lucid-sessions/contract';
import type { Coordination } from '@lucid-sessions/pipeline';

const ten = [...Array(10).keys()];
const isInvalid = (thrown: unknown) => isLucidError(thrown, 'invalidRequest');

export function coordinationSuite(name: string, open: () => Promise<Coordination>): void {
  const check = (what: string, work: (agreed: Coordination) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const agreed = await open();
      try {
        await work(agreed);
      } finally {
        await agreed.dispose();
      }
    });
  const put = (
    agreed: Coordination,
    key: string,
    expected: number | null,
    more: { untilUs?: number; nowUs?: number } = {},
  ) =>
    agreed.put('space', { key, value: { a: [1, 'ü', null] }, untilUs: more.untilUs ?? 100, expected }, more.nowUs ?? 0);

  check('a value comes back as it was, until its end', async (agreed) => {
    await agreed.ping();
    assert.equal(await agreed.get('space', 'k', 0), null);
    const version = await put(agreed, 'k', null);
    assert.ok(version !== null && Number.isSafeInteger(version) && version >= 1);
    const known = { key: 'k', value: { a: [1, 'ü', null] }, version, untilUs: 100 };
    assert.deepEqual(await agreed.get('space', 'k', 99), known);
    assert.equal(await agreed.get('space', 'k', 100), null);
    assert.equal(await agreed.get('other', 'k', 0), null);
    for (const value of [null, false, 0, '', [], 'x'.repeat(60_000)]) {
      await agreed.put('values', { key: 'v', value, untilUs: 9, expected: null }, 0);
      assert.deepEqual((await agreed.get('values', 'v', 0))?.value, value);
      assert.equal(await agreed.remove('values', 'v'), true);
    }
  });

  check('a value is replaced at its version only, and no version comes again', async (agreed) => {
    const first = await put(agreed, 'k', null);
    assert.ok(first !== null);
    assert.equal(await put(agreed, 'k', null), null);
    assert.equal(await put(agreed, 'k', first + 1), null);
    const second = await put(agreed, 'k', first, { untilUs: 50 });
    assert.ok(second !== null);
    assert.equal(await put(agreed, 'k', first), null);
    assert.equal(await put(agreed, 'k', second, { nowUs: 50 }), null, 'it has ended');
    const third = await put(agreed, 'k', null, { nowUs: 50 });
    assert.ok(third !== null);
    assert.equal(await agreed.remove('space', 'k', second), false);
    assert.equal(await agreed.remove('space', 'k', third), true);
    assert.equal(await agreed.remove('space', 'k', third), false);
    assert.equal(await agreed.remove('space', 'k'), false);
    const fourth = await put(agreed, 'k', null);
    assert.ok(fourth !== null);
    assert.equal(new Set([first, second, third, fourth]).size, 4);
    assert.equal(await put(agreed, 'none', 1), null);
  });

  check('of ten who write at once one does, first and later', async (agreed) => {
    const first = (await Promise.all(ten.map(() => put(agreed, 'k', null)))).filter((version) => version !== null);
    assert.equal(first.length, 1);
    const second = await Promise.all(ten.map(() => put(agreed, 'k', first[0]!)));
    assert.equal(second.filter((version) => version !== null).length, 1);
    const taken = await Promise.all(ten.map(() => agreed.remove('space', 'k')));
    assert.equal(taken.filter(Boolean).length, 1);
    const again = await Promise.all(ten.map(() => put(agreed, 'k', null, { nowUs: 10, untilUs: 20 })));
    assert.equal(again.filter((version) => version !== null).length, 1);
    const behind = await Promise.all(ten.map(() => put(agreed, 'k', null, { nowUs: 20 })));
    assert.equal(behind.filter((version) => version !== null).length, 1, 'it had ended');
  });

  check('a space is counted, listed by key in pages, and swept', async (agreed) => {
    const keys = ['B', 'a', 'a/1', 'a0', 'b', '~'];
    for (const key of [...keys].reverse()) await put(agreed, key, null);
    await put(agreed, 'ended', null, { untilUs: 5 });
    await agreed.put('space2', { key: 'a', value: 1, untilUs: 100, expected: null }, 0);
    assert.equal(await agreed.count('space', 5), keys.length);
    assert.equal(await agreed.count('space', 4), keys.length + 1);
    assert.equal(await agreed.count('nothing', 0), 0);
    const listed: string[] = [];
    for (let after = ''; ; after = listed.at(-1)!) {
      const page = await agreed.list('space', { after, limit: 4 }, 5);
      listed.push(...page.map(({ key }) => key));
      if (page.length < 4) break;
    }
    assert.deepEqual(listed, keys);
    assert.deepEqual((await agreed.list('space2', { after: '', limit: 1000 }, 0))[0]?.value, 1);
    assert.equal(await agreed.sweep(5), 1);
    assert.equal(await agreed.sweep(5), 0);
    assert.equal(await agreed.count('space', 0), keys.length);
    assert.equal(await agreed.sweep(100), keys.length + 1);
    assert.equal(await agreed.count('space', 0), 0);
  });

  check('a lease has one owner until it ends, and its epoch grows with each and never repeats', async (agreed) => {
    assert.equal(await agreed.owner('lease', 0), null);
    const first = await agreed.acquire('lease', 'a', 100, 1);
    assert.ok(first.acquired && first.lease.epoch >= 1);
    assert.deepEqual(first.lease, { owner: 'a', epoch: first.lease.epoch, expiresUs: 100 });
    assert.deepEqual(await agreed.acquire('lease', 'b', 200, 99), { acquired: false, lease: first.lease });
    const extended = await agreed.acquire('lease', 'a', 150, 99);
    assert.deepEqual(extended, { acquired: true, lease: { ...first.lease, expiresUs: 150 } });
    assert.deepEqual(await agreed.owner('lease', 149), extended.lease);
    assert.equal(await agreed.owner('lease', 150), null);
    assert.ok((await agreed.acquire('other', 'b', 300, 149)).acquired);
    const epochs = [first.lease.epoch];
    const taken = await agreed.acquire('lease', 'b', 300, 150);
    assert.ok(taken.acquired);
    epochs.push(taken.lease.epoch);
    await agreed.release('lease', 'a');
    assert.equal((await agreed.acquire('lease', 'a', 400, 160)).acquired, false, 'only the owner lets go');
    await agreed.release('lease', 'b');
    assert.equal(await agreed.owner('lease', 161), null);
    epochs.push((await agreed.acquire('lease', 'c', 400, 161)).lease.epoch);
    await agreed.release('lease', 'c');
    const dayUs = 86_400_000_000;
    await agreed.sweep(400 + 400 * dayUs);
    epochs.push((await agreed.acquire('lease', 'a', 402 * dayUs, 401 * dayUs)).lease.epoch);
    assert.deepEqual(
      epochs,
      [...new Set(epochs)].sort((a, b) => a - b),
    );
    await agreed.release('nothing', 'a');
  });

  check('of ten who want a lease one has it, when nobody had it and when it ended', async (agreed) => {
    for (const nowUs of [0, 100]) {
      const asked = await Promise.all(ten.map((who) => agreed.acquire('lease', `${nowUs} ${who}`, nowUs + 100, nowUs)));
      const [winner, ...others] = asked.filter(({ acquired }) => acquired);
      assert.equal(others.length, 0);
      for (const { lease } of asked) assert.deepEqual(lease, winner?.lease);
    }
  });

  check('names and values are bounded', async (agreed) => {
    const long = 'k'.repeat(200);
    assert.ok(
      (await agreed.put(long, { key: long, value: 'x'.repeat(65_534), untilUs: 9, expected: null }, 0)) !== null,
    );
    assert.equal((await agreed.list(long, { after: '', limit: 1 }, 0)).length, 1);
    assert.ok((await agreed.acquire(long, long, 9, 0)).acquired);
    for (const bad of ['', `${long}k`, 'a\u0000', 'ü', 'a\nb']) {
      await assert.rejects(agreed.get('space', bad, 0), isInvalid);
      await assert.rejects(agreed.get(bad, 'k', 0), isInvalid);
      await assert.rejects(put(agreed, bad, null), isInvalid);
      await assert.rejects(agreed.remove('space', bad), isInvalid);
      await assert.rejects(agreed.count(bad, 0), isInvalid);
      await assert.rejects(agreed.list(bad, { after: '', limit: 1 }, 0), isInvalid);
      await assert.rejects(agreed.acquire(bad, 'a', 1, 0), isInvalid);
      await assert.rejects(agreed.acquire('lease', bad, 1, 0), isInvalid);
      await assert.rejects(agreed.owner(bad, 0), isInvalid);
      await assert.rejects(agreed.release(bad, 'a'), isInvalid);
    }
    for (const value of [undefined, 'x'.repeat(65_535), 'ü'.repeat(32_768)])
      await assert.rejects(agreed.put('space', { key: 'k', value, untilUs: 9, expected: null }, 0), isInvalid);
    for (const limit of [0, -1, 1.5, Number.NaN, 1001])
      await assert.rejects(agreed.list('space', { after: '', limit }, 0), isInvalid);
  });
}
