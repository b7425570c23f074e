import { LucidError } from '@lucid-sessions/contract';
import { Line } from '@lucid-sessions/kit/line';
import type { KeyframeList, ListedKeyframe } from '@lucid-sessions/recording/session-index';
import type { Recording, RecordingShelf } from './recording-shelf.ts';
import type { SessionKeyframes } from './session-keyframes.ts';
import type { IndexThread } from './thread.ts';

export interface PictureWish {
  /** null: the end of what is stored. */
  timeUs: number | null;
  pointer: boolean;
}

export interface SessionPicture {
  png: Uint8Array;
  /** Of the last frame in it. */
  timeUs: number;
  /** What decoded H.264; null where there was none. */
  h264: string | null;
}

/** Recordings somebody looks at, each with a decoder of its own, and how long one is kept for the next look. */
const cursorsMax = 4;
const idleMs = 30_000;
/** So long is decoded for one answer; who asks again goes on from there. */
const answerMsMax = 10_000;
/** Pictures are made one after the other. */
const waitingMax = 16;

interface Cursor {
  readonly sessionId: string;
  readonly run: number;
  /** The next chunk to be drawn, and the time of what was. */
  chunkIndex: number;
  timeUs: number;
  usedMs: number;
}

/**
 * Pictures of moments, drawn here for viewers that can't: without WebCodecs, or without H.264 in them. In a thread of its own,
 * because somebody waits; from the nearest keyframe, or on from the picture before.
 */
export class SessionPictures {
  readonly #shelf: RecordingShelf;
  readonly #keyframes: Pick<SessionKeyframes, 'list' | 'chain'>;
  readonly #thread: IndexThread;
  #cursors: Cursor[] = [];
  readonly #line = new Line();
  #timer: NodeJS.Timeout | undefined;

  constructor(shelf: RecordingShelf, keyframes: Pick<SessionKeyframes, 'list' | 'chain'>, thread: IndexThread) {
    this.#shelf = shelf;
    this.#thread = thread;
    this.#keyframes = keyframes;
  }

  /** Throws `recordNotFound` where there is nothing to show (yet), `unavailable` where it can't be drawn here. */
  async picture(sessionId: string, wish: PictureWish): Promise<SessionPicture> {
    const recording = await this.#shelf.recording(sessionId);
    if (this.#line.waiting >= waitingMax) throw notYet('many pictures are being drawn for others');
    return this.#line.run(() => this.#draw(recording, wish));
  }

  async dispose(): Promise<void> {
    clearTimeout(this.#timer);
    this.#cursors = [];
    await this.#thread.dispose();
  }

  async #draw(recording: Recording, { timeUs, pointer }: PictureWish): Promise<SessionPicture> {
    const untilUs = timeUs ?? Number.MAX_SAFE_INTEGER;
    const cursor = await this.#cursorBefore(recording, untilUs);
    try {
      const isThere = await this.#goTo(cursor, recording, untilUs);
      if (!isThere) throw notYet(`the way there is being decoded, it is at ${Math.floor(cursor.timeUs / 1e6)} s`);
      const { png, h264 } = await this.#thread.takePicture({
        run: cursor.run,
        pointer,
        imported: recording.imported,
      });
      if (png.length === 0) throw new LucidError('recordNotFound', 'no desktop is shown at that time');
      return { png, timeUs: cursor.timeUs, h264 };
    } catch (thrown) {
      // What was drawn so far is sound, unless something else went wrong.
      if (!(thrown instanceof LucidError) || thrown.details.retry_after_seconds === undefined) await this.#drop(cursor);
      throw thrown;
    } finally {
      cursor.usedMs = performance.now();
      this.#dropIdleLater();
    }
  }

  /** False when it takes too long for one answer. */
  async #goTo(cursor: Cursor, { sessionId, view }: Recording, untilUs: number): Promise<boolean> {
    const key = view === null ? null : { view, inputs: null };
    const count = await this.#shelf.chunksCount(sessionId);
    const byMs = performance.now() + answerMsMax;
    while (cursor.chunkIndex < count) {
      const file = await this.#shelf.file(sessionId, cursor.chunkIndex);
      const { run, chunkIndex: index } = cursor;
      const { reached, timeUs, problem } = await this.#thread.lookChunk({ run, index, file, key, untilUs });
      cursor.timeUs = timeUs;
      if (problem !== null) throw new LucidError('unavailable', problem);
      if (reached) return true;
      cursor.chunkIndex += 1;
      if (cursor.chunkIndex < count && performance.now() > byMs) return false;
    }
    return true;
  }

  /** One that stands before that moment, unless a keyframe lies between. */
  async #cursorBefore(recording: Recording, untilUs: number): Promise<Cursor> {
    const { sessionId } = recording;
    const list = await this.#keyframes.list(recording);
    const nearest = list.keyframes.findLast(({ timeUs }) => timeUs <= untilUs);
    const known = this.#cursors
      .filter((cursor) => cursor.sessionId === sessionId && cursor.timeUs <= untilUs)
      .reduce<Cursor | null>((best, cursor) => (best !== null && best.timeUs >= cursor.timeUs ? best : cursor), null);
    if (known !== null && known.timeUs >= (nearest?.timeUs ?? 0)) return known;
    return this.#begin(recording, list, nearest);
  }

  async #begin(recording: Recording, list: KeyframeList, nearest: ListedKeyframe | undefined): Promise<Cursor> {
    const { sessionId } = recording;
    const oldest = this.#cursors.toSorted((a, b) => a.usedMs - b.usedMs)[0];
    if (oldest !== undefined && this.#cursors.length >= cursorsMax) await this.#drop(oldest);
    const chain = nearest === undefined ? null : await this.#keyframes.chain(recording, list, nearest);
    const begun = chain === null ? null : await this.#thread.look(chain).catch(() => null);
    // A keyframe that is lost or spoiled costs time: decoding begins at the beginning.
    const run = begun ?? (await this.#thread.look([]));
    const place = begun === null ? null : nearest;
    const [chunkIndex, timeUs] = [place?.chunkIndex ?? 0, place?.timeUs ?? 0];
    const cursor = { sessionId, run, chunkIndex, timeUs, usedMs: performance.now() };
    this.#cursors.push(cursor);
    return cursor;
  }

  async #drop(cursor: Cursor): Promise<void> {
    this.#cursors = this.#cursors.filter((known) => known !== cursor);
    await this.#thread.close(cursor.run);
  }

  /** Decoders are programs and memory: nobody who stopped looking keeps one. */
  #dropIdleLater(): void {
    clearTimeout(this.#timer);
    if (this.#cursors.length === 0) return;
    this.#timer = setTimeout(() => {
      const before = performance.now() - idleMs;
      for (const cursor of this.#cursors)
        if (this.#line.waiting === 0 && cursor.usedMs <= before) void this.#drop(cursor);
      this.#dropIdleLater();
    }, idleMs).unref();
  }
}

/** Asked again in a moment it goes on. */
const notYet = (why: string): LucidError =>
  new LucidError('recordNotFound', `the picture is not there yet: ${why}; ask again`, {
    details: { retry_after_seconds: 1 },
  });
