import { fill, h, setText } from '../../ui/dom.ts';
import { offerDownload } from '../../ui/download.ts';
import { formatClock, formatMoment } from '../../ui/format.ts';
import { type IconName, icon } from '../../ui/icons.ts';
import { isH264Missing, noH264Text } from '../no-h264.ts';
import {
  type FromWorker,
  type PlaybackState,
  type PlayerEvent,
  type PlayerSource,
  ratesAllowed,
  type ToWorker,
} from '../protocol.ts';
import { type CoverBox, CoverPad } from './cover-pad.ts';
import { EventList, mergeEvents } from './event-list.ts';
import { ExportSink } from './export-sink.ts';
import { helpDialog } from './help-dialog.ts';
import { MonitorsView } from './monitors-view.ts';
import { playerSheet } from './player-style.ts';
import { SoundPlayer } from './sound-player.ts';
import { type SteerEvent, SteerPad } from './steer-pad.ts';
import { Timeline } from './timeline.ts';
import { VerdictList } from './verdict-list.ts';

/** Set by the build: where the worker's bundle is. */
declare const PLAYER_WORKER_URL: string;

/** How long the address waits for the position to rest before it says it. */
const linkRestMs = 400;
const seekStepSeconds = 5;
const seekStepLongSeconds = 60;
const exportFramesPerSecond = 15;

/**
 * `<lucid-player>`: plays one recorded session. Chunks are fetched, checked, decrypted and decoded in a worker; this element
 * holds the controls. Usable on any page: `await player.open({ baseUrl, token, sessionId, live: false })`.
 *
 * Events: `lucid-opened`, `lucid-position` (detail: `{ seconds, state }`), `lucid-verdicts` (detail: the verdicts), `lucid-failed`.
 */
export class LucidPlayer extends HTMLElement {
  /** Write the position into the address as `#t=`. */
  linkHash = false;
  readonly #root = this.attachShadow({ mode: 'open' });
  #worker: Worker | null = null;
  #state: PlaybackState = 'paused';
  #seconds = 0;
  #duration = 0;
  #live = false;
  #rate = 1;
  #events: PlayerEvent[] = [];
  #linkTimer: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;
  #seeks = 0;
  readonly #waiting = new Map<number, (blob: Blob) => void>();
  #export: { id: number; sink: ExportSink } | null = null;
  #notDrawn: readonly (readonly [string, number])[] = [];
  /** The server draws the pictures; `problem`: why there is none of this moment. */
  #byServer: { hasWebCodecs: boolean; problem: string | null } | null = null;
  #pad: SteerPad | null = null;
  #covers: CoverPad | null = null;
  /** Of the picture. */
  #size = { width: 1, height: 1 };
  #opened: { resolve: () => void; reject: (error: Error) => void } | null = null;

  readonly #grid: HTMLElement;
  readonly #stage = h('div', { class: 'stage', tabindex: 0, role: 'img', 'aria-label': 'Recorded screen' });
  readonly #veil = h('div', { class: 'veil', role: 'status' }, 'Opening the recording…');
  readonly #warning = h('div', { class: 'warning', hidden: true, role: 'status' });
  /** On the picture, so that full screen has it too, and in words below. */
  readonly #importedTag = h('div', { class: 'imported', hidden: true }, 'Imported: proves nothing');
  readonly #importedNote = h('div', { class: 'warning', hidden: true, role: 'status' });
  readonly #notice = h('div', { class: 'warning', hidden: true, role: 'status' });
  readonly #liveButton = h(
    'button',
    { type: 'button', class: 'live', hidden: true, 'aria-keyshortcuts': 'l', on: { click: () => this.goLive() } },
    'Live',
  );
  readonly #play = this.#button('play', 'Play', 'k', () => this.toggle());
  readonly #clock = h('span', { class: 'clock' });
  readonly #rateSelect = h(
    'select',
    { 'aria-label': 'Speed', title: 'Speed ( < > )' },
    ratesAllowed.map((rate) => h('option', { value: rate, selected: rate === 1 }, `${rate}×`)),
  );
  readonly #skipIdle = this.#toggle('skip', 'Skip idle time', 'i', (on) => this.#send({ type: 'skipIdle', on }), true);
  readonly #pointer = this.#toggle(
    'pointer',
    'Show the pointer',
    'p',
    (on) => this.#send({ type: 'pointer', shown: on }),
    true,
  );
  readonly #sound = new SoundPlayer();
  readonly #soundOn = this.#toggle('sound', 'Sound', 'm', (on) => this.#sound.setMuted(!on), true);
  readonly #volume = h('input', {
    type: 'range',
    class: 'volume',
    min: 0,
    max: 1,
    step: 0.05,
    value: 1,
    'aria-label': 'Volume',
    title: 'Volume',
  });
  readonly #actual = this.#toggle(
    'oneToOne',
    'Actual size',
    'z',
    (on) => this.#stage.classList.toggle('actual', on),
    false,
  );
  readonly #monitors = new MonitorsView((monitor) => this.#send({ type: 'view', monitor }));
  readonly #progress = h('div', { class: 'progress', hidden: true });
  readonly #help = helpDialog();
  readonly #timeline = new Timeline((seconds) => this.seek(seconds));
  readonly #eventList = new EventList(
    (seconds) => this.seek(seconds),
    () => this.#send({ type: 'showLogon' }),
  );
  readonly #verdictList = new VerdictList(
    () => this.#send({ type: 'checkEveryChunk' }),
    () => this.#send({ type: 'examine' }),
  );

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [playerSheet()];
    this.#play.classList.add('play');
    const main = h(
      'section',
      { class: 'box main', 'aria-label': 'Player' },
      this.#stage,
      this.#importedNote,
      this.#warning,
      this.#notice,
      this.#timeline.element,
      this.#controls(),
      this.#progress,
    );
    const side = h('div', { class: 'side' }, this.#verdictList.element, this.#eventList.element);
    this.#grid = h('div', { class: 'grid' }, main, side);
    this.#root.append(this.#grid, this.#help);
    this.#rateSelect.addEventListener('change', () => this.setRate(Number(this.#rateSelect.value)));
    this.#volume.addEventListener('input', () => this.#sound.setVolume(Number(this.#volume.value)));
    this.#grid.addEventListener('keydown', (event) => this.#onKey(event));
    this.#stage.addEventListener('click', () => this.toggle());
    this.#stage.addEventListener('dblclick', () => this.fullScreen());
    this.#showPosition();
  }

  /** Seconds at which rules found something: marks on the timeline. */
  set alerts(seconds: readonly number[]) {
    this.#timeline.setAlerts(seconds);
  }

  get currentTime(): number {
    return this.#seconds;
  }
  get duration(): number {
    return this.#duration;
  }
  get state(): PlaybackState {
    return this.#state;
  }
  get events(): readonly PlayerEvent[] {
    return this.#events;
  }

  /** Opens a recording; resolves when its first picture can be shown. An open one is closed first. */
  open(source: PlayerSource, options: { startSeconds?: number } = {}): Promise<void> {
    this.close();
    const canvas = h('canvas', { width: 16, height: 10 });
    fill(this.#stage, canvas, this.#monitors.outlines, this.#veil, this.#importedTag);
    this.#monitors.set({ width: 0, height: 0, monitors: [] });
    this.#importedTag.hidden = source.imported !== true;
    this.#importedNote.hidden = true;
    this.#verdictList.element.hidden = source.bundle !== undefined;
    this.#seeks = 0;
    this.#notDrawn = [];
    this.#byServer = null;
    this.#showWarning();
    this.#showNotice(null);
    this.#showVeil('Opening the recording…');
    // A document opened from a disk has no origin, and may load no module from a blob.
    const type = PLAYER_WORKER_URL.startsWith('blob:') ? 'classic' : 'module';
    this.#worker = new Worker(PLAYER_WORKER_URL, { type, name: 'lucid-player' });
    this.#worker.addEventListener('message', (event: MessageEvent<FromWorker>) => this.#onMessage(event.data));
    this.#worker.addEventListener('error', (event) =>
      this.#fail(event.message || 'the player’s worker could not start'),
    );
    const offscreen = canvas.transferControlToOffscreen();
    this.#send({ type: 'open', source, canvas: offscreen, startUs: (options.startSeconds ?? 0) * 1e6 }, [offscreen]);
    return new Promise((resolve, reject) => {
      this.#opened = { resolve, reject };
    });
  }

  /** Keys and mouse over the live picture go to `send` from here on; null: they are the player's again. */
  steer(send: ((events: readonly SteerEvent[]) => void) | null): void {
    this.#pad?.close();
    this.#pad = send === null ? null : new SteerPad(() => this.#size, send);
    if (this.#pad === null) return;
    this.goLive();
    this.#stage.append(this.#pad.element);
    this.#pad.element.focus();
  }

  /** Boxes are drawn over the picture from here on, each told to `onBox` in pixels of the desktop; null: no more. */
  cover(onBox: ((box: CoverBox) => void) | null): void {
    this.#covers?.close();
    this.#covers = onBox === null ? null : new CoverPad(() => this.#size, onBox);
    if (this.#covers === null) return;
    this.pause();
    this.#monitors.all();
    this.#stage.append(this.#covers.element);
  }
  /** What is shown as covered at this moment, while boxes are drawn. */
  setCovers(boxes: readonly CoverBox[]): void {
    this.#covers?.set(boxes);
  }

  close(): void {
    this.steer(null);
    this.cover(null);
    this.#worker?.terminate();
    this.#worker = null;
    this.#opened = null;
    this.#export?.sink.abort();
    this.#export = null;
    this.#waiting.clear();
    this.#sound.close();
    this.#events = [];
    this.#timeline.dispose();
    clearTimeout(this.#linkTimer);
  }

  disconnectedCallback(): void {
    this.close();
  }

  play(): void {
    this.#send({ type: 'play' });
  }
  pause(): void {
    this.#send({ type: 'pause' });
  }
  toggle(): void {
    if (this.#state === 'playing') this.pause();
    else this.play();
  }
  seek(seconds: number): void {
    const target = Math.min(Math.max(0, seconds), this.#duration);
    this.#seconds = target;
    this.#showPosition();
    this.#seeks += 1;
    this.#send({ type: 'seek', id: this.#seeks, timeUs: Math.round(target * 1e6) });
  }
  step(direction: 1 | -1): void {
    this.#send({ type: 'step', direction });
  }
  /** To what happens now, in a session that runs. */
  goLive(): void {
    if (!this.#live) return;
    this.#seeks += 1;
    this.#send({ type: 'seek', id: this.#seeks, timeUs: Math.round(this.#duration * 1e6) });
    this.play();
  }
  setRate(rate: number): void {
    if (!ratesAllowed.includes(rate as 1)) return;
    this.#rate = rate;
    this.#rateSelect.value = String(rate);
    this.#send({ type: 'rate', rate });
  }
  fullScreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.#grid.requestFullscreen();
  }

  /** The picture of this moment as PNG, at its own size; of the monitor that is looked at, where one was chosen. */
  png(): Promise<Blob> {
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#send({ type: 'png', id });
    });
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'opened':
        this.#duration = message.durationUs / 1e6;
        this.#live = message.live;
        this.#showWarning();
        this.#liveButton.hidden = !message.live;
        this.#veil.hidden = true;
        this.#send({ type: 'rate', rate: this.#rate });
        this.#opened?.resolve();
        this.#opened = null;
        this.#showPosition();
        this.#tell('lucid-opened', {});
        return;
      case 'opening':
        if (message.durationUs > 0)
          // In tens: a screen reader speaks every change.
          this.#showVeil(`Opening the recording: ${Math.floor((message.timeUs / message.durationUs) * 10)}0 %`);
        return;
      case 'liveNotice':
        this.#showNotice(message.text);
        return;
      case 'over':
        this.#live = false;
        this.#liveButton.hidden = true;
        this.#showWarning();
        this.#showNotice(null);
        this.#showPosition();
        return;
      case 'size':
        this.#size = { width: message.width, height: message.height };
        this.#stage.style.aspectRatio = `${message.width} / ${message.height}`;
        return;
      case 'monitors':
        this.#monitors.set(message);
        return;
      case 'position':
        if (message.seekId < this.#seeks) return;
        this.#onPosition(message.timeUs / 1e6, message.durationUs / 1e6, message.state);
        if (this.#live) this.#showEdge(message.atEdge);
        return;
      case 'activity':
        this.#timeline.setActivity(message.values);
        return;
      case 'events':
        this.#events = mergeEvents(message.anew ? [] : this.#events, message.events);
        this.#eventList.set(this.#events, message.remark, message.hidesLogon);
        this.#eventList.setPosition(this.#seconds);
        this.#timeline.setMarks(this.#events);
        return;
      case 'sound':
        this.#sound.hear(message.channel, message.samples);
        return;
      case 'silence':
        this.#sound.stop();
        return;
      case 'thumbnail':
        this.#timeline.addThumbnail(message.timeUs / 1e6, message.picture);
        return;
      case 'verdicts':
        if (message.imported !== null) this.#showImported(message.imported);
        this.#verdictList.set(message.verdicts);
        this.#tell('lucid-verdicts', message.verdicts);
        return;
      case 'checkProgress':
        this.#verdictList.setProgress(message.checked, message.total);
        return;
      case 'examining':
        this.#verdictList.setExamining(message.text);
        return;
      case 'notDrawn':
        this.#notDrawn = message.kinds;
        this.#showWarning();
        return;
      case 'drawnByServer':
        this.#byServer = message;
        this.#showWarning();
        return;
      case 'png':
        this.#waiting.get(message.id)?.(message.blob);
        this.#waiting.delete(message.id);
        return;
      case 'failed':
        this.#fail(message.message);
        return;
      default:
        void this.#onExport(message);
    }
  }

  #onPosition(seconds: number, duration: number, state: PlaybackState): void {
    this.#seconds = seconds;
    this.#duration = duration;
    if (state !== this.#state) {
      this.#state = state;
      const action = state === 'playing' ? 'pause' : 'play';
      const label = action === 'pause' ? 'Pause' : 'Play';
      this.#play.replaceChildren(icon(action));
      this.#play.setAttribute('aria-label', label);
      this.#play.title = `${label} ( k )`;
    }
    this.#showVeil(state === 'loading' ? 'Loading…' : null);
    this.#showPosition();
    this.#tell('lucid-position', { seconds, state });
    if (this.linkHash && !this.#live) this.#updateLink();
  }

  #showVeil(text: string | null): void {
    this.#veil.hidden = text === null;
    if (text !== null) setText(this.#veil, text);
    this.#veil.className = 'veil';
  }

  #showImported(text: string): void {
    this.#importedTag.hidden = false;
    this.#importedNote.hidden = false;
    setText(this.#importedNote, text);
  }

  #showNotice(text: string | null): void {
    this.#notice.hidden = text === null;
    setText(this.#notice, text ?? '');
  }

  /** What can't be seen, and what is shown instead. */
  #showWarning(): void {
    const kinds = this.#notDrawn.filter(([kind]) => !isH264Missing(kind));
    const browser = { isSecure: globalThis.isSecureContext, isLive: this.#live };
    const text = [
      this.#byServer !== null && noH264Text({ ...browser, ...this.#byServer }),
      kinds.length > 0 &&
        `Not everything could be drawn: ${kinds.map(([kind, count]) => `${kind} (${count}×)`).join(', ')}`,
    ]
      .filter((part) => part !== false)
      .join(' ');
    this.#warning.hidden = text === '';
    // A screen reader speaks every change.
    if (this.#warning.textContent !== text) setText(this.#warning, text);
  }

  /** Whether the picture is what happens now. A button that is pressed then, and leads there otherwise. */
  #showEdge(atEdge: boolean): void {
    if (this.#liveButton.getAttribute('aria-pressed') === String(atEdge)) return;
    this.#liveButton.setAttribute('aria-pressed', String(atEdge));
    this.#liveButton.title = `${atEdge ? 'The picture is live' : 'Back to what happens now'} ( l )`;
  }

  #showPosition(): void {
    fill(this.#clock, formatMoment(this.#seconds), h('span', {}, ` / ${formatClock(this.#duration)}`));
    this.#timeline.setPosition(this.#seconds, this.#duration);
    this.#eventList.setPosition(this.#seconds);
  }

  /** The address follows once the picture rests, without filling the history. */
  #updateLink(): void {
    clearTimeout(this.#linkTimer);
    if (this.#state === 'playing') return;
    this.#linkTimer = setTimeout(() => {
      history.replaceState(history.state, '', `#t=${this.#seconds.toFixed(3).replace(/\.?0+$/, '')}`);
    }, linkRestMs);
  }

  #fail(message: string): void {
    this.#showVeil(message.charAt(0).toUpperCase() + message.slice(1));
    this.#veil.className = 'veil bad';
    this.#opened?.reject(new Error(message));
    this.#opened = null;
    this.#tell('lucid-failed', { message });
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #button(name: IconName, label: string, key: string, action: () => void): HTMLButtonElement {
    return h(
      'button',
      {
        type: 'button',
        'aria-label': label,
        'aria-keyshortcuts': key,
        title: `${label} ( ${key} )`,
        on: { click: action },
      },
      icon(name),
    );
  }

  #toggle(
    name: IconName,
    label: string,
    key: string,
    action: (on: boolean) => void,
    first: boolean,
  ): HTMLButtonElement {
    const button = this.#button(name, label, key, () => {
      const on = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(on));
      action(on);
    });
    button.setAttribute('aria-pressed', String(first));
    return button;
  }

  #controls(): HTMLElement {
    return h(
      'div',
      { class: 'controls', role: 'toolbar', 'aria-label': 'Playback' },
      this.#play,
      this.#button('stepBack', 'One picture back', ',', () => this.step(-1)),
      this.#button('stepForward', 'One picture on', '.', () => this.step(1)),
      this.#liveButton,
      this.#clock,
      h('span', { class: 'space' }),
      this.#soundOn,
      this.#volume,
      this.#rateSelect,
      this.#skipIdle,
      this.#pointer,
      this.#monitors.select,
      this.#actual,
      this.#button('camera', 'Save this picture as PNG', 's', () => void this.#savePng()),
      this.#button('film', 'Save as video (WebM)', 'e', () => void this.#startExport()),
      this.#button('fullScreen', 'Full screen', 'f', () => this.fullScreen()),
      this.#button('question', 'Keyboard', '?', () => this.#help.showModal()),
    );
  }

  #onKey(event: KeyboardEvent): void {
    const target = event.composedPath()[0];
    if (
      event.ctrlKey ||
      event.altKey ||
      event.metaKey ||
      target instanceof HTMLInputElement ||
      target instanceof HTMLSelectElement
    )
      return;
    const onButton = target instanceof HTMLButtonElement;
    const actions: Record<string, () => void> = {
      ' ': () => this.toggle(),
      k: () => this.toggle(),
      ArrowLeft: () => this.seek(this.#seconds - (event.shiftKey ? seekStepLongSeconds : seekStepSeconds)),
      ArrowRight: () => this.seek(this.#seconds + (event.shiftKey ? seekStepLongSeconds : seekStepSeconds)),
      Home: () => this.seek(0),
      End: () => this.seek(this.#duration),
      ',': () => this.step(-1),
      '.': () => this.step(1),
      '<': () => this.#shiftRate(-1),
      '>': () => this.#shiftRate(1),
      l: () => this.goLive(),
      i: () => this.#skipIdle.click(),
      p: () => this.#pointer.click(),
      m: () => this.#soundOn.click(),
      o: () => this.#monitors.next(),
      z: () => this.#actual.click(),
      s: () => void this.#savePng(),
      e: () => void this.#startExport(),
      f: () => this.fullScreen(),
      '/': () => this.#eventList.focusSearch(),
      '?': () => this.#help.showModal(),
    };
    const action = actions[event.key];
    if (!action || (onButton && event.key === ' ')) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  #shiftRate(step: 1 | -1): void {
    const next = ratesAllowed[ratesAllowed.indexOf(this.#rate as 1) + step];
    if (next !== undefined) this.setRate(next);
  }

  async #savePng(): Promise<void> {
    const name = `session-${formatMoment(this.#seconds, 3).replaceAll(':', '-')}.png`;
    offerDownload(await this.png(), name);
  }

  async #startExport(): Promise<void> {
    if (this.#export || !this.#worker) return;
    const sink = await ExportSink.create('session.webm');
    if (sink === null) return;
    this.#requests += 1;
    const id = this.#requests;
    this.#export = { id, sink };
    this.#showExport(0);
    this.#send({ type: 'export', id, fromUs: 0, toUs: this.#duration * 1e6, framesPerSecond: exportFramesPerSecond });
  }

  #showExport(progress: number): void {
    this.#progress.hidden = false;
    const cancel = (): void => {
      if (this.#export) this.#send({ type: 'cancelExport', id: this.#export.id });
    };
    const bar = this.#progress.querySelector('progress');
    if (bar) {
      bar.value = progress;
      setText(bar.nextElementSibling!, `${Math.floor(progress * 100)} %`);
      return;
    }
    fill(
      this.#progress,
      'Writing the video',
      h('progress', { max: 1, value: progress, 'aria-label': 'Progress of the video' }),
      h('span', {}, '0 %'),
      h('button', { type: 'button', class: 'outlined', on: { click: cancel } }, 'Cancel'),
    );
  }

  async #onExport(message: Extract<FromWorker, { type: 'exportPart' | 'exported' | 'exportFailed' }>): Promise<void> {
    if (!this.#export || message.id !== this.#export.id) return;
    const { sink } = this.#export;
    if (message.type === 'exportPart') {
      this.#showExport(message.progress);
      await sink.write(message.bytes);
      return;
    }
    this.#export = null;
    this.#progress.replaceChildren();
    if (message.type === 'exported') {
      await sink.finish(message.mimeType);
      fill(this.#progress, h('span', { role: 'status' }, 'The video is saved.'));
    } else {
      sink.abort();
      fill(this.#progress, h('span', { role: 'alert' }, message.message));
    }
  }
}

if (!customElements.get('lucid-player')) customElements.define('lucid-player', LucidPlayer);
