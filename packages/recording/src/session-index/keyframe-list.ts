import { DecodeError } from '@lucid-sessions/wire';
import type { ReplayTally } from '../replay/state.ts';
import { emptyTally } from '../replay/tally.ts';
import { KEYFRAMES_MAX, type KeyframeHead } from './keyframe.ts';
import { deflate, inflate } from './pack-state.ts';

const LIST_VERSION = 5;
const LIST_BYTES_MAX = 32 << 20;

export interface ListedKeyframe extends KeyframeHead {
  /** Of the stored sidecar. */
  bytes: number;
  /** Taken without the graphics channel's past: of no use once a later message refers to it. */
  lean: boolean;
}

/** Why a recording has no further keyframes. */
export type KeyframesEnd = 'h264' | 'chunk';

/** Which keyframes a recording has, and how far it was looked at. */
export interface KeyframeList {
  /** Chunks looked at. */
  covered: number;
  /** Bytes of those chunks' files, and of all keyframes ever written for them. */
  storedBytes: number;
  keyframeBytes: number;
  ended: KeyframesEnd | null;
  /** The graphics channel's past is needed: no keyframe is lean. */
  whole: boolean;
  /** What could be drawn of the chunks looked at. */
  replay: ReplayTally;
  /** In order of place. */
  keyframes: ListedKeyframe[];
}

export const emptyKeyframeList = (): KeyframeList => ({
  covered: 0,
  storedBytes: 0,
  keyframeBytes: 0,
  ended: null,
  whole: false,
  replay: emptyTally(),
  keyframes: [],
});

/** Deflated JSON: `[version, covered, storedBytes, keyframeBytes, ended, whole, rows, replay]`. */
export function encodeKeyframeList(list: KeyframeList): Promise<Uint8Array> {
  const rows = list.keyframes.map((key) => [
    key.number,
    key.base,
    key.chunkIndex,
    key.frameIndex,
    key.timeUs,
    key.bytes,
    key.lean ? 1 : 0,
  ]);
  const fields = [
    LIST_VERSION,
    list.covered,
    list.storedBytes,
    list.keyframeBytes,
    list.ended,
    list.whole,
    rows,
    list.replay,
  ];
  return deflate(new TextEncoder().encode(JSON.stringify(fields)));
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** A host's own sidecar, under its key: enough to find one of another shape. */
function isTally(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { chunks, untilUs, pictures, lit, notDrawn, sharePermille, oneColour, ended } = value;
  return (
    [chunks, untilUs, pictures, sharePermille].every(isCount) &&
    typeof lit === 'boolean' &&
    isRecord(oneColour) &&
    [oneColour.activeSeconds, oneColour.seconds].every(isCount) &&
    (oneColour.longest === null || isRecord(oneColour.longest)) &&
    (ended === null || isRecord(ended)) &&
    Array.isArray(notDrawn) &&
    notDrawn.every((kind) => isRecord(kind) && typeof kind.kind === 'string' && isCount(kind.count))
  );
}

/** Throws `DecodeError`. */
export async function decodeKeyframeList(bytes: Uint8Array): Promise<KeyframeList> {
  const fields = jsonOf(await inflate(bytes, LIST_BYTES_MAX));
  if (!Array.isArray(fields) || fields[0] !== LIST_VERSION)
    throw new DecodeError('unsupported', `keyframe list version ${LIST_VERSION} is what is read here`);
  const [, covered, storedBytes, keyframeBytes, ended, whole, rows, replay] = fields as unknown[];
  const valid =
    isCount(covered) &&
    isCount(storedBytes) &&
    isCount(keyframeBytes) &&
    (ended === null || ended === 'h264' || ended === 'chunk') &&
    typeof whole === 'boolean' &&
    Array.isArray(rows) &&
    rows.length <= KEYFRAMES_MAX &&
    rows.every((row) => Array.isArray(row) && row.length === 7 && row.every(isCount)) &&
    isTally(replay);
  if (!valid) throw new DecodeError('invalid', 'a list of keyframes is not what it must be');
  const keyframes = (rows as [number, number, number, number, number, number, number][]).map(
    ([number, base, chunkIndex, frameIndex, timeUs, size, lean]) => ({
      number,
      base,
      chunkIndex,
      frameIndex,
      timeUs,
      bytes: size,
      lean: lean === 1,
    }),
  );
  return { covered, storedBytes, keyframeBytes, ended, whole, replay: replay as ReplayTally, keyframes };
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes.slice())) as unknown;
  } catch {
    throw new DecodeError('invalid', 'a list of keyframes is no JSON');
  }
}
