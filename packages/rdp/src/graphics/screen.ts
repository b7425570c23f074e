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
/** Different kinds counted; a peer could otherwise fill the map with names. Further kinds count as 'other'. */
const unsupportedKindsMax = 128;

export interface ScreenSnapshot {
  readonly pixels: PixelBuffer;
  readonly pointer: PointerState;
  readonly framesCount: number;
  readonly unsupported: readonly (readonly [string, number])[];
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
  /** How often an update of a kind could not be drawn, by kind. Never empty silently: a reviewer must see it. */
  readonly unsupported = new Map<string, number>();
  #dirty: Rectangle[] = [];

  constructor(width = 0, height = 0) {
    this.pixels = createPixelBuffer(width, height);
    this.#markAll();
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

  /** Counts an update that could not be drawn. `kind` is a short fixed name, such as 'order.drawNineGrid'. */
  countUnsupported(kind: string): void {
    const known = this.unsupported.has(kind) || this.unsupported.size < unsupportedKindsMax;
    const name = known ? kind : 'other';
    this.unsupported.set(name, (this.unsupported.get(name) ?? 0) + 1);
  }

  snapshot(): ScreenSnapshot {
    return {
      pixels: clonePixelBuffer(this.pixels),
      pointer: { ...this.pointer },
      framesCount: this.framesCount,
      unsupported: [...this.unsupported],
    };
  }

  restore(snapshot: ScreenSnapshot): void {
    this.pixels = clonePixelBuffer(snapshot.pixels);
    this.pointer = { ...snapshot.pointer };
    this.framesCount = snapshot.framesCount;
    this.unsupported.clear();
    for (const [kind, count] of snapshot.unsupported) this.unsupported.set(kind, count);
    this.#dirty = [];
    this.#markAll();
  }
}

function covers(outer: Rectangle, inner: Rectangle): boolean {
  const same = intersect(outer, inner);
  return same.width === inner.width && same.height === inner.height;
}
