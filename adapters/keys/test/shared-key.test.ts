/** A key shared among holders: enough of them open it, fewer learn nothing, and what is wrong is told. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import type { KeyWrap } from '@lucid-sessions/contract';
import {
  combineShares,
  formatShare,
  type KeyShare,
  MemoryKeyShares,
  makeAgeIdentity,
  openShares,
  parseShare,
  ShareWrapper,
  sharedWrapOf,
  unwrapDek,
} from '@lucid-sessions/keys';
import fc from 'fast-check';

const keyId = '00112233445566778899aabbccddeeff';
const holders: { identity: string; recipient: string }[] = [];
before(async () => {
  for (let n = 0; n < 16; n++) holders.push(await makeAgeIdentity());
});

const newKey = (): Uint8Array => new Uint8Array(randomBytes(32));

async function shareOut(key: Uint8Array, count: number, threshold: number, id = keyId) {
  const recipients = holders.slice(0, count).map(({ recipient }) => recipient);
  const wrap = await new ShareWrapper(recipients, threshold).wrap(key, id);
  const shared = sharedWrapOf([wrap])!;
  const opened = await openShares(
    shared,
    holders.slice(0, count).map(({ identity }) => identity),
  );
  return { wrap, shared, texts: opened, shares: opened.map(parseShare) };
}

const sizes = fc
  .integer({ min: 2, max: 16 })
  .chain((count) => fc.tuple(fc.constant(count), fc.integer({ min: 2, max: count })));

test('any M of N give the key, whichever they are and in whatever order; M - 1 and fewer are refused', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.infiniteStream(fc.nat()), async ([count, threshold], picks) => {
      const key = newKey();
      const { shared, shares } = await shareOut(key, count, threshold);
      const order = shares.map((share) => ({ share, at: picks.next().value as number })).sort((a, b) => a.at - b.at);
      const shuffled = order.map(({ share }) => share);
      for (const enough of [shuffled.slice(0, threshold), shuffled])
        assert.deepEqual(await combineShares(shared, enough), key);
      for (let fewer = 0; fewer < threshold; fewer++)
        await assert.rejects(combineShares(shared, shuffled.slice(0, fewer)), { code: 'too_few' });
    }),
    { numRuns: 40 },
  );
});

test('two of three holders: one share is as likely with any other key', async () => {
  // Of the first byte of one share, for two keys that differ in every bit: neither tells them apart.
  const rounds = 4096;
  const [zeros, ones] = [new Uint8Array(32), new Uint8Array(32).fill(255)];
  const [low, high] = [new Array<number>(16).fill(0), new Array<number>(16).fill(0)];
  const { split } = await import('shamir-secret-sharing');
  for (let n = 0; n < rounds; n++) {
    low[(await split(zeros, 3, 2))[0]![0]! >> 4]! += 1;
    high[(await split(ones, 3, 2))[0]![0]! >> 4]! += 1;
  }
  // Chi-squared of 15 degrees of freedom: above 60 once in two million.
  const chi = (counts: number[]) => counts.reduce((sum, count) => sum + (count - rounds / 16) ** 2 / (rounds / 16), 0);
  assert.ok(chi(low) < 60 && chi(high) < 60, `${chi(low)} ${chi(high)}`);
});

test('fewer shares leave every key possible: for each there is a share that would complete them', async () => {
  // GF(2^8): with M - 1 = 1 share at x1, a made-up share at x2 leads to any first byte that is wanted.
  const { combine, split } = await import('shamir-secret-sharing');
  const [share] = await split(newKey(), 3, 2);
  const reached = new Set<number>();
  const other = new Uint8Array(33);
  other[32] = share![32] === 1 ? 2 : 1;
  for (let byte = 0; byte < 256; byte++) {
    other[0] = byte;
    reached.add((await combine([share!, other]))[0]!);
  }
  assert.equal(reached.size, 256);
});

test('wrong, changed, repeated, foreign and older shares are told apart, and give nothing', async () => {
  const key = newKey();
  const { shared, shares, texts } = await shareOut(key, 5, 3);
  const again = await shareOut(key, 5, 3);
  const foreign = await shareOut(newKey(), 5, 3, 'ff'.repeat(16));
  const [a, b, c] = shares as [KeyShare, KeyShare, KeyShare];
  const changed = { ...c, bytes: c.bytes.map((byte, at) => (at === 7 ? byte ^ 1 : byte)) };
  const cases: [readonly KeyShare[], string][] = [
    [[a, b, b], 'repeated'],
    [[a, b, changed], 'wrong'],
    [[a, b, { ...c, index: 4 }], 'wrong'],
    [[a, b, { ...c, index: 9 }], 'wrong'],
    [[a, b, { ...c, index: 0 }], 'wrong'],
    [[a, b, again.shares[2]!], 'other_set'],
    [[a, b, foreign.shares[2]!], 'other_recording'],
    [[a, b], 'too_few'],
  ];
  for (const [given, code] of cases) await assert.rejects(combineShares(shared, given), { code });
  assert.deepEqual(
    await combineShares(again.shared, again.shares.slice(2)),
    key,
    'shared anew it opens by the new ones',
  );
  assert.deepEqual(parseShare(` ${texts[0]}\n`), a);
  for (const text of ['', 'lucid-share-1-', `${texts[0]}A`, texts[0]!.slice(0, -1), texts[0]!.replace('1', '2')])
    assert.throws(() => parseShare(text), { code: 'malformed' });
  fc.assert(
    fc.property(fc.nat(92), fc.constantFrom(...'AbZ09-_'), (at, letter) => {
      const text = texts[0]!;
      const spot = 'lucid-share-1-'.length + at;
      if (text[spot] === letter) return;
      const typed = text.slice(0, spot) + letter + text.slice(spot + 1);
      // The last letter has bits that mean nothing.
      if (
        formatShare(a) === typed ||
        Buffer.from(typed.slice(14), 'base64url').equals(Buffer.from(text.slice(14), 'base64url'))
      )
        return;
      assert.throws(() => parseShare(typed), { code: 'mistyped' });
    }),
  );
});

test('a key is shared among 2 to 16 different holders, and by no fewer than two', () => {
  const of = (count: number) => Array.from({ length: count }, (_, n) => holders[n % 16]!.recipient);
  for (const [list, threshold] of [
    [of(1), 1],
    [of(1), 2],
    [of(3), 1],
    [of(3), 4],
    [of(3), 2.5],
    [of(17), 2],
  ] as const)
    assert.throws(() => new ShareWrapper(list, threshold));
  assert.throws(() => new ShareWrapper([of(1)[0]!, of(1)[0]!], 2), /each named once/);
  assert.throws(() => new ShareWrapper([of(1)[0]!, 'age1nobody'], 2));
});

test('wraps that were changed are damaged, never half read', async () => {
  const { wrap } = await shareOut(newKey(), 3, 2);
  const body = JSON.parse(new TextDecoder().decode(wrap.wrapped));
  const as = (changes: object): KeyWrap => ({
    ...wrap,
    wrapped: new TextEncoder().encode(JSON.stringify({ ...body, ...changes })),
  });
  const wrong = [
    { v: 2 },
    { set: 'x' },
    { threshold: 1 },
    { threshold: 4 },
    { threshold: '2' },
    { holders: null },
    { key_sha256: 7 },
    { holders: [...body.holders].reverse() },
    { holders: [null, null, null] },
  ];
  for (const changes of wrong)
    assert.throws(() => sharedWrapOf([as(changes)]), { code: 'damaged' }, JSON.stringify(changes));
  assert.throws(() => sharedWrapOf([{ ...wrap, wrapped: wrap.wrapped.slice(0, -1) }]), { code: 'damaged' });
  assert.equal(sharedWrapOf([]), null);
});

test('one process holds a key for its grant alone, opens what is sealed to it and nobody else does', async () => {
  const key = newKey();
  const { wrap, texts } = await shareOut(key, 3, 2);
  let now = 1000;
  const [here, there] = [new MemoryKeyShares(() => now), new MemoryKeyShares(() => now)];
  const recipients = [await here.recipient()];
  const boxes = await Promise.all(texts.slice(0, 2).map((text) => here.seal(text, recipients)));
  const grant = { sessionId: 's', viewingId: 'v', untilUs: 2000 };
  assert.equal(await there.hold([wrap], boxes, grant), false);
  assert.equal(await here.hold([wrap], boxes.slice(1), grant), false, 'too few');
  assert.equal(await here.hold([wrap], [boxes[0]!, boxes[0]!], grant).catch(({ code }) => code), 'repeated');
  assert.equal(await unwrapDek([wrap], [here]), null);
  assert.equal(await here.hold([wrap], boxes, grant), true);
  assert.deepEqual(await unwrapDek([wrap], [here]), key);
  assert.deepEqual(await unwrapDek([wrap], [here]), key, 'what was handed out and wiped is not what is held');
  assert.equal(await unwrapDek([{ ...wrap, keyId: 'ff'.repeat(16) }], [here]), null, 'of no other recording');
  await here.prune(async () => true);
  assert.equal(here.holds('v'), true);
  now = 2000;
  assert.deepEqual([here.holds('v'), await unwrapDek([wrap], [here])], [false, null]);
  now = 1000;
  await here.hold([wrap], boxes, grant);
  await here.prune(async () => false);
  assert.equal(here.holds('v'), false, 'taken back');
  const read = await here.read([wrap], { box: boxes[0]! });
  assert.deepEqual(read, { index: 1, share: texts[0] });
  await assert.rejects(there.read([wrap], { box: boxes[0]! }), { code: 'LUCID_ERR_3002' });
  await assert.rejects(here.read([wrap], { share: 'lucid-share-1-x' }), { code: 'LUCID_ERR_3002' });
});
