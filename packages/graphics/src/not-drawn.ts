import { intersect, isEmpty, type Rectangle } from './pixels.ts';

/** The screen is divided into so many columns and rows of equal cells, one bit each: a share is exact to a cell's width. */
const gridSide = 32;
const cellsCount = gridSide * gridSide;
/** Different kinds counted; a peer could otherwise fill the map with names. Further kinds count as 'other'. */
const kindsMax = 128;

/** One kind of what was not drawn. Times are those of the PDUs that asked for it. */
export interface NotDrawnKind {
  readonly kind: string;
  readonly count: number;
  readonly firstUs: number;
  readonly lastUs: number;
  /** How many of them said where on the screen. */
  readonly located: number;
  /** Cells of the screen any of those touched, in thousandths of the screen; 0 where none said where. */
  readonly sharePermille: number;
}

/** Kind, count, first, last, located, and the cells: one number a row where any are known. */
export type NotDrawnSnapshot = readonly (readonly [string, number, number, number, number, readonly number[]])[];

interface Entry {
  count: number;
  firstUs: number;
  lastUs: number;
  located: number;
  readonly cells: Uint32Array;
}

/** What of a recording could not be drawn: how often, when, and on how much of the screen. The same however a recording is cut. */
export class NotDrawn {
  readonly #kinds = new Map<string, Entry>();
  #total = 0;

  /** Of all kinds together. */
  get total(): number {
    return this.#total;
  }

  get counts(): Map<string, number> {
    return new Map([...this.#kinds].map(([kind, { count }]) => [kind, count]));
  }

  /** `area` in the coordinates of the screen, null where it is not known. */
  add(name: string, timeUs: number, area: Rectangle | null, screen: { width: number; height: number }): void {
    const kind = this.#kinds.has(name) || this.#kinds.size < kindsMax ? name : 'other';
    const entry = this.#kinds.get(kind) ?? newEntry(timeUs);
    this.#kinds.set(kind, entry);
    entry.count += 1;
    this.#total += 1;
    entry.firstUs = Math.min(entry.firstUs, timeUs);
    entry.lastUs = Math.max(entry.lastUs, timeUs);
    if (area !== null && markCells(entry.cells, area, screen.width, screen.height)) entry.located += 1;
  }

  kinds(): NotDrawnKind[] {
    return [...this.#kinds].map(([kind, { cells, ...entry }]) => ({ kind, ...entry, sharePermille: shareOf(cells) }));
  }

  /** Of all kinds but `except` together. */
  sharePermille(except?: string): number {
    const all = new Uint32Array(gridSide);
    for (const [kind, { cells }] of this.#kinds)
      if (kind !== except) for (let row = 0; row < gridSide; row += 1) all[row] = all[row]! | cells[row]!;
    return shareOf(all);
  }

  snapshot(): NotDrawnSnapshot {
    return [...this.#kinds].map(([kind, { count, firstUs, lastUs, located, cells }]) => {
      const rows = located === 0 ? [] : [...cells];
      return [kind, count, firstUs, lastUs, located, rows] as const;
    });
  }

  restore(snapshot: NotDrawnSnapshot): void {
    this.#kinds.clear();
    this.#total = 0;
    for (const [kind, count, firstUs, lastUs, located, rows] of snapshot.slice(0, kindsMax + 1)) {
      const cells = new Uint32Array(gridSide);
      cells.set(rows.slice(0, gridSide));
      this.#kinds.set(kind, { count, firstUs, lastUs, located, cells });
      this.#total += count;
    }
  }
}

const newEntry = (timeUs: number): Entry => ({
  count: 0,
  firstUs: timeUs,
  lastUs: timeUs,
  located: 0,
  cells: new Uint32Array(gridSide),
});

/** False where nothing of the area lies on the screen. */
function markCells(cells: Uint32Array, area: Rectangle, width: number, height: number): boolean {
  const { left, top, ...seen } = intersect(area, { left: 0, top: 0, width, height });
  if (isEmpty({ left, top, ...seen })) return false;
  const first = Math.floor((left * gridSide) / width);
  const last = Math.floor(((left + seen.width - 1) * gridSide) / width);
  let row = 0;
  for (let column = first; column <= last; column += 1) row |= 1 << column;
  const end = Math.floor(((top + seen.height - 1) * gridSide) / height);
  for (let at = Math.floor((top * gridSide) / height); at <= end; at += 1) cells[at] = (cells[at]! | row) >>> 0;
  return true;
}

/** Rounded up: what was touched at all is never told as none. */
function shareOf(cells: Uint32Array): number {
  let marked = 0;
  for (const row of cells) for (let bits = row; bits !== 0; bits &= bits - 1) marked += 1;
  return Math.ceil((marked * 1000) / cellsCount);
}
