import type { ContentItem, IndexPort, SearchedRecording, StoragePort } from '@lucid-sessions/contract';
import { Line } from '@lucid-sessions/kit/line';
import {
  decodeIndexSegment,
  decodeWholeIndex,
  encodeWholeIndex,
  type IndexSearch,
  type IndexSegment,
  type KeyframeList,
} from '@lucid-sessions/recording/session-index';
import { patternProblem } from './alerts/judge-pattern.ts';
import { type AlertKeeper, SessionAlerts } from './alerts/session-alerts.ts';
import { ContentItems } from './content-items.ts';
import { Followed } from './followed.ts';
import { type IndexRun, KeptRuns } from './kept-runs.ts';
import {
  orNull,
  type Recording,
  RecordingShelf,
  type RecordingShelfOptions,
  segmentName,
  wholeName,
} from './recording-shelf.ts';
import { type ExaminedListener, type KeyframePolicy, SessionKeyframes } from './session-keyframes.ts';
import { type PictureWish, type SessionPicture, SessionPictures } from './session-pictures.ts';
import { SessionSearch } from './session-search.ts';
import { IndexThread } from './thread.ts';

const stateName = 'index-state';
const stateHeadBytes = 4;
/** So many chunks are indexed again at most when a walk is lost. */
const chunksPerState = 8;

export interface SessionIndexesOptions extends RecordingShelfOptions {
  /** URL of the module that gives the index thread its `IndexerPlatform`. */
  platform: string;
  /** When asked for, if it says nothing. */
  keyframes?: KeyframePolicy;
  onError?: (where: string, thrown: unknown) => void;
  onExamined?: ExaminedListener;
  /** Sessions that are followed are held against its rules. */
  alerts?: AlertKeeper;
}

/**
 * The index of every session, as encrypted sidecars beside its chunks: one segment per chunk, and the state the next
 * segment begins with. `follow` makes them while sessions are recorded; whatever was skipped, lost or spoiled is made again
 * from the chunks when it is read. A recording is walked once: one thread, one walk at a time.
 */
export class SessionIndexes implements IndexPort {
  readonly #shelf: RecordingShelf;
  readonly #storage: StoragePort;
  readonly #thread: IndexThread;
  readonly #runs = new KeptRuns((run) => void this.#thread.close(run));
  readonly #keyframes: SessionKeyframes;
  readonly #followed: Followed;
  readonly #pictures: SessionPictures;
  readonly #search: SessionSearch;
  readonly #alerts: SessionAlerts | null;
  readonly #line = new Line();

  constructor(options: SessionIndexesOptions) {
    this.#shelf = new RecordingShelf(options);
    this.#storage = options.storage;
    this.#thread = new IndexThread(options.platform);
    const policy = options.keyframes ?? { made: 'asked' };
    this.#keyframes = new SessionKeyframes(this.#shelf, this.#thread, () => this.#line.idle(), policy, options);
    this.#pictures = new SessionPictures(
      this.#shelf,
      this.#keyframes,
      new IndexThread(options.platform, 'lucid-pictures'),
    );
    this.#search = new SessionSearch(this.#shelf);
    this.#alerts = options.alerts === undefined ? null : new SessionAlerts(this.#shelf, options.alerts);
    this.#followed = new Followed(
      async (sessionId) => {
        const recording = await this.#shelf.recording(sessionId);
        const count = await this.#line.run(() => this.#extend(recording));
        await this.#judge(recording, count);
        this.#keyframes.follow(sessionId);
      },
      (thrown) => options.onError?.('making a session index', thrown),
    );
  }

  /** The session has chunks that are not in its index yet. Never waits, and may forget: reading makes what is missing. */
  follow(sessionId: string): void {
    this.#followed.add(sessionId);
  }

  /** The keyframes made so far; more are made behind the answer where chunks were not looked at yet. */
  async keyframes(sessionId: string): Promise<KeyframeList> {
    return this.#keyframes.list(await this.#shelf.recording(sessionId));
  }

  /** Processor time keyframes have taken so far, in ms. */
  get keyframesUsedMs(): number {
    return this.#keyframes.usedMs;
  }

  /** Decodes a recording to its end after answering; `onExamined` is called with the result. */
  async examine(sessionId: string): Promise<void> {
    await this.#keyframes.examine(await this.#shelf.recording(sessionId));
  }

  async examined(sessionId: string): Promise<{ walkedChunks: number; chunks: number; walking: boolean }> {
    return this.#keyframes.examined(await this.#shelf.recording(sessionId));
  }

  /** A keyframe as it is stored, sealed; null where it is missing. */
  keyframe(sessionId: string, number: number): Promise<Uint8Array | null> {
    return this.#keyframes.sealed(sessionId, number);
  }

  /** What the client showed at a moment, drawn here for who can't draw it. */
  picture(sessionId: string, wish: PictureWish): Promise<SessionPicture> {
    return this.#pictures.picture(sessionId, wish);
  }

  /** The index up to the last stored chunk, in order. Throws `recordNotFound` when this host has no key to it. */
  async *segments(sessionId: string): AsyncGenerator<IndexSegment, void, undefined> {
    const recording = await this.#shelf.recording(sessionId);
    const whole = await this.#whole(recording);
    if (whole !== null) {
      yield* whole;
      return;
    }
    const count = await this.#line.run(() => this.#extend(recording));
    const segments: IndexSegment[] = [];
    for (let index = 0; index < count; index += 1) {
      let segment = await this.#segment(recording, index);
      if (segment === null) {
        await this.#line.run(() => this.remake(recording));
        segment = await this.#segment(recording, index);
      }
      if (segment === null) continue;
      segments.push(segment);
      yield segment;
    }
    if (segments.length === count && segments.at(-1)?.last === true) await this.#putWhole(recording, segments);
  }

  /** As far as the index was made; the rest is made behind the answer. Throws `recordNotFound` when this host has no key to it. */
  async search(sessionId: string, search: IndexSearch): Promise<SearchedRecording> {
    const searched = await this.#search.search(sessionId, search);
    if (searched.searchedChunks < searched.chunks) this.follow(sessionId);
    return searched;
  }

  patternProblem(pattern: string): string | null {
    return patternProblem(pattern);
  }

  async #judge(recording: Recording, count: number): Promise<void> {
    if (this.#alerts === null || (await this.#alerts.judge(recording, count))) return;
    await this.#line.run(() => this.remake(recording));
    await this.#alerts.judge(recording, count);
  }

  /** What a finished session's segments say, in one piece; null where it was not put together, or is spoiled. */
  async #whole(recording: Recording): Promise<IndexSegment[] | null> {
    const bytes = await this.#shelf.get(recording, wholeName);
    return bytes && orNull(() => decodeWholeIndex(bytes));
  }

  async #putWhole(recording: Recording, segments: readonly IndexSegment[]): Promise<void> {
    const bytes = await encodeWholeIndex(segments);
    if (bytes !== null) await this.#shelf.put(recording, wholeName, bytes);
  }

  /** What crossed clipboard and drives, read from the chunks themselves. */
  async *contents(sessionId: string): AsyncGenerator<ContentItem, void, undefined> {
    const recording = await this.#shelf.recording(sessionId);
    const count = await this.#shelf.chunksCount(sessionId);
    const run = await this.#open(recording, null, true);
    const items = new ContentItems();
    try {
      for (let index = 0; index < count; index += 1) {
        const { pieces } = await this.#chunk(recording, run, { index, last: index === count - 1, carry: false });
        for (const piece of pieces) {
          const item = items.add(piece);
          if (item !== null) yield item;
        }
      }
    } finally {
      await this.#thread.close(run);
    }
  }

  async dispose(): Promise<void> {
    this.#followed.dispose();
    this.#keyframes.dispose();
    await Promise.all([
      this.#thread.dispose(),
      this.#pictures.dispose(),
      this.#search.dispose(),
      this.#alerts?.dispose(),
    ]);
    await this.#line.idle();
  }

  /** Makes what is missing at the end. Answers how many chunks the index covers. */
  async #extend(recording: Recording): Promise<number> {
    const { sessionId } = recording;
    const count = await this.#shelf.chunksCount(sessionId);
    const kept = this.#runs.take(sessionId);
    // A walk may be gone with its thread: the stored state is left.
    if (kept !== null && (await this.#walk(recording, kept, count).catch(() => false))) return count;
    const { next, state } = await this.#state(recording);
    if (next < count) await this.#walk(recording, await this.#begin(recording, next, state), count);
    return count;
  }

  /** Makes the whole index again from the chunks. */
  async remake(recording: Recording): Promise<void> {
    const kept = this.#runs.take(recording.sessionId);
    if (kept !== null) await this.#thread.close(kept.run);
    const count = await this.#shelf.chunksCount(recording.sessionId);
    await this.#walk(recording, await this.#begin(recording, 0, null), count);
  }

  async #begin(recording: Recording, next: number, state: Uint8Array | null): Promise<IndexRun> {
    const resumed = state === null ? null : await this.#open(recording, state, false).catch(() => null);
    if (resumed !== null) return { run: resumed, next, stored: next };
    // No state, or one of another version: begin again.
    return { run: await this.#open(recording, null, false), next: 0, stored: 0 };
  }

  /** Up to chunk `count`. The run is kept for what comes after, where there is room, or closed. */
  async #walk(recording: Recording, run: IndexRun, count: number): Promise<true> {
    const { sessionId } = recording;
    let kept = this.#runs.hasRoom;
    try {
      while (run.next < count) {
        const index = run.next;
        const { last } = await this.#shelf.chunk(sessionId, index);
        if (last) kept = false;
        const ends = index + 1 === count && !kept;
        const carry = last || ends || index + 1 - run.stored >= chunksPerState;
        const made = await this.#chunk(recording, run.run, { index, last, carry });
        // The segment first: a state says that all before it is there.
        await this.#shelf.put(recording, segmentName(index), made.segment);
        run.next = index + 1;
        if (!carry) continue;
        await this.#shelf.put(recording, stateName, stateFile(index + 1, made.state));
        run.stored = index + 1;
      }
    } catch (error) {
      kept = false;
      throw error;
    } finally {
      if (kept) this.#runs.keep(sessionId, run);
      else await this.#thread.close(run.run);
    }
    return true;
  }

  #open({ input, clipboard }: Recording, state: Uint8Array | null, collect: boolean): Promise<number> {
    return this.#thread.open({ state, input, clipboard, collect });
  }

  async #chunk({ sessionId, dek }: Recording, run: number, what: { index: number; last: boolean; carry: boolean }) {
    const { file } = await this.#storage.readChunk({ sessionId, index: what.index });
    return this.#thread.chunk({ run, ...what, file, key: dek });
  }

  async #state(recording: Recording): Promise<{ next: number; state: Uint8Array | null }> {
    const file = await this.#shelf.get(recording, stateName);
    if (file === null || file.length < stateHeadBytes) return { next: 0, state: null };
    const next = new DataView(file.buffer, file.byteOffset).getUint32(0);
    return { next, state: file.length === stateHeadBytes ? null : file.slice(stateHeadBytes) };
  }

  async #segment(recording: Recording, index: number): Promise<IndexSegment | null> {
    const bytes = await this.#shelf.get(recording, segmentName(index));
    const segment = bytes === null ? null : await orNull(() => decodeIndexSegment(bytes));
    return segment?.chunkIndex === index ? segment : null;
  }
}

function stateFile(next: number, state: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(stateHeadBytes + state.length);
  new DataView(bytes.buffer).setUint32(0, next);
  bytes.set(state, stateHeadBytes);
  return bytes;
}
