import { Reader } from '@lucid-sessions/wire';
import type { Palette } from '../bitmap/index.ts';
import type { PointerShape, Screen } from '../screen.ts';
import { pointerPicture } from './masks.ts';

/** Entries of the pointer cache kept, whatever a client announced: xfreerdp says 20, mstsc 25. */
const cacheEntriesMax = 256;
/** systemPointerType: [MS-RDPBCGR] 2.2.9.1.1.4.3. */
const systemPointerNull = 0x00000000;

export interface PointerSnapshot {
  readonly cache: readonly (readonly [number, PointerShape])[];
}

/** Pointer updates: [MS-RDPBCGR] 2.2.9.1.1.4 and 2.2.9.1.2.1.5–11. All methods throw `DecodeError`. */
export class PointerDecoder {
  readonly #screen: Screen;
  readonly #cache = new Map<number, PointerShape>();

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  hide(): void {
    this.#screen.pointer.visible = false;
  }

  /** The client's own arrow. */
  showDefault(): void {
    this.#show(null);
  }

  /** TS_SYSTEMPOINTERATTRIBUTE. */
  system(data: Uint8Array): void {
    if (new Reader(data).u32le() === systemPointerNull) this.hide();
    else this.showDefault();
  }

  /** TS_POINTERPOSATTRIBUTE. */
  position(data: Uint8Array): void {
    const reader = new Reader(data);
    this.#screen.pointer.x = reader.u16le();
    this.#screen.pointer.y = reader.u16le();
  }

  /** TS_COLORPOINTERATTRIBUTE: always 24 bpp. */
  color(data: Uint8Array, palette: Palette): void {
    this.#read(new Reader(data), 24, false, palette);
  }

  /** TS_POINTERATTRIBUTE. */
  pointer(data: Uint8Array, palette: Palette): void {
    const reader = new Reader(data);
    this.#read(reader, reader.u16le(), false, palette);
  }

  /** TS_FP_LARGEPOINTERATTRIBUTE: lengths of four bytes. */
  large(data: Uint8Array, palette: Palette): void {
    const reader = new Reader(data);
    this.#read(reader, reader.u16le(), true, palette);
  }

  /** TS_CACHEDPOINTERATTRIBUTE. An index never filled is `invalid` and changes nothing. */
  cached(data: Uint8Array): void {
    const reader = new Reader(data);
    const shape = this.#cache.get(reader.u16le());
    if (!shape) throw reader.error('invalid', 'a pointer is not in the cache');
    this.#show(shape);
  }

  #read(reader: Reader, xorBitsPerPixel: number, large: boolean, palette: Palette): void {
    const cacheIndex = reader.u16le();
    if (cacheIndex >= cacheEntriesMax) throw reader.error('limit', 'a pointer cache index is too high');
    const hotspotX = reader.u16le();
    const hotspotY = reader.u16le();
    const width = reader.u16le();
    const height = reader.u16le();
    const andBytes = large ? reader.u32le() : reader.u16le();
    const xorBytes = large ? reader.u32le() : reader.u16le();
    const xorMask = reader.slice(xorBytes);
    const andMask = reader.slice(andBytes);
    const pixels = pointerPicture({ width, height, xorBitsPerPixel, xorMask, andMask }, palette);
    const shape = { pixels, hotspotX, hotspotY };
    this.#cache.set(cacheIndex, shape);
    this.#show(shape);
  }

  #show(shape: PointerShape | null): void {
    this.#screen.pointer.shape = shape;
    this.#screen.pointer.visible = true;
  }

  /** Shapes are never changed once made, so the snapshot shares them. */
  snapshot(): PointerSnapshot {
    return { cache: [...this.#cache] };
  }

  restore(snapshot: PointerSnapshot): void {
    this.#cache.clear();
    for (const [index, shape] of snapshot.cache) this.#cache.set(index, shape);
  }
}
