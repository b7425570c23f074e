import type { FromWorker, PlaybackState } from '../protocol.ts';
import type { Engine } from './engine.ts';
import type { PictureState } from './picture.ts';
import type { Stage } from './stage.ts';

/** One displayed frame. */
const tickMs = 16;
/** A tick that decodes longer than this shows what it has, and the clock waits. */
const tickBudgetMs = 60;
const positionEveryMs = 100;
/** The first picture is drawn in many pieces: so much recording after the first of them belongs to it. */
const firstPictureUs = 300_000;
/** How far to look for something to show when the recording is opened where the screen is still empty. */
const blankUsMax = 30_000_000;
/** How often the way to the first picture is told. */
const openingEveryMs = 500;
/** A seek so close to the live edge means the edge: it has moved on since it was seen. */
const edgeUs = 1_000_000;
/** Nothing happens for longer than this: idle. Skipping leaves a moment before what comes next. */
const idleUs = 2_000_000;
const idleLeadUs = 300_000;
const loadingShownAfterMs = 200;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How time passes. */
type Motion =
  | { kind: 'opening' | 'paused' | 'ended' }
  /** `anchorMs`: the clock's reading when the position was true; `run`: the loop that turns the clock, one at a time. */
  | { kind: 'playing'; anchorMs: number; run: object };

/** On the way to another moment: the clock waits. */
interface Seek {
  /** It takes so long that the page is told. */
  isSlow: boolean;
}

export interface PlaybackHooks {
  send(message: FromWorker): void;
  /** What is still to be heard belongs to another moment. */
  silence(): void;
}

/** Where one looks in the recording, and how that moves: seeking, playing, following a session that runs. */
export class Playback {
  readonly #engine: Engine<PictureState>;
  readonly #stage: Stage;
  readonly #hooks: PlaybackHooks;
  #motion: Motion = { kind: 'opening' };
  #seek: Seek | null = null;
  #timeUs = 0;
  #durationUs: number;
  /** More may come: a session that runs, or is not stored to its end. */
  #isLive: boolean;
  /** What is to be seen is what the live stream brought last. */
  #atEdge = false;
  #rate = 1;
  #skipsIdle = true;
  /** What the page was told last. */
  #told = { atMs: 0, seekId: 0 };

  constructor(
    engine: Engine<PictureState>,
    stage: Stage,
    hooks: PlaybackHooks,
    line: { durationUs: number; isLive: boolean },
  ) {
    this.#engine = engine;
    this.#stage = stage;
    this.#hooks = hooks;
    this.#durationUs = line.durationUs;
    this.#isLive = line.isLive;
  }

  get timeUs(): number {
    return this.#timeUs;
  }
  get durationUs(): number {
    return this.#durationUs;
  }
  get isPlaying(): boolean {
    return this.#motion.kind === 'playing';
  }
  /** Sound in step with the picture: playing as fast as it was. */
  get isHeard(): boolean {
    return this.isPlaying && this.#rate === 1 && this.#seek === null;
  }

  /** At the beginning nothing is drawn yet: goes on to the first picture. */
  async begin(startUs: number): Promise<void> {
    const { picture } = this.#stage;
    const tell = (): void => this.#hooks.send({ type: 'opening', timeUs: this.#engine.timeUs, durationUs: startUs });
    const telling = setInterval(tell, openingEveryMs);
    await this.#engine.seek(startUs).finally(() => clearInterval(telling));
    this.#timeUs = startUs;
    let drawnUs: number | null = startUs;
    const { blank } = picture;
    while (picture.blank && !picture.lacksH264 && drawnUs !== null && drawnUs < startUs + blankUsMax)
      drawnUs = await this.#engine.stepForward();
    if (blank && drawnUs !== null) await this.#engine.forward(drawnUs + firstPictureUs);
    if (blank) this.#timeUs = Math.max(startUs, this.#engine.timeUs);
    this.#durationUs = Math.max(this.#durationUs, this.#timeUs);
    await this.#stage.drawnByServer(this.#timeUs);
    this.#stage.paint(this.#timeUs);
  }

  async play(): Promise<void> {
    if (this.isPlaying) return;
    if (this.#timeUs >= this.#durationUs && !this.#isLive) await this.seek(0);
    const run = {};
    this.#motion = { kind: 'playing', anchorMs: performance.now(), run };
    this.#tellState();
    for (; this.#motion.kind === 'playing' && this.#motion.run === run; await sleep(tickMs))
      await this.#tick(this.#motion);
  }

  pause(): void {
    if (!this.isPlaying) return;
    this.#rest('paused');
    this.#atEdge = false;
    this.#hooks.silence();
    this.#engine.cancel();
    void this.#stage.askServer(this.#timeUs);
    this.#tellState();
  }

  /** Stops without a word: the page is told of what stopped it. */
  stop(): void {
    if (this.isPlaying) this.#rest('paused');
  }

  #rest(kind: 'paused' | 'ended'): void {
    this.#motion = { kind };
  }

  /** From now on time passes from here. */
  #anchor(): void {
    if (this.#motion.kind === 'playing') this.#motion = { ...this.#motion, anchorMs: performance.now() };
  }

  setRate(rate: number): void {
    this.#rate = rate;
    this.#hooks.silence();
    this.#anchor();
  }

  skipIdle(on: boolean): void {
    this.#skipsIdle = on;
  }

  async #tick(motion: Extract<Motion, { kind: 'playing' }>): Promise<void> {
    if (this.#seek !== null) return;
    const now = performance.now();
    const target = this.#atEdge
      ? this.#durationUs
      : Math.min(this.#durationUs, this.#timeUs + (now - motion.anchorMs) * 1000 * this.#rate);
    const reached = await this.#engine.forward(this.#withTheLast(target), now + tickBudgetMs);
    // A seek or a pause came in between: the position is theirs.
    if (this.#motion !== motion) return;
    // At the edge the last frame may be newer than the time told of it.
    const shownUs = this.#atEdge || !reached ? this.#engine.timeUs : 0;
    this.#timeUs = Math.max(reached ? target : this.#timeUs, shownUs);
    this.#motion = { ...motion, anchorMs: reached ? now : performance.now() };
    if (this.#isLive && reached && target >= this.#durationUs) this.#atEdge = true;
    this.#stage.lookAtServer(this.#timeUs, now);
    this.#stage.paint(this.#timeUs);
    if (!this.#atEdge) await this.#skipOrEnd();
    this.#tellPosition();
  }

  /**
   * The last frames may lie a little beyond the duration that the API tells, and belong to its end: playing stops behind them. At
   * the live edge everything that came is shown.
   */
  #withTheLast(timeUs: number): number {
    return this.#atEdge || (timeUs >= this.#durationUs && !this.#isLive) ? Number.POSITIVE_INFINITY : timeUs;
  }

  async #skipOrEnd(): Promise<void> {
    const motion = this.#motion;
    const nextUs = await this.#engine.nextFrameUs();
    if (this.#motion !== motion) return;
    const ended = nextUs === null && (this.#skipsIdle || this.#timeUs >= this.#durationUs);
    if (ended && !this.#isLive) {
      this.#timeUs = this.#durationUs;
      this.#rest('ended');
      void this.#stage.askServer(this.#timeUs);
      this.#tellState();
    } else if (this.#skipsIdle && nextUs === null) {
      this.#timeUs = this.#durationUs;
    } else if (this.#skipsIdle && nextUs !== null && nextUs - this.#timeUs > idleUs) {
      this.#timeUs = nextUs - idleLeadUs;
      this.#anchor();
    }
  }

  /** `id`: the page's own, told with every position from now on. */
  seek(timeUs: number, id = this.#told.seekId): Promise<void> {
    this.#told.seekId = id;
    return this.#seekTo(timeUs);
  }

  async #seekTo(timeUs: number): Promise<void> {
    this.#timeUs = timeUs;
    this.#hooks.silence();
    this.#atEdge = this.#isLive && timeUs >= this.#durationUs - edgeUs;
    this.#anchor();
    const seek: Seek = { isSlow: false };
    this.#seek = seek;
    const shown = setTimeout(() => {
      seek.isSlow = true;
      this.#tellState();
    }, loadingShownAfterMs);
    const there = await this.#goTo(timeUs).finally(() => {
      clearTimeout(shown);
      if (this.#seek === seek) this.#seek = null;
    });
    if (!there) return;
    this.#anchor();
    this.#stage.paint(this.#timeUs);
    if (!this.isPlaying) this.#rest(timeUs >= this.#durationUs && !this.#isLive ? 'ended' : 'paused');
    this.#tellState();
  }

  /** False when another moment was asked for meanwhile. */
  async #goTo(timeUs: number): Promise<boolean> {
    // It takes its time too: both at once.
    const asked = this.#stage.askServer(timeUs);
    if (!(await this.#engine.seek(this.#withTheLast(timeUs)))) return false;
    return (await (asked ?? this.#stage.drawnByServer(timeUs))) !== 'passed';
  }

  async step(direction: 1 | -1): Promise<void> {
    this.pause();
    this.#atEdge = false;
    const timeUs = direction === 1 ? await this.#engine.stepForward() : await this.#engine.stepBack(this.#timeUs);
    if (timeUs === null) return;
    this.#timeUs = timeUs;
    await this.#stage.drawnByServer(timeUs);
    this.#stage.paint(timeUs);
    this.#rest('paused');
    this.#tellState();
  }

  /** The first picture is there, or there will be none. */
  opened(): void {
    if (this.#motion.kind === 'opening') this.#rest('paused');
    this.#tellState();
  }

  /** Plays what the live stream brings last. */
  followEdge(): void {
    this.#atEdge = true;
    void this.play();
  }

  /** A running session has come so far. A paused picture stands still; the session it is of goes on. */
  grow(durationUs: number): void {
    this.#durationUs = Math.max(this.#durationUs, durationUs);
    if (!this.isPlaying) this.#tellPosition();
  }

  /** All of it is stored: what was followed is a recording like any other. */
  async settle(durationUs: number): Promise<void> {
    this.#isLive = false;
    this.#durationUs = Math.max(durationUs, this.#engine.timeUs);
    this.#hooks.send({ type: 'over' });
    if (this.#atEdge) {
      this.stop();
      // What the stream did not bring at the end is in the chunks.
      await this.seek(this.#durationUs);
    } else {
      this.#timeUs = Math.min(this.#timeUs, this.#durationUs);
      this.#tellState();
    }
  }

  get #state(): PlaybackState {
    if (this.#motion.kind === 'opening' || this.#seek?.isSlow) return 'loading';
    return this.#motion.kind;
  }

  #tellState(): void {
    this.#told.atMs = 0;
    this.#tellPosition();
    const kinds = [...this.#stage.picture.screen.unsupported].filter(([, count]) => count > 0);
    this.#hooks.send({ type: 'notDrawn', kinds });
  }

  #tellPosition(): void {
    const now = performance.now();
    if (now - this.#told.atMs < positionEveryMs) return;
    this.#told.atMs = now;
    this.#hooks.send({
      type: 'position',
      seekId: this.#told.seekId,
      timeUs: this.#timeUs,
      durationUs: this.#durationUs,
      state: this.#state,
      atEdge: this.#atEdge && this.isPlaying,
    });
  }
}
