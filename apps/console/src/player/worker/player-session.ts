import { type SessionKeys, webCrypto } from '@lucid-sessions/evidence';
import { withTrace } from '@lucid-sessions/recording';
import { ApiClient } from '../../api/client.ts';
import type { Credentials } from '../../api/credentials.ts';
import type { Chunk } from '../../api/types.ts';
import { LiveView } from '../live/live-view.ts';
import type { FromWorker, PlayerSource, ToWorker } from '../protocol.ts';
import { ChunkStore } from './chunk-store.ts';
import { type ChunkEntry, ChunkTable, scaleActivity } from './chunk-table.ts';
import { type ChunkLoader, Engine } from './engine.ts';
import { EvidenceCheck } from './evidence-check.ts';
import { EvidenceWatch } from './evidence-watch.ts';
import { type EventSource, IndexFeed } from './index-feed.ts';
import { Picture, type PictureState } from './picture.ts';
import { Playback } from './playback.ts';
import { RecordingIndex } from './recording-index.ts';
import { SoundOut } from './sound-out.ts';
import { Stage } from './stage.ts';
import { StoredKeyframes } from './stored-keyframes.ts';
import { turn } from './turn.ts';
import { exportVideo } from './video-export.ts';

const chunkPageSize = 1000;
const chunkLimits = { openBytesMax: 64 << 20, fileBytesMax: 32 << 20 };
/** States kept while playing. */
const engineLimits = { keyframeBytesMax: 64 << 20 };
const activityParts = 240;
/** How often the way of a running session is told. */
const growEveryMs = 100;
/** How often the list of keyframes is read again while it is not complete: they are made because somebody looks, now. */
const keyframesWaitMs = 1000;
const keyframesWaitMsMax = 60_000;
/** … and while more come. */
const moreKeyframesWaitMs = 3000;
/** So long nothing was asked for: time for what is not urgent. */
const idleMs = 400;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const engineHooks = { now: () => performance.now(), turn };

/** What there is once the keys and the list of chunks are here. */
interface Opened {
  readonly chunks: ChunkStore;
  readonly engine: Engine<PictureState>;
  readonly evidence: EvidenceWatch;
  readonly playback: Playback;
  /** Until a running session is over. */
  live: LiveView | null;
}

/** `waiting`: what the page asked for before that. */
type Phase = { kind: 'opening'; waiting: ToWorker[] } | { kind: 'open'; opened: Opened } | { kind: 'closed' };

const credentialsOf = ({ token, csrfToken }: PlayerSource): Credentials =>
  token === undefined ? { csrfToken: csrfToken ?? null } : { token };

/** Where a session's chunks and events come from. */
export interface SessionSources {
  api: ApiClient;
  index: EventSource;
}

const sourcesOfApi = (source: PlayerSource): SessionSources => {
  const api = new ApiClient(source.baseUrl, () => credentialsOf(source));
  return { api, index: new RecordingIndex(api, source.sessionId) };
};

/** One open recording inside the worker: what the page asks for, handed to those who do it. */
export class PlayerSession {
  readonly #send: (message: FromWorker, transfer?: Transferable[]) => void;
  readonly #api: ApiClient;
  readonly #source: PlayerSource;
  readonly #params: { session_id: string };
  readonly #table = new ChunkTable();
  readonly #stage: Stage;
  readonly #sound: SoundOut;
  readonly #index: IndexFeed;
  readonly #stored: StoredKeyframes;
  readonly #exports = new Map<number, AbortController>();
  #phase: Phase = { kind: 'opening', waiting: [] };
  /** What was asked for last, settled when it is done. */
  #latest: Promise<void> = Promise.resolve();

  constructor(
    source: PlayerSource,
    canvas: OffscreenCanvas,
    send: (message: FromWorker, transfer?: Transferable[]) => void,
    { api, index }: SessionSources = sourcesOfApi(source),
  ) {
    this.#source = source;
    this.#send = send;
    this.#params = { session_id: source.sessionId };
    this.#api = api;
    this.#index = new IndexFeed(index, send);
    this.#stored = new StoredKeyframes(this.#api, source.sessionId, webCrypto(globalThis.crypto));
    this.#stage = new Stage(canvas, { send, fetchPicture: (timeUs) => this.#fetchPicture(timeUs) });
    this.#sound = new SoundOut((channel, samples) => {
      // What a decoder gives late, after a pause or a seek, belongs to another moment.
      if (this.#opened?.playback.isHeard)
        send(
          { type: 'sound', channel, samples },
          samples.channels.map(({ buffer }) => buffer),
        );
    });
    this.#stage.picture.onSound = (piece) => void (this.#opened?.playback.isHeard && this.#sound.hear(piece));
  }

  get #opened(): Opened | null {
    return this.#phase.kind === 'open' ? this.#phase.opened : null;
  }

  async open(startUs: number): Promise<void> {
    const [keys] = await Promise.all([
      this.#fetchKeys(),
      this.#fetchChunks(),
      // Without a list of keyframes everything works, only slower.
      this.#stored.refresh().catch(() => {}),
    ]);
    if (this.#phase.kind !== 'opening') return;
    this.#stored.useKey(keys.view);
    const { waiting } = this.#phase;
    const opened = this.#openWith(keys);
    this.#phase = { kind: 'open', opened };
    for (const message of waiting) this.#handle(message, opened);
    const { playback, live, evidence } = opened;
    this.#stage.thumbnails.durationUs = playback.durationUs;
    const problem = await playback.begin(live ? playback.durationUs : startUs).then(
      () => null,
      (error: unknown) => error,
    );
    if (this.#opened !== opened) return;
    const { durationUs } = playback;
    this.#send({ type: 'opened', durationUs, startedAtMs: this.#table.startedAtMs, live: live !== null });
    playback.opened();
    this.#sendActivity();
    void this.#index.read(durationUs, activityParts);
    void this.#readKeyframes();
    if (live) void this.#follow(opened, live);
    // Hundreds of seals take their time: the picture comes first.
    if (this.#source.bundle === undefined) void evidence.begin();
    // A damaged chunk must not keep the others from being looked at.
    if (problem !== null && this.#stage.picture.framesCount === 0) this.#fail(problem);
  }

  #openWith(keys: SessionKeys): Opened {
    const crypto = webCrypto(globalThis.crypto);
    const chunks = new ChunkStore((entry) => this.#download(entry), crypto, keys, chunkLimits);
    const live = this.#source.live ? this.#liveView(chunks) : null;
    const loader = live?.chunks ?? chunks;
    const { picture } = this.#stage;
    const engine = new Engine(this.#table, loader, picture, engineHooks, engineLimits, this.#stored);
    const check = new EvidenceCheck(this.#api, this.#source.sessionId, crypto, this.#table, chunks, keys);
    const evidence = new EvidenceWatch(check, this.#table, {
      send: this.#send,
      isOver: () => (this.#opened?.live ?? null) !== null || this.#phase.kind === 'closed',
    });
    chunks.onFile = (index, file) => void evidence.noteFile(index, file);
    const hooks = { send: this.#send, silence: () => this.#silence() };
    const line = { durationUs: this.#table.durationUs, isLive: live !== null };
    return { chunks, engine, evidence, playback: new Playback(engine, this.#stage, hooks, line), live };
  }

  handle(message: ToWorker): void {
    if (message.type === 'close') this.#close();
    else if (message.type === 'cancelExport') this.#exports.get(message.id)?.abort();
    else if (this.#phase.kind === 'open') this.#handle(message, this.#phase.opened);
    else if (this.#phase.kind === 'opening') this.#phase.waiting.push(message);
  }

  #handle(message: ToWorker, { playback, evidence }: Opened): void {
    const run = (work: Promise<void>): void => {
      this.#latest = work.catch((error: unknown) => this.#fail(error));
    };
    switch (message.type) {
      case 'play':
        run(playback.play());
        break;
      case 'pause':
        playback.pause();
        break;
      case 'seek':
        run(playback.seek(message.timeUs, message.id));
        break;
      case 'step':
        run(playback.step(message.direction));
        break;
      case 'rate':
        playback.setRate(message.rate);
        break;
      case 'skipIdle':
        playback.skipIdle(message.on);
        break;
      case 'pointer':
        this.#stage.showPointer(message.shown);
        break;
      case 'view':
        this.#stage.lookAt(message.monitor);
        break;
      case 'png':
        void this.#png(message.id, playback);
        break;
      case 'examine':
        void evidence.examine();
        break;
      case 'checkEveryChunk':
        void evidence.checkEveryChunk();
        break;
      case 'showLogon':
        void this.#index.readWithLogon(playback.durationUs, activityParts);
        break;
      case 'export':
        void this.#exportVideo(message);
        break;
    }
  }

  #close(): void {
    const opened = this.#opened;
    this.#phase = { kind: 'closed' };
    opened?.playback.stop();
    opened?.live?.stop();
    this.#index.stop();
    this.#stage.close();
    this.#sound.reset();
  }

  /** Pictures need no more than the view key: what was typed and copied comes from the index, to those who may see it. */
  async #fetchKeys(): Promise<SessionKeys> {
    const { key } = await this.#api.rest.getKey({ params: this.#params });
    return { view: Uint8Array.from(atob(key), (character) => character.charCodeAt(0)), inputs: null };
  }

  async #download(entry: ChunkEntry): Promise<Uint8Array> {
    if (entry.chunkId === null) throw new Error(`chunk ${entry.index + 1} is not stored yet`);
    const answer = await this.#api.rest.downloadChunk({ params: { ...this.#params, chunk_id: entry.chunkId } });
    return new Uint8Array(await answer.arrayBuffer());
  }

  async #fetchChunks(): Promise<void> {
    for (;;) {
      const offset = this.#table.storedLength;
      const answer = await this.#api.listChunks(this.#source.sessionId, chunkPageSize, offset);
      this.#table.append(answer.chunks as Chunk[]);
      if (!answer.pagination.has_next || this.#table.storedLength === offset) return;
    }
  }

  async #fetchPicture(timeUs: number): Promise<ImageBitmap> {
    const query = { time_us: Math.max(0, Math.floor(timeUs)), pointer: false };
    const answer = await this.#api.rest.getPicture({ params: this.#params, query });
    return createImageBitmap(await answer.blob(), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  }

  #silence(): void {
    this.#sound.reset();
    this.#send({ type: 'silence' });
  }

  #sendActivity(): void {
    this.#send({ type: 'activity', values: scaleActivity(this.#table.activity(activityParts)) });
  }

  /** Keyframes that were not made yet come while the recording is looked at. */
  async #readKeyframes(): Promise<void> {
    for (let waitMs = keyframesWaitMs; this.#opened !== null; ) {
      if (this.#stored.coveredChunks >= this.#table.length && this.#opened.live === null) break;
      await sleep(waitMs);
      const before = this.#stored.places.length;
      await this.#stored.refresh().catch(() => {});
      const more = this.#stored.places.length > before;
      waitMs = more ? moreKeyframesWaitMs : Math.min(waitMs * 2, keyframesWaitMsMax);
    }
    await this.#stage.thumbnails.ofStored(this.#stored, () => this.#idle());
  }

  /** Waits until nothing was asked for in a while. */
  async #idle(): Promise<void> {
    for (let latest: Promise<void> | null = null; latest !== this.#latest && this.#opened !== null; ) {
      latest = this.#latest;
      await latest;
      await sleep(idleMs);
    }
  }

  #liveView(stored: ChunkLoader): LiveView {
    return new LiveView(this.#api, this.#source.sessionId, this.#table, stored, {
      refresh: () => this.#fetchChunks(),
      onStored: () => {
        this.#sendActivity();
        void this.#index.more().catch(() => {});
      },
      onNotice: (text) => this.#send({ type: 'liveNotice', text }),
    });
  }

  async #follow(opened: Opened, live: LiveView): Promise<void> {
    const { playback } = opened;
    playback.followEdge();
    const growing = setInterval(() => playback.grow(live.edgeUs(performance.now())), growEveryMs);
    await live.follow().finally(() => clearInterval(growing));
    if (this.#phase.kind !== 'closed') await this.#becomeRecording(opened);
  }

  /** All of it is stored: it is read, and checked, like any other. */
  async #becomeRecording(opened: Opened): Promise<void> {
    const { playback, engine, chunks, evidence } = opened;
    opened.live = null;
    engine.useLoader(chunks);
    this.#stage.thumbnails.durationUs = Math.max(this.#table.durationUs, engine.timeUs);
    await playback.settle(this.#table.durationUs);
    await this.#index.more().catch(() => {});
    await evidence.begin();
  }

  /** The picture of the moment asked for last, once it is there. */
  async #png(id: number, playback: Playback): Promise<void> {
    if (!playback.isPlaying) await this.#latest;
    if (!playback.isPlaying) await this.#stage.drawnByServer(playback.timeUs);
    this.#stage.paint(playback.timeUs);
    const blob = await this.#stage.png(await this.#isImported());
    this.#send({ type: 'png', id, blob: await this.#traced(blob, playback.timeUs) });
  }

  /** Says in the picture's own metadata of which recording and moment it is. */
  async #traced(picture: Blob, timeUs: number): Promise<Blob> {
    const { sessionId, root = null } = this.#source;
    const moment = Math.round(timeUs);
    const trace = { v: 1, session_id: sessionId, merkle_root: root, from_us: moment, to_us: moment } as const;
    const bytes = withTrace(new Uint8Array(await picture.arrayBuffer()), { ...trace, pixels_sha256: null });
    return new Blob([bytes as Uint8Array<ArrayBuffer>], { type: picture.type });
  }

  /** Whether what leaves the player has to say that it was imported. */
  async #isImported(): Promise<boolean> {
    if (this.#source.imported === true) return true;
    if (this.#source.bundle !== undefined) return false;
    return this.#source.live || this.#opened === null ? false : this.#opened.evidence.isImported();
  }

  /** An export walks the recording with a decoder of its own: the player stays usable. */
  async #exportVideo({ id, fromUs, toUs, framesPerSecond }: Extract<ToWorker, { type: 'export' }>): Promise<void> {
    const stop = new AbortController();
    this.#exports.set(id, stop);
    const picture = new Picture();
    try {
      const write = (bytes: Uint8Array<ArrayBuffer>, progress: number): void =>
        this.#send({ type: 'exportPart', id, bytes, progress }, [bytes.buffer]);
      const pointer = this.#stage.pointerShown;
      await exportVideo(
        new Engine(this.#table, this.#loader, picture, engineHooks, { keyframeBytesMax: 0 }),
        picture,
        { fromUs, toUs, framesPerSecond, pointer, imported: await this.#isImported() },
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

  get #loader(): ChunkLoader {
    const opened = this.#opened;
    if (opened === null) throw new Error('the recording is not open');
    return opened.live?.chunks ?? opened.chunks;
  }

  #fail(error: unknown): void {
    this.#opened?.playback.stop();
    this.#send({
      type: 'failed',
      message: error instanceof Error ? error.message : 'the recording could not be shown',
    });
  }
}
