/** Facts two rooms need that may not see each other, and what the relay's hot path writes beside its owner's own writer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unreplayable } from '@lucid-sessions/contract';
import { type FrameKind, FrameWriter, frameFlags, readFrames } from '@lucid-sessions/recording';
import { unreplayable as relayed } from '@lucid-sessions/relay';
import fc from 'fast-check';
import { BatchPool, createBatchMemory } from '../src/spool/batch-pool.ts';
import { FrameBatch } from '../src/spool/frame-batch.ts';

test('the relay and the contract name the same things that replay can not show', () => {
  assert.deepEqual([...relayed], [...unreplayable]);
});

const frame = fc.record({
  kind: fc.constantFrom<FrameKind>(0, 1),
  flags: fc.integer({ min: 0, max: 0x7f }),
  channelId: fc.integer({ min: 0, max: 0xffff }),
  timeUs: fc.maxSafeNat(),
  body: fc.uint8Array({ maxLength: 60 }),
  /** As a PDU that comes in two pieces. */
  inPieces: fc.boolean(),
});

test('frames in a batch are the bytes a writer of frames makes, whole or in pieces', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 12 }), (frames) => {
      const pool = new BatchPool(createBatchMemory(1, 4096));
      const batches: Uint8Array[] = [];
      const batch = new FrameBatch(
        pool,
        0,
        () => {},
        ({ slot, bytes }) => batches.push(pool.slots[slot]!.slice(0, bytes)),
      );
      const writer = new FrameWriter();
      for (const { kind, flags, channelId, timeUs, body, inPieces } of frames) {
        if (inPieces && body.length > 0) {
          const direction = (flags & frameFlags.serverToClient) === 0 ? 0 : 1;
          batch.begin(flags, channelId, body.length, timeUs);
          batch.fill(direction, body.subarray(0, body.length >> 1));
          batch.fill(direction, body.subarray(body.length >> 1));
          writer.append(0, flags, channelId, timeUs, body);
        } else {
          batch.frame(kind, flags, channelId, body, timeUs);
          writer.append(kind, flags, channelId, timeUs, body);
        }
      }
      batch.flush(0);
      assert.deepEqual(batches, [new Uint8Array(writer.bytes())]);
      assert.equal([...readFrames(batches[0]!)].length, frames.length);
    }),
  );
});
