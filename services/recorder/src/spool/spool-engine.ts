/**
 * The spool: what the spool thread does, without the thread. Owns every segment file; encrypts and appends batches, makes
 * them durable in rounds, hands closed segments on in order, and deletes them after their receipt.
 */
import { join } from 'node:path';
import { PAYLOAD_HEADER_BYTES, writePayloadHeader } from '@lucid-sessions/recording';
import { giveBack } from '@lucid-sessions/wire';
import { copyInto } from './batch-pool.ts';
import { CommitRounds, type FailedSegments } from './commit-rounds.ts';
import { LiveTap } from './live-tap.ts';
import { OpenSegment } from './open-segment.ts';
import { forgottenDirectory, recoverSessions, removeEmpty } from './recovery.ts';
import { recordOverheadBytes, segmentHeaderBytes } from './segment-format.ts';
import { readSegment, type SegmentClose, type SegmentContents } from './segment-reader.ts';
import type { SpoolDisk } from './spool-disk.ts';
import type {
  AppendItem,
  LiveRequest,
  ReadyChunk,
  SessionEnd,
  SpoolEvent,
  SpoolFailureCode,
  SpoolStatistics,
  StoredAs,
} from './spool-messages.ts';
import { SpoolRoom } from './spool-room.ts';
import { type ClosedSegment, newSession, type SpooledSession } from './spool-session-state.ts';

export interface SpoolLimits {
  /** A chunk's payload, its header included. */
  segmentBytesMax: number;
  segmentAgeMs: number;
  /** Between the starts of two sync rounds. */
  commitEveryMs: number;
  /** All segments together. */
  spoolBytesMax: number;
  /** Pause after a failed write and after the first failed try to seal; doubles up to `retryMsMax` for the latter. */
  retryMs: number;
  retryMsMax: number;
  /** Frames arriving faster than this count as a burst, in which chunks are sent to the processor at the slow pace only. */
  burstBytesPerSecond: number;
  /** The slow pace. It ends with the burst, or when half of the spool is taken. */
  burstChunksPerSecond: number;
}

export interface SpoolEngineOptions {
  disk: SpoolDisk;
  directory: string;
  key: Uint8Array;
  limits: SpoolLimits;
  /** Memory of the batch pool, one view per slot. */
  batchSlots: Uint8Array[];
  /** Called when a batch slot may be reused. */
  releaseBatch: (slot: number) => void;
  /** Memory for closed segments on their way out, one view per slot, each `segmentBytesMax` long. */
  chunkSlots: Uint8Array[];
  emit: (event: SpoolEvent) => void;
  /** The durable watermark of a session: so many of its frames can't be lost any more. */
  publish: (session: number, framesDurable: number) => void;
  /** µs since 1970. */
  wallUs: () => number;
  /** Monotonic whole µs since the recorder started. */
  monotonicUs: () => number;
}

/** A batch that is on the disk but not yet durable. */
interface WrittenBatch {
  session: SpooledSession;
  segment: OpenSegment;
  /** Frames of the session, this batch's included. */
  framesAccepted: number;
  oldestUs: number;
}

const durableSamplesMax = 4096;
const tickMsMax = 250;
/** When a chunk was sealed, those that wait for the chunk line try again this soon. */
const lineIsBackMs = 1000;

function failureCode(error: unknown): SpoolFailureCode {
  const code = (error as { code?: unknown }).code;
  return code === 'spool_full' ? 'spool_full' : code === 'ENOSPC' || code === 'EDQUOT' ? 'disk_full' : 'disk_failed';
}

export class SpoolEngine {
  readonly #options: SpoolEngineOptions;
  readonly #sessions = new Map<string, SpooledSession>();
  /** Sessions that still record, by the relaying thread's number. */
  readonly #live = new Map<number, SpooledSession>();
  readonly #freeChunkSlots: number[];
  readonly #rounds: CommitRounds;
  readonly #tap: LiveTap;
  readonly #room: SpoolRoom;
  readonly #owners = new WeakMap<OpenSegment, SpooledSession>();
  /** Batches of the `append` being obeyed. */
  #waiting: WrittenBatch[] = [];
  #spooledBytes = 0;
  readonly #tickTimer: NodeJS.Timeout;
  readonly #tickMs: number;
  #closing = false;
  /** Set while more chunks may be sent in the next turn. */
  #dispatching: NodeJS.Immediate | null = null;
  /** Frame bytes since the last tick, and whether that tick found a burst. */
  #arrivedBytes = 0;
  #burst = false;
  /** Chunks that may be sent in a burst. */
  #burstChunks = 0;
  #recordsWritten = 0;
  #bytesWritten = 0;
  readonly #durableMs: number[] = [];
  #durableCount = 0;

  constructor(options: SpoolEngineOptions) {
    const { disk, limits, monotonicUs } = options;
    this.#options = options;
    this.#freeChunkSlots = options.chunkSlots.map((_, slot) => slot);
    disk.makeDirectory(options.directory);
    this.#rounds = new CommitRounds({
      disk,
      everyMs: limits.commitEveryMs,
      monotonicUs,
      onFailed: (segment, error) => this.#syncFailed(segment, error),
    });
    this.#room = new SpoolRoom({ disk, directory: options.directory, monotonicUs });
    const { key, emit } = options;
    this.#tap = new LiveTap({ disk, key, monotonicUs, answer: (id, answer) => emit({ kind: 'live', id, answer }) });
    this.#tickMs = Math.max(1, Math.min(tickMsMax, limits.segmentAgeMs / 4));
    this.#tickTimer = setInterval(() => this.#tick(), this.#tickMs);
  }

  /** Takes up what an earlier process left; emits `recovered` and starts handing it on. */
  recover(): void {
    const { sessions, found, unreadable } = recoverSessions(this.#options);
    for (const session of found) {
      this.#sessions.set(session.sessionId, session);
      for (const segment of session.closed) this.#spooledBytes += segment.fileBytes;
    }
    this.#options.emit({ kind: 'recovered', sessions, unreadable });
    this.#dispatch();
  }

  open(number: number, sessionId: string, recording = 0): void {
    const session = newSession(number, sessionId, recording, join(this.#options.directory, sessionId));
    this.#live.set(number, session);
    this.#sessions.set(sessionId, session);
    try {
      this.#room.take(segmentHeaderBytes);
      this.#options.disk.makeDirectory(session.directory);
      this.#rounds.touchDirectory(this.#options.directory);
      this.#openSegment(session, false);
    } catch (error) {
      this.#fail(session, error, 0);
    }
  }

  append(items: AppendItem[]): void {
    for (const item of items) {
      const session = this.#live.get(item.session);
      // Frames of a session that has ended have nowhere to go.
      if (session !== undefined) this.#appendItem(session, item);
      this.#options.releaseBatch(item.slot);
    }
    if (!this.#tap.isIdle) this.#tap.look(this.#sessions);
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#rounds.afterwards((failed) => this.#publish(waiting, failed));
  }

  #appendItem(session: SpooledSession, item: AppendItem): void {
    const batch = this.#options.batchSlots[item.slot]?.subarray(0, item.bytes);
    if (batch === undefined) throw new RangeError(`there is no batch slot ${item.slot}`);
    if (session.lost !== null && !this.#tryToGoOn(session)) {
      session.lost.framesLost += item.framesCount;
      return;
    }
    try {
      const { limits, wallUs } = this.#options;
      if (this.#spooledBytes + item.bytes + recordOverheadBytes > limits.spoolBytesMax)
        throw Object.assign(new Error('no chunk may be spooled until others are stored'), { code: 'spool_full' });
      this.#room.take(item.bytes + recordOverheadBytes);
      let segment = session.current;
      if (segment === null || PAYLOAD_HEADER_BYTES + segment.framesBytes + item.bytes > limits.segmentBytesMax) {
        segment = this.#rotate(session, false);
        this.#mirror(segment);
      }
      this.#count(segment.appendFrames(batch, item.framesCount, item.updatesCount, wallUs()));
      session.framesAccepted += item.framesCount;
      this.#arrivedBytes += item.bytes;
      const { framesAccepted } = session;
      this.#waiting.push({ session, segment, framesAccepted, oldestUs: item.oldestUs });
      this.#rounds.touch(segment);
    } catch (error) {
      this.#fail(session, error, item.framesCount);
    }
  }

  /**
   * A segment that follows a full one will be full soon: its frames are kept in a chunk slot beside the file, which saves
   * reading them back. One slot stays free for everybody else.
   */
  #mirror(segment: OpenSegment): void {
    const slot = this.#freeChunkSlots.length > 1 ? this.#freeChunkSlots.pop() : undefined;
    const memory = slot === undefined ? undefined : this.#options.chunkSlots[slot];
    if (slot !== undefined && memory !== undefined) segment.mirror = { slot, memory };
  }

  /** Frames for somebody who watches; answered with a `live` event, at once or when there are some. */
  live(request: LiveRequest): void {
    this.#tap.ask(this.#sessions.get(request.sessionId), request);
  }

  /** Closes the present segment and opens the next. */
  rotate(number: number, gapBefore: boolean): void {
    const session = this.#live.get(number);
    if (session !== undefined && session.lost === null) this.#tryRotate(session, gapBefore);
  }

  end(number: number, end: SessionEnd): void {
    const session = this.#live.get(number);
    if (session === undefined) return;
    this.#live.delete(number);
    session.end = end;
    this.#finish(session);
    // Viewers hear of the end before the session is forgotten.
    if (!this.#tap.isIdle) this.#tap.look(this.#sessions);
  }

  sealed(sessionId: string, index: number, slot: number, stored: StoredAs = 'as_asked'): void {
    this.#freeChunkSlots.push(slot);
    const session = this.#sessions.get(sessionId);
    const segment = session?.closed[0];
    if (session !== undefined && segment?.index === index) {
      session.inFlight = false;
      session.attempts = 0;
      this.#lineIsBack();
      if (segment.final && stored !== 'not_final') {
        session.sealed = true;
        this.#options.emit({ kind: 'complete', sessionId, chunksCount: stored === 'as_asked' ? index + 1 : index });
      } else this.#free(session, segment);
    }
    this.#dispatch();
  }

  /** A stored segment goes when the one after it is durable: the last one is how a crashed session is known. */
  #free(session: SpooledSession, segment: ClosedSegment): void {
    session.closed.shift();
    this.#spooledBytes -= segment.fileBytes;
    const isLast = session.current === null && session.closed.length === 0;
    if (!isLast) {
      this.#rounds.afterwards(() => this.#removeQuietly(segment.path));
      return;
    }
    session.keptPath = segment.path;
    // It was taken for the last one, and is not: one that is comes behind it.
    if (!segment.final) return;
    if (session.number < 0 && session.end === null) this.#cutOff(session);
    else this.#finish(session);
  }

  /** Nobody lived to end it: the empty chunk behind it must not say otherwise. */
  #cutOff(session: SpooledSession): void {
    session.finalClosed = false;
    try {
      const segment = this.#openSegment(session, false);
      session.current = null;
      this.#rounds.afterwards(() => segment.release());
      const { index, path, fileBytes } = segment;
      session.closed.push({ index, path, fileBytes, final: true, ready: null });
      session.finalClosed = true;
    } catch {
      // The disk takes nothing now; the tick ends it.
    }
    this.#dispatch();
  }

  /** The chunk line is out of reach: the slot is given to others, the session's turn comes again after a pause. */
  notSealed(sessionId: string, index: number, slot: number): void {
    this.#freeChunkSlots.push(slot);
    const session = this.#sessions.get(sessionId);
    if (session?.closed[0]?.index === index) this.#postpone(session);
    this.#dispatch();
  }

  /** Pauses grow while the line is out of reach; nobody waits for the rest of one when another session got through. */
  #lineIsBack(): void {
    const soonUs = this.#options.monotonicUs() + lineIsBackMs * 1000;
    for (const session of this.#sessions.values()) session.retryAtUs = Math.min(session.retryAtUs, soonUs);
  }

  #postpone(session: SpooledSession): void {
    const { retryMs, retryMsMax } = this.#options.limits;
    const pauseMs = Math.min(retryMsMax, retryMs * 2 ** Math.min(session.attempts, 20));
    session.inFlight = false;
    session.attempts += 1;
    session.retryAtUs = this.#options.monotonicUs() + pauseMs * 1000;
  }

  /** Drops a completed session. What can't be removed is recovered and sealed again at the next start: idempotent. */
  forget(sessionId: string): void {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || !session.sealed) return;
    this.#sessions.delete(sessionId);
    // The number may be another session's from now on.
    session.number = -1;
    for (const segment of session.closed) this.#spooledBytes -= segment.fileBytes;
    this.#rounds.afterwards(() => this.#removeDirectory(session));
  }

  /** Aside first: half removed under its own name it would look like a session that died at its beginning. */
  #removeDirectory({ directory, sessionId }: SpooledSession): void {
    const { disk } = this.#options;
    const aside = join(this.#options.directory, forgottenDirectory, sessionId);
    try {
      disk.makeDirectory(join(this.#options.directory, forgottenDirectory));
      disk.rename(directory, aside);
      const removals = disk.list(aside).map((name) => disk.removeLater(join(aside, name)));
      void Promise.allSettled(removals).then(() => removeEmpty(disk, aside));
    } catch {
      // Recovered and sealed again at the next start, which changes nothing.
    }
  }

  statistics(): SpoolStatistics {
    let closedSegmentsCount = 0;
    for (const session of this.#sessions.values()) closedSegmentsCount += session.closed.length;
    return {
      spooledBytes: this.#spooledBytes,
      sessionsCount: this.#sessions.size,
      closedSegmentsCount,
      recordsWritten: this.#recordsWritten,
      bytesWritten: this.#bytesWritten,
      syncRounds: this.#rounds.roundsCount,
      durableMs: this.#durableMs.slice(),
    };
  }

  /** Stops after a last sync. Segments stay for the next start. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#tickTimer);
    if (this.#dispatching !== null) clearImmediate(this.#dispatching);
    await this.#rounds.stop();
    for (const session of this.#sessions.values()) session.current?.release();
  }

  // ---- writing

  #count(bytes: number): void {
    this.#spooledBytes += bytes;
    this.#bytesWritten += bytes;
    this.#recordsWritten += 1;
  }

  #openSegment(session: SpooledSession, gapBefore: boolean): OpenSegment {
    const { disk, key, wallUs, monotonicUs } = this.#options;
    const header = {
      sessionId: session.sessionId,
      recording: session.recording,
      index: session.nextIndex,
      openedUs: wallUs(),
      monotonicNs: monotonicUs() * 1000,
      firstFrameNumber: session.framesAccepted,
      gapBefore,
    };
    const segment = OpenSegment.create(disk, session.directory, header, key);
    this.#owners.set(segment, session);
    session.nextIndex += 1;
    session.current = segment;
    this.#spooledBytes += segmentHeaderBytes;
    this.#rounds.touch(segment);
    this.#rounds.touchDirectory(session.directory);
    const { keptPath } = session;
    session.keptPath = null;
    if (keptPath !== null) this.#rounds.afterwards(() => this.#removeQuietly(keptPath));
    return segment;
  }

  #rotate(session: SpooledSession, gapBefore: boolean): OpenSegment {
    this.#closeCurrent(session, { final: false, end: null });
    const segment = this.#openSegment(session, gapBefore);
    this.#dispatch();
    return segment;
  }

  #tryRotate(session: SpooledSession, gapBefore: boolean): void {
    try {
      this.#rotate(session, gapBefore);
    } catch (error) {
      this.#fail(session, error, 0);
    }
  }

  /** A close record that can't be written is not worth failing for: this process knows what it would say. */
  #closeCurrent(session: SpooledSession, why: Omit<SegmentClose, 'closedUs'>): void {
    const segment = session.current;
    if (segment === null) return;
    const { index, path, mirror } = segment;
    const closedUs = this.#options.wallUs();
    const close = { closedUs, ...why };
    session.current = null;
    try {
      this.#count(segment.close(close));
    } catch {
      segment.cutBack();
    }
    this.#rounds.touch(segment);
    // Without its close record it is read from the file, like after a crash: what is sealed must not depend on who asks.
    const isWhole = mirror !== null && segment.hasClose;
    const ready = isWhole ? { slot: mirror.slot, contents: contentsOf(segment, close) } : null;
    if (mirror !== null && !isWhole) this.#freeChunkSlots.push(mirror.slot);
    session.closed.push({ index, path, fileBytes: segment.fileBytes, final: why.final, ready });
  }

  #fail(session: SpooledSession, error: unknown, framesLost: number): void {
    if (session.lost !== null) {
      session.lost.framesLost += framesLost;
      return;
    }
    const code = failureCode(error);
    const reason = `${code}: ${error instanceof Error ? error.message : String(error)}`;
    const { wallUs, monotonicUs, limits } = this.#options;
    session.current?.cutBack();
    this.#closeCurrent(session, { final: false, end: null, gapAfter: true });
    const fromUs = wallUs();
    session.lost = { fromUs, framesLost, reason, retryAtUs: monotonicUs() + limits.retryMs * 1000 };
    this.#options.emit({ kind: 'failed', session: session.number, code, message: reason, fromUs });
    this.#dispatch();
  }

  /** After a failed sync the kernel may have dropped the pages: nothing after the last good round counts. */
  #syncFailed(segment: OpenSegment, error: unknown): void {
    const session = this.#owners.get(segment);
    if (session === undefined || session.end !== null) return;
    this.#fail(session, error, session.framesAccepted - session.framesDurable);
  }

  /** After a failure: a new segment, flagged GAP_BEFORE, as soon as the disk takes one. */
  #tryToGoOn(session: SpooledSession): boolean {
    const { lost } = session;
    const { limits, monotonicUs } = this.#options;
    if (lost === null) return true;
    const nowUs = monotonicUs();
    const full = this.#spooledBytes + limits.segmentBytesMax > limits.spoolBytesMax;
    if (full || nowUs < lost.retryAtUs || !this.#room.has(limits.segmentBytesMax)) return false;
    lost.retryAtUs = nowUs + limits.retryMs * 1000;
    try {
      this.#openSegment(session, true);
    } catch {
      return false;
    }
    this.#endGap(session);
    return true;
  }

  #endGap(session: SpooledSession): void {
    const { lost } = session;
    if (lost === null) return;
    session.lost = null;
    const { fromUs, framesLost, reason } = lost;
    const toUs = this.#options.wallUs();
    this.#options.emit({ kind: 'gap', session: session.number, fromUs, toUs, framesLost, reason });
  }

  /**
   * Every session ends with a segment marked final: the present one or an empty one, so that a crash from here on finds the
   * end; the last closed one where the disk takes no other.
   */
  #finish(session: SpooledSession): void {
    session.finalClosed = false;
    try {
      if (session.current === null) this.#openSegment(session, session.lost !== null);
      this.#closeCurrent(session, { final: true, end: session.end });
    } catch {
      const last = session.closed.at(-1);
      const lastIsFree = last !== undefined && !(session.inFlight && session.closed.length === 1);
      // The disk takes nothing now; the tick tries again.
      if (!lastIsFree) return;
      last.final = true;
    }
    session.finalClosed = true;
    this.#endGap(session);
    this.#dispatch();
  }

  #publish(waiting: WrittenBatch[], failed: FailedSegments): void {
    const nowUs = this.#options.monotonicUs();
    for (const { session, segment, framesAccepted, oldestUs } of waiting) {
      if (failed.has(segment)) continue;
      session.framesDurable = Math.max(session.framesDurable, framesAccepted);
      if (session.number >= 0) this.#options.publish(session.number, session.framesDurable);
      this.#durableMs[this.#durableCount % durableSamplesMax] = (nowUs - oldestUs) / 1000;
      this.#durableCount += 1;
    }
  }

  /** What can't be removed is recovered and sealed again at the next start, which changes nothing. */
  #removeQuietly(path: string): void {
    this.#options.disk.removeLater(path).catch(() => {});
  }

  // ---- handing on

  /**
   * Relaying and durability come first: reading chunks back and sealing them can wait on disk for a quieter moment, which
   * is what a spool is for.
   */
  #watchBurst(): void {
    const { burstBytesPerSecond, burstChunksPerSecond, spoolBytesMax } = this.#options.limits;
    const seconds = this.#tickMs / 1000;
    const hasRoom = this.#spooledBytes < spoolBytesMax / 2;
    this.#burst = hasRoom && this.#arrivedBytes > burstBytesPerSecond * seconds;
    this.#burstChunks = Math.min(burstChunksPerSecond, this.#burstChunks + burstChunksPerSecond * seconds);
    this.#arrivedBytes = 0;
  }

  #tick(): void {
    this.#watchBurst();
    if (!this.#tap.isIdle) this.#tap.look(this.#sessions);
    const nowUs = this.#options.monotonicUs();
    const { segmentAgeMs } = this.#options.limits;
    for (const session of this.#live.values()) {
      const openedUs = session.current?.openedMonotonicUs ?? nowUs;
      if (nowUs - openedUs >= (segmentAgeMs - this.#tickMs) * 1000) this.#tryRotate(session, false);
    }
    for (const session of this.#sessions.values())
      if (!session.finalClosed && this.#live.get(session.number) !== session) this.#finish(session);
    this.#dispatch();
  }

  /** Reading a segment back takes as long as many appends: one of them, and frames that came meanwhile have their turn. */
  #dispatch(): void {
    if (this.#dispatching !== null) return;
    const nowUs = this.#options.monotonicUs();
    for (const session of this.#sessions.values()) {
      if (this.#closing || (this.#burst && this.#burstChunks < 1)) return;
      if (session.inFlight || session.sealed || session.closed.length === 0) continue;
      if (this.#freeChunkSlots.length === 0 && session.closed[0]?.ready === null) continue;
      if (session.attempts > 0 && nowUs < session.retryAtUs) continue;
      const isRead = session.closed[0]?.ready === null;
      this.#handOn(session);
      if (!isRead) continue;
      this.#dispatching = setImmediate(() => {
        this.#dispatching = null;
        this.#dispatch();
      });
      return;
    }
  }

  #handOn(session: SpooledSession): void {
    const segment = session.closed[0];
    const slot = segment?.ready?.slot ?? this.#freeChunkSlots.pop();
    const memory = slot === undefined ? undefined : this.#options.chunkSlots[slot];
    if (segment === undefined || slot === undefined || memory === undefined) return;
    try {
      const contents = segment.ready?.contents ?? this.#read(segment.path, memory);
      // Sealed or not, the slot is given back: the next try reads the file.
      segment.ready = null;
      const { framesCount, header } = contents;
      writePayloadHeader(memory, { framesCount, firstFrameNumber: header.firstFrameNumber, openedUs: header.openedUs });
      session.inFlight = true;
      this.#burstChunks = Math.max(0, this.#burstChunks - 1);
      // Served last next time: a session with many chunks to send must not starve the others.
      this.#sessions.delete(session.sessionId);
      this.#sessions.set(session.sessionId, session);
      this.#options.emit({ kind: 'ready', chunk: describe(session, segment, contents, slot) });
    } catch {
      this.#freeChunkSlots.push(slot);
      this.#postpone(session);
    }
  }

  #read(path: string, memory: Uint8Array): SegmentContents {
    let at = PAYLOAD_HEADER_BYTES;
    const contents = readSegment(this.#options.disk, path, this.#options.key, (frames) => {
      copyInto(memory, frames, at);
      at += frames.length;
      giveBack(frames);
    });
    if (contents === null) throw new Error('the segment header does not authenticate');
    return contents;
  }
}

/** What reading the segment back would find. */
function contentsOf(segment: OpenSegment, close: SegmentClose): SegmentContents {
  const { header, framesCount, updatesCount, framesBytes } = segment;
  return { header, framesCount, updatesCount, framesBytes, lastWrittenUs: close.closedUs, close };
}

function describe(
  session: SpooledSession,
  segment: ClosedSegment,
  contents: SegmentContents,
  slot: number,
): ReadyChunk {
  const { header, close } = contents;
  return {
    sessionId: session.sessionId,
    index: segment.index,
    final: segment.final,
    recovered: close === null,
    gapBefore: header.gapBefore,
    openedUs: header.openedUs,
    closedUs: close?.closedUs ?? contents.lastWrittenUs,
    monotonicNs: header.monotonicNs,
    framesCount: contents.framesCount,
    updatesCount: contents.updatesCount,
    firstFrameNumber: header.firstFrameNumber,
    payloadBytes: PAYLOAD_HEADER_BYTES + contents.framesBytes,
    slot,
  };
}
