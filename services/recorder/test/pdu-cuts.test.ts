/** Messages of a browser's stream: every byte in order, never of two PDUs, whatever pieces the target's bytes come in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PduCuts } from '../src/doors/pdu-cuts.ts';

const tpkt = fc.uint8Array({ minLength: 3, maxLength: 300 }).map((body) => {
  const length = body.length + 4;
  return Uint8Array.of(3, 0, length >> 8, length & 0xff, ...body);
});
const fastPath = fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 300 })).map(([isLong, body]) => {
  const length = body.length + 2;
  if (!isLong && length < 0x80) return Uint8Array.of(0, length, ...body);
  return Uint8Array.of(0, 0x80 | ((length + 1) >> 8), (length + 1) & 0xff, ...body);
});

test('no message holds bytes of two PDUs, and none is lost', () => {
  const streams = fc.tuple(tpkt, fc.array(fc.oneof(tpkt, fastPath), { maxLength: 20 }));
  fc.assert(
    fc.property(streams, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), ([first, more], sizes) => {
      const pdus = [first, ...more];
      const all = Buffer.concat(pdus);
      // Which PDU each byte is of.
      const owners = pdus.flatMap((pdu, index) => Array.from(pdu, () => index));
      const cuts = new PduCuts();
      const pieces: Uint8Array[] = [];
      for (let at = 0, turn = 0; at < all.length; turn += 1) {
        const end = at + sizes[turn % sizes.length]!;
        pieces.push(...cuts.cut(all.subarray(at, end)));
        at = end;
      }
      assert.deepEqual(Buffer.concat(pieces), all);
      let at = 0;
      for (const piece of pieces) {
        assert.ok(piece.length > 0);
        assert.equal(owners[at], owners[at + piece.length - 1]);
        at += piece.length;
      }
    }),
  );
});

test('what comes before the first PDU stays as it is: RDCleanPath, CredSSP and its result', () => {
  const cuts = new PduCuts();
  for (const bytes of [Buffer.from('30038001', 'hex'), Buffer.from('300630043002300000000000', 'hex'), Buffer.alloc(4)])
    assert.deepEqual(cuts.cut(bytes), [bytes]);
  const two = Buffer.from('0300000702f0800300000702f080', 'hex');
  assert.deepEqual(cuts.cut(two), [two.subarray(0, 7), two.subarray(7)]);
});

test('what is no PDU any more is passed on whole', () => {
  const cuts = new PduCuts();
  const bytes = Buffer.from('0300000702f08001ff0203', 'hex');
  assert.deepEqual(cuts.cut(bytes), [bytes.subarray(0, 7), bytes.subarray(7)]);
  assert.deepEqual(cuts.cut(bytes), [bytes]);
});
