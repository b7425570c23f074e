import { fill, h } from '../../ui/dom.ts';
import { formatClock, formatMoment, spokenDuration } from '../../ui/format.ts';
import type { PlayerEvent } from '../protocol.ts';

/** Pictures kept for the preview; further ones replace their nearest neighbour. */
const thumbnailsMax = 160;
const keyStepSeconds = 5;
const pageStepSeconds = 60;

/**
 * Where in the recording the picture is: activity as bars, events as marks, a preview under the pointer. A slider to keyboard and
 * screen reader.
 */
export class Timeline {
  readonly element: HTMLElement;
  readonly #canvas = h('canvas', { 'aria-hidden': 'true' });
  readonly #preview = h('div', { class: 'preview', hidden: true, 'aria-hidden': 'true' });
  readonly #previewPicture = h('canvas', {});
  readonly #previewTime = h('div', {});
  readonly #seek: (seconds: number) => void;
  readonly #thumbnails = new Map<number, ImageBitmap>();
  #duration = 0;
  #position = 0;
  #activity: Float32Array = new Float32Array(0);
  #marks: PlayerEvent[] = [];
  /** Seconds at which rules found something. */
  #alerts: readonly number[] = [];
  #drawing = false;

  constructor(seek: (seconds: number) => void) {
    this.#seek = seek;
    fill(this.#preview, this.#previewPicture, this.#previewTime);
    this.element = h(
      'div',
      {
        class: 'time',
        role: 'slider',
        tabindex: 0,
        'aria-label': 'Position',
        'aria-orientation': 'horizontal',
        'aria-valuemin': 0,
      },
      this.#canvas,
      this.#preview,
    );
    this.element.addEventListener('keydown', (event) => this.#onKey(event));
    this.element.addEventListener('pointerdown', (event) => this.#onPointerDown(event));
    this.element.addEventListener('pointermove', (event) => this.#showPreview(event));
    this.element.addEventListener('pointerleave', () => {
      this.#preview.hidden = true;
    });
    new ResizeObserver(() => this.#draw()).observe(this.element);
    this.setPosition(0, 0);
  }

  setPosition(seconds: number, duration: number): void {
    this.#position = seconds;
    this.#duration = duration;
    this.element.setAttribute('aria-valuemax', duration.toFixed(1));
    this.element.setAttribute('aria-valuenow', Math.min(seconds, duration).toFixed(1));
    this.element.setAttribute('aria-valuetext', `${spokenDuration(seconds)} of ${spokenDuration(duration)}`);
    this.#draw();
  }

  setActivity(values: Float32Array): void {
    this.#activity = values;
    this.#draw();
  }

  setMarks(events: readonly PlayerEvent[]): void {
    this.#marks = events.filter(
      (event) => event.kind === 'note' || event.kind === 'clipboard' || event.kind === 'keys',
    );
    this.#draw();
  }

  setAlerts(seconds: readonly number[]): void {
    this.#alerts = seconds;
    this.#draw();
  }

  addThumbnail(seconds: number, picture: ImageBitmap): void {
    if (this.#thumbnails.size >= thumbnailsMax) {
      const nearest = this.#nearest(seconds);
      if (nearest !== null) {
        this.#thumbnails.get(nearest)?.close();
        this.#thumbnails.delete(nearest);
      }
    }
    this.#thumbnails.set(seconds, picture);
  }

  dispose(): void {
    for (const picture of this.#thumbnails.values()) picture.close();
    this.#thumbnails.clear();
  }

  #nearest(seconds: number): number | null {
    let best: number | null = null;
    for (const at of this.#thumbnails.keys())
      if (best === null || Math.abs(at - seconds) < Math.abs(best - seconds)) best = at;
    return best;
  }

  #secondsAt(event: PointerEvent): number {
    const box = this.#canvas.getBoundingClientRect();
    const part = (event.clientX - box.left) / Math.max(1, box.width);
    return Math.min(1, Math.max(0, part)) * this.#duration;
  }

  #onPointerDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.#seek(this.#secondsAt(event));
    const drag = (moved: PointerEvent): void => this.#seek(this.#secondsAt(moved));
    const stop = (): void => {
      this.element.removeEventListener('pointermove', drag);
      this.element.removeEventListener('pointerup', stop);
      this.element.removeEventListener('pointercancel', stop);
    };
    this.element.addEventListener('pointermove', drag);
    this.element.addEventListener('pointerup', stop);
    this.element.addEventListener('pointercancel', stop);
  }

  #onKey(event: KeyboardEvent): void {
    const targets: Record<string, number> = {
      ArrowRight: this.#position + keyStepSeconds,
      ArrowUp: this.#position + keyStepSeconds,
      ArrowLeft: this.#position - keyStepSeconds,
      ArrowDown: this.#position - keyStepSeconds,
      PageUp: this.#position + pageStepSeconds,
      PageDown: this.#position - pageStepSeconds,
      Home: 0,
      End: this.#duration,
    };
    const target = targets[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#seek(Math.min(this.#duration, Math.max(0, target)));
  }

  #showPreview(event: PointerEvent): void {
    if (this.#duration === 0) return;
    const seconds = this.#secondsAt(event);
    const at = this.#nearest(seconds);
    const picture = at === null ? undefined : this.#thumbnails.get(at);
    // A picture far from the pointer's moment would show something that was not there then.
    const near = picture !== undefined && at !== null && Math.abs(at - seconds) <= Math.max(2, this.#duration / 60);
    this.#previewPicture.hidden = !near;
    if (near) {
      this.#previewPicture.width = picture.width;
      this.#previewPicture.height = picture.height;
      this.#previewPicture.getContext('2d')?.drawImage(picture, 0, 0);
    }
    this.#previewTime.textContent = formatMoment(seconds);
    const box = this.element.getBoundingClientRect();
    const left = Math.min(box.width - 184, Math.max(4, event.clientX - box.left - 88));
    this.#preview.style.left = `${left}px`;
    this.#preview.hidden = false;
  }

  /** Draws at most once per displayed frame. */
  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#paint();
    });
  }

  #paint(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#canvas.getContext('2d');
    if (width === 0 || !context) return;
    const scale = devicePixelRatio;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    // Canvas knows no custom properties: the style puts each colour into a property that is computed to a plain one.
    const style = getComputedStyle(this.element);
    const { color: accent, borderTopColor: line, columnRuleColor: muted, caretColor: warn } = style;
    const x = (seconds: number): number => (this.#duration === 0 ? 0 : (seconds / this.#duration) * width);
    const base = height - 17;
    const played = x(Math.min(this.#position, this.#duration));

    this.#paintBars(context, width, base, played, accent, line);
    context.fillStyle = line;
    context.fillRect(0, base, width, 3);
    context.fillStyle = accent;
    context.fillRect(0, base, played, 3);
    for (const mark of this.#marks) {
      context.fillStyle = mark.kind === 'note' ? warn : muted;
      context.fillRect(Math.min(width - 2, x(mark.timeUs / 1e6)), base + 5, 2, mark.kind === 'note' ? 6 : 4);
    }
    // Triangles over the line: a shape of their own, not a colour alone.
    context.fillStyle = warn;
    for (const seconds of this.#alerts) {
      const at = Math.min(width - 4, Math.max(4, x(seconds)));
      context.beginPath();
      context.moveTo(at - 4, base - 9);
      context.lineTo(at + 4, base - 9);
      context.lineTo(at, base - 1);
      context.fill();
    }
    context.fillStyle = accent;
    context.beginPath();
    context.arc(Math.min(width - 6, Math.max(6, played)), base + 1.5, 6, 0, Math.PI * 2);
    context.fill();
  }

  #paintBars(
    context: CanvasRenderingContext2D,
    width: number,
    base: number,
    played: number,
    done: string,
    ahead: string,
  ): void {
    const count = this.#activity.length;
    if (count === 0) return;
    const step = width / count;
    this.#activity.forEach((value, i) => {
      if (value <= 0) return;
      const barHeight = Math.max(1.5, value * (base - 7));
      context.fillStyle = i * step < played ? done : ahead;
      context.globalAlpha = i * step < played ? 0.55 : 1;
      context.fillRect(i * step, base - barHeight - 1, Math.max(1, step - 0.6), barHeight);
    });
    context.globalAlpha = 1;
  }

  /** For tests and the page: what the slider says. */
  get text(): string {
    return `${formatClock(this.#position)} / ${formatClock(this.#duration)}`;
  }
}
