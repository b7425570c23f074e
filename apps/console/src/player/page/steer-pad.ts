import { h } from '../../ui/dom.ts';
import { scancodeOf } from '../../ui/scancodes.ts';
import { placeOn } from './picture-place.ts';

/** As fast-path input has them ([MS-RDPBCGR] 2.2.8.1.2.2). */
export type SteerEvent =
  | { kind: 'scancode'; flags: number; keyCode: number }
  | { kind: 'unicode'; flags: number; unicodeCode: number }
  | { kind: 'mouse'; flags: 0; pointerFlags: number; x: number; y: number };

const release = 1;
const extended = 2;
const pointer = { move: 0x0800, down: 0x8000, wheel: 0x0200, rotationMask: 0x01ff } as const;
/** By the number a browser gives a button. */
const buttons: readonly number[] = [0x1000, 0x4000, 0x2000];
const notch = 120;
/** A moving mouse says so this often. */
const moveMs = 33;

/** Lies over the picture of a running session: keys and mouse there are the desktop's, as its own user's would be. */
export class SteerPad {
  readonly element = h('div', {
    class: 'pad',
    tabindex: 0,
    role: 'application',
    'aria-label': 'The desktop, steered from here',
  });
  readonly #size: () => { width: number; height: number };
  readonly #send: (events: readonly SteerEvent[]) => void;
  /** Down and not up again. */
  readonly #down = new Map<string, SteerEvent>();
  #moved: { x: number; y: number } | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `size`: of the desktop whose picture fills the element, as large as it fits. */
  constructor(size: () => { width: number; height: number }, send: (events: readonly SteerEvent[]) => void) {
    this.#size = size;
    this.#send = send;
    const on = <K extends keyof HTMLElementEventMap>(type: K, does: (event: HTMLElementEventMap[K]) => void): void =>
      this.element.addEventListener(type, does, { passive: false });
    on('keydown', (event) => this.#onKey(event, 0));
    on('keyup', (event) => this.#onKey(event, release));
    on('pointermove', (event) => this.#onMove(event));
    on('pointerdown', (event) => this.#onButton(event, pointer.down));
    on('pointerup', (event) => this.#onButton(event, 0));
    on('wheel', (event) => this.#onWheel(event));
    on('contextmenu', (event) => event.preventDefault());
    on('click', (event) => event.stopPropagation());
    on('dblclick', (event) => event.stopPropagation());
    on('blur', () => this.#releaseAll());
  }

  close(): void {
    clearTimeout(this.#timer);
    this.element.remove();
  }

  #onKey(event: KeyboardEvent, flags: number): void {
    event.preventDefault();
    event.stopPropagation();
    const scancode = scancodeOf(event.code);
    if (scancode !== undefined) {
      const wide = scancode > 0xff ? extended : 0;
      this.#press(`key ${scancode}`, { kind: 'scancode', flags: flags | wide, keyCode: scancode & 0xff }, flags);
    } else if ([...event.key].length === 1)
      this.#press(event.key, { kind: 'unicode', flags, unicodeCode: event.key.charCodeAt(0) }, flags);
  }

  #press(name: string, event: SteerEvent, flags: number): void {
    if (flags === 0 && event.kind !== 'mouse') this.#down.set(name, { ...event, flags: event.flags | release });
    else this.#down.delete(name);
    this.#send([event]);
  }

  #onMove(event: PointerEvent): void {
    this.#moved = this.#place(event);
    this.#timer ??= setTimeout(() => this.#flushMove(), moveMs);
  }

  #flushMove(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#moved !== null) this.#send([{ kind: 'mouse', flags: 0, pointerFlags: pointer.move, ...this.#moved }]);
    this.#moved = null;
  }

  #onButton(event: PointerEvent, down: number): void {
    event.preventDefault();
    const button = buttons[event.button];
    if (button === undefined) return;
    if (down !== 0) {
      this.element.focus();
      this.element.setPointerCapture(event.pointerId);
    }
    this.#moved = this.#place(event);
    this.#flushMove();
    const place = this.#place(event);
    const up = { kind: 'mouse', flags: 0, pointerFlags: button, ...place } as const;
    if (down === 0) this.#down.delete(`button ${button}`);
    else this.#down.set(`button ${button}`, up);
    this.#send([{ ...up, pointerFlags: button | down }]);
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    event.stopPropagation();
    if (event.deltaY === 0) return;
    const rotation = (event.deltaY < 0 ? notch : -notch) & pointer.rotationMask;
    this.#send([{ kind: 'mouse', flags: 0, pointerFlags: pointer.wheel | rotation, ...this.#place(event) }]);
  }

  #releaseAll(): void {
    if (this.#down.size > 0) this.#send([...this.#down.values()]);
    this.#down.clear();
  }

  #place(event: MouseEvent): { x: number; y: number } {
    return placeOn(this.element, this.#size(), event);
  }
}
