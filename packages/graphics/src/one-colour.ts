import type { PixelBuffer } from './pixels.ts';

/** Where a recording goes on while the whole screen is one colour. Seconds are those of the session. */
export interface OneColourCount {
  /** Seconds in which something went on: pictures came, the pointer moved, something was typed. */
  readonly activeSeconds: number;
  /** Of these so many ended with a screen of one colour. */
  readonly seconds: number;
  /** The time without another colour that has most of them. */
  readonly longest: { readonly fromUs: number; readonly untilUs: number; readonly seconds: number } | null;
}

/** Second, pictures, pointer x and y, input; pictures and answer of the last look; counts; the present run and the longest. */
export type OneColourSnapshot = readonly number[];

/** What is looked at. */
export interface LookedAt {
  readonly pixels: PixelBuffer;
  readonly framesCount: number;
  readonly pointer: { readonly x: number; readonly y: number };
}

interface Run {
  from: number;
  until: number;
  seconds: number;
}

const microsPerSecond = 1e6;
const noRun = -1;

/**
 * Counts how much of a recording shows one colour while something goes on: black to the last pixel is drawn without a fault, and
 * shows nothing. Looked at once for each second, so that it comes out the same however a walk is cut.
 */
export class OneColour {
  #second = 0;
  #frames = 0;
  #x = 0;
  #y = 0;
  #input = false;
  /** The answer for so many pictures, and a pixel of another colour than the first where there was one. */
  #seen = { frames: noRun, isOne: false };
  #witness = 0;
  #active = 0;
  #seconds = 0;
  #run: Run | null = null;
  #longest: Run | null = null;

  /** A second ended before this time that was not looked at: draw all that came until then, and `look`. */
  isDue(timeUs: number): boolean {
    return Math.floor(timeUs / microsPerSecond) > this.#second;
  }

  /** Somebody typed. */
  noteInput(): void {
    this.#input = true;
  }

  /** The screen as it was until `timeUs`. */
  look(screen: LookedAt, timeUs: number): void {
    const second = Math.floor(timeUs / microsPerSecond);
    const { x, y } = screen.pointer;
    const isActive = this.#input || screen.framesCount !== this.#frames || x !== this.#x || y !== this.#y;
    const isOne = this.#isOneColour(screen);
    if (isActive) this.#active += 1;
    if (isActive && isOne) this.#seconds += 1;
    if (isOne) this.#goOn(second, isActive);
    else this.#run = null;
    this.#second = second;
    this.#frames = screen.framesCount;
    this.#x = x;
    this.#y = y;
    this.#input = false;
  }

  #goOn(second: number, isActive: boolean): void {
    this.#run ??= { from: this.#second, until: second, seconds: 0 };
    this.#run.until = second;
    if (!isActive) return;
    this.#run.seconds += 1;
    if (this.#run.seconds > (this.#longest?.seconds ?? 0)) this.#longest = { ...this.#run };
  }

  /** Of the seconds that are over. */
  get count(): OneColourCount {
    const longest = this.#longest && {
      fromUs: this.#longest.from * microsPerSecond,
      untilUs: this.#longest.until * microsPerSecond,
      seconds: this.#longest.seconds,
    };
    return { activeSeconds: this.#active, seconds: this.#seconds, longest };
  }

  /** As long as no picture came the answer stays: states without pixels go on rightly too. */
  snapshot(screen: LookedAt): OneColourSnapshot {
    const isOne = this.#isOneColour(screen);
    const runs = [this.#run, this.#longest].flatMap((run) =>
      run === null ? [noRun, 0, 0] : [run.from, run.until, run.seconds],
    );
    const flags = [this.#input ? 1 : 0, screen.framesCount, isOne ? 1 : 0];
    return [this.#second, this.#frames, this.#x, this.#y, ...flags, this.#active, this.#seconds, ...runs];
  }

  /** A state from before this was counted begins anew. */
  restore(snapshot: OneColourSnapshot = []): void {
    const at = (index: number): number => snapshot[index] ?? 0;
    [this.#second, this.#frames, this.#x, this.#y] = [at(0), at(1), at(2), at(3)];
    this.#input = at(4) === 1;
    this.#seen = { frames: snapshot[5] ?? noRun, isOne: at(6) === 1 };
    [this.#active, this.#seconds] = [at(7), at(8)];
    const runAt = (index: number): Run | null =>
      (snapshot[index] ?? noRun) === noRun ? null : { from: at(index), until: at(index + 1), seconds: at(index + 2) };
    this.#run = runAt(9);
    this.#longest = runAt(12);
    this.#witness = 0;
  }

  #isOneColour(screen: LookedAt): boolean {
    const { framesCount } = screen;
    // Laying out windows is work: the picture is asked for only where it may be another.
    if (this.#seen.frames !== framesCount) this.#seen = { frames: framesCount, isOne: this.#search(screen.pixels) };
    return this.#seen.isOne;
  }

  /** Whatever the last byte says: alpha is not seen on a screen. */
  #search({ words }: PixelBuffer): boolean {
    if (words.length === 0) return false;
    const first = words[0]! & 0xffffff;
    if (this.#witness < words.length && (words[this.#witness]! & 0xffffff) !== first) return false;
    for (let at = 1; at < words.length; at += 1)
      if ((words[at]! & 0xffffff) !== first) {
        this.#witness = at;
        return false;
      }
    return true;
  }
}
