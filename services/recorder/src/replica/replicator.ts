/**
 * Copies a spool to another recorder: looks at its directory every few milliseconds and sends what files have grown by, and which are
 * gone. What is sent is what is on the disk, encrypted; nothing waits for it, and what was not sent yet is in the files.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { RecorderPort, SpoolWrite } from '@lucid-sessions/contract';
import { segmentIndex, segmentPath } from '../spool/spool-disk.ts';

export interface ReplicatorOptions {
  /** The spool's. */
  directory: string;
  recorderId: string;
  /** Who keeps the copy. */
  replica: Pick<RecorderPort, 'replicaState' | 'replicate'>;
  /** Of any clock that does not go back. */
  nowMs: () => number;
}

interface Copied {
  sessionId: string;
  index: number;
  bytes: number;
  /** The last bytes of it: a file that was cut back and written on does not have them. */
  tail: Buffer;
}

const requestBytesMax = 4 * 1024 * 1024;
const writesMax = 1000;
const tailBytes = 64;
/** No session's directory has a dot; what was put aside has. */
const sessionDirectory = /^[A-Za-z0-9_-]{1,103}$/;
const notSessions: readonly string[] = ['unreadable', 'replicas'];

const keyOf = (sessionId: string, index: number): string => `${sessionId}/${index}`;
const isGone = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isGone(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  /** What the replica has, as far as it said so; null: not known. */
  #copied: Map<string, Copied> | null = null;
  /** Sent by this process at some time: what is there of it is a beginning of ours. */
  #isFirst = true;
  /** When everything there was then was durable at the replica. */
  coveredMs: number;
  #saidBy: string | null = null;
  #isCovered = false;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
    this.coveredMs = options.nowMs();
  }

  /** The recorder that has all of it, as far as it says who it is; null: it has not, or can't be asked. */
  get keptBy(): string | null {
    return this.#isCovered && this.#copied !== null ? this.#saidBy : null;
  }

  /** One request at most. True: there is more to send now. What it throws leaves the files as they are: try again. */
  async round(): Promise<boolean> {
    const { nowMs, recorderId, replica } = this.#options;
    this.#copied ??= await this.#known();
    const startedMs = nowMs();
    const { writes, next, isWhole } = this.#grown(this.#copied);
    // Only behind all that has grown: a session's last segment is not gone before the next one is there.
    const removals = isWhole ? [...this.#copied].filter(([key]) => !next.has(key)).map(([, copied]) => copied) : [];
    if (writes.length > 0 || removals.length > 0) {
      try {
        await replica.replicate({
          recorderId,
          writes,
          removals: removals.slice(0, writesMax).map(({ sessionId, index }) => ({ sessionId, index })),
        });
      } catch (error) {
        this.#copied = null;
        this.#isCovered = false;
        throw error;
      }
      for (const { sessionId, index } of removals.slice(0, writesMax)) this.#copied.delete(keyOf(sessionId, index));
      for (const [key, copied] of next) this.#copied.set(key, copied);
    } else await this.#sayAlive();
    const more = !isWhole || removals.length > writesMax;
    if (!more) this.coveredMs = startedMs;
    this.#isCovered ||= !more;
    return more;
  }

  #saidMs = Number.NEGATIVE_INFINITY;

  /** A replica that hears nothing for long asks whether this recorder is gone. */
  async #sayAlive(): Promise<void> {
    const { nowMs, recorderId, replica } = this.#options;
    if (nowMs() - this.#saidMs < 1000) return;
    this.#saidMs = nowMs();
    await replica.replicate({ recorderId, writes: [], removals: [] });
  }

  async #known(): Promise<Map<string, Copied>> {
    const { segments, keptBy = null } = await this.#options.replica.replicaState({
      recorderId: this.#options.recorderId,
      begins: this.#isFirst,
    });
    this.#saidBy = keptBy;
    // Of an earlier process: sent anew from its beginning.
    const known = segments.map(({ bytes, ...segment }) => ({
      ...segment,
      bytes: this.#isFirst ? 0 : bytes,
      tail: Buffer.alloc(0),
    }));
    this.#isFirst = false;
    return new Map(known.map((copied) => [keyOf(copied.sessionId, copied.index), copied]));
  }

  /** `next`: how it will be at the replica; without a file that is not there any more. */
  #grown(copied: ReadonlyMap<string, Copied>): { writes: SpoolWrite[]; next: Map<string, Copied>; isWhole: boolean } {
    const { directory } = this.#options;
    const writes: SpoolWrite[] = [];
    const next = new Map<string, Copied>();
    let roomBytes = requestBytesMax;
    let isWhole = true;
    for (const sessionId of namesIn(directory).filter(
      (name) => sessionDirectory.test(name) && !notSessions.includes(name),
    ))
      for (const name of namesIn(join(directory, sessionId)).sort()) {
        const index = segmentIndex(name);
        if (index === null) continue;
        const known = copied.get(keyOf(sessionId, index));
        const read = this.#read(sessionId, index, known, writes.length < writesMax ? roomBytes : 0);
        if (read === null) continue;
        if (read.write !== null) writes.push(read.write);
        roomBytes -= read.write?.bytes.length ?? 0;
        isWhole &&= read.isWhole;
        next.set(keyOf(sessionId, index), read.copied);
      }
    return { writes, next, isWhole };
  }

  /** Null: it is gone. */
  #read(
    sessionId: string,
    index: number,
    known: Copied | undefined,
    roomBytes: number,
  ): { write: SpoolWrite | null; copied: Copied; isWhole: boolean } | null {
    let file: number;
    try {
      file = openSync(segmentPath(join(this.#options.directory, sessionId), index), 'r');
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
    try {
      const size = fstatSync(file).size;
      const at = known !== undefined && known.bytes <= size && endsAlike(file, known) ? known.bytes : 0;
      const isNew = known === undefined || at !== known.bytes;
      const nothing = known ?? { sessionId, index, bytes: 0, tail: Buffer.alloc(0) };
      if (size === at && !isNew) return { write: null, copied: nothing, isWhole: true };
      if (roomBytes <= 0) return { write: null, copied: nothing, isWhole: false };
      const bytes = Buffer.alloc(Math.min(size - at, roomBytes));
      const length = readSync(file, bytes, 0, bytes.length, at);
      const sent = new Uint8Array(bytes.buffer, bytes.byteOffset, length);
      const tail = Buffer.concat([at === 0 ? Buffer.alloc(0) : nothing.tail, sent]).subarray(-tailBytes);
      return {
        write: { sessionId, index, at, bytes: sent },
        copied: { sessionId, index, bytes: at + length, tail: Buffer.from(tail) },
        isWhole: at + length === size,
      };
    } finally {
      closeSync(file);
    }
  }
}

function endsAlike(file: number, { bytes, tail }: Copied): boolean {
  if (tail.length === 0) return true;
  const now = Buffer.alloc(tail.length);
  return readSync(file, now, 0, tail.length, bytes - tail.length) === tail.length && now.equals(tail);
}
