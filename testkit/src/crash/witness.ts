/**
 * An independent witness of what the gateway had: a tap on either side of it keeps every byte and when it crossed. A byte
 * that came out of the gateway at one side was in it before; a byte that was sent to it at the other can't have been in it
 * earlier.
 */
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { startTap, type Tap } from '../tap.ts';

export interface Witness {
  /** Between client and gateway: clients connect here. */
  near: Tap;
  /** Between gateway and target: the session's target is here. */
  far: Tap;
  stop(): Promise<void>;
}

export async function startWitness(gatewayPort: number, targetPort: number): Promise<Witness> {
  const near = await startTap({ host: '127.0.0.1', port: gatewayPort });
  const far = await startTap({ host: '127.0.0.1', port: targetPort });
  return { near, far, stop: async () => void (await Promise.all([near.stop(), far.stop()])) };
}

export type Direction = 'clientToServer' | 'serverToClient';

export interface StreamLoss {
  direction: Direction;
  /** Bytes that came out of the gateway and that the recording does not have. */
  bytesLost: number;
  /** How long before the kill the first of them had come out; 0 when nothing is missing. */
  relayedLossMs: number;
  /** How long before the kill the first byte that is missing had been sent to the gateway: the most that can be missing. */
  sentLossMs: number;
}

/**
 * Compares the recording of the witness's `index`-th connection with what crossed. Throws when a byte differs, and when one
 * is missing that came out of the gateway `durableMs` or more before the kill. `killedMs` null: the recorder was not hit,
 * nothing may be missing at all.
 */
export function compareWithWitness(
  { near, far }: Witness,
  index: number,
  frames: readonly Frame[],
  killedMs: number | null,
  durableMs: number,
): StreamLoss[] {
  return [
    compareStream('clientToServer', { from: near, to: far }, index, frames, killedMs, durableMs),
    compareStream('serverToClient', { from: far, to: near }, index, frames, killedMs, durableMs),
  ];
}

function compareStream(
  direction: Direction,
  { from, to }: { from: Tap; to: Tap },
  index: number,
  frames: readonly Frame[],
  killedMs: number | null,
  durableMs: number,
): StreamLoss {
  const seen = to.connection(index)[direction];
  const kept = samePrefix(direction, frames, seen);
  const firstLostMs = to.crossedAtMs(index, direction, kept);
  const bytesLost = Math.max(0, seen.length - kept);
  if (bytesLost > 0 && killedMs === null)
    throw new Error(`${direction}: ${bytesLost} of ${seen.length} bytes are not in the recording`);
  const relayedLossMs = firstLostMs === null || killedMs === null ? 0 : Math.max(0, killedMs - firstLostMs);
  if (relayedLossMs > durableMs)
    throw new Error(
      `${direction}: a byte that was relayed ${relayedLossMs.toFixed(1)} ms before the kill is not in the recording`,
    );
  const sentMs = from.crossedAtMs(index, direction, lengthOf(frames, direction, frameFlags.deliveredOnly));
  const sentLossMs = sentMs === null || killedMs === null ? 0 : Math.max(0, killedMs - sentMs);
  return { direction, bytesLost, relayedLossMs, sentLossMs };
}

function* bodiesOf(frames: readonly Frame[], direction: Direction, without: number): Generator<Frame> {
  for (const frame of frames) {
    const fromServer = (frame.flags & frameFlags.serverToClient) !== 0;
    const other = (frame.flags & without) !== 0;
    if (frame.kind === frameKinds.pdu && fromServer === (direction === 'serverToClient') && !other) yield frame;
  }
}

function lengthOf(frames: readonly Frame[], direction: Direction, without: number): number {
  let length = 0;
  for (const { body } of bodiesOf(frames, direction, without)) length += body.length;
  return length;
}

/** Length of the recorded stream as its receiver got it. What crossed may be shorter: the kill came between. */
function samePrefix(direction: Direction, frames: readonly Frame[], seen: Buffer): number {
  let at = 0;
  for (const { body, flags } of bodiesOf(frames, direction, frameFlags.receivedOnly)) {
    const wire = seen.subarray(at, at + body.length);
    const same = (flags & frameFlags.blanked) === 0 ? Buffer.compare(wire, body.subarray(0, wire.length)) === 0 : true;
    const blanked = wire.every((byte, i) => body[i] === byte || body[i] === 0);
    if (!same || !blanked) throw new Error(`${direction}: the frame at byte ${at} is not what crossed the wire`);
    at += body.length;
  }
  return at;
}
