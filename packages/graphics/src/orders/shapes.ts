import type { Brush, Canvas } from './canvas.ts';
import { rop3, rop3OfRop2 } from './rop.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Corners, both inclusive. */
export interface EllipseBox {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** A line one pixel wide. As in GDI, the end point is not part of it. */
export function drawLine(canvas: Canvas, from: Point, to: Point, rop2: number, word: number): void {
  const operation = rop3(rop3OfRop2(rop2));
  const width = Math.abs(to.x - from.x);
  const height = Math.abs(to.y - from.y);
  const box = { left: Math.min(from.x, to.x), top: Math.min(from.y, to.y), width: width + 1, height: height + 1 };
  canvas.claimPlotted(box, Math.max(width, height) + 1);
  const stepX = Math.sign(to.x - from.x);
  const stepY = Math.sign(to.y - from.y);
  let { x, y } = from;
  let error = width - height;
  while (x !== to.x || y !== to.y) {
    canvas.plot(x, y, operation, word);
    const doubled = error * 2;
    if (doubled > -height) {
      error -= height;
      x += stepX;
    }
    if (doubled < width) {
      error += width;
      y += stepY;
    }
  }
}

/** Fills a closed polygon. `winding` fills what is wound around at all, otherwise what is wound around an odd number of times. */
export function fillPolygon(
  canvas: Canvas,
  points: readonly Point[],
  winding: boolean,
  rop2: number,
  brush: Brush,
): void {
  const index = rop3OfRop2(rop2);
  const { top, height } = canvas.clip;
  const first = Math.max(top, Math.min(...points.map((point) => point.y)));
  const last = Math.min(top + height, Math.max(...points.map((point) => point.y)));
  for (let y = first; y < last; y += 1)
    for (const [left, right] of insideSpans(crossings(points, y), winding))
      canvas.draw({ left, top: y, width: right - left, height: 1 }, index, null, brush);
}

interface Crossing {
  readonly x: number;
  readonly direction: 1 | -1;
}

/** Where the polygon's edges cross a row, left to right. */
function crossings(points: readonly Point[], y: number): Crossing[] {
  const found: Crossing[] = [];
  points.forEach((from, index) => {
    const to = points[(index + 1) % points.length]!;
    if (from.y <= y === to.y <= y) return;
    const x = from.x + ((y - from.y) * (to.x - from.x)) / (to.y - from.y);
    found.push({ x: Math.ceil(x), direction: to.y > from.y ? 1 : -1 });
  });
  return found.sort((a, b) => a.x - b.x);
}

function insideSpans(found: readonly Crossing[], winding: boolean): [number, number][] {
  const spans: [number, number][] = [];
  let depth = 0;
  found.forEach(({ x, direction }, index) => {
    depth += winding ? direction : 1;
    const inside = winding ? depth !== 0 : depth % 2 === 1;
    const next = found[index + 1];
    if (inside && next && next.x > x) spans.push([x, next.x]);
  });
  return spans;
}

/** Fills the ellipse that touches all four sides of the box. */
export function fillEllipse(canvas: Canvas, box: EllipseBox, rop2: number, brush: Brush): void {
  const index = rop3OfRop2(rop2);
  for (let y = visibleTop(canvas, box); y <= visibleBottom(canvas, box); y += 1) {
    const [left, right] = ellipseSpan(box, y);
    canvas.draw({ left, top: y, width: right - left + 1, height: 1 }, index, null, brush);
  }
}

/** The ellipse's outline, one pixel wide and without gaps. */
export function strokeEllipse(canvas: Canvas, box: EllipseBox, rop2: number, brush: Brush): void {
  const index = rop3OfRop2(rop2);
  const span = (y: number, left: number, right: number) => {
    canvas.draw({ left, top: y, width: right - left + 1, height: 1 }, index, null, brush);
  };
  for (let y = visibleTop(canvas, box); y <= visibleBottom(canvas, box); y += 1) {
    const [left, right] = ellipseSpan(box, y);
    const nearer = y * 2 < box.top + box.bottom ? y - 1 : y + 1;
    const [outerLeft, outerRight] =
      nearer < box.top || nearer > box.bottom ? [right + 1, left] : ellipseSpan(box, nearer);
    const leftEnd = Math.min(Math.max(left, outerLeft - 1), right);
    const rightStart = Math.max(Math.min(right, outerRight + 1), leftEnd + 1);
    span(y, left, leftEnd);
    if (rightStart <= right) span(y, rightStart, right);
  }
}

function visibleTop(canvas: Canvas, box: EllipseBox): number {
  return Math.max(box.top, canvas.clip.top);
}

function visibleBottom(canvas: Canvas, box: EllipseBox): number {
  return Math.min(box.bottom, canvas.clip.top + canvas.clip.height - 1);
}

/** First and last pixel of a row whose centre lies in the ellipse; at least one pixel, as the row touches it. */
function ellipseSpan(box: EllipseBox, y: number): [number, number] {
  const radiusX = (box.right - box.left + 1) / 2;
  const radiusY = (box.bottom - box.top + 1) / 2;
  const offset = (y + 0.5 - (box.top + radiusY)) / radiusY;
  const half = radiusX * Math.sqrt(Math.max(0, 1 - offset * offset));
  const center = box.left + radiusX;
  const left = Math.ceil(center - half - 0.5);
  const right = Math.floor(center + half - 0.5);
  return left <= right ? [left, right] : [Math.floor(center - 0.5), Math.ceil(center - 0.5)];
}
