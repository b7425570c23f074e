import { type CompactState, expandedState, type SessionSnapshot } from '@lucid-sessions/graphics';
import { DecodeError } from '@lucid-sessions/wire';
import { packDelta, unpackDelta } from './pack-delta.ts';
import { deflate, inflate, STATE_BYTES_MAX, unpackState } from './pack-state.ts';

/**
 * A decoder's state at one place of a recording, so that decoding can begin there. Encoded as a difference from another keyframe's state (its base)
 * where that is shorter. 40-byte head, then deflate of the delta:
 * `u8 version 3, u8 0, u16 0, u32 number, u32 base number (0: none), u32 checksum of the base's own bytes, u32 chunk index, u32 frame index,
 * u64 time µs, u64 0`.
 */
const VERSION = 3;
const HEAD_BYTES = 40;
export const KEYFRAMES_MAX = 100_000;

export interface KeyframePlace {
  /** The next frame to decode. */
  chunkIndex: number;
  frameIndex: number;
  /** Time of the last frame decoded, µs since the session's start. */
  timeUs: number;
}

export interface KeyframeHead extends KeyframePlace {
  /** From 1. */
  number: number;
  /** Number of its base; 0 for none. */
  base: number;
}

/** A packed state that is the base of others. */
export interface KeyframeBase {
  number: number;
  packed: Uint8Array;
  /** Of the keyframe that holds it. */
  checksum: number;
}

/** Name of the sidecar. */
export const keyframeName = (number: number): string => `keyframe-${String(number).padStart(6, '0')}`;

const nothing = new Uint8Array(0);

/** FNV-1a over a keyframe's bytes: it distinguishes one that was made again. */
function keyframeChecksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i += 1) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

export async function encodeKeyframe(
  { number, chunkIndex, frameIndex, timeUs }: Omit<KeyframeHead, 'base'>,
  packed: Uint8Array,
  base: KeyframeBase | null,
): Promise<Uint8Array> {
  const body = await deflate(packDelta(packed, base?.packed ?? nothing));
  const bytes = new Uint8Array(HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint32(4, number);
  view.setUint32(8, base?.number ?? 0);
  view.setUint32(12, base?.checksum ?? 0);
  view.setUint32(16, chunkIndex);
  view.setUint32(20, frameIndex);
  view.setBigUint64(24, BigInt(timeUs));
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

/** Throws `DecodeError`. */
export function keyframeHead(bytes: Uint8Array): KeyframeHead {
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION)
    throw new DecodeError('unsupported', `keyframe version ${VERSION} is what is read here`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    number: view.getUint32(4),
    base: view.getUint32(8),
    chunkIndex: view.getUint32(16),
    frameIndex: view.getUint32(20),
    timeUs: Number(view.getBigUint64(24)),
  };
}

/** What a keyframe says: where it stands, and its state as it is packed, which may be the base of others. */
export interface OpenedKeyframe extends KeyframeHead, KeyframeBase {}

/** What others are told from when they are told from this one. */
export const keyframeBase = (number: number, packed: Uint8Array, bytes: Uint8Array): KeyframeBase => ({
  number,
  packed,
  checksum: keyframeChecksum(bytes),
});

/** `base` is the one its head names. Throws `DecodeError`. */
export async function openKeyframe(bytes: Uint8Array, base: KeyframeBase | null): Promise<OpenedKeyframe> {
  const head = keyframeHead(bytes);
  const wanted = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(12);
  if (head.base !== (base?.number ?? 0) || (base !== null && base.checksum !== wanted))
    throw new DecodeError('invalid', 'the keyframe has another base than the one given');
  const delta = await inflate(bytes.subarray(HEAD_BYTES), STATE_BYTES_MAX);
  const packed = unpackDelta(delta, base?.packed ?? nothing);
  return { ...head, ...keyframeBase(head.number, packed, bytes) };
}

/** A chain of keyframes, each the base of the next; what is to be begun at is the last. Throws `DecodeError`. */
export async function openKeyframes(chain: readonly Uint8Array[]): Promise<OpenedKeyframe[]> {
  const opened: OpenedKeyframe[] = [];
  for (const bytes of chain) opened.push(await openKeyframe(bytes, opened.at(-1) ?? null));
  return opened;
}

/** The decoder's state to go on from. Throws `DecodeError`. */
export const keyframeState = ({ packed }: Pick<KeyframeBase, 'packed'>): SessionSnapshot =>
  expandedState(unpackState(packed) as CompactState);
