import { GLYPH_ADVANCE, GLYPH_HEIGHT, GLYPH_WIDTH, glyphRows } from './font.ts';

export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The part two areas share, or null. */
export function overlap(a: Area, b: Area): Area | null {
  const left = Math.max(a.left, b.left);
  const top = Math.max(a.top, b.top);
  const width = Math.min(a.left + a.width, b.left + b.width) - left;
  const height = Math.min(a.top + a.height, b.top + b.height) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}

export function contains(area: Area, x: number, y: number): boolean {
  return x >= area.left && y >= area.top && x < area.left + area.width && y < area.top + area.height;
}

/** An RGBA framebuffer of one area of the desktop; drawing outside it is cut off. Colors are 0xRRGGBB. */
export class Canvas {
  readonly area: Area;
  /** Width × height × 4 bytes, top row first. */
  readonly rgba: Uint8Array;

  constructor(area: Area) {
    this.area = area;
    this.rgba = new Uint8Array(area.width * area.height * 4);
  }

  fill(target: Area, color: number): void {
    const part = overlap(target, this.area);
    if (!part) return;
    for (let y = part.top; y < part.top + part.height; y += 1)
      for (let x = part.left; x < part.left + part.width; x += 1) this.#set(x, y, color);
  }

  #set(x: number, y: number, color: number): void {
    const at = ((y - this.area.top) * this.area.width + (x - this.area.left)) * 4;
    this.rgba[at] = color >> 16;
    this.rgba[at + 1] = (color >> 8) & 0xff;
    this.rgba[at + 2] = color & 0xff;
    this.rgba[at + 3] = 0xff;
  }

  text(left: number, top: number, text: string, color: number, scale: number): void {
    const whole = { left, top, width: text.length * GLYPH_ADVANCE * scale, height: GLYPH_HEIGHT * scale };
    if (!overlap(whole, this.area)) return;
    [...text].forEach((character, i) => {
      this.#glyph(left + i * GLYPH_ADVANCE * scale, top, character, color, scale);
    });
  }

  #glyph(left: number, top: number, character: string, color: number, scale: number): void {
    glyphRows(character).forEach((bits, row) => {
      for (let column = 0; column < GLYPH_WIDTH; column += 1)
        if (bits & (0x10 >> column))
          this.fill({ left: left + column * scale, top: top + row * scale, width: scale, height: scale }, color);
    });
  }
}
