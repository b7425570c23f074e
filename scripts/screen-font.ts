/**
 * Makes the font of our own screens (`packages/screens/src/font/roboto-SIZE.ts`) from a font file, with Debian's chromium:
 *   node scripts/screen-font.ts Roboto-Regular.woff2
 * What is in the repository was made from `fonts/roboto/Roboto-Regular.woff2` of npm's roboto-fontface 0.10.0 (Apache-2.0).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';

const sizes = [16, 24, 32];
/** Latin with its diacritics, Greek, Cyrillic, and the signs texts are set with. */
const ranges = [
  [0x20, 0x7e],
  [0xa0, 0x17f],
  [0x218, 0x21b],
  [0x37e, 0x3ce],
  [0x400, 0x45f],
  [0x490, 0x491],
  [0x1e9e, 0x1e9e],
  [0x2010, 0x2026],
  [0x2030, 0x2030],
  [0x2039, 0x203a],
  [0x20ac, 0x20ac],
  [0x2116, 0x2116],
  [0x2122, 0x2122],
];

interface Glyph {
  code: number;
  advance: number;
  /** From the pen and from the top of the line. */
  left: number;
  top: number;
  width: number;
  height: number;
  /** 0 to 3, row by row. */
  alpha: number[];
}

/** Runs in the page. A character the font does not have looks like one nobody has, and is left out. */
function rasterise({ size, codes }: { size: number; codes: number[] }): Glyph[] {
  const side = size * 3;
  const canvas = document.createElement('canvas');
  canvas.width = side;
  canvas.height = side;
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.font = `${size}px Screen, NoSuchFont`;
  const draw = (code: number): Glyph => {
    context.clearRect(0, 0, side, side);
    context.fillText(String.fromCodePoint(code), size, size * 2);
    const { data } = context.getImageData(0, 0, side, side);
    const at = (x: number, y: number): number => Math.round((data[(y * side + x) * 4 + 3]! * 3) / 255);
    let [x0, y0, x1, y1] = [side, side, -1, -1];
    for (let y = 0; y < side; y += 1)
      for (let x = 0; x < side; x += 1)
        if (at(x, y) > 0) [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    const width = Math.max(0, x1 - x0 + 1);
    const height = Math.max(0, y1 - y0 + 1);
    const alpha = Array.from({ length: width * height }, (_, i) => at(x0 + (i % width), y0 + Math.floor(i / width)));
    const advance = Math.round(context.measureText(String.fromCodePoint(code)).width);
    return width === 0
      ? { code, advance, left: 0, top: 0, width, height, alpha }
      : { code, advance, left: x0 - size, top: y0 - size, width, height, alpha };
  };
  const missing = JSON.stringify({ ...draw(0xffff), code: 0 });
  return codes.map(draw).filter((glyph) => JSON.stringify({ ...glyph, code: 0 }) !== missing);
}

/** Per glyph code u16, advance, left + 128, top, width, height, then two bits a pixel. Big-endian. */
function packed(glyphs: readonly Glyph[]): Buffer {
  const parts = glyphs.map(({ code, advance, left, top, width, height, alpha }) => {
    const bits = Buffer.alloc(Math.ceil(alpha.length / 4));
    for (const [i, value] of alpha.entries()) bits[i >> 2]! |= value << (6 - 2 * (i & 3));
    return Buffer.concat([Buffer.from([code >> 8, code & 255, advance, left + 128, top, width, height]), bits]);
  });
  return Buffer.concat(parts);
}

const source = (size: number, data: Buffer): string => `/**
 * Roboto Regular at ${size} pixels, made by scripts/screen-font.ts. Copyright Google, Apache License 2.0. The pen's line lies ${size} pixels
 * below the top; the layout of the bytes is read in font.ts.
 */
export const roboto${size} = { size: ${size}, glyphs: '${data.toString('base64')}' } as const;
`;

async function pageWith(fontPath: string): Promise<{ page: Page; close: () => Promise<void> }> {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const page = await browser.newPage();
  const url = `data:font/woff2;base64,${readFileSync(fontPath).toString('base64')}`;
  await page.setContent(
    `<style>@font-face { font-family: Screen; src: url(${url}) }</style><p style="font-family: Screen">a`,
  );
  await page.evaluate(() => document.fonts.load('16px Screen').then(() => {}));
  return { page, close: () => browser.close() };
}

const [fontPath] = process.argv.slice(2);
if (fontPath === undefined) throw new Error('name the font file');
const { page, close } = await pageWith(fontPath);
const codes = ranges.flatMap(([from, to]) => Array.from({ length: to! - from! + 1 }, (_, i) => from! + i));
for (const size of sizes) {
  const glyphs = await page.evaluate(rasterise, { size, codes });
  const data = packed(glyphs);
  console.log(`${size}: ${glyphs.length} glyphs, ${data.length} bytes`);
  writeFileSync(new URL(`../packages/screens/src/font/roboto-${size}.ts`, import.meta.url), source(size, data));
}
await close();
