import { fillRectangle, intersect, isEmpty, type PixelBuffer, type Rectangle, rgba } from '../pixels.ts';
import { type RemoteWindows, regionsOf } from './remote-windows.ts';

/** What no window covers: nobody saw it as this, a client shows its own desktop there. */
export const windowsBackground = rgba(0x3b, 0x42, 0x4c);

/** A window's picture: (left, top) of the desktop is (0, 0) of `pixels`. */
interface Layer {
  readonly pixels: PixelBuffer;
  readonly left: number;
  readonly top: number;
  /** Parts of the desktop; where both have one, the window is seen. */
  readonly shape: readonly Rectangle[];
  readonly visible: readonly Rectangle[];
}

/** From, and up to but without. */
type Span = readonly [number, number];

/**
 * Lays the windows out on an area of `target`. Those without a surface of their own are parts of the `desktop`, which the server
 * draws with its windows on it. Each pixel is written once, however many windows lie over it: the area is cut into bands of rows
 * in which the same rectangles lie, and each band from its foremost window back.
 */
export function composeWindows(
  target: PixelBuffer,
  area: Rectangle,
  desktop: PixelBuffer,
  windows: RemoteWindows,
): void {
  const layers = layersOf(windows, desktop, area);
  const edges = new Set<number>([area.top, area.top + area.height]);
  for (const { shape, visible } of layers)
    for (const { top, height } of [...shape, ...visible]) {
      edges.add(top);
      edges.add(top + height);
    }
  const rows = [...edges].sort((a, b) => a - b);
  for (let at = 0; at + 1 < rows.length; at += 1) composeBand(target, area, layers, rows[at]!, rows[at + 1]!);
}

/** What of the windows lies in the area, the foremost first. */
function layersOf(windows: RemoteWindows, desktop: PixelBuffer, area: Rectangle): Layer[] {
  const layers: Layer[] = [];
  for (const window of windows.inFront()) {
    const content = windows.contents.get(window.id);
    const place = windows.placeOf(window);
    const picture = content
      ? { pixels: content, left: window.left, top: window.top }
      : { pixels: desktop, left: 0, top: 0 };
    const { width, height } = picture.pixels;
    const clip = intersect(intersect(place, { ...picture, width, height }), area);
    if (isEmpty(clip)) continue;
    const inArea = (list: readonly Rectangle[]) =>
      list.map((one) => intersect(one, clip)).filter((one) => !isEmpty(one));
    const { shape, visible } = regionsOf(window, place);
    layers.push({ ...picture, shape: inArea(shape), visible: inArea(visible) });
  }
  return layers;
}

function composeBand(
  target: PixelBuffer,
  area: Rectangle,
  layers: readonly Layer[],
  top: number,
  bottom: number,
): void {
  let free: Span[] = [[area.left, area.left + area.width]];
  for (const layer of layers) {
    if (free.length === 0) return;
    const spans = meet(spansAt(layer.shape, top), spansAt(layer.visible, top));
    if (spans.length === 0) continue;
    for (const span of meet(free, spans)) copySpan(target, layer, span, top, bottom);
    free = without(free, spans);
  }
  for (const [left, right] of free)
    fillRectangle(target, { left, top, width: right - left, height: bottom - top }, windowsBackground);
}

function copySpan(
  target: PixelBuffer,
  { pixels, left, top }: Layer,
  [from, to]: Span,
  first: number,
  end: number,
): void {
  for (let y = first; y < end; y += 1) {
    const at = (y - top) * pixels.width - left;
    target.words.set(pixels.words.subarray(at + from, at + to), y * target.width + from);
  }
}

/** What rectangles cover of a row: from left to right, apart from each other. */
function spansAt(rectangles: readonly Rectangle[], row: number): Span[] {
  const spans: Span[] = [];
  for (const { left, top, width, height } of rectangles)
    if (top <= row && row < top + height) spans.push([left, left + width]);
  if (spans.length < 2) return spans;
  spans.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of spans) {
    const last = merged.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** What both cover. */
function meet(a: readonly Span[], b: readonly Span[]): Span[] {
  const both: Span[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i]![0], b[j]![0]);
    const to = Math.min(a[i]![1], b[j]![1]);
    if (from < to) both.push([from, to]);
    if (a[i]![1] < b[j]![1]) i += 1;
    else j += 1;
  }
  return both;
}

/** What `taken` leaves of `free`. */
function without(free: readonly Span[], taken: readonly Span[]): Span[] {
  const left: Span[] = [];
  let at = 0;
  for (const [from, to] of free) {
    let begin = from;
    while (at < taken.length && taken[at]![1] <= begin) at += 1;
    for (let i = at; i < taken.length && taken[i]![0] < to; i += 1) {
      if (taken[i]![0] > begin) left.push([begin, taken[i]![0]]);
      begin = Math.max(begin, taken[i]![1]);
    }
    if (begin < to) left.push([begin, to]);
  }
  return left;
}
