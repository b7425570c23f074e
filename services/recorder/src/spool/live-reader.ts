/** Reads frames of a session's segments from a frame number on, while the segment may still be written. */
import { frameBytesAt } from '@lucid-sessions/recording';
import { joinBytes } from '@lucid-sessions/wire';
import {
  openRecord,
  openSegmentHeader,
  readRecordHeader,
  recordBodyBytesMax,
  recordOverheadBytes,
  recordType,
  segmentHeaderBytes,
} from './segment-format.ts';
import type { SpoolDisk } from './spool-disk.ts';

/** Where in a segment a reader stands: before the record that begins with frame `frame`. */
export interface SegmentPlace {
  path: string;
  at: number;
  sequence: number;
  frame: number;
}

export interface LiveRead {
  firstFrame: number;
  framesCount: number;
  frames: Uint8Array<ArrayBuffer>;
  /** Where the next read begins. */
  place: SegmentPlace;
}

/** Number of a segment's first frame; null when its header does not authenticate. */
export function firstFrameOf(disk: SpoolDisk, path: string, spoolKey: Uint8Array): number | null {
  const file = disk.openForReading(path);
  try {
    return readHeader(disk, file, spoolKey)?.header.firstFrameNumber ?? null;
  } finally {
    disk.close(file);
  }
}

function readHeader(disk: SpoolDisk, file: number, spoolKey: Uint8Array): ReturnType<typeof openSegmentHeader> {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  return disk.read(file, bytes, 0) < segmentHeaderBytes ? null : openSegmentHeader(bytes, spoolKey);
}

/** Bytes of the first `count` frames. */
function bytesOfFrames(frames: Buffer, count: number): number {
  let at = 0;
  for (let i = 0; i < count; i += 1) at += frameBytesAt(frames, at);
  return at;
}

/** One window for all reads: they happen one after the other on the spool thread. Made with the first of them. */
let window: Buffer | null = null;

/**
 * Frames from `fromFrame` on, whole records, until `bytesMax` is reached (one record may overshoot it) or the segment ends. Records
 * before it are passed over without being decrypted. `fileBytes`: so much of the file is good. Null when the header is not
 * of this spool key.
 */
export function readLive(
  disk: SpoolDisk,
  segment: { path: string; fileBytes: number },
  spoolKey: Uint8Array,
  fromFrame: number,
  known: SegmentPlace | null,
  bytesMax: number,
): LiveRead | null {
  const { path, fileBytes } = segment;
  const file = disk.openForReading(path);
  try {
    const opened = readHeader(disk, file, spoolKey);
    if (opened === null) return null;
    const first = { path, at: segmentHeaderBytes, sequence: 0, frame: opened.header.firstFrameNumber };
    const place = known?.path === path && known.frame <= fromFrame ? { ...known } : first;
    const parts: Buffer[] = [];
    let bytes = 0;
    let firstFrame = -1;
    window ??= Buffer.allocUnsafeSlow(recordBodyBytesMax + recordOverheadBytes);
    for (let filledFrom = -1, filled = 0; bytes < bytesMax && place.at + recordOverheadBytes <= fileBytes; ) {
      const within = (length: number): boolean => filledFrom >= 0 && place.at + length <= filledFrom + filled;
      const fill = (): void => {
        filledFrom = place.at;
        filled = disk.read(file, window!.subarray(0, Math.min(window!.length, fileBytes - place.at)), place.at);
      };
      if (!within(recordOverheadBytes)) fill();
      if (!within(recordOverheadBytes)) break;
      const record = readRecordHeader(window, place.at - filledFrom);
      const length = recordOverheadBytes + record.bodyBytes;
      if (record.sequence !== place.sequence || record.bodyBytes > recordBodyBytesMax) break;
      if (record.type === recordType.close || place.at + length > fileBytes) break;
      const end = place.frame + record.framesCount;
      if (end > fromFrame) {
        if (!within(length)) fill();
        const body = within(length) ? openRecord(window, place.at - filledFrom, record, opened.key) : null;
        if (body === null) break;
        const skipped = Math.max(0, fromFrame - place.frame);
        const part = body.subarray(bytesOfFrames(body, skipped));
        if (firstFrame < 0) firstFrame = place.frame + skipped;
        parts.push(part);
        bytes += part.length;
      }
      place.at += length;
      place.sequence += 1;
      place.frame = end;
    }
    const from = firstFrame < 0 ? fromFrame : firstFrame;
    const framesCount = firstFrame < 0 ? 0 : place.frame - firstFrame;
    return { firstFrame: from, framesCount, frames: joinBytes(parts), place };
  } finally {
    disk.close(file);
  }
}
