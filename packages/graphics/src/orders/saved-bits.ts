import { DecodeError } from '@lucid-sessions/wire';
import { bounds, createPixelBuffer, intersect, type PixelBuffer, type Rectangle } from '../pixels.ts';
import type { Canvas } from './canvas.ts';
import { rop3SourceCopy } from './rop.ts';

/** The Save Bitmap has 480 × 480 pixels ([MS-RDPEGDI] 2.2.2.2.1.1.2.12); some servers announce and use more. */
const savedPixelsMax = 4 * 480 * 480;

export type SavedBitsSnapshot = readonly (readonly [number, PixelBuffer])[];

/**
 * Screen parts saved under windows that will close. Their places in the Save Bitmap only identify them: a restore
 * names the position of the save it undoes.
 */
export class SavedBits {
  readonly #saved = new Map<number, PixelBuffer>();

  save(screen: PixelBuffer, area: Rectangle, position: number): void {
    const visible = intersect(area, bounds(screen));
    // Positions are those of a stack: what lies at or above this one has been restored or given up.
    for (const above of [...this.#saved.keys()]) if (above >= position) this.#saved.delete(above);
    const held = [...this.#saved.values()].reduce((sum, picture) => sum + picture.words.length, 0);
    if (held + area.width * area.height > savedPixelsMax)
      throw new DecodeError('limit', 'the saved rectangles hold too many pixels');
    const picture = createPixelBuffer(area.width, area.height);
    const offsetX = visible.left - area.left;
    const offsetY = visible.top - area.top;
    for (let row = 0; row < visible.height; row += 1) {
      const from = (visible.top + row) * screen.width + visible.left;
      picture.words.set(screen.words.subarray(from, from + visible.width), (offsetY + row) * area.width + offsetX);
    }
    this.#saved.set(position, picture);
  }

  restore(canvas: Canvas, area: Rectangle, position: number): void {
    const picture = this.#saved.get(position);
    if (!picture) throw new DecodeError('invalid', 'nothing was saved at the position to restore');
    canvas.draw(area, rop3SourceCopy, { pixels: picture, left: 0, top: 0 }, null);
  }

  snapshot(): SavedBitsSnapshot {
    return [...this.#saved];
  }

  reload(snapshot: SavedBitsSnapshot): void {
    this.#saved.clear();
    for (const [position, picture] of snapshot) this.#saved.set(position, picture);
  }
}
