import { DecodeError } from '@lucid-sessions/wire';
import { intersect, isEmpty, type Rectangle, union } from '../pixels.ts';
import { type LeftContents, WindowContents } from './window-contents.ts';
import {
  DesktopOrderFlag,
  type WindowOrder,
  WindowOrderFlag,
  type WindowRectangle,
  windowTitle,
} from './window-orders.ts';

/** A window of a remote application as the server tells of it, [MS-RDPERP] 2.2.1.3.1.2.1. Never changed, but replaced. */
export interface RemoteWindow {
  readonly id: number;
  readonly title: string;
  readonly showState: number;
  readonly left: number;
  readonly top: number;
  /** null until it is told: as large as its surface. */
  readonly size: { readonly width: number; readonly height: number } | null;
  /** Its shape, from its own corner; null: all of it. */
  readonly shape: readonly Rectangle[] | null;
  /** Where, from its own corner, `visible` begins. */
  readonly visibleLeft: number;
  readonly visibleTop: number;
  /** What nothing covers on the server; null: all of it. */
  readonly visible: readonly Rectangle[] | null;
}

export interface RemoteWindowsSnapshot {
  readonly active: boolean;
  readonly windows: readonly RemoteWindow[];
  readonly zOrder: readonly number[];
  readonly left: LeftContents;
}

/** ShowState: hidden and minimised windows are not seen. */
const hidden: ReadonlySet<number> = new Set([0, 2]);
const shown = 5;
const windowsMax = 1024;
/** Rectangles of all windows together; a window whose would be too many has the one around them. */
const rectanglesMax = 4096;
const zOrderMax = 255;
const intricateMin = 256;

/** What an order changes of the picture. */
export type WindowsChange = Rectangle | 'everything' | null;

/**
 * The windows of remote applications ([MS-RDPERP]): which there are, where, and which is in front. Once the server tells of windows,
 * they are what is seen and not the desktop they lie on, until it says that it watches that desktop no more.
 */
export class RemoteWindows {
  #active = false;
  /** Those opened or activated last stand last. */
  readonly #windows = new Map<number, RemoteWindow>();
  /** The server's word, the foremost first. */
  #zOrder: readonly number[] = [];
  readonly contents = new WindowContents();

  /** Windows are shown, not the desktop. */
  get active(): boolean {
    return this.#active;
  }

  /** Nothing is known that a later order could refer to, and the desktop is shown. */
  get isEmpty(): boolean {
    return !this.#active && this.#windows.size === 0 && this.contents.snapshot().length === 0;
  }

  /** Many rectangles. */
  get isIntricate(): boolean {
    return this.#rectanglesHeld() > intricateMin;
  }

  get(windowId: number): RemoteWindow | null {
    return this.#windows.get(windowId) ?? null;
  }

  /** Throws `DecodeError('limit')`. */
  apply(order: WindowOrder): WindowsChange {
    switch (order.kind) {
      case 'window':
        return this.#tell(order);
      case 'windowDeleted':
        return this.#close(order.windowId);
      case 'desktop':
        return this.#desktop(order);
      case 'icon':
        return null;
    }
  }

  /** Those to be seen, the foremost first; windows the server's order does not name are newer than it and lie above it. */
  inFront(): RemoteWindow[] {
    const named = new Set(this.#zOrder);
    const newer = [...this.#windows.values()].filter(({ id }) => !named.has(id)).reverse();
    const ordered = [...named].flatMap((id) => this.#windows.get(id) ?? []);
    return [...newer, ...ordered].filter(({ showState }) => !hidden.has(showState));
  }

  /** Of the desktop, as large as what it shows where nothing is told. */
  placeOf({ id, left, top, size }: RemoteWindow): Rectangle {
    const { width, height } = size ?? this.contents.get(id) ?? { width: 0, height: 0 };
    return { left, top, width, height };
  }

  /** A surface is gone: see `WindowContents`. */
  surfaceLeft(surfaceId: number): void {
    this.contents.leave(surfaceId, (windowId) => this.#windows.has(windowId));
  }

  /** Forgets all. */
  clear(): void {
    this.restore({ active: false, windows: [], zOrder: [], left: [] });
  }

  snapshot(): RemoteWindowsSnapshot {
    return {
      active: this.#active,
      windows: [...this.#windows.values()],
      zOrder: this.#zOrder,
      left: this.contents.snapshot(),
    };
  }

  restore({ active, windows, zOrder, left }: RemoteWindowsSnapshot): void {
    this.#active = active;
    this.#windows.clear();
    for (const window of windows.slice(0, windowsMax)) this.#windows.set(window.id, window);
    this.#zOrder = zOrder;
    this.contents.restore(left);
  }

  #tell(order: Extract<WindowOrder, { kind: 'window' }>): WindowsChange {
    const { windowId, flags, fields } = order;
    const known = this.#windows.get(windowId);
    if (!known && this.#windows.size >= windowsMax)
      throw new DecodeError('limit', `more than ${windowsMax} windows of remote applications are open`);
    const before = known && !(flags & WindowOrderFlag.isNew) ? known : unknownWindow(windowId);
    const left = fields.windowOffset?.x ?? before.left;
    const top = fields.windowOffset?.y ?? before.top;
    const after: RemoteWindow = {
      id: windowId,
      title: fields.titleInfo ? windowTitle(fields.titleInfo) : before.title,
      showState: fields.showState ?? before.showState,
      left,
      top,
      size: fields.windowSize ?? before.size,
      shape: fields.windowRects ? this.#rectangles(windowId, fields.windowRects) : before.shape,
      // What is visible moves with the window until the server tells it anew.
      visibleLeft: fields.visibleOffset ? fields.visibleOffset.x - left : before.visibleLeft,
      visibleTop: fields.visibleOffset ? fields.visibleOffset.y - top : before.visibleTop,
      visible: fields.visibilityRects ? this.#rectangles(windowId, fields.visibilityRects) : before.visible,
    };
    this.#windows.set(windowId, after);
    if (this.#activate()) return 'everything';
    if (!known) return this.placeOf(after);
    return isSeenAlike(known, after) ? null : union(this.placeOf(known), this.placeOf(after));
  }

  /** True where the desktop was to be seen until now. */
  #activate(): boolean {
    const begins = !this.#active;
    this.#active = true;
    return begins;
  }

  #close(windowId: number): WindowsChange {
    const window = this.#windows.get(windowId);
    if (!window) return null;
    const place = this.placeOf(window);
    this.#windows.delete(windowId);
    this.contents.closed(windowId);
    return place;
  }

  /** [MS-RDPERP] 3.2.5.1.8 */
  #desktop({ flags, activeWindowId, windowIds }: Extract<WindowOrder, { kind: 'desktop' }>): WindowsChange {
    const before = this.#active ? this.inFront() : null;
    if (flags & (DesktopOrderFlag.notMonitored | DesktopOrderFlag.syncBegan)) this.#closeAll();
    if (flags & DesktopOrderFlag.notMonitored) {
      this.#active = false;
      return before && 'everything';
    }
    this.#activate();
    if (windowIds) this.#zOrder = windowIds.slice(0, zOrderMax);
    if (activeWindowId !== undefined) this.#toFront(activeWindowId);
    const after = this.inFront();
    const same = before?.length === after.length && before.every((window, at) => window === after[at]);
    return same ? null : 'everything';
  }

  #closeAll(): void {
    for (const windowId of [...this.#windows.keys()]) this.#close(windowId);
    this.#zOrder = [];
  }

  /** The server's order of windows comes apart from which is active: where there is none, the active one is in front. */
  #toFront(windowId: number): void {
    const window = this.#windows.get(windowId);
    if (!window) return;
    this.#windows.delete(windowId);
    this.#windows.set(windowId, window);
  }

  #rectangles(windowId: number, list: readonly WindowRectangle[]): Rectangle[] {
    const rectangles = list.map(rectangleOf).filter((one) => !isEmpty(one));
    // Half of what is left: a window has two such lists.
    const left = (rectanglesMax - this.#rectanglesHeld(windowId)) / 2;
    const fits = rectangles.length <= 1 || rectangles.length <= left;
    return fits ? rectangles : [rectangles.reduce(union)];
  }

  #rectanglesHeld(except: number | null = null): number {
    let held = 0;
    for (const { id, shape, visible } of this.#windows.values())
      if (id !== except) held += (shape?.length ?? 1) + (visible?.length ?? 1);
    return held;
  }
}

const unknownWindow = (id: number): RemoteWindow => ({
  id,
  title: '',
  showState: shown,
  left: 0,
  top: 0,
  size: null,
  shape: null,
  visibleLeft: 0,
  visibleTop: 0,
  visible: null,
});

const isSeenAlike = (a: RemoteWindow, b: RemoteWindow): boolean =>
  a.left === b.left &&
  a.top === b.top &&
  a.size?.width === b.size?.width &&
  a.size?.height === b.size?.height &&
  a.shape === b.shape &&
  a.visible === b.visible &&
  a.visibleLeft === b.visibleLeft &&
  a.visibleTop === b.visibleTop &&
  hidden.has(a.showState) === hidden.has(b.showState);

const rectangleOf = ({ left, top, right, bottom }: WindowRectangle): Rectangle => ({
  left,
  top,
  width: Math.max(0, right - left),
  height: Math.max(0, bottom - top),
});

/** Of the desktop, without what lies outside the window. */
export function regionsOf(
  window: RemoteWindow,
  place: Rectangle,
): { shape: readonly Rectangle[]; visible: readonly Rectangle[] } {
  const within = (list: readonly Rectangle[] | null, left: number, top: number): readonly Rectangle[] =>
    list?.map((one) => intersect({ ...one, left: one.left + left, top: one.top + top }, place)) ?? [place];
  const { left, top, visibleLeft, visibleTop } = window;
  return {
    shape: within(window.shape, left, top),
    visible: within(window.visible, left + visibleLeft, top + visibleTop),
  };
}
