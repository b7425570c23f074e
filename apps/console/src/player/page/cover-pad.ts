import { fill, h, svg } from '../../ui/dom.ts';
import { placeOn } from './picture-place.ts';

/** Pixels of the desktop. */
export interface CoverBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Smaller ones are a slip of the hand. */
const sideMin = 4;

/** Lies over the picture: shows what is to be covered at this moment, and lets somebody draw another box. */
export class CoverPad {
  readonly element = h('div', { class: 'cover-pad', role: 'application', 'aria-label': 'Draw a box over the picture' });
  readonly #shapes = svg('svg', { class: 'covers', 'aria-hidden': 'true' });
  readonly #size: () => { width: number; height: number };
  #boxes: readonly CoverBox[] = [];
  #from: { x: number; y: number } | null = null;
  #to: { x: number; y: number } | null = null;

  constructor(size: () => { width: number; height: number }, onBox: (box: CoverBox) => void) {
    this.#size = size;
    this.element.append(this.#shapes);
    const on = <K extends keyof HTMLElementEventMap>(type: K, does: (event: HTMLElementEventMap[K]) => void): void =>
      this.element.addEventListener(type, does);
    on('pointerdown', (event) => {
      event.preventDefault();
      this.element.setPointerCapture(event.pointerId);
      this.#from = this.#to = placeOn(this.element, this.#size(), event);
    });
    on('pointermove', (event) => {
      if (this.#from === null) return;
      this.#to = placeOn(this.element, this.#size(), event);
      this.#draw();
    });
    on('pointerup', () => {
      const box = this.#drawn();
      this.#from = this.#to = null;
      if (box !== null && box.width >= sideMin && box.height >= sideMin) onBox(box);
      this.#draw();
    });
    on('pointercancel', () => {
      this.#from = this.#to = null;
      this.#draw();
    });
    on('click', (event) => event.stopPropagation());
    on('dblclick', (event) => event.stopPropagation());
  }

  /** What is covered at the moment that is shown. */
  set(boxes: readonly CoverBox[]): void {
    this.#boxes = boxes;
    this.#draw();
  }

  close(): void {
    this.element.remove();
  }

  /** Both corners are in it. */
  #drawn(): CoverBox | null {
    if (this.#from === null || this.#to === null) return null;
    const [x, y] = [Math.min(this.#from.x, this.#to.x), Math.min(this.#from.y, this.#to.y)];
    return { x, y, width: Math.abs(this.#to.x - this.#from.x) + 1, height: Math.abs(this.#to.y - this.#from.y) + 1 };
  }

  #draw(): void {
    const { width, height } = this.#size();
    this.#shapes.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const drawn = this.#drawn();
    fill(
      this.#shapes,
      [...this.#boxes, ...(drawn === null ? [] : [drawn])].map((box) =>
        svg('rect', { class: box === drawn ? 'drawing' : 'cover', ...box }),
      ),
    );
  }
}
