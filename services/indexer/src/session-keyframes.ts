import type { ReplayTally } from '@lucid-sessions/recording/replay';
import {
  decodeKeyframeList,
  emptyKeyframeList,
  encodeKeyframeList,
  KEYFRAMES_MAX,
  type KeyframeList,
  keyframeName,
  type ListedKeyframe,
} from '@lucid-sessions/recording/session-index';
import { Followed } from './followed.ts';
import type { MadeKeyframe } from './keyframe-walk.ts';
import { orNull, type Recording, type RecordingShelf } from './recording-shelf.ts';
import type { IndexThread } from './thread.ts';

const listName = 'keyframe-list';
/** A walk decodes what came since the last keyframe again: it waits for so much that this is little beside it. */
const chunksWorthWalking = 12;
const bytesWorthWalking = 2 << 20;
/** Where several recordings are waited for, each is walked so long in turn. */
const turnMs = 5000;

/** Who gets keyframes: recordings somebody looks at, or all of them ahead, within so many cores. */
export type KeyframePolicy = { made: 'asked' } | { made: 'ahead'; coresMax: number };

/** Hears what a walk through all of a finished recording saw; may hear it again. */
export type ExaminedListener = (sessionId: string, replay: ReplayTally) => Promise<void>;

/**
 * The keyframes of sessions: sidecars, and a list of them that says how far a recording was looked at. Decoding every recording costs
 * several times what recording it does, and few are looked at: so they are made when somebody asks, without keeping them
 * waiting, or ahead where the policy wants it. Behind the index, by the same thread.
 */
export class SessionKeyframes {
  readonly #shelf: RecordingShelf;
  readonly #thread: IndexThread;
  /** Settled while no index is being made: that goes first. */
  readonly #indexed: () => Promise<unknown>;
  readonly #followed: Followed;
  readonly #policy: KeyframePolicy;
  /** The run of the walk under way. */
  #walk: number | null = null;
  #walking: string | null = null;
  #usedMs = 0;
  readonly #onExamined: ExaminedListener | undefined;
  /** Somebody looks at these: no waiting for more chunks, and no resting. */
  readonly #asked = new Set<string>();
  /** Where H.264 ended an earlier walk, another was tried since this began: ffmpeg may have been installed. */
  readonly #triedAnew = new Set<string>();

  constructor(
    shelf: RecordingShelf,
    thread: IndexThread,
    indexed: () => Promise<unknown>,
    policy: KeyframePolicy,
    options: { onError?: (where: string, thrown: unknown) => void; onExamined?: ExaminedListener },
  ) {
    const { onError } = options;
    this.#onExamined = options.onExamined;
    this.#shelf = shelf;
    this.#thread = thread;
    this.#indexed = indexed;
    this.#policy = policy;
    this.#followed = new Followed(
      (sessionId) => this.#look(sessionId),
      (thrown) => onError?.('making keyframes', thrown),
    );
  }

  /** There are new chunks. */
  follow(sessionId: string): void {
    if (this.#policy.made === 'ahead') this.#followed.add(sessionId);
  }

  /** Processor time keyframes have taken, in ms. */
  get usedMs(): number {
    return this.#usedMs;
  }

  async list(recording: Recording): Promise<KeyframeList> {
    const list = await this.#load(recording);
    const { sessionId } = recording;
    const mayTry = list.ended === 'h264' && !this.#triedAnew.has(sessionId);
    const mayGoOn = list.ended === null && list.covered < (await this.#shelf.chunksCount(sessionId));
    if (mayTry || mayGoOn) {
      this.#asked.add(sessionId);
      this.#followed.add(sessionId, true);
      // Whichever it is: this one is waited for, and another one's makes way at the end of its chunk.
      if (this.#walk !== null) void this.#thread.hurry(this.#walk);
    }
    return list;
  }

  /** Somebody wants to know what of a recording can be seen: walks to its end, past where there was no decoder for H.264 before. */
  async examine(recording: Recording): Promise<void> {
    const { sessionId } = recording;
    this.#triedAnew.delete(sessionId);
    this.#asked.add(sessionId);
    this.#followed.add(sessionId, true);
    if (this.#walk !== null) void this.#thread.hurry(this.#walk);
  }

  async examined(recording: Recording): Promise<{ walkedChunks: number; chunks: number; walking: boolean }> {
    const { sessionId } = recording;
    const list = await this.#load(recording);
    const chunks = await this.#shelf.chunksCount(sessionId);
    const walking = this.#walking === sessionId || this.#followed.has(sessionId);
    return { walkedChunks: Math.min(chunks, list.replay.chunks), chunks, walking };
  }

  /** Tells what a walk through all of a finished recording came to, also where it could not go on. */
  async #tell(sessionId: string, { replay }: KeyframeList, count: number): Promise<void> {
    const isOver = count > 0 && (await this.#shelf.chunk(sessionId, count - 1)).last;
    if (isOver && (replay.chunks === count || replay.ended !== null)) await this.#onExamined?.(sessionId, replay);
  }

  sealed(sessionId: string, number: number): Promise<Uint8Array | null> {
    return this.#shelf.sealed(sessionId, keyframeName(number));
  }

  dispose(): void {
    this.#followed.dispose();
  }

  async #load(recording: Recording): Promise<KeyframeList> {
    const bytes = await this.#shelf.get(recording, listName);
    return (bytes && (await orNull(() => decodeKeyframeList(bytes)))) ?? emptyKeyframeList();
  }

  async #save(recording: Recording, list: KeyframeList): Promise<void> {
    await this.#shelf.put(recording, listName, await encodeKeyframeList(list));
  }

  async #look(sessionId: string): Promise<void> {
    this.#walking = sessionId;
    try {
      await this.#extend(sessionId);
    } finally {
      this.#walking = null;
    }
  }

  async #extend(sessionId: string): Promise<void> {
    const asked = this.#asked.delete(sessionId);
    const recording = await this.#shelf.recording(sessionId);
    const list = await this.#load(recording);
    const count = await this.#shelf.chunksCount(sessionId);
    if (list.ended === 'h264' && asked && !this.#triedAnew.has(sessionId)) {
      this.#triedAnew.add(sessionId);
      await this.#forgetEnd(sessionId, list);
    }
    if (list.ended !== null || list.covered >= count) return this.#tell(sessionId, list, count);
    if (!asked && !(await this.#worthWalking(sessionId, list.covered, count))) return;
    // Twice at most: the second walk leaves no past out.
    const whole = { ...emptyKeyframeList(), whole: true };
    const isDone = await this.#walkOn(recording, list, count, asked);
    if (!isDone) await this.#walkOn(recording, whole, count, asked);
    await this.#tell(sessionId, isDone ? list : whole, count);
  }

  /** The chunk in which it ended is walked through as if for the first time. */
  async #forgetEnd(sessionId: string, list: KeyframeList): Promise<void> {
    const chunk = list.replay.ended?.chunk ?? list.covered;
    list.ended = null;
    if (chunk >= list.covered) return;
    list.storedBytes -= (await this.#shelf.chunk(sessionId, chunk)).fileBytes;
    list.covered = chunk;
  }

  async #worthWalking(sessionId: string, first: number, count: number): Promise<boolean> {
    if (count - first >= chunksWorthWalking) return true;
    let bytes = 0;
    for (let index = first; index < count; index += 1) {
      const chunk = await this.#shelf.chunk(sessionId, index);
      bytes += chunk.fileBytes;
      if (chunk.last || bytes >= bytesWorthWalking) return true;
    }
    return false;
  }

  /** False when states turned out to lack a past they need: they have to be made anew. */
  async #walkOn(recording: Recording, list: KeyframeList, count: number, asked: boolean): Promise<boolean> {
    const { sessionId, view } = recording;
    const key = view === null ? null : { view, inputs: null };
    const run = await this.#begin(recording, list, await this.#shelf.storedBytes(sessionId));
    this.#walk = run;
    const begunMs = performance.now();
    try {
      for (let index = list.keyframes.at(-1)?.chunkIndex ?? 0; index < count; index += 1) {
        await this.#indexed();
        const file = await this.#shelf.file(sessionId, index);
        const again = index < list.covered;
        const coresMax = this.#coresMax(sessionId, asked);
        const walked = await this.#thread.walkChunk({ run, index, file, key, again, coresMax });
        this.#usedMs += walked.usedMs;
        list.ended = walked.ended;
        list.replay = walked.replay;
        for (const made of walked.keyframes) await this.#put(recording, list, made);
        if (walked.usesHistory && list.keyframes.some(({ lean }) => lean)) return false;
        if (!again) {
          list.covered = index + 1;
          list.storedBytes += file?.length ?? 0;
        }
        const done = walked.ended !== null || list.keyframes.length >= KEYFRAMES_MAX || index + 1 === count;
        if (done || walked.keyframes.length > 0) await this.#save(recording, list);
        if (done) break;
        // From a new keyframe nothing has to be decoded again.
        if (walked.keyframes.length > 0 && this.#makesWay(sessionId, asked, begunMs)) break;
      }
      return true;
    } finally {
      this.#walk = null;
      await this.#thread.close(run);
    }
  }

  #coresMax(sessionId: string, asked: boolean): number | null {
    const waitedFor = asked || this.#asked.has(sessionId) || this.#followed.hasUrgentBeside(sessionId);
    return this.#policy.made === 'asked' || waitedFor ? null : this.#policy.coresMax;
  }

  /** Somebody waits for another recording: it has its turn, and this one goes on behind it. */
  #makesWay(sessionId: string, asked: boolean, begunMs: number): boolean {
    if (!this.#followed.hasUrgentBeside(sessionId)) return false;
    if (asked && performance.now() - begunMs < turnMs) return false;
    if (asked) this.#asked.add(sessionId);
    this.#followed.add(sessionId, asked);
    return true;
  }

  /** Goes on from the last keyframe; where it can't be had, everything is made again. */
  async #begin(recording: Recording, list: KeyframeList, knownBytes: number): Promise<number> {
    const last = list.keyframes.at(-1);
    if (last !== undefined) {
      const { storedBytes, keyframeBytes, whole } = list;
      const chain = await this.chain(recording, list, last);
      const paid = { storedBytes, keyframeBytes, knownBytes };
      const start = { chain: chain ?? [], nextNumber: last.number + 1, whole, ...paid };
      const run = chain && (await this.#thread.walk(start).catch(() => null));
      if (run !== null) return run;
      Object.assign(list, emptyKeyframeList(), { whole });
    }
    const { storedBytes, keyframeBytes, whole } = list;
    return this.#thread.walk({ chain: [], nextNumber: 1, storedBytes, keyframeBytes, knownBytes, whole });
  }

  /** A keyframe after its bases; null when one of them is missing. */
  async chain(recording: Recording, list: KeyframeList, last: ListedKeyframe): Promise<Uint8Array[] | null> {
    const chain: Uint8Array[] = [];
    for (let at: ListedKeyframe | undefined = last; at !== undefined; ) {
      const bytes = await this.#shelf.get(recording, keyframeName(at.number));
      if (bytes === null) return null;
      chain.unshift(bytes);
      const base: number = at.base;
      at = base === 0 ? undefined : list.keyframes.find(({ number }) => number === base);
      if (base !== 0 && at === undefined) return null;
    }
    return chain;
  }

  async #put(recording: Recording, list: KeyframeList, { bytes: plain, ...place }: MadeKeyframe): Promise<void> {
    const bytes = await this.#shelf.put(recording, keyframeName(place.number), plain);
    list.keyframes.push({ ...place, bytes });
    list.keyframeBytes += bytes;
  }
}
