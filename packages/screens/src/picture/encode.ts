/** Pixels as bitmap updates any client takes, compressed: interleaved RLE for 15 to 24 bits a pixel, planar for 32. */
import { type BitmapData, BitmapFlag, bitmapUpdate, type ColorDepth } from '@lucid-sessions/rdp';
import { encode, joinBytes, Writer } from '@lucid-sessions/wire';
import { interleaved } from './interleaved.ts';
import type { Colour, Rectangle } from './picture.ts';
import { planar } from './planar.ts';

/** A picture is cut into squares of this side. */
const TILE = 64;
/** Bodies of updates stay below the 16 KiB of a fast-path PDU that fits one client's smallest buffer. */
const UPDATE_BYTES_MAX = 12 * 1024;
/** TS_BITMAP_DATA without its pixels. */
const BITMAP_HEADER_BYTES = 18;

export interface BitmapForm {
  bitsPerPixel: ColorDepth;
  /** The client takes compressed bitmaps without TS_CD_HEADER (NO_BITMAP_COMPRESSION_HDR). */
  withoutHeader: boolean;
}

/** The squares that cover `areas` of a desktop. */
export function tilesOf(areas: readonly Rectangle[], desktop: { width: number; height: number }): Rectangle[] {
  const tiles = new Map<number, Rectangle>();
  for (const area of areas) {
    const [right, bottom] = [
      Math.min(area.x + area.width, desktop.width),
      Math.min(area.y + area.height, desktop.height),
    ];
    for (let y = floor(Math.max(0, area.y)); y < bottom; y += TILE)
      for (let x = floor(Math.max(0, area.x)); x < right; x += TILE) {
        const tile = { x, y, width: Math.min(TILE, desktop.width - x), height: Math.min(TILE, desktop.height - y) };
        tiles.set(y * 0x10000 + x, tile);
      }
  }
  return [...tiles.values()];
}

const floor = (value: number): number => value - (value % TILE);

/** Bodies of bitmap updates that paint the tiles: with their pixels, or with one colour. */
export function updatesOf(
  tiles: readonly Rectangle[],
  pixelsOf: (tile: Rectangle) => Uint32Array | Colour,
  form: BitmapForm,
): Uint8Array[] {
  const updates: Uint8Array[] = [];
  let rectangles: BitmapData[] = [];
  let bytes = 0;
  /** Most of a desktop is empty: such tiles are compressed once. */
  const plain = new Map<string, Uint8Array>();
  const dataOf = (tile: Rectangle): Uint8Array => {
    const pixels = pixelsOf(tile);
    if (typeof pixels !== 'number') return dataOfPixels(tile, pixels, form);
    const key = `${tile.width} ${tile.height} ${pixels}`;
    const data = plain.get(key) ?? dataOfPixels(tile, new Uint32Array(tile.width * tile.height).fill(pixels), form);
    plain.set(key, data);
    return data;
  };
  const flush = (): void => {
    if (rectangles.length > 0) updates.push(encode(bitmapUpdate, { rectangles }));
    rectangles = [];
    bytes = 0;
  };
  for (const tile of tiles) {
    const bitmap = bitmapOf(tile, dataOf(tile), form);
    const size = BITMAP_HEADER_BYTES + bitmap.data.length;
    if (bytes + size > UPDATE_BYTES_MAX) flush();
    rectangles.push(bitmap);
    bytes += size;
  }
  flush();
  return updates;
}

/** A tile by its place, and its pixels as RDP6_BITMAP_STREAM. */
export interface PlanarTile {
  left: number;
  top: number;
  width: number;
  height: number;
  data: Uint8Array;
}

/** For the graphics pipeline: rows from the first to the last, as wide as they are. */
export const planarTiles = (
  tiles: readonly Rectangle[],
  pixelsOf: (tile: Rectangle) => Uint32Array | Colour,
): PlanarTile[] =>
  tiles.map((tile) => {
    const { x: left, y: top, width, height } = tile;
    const pixels = pixelsOf(tile);
    const rows = typeof pixels === 'number' ? new Uint32Array(width * height).fill(pixels) : pixels;
    return { left, top, width, height, data: planar(rows, width) };
  });

const widthOf = ({ width }: Rectangle): number => (width + 3) & ~3;
const hasHeader = ({ withoutHeader, bitsPerPixel }: BitmapForm): boolean => !withoutHeader && bitsPerPixel !== 32;

function dataOfPixels(tile: Rectangle, pixels: Uint32Array, form: BitmapForm): Uint8Array {
  const width = widthOf(tile);
  const rows = bottomUp(pixels, tile, width);
  const { bitsPerPixel } = form;
  const compressed = bitsPerPixel === 32 ? planar(rows, width) : interleaved(rows, width, bitsPerPixel);
  return hasHeader(form) ? joinBytes([header(compressed, width, tile.height, bitsPerPixel), compressed]) : compressed;
}

const bitmapOf = (tile: Rectangle, data: Uint8Array, form: BitmapForm): BitmapData => ({
  destLeft: tile.x,
  destTop: tile.y,
  destRight: tile.x + tile.width - 1,
  destBottom: tile.y + tile.height - 1,
  width: widthOf(tile),
  height: tile.height,
  bitsPerPixel: form.bitsPerPixel,
  flags: BitmapFlag.compression | (hasHeader(form) ? 0 : BitmapFlag.noCompressionHdr),
  data,
});

/** TS_CD_HEADER, [MS-RDPBCGR] 2.2.9.1.1.3.1.2.3. */
function header({ length }: Uint8Array, width: number, height: number, bitsPerPixel: number): Uint8Array {
  const scanWidth = width * ((bitsPerPixel + 7) >> 3);
  return new Writer()
    .u16le(0)
    .u16le(length)
    .u16le(scanWidth)
    .u16le(scanWidth * height)
    .bytes();
}

/** Rows from the last to the first, each made `width` pixels wide by its last pixel. */
function bottomUp(pixels: Uint32Array, tile: Rectangle, width: number): Uint32Array {
  const rows = new Uint32Array(width * tile.height);
  for (let y = 0; y < tile.height; y += 1) {
    const row = pixels.subarray((tile.height - 1 - y) * tile.width, (tile.height - y) * tile.width);
    rows.set(row, y * width);
    rows.fill(row[tile.width - 1]!, y * width + tile.width, (y + 1) * width);
  }
  return rows;
}
