import { DecodeError } from '@lucid-sessions/wire';
import type { WorkBudget } from '../gfx/work-budget.ts';
import {
  blit,
  bounds,
  fillRectangle,
  intersect,
  isEmpty,
  opaqueBlack,
  type PixelBuffer,
  type Rectangle,
} from '../pixels.ts';
import { type RasterOperation, rop3, rop3PatternCopy, rop3SourceCopy, usesPattern, usesSource } from './rop.ts';

/** What a pattern operand is: one colour, or 8 × 8 pixels anchored somewhere. A cell of `null` leaves the pixel alone. */
export type Brush =
  | { readonly kind: 'solid'; readonly word: number }
  | {
      readonly kind: 'pattern';
      readonly cells: readonly (number | null)[];
      readonly originX: number;
      readonly originY: number;
    };

export interface SourceImage {
  readonly pixels: PixelBuffer;
  /** Source coordinates of the destination's left and top. */
  readonly left: number;
  readonly top: number;
}

/** Where orders draw: a surface, a clip, and the work the update may still ask for. */
export class Canvas {
  target: PixelBuffer;
  clip: Rectangle;
  /** Of the update: a few bytes can ask for the whole screen thousands of times. */
  readonly budget: WorkBudget;
  /** The parts drawn since `takeDrawn`. */
  #drawn: Rectangle[] = [];

  constructor(target: PixelBuffer, budget: WorkBudget) {
    this.budget = budget;
    this.target = target;
    this.clip = bounds(target);
  }

  takeDrawn(): Rectangle[] {
    const drawn = this.#drawn;
    this.#drawn = [];
    return drawn;
  }

  /** The visible part of `rectangle`, noted as drawn. */
  #claim(rectangle: Rectangle): Rectangle {
    const visible = intersect(intersect(rectangle, this.clip), bounds(this.target));
    this.budget.spend(visible.width * visible.height + 1);
    if (!isEmpty(visible)) this.#drawn.push(visible);
    return visible;
  }

  /** A ternary raster operation over `rectangle`. Operands the operation doesn't use may be null. */
  draw(rectangle: Rectangle, ropIndex: number, source: SourceImage | null, brush: Brush | null): void {
    if (usesSource(ropIndex) && !source) throw new DecodeError('invalid', 'a raster operation lacks its source');
    if (usesPattern(ropIndex) && !brush) throw new DecodeError('invalid', 'a raster operation lacks its pattern');
    if (ropIndex === rop3SourceCopy) this.#copy(rectangle, source!);
    else if (ropIndex === rop3PatternCopy && brush!.kind === 'solid') this.fill(rectangle, brush!.word);
    else
      this.#combine(
        rectangle,
        rop3(ropIndex),
        usesSource(ropIndex) ? source : null,
        usesPattern(ropIndex) ? brush : null,
      );
  }

  fill(rectangle: Rectangle, word: number): void {
    const visible = this.#claim(rectangle);
    fillRectangle(this.target, visible, (word | opaqueBlack) >>> 0);
  }

  #copy(rectangle: Rectangle, source: SourceImage): void {
    const visible = this.#claim(rectangle);
    if (isEmpty(visible)) return;
    const left = source.left + visible.left - rectangle.left;
    const top = source.top + visible.top - rectangle.top;
    blit(this.target, visible.left, visible.top, source.pixels, { ...visible, left, top });
  }

  #combine(rectangle: Rectangle, operation: RasterOperation, source: SourceImage | null, brush: Brush | null): void {
    const area = source ? withinSource(rectangle, source) : rectangle;
    const visible = this.#claim(area);
    if (isEmpty(visible)) return;
    const from = source ? detached(source, this.target, rectangle, visible) : null;
    const { words, width } = this.target;
    for (let y = visible.top; y < visible.top + visible.height; y += 1) {
      for (let x = visible.left; x < visible.left + visible.width; x += 1) {
        const pattern = brush ? brushWord(brush, x, y) : 0;
        if (pattern === null) continue;
        const at = y * width + x;
        const operand = from ? from(x, y) : 0;
        words[at] = operation(words[at]!, operand, pattern) | opaqueBlack;
      }
    }
  }

  /** One pixel of a line or outline. */
  plot(x: number, y: number, operation: RasterOperation, word: number): void {
    const { clip, target } = this;
    const inside =
      x >= clip.left &&
      y >= clip.top &&
      x < clip.left + clip.width &&
      y < clip.top + clip.height &&
      x < target.width &&
      y < target.height &&
      x >= 0 &&
      y >= 0;
    if (!inside) return;
    const at = y * target.width + x;
    target.words[at] = operation(target.words[at]!, 0, word) | opaqueBlack;
  }

  /** Notes an area drawn by `plot`, counting `pixelsCount` against the budget. */
  claimPlotted(rectangle: Rectangle, pixelsCount: number): void {
    this.budget.spend(pixelsCount);
    const visible = intersect(intersect(rectangle, this.clip), bounds(this.target));
    if (!isEmpty(visible)) this.#drawn.push(visible);
  }
}

function brushWord(brush: Brush, x: number, y: number): number | null {
  if (brush.kind === 'solid') return brush.word;
  return brush.cells[((y - brush.originY) & 7) * 8 + ((x - brush.originX) & 7)]!;
}

/** The part of the destination whose source lies inside the source picture. */
function withinSource(rectangle: Rectangle, source: SourceImage): Rectangle {
  const inside = intersect({ ...rectangle, left: source.left, top: source.top }, bounds(source.pixels));
  return {
    ...inside,
    left: rectangle.left + inside.left - source.left,
    top: rectangle.top + inside.top - source.top,
  };
}

/** Reads source pixels by destination coordinates; from a copy where source and destination are the same picture. */
function detached(
  source: SourceImage,
  target: PixelBuffer,
  rectangle: Rectangle,
  visible: Rectangle,
): (x: number, y: number) => number {
  const offsetX = source.left - rectangle.left;
  const offsetY = source.top - rectangle.top;
  const { width, words } = source.pixels;
  if (source.pixels !== target) return (x, y) => words[(y + offsetY) * width + x + offsetX]!;
  const copy = new Uint32Array(visible.width * visible.height);
  for (let row = 0; row < visible.height; row += 1) {
    const at = (visible.top + row + offsetY) * width + visible.left + offsetX;
    copy.set(words.subarray(at, at + visible.width), row * visible.width);
  }
  return (x, y) => copy[(y - visible.top) * visible.width + x - visible.left]!;
}
