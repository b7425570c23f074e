/** A text in a strip over the top of a desktop that somebody works on. */
import { type Font, fontFor, widthOf } from './font/font.ts';
import { type BitmapForm, type PlanarTile, planarTiles, tilesOf, updatesOf } from './picture/encode.ts';
import { type Item, type Rectangle, render } from './picture/picture.ts';
import { wrap } from './picture/wrap.ts';

/** Tiles of a picture are painted whole: what stands beside a strip of another height would be lost. */
const STRIP = 64;
const LINES_MAX = 12;
const colours = { strip: 0xfff4c2, edge: 0x8a6d00, text: 0x1f2933 } as const;

export interface BannerDesktop {
  width: number;
  height: number;
  bitsPerPixel: BitmapForm['bitsPerPixel'];
}

/** Bodies of bitmap updates that show `title` and `text`; more than fits into half of the desktop ends in an ellipsis. */
export function bannerUpdates(
  { width, height, bitsPerPixel }: BannerDesktop,
  title: string,
  text: string,
): Uint8Array[] {
  const { strip, picture } = stripOf({ width, height }, title, text);
  return updatesOf(tilesOf([strip], { width, height: strip.height }), (tile) => render(picture, tile), {
    bitsPerPixel,
    withoutHeader: false,
  });
}

/** The same as tiles of a surface of the graphics pipeline: planar, rows from the first to the last. */
export function bannerPicture(
  desktop: { width: number; height: number },
  title: string,
  text: string,
): { width: number; height: number; tiles: PlanarTile[] } {
  const { strip, picture } = stripOf(desktop, title, text);
  const { width, height } = strip;
  return { width, height, tiles: planarTiles(tilesOf([strip], strip), (tile) => render(picture, tile)) };
}

function stripOf(
  { width, height }: { width: number; height: number },
  title: string,
  text: string,
): { strip: Rectangle; picture: Item[] } {
  const font = fontFor(height >= 1800 ? 200 : 100);
  const gap = font.size;
  const fits = Math.min(LINES_MAX, Math.max(1, Math.floor((height / 2 - 2 * gap) / font.lineHeight) - 1));
  const lines = [...cut(wrap(font, title, width - 2 * gap), 1), ...cut(wrap(font, text, width - 2 * gap), fits)];
  const needed = lines.length * font.lineHeight + 2 * gap;
  const strip = { x: 0, y: 0, width, height: Math.min(height, Math.ceil(needed / STRIP) * STRIP) };
  return { strip, picture: pictureOf(strip, font, lines) };
}

const cut = (lines: string[], most: number): string[] =>
  lines.length <= most ? lines : [...lines.slice(0, most - 1), `${lines[most - 1] ?? ''} …`];

function pictureOf(strip: Rectangle, font: Font, lines: readonly string[]): Item[] {
  const top = (strip.height - lines.length * font.lineHeight) >> 1;
  const texts = lines.map((text, at): Item => {
    const x = Math.max(font.size, (strip.width - widthOf(font, text)) >> 1);
    return { kind: 'text', x, y: top + at * font.lineHeight, font, text, colour: colours.text, clip: strip };
  });
  return [
    { kind: 'fill', colour: colours.strip, ...strip },
    { kind: 'fill', colour: colours.edge, ...strip, y: strip.height - 2, height: 2 },
    ...texts,
  ];
}
