import { roboto16 } from './roboto-16.ts';
import { roboto24 } from './roboto-24.ts';
import { roboto32 } from './roboto-32.ts';

export interface Glyph {
  /** How far the pen goes on, pixels. */
  advance: number;
  /** Of the picture, from the pen and from the top of the line. */
  left: number;
  top: number;
  width: number;
  height: number;
  /** Opacity 0 to 3, row by row. */
  alpha: Uint8Array;
}

/** What one size of the font looks like. */
export interface Font {
  size: number;
  /** From one line's top to the next. */
  lineHeight: number;
  glyph(code: number): Glyph;
}

const HEADER_BYTES = 7;

function readGlyphs(base64: string): Map<number, Glyph> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const glyphs = new Map<number, Glyph>();
  for (let at = 0; at < bytes.length; ) {
    const [high, low, advance, left, top, width, height] = bytes.subarray(at, at + HEADER_BYTES) as unknown as number[];
    at += HEADER_BYTES;
    const alpha = new Uint8Array(width! * height!);
    for (let i = 0; i < alpha.length; i += 1) alpha[i] = (bytes[at + (i >> 2)]! >> (6 - 2 * (i & 3))) & 3;
    at += (alpha.length + 3) >> 2;
    const measures = { advance: advance!, left: left! - 128, top: top!, width: width!, height: height! };
    glyphs.set((high! << 8) | low!, { ...measures, alpha });
  }
  return glyphs;
}

/** A frame: what stands where the font has no character. */
function boxGlyph(size: number): Glyph {
  const width = Math.round(size * 0.45);
  const height = Math.round(size * 0.7);
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i += 1) {
    const x = i % width;
    const y = (i - x) / width;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) alpha[i] = 3;
  }
  return { advance: width + 2, left: 1, top: size - height, width, height, alpha };
}

function load({ size, glyphs }: { size: number; glyphs: string }): Font {
  const known = readGlyphs(glyphs);
  const box = boxGlyph(size);
  return { size, lineHeight: Math.round(size * 1.4), glyph: (code) => known.get(code) ?? box };
}

const sources = [roboto16, roboto24, roboto32];
const loaded = new Map<number, Font>();

/** The font for a desktop that is shown at `percent` of its pixels' natural size: 100 on a common monitor. */
export function fontFor(percent: number): Font {
  const source = percent < 125 ? sources[0]! : percent < 175 ? sources[1]! : sources[2]!;
  const font = loaded.get(source.size) ?? load(source);
  loaded.set(source.size, font);
  return font;
}

/** Characters as they are drawn one by one: composed where Unicode knows the pair. Controls draw nothing. */
export const charactersOf = (text: string): string[] =>
  [...text.normalize('NFC')].filter((character) => !/[\p{Cc}\p{Cf}]/u.test(character));

export const widthOf = (font: Font, text: string): number =>
  charactersOf(text).reduce((sum, character) => sum + font.glyph(character.codePointAt(0)!).advance, 0);
