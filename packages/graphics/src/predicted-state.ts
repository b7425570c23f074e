import { exchangeViews, predictedPixels } from './avc/predicted-pixels.ts';
import { bounds, createPixelBuffer, intersect, type PixelBuffer } from './pixels.ts';
import type { SessionSnapshot } from './session-decoder.ts';

/** A state to be packed: what its H.264 pictures tell is taken out, and rows of zeros with it. */
export type CompactState = Omit<SessionSnapshot, 'screen' | 'graphics'> & {
  readonly screen: unknown;
  readonly graphics: unknown;
};

interface SparsePixels {
  readonly width: number;
  readonly height: number;
  /** Rows that are not all zeros, and their pixels. */
  readonly rows: Uint32Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
}

/** Uses the snapshot up. */
export function compactState(snapshot: SessionSnapshot): CompactState {
  exchangePixels(snapshot);
  for (const [, surface] of avcOf(snapshot)) exchangeViews(surface);
  return withPixels(snapshot, sparse) as CompactState;
}

/** The snapshot again. Uses the state up. */
export function expandedState(state: CompactState): SessionSnapshot {
  const snapshot = withPixels(state as SessionSnapshot, dense) as SessionSnapshot;
  for (const [, surface] of avcOf(snapshot)) exchangeViews(surface);
  exchangePixels(snapshot);
  return snapshot;
}

function withPixels(snapshot: SessionSnapshot, change: (pixels: PixelBuffer) => unknown): unknown {
  const { pipeline } = snapshot.graphics;
  const surfaces = pipeline?.surfaces.map((surface) => ({ ...surface, pixels: change(surface.pixels) }));
  return {
    ...snapshot,
    screen: { ...snapshot.screen, pixels: change(snapshot.screen.pixels) },
    graphics: { ...snapshot.graphics, pipeline: pipeline && { ...pipeline, surfaces } },
  };
}

function sparse(pixels: PixelBuffer): PixelBuffer | SparsePixels {
  const { width, height } = pixels;
  const rowOf = (row: number) => pixels.words.subarray(row * width, (row + 1) * width);
  const rows = Array.from({ length: height }, (_, row) => row).filter(
    (row) => !isZero(pixels.words, row * width, width),
  );
  if (rows.length * 2 > height) return pixels;
  const words = new Uint32Array(rows.length * width);
  for (const [at, row] of rows.entries()) words.set(rowOf(row), at * width);
  return { width, height, rows: Uint32Array.from(rows), words };
}

function isZero(words: Uint32Array, first: number, count: number): boolean {
  for (let at = first; at < first + count; at += 1) if (words[at] !== 0) return false;
  return true;
}

function dense(pixels: PixelBuffer | SparsePixels): PixelBuffer {
  if (!('rows' in pixels)) return pixels;
  const { width, height, rows, words } = pixels;
  const whole = createPixelBuffer(width, height, 0);
  for (const [at, row] of rows.entries()) whole.words.set(words.subarray(at * width, (at + 1) * width), row * width);
  return whole;
}

const avcOf = ({ graphics }: SessionSnapshot) => graphics.pipeline?.codecs.avc ?? [];

/** Of surfaces, and of the screen where it shows them as they are. */
function exchangePixels(snapshot: SessionSnapshot): void {
  const surfaces = snapshot.graphics.pipeline?.surfaces ?? [];
  for (const [id, avc] of avcOf(snapshot)) {
    const surface = surfaces.find((one) => one.id === id);
    const predicted = surface && predictedPixels(avc, surface.pixels.width, surface.pixels.height);
    if (!predicted) continue;
    exclusiveOr(surface.pixels, predicted, 0, 0);
    const { mapping } = surface;
    if (mapping && !mapping.window && (mapping.targetWidth ?? predicted.width) === predicted.width)
      exclusiveOr(snapshot.screen.pixels, predicted, mapping.left, mapping.top);
  }
}

function exclusiveOr(target: PixelBuffer, source: PixelBuffer, left: number, top: number): void {
  const area = intersect({ left, top, width: source.width, height: source.height }, bounds(target));
  for (let y = area.top; y < area.top + area.height; y += 1) {
    const to = y * target.width;
    const from = (y - top) * source.width - left;
    for (let x = area.left; x < area.left + area.width; x += 1) target.words[to + x]! ^= source.words[from + x]!;
  }
}
