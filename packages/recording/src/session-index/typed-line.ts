import type { Happening } from './events.ts';

/** Typing that pauses longer than this, or grows longer, begins a new line. */
const LINE_PAUSE_US = 5_000_000;
const LINE_CHARACTERS_MAX = 512;

interface Piece {
  text: string;
  /** A key that types nothing, in brackets. */
  named: boolean;
}

export interface TypedLineSnapshot {
  readonly timeUs: number;
  readonly untilUs: number;
  readonly pieces: readonly Piece[];
  readonly keys: number;
  readonly erased: number;
  readonly approximate: boolean;
}

/** What is being typed, until it is ended or pauses. */
export class TypedLine {
  readonly #timeUs: number;
  #untilUs: number;
  #pieces: Piece[] = [];
  #length = 0;
  #keys = 0;
  #erased = 0;
  #approximate = false;

  constructor(timeUs: number) {
    this.#timeUs = timeUs;
    this.#untilUs = timeUs;
  }

  static from(snapshot: TypedLineSnapshot): TypedLine {
    const line = new TypedLine(snapshot.timeUs);
    line.#untilUs = snapshot.untilUs;
    line.#pieces = snapshot.pieces.map((piece) => ({ ...piece }));
    line.#length = snapshot.pieces.reduce((sum, { text }) => sum + text.length, 0);
    line.#keys = snapshot.keys;
    line.#erased = snapshot.erased;
    line.#approximate = snapshot.approximate;
    return line;
  }

  snapshot(): TypedLineSnapshot {
    return {
      timeUs: this.#timeUs,
      untilUs: this.#untilUs,
      pieces: this.#pieces.map((piece) => ({ ...piece })),
      keys: this.#keys,
      erased: this.#erased,
      approximate: this.#approximate,
    };
  }

  /** Time and contents of the event; `text` is what policy allows. */
  event(
    entered: boolean,
    withText: boolean,
    atLogon: boolean,
  ): { timeUs: number; happening: Extract<Happening, { kind: 'typed' }> } {
    const text = withText ? this.#pieces.map((piece) => piece.text).join('') : null;
    const { untilUs, keys, erased, approximate } = this.snapshot();
    return {
      timeUs: this.#timeUs,
      happening: { kind: 'typed', untilUs, text, keys, erased, entered, approximate, atLogon },
    };
  }

  hasPausedAt(timeUs: number): boolean {
    return timeUs - this.#untilUs > LINE_PAUSE_US;
  }

  hasRoomFor(text: string): boolean {
    return this.#length + text.length <= LINE_CHARACTERS_MAX && this.#pieces.length < LINE_CHARACTERS_MAX;
  }

  /** A key went down that types `text`; '' nothing (yet). */
  press(timeUs: number, text: string, named: boolean, approximate: boolean): void {
    this.#keys += 1;
    this.#untilUs = timeUs;
    this.#approximate ||= approximate;
    if (text === '') return;
    this.#pieces.push({ text, named });
    this.#length += text.length;
  }

  /** Something typed that took no key of its own: an accent nothing came behind. */
  append(text: string): void {
    this.#pieces.push({ text, named: false });
    this.#length += text.length;
  }

  /** Backspace: takes back a character; behind a key that moved the cursor it can't be told which. */
  erase(timeUs: number): void {
    const last = this.#pieces.at(-1);
    this.press(timeUs, last?.named ? '[⌫]' : '', true, false);
    this.#erased += 1;
    if (last === undefined || last.named) return;
    this.#pieces.pop();
    this.#length -= last.text.length;
  }
}
