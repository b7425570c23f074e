import type { Rectangle } from '@lucid-sessions/graphics';
import type { FromWorker, PlayerMonitors } from '../protocol.ts';
import { markedCopy } from './imported-mark.ts';
import { Painter } from './painter.ts';
import { Picture } from './picture.ts';
import { monitorsOfPicture } from './picture-monitors.ts';
import { type Asked, ServerPictures } from './server-pictures.ts';
import { Thumbnails } from './thumbnail.ts';

/** Pictures the server draws while playing. */
const serverPictureEveryMs = 1000;
/** … later where it could not. */
const serverFailedMs = 10_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface StageHooks {
  send(message: FromWorker, transfer?: Transferable[]): void;
  /** The server's picture of a moment. Throws `ApiError`. */
  fetchPicture(timeUs: number): Promise<ImageBitmap>;
}

/** Who draws: this browser's decoder, or the server behind it where it met pictures it can't decode. */
type Drawer = { kind: 'browser' } | { kind: 'server'; pictures: ServerPictures<ImageBitmap>; askedMs: number };

/** What is to be seen: the picture or the server's, one monitor of it or all, with the pointer or without; on the canvas, as a thumbnail, as a file. */
export class Stage {
  readonly picture = new Picture();
  readonly thumbnails: Thumbnails;
  readonly #hooks: StageHooks;
  readonly #painter: Painter;
  #drawer: Drawer = { kind: 'browser' };
  #pointerShown = true;
  #monitors: PlayerMonitors = { width: 0, height: 0, monitors: [] };
  /** The monitor looked at; null: the whole desktop. */
  #monitor: number | null = null;
  /** Moment of what is on the canvas. */
  #paintedUs = 0;

  constructor(canvas: OffscreenCanvas, hooks: StageHooks) {
    const { send } = hooks;
    this.#hooks = hooks;
    this.thumbnails = new Thumbnails((timeUs, picture) => send({ type: 'thumbnail', timeUs, picture }, [picture]));
    this.#painter = new Painter(canvas);
    this.#painter.onSize = (width, height) => send({ type: 'size', width, height });
  }

  get pointerShown(): boolean {
    return this.#pointerShown;
  }

  showPointer(shown: boolean): void {
    this.#pointerShown = shown;
    this.paint(this.#paintedUs);
  }

  lookAt(monitor: number | null): void {
    this.#monitor = monitor;
    this.paint(this.#paintedUs);
  }

  /** Paints the picture as it is, which is that of `timeUs`. */
  paint(timeUs: number): void {
    this.#paintedUs = timeUs;
    this.#followMonitors();
    this.#painter.paint(this.picture, this.#pointerShown, this.#view);
    if (!this.picture.lacksH264) this.thumbnails.offer(timeUs, this.picture);
  }

  /** The part of the picture that is looked at; null: all of it. */
  get #view(): Rectangle | null {
    return this.#monitor === null ? null : (this.#monitors.monitors[this.#monitor] ?? null);
  }

  #followMonitors(): void {
    const monitors = monitorsOfPicture(this.picture.screen);
    if (JSON.stringify(monitors) === JSON.stringify(this.#monitors)) return;
    this.#monitors = monitors;
    this.#hooks.send({ type: 'monitors', ...monitors });
  }

  /** What is on the canvas, as a file; marked where it has to say that it was imported. */
  png(isImported: boolean): Promise<Blob> {
    // The server marks its pictures itself, in their corner.
    const marked = this.#painter.isGiven && this.#view === null;
    const canvas = isImported && !marked ? markedCopy(this.#painter.canvas) : this.#painter.canvas;
    return canvas.convertToBlob({ type: 'image/png' });
  }

  /** Asks the server for a moment if it draws already; undefined where it does not. */
  askServer(timeUs: number): Promise<Asked> | undefined {
    return this.#drawer.kind === 'server' ? this.#drawer.pictures.at(timeUs) : undefined;
  }

  /** Waits for the server's picture where this browser can draw none of its own. */
  async drawnByServer(timeUs: number): Promise<Asked> {
    return this.picture.lacksH264 ? this.#server().pictures.at(timeUs) : 'shown';
  }

  /** While playing: one on its way, and about one a second. */
  lookAtServer(timeUs: number, nowMs: number): void {
    if (!this.picture.lacksH264) return;
    const server = this.#server();
    if (!server.pictures.isIdle || nowMs - server.askedMs < serverPictureEveryMs) return;
    server.askedMs = nowMs;
    void server.pictures.at(timeUs).then((asked) => {
      if (asked === 'failed') server.askedMs += serverFailedMs;
    });
  }

  #server(): Extract<Drawer, { kind: 'server' }> {
    if (this.#drawer.kind === 'server') return this.#drawer;
    this.#drawer = { kind: 'server', pictures: this.#openServer(), askedMs: 0 };
    return this.#drawer;
  }

  #openServer(): ServerPictures<ImageBitmap> {
    const { send, fetchPicture } = this.#hooks;
    const tell = (problem: string | null): void =>
      send({ type: 'drawnByServer', hasWebCodecs: typeof VideoDecoder !== 'undefined', problem });
    tell(null);
    return new ServerPictures({
      fetch: fetchPicture,
      onPicture: (timeUs, picture) => {
        this.thumbnails.offerDrawn(timeUs, picture);
        this.#painter.give(picture);
        this.paint(timeUs);
      },
      onProblem: (problem) => {
        if (problem !== null) this.#painter.give(null);
        tell(problem);
      },
      now: () => performance.now(),
      sleep,
    });
  }

  close(): void {
    if (this.#drawer.kind === 'server') this.#drawer.pictures.close();
  }
}
