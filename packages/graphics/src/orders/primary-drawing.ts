import { DecodeError, Reader } from '@lucid-sessions/wire';
import { type Palette, type PixelDepth, toWord } from '../bitmap/index.ts';
import { intersect, opaqueBlack, type PixelBuffer, type Rectangle } from '../pixels.ts';
import { type BrushFields, resolveBrush } from './brush.ts';
import { type OrderCaches, offscreenCacheId, waitingListIndex } from './caches.ts';
import type { Canvas } from './canvas.ts';
import { readDeltaPoints, readDeltaRectangles } from './field-reader.ts';
import { drawText, readGlyphRevision2, type TextRun } from './glyphs.ts';
import type { OrderName, OrderState } from './order-table.ts';
import type { PrimaryOrder } from './primary-reader.ts';

import type { SavedBits } from './saved-bits.ts';
import { drawLine, fillEllipse, fillPolygon, type Point, strokeEllipse } from './shapes.ts';

/** What primary orders draw on and with. */
export interface DrawingContext {
  readonly canvas: Canvas;
  readonly caches: OrderCaches;
  readonly savedBits: SavedBits;
  /** The screen, which ScrBlt reads whatever surface is drawn on. */
  readonly screen: PixelBuffer;
  readonly palette: Palette;
  readonly depth: PixelDepth;
}

type Draw = (context: DrawingContext, state: OrderState) => void;

/** Draws one order inside the canvas's clip. Returns false for the few that are not drawn. Throws `DecodeError`. */
export function drawPrimaryOrder(context: DrawingContext, order: PrimaryOrder): boolean {
  const draw = drawers[order.name];
  if (!draw) return false;
  draw(context, order.state);
  return true;
}

/** TS_COLOR as a pixel word: an index, a native pixel in the low 16 bits, or red, green and blue. */
function color(context: DrawingContext, value: number): number {
  return context.depth >= 24 ? (value | opaqueBlack) >>> 0 : toWord(value, context.depth, context.palette);
}

function rectangleAt(values: readonly number[], first: number): Rectangle {
  return {
    left: values[first]!,
    top: values[first + 1]!,
    width: Math.max(0, values[first + 2]!),
    height: Math.max(0, values[first + 3]!),
  };
}

/** Left, top, right and bottom, the last two not part of it. */
function cornersAt(values: readonly number[], first: number): Rectangle {
  const [left = 0, top = 0, right = 0, bottom = 0] = values.slice(first, first + 4);
  return { left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
}

/** The seven brush fields from `first` on. */
function brushAt(context: DrawingContext, state: OrderState, first: number): BrushFields {
  const [background = 0, foreground = 0, originX = 0, originY = 0, style = 0, hatch = 0] = state.values.slice(first);
  return {
    background: color(context, background),
    foreground: color(context, foreground),
    originX,
    originY,
    style,
    hatch,
    extra: state.extra,
  };
}

function solid(word: number): { kind: 'solid'; word: number } {
  return { kind: 'solid', word };
}

function deltaRectangles(state: OrderState, countField: number): Rectangle[] {
  return readDeltaRectangles(new Reader(state.data), state.values[countField]!);
}

/** Repeats a drawing for each rectangle of a Multi order, clipped to it. */
function forEachClip(context: DrawingContext, rectangles: readonly Rectangle[], draw: () => void): void {
  const { canvas } = context;
  const clip = canvas.clip;
  for (const rectangle of rectangles) {
    canvas.clip = intersect(clip, {
      ...rectangle,
      width: Math.max(0, rectangle.width),
      height: Math.max(0, rectangle.height),
    });
    try {
      draw();
    } finally {
      canvas.clip = clip;
    }
  }
}

function dstBlt(context: DrawingContext, { values }: OrderState): void {
  context.canvas.draw(rectangleAt(values, 0), values[4]!, null, null);
}

function patBlt(context: DrawingContext, state: OrderState): void {
  const brush = resolveBrush(brushAt(context, state, 5), context.caches);
  if (brush) context.canvas.draw(rectangleAt(state.values, 0), state.values[4]!, null, brush);
}

function opaqueRect(context: DrawingContext, { values }: OrderState): void {
  const value = values[4]! | (values[5]! << 8) | (values[6]! << 16);
  context.canvas.fill(rectangleAt(values, 0), color(context, value));
}

function scrBlt(context: DrawingContext, { values }: OrderState): void {
  const source = { pixels: context.screen, left: values[5]!, top: values[6]! };
  context.canvas.draw(rectangleAt(values, 0), values[4]!, source, null);
}

/** All parts come from the screen as it was before the order. */
function multiScrBlt(context: DrawingContext, state: OrderState): void {
  const { values } = state;
  const area = rectangleAt(values, 0);
  const before = { ...context.screen, words: context.screen.words.slice() };
  const source = { pixels: before, left: values[5]!, top: values[6]! };
  forEachClip(context, deltaRectangles(state, 7), () => context.canvas.draw(area, values[4]!, source, null));
}

/**
 * What MemBlt and Mem3Blt copy from. In the offscreen cache, whose id is called that of the screen, 32767 can't be an entry: it is what 15
 * bits leave of SCREEN_BITMAP_SURFACE.
 */
function sourceBitmap({ caches, screen }: DrawingContext, cacheId: number, index: number): PixelBuffer {
  const isScreen = (cacheId & 0xff) === offscreenCacheId && (index & waitingListIndex) === waitingListIndex;
  return isScreen ? screen : caches.bitmap(cacheId & 0xff, index);
}

function memBlt(context: DrawingContext, { values }: OrderState): void {
  const pixels = sourceBitmap(context, values[0]!, values[8]!);
  const source = { pixels, left: values[6]!, top: values[7]! };
  context.canvas.draw(rectangleAt(values, 1), values[5]!, source, null);
}

function mem3Blt(context: DrawingContext, state: OrderState): void {
  const { values } = state;
  const pixels = sourceBitmap(context, values[0]!, values[15]!);
  const brush = resolveBrush(brushAt(context, state, 8), context.caches);
  const source = { pixels, left: values[6]!, top: values[7]! };
  context.canvas.draw(rectangleAt(values, 1), values[5]!, source, brush);
}

function lineTo(context: DrawingContext, { values }: OrderState): void {
  const [, fromX = 0, fromY = 0, toX = 0, toY = 0] = values;
  drawLine(context.canvas, { x: fromX, y: fromY }, { x: toX, y: toY }, values[6]!, color(context, values[9]!));
}

/** The start and the points of a path: count in field `countField`, deltas in the data. */
function path(state: OrderState, countField: number): Point[] {
  const start = { x: state.values[0]!, y: state.values[1]! };
  return [start, ...readDeltaPoints(new Reader(state.data), start, state.values[countField]!)];
}

function polyline(context: DrawingContext, state: OrderState): void {
  const word = color(context, state.values[4]!);
  const points = path(state, 5);
  for (let index = 1; index < points.length; index += 1)
    drawLine(context.canvas, points[index - 1]!, points[index]!, state.values[2]!, word);
}

const fillWinding = 2;

function polygonSC(context: DrawingContext, state: OrderState): void {
  const { values } = state;
  const brush = solid(color(context, values[4]!));
  fillPolygon(context.canvas, path(state, 5), values[3] === fillWinding, values[2]!, brush);
}

/** The high bit of bRop2 says that hatches and patterns have no background. */
function polygonCB(context: DrawingContext, state: OrderState): void {
  const { values } = state;
  const brush = resolveBrush(brushAt(context, state, 4), context.caches, (values[2]! & 0x80) !== 0);
  if (brush) fillPolygon(context.canvas, path(state, 11), values[3] === fillWinding, values[2]! & 0x1f, brush);
}

function ellipseBox(values: readonly number[]): { left: number; top: number; right: number; bottom: number } | null {
  const [left = 0, top = 0, right = 0, bottom = 0] = values;
  return left <= right && top <= bottom ? { left, top, right, bottom } : null;
}

function ellipseSC(context: DrawingContext, { values }: OrderState): void {
  const box = ellipseBox(values);
  const draw = values[5] === 0 ? strokeEllipse : fillEllipse;
  if (box) draw(context.canvas, box, values[4]!, solid(color(context, values[6]!)));
}

function ellipseCB(context: DrawingContext, state: OrderState): void {
  const { values } = state;
  const box = ellipseBox(values);
  const brush = resolveBrush(brushAt(context, state, 6), context.caches, (values[4]! & 0x80) !== 0);
  if (box && brush) fillEllipse(context.canvas, box, values[4]! & 0x1f, brush);
}

const operationSave = 0;

function saveBitmap(context: DrawingContext, { values }: OrderState): void {
  const [position = 0, left = 0, top = 0, right = 0, bottom = 0, operation = 0] = values;
  const area = { left, top, width: Math.max(0, right - left + 1), height: Math.max(0, bottom - top + 1) };
  if (operation === operationSave) context.savedBits.save(context.screen, area, position);
  else context.savedBits.restore(context.canvas, area, position);
}

function glyphIndex(context: DrawingContext, { values, data }: OrderState): void {
  const opaque = values[3] === 0 ? cornersAt(values, 10) : { left: 0, top: 0, width: 0, height: 0 };
  const run: TextRun = {
    cacheId: values[0]!,
    flags: values[1]!,
    characterIncrement: values[2]!,
    textColor: color(context, values[4]!),
    opaqueColor: color(context, values[5]!),
    background: cornersAt(values, 6),
    opaque,
    x: values[19]!,
    y: values[20]!,
  };
  drawText(context.canvas, context.caches, run, data);
}

/** OpTop holds flags that say which sides are those of the background rectangle: 2.2.2.2.1.1.2.14. */
const absent = -32768;

function opaqueRectangle(values: readonly number[]): Rectangle {
  const [bkLeft = 0, bkTop = 0, bkRight = 0, bkBottom = 0] = values.slice(4);
  let [left = 0, top = 0, right = 0, bottom = 0] = values.slice(8);
  if (bottom === absent) {
    const flags = top & 0x0f;
    if (flags & 0x01) bottom = bkBottom;
    if (flags & 0x02) right = bkRight;
    if (flags & 0x04) top = bkTop;
    if (flags & 0x08) left = bkLeft;
  }
  return cornersAt([left === 0 ? bkLeft : left, top, right === 0 ? bkRight : right, bottom], 0);
}

function fastRun(context: DrawingContext, values: readonly number[]): TextRun {
  return {
    cacheId: values[0]!,
    flags: values[1]! >> 8,
    characterIncrement: values[1]! & 0xff,
    textColor: color(context, values[2]!),
    opaqueColor: color(context, values[3]!),
    background: cornersAt(values, 4),
    opaque: opaqueRectangle(values),
    x: values[12] === absent ? values[4]! : values[12]!,
    y: values[13] === absent ? values[5]! : values[13]!,
  };
}

function fastIndex(context: DrawingContext, { values, data }: OrderState): void {
  drawText(context.canvas, context.caches, fastRun(context, values), data);
}

/** One glyph: an index, or a glyph to cache and draw. */
function fastGlyph(context: DrawingContext, { values, data }: OrderState): void {
  const run = fastRun(context, values);
  if (data.length === 0) throw new DecodeError('truncated', 'a fast glyph has no glyph');
  if (data.length > 1) {
    const { index, glyph } = readGlyphRevision2(new Reader(data));
    context.caches.setGlyph(run.cacheId, index, glyph);
  }
  drawText(context.canvas, context.caches, run, data.subarray(0, 1));
}

const drawers: Partial<Record<OrderName, Draw>> = {
  dstBlt,
  patBlt,
  scrBlt,
  memBlt,
  mem3Blt,
  opaqueRect,
  lineTo,
  polyline,
  polygonSC,
  polygonCB,
  ellipseSC,
  ellipseCB,
  saveBitmap,
  glyphIndex,
  fastIndex,
  fastGlyph,
  multiScrBlt,
  multiDstBlt: (context, state) => forEachClip(context, deltaRectangles(state, 5), () => dstBlt(context, state)),
  multiPatBlt: (context, state) => forEachClip(context, deltaRectangles(state, 12), () => patBlt(context, state)),
  multiOpaqueRect: (context, state) =>
    forEachClip(context, deltaRectangles(state, 7), () => opaqueRect(context, state)),
};
