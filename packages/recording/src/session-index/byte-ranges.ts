/** Ranges that lie apart from each other: what is more is not followed. */
const RANGES_MAX = 1024;

export type ByteRangesSnapshot = readonly (readonly [number, number])[] | null;

/** Which bytes of a file went over: ranges in order, none touching the next. */
export class ByteRanges {
  #ranges: [number, number][] = [];
  #known = true;

  static from(snapshot: ByteRangesSnapshot): ByteRanges {
    const ranges = new ByteRanges();
    ranges.#known = snapshot !== null;
    ranges.#ranges = (snapshot ?? []).map(([start, end]) => [start, end]);
    return ranges;
  }

  snapshot(): ByteRangesSnapshot {
    return this.#known ? this.#ranges.map(([start, end]) => [start, end] as const) : null;
  }

  /** Bytes in all ranges; null when there were too many ranges to know. */
  get total(): number | null {
    return this.#known ? this.#ranges.reduce((sum, [start, end]) => sum + end - start, 0) : null;
  }

  get first(): number {
    return this.#ranges[0]?.[0] ?? 0;
  }

  get end(): number {
    return this.#ranges.at(-1)?.[1] ?? 0;
  }

  /** End of the range that `at` lies in or touches; `at` where it lies in none. */
  endFrom(at: number): number {
    return this.#ranges.find(([start, end]) => start <= at && at <= end)?.[1] ?? at;
  }

  /** Exactly the bytes from 0 to `end`. */
  isAll(end: number): boolean {
    if (!this.#known) return false;
    if (end === 0) return this.#ranges.length === 0;
    return this.#ranges.length === 1 && this.#ranges[0]![0] === 0 && this.#ranges[0]![1] === end;
  }

  /** Calls back with each part of a range that was there before. */
  eachKnown(start: number, end: number, onPart: (from: number, to: number) => void): void {
    for (const range of this.#ranges)
      if (range[0] < end && range[1] > start) onPart(Math.max(start, range[0]), Math.min(end, range[1]));
  }

  add(start: number, end: number): void {
    if (!this.#known || end <= start) return;
    const last = this.#ranges.at(-1);
    if (last !== undefined && start === last[1]) {
      last[1] = end;
      return;
    }
    const before = this.#ranges.filter((range) => range[1] < start);
    const behind = this.#ranges.filter((range) => range[0] > end);
    const touched = this.#ranges.slice(before.length, this.#ranges.length - behind.length);
    const from = Math.min(start, touched[0]?.[0] ?? start);
    const to = Math.max(end, touched.at(-1)?.[1] ?? end);
    this.#ranges = [...before, [from, to], ...behind];
    if (this.#ranges.length <= RANGES_MAX) return;
    this.#known = false;
    this.#ranges = [];
  }

  /** The file was cut: nothing lies behind `end`. */
  cut(end: number): void {
    this.#ranges = this.#ranges.filter(([start]) => start < end);
    const last = this.#ranges.at(-1);
    if (last !== undefined) last[1] = Math.min(last[1], end);
  }
}
