import { type Frame, frameFlags } from '@lucid-sessions/recording';
import type { LoadedChunk } from './chunk-store.ts';
import type { ChunkEntry, ChunkTable } from './chunk-table.ts';
import { type Keyframe, KeyframeCache, type KeyframePlace, stateBytes } from './keyframe-cache.ts';

/** What turns frames into a picture: the session decoder, seen from here. */
export interface PictureDecoder<State> {
  /** Takes the next frame of the recording; done when its effect is in the picture, or may be put off until `settle`. */
  take(frame: Frame, later?: boolean): void | Promise<void>;
  /** The picture shows every frame taken. */
  settle(): Promise<void>;
  /** Pictures drawn so far; grows with every visible change. */
  readonly framesCount: number;
  /** The state to go on from, or null where there can be none (pictures put off, a stream whose state can not be saved). */
  snapshot(): State | null;
  restore(state: State): void | Promise<void>;
  /** Back to before the first frame. */
  reset(): void;
}

export interface ChunkLoader {
  load(entry: ChunkEntry): Promise<LoadedChunk>;
  prefetch(entry: ChunkEntry): void;
}

/** States that lie somewhere else, such as the server's. */
export interface StoredStates<State> {
  /** The latest at or before a time. */
  before(timeUs: number): KeyframePlace | null;
  /** null when it can't be had; it is not offered again then. */
  load(place: KeyframePlace): Promise<State | null>;
}

/** A state is kept after so much of the recording … */
const keyframeEveryUsDefault = 10_000_000;
/** … or after so many bytes of frames, whichever comes first. */
const keyframeEveryBytes = 2 << 20;
/** Chunks fetched ahead on the way from a state to a moment: more than that the stored states don't leave between. */
const prefetchMax = 12;
/** Decoding hands control back this often, so that a new seek is heard. */
const turnMs = 12;
const updateTimesMax = 4096;

export interface EngineHooks {
  /** Now, in ms; the caller's clock. */
  now(): number;
  /** Lets other messages in. */
  turn(): Promise<void>;
}

export interface EngineLimits {
  /** Memory for states kept while walking. */
  keyframeBytesMax: number;
  keyframeEveryUs?: number;
}

/**
 * Walks a recording: one frame after the other, forward; back by restoring a state that was kept. Knows nothing of clocks, canvases
 * or messages. One walk at a time: a new one makes the one before stop at its next turn.
 */
export class Engine<State> {
  readonly #table: ChunkTable;
  #chunks: ChunkLoader;
  readonly #decoder: PictureDecoder<State>;
  readonly #hooks: EngineHooks;
  readonly #keyframes: KeyframeCache<State>;
  readonly #stored: StoredStates<State> | null;
  readonly #keyframeEveryUs: number;
  #chunkIndex = 0;
  #frameIndex = 0;
  #timeUs = 0;
  #sinceKeyframeBytes = 0;
  #lastKeyframeUs = 0;
  /** Times at which the picture changed, around the present position, ascending. */
  #updateTimes: number[] = [];
  #walk = 0;
  /** The walk that runs, settled when it no longer uses the decoder. */
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    table: ChunkTable,
    chunks: ChunkLoader,
    decoder: PictureDecoder<State>,
    hooks: EngineHooks,
    limits: EngineLimits,
    stored: StoredStates<State> | null = null,
  ) {
    this.#table = table;
    this.#chunks = chunks;
    this.#decoder = decoder;
    this.#hooks = hooks;
    this.#keyframes = new KeyframeCache(limits.keyframeBytesMax);
    this.#stored = stored;
    this.#keyframeEveryUs = limits.keyframeEveryUs ?? keyframeEveryUsDefault;
  }

  /** Time of the last frame decoded. */
  get timeUs(): number {
    return this.#timeUs;
  }
  get keyframesCount(): number {
    return this.#keyframes.size;
  }

  /** From now on chunks come from there, the same ones. */
  useLoader(chunks: ChunkLoader): void {
    this.#chunks = chunks;
  }

  /** Where the latest state at or before a time lies. */
  #nearest(timeUs: number): KeyframePlace | null {
    const own = this.#keyframes.before(timeUs);
    const stored = this.#stored?.before(timeUs) ?? null;
    return stored !== null && stored.timeUs > (own?.timeUs ?? -1) ? stored : own;
  }

  /** The latest state at or before a time; null: begin at the beginning. */
  async #before(timeUs: number): Promise<Keyframe<State> | null> {
    for (;;) {
      const own = this.#keyframes.before(timeUs);
      const place = this.#nearest(timeUs);
      if (place === null || place === own) return own;
      const state = await this.#stored!.load(place);
      if (state !== null) return { ...place, bytes: 0, state };
    }
  }

  /** Makes a running walk stop at its next turn. */
  cancel(): void {
    this.#walk += 1;
  }

  /**
   * Decodes every frame up to and including `toUs`. Stops early at `deadlineMs` (of the hooks' clock) or when another walk begins.
   * True when it got there.
   */
  forward(toUs: number, deadlineMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    return this.#alone((walk) => this.#forward(walk, toUs, deadlineMs), false);
  }

  /**
   * Runs one walk at a time: stops the one before, waits until it no longer uses the decoder, and gives `stopped` when yet another
   * came meanwhile.
   */
  #alone<T>(work: (walk: number) => Promise<T>, stopped: T): Promise<T> {
    this.#walk += 1;
    const walk = this.#walk;
    const run = this.#running.then(() => (walk === this.#walk ? work(walk) : stopped));
    this.#running = run.catch(() => {});
    return run;
  }

  async #forward(walk: number, toUs: number, deadlineMs = Number.POSITIVE_INFINITY, later = false): Promise<boolean> {
    let turnAt = this.#hooks.now() + turnMs;
    for (;;) {
      const frame = await this.#peek();
      if (walk !== this.#walk) return false;
      if (frame === null || frame.timeUs > toUs) return true;
      await this.#take(frame, later);
      if (walk !== this.#walk) return false;
      const now = this.#hooks.now();
      if (now >= deadlineMs) return false;
      if (now >= turnAt) {
        await this.#hooks.turn();
        if (walk !== this.#walk) return false;
        turnAt = this.#hooks.now() + turnMs;
      }
    }
  }

  /** The picture as it was at `timeUs`. True unless another walk began meanwhile. */
  seek(timeUs: number): Promise<boolean> {
    return this.#alone((walk) => this.#seek(walk, timeUs), false);
  }

  async #seek(walk: number, timeUs: number): Promise<boolean> {
    const nearest = this.#nearest(timeUs);
    const behind = timeUs < this.#timeUs;
    // Going on from here is best unless a state lies between here and there.
    if (behind || (nearest !== null && nearest.timeUs > this.#timeUs)) {
      this.#prefetch(nearest?.chunkIndex ?? 0, timeUs);
      const keyframe = await this.#before(timeUs);
      if (walk !== this.#walk) return false;
      await this.#goTo(keyframe);
    }
    if (walk !== this.#walk) return false;
    // Nobody sees what lies between.
    if (!(await this.#forward(walk, timeUs, undefined, true))) return false;
    await this.#decoder.settle();
    return walk === this.#walk;
  }

  #prefetch(first: number, timeUs: number): void {
    const last = Math.min(this.#table.indexAt(timeUs), first + prefetchMax - 1);
    for (let index = first; index <= last; index += 1) this.#chunks.prefetch(this.#table.entries[index]!);
  }

  async #goTo(keyframe: Keyframe<State> | null): Promise<void> {
    if (keyframe === null) this.#decoder.reset();
    else await this.#decoder.restore(keyframe.state);
    this.#chunkIndex = keyframe?.chunkIndex ?? 0;
    this.#frameIndex = keyframe?.frameIndex ?? 0;
    this.#timeUs = keyframe?.timeUs ?? 0;
    this.#lastKeyframeUs = this.#timeUs;
    this.#sinceKeyframeBytes = 0;
    this.#updateTimes = [];
  }

  /** Forward to the next change of the picture; its time, or null at the end. */
  stepForward(): Promise<number | null> {
    return this.#alone((walk) => this.#stepForward(walk), null);
  }

  async #stepForward(walk: number): Promise<number | null> {
    await this.#decoder.settle();
    const before = this.#decoder.framesCount;
    for (;;) {
      const frame = await this.#peek();
      if (frame === null || walk !== this.#walk) return null;
      await this.#take(frame);
      if (this.#decoder.framesCount > before) return this.#timeUs;
    }
  }

  /** Back to the change of the picture before `timeUs`; its time, or null when there is none. */
  stepBack(timeUs: number): Promise<number | null> {
    return this.#alone((walk) => this.#stepBack(walk, timeUs), null);
  }

  async #stepBack(walk: number, timeUs: number): Promise<number | null> {
    let target = this.#updateBefore(timeUs);
    // Changes are only known where frames were decoded in one go: walk up to here again from earlier and earlier states.
    for (let fromUs = timeUs - 1; target === null; ) {
      const keyframe = await this.#before(fromUs);
      await this.#goTo(keyframe);
      if (!(await this.#forward(walk, timeUs - 1))) return null;
      target = this.#updateBefore(timeUs);
      if (keyframe === null) break;
      fromUs = keyframe.timeUs - 1;
    }
    if (target === null) return null;
    return (await this.#seek(walk, target)) ? target : null;
  }

  #updateBefore(timeUs: number): number | null {
    return this.#updateTimes.findLast((time) => time < timeUs) ?? null;
  }

  /** Time of the next frame, null at the end. */
  nextFrameUs(): Promise<number | null> {
    return this.#alone(async () => (await this.#peek())?.timeUs ?? null, null);
  }

  async #peek(): Promise<Frame | null> {
    for (;;) {
      const entry = this.#table.entries[this.#chunkIndex];
      if (!entry) return null;
      const chunk = await this.#chunks.load(entry);
      // Another walk may have moved the position while the chunk was on its way.
      if (entry.index !== this.#chunkIndex) continue;
      const frame = chunk.frames[this.#frameIndex];
      if (frame) {
        this.#prefetchNext(chunk);
        return frame;
      }
      if (this.#chunkIndex + 1 >= this.#table.length) return null;
      this.#chunkIndex += 1;
      this.#frameIndex = 0;
    }
  }

  #prefetchNext(chunk: LoadedChunk): void {
    if (this.#frameIndex * 2 < chunk.frames.length) return;
    const next = this.#table.entries[chunk.index + 1];
    if (next) this.#chunks.prefetch(next);
  }

  async #take(frame: Frame, later = false): Promise<void> {
    this.#frameIndex += 1;
    this.#timeUs = Math.max(this.#timeUs, frame.timeUs);
    const before = this.#decoder.framesCount;
    if ((frame.flags & frameFlags.receivedOnly) === 0) {
      // Most frames are drawn at once: waiting for each would cost more than drawing it.
      const drawn = this.#decoder.take(frame, later);
      if (drawn) await drawn;
    }
    if (this.#decoder.framesCount !== before) this.#noteUpdate(frame.timeUs);
    this.#sinceKeyframeBytes += frame.body.length;
    if (this.#sinceKeyframeBytes >= keyframeEveryBytes || this.#timeUs - this.#lastKeyframeUs >= this.#keyframeEveryUs)
      this.#keep();
  }

  #noteUpdate(timeUs: number): void {
    if (this.#updateTimes.at(-1) === timeUs) return;
    this.#updateTimes.push(timeUs);
    if (this.#updateTimes.length > updateTimesMax) this.#updateTimes.splice(0, updateTimesMax / 2);
  }

  #keep(): void {
    this.#lastKeyframeUs = this.#timeUs;
    this.#sinceKeyframeBytes = 0;
    const known = this.#keyframes.before(this.#timeUs);
    if (known !== null && this.#timeUs - known.timeUs < this.#keyframeEveryUs / 2) return;
    const state = this.#decoder.snapshot();
    if (state === null) return;
    const place = { chunkIndex: this.#chunkIndex, frameIndex: this.#frameIndex, timeUs: this.#timeUs };
    this.#keyframes.add({ ...place, bytes: stateBytes(state), state });
  }
}
