import { DecodeError } from '@lucid-sessions/wire';

/** Four full 8K pictures, or 64 of 1920 × 1080. */
const pixelsMax = 1 << 27;

/**
 * Bounds the work one message may ask for: a few hostile bytes can name the same large area again and again. Every decoder and
 * fill spends what it paints.
 */
export class WorkBudget {
  #left = pixelsMax;

  /** Throws `DecodeError('limit')` when the message asked for too much. */
  spend(pixels: number): void {
    this.#left -= pixels;
    if (this.#left < 0) throw new DecodeError('limit', 'a graphics message paints too many pixels');
  }
}
