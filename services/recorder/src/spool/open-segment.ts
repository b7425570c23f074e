import { PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { giveBack } from '@lucid-sessions/wire';
import { copyInto } from './batch-pool.ts';
import {
  createSegmentHeader,
  recordType,
  type SegmentHeader,
  sealRecord,
  segmentHeaderBytes,
} from './segment-format.ts';
import type { SegmentClose } from './segment-reader.ts';
import { type SpoolDisk, segmentPath } from './spool-disk.ts';

/** The segment file a session is writing. Knows how many of its bytes are good, so that a torn write can be cut off. */
export class OpenSegment {
  readonly index: number;
  readonly path: string;
  readonly directory: string;
  readonly openedMonotonicUs: number;
  /** Bytes of frames in it. */
  framesBytes = 0;
  fileBytes = segmentHeaderBytes;
  closed = false;
  /** Its close record is written. */
  hasClose = false;
  framesCount = 0;
  updatesCount = 0;
  /** Chunk slot that holds the frames too, so that they need not be read back; null where there is none. */
  mirror: { slot: number; memory: Uint8Array } | null = null;
  readonly header: SegmentHeader;
  readonly #disk: SpoolDisk;
  readonly #file: number;
  readonly #key: Buffer;
  #sequence = 0;
  #torn = false;
  #released = false;

  private constructor(disk: SpoolDisk, directory: string, header: SegmentHeader, file: number, key: Buffer) {
    this.header = header;
    this.#disk = disk;
    this.#file = file;
    this.#key = key;
    this.directory = directory;
    this.index = header.index;
    this.path = segmentPath(directory, header.index);
    this.openedMonotonicUs = header.monotonicNs / 1000;
  }

  /** Makes the file with its header. Throws what the disk throws; then there is no file (or none that counts). */
  static create(disk: SpoolDisk, directory: string, header: SegmentHeader, spoolKey: Uint8Array): OpenSegment {
    const path = segmentPath(directory, header.index);
    const file = disk.create(path);
    const { bytes, key } = createSegmentHeader(header, spoolKey);
    try {
      disk.append(file, [bytes]);
    } catch (error) {
      disk.close(file);
      disk.remove(path);
      throw error;
    }
    return new OpenSegment(disk, directory, header, file, key);
  }

  #append(type: number, body: Uint8Array, framesCount: number, updatesCount: number, writtenUs: number): number {
    const header = { bodyBytes: body.length, sequence: this.#sequence, framesCount, updatesCount, writtenUs, type };
    const parts = sealRecord(header, body, this.#key);
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#disk.append(this.#file, parts);
    for (const part of parts) giveBack(part);
    this.#sequence += 1;
    this.fileBytes += bytes;
    return bytes;
  }

  /** Encrypts and appends one batch; the bytes it took on disk. */
  appendFrames(frames: Uint8Array, framesCount: number, updatesCount: number, writtenUs: number): number {
    const bytes = this.#append(recordType.frames, frames, framesCount, updatesCount, writtenUs);
    if (this.mirror !== null) copyInto(this.mirror.memory, frames, PAYLOAD_HEADER_BYTES + this.framesBytes);
    this.framesBytes += frames.length;
    this.framesCount += framesCount;
    this.updatesCount += updatesCount;
    return bytes;
  }

  /** Appends the close record, after which the file never changes. */
  close(close: SegmentClose): number {
    this.closed = true;
    if (this.#torn) return 0;
    const bytes = this.#append(recordType.close, Buffer.from(JSON.stringify(close)), 0, 0, close.closedUs);
    this.hasClose = true;
    return bytes;
  }

  /** Removes what a failed write left. Where even that fails, the reader stops at the last good record by itself. */
  cutBack(): void {
    try {
      this.#disk.truncate(this.#file, this.fileBytes);
    } catch {
      this.#torn = true;
    }
  }

  sync(): Promise<void> {
    return this.#disk.sync(this.#file);
  }

  /** Closes the file descriptor. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#disk.close(this.#file);
  }
}
