/** What stands in every picture of an imported recording: nobody shall take it for a recorded one. */
import type { PixelBuffer } from './pixels.ts';

const ground = 0xff005a8a;
const white = 0xffffffff;
const glyphWidth = 5;
const glyphHeight = 7;

/** Rows of five bits, the leftmost first. */
const glyphs: Record<string, readonly number[]> = {
  I: [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
  M: [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
  P: [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
  O: [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
  R: [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
  T: [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
  E: [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
  D: [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
};

export const importedText = 'IMPORTED: nothing is proven about what it shows, or when and where it happened';

/** In the upper left corner, as large as can be read. */
export function markImported(picture: PixelBuffer): void {
  const scale = Math.max(1, Math.round(picture.width / 500));
  const word = [...'IMPORTED'];
  fill(picture, 0, 0, (word.length * (glyphWidth + 1) + 3) * scale, (glyphHeight + 4) * scale, ground);
  for (const [at, letter] of word.entries())
    for (const [y, row] of (glyphs[letter] ?? []).entries())
      for (let x = 0; x < glyphWidth; x += 1)
        if (((row >> (glyphWidth - 1 - x)) & 1) === 1)
          fill(picture, (2 + at * (glyphWidth + 1) + x) * scale, (2 + y) * scale, scale, scale, white);
}

function fill({ words, width, height }: PixelBuffer, left: number, top: number, w: number, h: number, colour: number) {
  for (let y = top; y < Math.min(height, top + h); y += 1)
    words.fill(colour, y * width + Math.min(width, left), y * width + Math.min(width, left + w));
}
