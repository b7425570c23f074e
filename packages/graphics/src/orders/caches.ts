import { DecodeError } from '@lucid-sessions/wire';
import { createPalette, type Palette } from '../bitmap/index.ts';
import { clonePixelBuffer, type PixelBuffer } from '../pixels.ts';

/** A glyph: one bit a pixel, rows of whole bytes, top-down. */
export interface Glyph {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly bits: Uint8Array;
}

/** The caches drawing orders fill and use: [MS-RDPEGDI] 3.1.1.1. What a client announced bounds them, and these. */
export interface CacheLimits {
  /** Entries of each bitmap cache. */
  bitmapEntries: number[];
  offscreenEntries: number;
  /** Entries of each glyph cache. */
  glyphEntries: number[];
}

/** Entries kept of caches whatever was announced; the index of the bitmap that isn't kept comes on top. */
const entriesMax = 65536;
/** Pixels in all bitmap and offscreen caches together (128 MB): mstsc's caches take a tenth. */
const pixelsMax = 32 * 1024 * 1024;
/** BITMAPCACHE_WAITING_LIST_INDEX. */
export const waitingListIndex = 32767;
/** Bitmap cache id that means the offscreen cache. */
export const offscreenCacheId = 0xff;
const bitmapCachesMax = 8;
const glyphCachesMax = 10;
const colorTablesMax = 6;
const brushesMax = 64;
const fragmentsMax = 256;

type PixelCache = Map<number, PixelBuffer>;

export class OrderCaches {
  readonly limits: CacheLimits = {
    bitmapEntries: new Array<number>(bitmapCachesMax).fill(entriesMax),
    offscreenEntries: 0,
    glyphEntries: new Array<number>(glyphCachesMax).fill(256),
  };
  readonly #bitmaps: PixelCache[] = Array.from({ length: bitmapCachesMax }, () => new Map());
  readonly #offscreen: PixelCache = new Map();
  readonly #glyphs: Map<number, Glyph>[] = Array.from({ length: glyphCachesMax }, () => new Map());
  readonly #fragments = new Map<number, Uint8Array>();
  readonly #brushes = new Map<number, readonly number[]>();
  readonly #colorTables: (Palette | null)[] = new Array<Palette | null>(colorTablesMax).fill(null);
  #pixelsHeld = 0;

  setBitmap(cacheId: number, index: number, picture: PixelBuffer): void {
    const cache = this.#bitmaps[cacheId];
    const fits = index === waitingListIndex || index < Math.min(entriesMax, this.limits.bitmapEntries[cacheId] ?? 0);
    if (!cache || !fits) throw new DecodeError('invalid', `bitmap cache ${cacheId} has no entry ${index}`);
    this.#hold(cache, index, picture);
  }

  /** null where there is none. */
  offscreen(index: number): PixelBuffer | null {
    return this.#offscreen.get(index) ?? null;
  }

  /** A cached or offscreen bitmap. Throws `invalid` where nothing was cached (or only in an earlier connection). */
  bitmap(cacheId: number, index: number): PixelBuffer {
    const picture = cacheId === offscreenCacheId ? this.offscreen(index) : this.#bitmaps[cacheId]?.get(index);
    if (!picture) throw new DecodeError('invalid', `bitmap cache ${cacheId} holds nothing at ${index}`);
    return picture;
  }

  setOffscreen(index: number, picture: PixelBuffer): void {
    if (index >= Math.min(entriesMax, this.limits.offscreenEntries))
      throw new DecodeError('invalid', `the offscreen cache has no entry ${index}`);
    this.#hold(this.#offscreen, index, picture);
  }

  deleteOffscreen(index: number): void {
    const old = this.#offscreen.get(index);
    if (old) this.#pixelsHeld -= old.words.length;
    this.#offscreen.delete(index);
  }

  #hold(cache: PixelCache, index: number, picture: PixelBuffer): void {
    const held = this.#pixelsHeld - (cache.get(index)?.words.length ?? 0) + picture.words.length;
    if (held > pixelsMax) throw new DecodeError('limit', 'the bitmap caches hold too many pixels');
    this.#pixelsHeld = held;
    cache.set(index, picture);
  }

  setGlyph(cacheId: number, index: number, glyph: Glyph): void {
    const cache = this.#glyphs[cacheId];
    if (!cache || index >= Math.min(entriesMax, this.limits.glyphEntries[cacheId] ?? 0))
      throw new DecodeError('invalid', `glyph cache ${cacheId} has no entry ${index}`);
    cache.set(index, glyph);
  }

  glyph(cacheId: number, index: number): Glyph {
    const glyph = this.#glyphs[cacheId]?.get(index);
    if (!glyph) throw new DecodeError('invalid', `glyph cache ${cacheId} holds nothing at ${index}`);
    return glyph;
  }

  /** `index` is one byte on the wire. */
  setFragment(index: number, bytes: Uint8Array): void {
    this.#fragments.set(index % fragmentsMax, new Uint8Array(bytes));
  }

  fragment(index: number): Uint8Array {
    const fragment = this.#fragments.get(index);
    if (!fragment) throw new DecodeError('invalid', `the fragment cache holds nothing at ${index}`);
    return fragment;
  }

  /** 64 cells, top row first: pixel words, or for a monochrome brush −1 where its bit is set and 0 where not. */
  setBrush(index: number, cells: readonly number[]): void {
    if (index >= brushesMax) throw new DecodeError('invalid', `the brush cache has no entry ${index}`);
    this.#brushes.set(index, cells);
  }

  brush(index: number): readonly number[] {
    const cells = this.#brushes.get(index);
    if (!cells) throw new DecodeError('invalid', `the brush cache holds nothing at ${index}`);
    return cells;
  }

  setColorTable(index: number, palette: Palette): void {
    if (index >= colorTablesMax) throw new DecodeError('invalid', `the colour table cache has no entry ${index}`);
    this.#colorTables[index] = palette;
  }

  /** The colours 8 bpp bitmaps are cached with: servers keep the session's palette in the first table. */
  colorTable(fallback: Palette): Palette {
    return this.#colorTables[0] ?? fallback;
  }

  /** Pictures that can't change any more are shared, offscreen ones copied. */
  snapshot(): CachesSnapshot {
    return {
      limits: structuredClone(this.limits),
      bitmaps: this.#bitmaps.map((cache) => [...cache]),
      offscreen: [...this.#offscreen].map(([index, picture]) => [index, clonePixelBuffer(picture)] as const),
      glyphs: this.#glyphs.map((cache) => [...cache]),
      fragments: [...this.#fragments],
      brushes: [...this.#brushes],
      colorTables: [...this.#colorTables],
    };
  }

  restore(snapshot: CachesSnapshot): void {
    Object.assign(this.limits, structuredClone(snapshot.limits));
    this.#bitmaps.forEach((cache, id) => {
      refill(cache, snapshot.bitmaps[id] ?? []);
    });
    refill(
      this.#offscreen,
      snapshot.offscreen.map(([index, picture]) => [index, clonePixelBuffer(picture)] as const),
    );
    this.#glyphs.forEach((cache, id) => {
      refill(cache, snapshot.glyphs[id] ?? []);
    });
    refill(this.#fragments, snapshot.fragments);
    refill(this.#brushes, snapshot.brushes);
    for (let index = 0; index < colorTablesMax; index += 1)
      this.#colorTables[index] = snapshot.colorTables[index]?.slice() ?? null;
    this.#pixelsHeld = [...this.#bitmaps, this.#offscreen].reduce(
      (sum, cache) => [...cache.values()].reduce((inner, picture) => inner + picture.words.length, sum),
      0,
    );
  }
}

type Entries<T> = readonly (readonly [number, T])[];

export interface CachesSnapshot {
  readonly limits: CacheLimits;
  readonly bitmaps: readonly Entries<PixelBuffer>[];
  readonly offscreen: Entries<PixelBuffer>;
  readonly glyphs: readonly Entries<Glyph>[];
  readonly fragments: Entries<Uint8Array>;
  readonly brushes: Entries<readonly number[]>;
  readonly colorTables: readonly (Palette | null)[];
}

function refill<T>(cache: Map<number, T>, entries: Entries<T>): void {
  cache.clear();
  for (const [index, value] of entries) cache.set(index, value);
}

/** A palette of the colours of a Cache Color Table order. */
export function paletteOf(words: readonly number[]): Palette {
  const palette = createPalette();
  palette.set(words.slice(0, 256));
  return palette;
}
