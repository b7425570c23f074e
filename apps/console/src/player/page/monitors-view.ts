import { fill, h, svg } from '../../ui/dom.ts';
import type { PlayerMonitors } from '../protocol.ts';

/** Of an outline and its number, in thousandths of the desktop's longer side. */
const strokePermille = 2;
const labelPermille = 26;
const everything = 'all';

/**
 * Which monitors the desktop lies on: outlines over the picture, and a choice of which of them is looked at. Neither is seen while
 * there is one.
 */
export class MonitorsView {
  readonly select = h('select', { class: 'which', 'aria-label': 'Monitors', title: 'Monitors ( o )', hidden: true });
  /** Lies over the picture and is fitted like it. */
  readonly outlines = svg('svg', { class: 'monitors', 'aria-hidden': 'true' });
  #layout: PlayerMonitors = { width: 0, height: 0, monitors: [] };
  #chosen: number | null = null;
  readonly #onChoose: (monitor: number | null) => void;

  /** `onChoose`: a monitor's number from 0, or null for all of them. */
  constructor(onChoose: (monitor: number | null) => void) {
    this.#onChoose = onChoose;
    this.select.addEventListener('change', () => {
      const { value } = this.select;
      this.#choose(value === everything ? null : Number(value));
    });
    this.#show();
  }

  /** The layout at the moment that is shown. A monitor that is gone can't be looked at: all of them are. */
  set(layout: PlayerMonitors): void {
    this.#layout = layout;
    if (this.#chosen !== null && this.#chosen >= layout.monitors.length) this.#choose(null);
    this.#show();
  }

  /** To the next monitor, behind the last to all of them. */
  next(): void {
    const { length } = this.#layout.monitors;
    if (length < 2) return;
    const next = this.#chosen === null ? 0 : this.#chosen + 1;
    this.#choose(next < length ? next : null);
  }

  /** All of them are looked at. */
  all(): void {
    if (this.#chosen !== null) this.#choose(null);
  }

  #choose(monitor: number | null): void {
    this.#chosen = monitor;
    this.#show();
    this.#onChoose(monitor);
  }

  #show(): void {
    const { width, height, monitors } = this.#layout;
    const several = monitors.length > 1;
    this.select.hidden = !several;
    fill(
      this.select,
      h('option', { value: everything }, `All ${monitors.length} monitors`),
      monitors.map(({ primary, ...size }, at) =>
        h('option', { value: at }, `Monitor ${at + 1}${primary ? ' (primary)' : ''}: ${size.width} × ${size.height}`),
      ),
    );
    this.select.value = this.#chosen === null ? everything : String(this.#chosen);
    const outlined = several && this.#chosen === null;
    this.outlines.style.display = outlined ? '' : 'none';
    if (!outlined) return;
    this.outlines.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.outlines.style.setProperty('--width', `${width}px`);
    this.outlines.style.setProperty('--height', `${height}px`);
    const side = Math.max(width, height) / 1000;
    fill(
      this.outlines,
      monitors.map((monitor, at) => outline(monitor, at + 1, side)),
    );
  }
}

function outline({ left, top, width, height }: PlayerMonitors['monitors'][number], number: number, side: number) {
  const stroke = strokePermille * side;
  const size = labelPermille * side;
  // The line lies inside: at the picture's edge half of it would be cut off.
  return svg(
    'g',
    {},
    svg('rect', {
      x: left + stroke / 2,
      y: top + stroke / 2,
      width: Math.max(0, width - stroke),
      height: Math.max(0, height - stroke),
      'stroke-width': stroke,
      class: 'outline',
    }),
    svg('rect', { x: left, y: top, width: size * 1.3, height: size * 1.3, class: 'tag' }),
    svg('text', { x: left + size * 0.65, y: top + size * 0.68, 'font-size': size, class: 'number' }, String(number)),
  );
}
