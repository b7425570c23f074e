import { DecodeError } from '@lucid-sessions/wire';
import type { OrderCaches } from './caches.ts';
import type { Brush } from './canvas.ts';

/** The brush fields of an order: [MS-RDPEGDI] 2.2.2.2.1.1.2.3. Colours are pixel words. */
export interface BrushFields {
  readonly background: number;
  readonly foreground: number;
  readonly originX: number;
  readonly originY: number;
  readonly style: number;
  readonly hatch: number;
  /** Rows seven to one of a pattern; the eighth is `hatch`. */
  readonly extra: Uint8Array;
}

const styleSolid = 0x00;
const styleNull = 0x01;
const styleHatched = 0x02;
const stylePattern = 0x03;
const styleCached = 0x80;

/** Rows of the six hatch patterns; a set bit is a line. */
const hatches: readonly (readonly number[])[] = [
  [0, 0, 0, 0xff, 0, 0, 0, 0],
  [0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08],
  [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01],
  [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80],
  [0x08, 0x08, 0x08, 0xff, 0x08, 0x08, 0x08, 0x08],
  [0x81, 0x42, 0x24, 0x18, 0x18, 0x24, 0x42, 0x81],
];

/**
 * The brush an order draws with; null for the hollow one, which draws nothing. With `transparent`, a hatch or pattern
 * leaves alone what would get the background colour. Throws `DecodeError`.
 */
export function resolveBrush(fields: BrushFields, caches: OrderCaches, transparent = false): Brush | null {
  const { style, hatch, foreground, originX, originY } = fields;
  const background = transparent ? null : fields.background;
  if (style & styleCached) {
    const cells = caches.brush(hatch).map((cell) => monochrome(cell, background, foreground));
    return { kind: 'pattern', cells, originX, originY };
  }
  switch (style) {
    case styleSolid:
      return { kind: 'solid', word: foreground };
    case styleNull:
      return null;
    case styleHatched: {
      const rows = hatches[hatch];
      if (!rows) throw new DecodeError('invalid', `hatch ${hatch} is not defined`);
      return { kind: 'pattern', cells: cellsOf(rows, foreground, background), originX, originY };
    }
    case stylePattern: {
      // As in GDI, a pattern's set bits get the background colour and its clear bits the foreground.
      const rows = [6, 5, 4, 3, 2, 1, 0].map((index) => fields.extra[index]!);
      return { kind: 'pattern', cells: cellsOf([...rows, hatch], background, foreground), originX, originY };
    }
    default:
      throw new DecodeError('invalid', `brush style ${style} is not defined`);
  }
}

function cellsOf(rows: readonly number[], set: number | null, clear: number | null): (number | null)[] {
  return rows.flatMap((row) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((row >> bit) & 1 ? set : clear)));
}

/** Cells of monochrome cached brushes are −1 and 0 until an order gives them colours. */
function monochrome(cell: number, background: number | null, foreground: number): number | null {
  if (cell === -1) return background;
  return cell === 0 ? foreground : cell;
}
