import { NotDrawn, type NotDrawnSnapshot } from './not-drawn.ts';
import { OneColour, type OneColourSnapshot } from './one-colour.ts';
import {
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
  readonly pixels: PixelBuffer;
  readonly pointer: PointerState;
  readonly framesCount: number;
  readonly notDrawn: NotDrawnSnapshot;
  readonly lit: boolean;
  /** Absent in states from before it was counted. */
  readonly oneColour?: OneColourSnapshot;
}

/**
 * The desktop as the client shows it: picture, pointer, and what could not be drawn. Decoders draw into `pixels` and say
 * where with `markDirty`; a painter takes the rectangles with `takeDirty`.
 */
export class Screen {
  pixels: PixelBuffer;
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

  constructor(width = 0, height = 0) {
    this.pixels = createPixelBuffer(width, height);
    this.#markAll();
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
    return this.pixels.width;
  }
  get height(): number {
    return this.pixels.height;
  }

  /**
   * A new size clears the picture to black, as clients do; the same size keeps it. Of a desktop with more pixels than are held the
   * upper rows are, which is counted. Throws `DecodeError('limit')` for a side no desktop has.
   */
  resize(width: number, height: number): void {
    const rows = Math.min(height, Math.floor(pixelBufferPixelsMax / Math.max(1, width)));
    if (rows < height) this.countUnsupported('desktop.cropped');
    if (width === this.width && rows === this.height) return;
    this.pixels = createPixelBuffer(width, rows);
    this.#dirty = [];
    this.#markAll();
  }

  #markAll(): void {
    this.markDirty(bounds(this.pixels));
  }

  markDirty(rectangle: Rectangle): void {
    const visible = intersect(rectangle, bounds(this.pixels));
    if (isEmpty(visible)) return;
    this.#lit ||= hasLight(this.pixels, visible);
    const last = this.#dirty.at(-1);
    if (last && covers(last, visible)) return;
    this.#dirty.push(visible);
    if (this.#dirty.length > dirtyRectanglesMax) this.#dirty = [this.#dirty.reduce(union)];
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
      pixels: clonePixelBuffer(this.pixels),
      pointer: { ...this.pointer },
      framesCount: this.framesCount,
      notDrawn: this.notDrawn.snapshot(),
      lit: this.#lit,
      oneColour: this.oneColour.snapshot(this),
    };
  }

  restore(snapshot: ScreenSnapshot): void {
    this.pixels = clonePixelBuffer(snapshot.pixels);
    this.pointer = { ...snapshot.pointer };
    this.framesCount = snapshot.framesCount;
    this.notDrawn.restore(snapshot.notDrawn);
    this.#lit = snapshot.lit;
    this.oneColour.restore(snapshot.oneColour);
    this.#dirty = [];
    this.#markAll();
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

function covers(outer: Rectangle, inner: Rectangle): boolean {
  const same = intersect(outer, inner);
  return same.width === inner.width && same.height === inner.height;
}
