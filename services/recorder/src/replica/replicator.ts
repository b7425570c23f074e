/**
 * Copies a spool to another recorder: looks at its directory every few milliseconds and sends what files have grown by, and which are
 * gone. What is sent is what is on the disk, encrypted; nothing waits for it, and what was not sent yet is in the files.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
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

/** A file as it was when the directory was looked at. */
interface Seen {
  sessionId: string;
  index: number;
  bytes: number;
}

interface Copied {
  sessionId: string;
  index: number;
  bytes: number;
  /** The last bytes of it: a file that was cut back and written on does not have them. */
  tail: Buffer;
}

const requestBytesMax = 8 * 1024 * 1024;
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
  /** What was there at the last look, and which of it is still to be compared. What grows meanwhile is for the next one: each look has an end. */
  #look: { atMs: number; left: Seen[]; keys: Set<string> } | null = null;
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
    const { recorderId, replica } = this.#options;
    this.#copied ??= await this.#known();
    const copied = this.#copied;
    this.#look ??= this.#lookAround();
    const { left, keys, atMs } = this.#look;
    const { writes, next } = this.#grown(copied, left);
    // Only behind all that has grown: a session's last segment is not gone before the next one is there.
    const gone = left.length > 0 ? [] : [...copied].filter(([key]) => !keys.has(key)).map(([, segment]) => segment);
    const removals = gone.slice(0, writesMax).map(({ sessionId, index }) => ({ sessionId, index }));
    if (writes.length > 0 || removals.length > 0) {
      try {
        await replica.replicate({ recorderId, writes, removals });
      } catch (error) {
        this.#copied = null;
        this.#isCovered = false;
        this.#look = null;
        throw error;
      }
      for (const { sessionId, index } of removals) copied.delete(keyOf(sessionId, index));
      for (const segment of next) copied.set(keyOf(segment.sessionId, segment.index), segment);
    } else await this.#sayAlive();
    if (left.length > 0 || gone.length > removals.length) return true;
    this.#look = null;
    this.coveredMs = atMs;
    this.#isCovered = true;
    return false;
  }

  #lookAround(): { atMs: number; left: Seen[]; keys: Set<string> } {
    const { directory, nowMs } = this.#options;
    const atMs = nowMs();
    const left: Seen[] = [];
    for (const sessionId of namesIn(directory))
      if (sessionDirectory.test(sessionId) && !notSessions.includes(sessionId))
        for (const name of namesIn(join(directory, sessionId)).sort()) {
          const index = segmentIndex(name);
          const bytes = index === null ? undefined : sizeOf(segmentPath(join(directory, sessionId), index));
          if (index !== null && bytes !== undefined) left.push({ sessionId, index, bytes });
        }
    return { atMs, left, keys: new Set(left.map(({ sessionId, index }) => keyOf(sessionId, index))) };
  }

  #saidMs = Number.NEGATIVE_INFINITY;

  /** A replica that hears nothing for long asks whether this recorder is gone. */
  async #sayAlive(): Promise<void> {
    const { nowMs, recorderId, replica } = this.#options;
    const atMs = nowMs();
    if (atMs - this.#saidMs < 1000) return;
    await replica.replicate({ recorderId, writes: [], removals: [] });
    // One that did not hear it is not known to have anything.
    this.#saidMs = atMs;
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

  /** One request of what is left, which is taken from it. `next`: how it will be at the replica. */
  #grown(copied: ReadonlyMap<string, Copied>, left: Seen[]): { writes: SpoolWrite[]; next: Copied[] } {
    const writes: SpoolWrite[] = [];
    const next: Copied[] = [];
    let roomBytes = requestBytesMax;
    for (let seen = left[0]; seen !== undefined && roomBytes > 0 && writes.length < writesMax; seen = left[0]) {
      const read = this.#read(seen, copied.get(keyOf(seen.sessionId, seen.index)), roomBytes);
      if (read !== null) {
        writes.push(read.write);
        next.push(read.copied);
        roomBytes -= read.write.bytes.length;
        // The rest of it goes with the next request.
        if (read.copied.bytes < seen.bytes && roomBytes <= 0) break;
      }
      left.shift();
    }
    return { writes, next };
  }

  /** Null: it is there as it is, or gone. */
  #read(
    { sessionId, index, bytes: seenBytes }: Seen,
    known: Copied | undefined,
    roomBytes: number,
  ): { write: SpoolWrite; copied: Copied } | null {
    let file: number;
    try {
      file = openSync(segmentPath(join(this.#options.directory, sessionId), index), 'r');
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
    try {
      const size = Math.min(fstatSync(file).size, Math.max(seenBytes, known?.bytes ?? 0));
      const at = known !== undefined && known.bytes <= size && endsAlike(file, known) ? known.bytes : 0;
      if (known !== undefined && at === known.bytes && size === at) return null;
      const bytes = Buffer.allocUnsafe(Math.min(size - at, roomBytes));
      const length = readSync(file, bytes, 0, bytes.length, at);
      const sent = new Uint8Array(bytes.buffer, bytes.byteOffset, length);
      const before = at === 0 || known === undefined ? Buffer.alloc(0) : known.tail;
      const tail = Buffer.from(Buffer.concat([before, sent.subarray(-tailBytes)]).subarray(-tailBytes));
      return { write: { sessionId, index, at, bytes: sent }, copied: { sessionId, index, bytes: at + length, tail } };
    } finally {
      closeSync(file);
    }
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function endsAlike(file: number, { bytes, tail }: Copied): boolean {
  if (tail.length === 0) return true;
  const now = Buffer.alloc(tail.length);
  return readSync(file, now, 0, tail.length, bytes - tail.length) === tail.length && now.equals(tail);
}
