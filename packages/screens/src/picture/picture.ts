import { charactersOf, type Font, widthOf } from '../font/font.ts';

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** 0xRRGGBB. */
export type Colour = number;

/** One thing that is drawn; later ones over earlier ones. */
export type Item =
  | ({ kind: 'fill'; colour: Colour } & Rectangle)
  /** `x`, `y` are the top left of the line; nothing is drawn outside of `clip`. */
  | { kind: 'text'; x: number; y: number; font: Font; text: string; colour: Colour; clip: Rectangle };

export type Picture = readonly Item[];

/** Where an item may draw. */
export function extentOf(item: Item): Rectangle {
  if (item.kind === 'fill') return item;
  const { x, y, font, text, clip } = item;
  // Slanted and accented characters reach over their line a little.
  const reach = font.size;
  const { size } = font;
  const drawn = { x: x - reach, y: y - reach, width: widthOf(font, text) + 2 * reach, height: size * 2 + 2 * reach };
  return intersection(drawn, clip);
}

export function intersection(a: Rectangle, b: Rectangle): Rectangle {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.max(0, Math.min(a.x + a.width, b.x + b.width) - x);
  const height = Math.max(0, Math.min(a.y + a.height, b.y + b.height) - y);
  return { x, y, width, height };
}

export const contains = (outer: Rectangle, inner: Rectangle): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

export const isEmpty = ({ width, height }: Rectangle): boolean => width <= 0 || height <= 0;

/** The pixels of `area`, 0xRRGGBB each, row by row. */
export function render(picture: Picture, area: Rectangle): Uint32Array {
  const pixels = new Uint32Array(area.width * area.height);
  for (const item of picture) {
    const drawn = intersection(extentOf(item), area);
    if (isEmpty(drawn)) continue;
    if (item.kind === 'fill') fill(pixels, area, drawn, item.colour);
    else drawText(pixels, area, item);
  }
  return pixels;
}

function fill(pixels: Uint32Array, area: Rectangle, { x, y, width, height }: Rectangle, colour: Colour): void {
  for (let row = y - area.y; row < y - area.y + height; row += 1) {
    const start = row * area.width + x - area.x;
    pixels.fill(colour, start, start + width);
  }
}

function drawText(pixels: Uint32Array, area: Rectangle, item: Extract<Item, { kind: 'text' }>): void {
  const visible = intersection(item.clip, area);
  let pen = item.x;
  for (const character of charactersOf(item.text)) {
    const glyph = item.font.glyph(character.codePointAt(0)!);
    const { left, top, width, height, alpha } = glyph;
    const drawn = intersection({ x: pen + left, y: item.y + top, width, height }, visible);
    for (let y = drawn.y; y < drawn.y + drawn.height; y += 1)
      for (let x = drawn.x; x < drawn.x + drawn.width; x += 1) {
        const opacity = alpha[(y - item.y - top) * width + x - pen - left]!;
        const at = (y - area.y) * area.width + x - area.x;
        if (opacity > 0) pixels[at] = mixed(pixels[at]!, item.colour, opacity);
      }
    pen += glyph.advance;
    if (pen > visible.x + visible.width + item.font.size) return;
  }
}

/** `opacity` thirds of `over` on `under`. */
function mixed(under: Colour, over: Colour, opacity: number): Colour {
  let colour = 0;
  for (const shift of [16, 8, 0]) {
    const [a, b] = [(under >> shift) & 255, (over >> shift) & 255];
    colour |= Math.round(a + ((b - a) * opacity) / 3) << shift;
  }
  return colour;
}

const keyOf = (item: Item): string => JSON.stringify(item.kind === 'fill' ? item : { ...item, font: item.font.size });

/** Where two pictures may differ. */
export function differences(before: Picture, after: Picture): Rectangle[] {
  const [old, now] = [
    new Map(before.map((item) => [keyOf(item), item])),
    new Map(after.map((item) => [keyOf(item), item])),
  ];
  const gone = [...old].filter(([key]) => !now.has(key));
  const come = [...now].filter(([key]) => !old.has(key));
  return [...gone, ...come].map(([, item]) => extentOf(item)).filter((area) => !isEmpty(area));
}
