import { DecodeError } from '@lucid-sessions/wire';
import { blit, createPixelBuffer, type PixelBuffer, type Rectangle } from '../pixels.ts';

/** [MS-RDPEGFX] 3.3.1.4: 100 MB in at most 25,600 slots, numbered from 1. */
const cacheBytesMax = 100 * 1024 * 1024;
const cacheSlotsMax = 25_600;

/** The bitmap cache of a graphics channel. */
export class BitmapCache {
  readonly #slots = new Map<number, PixelBuffer>();
  #bytes = 0;

  /** Copies an area of `source` into a slot. Throws `DecodeError`. */
  store(slot: number, source: PixelBuffer, area: Rectangle): void {
    if (slot < 1 || slot > cacheSlotsMax) throw new DecodeError('invalid', `there is no graphics cache slot ${slot}`);
    this.evict(slot);
    const bytes = area.width * area.height * 4;
    if (this.#bytes + bytes > cacheBytesMax) throw new DecodeError('limit', 'the graphics cache is full');
    const bitmap = createPixelBuffer(area.width, area.height);
    blit(bitmap, 0, 0, source, area);
    this.#slots.set(slot, bitmap);
    this.#bytes += bytes;
  }

  /** The bitmap of a slot, or undefined for an empty one. */
  get(slot: number): PixelBuffer | undefined {
    return this.#slots.get(slot);
  }

  /** Slots and their bitmaps, which never change. */
  snapshot(): [number, PixelBuffer][] {
    return [...this.#slots];
  }

  restore(slots: readonly (readonly [number, PixelBuffer])[]): void {
    this.#slots.clear();
    for (const [slot, bitmap] of slots) this.#slots.set(slot, bitmap);
    this.#bytes = slots.reduce((sum, [, bitmap]) => sum + bitmap.data.length, 0);
  }

  evict(slot: number): void {
    const bitmap = this.#slots.get(slot);
    if (!bitmap) return;
    this.#slots.delete(slot);
    this.#bytes -= bitmap.width * bitmap.height * 4;
  }
}
