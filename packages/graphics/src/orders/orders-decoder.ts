import type { Reader } from '@lucid-sessions/wire';
import type { Palette, PixelDepth } from '../bitmap/index.ts';
import { WorkBudget } from '../gfx/work-budget.ts';
import { bounds, createPixelBuffer, intersect, type PixelBuffer } from '../pixels.ts';
import type { Screen } from '../screen.ts';
import type { FrameCounter } from '../session/frame-counter.ts';
import { guarded } from '../session/guard.ts';
import { windowOrder } from '../windows/index.ts';
import { alternateType, readWindowOrder, skipAlternateOrder } from './alternate.ts';
import { type CacheLimits, type CachesSnapshot, OrderCaches } from './caches.ts';
import { Canvas } from './canvas.ts';
import { controlSecondary, controlStandard } from './field-reader.ts';
import { drawPrimaryOrder } from './primary-drawing.ts';
import { type PrimaryOrder, PrimaryOrderReader, type PrimaryReaderSnapshot } from './primary-reader.ts';
import { SavedBits, type SavedBitsSnapshot } from './saved-bits.ts';
import { applySecondaryOrder } from './secondary.ts';

/** SCREEN_BITMAP_SURFACE. */
const screenSurface = 0xffff;
/** Frame Marker's end: [MS-RDPEGDI] 2.2.2.2.1.3.7. */
const frameEnd = 1;

/** How colours are to be read at present. */
export interface OrderColors {
  readonly palette: Palette;
  readonly depth: PixelDepth;
}

export interface OrdersSnapshot {
  readonly reader: PrimaryReaderSnapshot;
  readonly caches: CachesSnapshot;
  readonly savedBits: SavedBitsSnapshot;
  readonly surface: number;
}

const nothing = createPixelBuffer(0, 0);

/** Drawing orders ([MS-RDPEGDI]) with all they keep between updates. */
export class OrdersDecoder {
  readonly #screen: Screen;
  readonly #decodeExtended: (reader: Reader) => PixelBuffer;
  readonly #frames: FrameCounter;
  readonly #reader = new PrimaryOrderReader();
  readonly #caches = new OrderCaches();
  readonly #savedBits = new SavedBits();
  /** What is drawn on: the screen or an offscreen bitmap, which may be missing: then nothing is drawn. */
  #surface = screenSurface;

  /** `decodeExtended` reads the TS_BITMAP_DATA_EX of Cache Bitmap (Revision 3). */
  constructor(screen: Screen, frames: FrameCounter, decodeExtended: (reader: Reader) => PixelBuffer) {
    this.#frames = frames;
    this.#screen = screen;
    this.#decodeExtended = decodeExtended;
  }

  get limits(): CacheLimits {
    return this.#caches.limits;
  }

  /** At (re)activation both sides begin anew, but for the caches: 3.2.1.1. */
  reset(): void {
    this.#reader.reset();
    this.#surface = screenSurface;
  }

  /**
   * The orders of one update (2.2.2.1, 2.2.2.2). An order that can't be drawn is counted; one that can't be read ends the
   * update with a `DecodeError`, as where the next begins is unknown.
   */
  decode(reader: Reader, count: number, colors: OrderColors): void {
    const canvas = new Canvas(this.#target() ?? nothing, new WorkBudget());
    for (let index = 0; index < count; index += 1) {
      const control = reader.u8();
      if (!(control & controlStandard)) this.#alternate(reader, control, canvas);
      else if (control & controlSecondary) this.#secondary(reader, canvas.budget, colors);
      else this.#primary(this.#reader.read(reader, control), canvas, colors);
    }
  }

  #target(): PixelBuffer | null {
    return this.#surface === screenSurface ? this.#screen.desktop : this.#caches.offscreen(this.#surface);
  }

  #primary(order: PrimaryOrder, canvas: Canvas, colors: OrderColors): void {
    if (this.#target() === null) {
      this.#screen.countUnsupported('order.missingSurface');
      return;
    }
    canvas.clip = bounds(canvas.target);
    if (order.bounds) {
      const { left, top, right, bottom } = order.bounds;
      const width = Math.max(0, right - left + 1);
      canvas.clip = intersect(canvas.clip, { left, top, width, height: Math.max(0, bottom - top + 1) });
    }
    const screen = this.#screen;
    const context = { canvas, caches: this.#caches, savedBits: this.#savedBits, screen: screen.desktop, ...colors };
    // Its bounds are all that is known of where an order draws that can't be read.
    const area = order.bounds && this.#surface === screenSurface ? canvas.clip : null;
    const draw = (): void => {
      if (!drawPrimaryOrder(context, order)) screen.countUnsupported(`order.${order.name}`, area);
    };
    guarded(screen, `order.${order.name}`, draw, area);
    const drawn = canvas.takeDrawn();
    if (this.#surface === screenSurface) for (const rectangle of drawn) screen.markDirty(rectangle);
  }

  #secondary(reader: Reader, budget: WorkBudget, colors: OrderColors): void {
    // orderLength is 13 less than the order is long, of which 6 bytes are the header: 2.2.2.2.1.2.1.1.
    const length = reader.i16le() + 7;
    const flags = reader.u16le();
    const type = reader.u8();
    if (length < 0) throw reader.error('invalid', 'a secondary order is shorter than its header');
    const body = reader.sub(length);
    const context = { caches: this.#caches, decodeExtended: this.#decodeExtended, budget, ...colors };
    guarded(this.#screen, 'order.cache', () => {
      if (!applySecondaryOrder(context, { type, flags }, body)) this.#screen.countUnsupported('order.secondary');
    });
  }

  #alternate(reader: Reader, control: number, canvas: Canvas): void {
    if (!(control & controlSecondary)) throw reader.error('invalid', 'an order has no class');
    const type = control >> 2;
    if (type === alternateType.switchSurface) this.#switchSurface(reader.u16le(), canvas);
    else if (type === alternateType.createOffscreenBitmap) this.#createOffscreen(reader, canvas);
    else if (type === alternateType.frameMarker) this.#frameMarker(reader.u32le());
    else if (type === alternateType.window) this.#window(readWindowOrder(reader));
    else this.#skip(reader, type);
  }

  #skip(reader: Reader, type: number): void {
    const name = skipAlternateOrder(reader, type);
    if (name === null) throw reader.error('unsupported', `alternate secondary order ${type} is not defined`);
    this.#screen.countUnsupported(`order.${name}`);
  }

  #window(order: Reader): void {
    guarded(this.#screen, 'order.window', () => this.#screen.applyWindowOrder(windowOrder.decode(order)));
  }

  #frameMarker(action: number): void {
    if (action === frameEnd) this.#frames.end();
    else this.#frames.begin();
  }

  #switchSurface(surface: number, canvas: Canvas): void {
    this.#surface = surface;
    this.#followSurface(canvas);
    if (this.#target() === null) this.#screen.countUnsupported('order.switchSurface.missing');
  }

  /** 2.2.2.2.1.3.2 */
  #createOffscreen(reader: Reader, canvas: Canvas): void {
    const flags = reader.u16le();
    const width = reader.u16le();
    const height = reader.u16le();
    if (flags & 0x8000)
      for (let left = reader.u16le(); left > 0; left -= 1) this.#caches.deleteOffscreen(reader.u16le());
    const index = flags & 0x7fff;
    // One that can't be made must not leave another in its place.
    this.#caches.deleteOffscreen(index);
    guarded(this.#screen, 'order.offscreen', () => {
      canvas.budget.spend(width * height);
      this.#caches.setOffscreen(index, createPixelBuffer(width, height));
    });
    // The surface drawn on may be gone or new: orders without a switch use the one that has its index now.
    this.#followSurface(canvas);
  }

  #followSurface(canvas: Canvas): void {
    canvas.target = this.#target() ?? nothing;
  }

  snapshot(): OrdersSnapshot {
    return {
      reader: this.#reader.snapshot(),
      caches: this.#caches.snapshot(),
      savedBits: this.#savedBits.snapshot(),
      surface: this.#surface,
    };
  }

  restore(snapshot: OrdersSnapshot): void {
    this.#reader.restore(snapshot.reader);
    this.#caches.restore(snapshot.caches);
    this.#savedBits.reload(snapshot.savedBits);
    this.#surface = snapshot.surface;
  }
}
