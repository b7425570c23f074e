/** Whether the spool's disk has room for frames beside what is kept free for looking and deleting. */
import { mebibytesText, spaceBounds } from '@lucid-sessions/contract';
import type { SpoolDisk } from './spool-disk.ts';

export interface SpoolRoomOptions {
  disk: Pick<SpoolDisk, 'space'>;
  directory: string;
  monotonicUs: () => number;
}

/** Asking the file system costs microseconds, but not with every batch. What was written since is counted. */
const measureUsMax = 100_000;

export class SpoolRoom {
  readonly #options: SpoolRoomOptions;
  #measuredUs = Number.NEGATIVE_INFINITY;
  #freeBytes = 0;
  #totalBytes = 0;

  constructor(options: SpoolRoomOptions) {
    this.#options = options;
  }

  /** Says so as the disk itself would when it is full. */
  take(bytes: number): void {
    if (!this.has(bytes))
      throw Object.assign(
        new Error(
          `the disk of the spool is nearly full: ${mebibytesText(this.#freeBytes)} are free, and ${mebibytesText(spaceBounds(this.#totalBytes).recordingBytesMin)} stay so`,
        ),
        { code: 'ENOSPC' },
      );
    this.#freeBytes -= bytes;
  }

  #measure(nowUs: number): void {
    this.#measuredUs = nowUs;
    try {
      const { freeBytes, totalBytes } = this.#options.disk.space(this.#options.directory);
      this.#freeBytes = freeBytes;
      this.#totalBytes = totalBytes;
    } catch {
      // A disk that does not even say this fails by itself when it is written to.
      this.#freeBytes = Number.POSITIVE_INFINITY;
    }
  }

  has(bytes: number): boolean {
    const nowUs = this.#options.monotonicUs();
    if (nowUs - this.#measuredUs >= measureUsMax) this.#measure(nowUs);
    return this.#freeBytes - bytes >= spaceBounds(this.#totalBytes).recordingBytesMin;
  }
}
