import { Reader } from '@lucid-sessions/wire';
import type { Rectangle } from '../pixels.ts';
import type { Glyph, OrderCaches } from './caches.ts';
import type { Canvas } from './canvas.ts';
import { readTwoByteSigned, readTwoByteUnsigned } from './field-reader.ts';

/** flAccel: [MS-RDPEGDI] 2.2.2.2.1.1.2.13. */
const flagVertical = 0x04;
const flagCharIncEqualsBitmapBase = 0x20;
const fragmentUse = 0xfe;
const fragmentAdd = 0xff;

/** A run of text: what GlyphIndex, FastIndex and FastGlyph come down to. Colours are pixel words. */
export interface TextRun {
  readonly cacheId: number;
  readonly flags: number;
  /** Advance of every glyph, or 0 where each brings its own. */
  readonly characterIncrement: number;
  readonly textColor: number;
  readonly opaqueColor: number;
  /** What the text is clipped to. */
  readonly background: Rectangle;
  /** Filled with `opaqueColor` before the text; empty for text on what is there. */
  readonly opaque: Rectangle;
  readonly x: number;
  readonly y: number;
}

/** Draws the glyphs and fragments `bytes` name, and stores the fragments it defines. Throws `DecodeError`. */
export function drawText(canvas: Canvas, caches: OrderCaches, run: TextRun, bytes: Uint8Array): void {
  canvas.fill(run.opaque, run.opaqueColor);
  const pen = { x: run.x, y: run.y };
  const reader = new Reader(bytes);
  while (reader.remaining > 0) {
    const operation = reader.u8();
    if (operation === fragmentUse) {
      const fragment = caches.fragment(reader.u8());
      // A distance of its own in the fragment's first glyph takes the place of the one sent here.
      advance(reader, run, fragment[1] === 0 ? pen : { ...pen });
      const glyphs = new Reader(fragment);
      while (glyphs.remaining > 0) drawNext(canvas, caches, run, glyphs.u8(), glyphs, pen);
    } else if (operation === fragmentAdd) {
      // The fragment is what stands before the operation, `size` bytes of it.
      const end = reader.offset - 1;
      const index = reader.u8();
      const size = reader.u8();
      caches.setFragment(index, bytes.subarray(Math.max(0, end - size), end));
    } else {
      drawNext(canvas, caches, run, operation, reader, pen);
    }
  }
}

interface Pen {
  x: number;
  y: number;
}

function drawNext(canvas: Canvas, caches: OrderCaches, run: TextRun, index: number, reader: Reader, pen: Pen): void {
  advance(reader, run, pen);
  const glyph = caches.glyph(run.cacheId, index);
  drawGlyph(canvas, glyph, pen, run);
  const step = run.characterIncrement || (run.flags & flagCharIncEqualsBitmapBase ? glyph.width : 0);
  if (run.flags & flagVertical) pen.y += step;
  else pen.x += step;
}

/** The distance from the glyph before, where glyphs don't all have the same. */
function advance(reader: Reader, run: TextRun, pen: Pen): void {
  if (run.characterIncrement !== 0 || run.flags & flagCharIncEqualsBitmapBase) return;
  if (reader.remaining === 0) return;
  const short = reader.u8();
  const distance = short & 0x80 ? reader.u16le() : short;
  if (run.flags & flagVertical) pen.y += distance;
  else pen.x += distance;
}

function drawGlyph(canvas: Canvas, glyph: Glyph, pen: Pen, run: TextRun): void {
  const left = pen.x + glyph.x;
  const top = pen.y + glyph.y;
  const stride = (glyph.width + 7) >> 3;
  const { background, textColor } = run;
  canvas.claimPlotted({ left, top, width: glyph.width, height: glyph.height }, glyph.width * glyph.height);
  for (let row = 0; row < glyph.height; row += 1) {
    const y = top + row;
    if (y < background.top || y >= background.top + background.height) continue;
    for (let column = 0; column < glyph.width; column += 1) {
      const x = left + column;
      if (x < background.left || x >= background.left + background.width) continue;
      if (glyph.bits[row * stride + (column >> 3)]! & (0x80 >> (column & 7))) canvas.plot(x, y, copyPen, textColor);
    }
  }
}

function copyPen(_destination: number, _source: number, pattern: number): number {
  return pattern;
}

/** Largest glyph held; fonts of announced cell sizes (2048 bytes) stay below. */
const glyphSideMax = 1024;

function checkedGlyph(reader: Reader, x: number, y: number, width: number, height: number): Glyph {
  if (width > glyphSideMax || height > glyphSideMax) throw reader.error('limit', `a glyph of ${width}x${height}`);
  const bytes = ((width + 7) >> 3) * height;
  const bits = reader.copy(bytes);
  // Padded to four bytes, but FastGlyph orders of some servers end with the last row.
  reader.skip(Math.min(reader.remaining, -bytes & 3));
  return { x, y, width, height, bits };
}

/** TS_CACHE_GLYPH_DATA: 2.2.2.2.1.2.5.1. */
export function readGlyph(reader: Reader): { index: number; glyph: Glyph } {
  const index = reader.u16le();
  const x = reader.i16le();
  const y = reader.i16le();
  const width = reader.u16le();
  return { index, glyph: checkedGlyph(reader, x, y, width, reader.u16le()) };
}

/** TS_CACHE_GLYPH_DATA_REV2: 2.2.2.2.1.2.6.1. */
export function readGlyphRevision2(reader: Reader): { index: number; glyph: Glyph } {
  const index = reader.u8();
  const x = readTwoByteSigned(reader);
  const y = readTwoByteSigned(reader);
  const width = readTwoByteUnsigned(reader);
  return { index, glyph: checkedGlyph(reader, x, y, width, readTwoByteUnsigned(reader)) };
}
