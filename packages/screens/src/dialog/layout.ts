/** Where everything of a dialog stands on a desktop of a given size, and how it looks. */
import { type Font, widthOf } from '../font/font.ts';
import { type Colour, type Item, intersection, isEmpty, type Picture, type Rectangle } from '../picture/picture.ts';
import { wrap } from '../picture/wrap.ts';
import type { Dialog, DialogSpec, Spot } from './dialog.ts';

export interface Size {
  width: number;
  height: number;
}

export interface DialogLayout {
  picture: Picture;
  /** All that stands on the desktop. */
  panel: Rectangle;
  /** What stands where a person points. */
  spotAt(x: number, y: number): Spot;
  /** How many lines the text can be scrolled by in all, and how many are shown at once. */
  scrollMax: number;
  pageLines: number;
}

const colours = {
  desktop: 0x000000,
  panel: 0xffffff,
  edge: 0x9aa5b1,
  text: 0x1f2933,
  faint: 0x616e7c,
  problem: 0xb42318,
  field: 0xf5f7fa,
  focus: 0x1d5fbf,
  button: 0xe4e7eb,
  main: 0x1d5fbf,
  mainText: 0xffffff,
  pressed: 0x123f80,
} as const;

const DOT = '\u2022';
/** Widest panel, in heights of the font. */
const PANEL_WIDTH = 36;
const LINES_MIN = 2;

interface Pen {
  font: Font;
  desktop: Rectangle;
  inner: Rectangle;
  items: Item[];
  spots: { area: Rectangle; spot: (x: number) => Exclude<Spot, null> }[];
  y: number;
}

const insetBy = ({ x, y, width, height }: Rectangle, by: number): Rectangle => ({
  x: x + by,
  y: y + by,
  width: width - 2 * by,
  height: height - 2 * by,
});

/** Its texts, broken into lines. */
export type DialogLines = Readonly<Record<'title' | 'text' | 'problem' | 'footer', readonly string[]>>;

const panelWidthOf = ({ width }: Size, font: Font): number => Math.min(width, PANEL_WIDTH * font.size);
const innerWidthOf = (size: Size, font: Font): number => Math.max(1, panelWidthOf(size, font) - 2 * font.size);

export function linesOf(spec: DialogSpec, size: Size, font: Font): DialogLines {
  const width = innerWidthOf(size, font);
  const broken = (text: string, narrower = 0): string[] => (text === '' ? [] : wrap(font, text, width - narrower));
  return {
    title: broken(spec.title),
    // Beside it there may be a scroll bar.
    text: broken(spec.text, font.size),
    problem: broken(spec.problem),
    footer: broken(spec.footer),
  };
}

export function layOut(dialog: Dialog, lines: DialogLines, { width, height }: Size, font: Font): DialogLayout {
  const desktop = { x: 0, y: 0, width, height };
  const gap = font.size;
  const panelWidth = panelWidthOf(desktop, font);
  const innerWidth = innerWidthOf(desktop, font);
  const { spec } = dialog;
  const rows = buttonRows(dialog, font, innerWidth);
  const fixed =
    3 * gap +
    (lines.title.length + lines.problem.length + lines.footer.length) * font.lineHeight +
    spec.fields.length * fieldHeight(font) +
    rows.length * buttonHeight(font) +
    (lines.text.length > 0 ? gap : 0) +
    (lines.problem.length > 0 ? gap / 2 : 0) +
    (lines.footer.length > 0 ? gap / 2 : 0);
  const room = Math.floor((height - fixed) / font.lineHeight);
  const pageLines = Math.min(lines.text.length, Math.max(LINES_MIN, room));
  const panelHeight = Math.min(height, Math.ceil(fixed + pageLines * font.lineHeight));
  const panel = {
    x: (width - panelWidth) >> 1,
    y: (height - panelHeight) >> 1,
    width: panelWidth,
    height: panelHeight,
  };
  const pen: Pen = {
    font,
    desktop,
    inner: { ...insetBy(panel, gap), width: innerWidth },
    items: [],
    spots: [],
    y: panel.y + gap,
  };
  fill(pen, desktop, colours.desktop);
  fill(pen, panel, colours.edge);
  fill(pen, insetBy(panel, 1), colours.panel);
  titleOf(pen, lines.title);
  const scrollMax = lines.text.length - pageLines;
  if (pageLines > 0) textOf(pen, lines.text, Math.min(dialog.scroll, scrollMax), pageLines);
  for (const index of spec.fields.keys()) fieldOf(pen, dialog, index);
  if (lines.problem.length > 0) writeLines(pen, lines.problem, colours.problem, gap / 2);
  pen.y += gap / 2;
  for (const row of rows) buttonsOf(pen, dialog, row);
  if (lines.footer.length > 0) {
    pen.y += gap / 2;
    writeLines(pen, lines.footer, colours.faint, 0);
  }
  return { picture: pen.items, panel, spotAt: (x, y) => spotAt(pen, x, y), scrollMax, pageLines };
}

function spotAt({ spots }: Pen, x: number, y: number): Spot {
  const found = spots.find(
    ({ area }) => x >= area.x && y >= area.y && x < area.x + area.width && y < area.y + area.height,
  );
  return found?.spot(x) ?? null;
}

function fill(pen: Pen, area: Rectangle, colour: Colour): void {
  const visible = intersection(area, pen.desktop);
  if (!isEmpty(visible)) pen.items.push({ kind: 'fill', colour, ...visible });
}

function write(pen: Pen, x: number, y: number, text: string, colour: Colour, clip: Rectangle = pen.inner): void {
  const visible = intersection(clip, pen.desktop);
  if (text !== '' && !isEmpty(visible))
    pen.items.push({ kind: 'text', x, y: Math.round(y), font: pen.font, text, colour, clip: visible });
}

/** Bold by drawing twice. */
function titleOf(pen: Pen, lines: readonly string[]): void {
  const clip = { ...pen.inner, height: pen.inner.height + pen.font.size };
  for (const line of lines) {
    for (const shift of [0, 1]) write(pen, pen.inner.x + shift, pen.y, line, colours.text, clip);
    pen.y += pen.font.lineHeight;
  }
  pen.y += pen.font.size / 2;
}

function writeLines(pen: Pen, lines: readonly string[], colour: Colour, after: number): void {
  const clip = { ...pen.inner, height: pen.inner.height + pen.font.size };
  for (const line of lines) {
    write(pen, pen.inner.x, pen.y, line, colour, clip);
    pen.y += pen.font.lineHeight;
  }
  pen.y += after;
}

function textOf(pen: Pen, lines: readonly string[], first: number, count: number): void {
  const { font, inner } = pen;
  const top = Math.round(pen.y);
  writeLines(pen, lines.slice(first, first + count), colours.text, font.size);
  if (lines.length <= count) return;
  const track = {
    x: inner.x + inner.width - font.size / 2,
    y: top,
    width: font.size / 4,
    height: count * font.lineHeight,
  };
  const thumb = {
    ...track,
    y: top + Math.floor((track.height * first) / lines.length),
    height: Math.max(4, Math.floor((track.height * count) / lines.length)),
  };
  fill(pen, track, colours.button);
  fill(pen, thumb, colours.faint);
}

const fieldHeight = (font: Font): number => 2 * font.lineHeight + font.size;

function fieldOf(pen: Pen, dialog: Dialog, index: number): void {
  const { font, inner } = pen;
  const spec = dialog.spec.fields[index]!;
  const isFocused = dialog.focus === index;
  write(pen, inner.x, pen.y, spec.label, colours.faint);
  const box = {
    x: inner.x,
    y: Math.round(pen.y + font.lineHeight),
    width: inner.width,
    height: Math.round(font.lineHeight * 1.25),
  };
  fill(pen, box, isFocused ? colours.focus : colours.edge);
  fill(pen, insetBy(box, isFocused ? 2 : 1), colours.field);
  const area = insetBy(box, 4);
  const characters = spec.secret ? dialog.value(index).map(() => DOT) : dialog.value(index);
  const before = widthOf(font, characters.slice(0, dialog.caret).join(''));
  // The caret stays in view.
  const shift = isFocused ? Math.max(0, before + 2 - area.width) : 0;
  write(pen, area.x - shift, area.y, characters.join(''), colours.text, area);
  if (isFocused)
    fill(
      pen,
      intersection({ x: area.x - shift + before, y: area.y, width: 2, height: area.height }, area),
      colours.text,
    );
  pen.spots.push({
    area: box,
    spot: (x) => ({ kind: 'field', index, offset: offsetAt(font, characters, x - area.x + shift) }),
  });
  pen.y += fieldHeight(font);
}

/** How many characters stand left of `x` pixels. */
function offsetAt(font: Font, characters: readonly string[], x: number): number {
  let width = 0;
  for (const [at, character] of characters.entries()) {
    const advance = widthOf(font, character);
    if (width + advance / 2 > x) return at;
    width += advance;
  }
  return characters.length;
}

interface ButtonPlace {
  index: number;
  width: number;
}

const buttonHeight = (font: Font): number => font.lineHeight * 2;

function buttonRows({ spec }: Dialog, font: Font, innerWidth: number): ButtonPlace[][] {
  const rows: ButtonPlace[][] = [];
  let used = 0;
  for (const [index, { label }] of spec.buttons.entries()) {
    const width = Math.min(innerWidth, Math.max(6 * font.size, widthOf(font, label) + 2 * font.size));
    const row = rows.at(-1);
    if (row === undefined || used + font.size + width > innerWidth) {
      rows.push([{ index, width }]);
      used = width;
    } else {
      row.push({ index, width });
      used += font.size + width;
    }
  }
  return rows;
}

function buttonsOf(pen: Pen, dialog: Dialog, row: readonly ButtonPlace[]): void {
  const { font, inner } = pen;
  let x = inner.x;
  for (const { index, width } of row) {
    const at = dialog.spec.fields.length + index;
    const box = { x, y: Math.round(pen.y), width, height: Math.round(font.lineHeight * 1.6) };
    const isMain = index === 0;
    if (dialog.focus === at) fill(pen, insetBy(box, -2), isMain ? colours.text : colours.focus);
    fill(pen, box, dialog.pressed === at ? colours.pressed : isMain ? colours.main : colours.button);
    const { label } = dialog.spec.buttons[index]!;
    const left = Math.max(4, (width - widthOf(font, label)) >> 1);
    const colour = isMain || dialog.pressed === at ? colours.mainText : colours.text;
    write(pen, x + left, box.y + Math.round(font.lineHeight * 0.3), label, colour, box);
    pen.spots.push({ area: box, spot: () => ({ kind: 'button', index, offset: 0 }) });
    x += width + font.size;
  }
  pen.y += buttonHeight(font);
}
