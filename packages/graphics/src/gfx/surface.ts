import { DecodeError } from '@lucid-sessions/wire';
import {
  clonePixelBuffer,
  createPixelBuffer,
  intersect,
  isEmpty,
  type PixelBuffer,
  type Rectangle,
  union,
} from '../pixels.ts';
import { type GfxRect16, pixelFormatArgb8888, pixelFormatXrgb8888 } from './structures.ts';

/** Where a surface is shown: [MS-RDPEGFX] 2.2.2.15 and 2.2.2.22. Target sizes of null mean as large as the surface. */
export interface OutputMapping {
  readonly left: number;
  readonly top: number;
  readonly targetWidth: number | null;
  readonly targetHeight: number | null;
  /** Of a surface mapped to a window of a remote application, in whose content it is shown: 2.2.2.20 and 2.2.2.23. */
  readonly window?: WindowMapping;
}

export interface WindowMapping {
  readonly windowId: number;
  /** The part of the surface, from its corner, that the window shows. */
  readonly mappedWidth: number;
  readonly mappedHeight: number;
}

export interface Surface {
  readonly id: number;
  readonly pixels: PixelBuffer;
  /** Made with an alpha channel: what it shows on the opaque desktop must lose it. */
  readonly hasAlpha: boolean;
  mapping: OutputMapping | null;
  /** Drawn since the surface was last shown. */
  dirty: Rectangle[];
}

const surfacesMax = 1024;
/** Pixels of all surfaces together, 256 MiB of RGBA: two 8K desktops. */
const surfacePixelsMax = 1 << 26;
/** Rectangles kept apart before they melt into one. */
const dirtyRectanglesMax = 64;

/** The surfaces of a graphics channel, [MS-RDPEGFX] 3.3.1.1. */
export class SurfaceStore {
  readonly #surfaces = new Map<number, Surface>();
  #pixelsCount = 0;

  /** Replaces a surface of the same id. Throws `DecodeError`. */
  create(id: number, width: number, height: number, pixelFormat: number): Surface {
    if (pixelFormat !== pixelFormatXrgb8888 && pixelFormat !== pixelFormatArgb8888)
      throw new DecodeError('invalid', `0x${pixelFormat.toString(16)} is no pixel format of a surface`);
    this.delete(id);
    const fits = this.#surfaces.size < surfacesMax && this.#pixelsCount + width * height <= surfacePixelsMax;
    if (!fits) throw new DecodeError('limit', 'the graphics channel has too many or too large surfaces');
    const pixels = createPixelBuffer(width, height);
    const surface = { id, pixels, hasAlpha: pixelFormat === pixelFormatArgb8888, mapping: null, dirty: [] };
    this.#surfaces.set(id, surface);
    this.#pixelsCount += width * height;
    return surface;
  }

  get(id: number): Surface {
    const surface = this.#surfaces.get(id);
    if (!surface) throw new DecodeError('invalid', `there is no surface ${id}`);
    return surface;
  }

  delete(id: number): void {
    const surface = this.#surfaces.get(id);
    if (!surface) return;
    this.#surfaces.delete(id);
    this.#pixelsCount -= surface.pixels.width * surface.pixels.height;
  }

  snapshot(): Surface[] {
    return [...this.#surfaces.values()].map(copied);
  }

  restore(surfaces: readonly Surface[]): void {
    this.#surfaces.clear();
    this.#pixelsCount = 0;
    for (const surface of surfaces) {
      this.#surfaces.set(surface.id, copied(surface));
      this.#pixelsCount += surface.pixels.width * surface.pixels.height;
    }
  }

  values(): Iterable<Surface> {
    return this.#surfaces.values();
  }
}

function copied(surface: Surface): Surface {
  return { ...surface, pixels: clonePixelBuffer(surface.pixels), dirty: [...surface.dirty] };
}

/** Remembers that an area (inside the surface) has to be shown. */
export function markSurface(surface: Surface, area: Rectangle): void {
  if (isEmpty(area)) return;
  surface.dirty.push(area);
  if (surface.dirty.length > dirtyRectanglesMax) surface.dirty = [surface.dirty.reduce(union)];
}

/** A rectangle that must lie inside `pixels`, as every command's must. */
export function areaWithin(pixels: PixelBuffer, { left, top, right, bottom }: GfxRect16): Rectangle {
  if (left > right || top > bottom || right > pixels.width || bottom > pixels.height)
    throw new DecodeError('invalid', 'a graphics command draws outside its surface');
  return { left, top, width: right - left, height: bottom - top };
}

/** The part of a rectangle that lies inside `pixels`. */
export function areaClipped(pixels: PixelBuffer, { left, top, right, bottom }: GfxRect16): Rectangle {
  const area = { left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  return intersect(area, { left: 0, top: 0, width: pixels.width, height: pixels.height });
}
