import { type Area, Canvas, contains, overlap } from './canvas.ts';
import { GLYPH_ADVANCE } from './font.ts';

/** What stands on the desktop: a wallpaper and three windows. It paints any area on demand and keeps no picture. */

const TITLE_HEIGHT = 24;
const TEXT_SCALE = 2;
const LINE_HEIGHT = 20;
const MARGIN = 8;
/** Longest line kept, and most lines: the text comes from whoever types. */
const LINE_CHARACTERS_MAX = 500;
const LINES_MAX = 1000;

const COLOR = {
  skyTop: 0x1d3557,
  skyStep: 0x000001,
  border: 0x14213d,
  titleActive: 0x2a6f97,
  titlePassive: 0x6c757d,
  titleText: 0xffffff,
  paper: 0xf8f9fa,
  ink: 0x212529,
  terminal: 0x10141a,
  terminalText: 0xa8e6a1,
  clock: 0xfff3b0,
  click: 0xe63946,
} as const;

type WindowName = 'terminal' | 'clock' | 'notes';

interface SceneWindow {
  name: WindowName;
  title: string;
  area: Area;
}

const NOTES = [
  'A desktop made for tests.',
  'It speaks RDP over TLS',
  'and draws bitmaps only.',
  'Click a window to raise it.',
];

/** How a length of a desktop is shared out, at least `least` pixels. */
function share(whole: number, part: number, least: number): number {
  return Math.max(least, Math.round(whole * part));
}

function layout(width: number, height: number): SceneWindow[] {
  const at = (left: number, top: number, w: number, h: number): Area => ({
    left: Math.round(width * left),
    top: Math.round(height * top),
    width: share(width, w, 120),
    height: share(height, h, 80),
  });
  return [
    { name: 'notes', title: 'Notes', area: at(0.5, 0.5, 0.42, 0.36) },
    { name: 'clock', title: 'Clock', area: at(0.66, 0.08, 0.28, 0.22) },
    { name: 'terminal', title: 'Terminal', area: at(0.06, 0.12, 0.56, 0.6) },
  ];
}

export class Scene {
  readonly area: Area;
  /** Bottom to top; the last is active. */
  readonly #windows: SceneWindow[];
  readonly #lines: string[] = ['type here, Enter sends a line'];
  #typed = '';
  #time = '--:--:--';
  #click: { x: number; y: number } | null = null;

  constructor(width: number, height: number) {
    this.area = { left: 0, top: 0, width, height };
    this.#windows = layout(width, height);
  }

  /** What is typed and not sent yet. */
  get typed(): string {
    return this.#typed;
  }

  /** Window titles from top to bottom. */
  get stack(): string[] {
    return this.#windows.map((window) => window.title).reverse();
  }

  #window(name: WindowName): SceneWindow {
    return this.#windows.find((window) => window.name === name)!;
  }

  /** Shows the time; the area that changed, or null. */
  tick(time: string): Area | null {
    if (time === this.#time) return null;
    this.#time = time;
    return body(this.#window('clock').area);
  }

  /** Types a character (newline sends the line, backspace takes one back): the changed area and a line that was sent. */
  type(character: string): { changed: Area; line?: string } {
    const changed = body(this.#window('terminal').area);
    if (character === '\b') {
      this.#typed = this.#typed.slice(0, -1);
      return { changed: this.#inputLine() };
    }
    if (character === '\n') {
      const line = this.#typed;
      this.#typed = '';
      this.#lines.push(`GOT:${line}`);
      if (this.#lines.length > LINES_MAX) this.#lines.shift();
      return { changed, line };
    }
    if (this.#typed.length < LINE_CHARACTERS_MAX) this.#typed += character;
    return { changed: this.#inputLine() };
  }

  /** Marks the place and raises the window under it: the areas that changed. */
  click(x: number, y: number): Area[] {
    const changed = [mark(x, y)];
    if (this.#click) changed.push(mark(this.#click.x, this.#click.y));
    this.#click = { x, y };
    const found = this.#windows.findLastIndex((window) => contains(window.area, x, y));
    if (found < 0 || found === this.#windows.length - 1) return changed;
    const before = this.#windows.at(-1)!;
    this.#windows.push(...this.#windows.splice(found, 1));
    return [...changed, before.area, this.#windows.at(-1)!.area];
  }

  /** The area's picture. */
  paint(area: Area): Canvas {
    const canvas = new Canvas(area);
    this.#paintWallpaper(canvas);
    this.#windows.forEach((window, i) => {
      if (overlap(window.area, area)) this.#paintWindow(canvas, window, i === this.#windows.length - 1);
    });
    if (this.#click) canvas.fill(mark(this.#click.x, this.#click.y), COLOR.click);
    return canvas;
  }

  #paintWallpaper(canvas: Canvas): void {
    const band = 16;
    for (let top = 0; top < this.area.height; top += band)
      canvas.fill({ left: 0, top, width: this.area.width, height: band }, COLOR.skyTop + (top >> 4) * COLOR.skyStep);
  }

  #paintWindow(canvas: Canvas, window: SceneWindow, isActive: boolean): void {
    const { area } = window;
    canvas.fill(area, COLOR.border);
    const title = { left: area.left + 1, top: area.top + 1, width: area.width - 2, height: TITLE_HEIGHT };
    canvas.fill(title, isActive ? COLOR.titleActive : COLOR.titlePassive);
    canvas.text(title.left + MARGIN, title.top + 5, window.title, COLOR.titleText, TEXT_SCALE);
    const inner = body(area);
    if (window.name === 'terminal') this.#paintTerminal(canvas, inner);
    if (window.name === 'clock') this.#paintClock(canvas, inner);
    if (window.name === 'notes') this.#paintNotes(canvas, inner);
  }

  #paintTerminal(canvas: Canvas, inner: Area): void {
    canvas.fill(inner, COLOR.terminal);
    const rows = Math.max(1, Math.floor((inner.height - 2 * MARGIN) / LINE_HEIGHT) - 1);
    const columns = this.#columns(inner);
    const shown = this.#lines.slice(-rows);
    shown.forEach((line, i) => {
      canvas.text(
        inner.left + MARGIN,
        inner.top + MARGIN + i * LINE_HEIGHT,
        line.slice(0, columns),
        COLOR.terminalText,
        2,
      );
    });
    const input = this.#inputLine();
    canvas.text(input.left + MARGIN, input.top + 2, `>${this.#typed.slice(-(columns - 2))}_`, COLOR.paper, TEXT_SCALE);
  }

  #columns(inner: Area): number {
    return Math.max(3, Math.floor((inner.width - 2 * MARGIN) / (GLYPH_ADVANCE * TEXT_SCALE)));
  }

  /** Where the line being typed stands: the terminal's last. */
  #inputLine(): Area {
    const inner = body(this.#window('terminal').area);
    return {
      left: inner.left,
      top: inner.top + inner.height - LINE_HEIGHT - 2,
      width: inner.width,
      height: LINE_HEIGHT,
    };
  }

  #paintClock(canvas: Canvas, inner: Area): void {
    canvas.fill(inner, COLOR.clock);
    const scale = Math.max(2, Math.floor((inner.width - 2 * MARGIN) / (this.#time.length * GLYPH_ADVANCE)));
    canvas.text(inner.left + MARGIN, inner.top + MARGIN, this.#time, COLOR.ink, scale);
  }

  #paintNotes(canvas: Canvas, inner: Area): void {
    canvas.fill(inner, COLOR.paper);
    NOTES.forEach((line, i) => {
      canvas.text(inner.left + MARGIN, inner.top + MARGIN + i * LINE_HEIGHT, line, COLOR.ink, TEXT_SCALE);
    });
  }
}

/** What is inside a window's border, below its title. */
function body(area: Area): Area {
  return {
    left: area.left + 1,
    top: area.top + 1 + TITLE_HEIGHT,
    width: area.width - 2,
    height: area.height - 2 - TITLE_HEIGHT,
  };
}

function mark(x: number, y: number): Area {
  return { left: x - 3, top: y - 3, width: 7, height: 7 };
}
