import { type SessionKeys, webCrypto } from '@lucid-sessions/evidence';
import type { Rectangle } from '@lucid-sessions/graphics';
import { ApiClient, query } from '../../api/client.ts';
import type { Chunk } from '../../api/types.ts';
import { LiveView } from '../live/live-view.ts';
import type {
  FromWorker,
  PlaybackState,
  PlayerEvent,
  PlayerMonitors,
  PlayerSource,
  ToWorker,
  Verdict,
} from '../protocol.ts';
import { ChunkStore } from './chunk-store.ts';
import { type ChunkEntry, ChunkTable, scaleActivity } from './chunk-table.ts';
import { type ChunkLoader, Engine } from './engine.ts';
import { EvidenceCheck } from './evidence-check.ts';
import { markedCopy } from './imported-mark.ts';
import { Painter } from './painter.ts';
import { Picture, type PictureState } from './picture.ts';
import { monitorsOfPicture } from './picture-monitors.ts';
import { noIndexText, RecordingIndex } from './recording-index.ts';
import { type Asked, ServerPictures } from './server-pictures.ts';
import { SoundOut } from './sound-out.ts';
import { StoredKeyframes } from './stored-keyframes.ts';
import { Thumbnails } from './thumbnail.ts';
import { turn } from './turn.ts';
import { verdictsUnknown } from './verdicts.ts';
import { exportVideo } from './video-export.ts';

const chunkPageSize = 1000;
const chunkLimits = { openBytesMax: 64 << 20, fileBytesMax: 32 << 20 };
/** States kept while playing. */
const engineLimits = { keyframeBytesMax: 64 << 20 };
const activityParts = 240;
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
/** Recordings up to this size are checked to the last chunk without being asked to. */
const checkAtOnceBytes = 24 << 20;
const checkAtOnceChunks = 200;
/** How often the list of keyframes is read again while it is not complete: they are made because somebody looks, now. */
const keyframesWaitMs = 1000;
const keyframesWaitMsMax = 60_000;
/** … and while more come. */
const moreKeyframesWaitMs = 3000;
/** How often it is asked how far a recording was walked through. */
const replayWaitMs = 1000;
const replayWaitMsMax = 30_000;
/** Pictures the server draws while playing. */
const serverPictureEveryMs = 1000;
/** … later where it could not. */
const serverFailedMs = 10_000;
/** So long nothing was asked for: time for what is not urgent. */
const idleMs = 400;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const engineHooks = { now: () => performance.now(), turn };

/** One open recording inside the worker: what the page asks for, done with engine, painter and clock. */
export class PlayerSession {
  readonly #send: (message: FromWorker, transfer?: Transferable[]) => void;
  readonly #api: ApiClient;
  readonly #source: PlayerSource;
  readonly #painter: Painter;
  readonly #table = new ChunkTable();
  readonly #picture = new Picture();
  readonly #sound = new SoundOut((channel, samples) => {
    // What a decoder gives late, after a pause or a seek, belongs to another moment.
    if (this.#isHeard)
      this.#send(
        { type: 'sound', channel, samples },
        samples.channels.map(({ buffer }) => buffer),
      );
  });
  readonly #index: RecordingIndex;
  readonly #stored: StoredKeyframes;
  readonly #thumbnails: Thumbnails;
  /** Draws what this browser can't, once that is known. */
  #server: ServerPictures<ImageBitmap> | null = null;
  #askedServerMs = 0;
  #chunks: ChunkStore | null = null;
  /** Until a running session is over. */
  #live: LiveView | null = null;
  /** The picture is what the live stream brought last. */
  #atEdge = false;
  /** Seeks under way: the clock waits for them. */
  #seeking = 0;
  #engine: Engine<PictureState> | null = null;
  #evidence: EvidenceCheck | null = null;
  #following = false;
  readonly #recordsChecked = Promise.withResolvers<void>();
  #playing = false;
  #rate = 1;
  #skipIdle = true;
  #pointerShown = true;
  #monitors: PlayerMonitors = { width: 0, height: 0, monitors: [] };
  /** The monitor looked at. */
  #monitor: number | null = null;
  /** Position shown, and the clock's reading when it was true. */
  #timeUs = 0;
  #anchorMs = 0;
  #state: PlaybackState = 'loading';
  #positionSentMs = 0;
  #seekId = 0;
  /** What was asked for last, settled when it is done. */
  #latest: Promise<void> = Promise.resolve();
  #durationUs = 0;
  #activity: Float32Array = new Float32Array(activityParts);
  readonly #exports = new Map<number, AbortController>();
  #closed = false;

  constructor(
    source: PlayerSource,
    canvas: OffscreenCanvas,
    send: (message: FromWorker, transfer?: Transferable[]) => void,
  ) {
    this.#source = source;
    this.#send = send;
    this.#api = new ApiClient(source.baseUrl, () => source.token);
    this.#index = new RecordingIndex(this.#api, source.sessionId);
    this.#stored = new StoredKeyframes(this.#api, source.sessionId, webCrypto(globalThis.crypto));
    this.#thumbnails = new Thumbnails((timeUs, picture) => send({ type: 'thumbnail', timeUs, picture }, [picture]));
    this.#painter = new Painter(canvas);
    this.#picture.onSound = (piece) => void (this.#isHeard && this.#sound.hear(piece));
    this.#painter.onSize = (width, height) => send({ type: 'size', width, height });
  }

  async open(startUs: number): Promise<void> {
    const [keys] = await Promise.all([
      this.#fetchKeys(),
      this.#fetchChunks(),
      // Without a list of keyframes everything works, only slower.
      this.#stored.refresh().catch(() => {}),
    ]);
    this.#stored.useKey(keys.view);
    const crypto = webCrypto(globalThis.crypto);
    this.#chunks = new ChunkStore((entry) => this.#download(entry), crypto, keys, chunkLimits);
    if (this.#source.live) this.#live = this.#liveView(this.#chunks);
    this.#engine = new Engine(this.#table, this.#loader, this.#picture, engineHooks, engineLimits, this.#stored);
    this.#evidence = new EvidenceCheck(this.#api, this.#source.sessionId, crypto, this.#table, this.#chunks, keys);
    this.#chunks.onFile = (index, file) => void this.#noteFile(index, file);
    this.#durationUs = this.#table.durationUs;
    this.#thumbnails.durationUs = this.#durationUs;
    this.#activity = this.#table.activity(activityParts);
    const problem = await this.#firstPicture(this.#live ? this.#durationUs : startUs).then(
      () => null,
      (error: unknown) => error,
    );
    this.#send({
      type: 'opened',
      durationUs: this.#durationUs,
      startedAtMs: this.#table.startedAtMs,
      live: this.#live !== null,
    });
    this.#setState('paused');
    this.#send({ type: 'activity', values: scaleActivity(this.#activity) });
    void this.#readIndex();
    void this.#readKeyframes();
    if (this.#live) void this.#follow(this.#live);
    // Hundreds of seals take their time: the picture comes first.
    void this.#checkEvidence(this.#evidence);
    // A damaged chunk must not keep the others from being looked at.
    if (problem !== null && this.#picture.framesCount === 0) this.#fail(problem);
  }

  /** Reading of the index that counts: one begun anew ends the one before. */
  #reading = 0;

  handle(message: ToWorker): void {
    const run = (work: Promise<void>): void => {
      this.#latest = work.catch((error: unknown) => this.#fail(error));
    };
    switch (message.type) {
      case 'play':
        run(this.#play());
        break;
      case 'pause':
        this.#pause();
        break;
      case 'seek':
        this.#seekId = message.id;
        run(this.#seek(message.timeUs));
        break;
      case 'step':
        run(this.#step(message.direction));
        break;
      case 'rate':
        this.#rate = message.rate;
        this.#silence();
        this.#anchor();
        break;
      case 'skipIdle':
        this.#skipIdle = message.on;
        break;
      case 'pointer':
        this.#pointerShown = message.shown;
        this.#paint();
        break;
      case 'view':
        this.#monitor = message.monitor;
        this.#paint();
        break;
      case 'png':
        void this.#png(message.id);
        break;
      case 'examine':
        void this.#examine();
        break;
      case 'checkEveryChunk':
        void this.#checkEveryChunk();
        break;
      case 'showLogon':
        this.#index.showLogon();
        void this.#readIndex(true);
        break;
      case 'export':
        void this.#exportVideo(message);
        break;
      case 'cancelExport':
        this.#exports.get(message.id)?.abort();
        break;
      case 'close':
        this.#closed = true;
        this.#playing = false;
        this.#live?.stop();
        this.#server?.close();
        this.#sound.reset();
        break;
    }
  }

  /** Pictures need no more than the view key: what was typed and copied comes from the index, to those who may see it. */
  async #fetchKeys(): Promise<SessionKeys> {
    const { key } = await this.#api.facts(`/sessions/${this.#source.sessionId}/key`);
    return { view: bytesOf(key), inputs: null };
  }

  async #download(entry: ChunkEntry): Promise<Uint8Array> {
    if (entry.chunkId === null) throw new Error(`chunk ${entry.index + 1} is not stored yet`);
    const path = `/sessions/${this.#source.sessionId}/chunks/${entry.chunkId}/download`;
    return new Uint8Array(await (await this.#api.send(path)).arrayBuffer());
  }

  async #fetchChunks(): Promise<void> {
    for (;;) {
      const offset = this.#table.storedLength;
      const answer = await this.#api.listChunks(this.#source.sessionId, chunkPageSize, offset);
      this.#table.append(answer.chunks as Chunk[]);
      if (!answer.pagination.has_next || this.#table.storedLength === offset) return;
    }
  }

  get #loader(): ChunkLoader {
    const loader = this.#live?.chunks ?? this.#chunks;
    if (!loader) throw new Error('the recording is not open yet');
    return loader;
  }
  get #walker(): Engine<PictureState> {
    if (!this.#engine) throw new Error('the recording is not open yet');
    return this.#engine;
  }

  /** At the beginning nothing is drawn yet: go on to the first picture. */
  async #firstPicture(startUs: number): Promise<void> {
    const walker = this.#walker;
    const tell = (): void => this.#send({ type: 'opening', timeUs: walker.timeUs, durationUs: startUs });
    const telling = setInterval(tell, openingEveryMs);
    await walker.seek(startUs).finally(() => clearInterval(telling));
    this.#timeUs = startUs;
    let drawnUs: number | null = startUs;
    const blank = this.#picture.blank;
    while (this.#picture.blank && !this.#picture.lacksH264 && drawnUs !== null && drawnUs < startUs + blankUsMax)
      drawnUs = await this.#walker.stepForward();
    if (blank && drawnUs !== null) await this.#walker.forward(drawnUs + firstPictureUs);
    if (blank) this.#timeUs = Math.max(startUs, this.#walker.timeUs);
    this.#durationUs = Math.max(this.#durationUs, this.#timeUs);
    await this.#drawnByServer(this.#timeUs);
    this.#paint();
  }

  /** Sound in step with the picture: playing as fast as it was. */
  get #isHeard(): boolean {
    return this.#playing && this.#rate === 1 && this.#seeking === 0;
  }

  #silence(): void {
    this.#sound.reset();
    this.#send({ type: 'silence' });
  }

  #anchor(): void {
    this.#anchorMs = performance.now();
  }

  async #play(): Promise<void> {
    if (this.#playing) return;
    if (this.#timeUs >= this.#durationUs && !this.#live) await this.#seek(0);
    this.#playing = true;
    this.#anchor();
    this.#setState('playing');
    while (this.#playing && !this.#closed) {
      await this.#tick();
      await sleep(tickMs);
    }
  }

  /** What the index says goes to the page, as far as it was made; a running session's goes on. */
  async #readIndex(anew = false): Promise<void> {
    const reading = ++this.#reading;
    try {
      const { activity, ...first } = await this.#index.first(this.#durationUs, activityParts);
      this.#send({ type: 'activity', values: scaleActivity(activity) });
      this.#sendEvents(first.events, anew);
      for (let { more } = first; more && !this.#closed && reading === this.#reading; ) more = await this.#moreEvents();
    } catch (error) {
      this.#send({ type: 'events', events: [], remark: noIndexText(error), hidesLogon: false, anew: false });
    }
  }

  async #moreEvents(): Promise<boolean> {
    const { events, more } = await this.#index.next();
    this.#sendEvents(events);
    return more;
  }

  #sendEvents(events: PlayerEvent[], anew = false): void {
    const { remark, hidesLogon } = this.#index;
    this.#send({ type: 'events', events, remark, hidesLogon, anew });
  }

  /** Keyframes that were not made yet come while the recording is looked at. */
  async #readKeyframes(): Promise<void> {
    for (let waitMs = keyframesWaitMs; !this.#closed; ) {
      if (this.#stored.coveredChunks >= this.#table.length && !this.#live) break;
      await sleep(waitMs);
      const before = this.#stored.places.length;
      await this.#stored.refresh().catch(() => {});
      const more = this.#stored.places.length > before;
      waitMs = more ? moreKeyframesWaitMs : Math.min(waitMs * 2, keyframesWaitMsMax);
    }
    await this.#thumbnails.ofStored(this.#stored, () => this.#idle());
  }

  /** Waits until nothing was asked for in a while. */
  async #idle(): Promise<void> {
    for (let latest: Promise<void> | null = null; latest !== this.#latest && !this.#closed; ) {
      latest = this.#latest;
      await latest;
      await sleep(idleMs);
    }
  }

  /** Files that came before their leaves are looked at when they are there: playback waits for no check. */
  async #noteFile(index: number, file: Uint8Array): Promise<void> {
    await this.#recordsChecked.promise;
    if (this.#evidence && (await this.#evidence.noteFile(index, file))) this.#sendVerdicts(this.#evidence.verdicts());
  }

  #liveView(stored: ChunkStore): LiveView {
    return new LiveView(this.#api, this.#source.sessionId, this.#table, stored, {
      refresh: () => this.#fetchChunks(),
      onStored: () => {
        this.#send({ type: 'activity', values: scaleActivity(this.#table.activity(activityParts)) });
        void this.#moreEvents().catch(() => {});
      },
      onNotice: (text) => this.#send({ type: 'liveNotice', text }),
    });
  }

  async #follow(live: LiveView): Promise<void> {
    this.#atEdge = true;
    void this.#play();
    const growing = setInterval(() => this.#grow(live), positionEveryMs);
    await live.follow().finally(() => clearInterval(growing));
    if (!this.#closed) await this.#becomeRecording();
  }

  /** A paused picture stands still; the session it is of goes on. */
  #grow(live: LiveView): void {
    this.#durationUs = Math.max(this.#durationUs, live.edgeUs(performance.now()));
    if (!this.#playing) this.#reportPosition();
  }

  /** All of it is stored: what was followed is a recording like any other, and is checked like one. */
  async #becomeRecording(): Promise<void> {
    this.#live = null;
    this.#engine?.useLoader(this.#loader);
    this.#durationUs = Math.max(this.#table.durationUs, this.#walker.timeUs);
    this.#thumbnails.durationUs = this.#durationUs;
    this.#send({ type: 'over' });
    if (this.#atEdge) {
      this.#playing = false;
      // What the stream did not bring at the end is in the chunks.
      await this.#seek(this.#durationUs);
    } else {
      this.#timeUs = Math.min(this.#timeUs, this.#durationUs);
      this.#setState(this.#playing ? 'playing' : 'paused');
    }
    await this.#moreEvents().catch(() => {});
    if (this.#evidence) await this.#checkEvidence(this.#evidence);
  }

  async #checkEvidence(evidence: EvidenceCheck): Promise<void> {
    try {
      const verdicts = await evidence.checkRecords().finally(() => this.#recordsChecked.resolve());
      this.#sendVerdicts(verdicts);
      if (this.#table.totalBytes <= checkAtOnceBytes && this.#table.length <= checkAtOnceChunks)
        await this.#checkEveryChunk();
      void this.#followReplay(evidence);
    } catch (error) {
      this.#sendVerdicts(verdictsUnknown(error instanceof Error ? error.message : ''));
    }
  }

  #sendVerdicts(verdicts: Verdict[]): void {
    this.#send({ type: 'verdicts', verdicts, imported: this.#evidence?.imported ?? null });
  }

  /** Whether what leaves the player has to say that it was imported. */
  async #isImported(): Promise<boolean> {
    if (this.#source.imported === true) return true;
    if (this.#source.live) return false;
    await this.#recordsChecked.promise;
    return (this.#evidence?.imported ?? null) !== null;
  }

  /** Opening a recording has its keyframes made, for which it is decoded: the result is shown when it is there. */
  async #followReplay(evidence: EvidenceCheck): Promise<void> {
    if (this.#following || evidence.isExamined) return;
    this.#following = true;
    try {
      for (let waitMs = replayWaitMs; !this.#closed && !this.#live; waitMs = Math.min(waitMs * 2, replayWaitMsMax)) {
        const { isKnown, text } = await evidence.replayProgress();
        if (isKnown) this.#sendVerdicts(await evidence.refreshReplay());
        this.#send({ type: 'examining', text });
        if (isKnown || text === null) break;
        await sleep(waitMs);
      }
    } catch (error) {
      this.#send({ type: 'examining', text: error instanceof Error ? error.message : null });
    } finally {
      this.#following = false;
    }
  }

  async #examine(): Promise<void> {
    if (!this.#evidence || this.#live) return;
    try {
      this.#send({ type: 'examining', text: 'Examining…' });
      await this.#evidence.examine();
    } catch (error) {
      this.#send({ type: 'examining', text: error instanceof Error ? error.message : null });
      return;
    }
    await this.#followReplay(this.#evidence);
  }

  async #checkEveryChunk(): Promise<void> {
    const total = this.#table.length;
    if (!this.#evidence || this.#live) return;
    const progress = (checked: number): void => this.#send({ type: 'checkProgress', checked, total });
    progress(0);
    const verdicts = await this.#evidence.checkEveryChunk(progress);
    progress(total);
    this.#sendVerdicts(verdicts);
  }

  #pause(): void {
    if (!this.#playing) return;
    this.#playing = false;
    this.#atEdge = false;
    this.#silence();
    this.#walker.cancel();
    void this.#server?.at(this.#timeUs);
    this.#setState('paused');
  }

  async #tick(): Promise<void> {
    if (this.#seeking > 0) return;
    const now = performance.now();
    const anchorMs = this.#anchorMs;
    const target = this.#atEdge
      ? this.#durationUs
      : Math.min(this.#durationUs, this.#timeUs + (now - anchorMs) * 1000 * this.#rate);
    const reached = await this.#walker.forward(this.#withTheLast(target), now + tickBudgetMs);
    // A seek or a pause came in between: the position is theirs.
    if (!this.#playing || anchorMs !== this.#anchorMs) return;
    // At the edge the last frame may be newer than the time told of it.
    const shownUs = this.#atEdge || !reached ? this.#walker.timeUs : 0;
    this.#timeUs = Math.max(reached ? target : this.#timeUs, shownUs);
    this.#anchorMs = reached ? now : performance.now();
    if (this.#live && reached && target >= this.#durationUs) this.#atEdge = true;
    this.#lookAtServer(now);
    this.#paint();
    if (!this.#atEdge) await this.#skipOrEnd();
    this.#reportPosition();
  }

  /**
   * The last frames may lie a little beyond the duration that the API tells, and belong to its end: playing stops behind them. At
   * the live edge everything that came is shown.
   */
  #withTheLast(timeUs: number): number {
    return this.#atEdge || (timeUs >= this.#durationUs && !this.#live) ? Number.POSITIVE_INFINITY : timeUs;
  }

  async #skipOrEnd(): Promise<void> {
    const anchorMs = this.#anchorMs;
    const nextUs = await this.#walker.nextFrameUs();
    if (!this.#playing || anchorMs !== this.#anchorMs) return;
    const ended = nextUs === null && (this.#skipIdle || this.#timeUs >= this.#durationUs);
    if (ended && !this.#live) {
      this.#timeUs = this.#durationUs;
      this.#playing = false;
      void this.#server?.at(this.#timeUs);
      this.#setState('ended');
    } else if (this.#skipIdle && nextUs === null) {
      this.#timeUs = this.#durationUs;
    } else if (this.#skipIdle && nextUs !== null && nextUs - this.#timeUs > idleUs) {
      this.#timeUs = nextUs - idleLeadUs;
      this.#anchor();
    }
  }

  async #seek(timeUs: number): Promise<void> {
    this.#timeUs = timeUs;
    this.#silence();
    this.#atEdge = this.#live !== null && timeUs >= this.#durationUs - edgeUs;
    this.#anchor();
    const shown = setTimeout(() => this.#setState('loading'), loadingShownAfterMs);
    this.#seeking += 1;
    const there = await this.#goTo(timeUs).finally(() => {
      clearTimeout(shown);
      this.#seeking -= 1;
    });
    if (!there) return;
    this.#anchor();
    this.#paint();
    this.#setState(this.#playing ? 'playing' : timeUs >= this.#durationUs && !this.#live ? 'ended' : 'paused');
  }

  /** False when another moment was asked for meanwhile. */
  async #goTo(timeUs: number): Promise<boolean> {
    // It takes its time too: both at once.
    const asked = this.#server?.at(timeUs);
    if (!(await this.#walker.seek(this.#withTheLast(timeUs)))) return false;
    return (asked === undefined ? await this.#drawnByServer(timeUs) : await asked) !== 'passed';
  }

  /** Waits for the server's picture where this browser can draw none of its own. */
  async #drawnByServer(timeUs: number): Promise<Asked> {
    if (!this.#picture.lacksH264) return 'shown';
    this.#server ??= this.#openServer();
    return this.#server.at(timeUs);
  }

  #openServer(): ServerPictures<ImageBitmap> {
    const tell = (problem: string | null): void =>
      this.#send({ type: 'drawnByServer', hasWebCodecs: typeof VideoDecoder !== 'undefined', problem });
    tell(null);
    return new ServerPictures({
      fetch: (timeUs) => this.#fetchPicture(timeUs),
      onPicture: (timeUs, picture) => {
        this.#thumbnails.offerDrawn(timeUs, picture);
        this.#painter.give(picture);
        this.#paint();
      },
      onProblem: (problem) => {
        if (problem !== null) this.#painter.give(null);
        tell(problem);
      },
      now: () => performance.now(),
      sleep,
    });
  }

  async #fetchPicture(timeUs: number): Promise<ImageBitmap> {
    const time = query({ time_us: Math.max(0, Math.floor(timeUs)), pointer: 'false' });
    const answer = await this.#api.send(`/sessions/${this.#source.sessionId}/picture${time}`);
    return createImageBitmap(await answer.blob(), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  }

  /** While playing: one on its way, and about one a second. */
  #lookAtServer(nowMs: number): void {
    if (!this.#picture.lacksH264 || this.#server?.isIdle === false) return;
    if (nowMs - this.#askedServerMs < serverPictureEveryMs) return;
    this.#askedServerMs = nowMs;
    void this.#drawnByServer(this.#timeUs).then((asked) => {
      if (asked === 'failed') this.#askedServerMs += serverFailedMs;
    });
  }

  async #step(direction: 1 | -1): Promise<void> {
    this.#pause();
    this.#atEdge = false;
    const timeUs = direction === 1 ? await this.#walker.stepForward() : await this.#walker.stepBack(this.#timeUs);
    if (timeUs === null) return;
    this.#timeUs = timeUs;
    await this.#drawnByServer(timeUs);
    this.#paint();
    this.#setState('paused');
  }

  #paint(): void {
    this.#followMonitors();
    this.#painter.paint(this.#picture, this.#pointerShown, this.#view);
    if (!this.#picture.lacksH264) this.#thumbnails.offer(this.#timeUs, this.#picture);
  }

  /** The part of the picture that is looked at; null: all of it. */
  get #view(): Rectangle | null {
    return this.#monitor === null ? null : (this.#monitors.monitors[this.#monitor] ?? null);
  }

  #followMonitors(): void {
    const monitors = monitorsOfPicture(this.#picture.screen);
    if (JSON.stringify(monitors) === JSON.stringify(this.#monitors)) return;
    this.#monitors = monitors;
    this.#send({ type: 'monitors', ...monitors });
  }

  /** The picture of the moment asked for last, once it is there. */
  async #png(id: number): Promise<void> {
    if (!this.#playing) await this.#latest;
    if (!this.#playing) await this.#drawnByServer(this.#timeUs);
    this.#paint();
    // The server marks its pictures itself, in their corner.
    const marked = this.#painter.isGiven && this.#view === null;
    const canvas = (await this.#isImported()) && !marked ? markedCopy(this.#painter.canvas) : this.#painter.canvas;
    this.#send({ type: 'png', id, blob: await canvas.convertToBlob({ type: 'image/png' }) });
  }

  /** An export walks the recording with a decoder of its own: the player stays usable. */
  async #exportVideo({ id, fromUs, toUs, framesPerSecond }: Extract<ToWorker, { type: 'export' }>): Promise<void> {
    const stop = new AbortController();
    this.#exports.set(id, stop);
    const picture = new Picture();
    const engine = new Engine(this.#table, this.#loader, picture, engineHooks, { keyframeBytesMax: 0 });
    try {
      const write = (bytes: Uint8Array<ArrayBuffer>, progress: number): void =>
        this.#send({ type: 'exportPart', id, bytes, progress }, [bytes.buffer]);
      await exportVideo(
        engine,
        picture,
        { fromUs, toUs, framesPerSecond, pointer: this.#pointerShown, imported: await this.#isImported() },
        write,
        stop.signal,
      );
      if (stop.signal.aborted) this.#send({ type: 'exportFailed', id, message: 'The video was cancelled.' });
      else this.#send({ type: 'exported', id, mimeType: 'video/webm' });
    } catch (error) {
      this.#send({
        type: 'exportFailed',
        id,
        message: error instanceof Error ? error.message : 'The video could not be written.',
      });
    } finally {
      this.#exports.delete(id);
    }
  }

  #setState(state: PlaybackState): void {
    this.#state = state;
    this.#positionSentMs = 0;
    this.#reportPosition();
    const kinds = [...this.#picture.screen.unsupported].filter(([, count]) => count > 0);
    this.#send({ type: 'notDrawn', kinds });
  }

  #reportPosition(): void {
    const now = performance.now();
    if (now - this.#positionSentMs < positionEveryMs) return;
    this.#positionSentMs = now;
    this.#send({
      type: 'position',
      seekId: this.#seekId,
      timeUs: this.#timeUs,
      durationUs: this.#durationUs,
      state: this.#state,
      atEdge: this.#atEdge && this.#playing,
    });
  }

  #fail(error: unknown): void {
    this.#playing = false;
    this.#send({
      type: 'failed',
      message: error instanceof Error ? error.message : 'the recording could not be shown',
    });
  }
}

const bytesOf = (base64: unknown): Uint8Array =>
  Uint8Array.from(atob(typeof base64 === 'string' ? base64 : ''), (character) => character.charCodeAt(0));
