import type { Happening, KeepPolicy } from './events.ts';
import { type KeyName, keyName, modifierNames } from './key-names.ts';

/** Typing that pauses longer than this, or grows longer, begins a new line. */
const LINE_PAUSE_US = 5_000_000;
const LINE_CHARACTERS_MAX = 512;
const HELD_MAX = 16;

export interface TypingSnapshot {
  readonly shift: boolean;
  readonly capsLock: boolean;
  readonly held: readonly string[];
  readonly line: Line | null;
}

interface Line {
  timeUs: number;
  untilUs: number;
  text: string;
  keys: number;
  erased: number;
}

type Emit = (timeUs: number, happening: Happening) => void;

/**
 * Keys to lines as a person would read them: Backspace takes back, Enter ends a line, keys that type nothing are named in
 * brackets, keys pressed together become a combination. Scan codes are read as a US keyboard's; Unicode events say what
 * they type.
 */
export class Typing {
  readonly #policy: KeepPolicy;
  readonly #emit: Emit;
  readonly #held = new Set<string>();
  #shift = false;
  #capsLock = false;
  #line: Line | null = null;
  /** The client's keyboard is not the one scan codes are read for. */
  approximate = false;

  constructor(policy: KeepPolicy, emit: Emit) {
    this.#policy = policy;
    this.#emit = emit;
  }

  snapshot(): TypingSnapshot {
    return {
      shift: this.#shift,
      capsLock: this.#capsLock,
      held: [...this.#held],
      line: this.#line && { ...this.#line },
    };
  }

  restore(snapshot: TypingSnapshot): void {
    this.#shift = snapshot.shift;
    this.#capsLock = snapshot.capsLock;
    this.#held.clear();
    for (const name of snapshot.held) this.#held.add(name);
    this.#line = snapshot.line && { ...snapshot.line };
  }

  locks(capsLock: boolean): void {
    this.#capsLock = capsLock;
    this.#shift = false;
    this.#held.clear();
  }

  character(timeUs: number, character: string): void {
    this.#type(timeUs, character);
  }

  key(timeUs: number, scanCode: number, extended: boolean, down: boolean): void {
    const key = keyName(scanCode, extended);
    if (modifierNames.has(key.name)) {
      this.#modifier(key.name, down);
      return;
    }
    if (!down) return;
    const together = [...this.#held].filter((name) => name !== 'AltGr');
    if (together.length > 0) this.#combination(timeUs, [...together, ...(this.#shift ? ['Shift'] : []), key.name]);
    else this.#press(timeUs, key);
  }

  /** Nothing is known to follow: what is being typed is a line. */
  end(entered = false): void {
    const line = this.#line;
    this.#line = null;
    if (line === null || this.#policy === 'none') return;
    const { timeUs, text, ...rest } = line;
    const kept = this.#policy === 'full' ? text : null;
    this.#emit(timeUs, { kind: 'typed', ...rest, text: kept, entered, approximate: this.approximate });
  }

  /** Ends a line that has paused. */
  tick(timeUs: number): void {
    if (this.#line !== null && timeUs - this.#line.untilUs > LINE_PAUSE_US) this.end();
  }

  #modifier(name: string, down: boolean): void {
    if (name === 'Caps Lock') this.#capsLock = down ? !this.#capsLock : this.#capsLock;
    else if (name === 'Shift') this.#shift = down;
    else if (!down) this.#held.delete(name);
    else if (this.#held.size < HELD_MAX) this.#held.add(name);
  }

  #combination(timeUs: number, names: string[]): void {
    this.end();
    if (this.#policy === 'none') return;
    this.#emit(timeUs, { kind: 'combination', keys: this.#policy === 'full' ? names.join('+') : null });
  }

  #press(timeUs: number, key: KeyName): void {
    if (key.plain !== undefined && key.shifted !== undefined) {
      const isLetter = /^[a-z]$/.test(key.plain);
      const isShifted = isLetter ? this.#shift !== this.#capsLock : this.#shift;
      this.#type(timeUs, isShifted ? key.shifted : key.plain);
    } else if (key.name === '⏎') {
      this.#type(timeUs, '');
      this.end(true);
    } else if (key.name === '⌫') this.#erase(timeUs);
    else if (key.name === 'Tab') this.#type(timeUs, '\t');
    else if (/^Num [\d./]$/.test(key.name)) this.#type(timeUs, key.name.slice(4));
    else this.#type(timeUs, key.name.length === 1 && key.name === '*' ? '*' : `[${key.name}]`);
  }

  #erase(timeUs: number): void {
    const line = this.#type(timeUs, '');
    line.text = line.text.replace(/(?:\[[^\]]*\]|[\s\S])$/u, '');
    line.erased += 1;
  }

  #type(timeUs: number, text: string): Line {
    this.tick(timeUs);
    if (this.#line !== null && this.#line.text.length + text.length > LINE_CHARACTERS_MAX) this.end();
    this.#line ??= { timeUs, untilUs: timeUs, text: '', keys: 0, erased: 0 };
    this.#line.text += text;
    this.#line.keys += 1;
    this.#line.untilUs = timeUs;
    return this.#line;
  }
}
