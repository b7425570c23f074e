import { DecodeError } from '@lucid-sessions/wire';
import { portableDecompressor } from '../compression.ts';
import { checkedEvent, type IndexEvent } from './events.ts';

export const INDEX_VERSION = 3;
export const EVENTS_PER_SEGMENT_MAX = 20_000;
export const SECONDS_PER_SEGMENT_MAX = 4096;
/** A segment unpacked: JSON lines. */
export const SEGMENT_BYTES_MAX = 32 << 20;
/** All segments of a session, unpacked. */
export const WHOLE_BYTES_MAX = 4 * SEGMENT_BYTES_MAX;

/** What went over in one second of the session. */
export interface ActivitySecond {
  second: number;
  serverBytes: number;
  clientBytes: number;
  updates: number;
  inputs: number;
}

/** The index of one chunk. */
export interface IndexSegment {
  chunkIndex: number;
  /** Of the session's last chunk. */
  last: boolean;
  /** Time of the last frame seen. */
  untilUs: number;
  /** Events above what a segment may hold. */
  dropped: number;
  activity: ActivitySecond[];
  /** In order of time. What began in an earlier chunk and ended in this one stands here, at its beginning. */
  events: IndexEvent[];
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

async function packed(text: string): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** JSON lines: a head, the activity in columns, then one line per event. */
function textOf(segment: IndexSegment): string {
  const { activity, events, ...head } = segment;
  const rows = activity.map((row) => [row.second, row.serverBytes, row.clientBytes, row.updates, row.inputs]);
  const lines = [{ v: INDEX_VERSION, ...head, events: events.length }, rows, ...events];
  return lines.map((line) => JSON.stringify(line)).join('\n');
}

/** gzip of a segment's lines. */
export const encodeIndexSegment = (segment: IndexSegment): Promise<Uint8Array> => packed(textOf(segment));

/** Reads a segment. Throws `DecodeError`; bounds are held before memory is spent. */
export async function decodeIndexSegment(bytes: Uint8Array): Promise<IndexSegment> {
  return segmentOf(fromUtf8(await portableDecompressor.decompress('gzip', bytes, SEGMENT_BYTES_MAX)));
}

/** All segments of a session in one, an empty line between them; null where that is too much. Reading a thousand takes a second, this a moment. */
export async function encodeWholeIndex(segments: readonly IndexSegment[]): Promise<Uint8Array | null> {
  const text = segments.map(textOf).join('\n\n');
  return text.length <= SEGMENT_BYTES_MAX ? packed(text) : null;
}

/** Throws `DecodeError`. */
export async function decodeWholeIndex(bytes: Uint8Array): Promise<IndexSegment[]> {
  return segmentsOfText(fromUtf8(await portableDecompressor.decompress('gzip', bytes, WHOLE_BYTES_MAX)));
}

/** Segments as they are before they are packed, an empty line between them. Throws `DecodeError`. */
export const segmentsOfText = (text: string): IndexSegment[] => text.split('\n\n').map(segmentOf);

/** Which chunk a segment is of, without its events being read. Throws `DecodeError`. */
export function segmentHeadOf(text: string): Pick<IndexSegment, 'chunkIndex' | 'last'> {
  const end = text.indexOf('\n');
  const { chunkIndex, last } = headOf(linesOf(end < 0 ? text : text.slice(0, end))[0]);
  return { chunkIndex, last };
}

interface SegmentHead extends Omit<IndexSegment, 'activity' | 'events'> {
  events: number;
}

function headOf(head: unknown): SegmentHead {
  if (typeof head !== 'object' || head === null) throw new DecodeError('invalid', 'an index segment has no head');
  const { v, chunkIndex, last, untilUs, dropped, events, ...more } = head as Record<string, unknown>;
  if (v !== INDEX_VERSION) throw new DecodeError('unsupported', `index version ${INDEX_VERSION} is what is read here`);
  const complete =
    isCount(chunkIndex) && typeof last === 'boolean' && isCount(untilUs) && isCount(dropped) && isCount(events);
  if (!complete || Object.keys(more).length > 0 || events > EVENTS_PER_SEGMENT_MAX)
    throw new DecodeError('invalid', 'the head of an index segment is not what it must be');
  return { chunkIndex, last, untilUs, dropped, events };
}

function segmentOf(text: string): IndexSegment {
  const lines = linesOf(text);
  const { events, ...head } = headOf(lines[0]);
  if (events !== lines.length - 2)
    throw new DecodeError('invalid', 'an index segment does not hold the events it says');
  return {
    ...head,
    activity: activityOf(lines[1]),
    events: lines.slice(2).map(checkedEvent),
  };
}

function fromUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.slice());
  } catch {
    throw new DecodeError('invalid', 'an index segment is not in UTF-8');
  }
}

function linesOf(text: string): unknown[] {
  try {
    return text.split('\n', EVENTS_PER_SEGMENT_MAX + 3).map((line) => JSON.parse(line) as unknown);
  } catch {
    throw new DecodeError('invalid', 'an index segment is not lines of JSON');
  }
}

function activityOf(rows: unknown): ActivitySecond[] {
  const valid =
    Array.isArray(rows) &&
    rows.length <= SECONDS_PER_SEGMENT_MAX &&
    rows.every((row) => Array.isArray(row) && row.length === 5 && row.every(isCount));
  if (!valid) throw new DecodeError('invalid', 'the activity of an index segment is not what it must be');
  return (rows as [number, number, number, number, number][]).map(
    ([second, serverBytes, clientBytes, updates, inputs]) => ({ second, serverBytes, clientBytes, updates, inputs }),
  );
}
