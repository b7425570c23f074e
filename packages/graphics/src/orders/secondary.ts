import type { Reader } from '@lucid-sessions/wire';
import {
  compressionHeaderBytes,
  decodeBitmap,
  type Palette,
  type PixelDepth,
  pixelBytes,
  pixelDepth,
  toWord,
} from '../bitmap/index.ts';
import type { WorkBudget } from '../gfx/work-budget.ts';
import { type PixelBuffer, rgba } from '../pixels.ts';
import { type OrderCaches, paletteOf, waitingListIndex } from './caches.ts';
import { readFourByteUnsigned, readTwoByteUnsigned } from './field-reader.ts';
import { readGlyph, readGlyphRevision2 } from './glyphs.ts';

/** Secondary drawing orders: [MS-RDPEGDI] 2.2.2.2.1.2.1.1. */
export const secondaryType = {
  cacheBitmap: 0x00,
  cacheColorTable: 0x01,
  cacheBitmapCompressed: 0x02,
  cacheGlyph: 0x03,
  cacheBitmapRevision2: 0x04,
  cacheBitmapRevision2Compressed: 0x05,
  cacheBrush: 0x07,
  cacheBitmapRevision3: 0x08,
} as const;

const noCompressionHeader = 0x0400;
const heightSameAsWidth = 0x01;
const persistentKeyPresent = 0x02;
const revision2NoCompressionHeader = 0x08;
const doNotCache = 0x10;
const glyphRevision2 = 0x20;

export interface SecondaryContext {
  readonly caches: OrderCaches;
  readonly palette: Palette;
  readonly depth: PixelDepth;
  readonly budget: WorkBudget;
  /** Decodes what a Cache Bitmap (Revision 3) order holds: TS_BITMAP_DATA_EX. */
  readonly decodeExtended: (reader: Reader) => PixelBuffer;
}

export interface SecondaryHeader {
  readonly type: number;
  readonly flags: number;
}

/** Fills a cache. `body` is the order after its header. Returns false for a type not defined. Throws `DecodeError`. */
export function applySecondaryOrder(context: SecondaryContext, header: SecondaryHeader, body: Reader): boolean {
  switch (header.type) {
    case secondaryType.cacheBitmap:
    case secondaryType.cacheBitmapCompressed:
      cacheBitmap(context, header, body);
      return true;
    case secondaryType.cacheBitmapRevision2:
    case secondaryType.cacheBitmapRevision2Compressed:
      cacheBitmapRevision2(context, header, body);
      return true;
    case secondaryType.cacheBitmapRevision3:
      cacheBitmapRevision3(context, header, body);
      return true;
    case secondaryType.cacheColorTable:
      cacheColorTable(context.caches, body);
      return true;
    case secondaryType.cacheGlyph:
      cacheGlyphs(context.caches, header.flags, body);
      return true;
    case secondaryType.cacheBrush:
      cacheBrush(context, body);
      return true;
    default:
      return false;
  }
}

/** 2.2.2.2.1.2.2 */
function cacheBitmap(context: SecondaryContext, header: SecondaryHeader, body: Reader): void {
  const cacheId = body.u8();
  body.skip(1);
  const width = body.u8();
  const height = body.u8();
  const depth = bitmapDepth(body.u8(), context.depth);
  const length = body.u16le();
  const index = body.u16le();
  const compressed = header.type === secondaryType.cacheBitmapCompressed;
  const bytes = bitmapBytes(body, length, compressed && !(header.flags & noCompressionHeader));
  store(context, cacheId, index, { bytes, width, height, depth, compressed });
}

/** 2.2.2.2.1.2.3 */
function cacheBitmapRevision2(context: SecondaryContext, header: SecondaryHeader, body: Reader): void {
  const cacheId = header.flags & 0x07;
  const depth = bitmapDepth(depthOfId(body, (header.flags >> 3) & 0x0f), context.depth);
  const flags = header.flags >> 7;
  if (flags & persistentKeyPresent) body.skip(8);
  const width = readTwoByteUnsigned(body);
  const height = flags & heightSameAsWidth ? width : readTwoByteUnsigned(body);
  const length = readFourByteUnsigned(body);
  const index = readTwoByteUnsigned(body);
  const compressed = header.type === secondaryType.cacheBitmapRevision2Compressed;
  const bytes = bitmapBytes(body, length, compressed && !(flags & revision2NoCompressionHeader));
  store(context, cacheId, flags & doNotCache ? waitingListIndex : index, { bytes, width, height, depth, compressed });
}

/** 2.2.2.2.1.2.8 */
function cacheBitmapRevision3(context: SecondaryContext, header: SecondaryHeader, body: Reader): void {
  const index = body.u16le();
  body.skip(8);
  const picture = context.decodeExtended(body);
  context.budget.spend(picture.words.length);
  const isKept = !((header.flags >> 7) & doNotCache);
  context.caches.setBitmap(header.flags & 0x07, isKept ? index : waitingListIndex, picture);
}

function store(
  context: SecondaryContext,
  cacheId: number,
  index: number,
  source: Parameters<typeof decodeBitmap>[0],
): void {
  context.budget.spend(source.width * source.height);
  const palette = context.caches.colorTable(context.palette);
  context.caches.setBitmap(cacheId, index, decodeBitmap(source, palette));
}

/** `length` counts the compression header with the data. */
function bitmapBytes(body: Reader, length: number, hasHeader: boolean): Uint8Array {
  const bytes = body.slice(length);
  return hasHeader ? bytes.subarray(compressionHeaderBytes) : bytes;
}

/** 16 bits mean 5-5-5 in a session of 15 bpp. */
function bitmapDepth(bitsPerPixel: number, session: PixelDepth): PixelDepth {
  return bitsPerPixel === 16 && session === 15 ? 15 : pixelDepth(bitsPerPixel);
}

function depthOfId(body: Reader, id: number): number {
  const bits = [8, 16, 24, 32][id - 3];
  if (bits === undefined) throw body.error('invalid', `bitmap depth ${id} is not defined`);
  return bits;
}

/** 2.2.2.2.1.2.4 */
function cacheColorTable(caches: OrderCaches, body: Reader): void {
  const index = body.u8();
  const count = body.u16le();
  if (count > 256) throw body.error('limit', `a colour table of ${count} colours`);
  const words: number[] = [];
  for (let color = 0; color < count; color += 1) {
    const blue = body.u8();
    const green = body.u8();
    words.push(rgba(body.u8(), green, blue));
    body.skip(1);
  }
  caches.setColorTable(index, paletteOf(words));
}

/** 2.2.2.2.1.2.5 and 2.2.2.2.1.2.6. The characters that may follow are for people. */
function cacheGlyphs(caches: OrderCaches, flags: number, body: Reader): void {
  const isRevision2 = (flags & glyphRevision2) !== 0;
  const cacheId = isRevision2 ? flags & 0x0f : body.u8();
  const count = isRevision2 ? flags >> 8 : body.u8();
  for (let glyphs = 0; glyphs < count; glyphs += 1) {
    const { index, glyph } = isRevision2 ? readGlyphRevision2(body) : readGlyph(body);
    caches.setGlyph(cacheId, index, glyph);
  }
}

const brushCells = 64;
/** Bytes of the 2-bit indices of a compressed brush. */
const brushIndexBytes = 16;

/** 2.2.2.2.1.2.7. Rows come bottom-up. */
function cacheBrush(context: SecondaryContext, body: Reader): void {
  const index = body.u8();
  const format = body.u8();
  const width = body.u8();
  const height = body.u8();
  body.skip(1);
  const bytes = body.slice(body.u8());
  if (width !== 8 || height !== 8) throw body.error('unsupported', `a brush of ${width}x${height} is not 8x8`);
  const cells = format === 1 ? monochromeCells(body, bytes) : colorCells(context, body, format, bytes);
  context.caches.setBrush(index, cells);
}

function monochromeCells(body: Reader, bytes: Uint8Array): number[] {
  if (bytes.length < 8) throw body.error('truncated', 'a brush ends early');
  return Array.from({ length: brushCells }, (_, cell) => ((bytes[7 - (cell >> 3)]! << (cell & 7)) & 0x80 ? -1 : 0));
}

function colorCells(context: SecondaryContext, body: Reader, format: number, bytes: Uint8Array): number[] {
  const depth = bitmapDepth(depthOfId(body, format), context.depth);
  const step = pixelBytes(depth);
  const isCompressed = bytes.length === brushIndexBytes + 4 * step;
  if (!isCompressed && bytes.length < brushCells * step) throw body.error('truncated', 'a brush ends early');
  const pixel = (at: number) => {
    let value = 0;
    for (let byte = 0; byte < step; byte += 1) value |= bytes[at + byte]! << (byte * 8);
    return toWord(value, depth, context.palette);
  };
  return Array.from({ length: brushCells }, (_, cell) => {
    const at = (7 - (cell >> 3)) * 8 + (cell & 7);
    if (!isCompressed) return pixel(at * step);
    const entry = (bytes[at >> 2]! >> ((3 - (at & 3)) * 2)) & 3;
    return pixel(brushIndexBytes + entry * step);
  });
}
