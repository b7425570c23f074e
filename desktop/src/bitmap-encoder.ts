import { type BitmapData, BitmapFlag, type ColorDepth } from '@lucid-sessions/rdp';
import { Writer } from '@lucid-sessions/wire';
import type { Area, Canvas } from './canvas.ts';

/** Encodes areas of a canvas as the bitmaps of a bitmap update: planar at 32 bpp, interleaved RLE below. */

/** Tiles this small keep a raw one inside one fast-path PDU. */
export const TILE_WIDTH = 64;
export const TILE_HEIGHT = 32;

/** The canvas' area in tiles of at most 64 × 32. */
export function tiles(area: Area): Area[] {
  const found: Area[] = [];
  for (let top = area.top; top < area.top + area.height; top += TILE_HEIGHT)
    for (let left = area.left; left < area.left + area.width; left += TILE_WIDTH)
      found.push({
        left,
        top,
        width: Math.min(TILE_WIDTH, area.left + area.width - left),
        height: Math.min(TILE_HEIGHT, area.top + area.height - top),
      });
  return found;
}

/** One tile. `withHeader` for clients that want TS_CD_HEADER in front of compressed data. */
export function encodeTile(canvas: Canvas, tile: Area, depth: ColorDepth, withHeader: boolean): BitmapData {
  // Compressed bitmaps must be a multiple of four wide; the destination rectangle crops.
  const width = (tile.width + 3) & ~3;
  const pixels = bottomUp(canvas, tile, width);
  const packed = depth === 32 ? planar(pixels, width, tile.height) : interleaved(toDepth(pixels, depth), width, depth);
  const data = withHeader ? withCompressionHeader(packed, width, tile.height, depth) : packed;
  return {
    destLeft: tile.left,
    destTop: tile.top,
    destRight: tile.left + tile.width - 1,
    destBottom: tile.top + tile.height - 1,
    width,
    height: tile.height,
    bitsPerPixel: depth,
    flags: BitmapFlag.compression | (withHeader ? 0 : BitmapFlag.noCompressionHdr),
    data,
  };
}

/** TS_CD_HEADER, [MS-RDPBCGR] 2.2.9.1.1.3.1.2.3 */
function withCompressionHeader(packed: Uint8Array, width: number, height: number, depth: ColorDepth): Uint8Array {
  const rowBytes = width * Math.ceil(depth / 8);
  const writer = new Writer();
  writer
    .u16le(0)
    .u16le(packed.length)
    .u16le(rowBytes)
    .u16le(rowBytes * height);
  return writer.slice(packed).bytes();
}

/** 0xFFRRGGBB per pixel, bottom row first, the right edge repeated to `width`. */
function bottomUp(canvas: Canvas, tile: Area, width: number): Uint32Array {
  const pixels = new Uint32Array(width * tile.height);
  const { rgba, area } = canvas;
  for (let row = 0; row < tile.height; row += 1) {
    const y = tile.top - area.top + tile.height - 1 - row;
    for (let column = 0; column < width; column += 1) {
      const x = tile.left - area.left + Math.min(column, tile.width - 1);
      const at = (y * area.width + x) * 4;
      pixels[row * width + column] = 0xff000000 | (rgba[at]! << 16) | (rgba[at + 1]! << 8) | rgba[at + 2]!;
    }
  }
  return pixels;
}

function toDepth(pixels: Uint32Array, depth: ColorDepth): Uint32Array {
  if (depth === 24) return pixels;
  return pixels.map((pixel) => {
    const red = (pixel >> 19) & 0x1f;
    const blue = (pixel >> 3) & 0x1f;
    return depth === 16
      ? (red << 11) | (((pixel >> 10) & 0x3f) << 5) | blue
      : (red << 10) | (((pixel >> 11) & 0x1f) << 5) | blue;
  });
}

/** Longest run a two byte count holds. */
const RUN_MAX = 0xffff;

/**
 * Interleaved RLE, [MS-RDPBCGR] 3.1.9: runs of the row above (background), runs of one color, and the rest as it is.
 * All orders take their long form (MEGA_MEGA): a few bytes more, and one form to get right.
 */
function interleaved(pixels: Uint32Array, width: number, depth: ColorDepth): Uint8Array {
  const writer = new Writer(1024);
  const put = (pixel: number) => {
    writer.u16le(pixel & 0xffff);
    if (depth === 24) writer.u8((pixel >> 16) & 0xff);
  };
  const above = (at: number) => (at < width ? 0 : pixels[at - width]!);
  let at = 0;
  let wasBackground = false;
  let literal = 0;
  const flushLiteral = () => {
    if (literal === 0) return;
    writer.u8(0xf4).u16le(literal);
    for (let i = at - literal; i < at; i += 1) put(pixels[i]!);
    literal = 0;
  };
  while (at < pixels.length) {
    const background = wasBackground && literal === 0 ? 0 : runLength(pixels, at, (i) => pixels[i] === above(i), width);
    const color = runLength(pixels, at, (i) => pixels[i] === pixels[at], width);
    if (background >= 4 && background >= color) {
      flushLiteral();
      writer.u8(0xf0).u16le(background);
      at += background;
      wasBackground = true;
      continue;
    }
    if (color >= 4) {
      flushLiteral();
      writer.u8(0xf3).u16le(color);
      put(pixels[at]!);
      at += color;
    } else {
      literal += 1;
      at += 1;
      if (literal === RUN_MAX) flushLiteral();
    }
    wasBackground = false;
  }
  flushLiteral();
  return writer.bytes();
}

/**
 * Pixels from `at` on that hold the condition. A run that begins in the first row ends with it: decoders may switch the
 * meaning of "above" between orders only.
 */
function runLength(pixels: Uint32Array, at: number, holds: (i: number) => boolean, width: number): number {
  const end = Math.min(at < width ? width : pixels.length, at + RUN_MAX);
  let i = at;
  while (i < end && holds(i)) i += 1;
  return i - at;
}

/** Run length encoded, with an alpha plane: rdesktop knows no other form. */
const PLANAR_RLE = 0x10;

/** RDP 6.0 planar codec, [MS-RDPEGDI] 3.1.9: alpha, red, green and blue planes, each run length encoded. */
function planar(pixels: Uint32Array, width: number, height: number): Uint8Array {
  const writer = new Writer(1024);
  writer.u8(PLANAR_RLE);
  for (const shift of [24, 16, 8, 0]) planarPlane(writer, pixels, width, height, shift);
  return writer.bytes();
}

/** First row as it is, later rows as differences to the row before, [MS-RDPEGDI] 3.1.9.2. */
function planarPlane(writer: Writer, pixels: Uint32Array, width: number, height: number, shift: number): void {
  const row = new Uint8Array(width);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = (pixels[y * width + x]! >> shift) & 0xff;
      row[x] = y === 0 ? value : zigzag(value - ((pixels[(y - 1) * width + x]! >> shift) & 0xff));
    }
    planarRow(writer, row);
  }
}

/** Differences wrap to signed bytes; the sign goes into the lowest bit. */
function zigzag(difference: number): number {
  const signed = (difference << 24) >> 24;
  return signed >= 0 ? signed << 1 : ((-signed - 1) << 1) | 1;
}

const PLANAR_RAW_MAX = 15;
const PLANAR_RUN_MIN = 3;
const PLANAR_RUN_MAX = 47;

/** Segments of raw bytes and a run of the last of them; a run at the row's start repeats zero. */
function planarRow(writer: Writer, row: Uint8Array): void {
  let at = 0;
  while (at < row.length) {
    let raw = 0;
    let run = runAt(row, at + raw, at === 0 ? 0 : row[at - 1]!);
    while (run < PLANAR_RUN_MIN && raw < PLANAR_RAW_MAX && at + raw < row.length) {
      raw += 1;
      run = runAt(row, at + raw, row[at + raw - 1]!);
    }
    if (run < PLANAR_RUN_MIN) run = 0;
    writePlanarSegment(writer, row.subarray(at, at + raw), run);
    at += raw + run;
  }
}

/** How often `value` repeats from `at` on. */
function runAt(row: Uint8Array, at: number, value: number): number {
  let i = at;
  while (i < row.length && i - at < PLANAR_RUN_MAX && row[i] === value) i += 1;
  return i - at;
}

function writePlanarSegment(writer: Writer, raw: Uint8Array, run: number): void {
  if (run < 16) {
    writer.u8((raw.length << 4) | run).slice(raw);
    return;
  }
  // Long runs can't carry raw bytes: nRunLength 1 and 2 mean 16 and 32 plus what stands in cRawBytes.
  if (raw.length > 0) writer.u8(raw.length << 4).slice(raw);
  writer.u8(run < 32 ? ((run - 16) << 4) | 1 : ((run - 32) << 4) | 2);
}
