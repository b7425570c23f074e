/**
 * Watching a session while it is recorded: frames are read back from the segments they were spooled into, so a viewer costs
 * the relay nothing and an unwatched session has no memory here. What is not known yet is waited for.
 */
import { firstFrameOf, type LiveRead, readLive, type SegmentPlace } from './live-reader.ts';
import type { SpoolDisk } from './spool-disk.ts';
import type { LiveAnswer, LiveRequest } from './spool-messages.ts';
import type { SpooledSession } from './spool-session-state.ts';

export interface LiveTapOptions {
  disk: SpoolDisk;
  key: Uint8Array;
  monotonicUs: () => number;
  answer: (id: number, answer: LiveAnswer) => void;
}

/** Of one answer; a record may overshoot it. */
export const liveBytesMax = 1024 * 1024;
const waitersMax = 256;
/** Readers whose place in a file is remembered; others search for it. */
const placesMax = 256;
const placeAgeUsMax = 10_000_000;

interface Waiter {
  request: LiveRequest;
  untilUs: number;
}

const nothing = new Uint8Array(0);

export class LiveTap {
  readonly #options: LiveTapOptions;
  #waiters: Waiter[] = [];
  /** By session and the frame that comes next, in order of last use. */
  readonly #places = new Map<string, { place: SegmentPlace; usedUs: number }>();

  constructor(options: LiveTapOptions) {
    this.#options = options;
  }

  /** Whether anybody waits for this session's next frames or has read lately. */
  get isIdle(): boolean {
    return this.#waiters.length === 0 && this.#places.size === 0;
  }

  ask(session: SpooledSession | undefined, request: LiveRequest): void {
    if (this.#tryAnswer(session, request)) return;
    if (this.#waiters.length >= waitersMax || request.waitMs === 0) {
      this.#answerNothing(session, request);
      return;
    }
    this.#waiters.push({ request, untilUs: this.#options.monotonicUs() + request.waitMs * 1000 });
  }

  /** Frames may have come, sessions may have ended, time has passed. */
  look(sessions: ReadonlyMap<string, SpooledSession>): void {
    const nowUs = this.#options.monotonicUs();
    if (this.#waiters.length > 0)
      this.#waiters = this.#waiters.filter(({ request, untilUs }) => {
        const session = sessions.get(request.sessionId);
        if (this.#tryAnswer(session, request)) return false;
        if (nowUs < untilUs) return true;
        this.#answerNothing(session, request);
        return false;
      });
    for (const [name, { usedUs }] of this.#places) {
      if (nowUs - usedUs < placeAgeUsMax && this.#places.size <= placesMax) break;
      this.#places.delete(name);
    }
  }

  #answerNothing(session: SpooledSession | undefined, { id, afterFrame }: LiveRequest): void {
    const chunkIndex = session?.current?.index ?? session?.nextIndex ?? 0;
    const empty = { chunkIndex, firstFrame: afterFrame, framesCount: 0, frames: nothing };
    this.#options.answer(id, { state: 'recording', ...empty });
  }

  /** False when there is nothing to say yet. */
  #tryAnswer(session: SpooledSession | undefined, request: LiveRequest): boolean {
    const { id, afterFrame } = request;
    const say = (state: LiveAnswer['state'], firstFrame = afterFrame): boolean => {
      this.#options.answer(id, { state, chunkIndex: 0, firstFrame, framesCount: 0, frames: nothing });
      return true;
    };
    if (session === undefined) return say('unknown');
    if (afterFrame >= session.framesAccepted) return session.end === null ? false : say('ended');
    try {
      const found = this.#segmentWith(session, afterFrame);
      if (found === null) return say('stored', this.#firstFrame(session));
      const read = this.#read(session, found, afterFrame);
      if (read === null) return say('stored', this.#firstFrame(session));
      const { firstFrame, framesCount, frames, place } = read;
      this.#keepPlace(session.sessionId, place);
      this.#options.answer(id, { state: 'recording', chunkIndex: found.index, firstFrame, framesCount, frames });
      return true;
    } catch {
      // The segment was stored and removed meanwhile, or the disk is failing: the reader asks storage, then again.
      return say('stored');
    }
  }

  /** From the segment that holds the frame; where it was torn before that, from the one behind it. */
  #read(session: SpooledSession, found: Found, afterFrame: number): LiveRead | null {
    const { disk, key } = this.#options;
    const known = this.#places.get(nameOf(session.sessionId, afterFrame))?.place ?? null;
    for (let at: Found | null = found; at !== null; at = this.#segmentAfter(session, at)) {
      const read = readLive(disk, at, key, afterFrame, known, liveBytesMax);
      if (read === null) return null;
      if (read.framesCount > 0) {
        found.index = at.index;
        return read;
      }
    }
    return null;
  }

  #keepPlace(sessionId: string, place: SegmentPlace): void {
    const name = nameOf(sessionId, place.frame);
    this.#places.delete(name);
    this.#places.set(name, { place, usedUs: this.#options.monotonicUs() });
  }

  #segmentWith({ current, closed }: SpooledSession, frame: number): Found | null {
    if (current !== null && current.header.firstFrameNumber <= frame) return foundOf(current);
    const { disk, key } = this.#options;
    let low = 0;
    let high = closed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const first = firstFrameOf(disk, closed[middle]!.path, key);
      if (first === null) return null;
      if (first <= frame) low = middle + 1;
      else high = middle;
    }
    const segment = closed[low - 1];
    return segment === undefined ? null : foundOf(segment);
  }

  #segmentAfter({ current, closed }: SpooledSession, { index }: Found): Found | null {
    const next = closed.find((segment) => segment.index > index) ?? current;
    return next === null || next.index <= index ? null : foundOf(next);
  }

  /** What the spool still has begins with this frame. */
  #firstFrame({ current, closed, framesAccepted }: SpooledSession): number {
    const first = closed[0];
    const inFile = first === undefined ? null : firstFrameOf(this.#options.disk, first.path, this.#options.key);
    return inFile ?? current?.header.firstFrameNumber ?? framesAccepted;
  }
}

interface Found {
  index: number;
  path: string;
  fileBytes: number;
}

const foundOf = ({ index, path, fileBytes }: Found): Found => ({ index, path, fileBytes });
const nameOf = (sessionId: string, frame: number): string => `${sessionId} ${frame}`;
