/** Reads a segment back up to its last good record: the same code after a crash and in everyday work. */
import {
  openRecord,
  openSegmentHeader,
  readRecordHeader,
  recordBodyBytesMax,
  recordOverheadBytes,
  recordType,
  type SegmentHeader,
  segmentHeaderBytes,
} from './segment-format.ts';
import type { SpoolDisk } from './spool-disk.ts';
import type { SessionEnd } from './spool-messages.ts';

/** What the last record of a properly closed segment says. */
export interface SegmentClose {
  closedUs: number;
  final: boolean;
  end: SessionEnd | null;
  /** Frames behind it could not be stored: whoever recovers the session must not claim otherwise. */
  gapAfter?: true;
}

export interface SegmentContents {
  header: SegmentHeader;
  framesCount: number;
  updatesCount: number;
  /** Bytes of frames, all written through `sink`. */
  framesBytes: number;
  lastWrittenUs: number;
  /** null: the segment is torn (a crash, a disk fault), everything before the tear is in. */
  close: SegmentClose | null;
}

/** A window over the file that only moves forward, so that a 10 MiB segment needs no 10 MiB of memory here. */
class FileWindow {
  readonly #disk: SpoolDisk;
  readonly #file: number;
  readonly #bytes: Buffer;
  #filled = 0;
  #at = 0;
  #position = 0;

  constructor(disk: SpoolDisk, file: number, scratch: Buffer) {
    this.#disk = disk;
    this.#file = file;
    this.#bytes = scratch;
  }

  /** Makes `length` bytes available at `at`; false when the file ends before. */
  need(length: number): boolean {
    if (this.#filled - this.#at >= length) return true;
    this.#bytes.copyWithin(0, this.#at, this.#filled);
    this.#filled -= this.#at;
    this.#at = 0;
    while (this.#filled < length) {
      const read = this.#disk.read(this.#file, this.#bytes.subarray(this.#filled), this.#position);
      if (read === 0) return false;
      this.#filled += read;
      this.#position += read;
    }
    return true;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }
  get at(): number {
    return this.#at;
  }
  skip(length: number): void {
    this.#at += length;
  }
}

const scratch = Buffer.allocUnsafeSlow(recordBodyBytesMax + recordOverheadBytes);

/**
 * Authenticates the segment record by record, handing each batch of frames to `sink` in order. Null when the header is
 * torn or was made under another spool key.
 */
export function readSegment(
  disk: SpoolDisk,
  path: string,
  spoolKey: Uint8Array,
  sink: (frames: Uint8Array) => void,
): SegmentContents | null {
  const file = disk.openForReading(path);
  try {
    const window = new FileWindow(disk, file, scratch);
    if (!window.need(segmentHeaderBytes)) return null;
    const opened = openSegmentHeader(Buffer.from(window.bytes.subarray(0, segmentHeaderBytes)), spoolKey);
    if (opened === null) return null;
    window.skip(segmentHeaderBytes);
    return readRecords(window, opened.header, opened.key, sink);
  } finally {
    disk.close(file);
  }
}

/** Whether the file starts with a header of this spool key: 'torn' when it is too short for one, 'foreign' otherwise. */
export function checkSegmentHeader(
  disk: SpoolDisk,
  path: string,
  spoolKey: Uint8Array,
): { header: 'good' | 'torn' | 'foreign'; fileBytes: number } {
  const file = disk.openForReading(path);
  try {
    const fileBytes = disk.sizeBytes(file);
    if (fileBytes < segmentHeaderBytes) return { header: 'torn', fileBytes };
    const bytes = Buffer.alloc(segmentHeaderBytes);
    disk.read(file, bytes, 0);
    return { header: openSegmentHeader(bytes, spoolKey) === null ? 'foreign' : 'good', fileBytes };
  } finally {
    disk.close(file);
  }
}

function readRecords(
  window: FileWindow,
  header: SegmentHeader,
  key: Buffer,
  sink: (frames: Uint8Array) => void,
): SegmentContents {
  const contents: SegmentContents = {
    header,
    framesCount: 0,
    updatesCount: 0,
    framesBytes: 0,
    lastWrittenUs: header.openedUs,
    close: null,
  };
  for (let sequence = 0; window.need(recordOverheadBytes); sequence += 1) {
    const record = readRecordHeader(window.bytes, window.at);
    if (record.sequence !== sequence || record.bodyBytes > recordBodyBytesMax) break;
    if (!window.need(recordOverheadBytes + record.bodyBytes)) break;
    const body = openRecord(window.bytes, window.at, record, key);
    if (body === null) break;
    window.skip(recordOverheadBytes + record.bodyBytes);
    contents.lastWrittenUs = record.writtenUs;
    if (record.type === recordType.close) {
      contents.close = JSON.parse(body.toString('utf8')) as SegmentClose;
      break;
    }
    sink(body);
    contents.framesCount += record.framesCount;
    contents.updatesCount += record.updatesCount;
    contents.framesBytes += record.bodyBytes;
  }
  return contents;
}
