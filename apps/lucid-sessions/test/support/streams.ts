import assert from 'node:assert/strict';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';

export type Direction = 'client_to_server' | 'server_to_client';
/** Which end of the gateway: as the sender sent it, or as the receiver got it. */
export type End = 'sender' | 'receiver';

const has = (frame: Frame, flag: number): boolean => (frame.flags & flag) !== 0;

function framesOf(frames: readonly Frame[], direction: Direction, end: End): Frame[] {
  const otherEnd = end === 'receiver' ? frameFlags.receivedOnly : frameFlags.deliveredOnly;
  return frames.filter(
    (frame) =>
      frame.kind === frameKinds.pdu &&
      has(frame, frameFlags.serverToClient) === (direction === 'server_to_client') &&
      !has(frame, otherEnd),
  );
}

/**
 * Asserts that the frames of one direction, end to end, are `seen` byte for byte; in frames marked as blanked a zero may
 * stand for any byte. Answers how many bytes were blanked.
 */
export function assertSameStream(
  frames: readonly Frame[],
  direction: Direction,
  end: End,
  seen: Buffer,
  /** What the wire may hold behind the recording: on its way to a gateway whose other side was gone already. */
  tailBytesMax = 0,
): { bytes: number; blankedBytes: number } {
  let at = 0;
  let blankedBytes = 0;
  for (const frame of framesOf(frames, direction, end)) {
    const wire = seen.subarray(at, at + frame.body.length);
    if (has(frame, frameFlags.blanked)) {
      assert.equal(wire.length, frame.body.length, `${direction}: a blanked frame keeps its length`);
      for (let i = 0; i < wire.length; i += 1) {
        if (frame.body[i] === wire[i]) continue;
        assert.equal(frame.body[i], 0, `${direction}: byte ${at + i} is neither the wire's nor blank`);
        blankedBytes += 1;
      }
    } else if (Buffer.compare(wire, frame.body) !== 0)
      assert.fail(`${direction} as the ${end} saw it: the frame at byte ${at} is not what crossed the wire`);
    at += frame.body.length;
  }
  assert.ok(
    at <= seen.length && seen.length - at <= tailBytesMax,
    `${direction} as the ${end} saw it: the recording has ${at} bytes, the wire ${seen.length}`,
  );
  return { bytes: at, blankedBytes };
}
