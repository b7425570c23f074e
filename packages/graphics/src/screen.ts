import { type Monitor, MonitorLayouts, type MonitorLayoutsSnapshot } from '@lucid-sessions/rdp';
import { NotDrawn, type NotDrawnSnapshot } from './not-drawn.ts';
import { OneColour, type OneColourSnapshot } from './one-colour.ts';
import {
  blit,
  bounds,
  clonePixelBuffer,
  createPixelBuffer,
  intersect,
  isEmpty,
  type PixelBuffer,
  pixelBufferPixelsMax,
  type Rectangle,
  union,
} from './pixels.ts';
import { composeWindows } from './windows/compose-windows.ts';
import { RemoteWindows, type RemoteWindowsSnapshot, type WindowsChange } from './windows/remote-windows.ts';
import type { WindowOrder } from './windows/window-orders.ts';

/** A pointer's picture: straight (not premultiplied) alpha, and the point inside it that points. */
export interface PointerShape {
  readonly pixels: PixelBuffer;
  readonly hotspotX: number;
  readonly hotspotY: number;
}

/**
 * What the client shows as pointer. `system` is the client's own arrow, whose picture the protocol doesn't carry:
 * the player brings one. The position is the last one the server set or (by the caller's choice) the client sent.
 */
export interface PointerState {
  x: number;
  y: number;
  visible: boolean;
  /** null: the client's own default arrow. */
  shape: PointerShape | null;
}

/** Rectangles kept apart before they melt into one: more would cost the painter more than the pixels do. */
const dirtyRectanglesMax = 64;

export interface ScreenSnapshot {
  /** The desktop. */
  readonly pixels: PixelBuffer;
  readonly pointer: PointerState;
  readonly framesCount: number;
  readonly notDrawn: NotDrawnSnapshot;
  readonly lit: boolean;
  /** Absent in states from before it was counted. */
  readonly oneColour?: OneColourSnapshot;
  /** Absent in states from before monitors were read. */
  readonly layouts?: MonitorLayoutsSnapshot;
  /** Absent in states from before it was looked at. */
  readonly windowsAsked?: boolean;
  /** Absent where the server announced no windows of remote applications. */
  readonly windows?: RemoteWindowsSnapshot;
}

/**
 * What the client shows: picture, pointer, and what could not be drawn. Decoders draw into `desktop` and say where with
 * `markDirty`; a painter takes the rectangles with `takeDirty` and shows `pixels`.
 */
export class Screen {
  /** What decoders draw on: the server's desktop, of which only windows are seen where remote applications are shown. */
  desktop: PixelBuffer;
  readonly windows = new RemoteWindows();
  /** The client asked for windows: see `applyWindowOrder`. */
  windowsAsked = true;
  readonly layouts = new MonitorLayouts();
  pointer: PointerState = { x: 0, y: 0, visible: true, shape: null };
  /** Updates (or frames, where the server marks them) drawn so far. */
  framesCount = 0;
  /** What could not be drawn. Never empty silently: a reviewer must see it. */
  readonly notDrawn = new NotDrawn();
  /** How much of it all shows one colour only; whoever walks through a recording counts. */
  readonly oneColour = new OneColour();
  /** The time of the PDU that is being drawn, where whoever feeds the decoder tells it. */
  timeUs = 0;
  #lit = false;
  #dirty: Rectangle[] = [];
  /** Windows laid out, and what of it is out of date; null: nobody has looked since there are any. */
  #composed: PixelBuffer | null = null;
  #stale: Rectangle[] = [];

  constructor(width = 0, height = 0) {
    this.desktop = createPixelBuffer(width, height);
    this.#touchAll();
  }

  /** How often an update of a kind could not be drawn, by kind. */
  get unsupported(): ReadonlyMap<string, number> {
    return this.notDrawn.counts;
  }
  /** Some pixel was not black at some time: there was something to be seen. */
  get lit(): boolean {
    return this.#lit;
  }
  get width(): number {
    return this.desktop.width;
  }
  get height(): number {
    return this.desktop.height;
  }

  /** The monitors the desktop lies on; one or none where there are not several. */
  get monitors(): readonly Monitor[] {
    return this.layouts.monitors;
  }

  /** What is seen: the desktop, or the windows of remote applications on a neutral ground. To be read only, until the next update. */
  get pixels(): PixelBuffer {
    if (!this.windows.active) return this.desktop;
    const fresh = this.#composed ?? createPixelBuffer(this.width, this.height);
    if (this.#composed === null) this.#stale = [bounds(fresh)];
    this.#composed = fresh;
    // Many small areas of an intricate layout would cost more than one that holds them all.
    if (this.#stale.length > 1 && this.windows.isIntricate) this.#stale = [this.#stale.reduce(union)];
    for (const area of this.#stale) composeWindows(fresh, area, this.desktop, this.windows);
    this.#stale = [];
    return fresh;
  }

  /**
   * A new size clears the picture to black, as clients do; the same size keeps it. Of a desktop with more pixels than are held the
   * upper rows are, which is counted. Throws `DecodeError('limit')` for a side no desktop has.
   */
  resize(width: number, height: number): void {
    const rows = Math.min(height, Math.floor(pixelBufferPixelsMax / Math.max(1, width)));
    if (rows < height) this.countUnsupported('desktop.cropped');
    if (width === this.width && rows === this.height) return;
    this.desktop = createPixelBuffer(width, rows);
    this.#touchAll();
  }

  markDirty(rectangle: Rectangle): void {
    const visible = intersect(rectangle, bounds(this.desktop));
    if (isEmpty(visible)) return;
    this.#lit ||= hasLight(this.desktop, visible);
    this.#touch(visible);
  }

  /** A surface is mapped to a window, whose content is as large as told. Throws `DecodeError('limit')`. */
  attachContent(windowId: number, surfaceId: number, width: number, height: number): void {
    this.detachContent(surfaceId);
    this.windows.contents.attach(windowId, surfaceId, width, height);
  }

  /** A surface is mapped to no window any more. */
  detachContent(surfaceId: number): void {
    this.windows.contents.detach(surfaceId);
    if (this.windows.active) this.#touchAll();
  }

  /** The surface of a window was shown: `area` of the window's content. */
  markContent(windowId: number, area: Rectangle): void {
    const content = this.windows.contents.get(windowId);
    if (!content || isEmpty(area)) return;
    this.#lit ||= hasLight(content, area);
    const window = this.windows.active ? this.windows.get(windowId) : null;
    if (window) this.#changed({ ...area, left: area.left + window.left, top: area.top + window.top });
  }

  /**
   * Throws `DecodeError('limit')` where there are too many windows. A client that asked for none shows its whole desktop whatever it
   * is told: a server that tells it of windows could hide what was seen, so that is counted.
   */
  applyWindowOrder(order: WindowOrder): void {
    if (!this.windowsAsked) this.countUnsupported('order.window.notAsked');
    this.#changed(this.windows.apply(order));
  }

  /** A window shows another picture, or lies elsewhere. */
  #changed(change: WindowsChange): void {
    if (change === 'everything') this.#touchAll();
    else if (change !== null) this.#touch(intersect(change, bounds(this.desktop)));
  }

  /** What is seen becomes the desktop: what comes next knows of no windows, and the picture stays until it draws. */
  forgetWindows(): void {
    if (this.windows.active) blit(this.desktop, 0, 0, this.pixels);
    this.windows.clear();
    this.#composed = null;
  }

  #touchAll(): void {
    const { width, height } = this;
    const fits = this.#composed?.width === width && this.#composed.height === height;
    if (!fits || !this.windows.active) this.#composed = null;
    this.#dirty = [];
    this.#stale = [];
    this.#touch(bounds(this.desktop));
  }

  #touch(area: Rectangle): void {
    if (isEmpty(area)) return;
    this.#dirty = withArea(this.#dirty, area);
    if (this.windows.active) this.#stale = withArea(this.#stale, area);
  }

  /** The areas drawn since the last call; they may overlap. */
  takeDirty(): Rectangle[] {
    const taken = this.#dirty;
    this.#dirty = [];
    return taken;
  }

  /**
   * Counts an update that could not be drawn. `kind` is a short fixed name, such as 'order.drawNineGrid'; `area` is where on the
   * screen, where that is known.
   */
  countUnsupported(kind: string, area: Rectangle | null = null, timeUs = this.timeUs): void {
    this.notDrawn.add(kind, timeUs, area, this);
  }

  snapshot(): ScreenSnapshot {
    return {
      pixels: clonePixelBuffer(this.desktop),
      pointer: { ...this.pointer },
      framesCount: this.framesCount,
      notDrawn: this.notDrawn.snapshot(),
      lit: this.#lit,
      oneColour: this.oneColour.snapshot(this),
      layouts: this.layouts.snapshot(),
      windowsAsked: this.windowsAsked,
      ...(!this.windows.isEmpty && { windows: this.windows.snapshot() }),
    };
  }

  restore(snapshot: ScreenSnapshot): void {
    this.desktop = clonePixelBuffer(snapshot.pixels);
    this.pointer = { ...snapshot.pointer };
    this.framesCount = snapshot.framesCount;
    this.notDrawn.restore(snapshot.notDrawn);
    this.#lit = snapshot.lit;
    this.oneColour.restore(snapshot.oneColour);
    this.windowsAsked = snapshot.windowsAsked ?? true;
    if (snapshot.layouts) this.layouts.restore(snapshot.layouts);
    if (snapshot.windows) this.windows.restore(snapshot.windows);
    else this.windows.clear();
    this.#touchAll();
  }
}

/** Whatever the last byte says: alpha is not seen on a screen. */
function hasLight({ words, width }: PixelBuffer, area: Rectangle): boolean {
  for (let y = area.top; y < area.top + area.height; y += 1) {
    const start = y * width + area.left;
    for (let at = start; at < start + area.width; at += 1) if ((words[at]! & 0xffffff) !== 0) return true;
  }
  return false;
}

function withArea(areas: Rectangle[], area: Rectangle): Rectangle[] {
  const last = areas.at(-1);
  if (last && covers(last, area)) return areas;
  areas.push(area);
  return areas.length > dirtyRectanglesMax ? [areas.reduce(union)] : areas;
}

function covers(outer: Rectangle, inner: Rectangle): boolean {
  const same = intersect(outer, inner);
  return same.width === inner.width && same.height === inner.height;
}
