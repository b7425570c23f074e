/** A message to who works in a session: painted over the top of the desktop for a while, and again where the target drew over it. */
import type { Area, Canvas, OverlayPicture } from '@lucid-sessions/relay';
import { bannerPicture, bannerUpdates } from '@lucid-sessions/screens';

export interface NoticeOptions {
  /** What it may be painted on; null: nothing now. */
  canvas: () => Canvas | null;
  paint: (updates: readonly Uint8Array[]) => void;
  /** Where the graphics pipeline draws: what of its output may be drawn over; null: nothing now. */
  pipelineCanvas: () => Area | null;
  /** Shown over what the pipeline draws, however often it does, until another is or (null) none. */
  overlay: (picture: OverlayPicture | null) => void;
  /** The target draws all again. */
  refresh: () => void;
  /** Counts what the target drew. */
  drawnCount: () => number;
}

const lookMs = 500;

/** Painted again as it is: a target that never stops drawing must not keep us drawing. */
type Painted =
  | { kind: 'bitmaps'; canvas: Canvas; updates: readonly Uint8Array[] }
  | { kind: 'pipeline'; width: number; height: number };

export class Notice {
  readonly #options: NoticeOptions;
  #painted: Painted | null = null;
  #timers: { look: NodeJS.Timeout; end: NodeJS.Timeout } | null = null;

  constructor(options: NoticeOptions) {
    this.#options = options;
  }

  /** In place of the one that is shown. False: there is nothing it could be painted on. */
  show(title: string, text: string, seconds: number): boolean {
    if (this.#options.pipelineCanvas() === null && this.#options.canvas() === null) return false;
    this.#stop();
    this.#painted = null;
    this.#paint(title, text);
    let drawn = this.#options.drawnCount();
    const look = setInterval(() => {
      if (this.#options.drawnCount() === drawn) return;
      drawn = this.#options.drawnCount();
      this.#paint(title, text);
    }, lookMs);
    const end = setTimeout(() => this.#end(), seconds * 1000);
    this.#timers = { look, end };
    return true;
  }

  /** What is shown goes before its time; nothing where nothing is. */
  hide(): void {
    if (this.#timers !== null) this.#end();
  }

  /** The connection is over. */
  stop(): void {
    this.#stop();
  }

  #paint(title: string, text: string): void {
    const { pipelineCanvas, canvas: canvasNow, paint } = this.#options;
    const area = pipelineCanvas();
    if (area !== null) {
      this.#paintPipeline(area, title, text);
      return;
    }
    const canvas = canvasNow();
    if (canvas === null) return;
    if (this.#painted?.kind !== 'bitmaps' || this.#painted.canvas !== canvas)
      this.#painted = { kind: 'bitmaps', canvas, updates: bannerUpdates(canvas, title, text) };
    paint(this.#painted.updates);
  }

  /** Once for each size of the desktop: the relay has it drawn again. */
  #paintPipeline({ width, height }: Area, title: string, text: string): void {
    const painted = this.#painted;
    if (painted?.kind === 'pipeline' && painted.width === width && painted.height === height) return;
    this.#painted = { kind: 'pipeline', width, height };
    this.#options.overlay(bannerPicture({ width, height }, title, text));
  }

  #end(): void {
    this.#stop();
    this.#options.overlay(null);
    this.#options.refresh();
  }

  #stop(): void {
    if (this.#timers === null) return;
    clearInterval(this.#timers.look);
    clearTimeout(this.#timers.end);
    this.#timers = null;
  }
}
