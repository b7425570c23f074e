/** A message to who works in a session: painted over the top of the desktop for a while, and again where the target drew over it. */
import type { Canvas } from '@lucid-sessions/relay';
import { bannerUpdates } from '@lucid-sessions/screens';

export interface NoticeOptions {
  /** What it may be painted on; null: nothing now. */
  canvas: () => Canvas | null;
  paint: (updates: readonly Uint8Array[]) => void;
  /** The target draws all again. */
  refresh: () => void;
  /** Counts what the target drew. */
  drawnCount: () => number;
}

const lookMs = 500;

export class Notice {
  readonly #options: NoticeOptions;
  /** Painted again as it is: a target that never stops drawing must not keep us drawing. */
  #painted: { canvas: Canvas; updates: readonly Uint8Array[] } | null = null;
  #timers: { look: NodeJS.Timeout; end: NodeJS.Timeout } | null = null;

  constructor(options: NoticeOptions) {
    this.#options = options;
  }

  /** In place of the one that is shown. False: there is nothing it could be painted on. */
  show(title: string, text: string, seconds: number): boolean {
    if (this.#options.canvas() === null) return false;
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
    const canvas = this.#options.canvas();
    if (canvas === null) return;
    if (this.#painted?.canvas !== canvas) this.#painted = { canvas, updates: bannerUpdates(canvas, title, text) };
    this.#options.paint(this.#painted.updates);
  }

  #end(): void {
    this.#stop();
    this.#options.refresh();
  }

  #stop(): void {
    if (this.#timers === null) return;
    clearInterval(this.#timers.look);
    clearTimeout(this.#timers.end);
    this.#timers = null;
  }
}
