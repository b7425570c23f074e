import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteRanges } from '../src/session-index/byte-ranges.ts';
import { Transfer, TransferBudget } from '../src/session-index/transfer.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const noise = Uint8Array.from({ length: 3_100_000 }, (_, i) => (i * 31 + (i >> 8) * 7) & 255);
const pattern = (length: number, seed: number): Uint8Array => noise.slice(seed * 1000, seed * 1000 + length);

/** Pieces of a file of ten blocks; a large block leaves hardly any of it waiting. */
const pieces = fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 5 }), fc.boolean()), {
  minLength: 5,
  maxLength: 40,
});
const block = fc.constantFrom(1, 7, 7, 7, 60_000);
const allPieces = Array.from({ length: 10 }, (_, at): [number, number, boolean] => [at, 1, false]);
/** Half of them have every block in the end; what a run covers by luck is too little to count on. */
const wholeOrNot = fc.tuple(pieces, fc.boolean()).map(([parts, all]) => (all ? [...parts, ...allPieces] : parts));

function passOn(transfer: Transfer, budget: TransferBudget, putAside: boolean): Transfer {
  return putAside ? Transfer.from(transfer.snapshot(), budget) : transfer;
}

test('a file that was read: each byte counted once, and its hash or none', () => {
  let whole = 0;
  fc.assert(
    fc.property(wholeOrNot, block, fc.nat(9), (parts, size, changes) => {
      const budget = new TransferBudget();
      const file = pattern(10 * size, 1);
      const seen = new Set<number>();
      let changed = false;
      let transfer = new Transfer(1, 0, false, budget);
      parts.forEach(([from, count, putAside], i) => {
        transfer = passOn(transfer, budget, putAside);
        const bytes = file.slice(from * size, (from + count) * size);
        // Somebody changed a byte of it between two reads.
        if (i === 5 + changes && seen.has(from)) {
          bytes[0]! ^= 1;
          changed = true;
        }
        transfer.add(from * size, bytes);
        for (let at = from; at < Math.min(10, from + count); at += 1) seen.add(at);
      });
      const { bytes, sha256: hash } = transfer.end(file.length);
      assert.equal(bytes, seen.size * size);
      if (seen.size < 10 || changed) assert.equal(hash, null);
      else if (hash !== null || size < 1000) assert.equal(hash, sha256(file));
      if (hash !== null) whole += 1;
    }),
    { numRuns: 120 },
  );
  assert.ok(whole > 10, `${whole} were whole`);
});

test('a file that was written: what is in it at the end, or nothing', () => {
  let whole = 0;
  fc.assert(
    fc.property(wholeOrNot, block, fc.option(fc.nat(10)), (parts, size, cutTo) => {
      const budget = new TransferBudget();
      let file = new Uint8Array(0);
      let covered = new Set<number>();
      let transfer = new Transfer(1, 0, true, budget);
      parts.forEach(([from, count, putAside], i) => {
        transfer = passOn(transfer, budget, putAside);
        if (cutTo !== null && i === 20) {
          transfer.resized(cutTo * size);
          const cut = new Uint8Array(cutTo * size);
          cut.set(file.subarray(0, cut.length));
          file = cut;
          covered = new Set([...covered].filter((at) => at < cutTo));
        }
        const bytes = pattern(count * size, i + 2);
        const longer = new Uint8Array(Math.max(file.length, from * size + bytes.length));
        longer.set(file);
        longer.set(bytes, from * size);
        file = longer;
        transfer.add(from * size, bytes);
        for (let at = from; at < from + count; at += 1) covered.add(at);
      });
      const { bytes, sha256: hash } = transfer.end(file.length);
      assert.equal(bytes, covered.size * size);
      if (covered.size * size < file.length) assert.equal(hash, null);
      else if (hash !== null || size < 1000) assert.equal(hash, sha256(file));
      if (hash !== null && file.length > 0) whole += 1;
    }),
    { numRuns: 120 },
  );
  assert.ok(whole > 10, `${whole} were whole`);
});

test('in order, files of any length have a hash, also where no memory is left to wait in', () => {
  const budget = new TransferBudget();
  const others = Array.from({ length: 40 }, (_, i) => new Transfer(i, 0, true, budget));
  for (const other of others) other.add(0, pattern(600_000, 0));
  const transfer = new Transfer(99, 0, true, budget);
  const file = pattern(3_000_000, 5);
  for (let at = 0; at < file.length; at += 65_537) transfer.add(at, file.subarray(at, at + 65_537));
  assert.equal(transfer.end(file.length).sha256, sha256(file));
  for (const other of others) assert.equal(other.end(600_000).sha256, sha256(pattern(600_000, 0)));
  assert.equal(budget.held, 0);
});

test('what is not known is not told', () => {
  const make = (): Transfer => {
    const transfer = new Transfer(1, 0, true, new TransferBudget());
    transfer.add(0, pattern(10, 1));
    return transfer;
  };
  assert.deepEqual(make().end(null), { offset: 0, bytes: 10, sha256: null });
  assert.deepEqual(make().end(11), { offset: 0, bytes: 10, sha256: null });
  assert.deepEqual(make().end(9), { offset: 0, bytes: 10, sha256: null });
  const unseen = make();
  unseen.addUnseen(5, 10);
  assert.deepEqual(unseen.end(15), { offset: 0, bytes: 15, sha256: null });
  const unplaced = make();
  unplaced.addUnplaced(5);
  assert.deepEqual(unplaced.end(15), { offset: 0, bytes: 15, sha256: null });
  const scattered = make();
  for (let i = 1; i < 2000; i += 1) scattered.add(20 * i, pattern(10, i));
  assert.deepEqual(scattered.end(39_990), { offset: 0, bytes: null, sha256: null });
});

test('ranges are those of a set of numbers', () => {
  const range = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 8 }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), fc.option(fc.nat(60)), (list, cut) => {
      let ranges = new ByteRanges();
      let set = new Set<number>();
      for (const [start, length] of list) {
        ranges.add(start, start + length);
        ranges = ByteRanges.from(ranges.snapshot());
        for (let at = start; at < start + length; at += 1) set.add(at);
      }
      if (cut !== null) {
        ranges.cut(cut);
        set = new Set([...set].filter((at) => at < cut));
      }
      assert.equal(ranges.total, set.size);
      assert.equal(ranges.first, set.size === 0 ? 0 : Math.min(...set));
      assert.equal(ranges.end, set.size === 0 ? 0 : Math.max(...set) + 1);
      for (let at = 0; at < 70; at += 1) {
        let end = at;
        while (set.has(end)) end += 1;
        assert.equal(ranges.endFrom(at), end);
        assert.equal(ranges.isAll(at), set.size === at && (at === 0 || Math.max(...set) === at - 1));
      }
    }),
  );
});
