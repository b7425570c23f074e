import {
  assumedLayout,
  composed,
  deadKeyAlone,
  isDeadKey,
  type KeyboardLayout,
  keyboardLayoutOf,
} from '@lucid-sessions/rdp/keyboard';
import type { Happening, KeepPolicy } from './events.ts';
import { keyName, modifierNames, numberBlockName } from './key-names.ts';
import { TypedLine, type TypedLineSnapshot } from './typed-line.ts';

const HELD_MAX = 16;
const LEFT_CTRL = 0x1d;
const ALT_GR = 0x138;
const NUM_LOCK = 0x45;
const REPLACEMENT = '\ufffd';

/** A key event: `extended` and `extended1` are the prefixes E0 and E1 of scan codes of set 1. */
export interface KeyInput {
  scanCode: number;
  extended: boolean;
  extended1: boolean;
  down: boolean;
}

export interface TypingSnapshot {
  readonly keyboard: { readonly klid: number; readonly type: number } | null;
  /** Modifiers that are down, by scan code: left and right ones are two keys. */
  readonly held: readonly number[];
  readonly capsLock: boolean;
  readonly numLock: boolean | null;
  readonly pausing: boolean;
  readonly dead: string;
  readonly pendingUnit: number;
  readonly afterReturn: boolean;
  readonly line: TypedLineSnapshot | null;
}

type Emit = (timeUs: number, happening: Happening) => void;

/**
 * Keys to lines as a person would read them: Backspace takes back, Enter ends a line, keys that type nothing are named in
 * brackets, keys pressed together become a combination. Scan codes are read by the layout the client names; where that is not known
 * here they are named. Unicode events say what they type.
 */
export class Typing {
  readonly #policy: KeepPolicy;
  readonly #emit: Emit;
  #keyboard: { klid: number; type: number } | null = null;
  #layout: KeyboardLayout | null = assumedLayout;
  readonly #held = new Set<number>();
  #capsLock = false;
  #numLock: boolean | null = null;
  /** E1 1D came: with 45 it is Pause. */
  #pausing = false;
  #dead = '';
  /** First half of a character that takes two Unicode events. */
  #pendingUnit = 0;
  #afterReturn = false;
  #line: TypedLine | null = null;
  /** Nobody is known to have logged on. */
  atLogon = true;

  constructor(policy: KeepPolicy, emit: Emit) {
    this.#policy = policy;
    this.#emit = emit;
  }

  snapshot(): TypingSnapshot {
    return {
      keyboard: this.#keyboard && { ...this.#keyboard },
      held: [...this.#held],
      capsLock: this.#capsLock,
      numLock: this.#numLock,
      pausing: this.#pausing,
      dead: this.#dead,
      pendingUnit: this.#pendingUnit,
      afterReturn: this.#afterReturn,
      line: this.#line?.snapshot() ?? null,
    };
  }

  restore(snapshot: TypingSnapshot): void {
    this.keyboard(snapshot.keyboard?.klid ?? 0, snapshot.keyboard?.type);
    this.#keyboard = snapshot.keyboard && { ...snapshot.keyboard };
    this.#held.clear();
    for (const code of snapshot.held) this.#held.add(code);
    this.#capsLock = snapshot.capsLock;
    this.#numLock = snapshot.numLock;
    this.#pausing = snapshot.pausing;
    this.#dead = snapshot.dead;
    this.#pendingUnit = snapshot.pendingUnit;
    this.#afterReturn = snapshot.afterReturn;
    this.#line = snapshot.line && TypedLine.from(snapshot.line);
  }

  /** The client's keyboard, as Client Core Data names it; 0 names none. */
  keyboard(klid: number, type = this.#keyboard?.type ?? 4): void {
    this.#keyboard = { klid, type };
    this.#layout = klid === 0 ? assumedLayout : keyboardLayoutOf(klid, type);
  }

  /** A synchronize event: every key is up. */
  locks(capsLock: boolean, numLock: boolean): void {
    this.#capsLock = capsLock;
    this.#numLock = numLock;
    this.#held.clear();
    this.#pausing = false;
  }

  /** A UTF-16 code unit of a Unicode event. */
  unicode(timeUs: number, unit: number): void {
    const first = this.#pendingUnit;
    this.#pendingUnit = 0;
    const isLow = unit >= 0xdc00 && unit < 0xe000;
    if (first !== 0 && isLow) this.#character(timeUs, String.fromCharCode(first, unit));
    else {
      if (first !== 0) this.#character(timeUs, REPLACEMENT);
      if (unit >= 0xd800 && unit < 0xdc00) this.#pendingUnit = unit;
      else this.#character(timeUs, isLow ? REPLACEMENT : String.fromCharCode(unit));
    }
  }

  key(timeUs: number, { scanCode, extended, extended1, down }: KeyInput): void {
    const pausing = this.#pausing;
    this.#pausing = extended1 && scanCode === LEFT_CTRL && down;
    if (extended1 && scanCode === LEFT_CTRL) return;
    // Shifts that keyboards put around keys of their own.
    if (extended && (scanCode === 0x2a || scanCode === 0x36)) return;
    if (scanCode === NUM_LOCK && !extended && (pausing || extended1)) {
      if (down) this.#named(timeUs, 'Pause');
      return;
    }
    const code = extended ? scanCode | 0x100 : scanCode;
    const name = extended1 ? `key e1 ${scanCode.toString(16)}` : keyName(scanCode, extended);
    if (modifierNames.has(name)) this.#modifier(code, name, down);
    else if (down) this.#down(timeUs, code, name);
  }

  /** Nothing is known to follow: what is being typed is a line. */
  end(entered = false): void {
    const line = this.#line;
    if (line === null) return;
    if (this.#dead !== '') line.append(deadKeyAlone(this.#dead));
    this.#dead = '';
    this.#line = null;
    if (this.#policy === 'none') return;
    const { timeUs, happening } = line.event(entered, this.#policy === 'full', this.atLogon);
    this.#emit(timeUs, happening);
  }

  /** Ends a line that has paused. */
  tick(timeUs: number): void {
    if (this.#line?.hasPausedAt(timeUs)) this.end();
  }

  /** Keys repeat while they are held: only the first counts for those that lock. */
  #modifier(code: number, name: string, down: boolean): void {
    const repeated = this.#held.has(code);
    if (!down) this.#held.delete(code);
    else if (this.#held.size < HELD_MAX) this.#held.add(code);
    if (!down || repeated) return;
    if (name === 'Caps Lock') this.#capsLock = !this.#capsLock;
    if (name === 'Num Lock') this.#numLock = this.#numLock === null ? null : !this.#numLock;
  }

  get #shift(): boolean {
    return this.#held.has(0x2a) || this.#held.has(0x36);
  }

  get #altGr(): boolean {
    return this.#held.has(ALT_GR);
  }

  /** Names of what is held, without Shift and AltGr. Windows sends left Ctrl with AltGr. */
  #together(): string[] {
    const names = new Set<string>();
    for (const code of this.#held) {
      if (code === ALT_GR || (code === LEFT_CTRL && this.#altGr)) continue;
      const name = keyName(code & 0xff, code > 0xff);
      if (name === 'Ctrl' || name === 'Alt' || name === 'Win') names.add(name);
    }
    return [...names];
  }

  #down(timeUs: number, code: number, name: string): void {
    const typed = this.#layout?.keys.get(code);
    const together = this.#together();
    // Left Ctrl and Alt together are AltGr to Windows, where the layout has something there.
    const asAltGr = together.length === 2 && together.includes('Ctrl') && together.includes('Alt') && !this.#altGr;
    const onAltGr = typed && this.#layout?.altGr.get(typed[0]);
    if (asAltGr && onAltGr !== undefined) this.#typed(timeUs, this.#raised(onAltGr));
    else if (together.length > 0) this.#combination(timeUs, [...together, ...this.#quiet(), labelOf(typed, name)]);
    else if (name === 'Space') this.#typed(timeUs, ' ');
    else if (!this.#altGr) this.#press(timeUs, code, name, typed);
    else if (onAltGr !== undefined) this.#typed(timeUs, this.#raised(onAltGr));
    else if (typed || isCharacterKey(name)) this.#named(timeUs, [...this.#quiet(), labelOf(typed, name)].join('+'));
    else this.#combination(timeUs, [...this.#quiet(), name]);
  }

  /** Modifiers that alone make no combination. */
  #quiet(): string[] {
    return [...(this.#altGr ? ['AltGr'] : []), ...(this.#shift ? ['Shift'] : [])];
  }

  #raised(character: string): string {
    return this.#shift !== this.#capsLock ? character.toUpperCase() : character;
  }

  #press(timeUs: number, code: number, name: string, typed: readonly [string, string] | undefined): void {
    const block = numberBlockName(code);
    if (block !== null) this.#numberBlock(timeUs, name, block);
    else if (typed) this.#byLayout(timeUs, name, typed);
    else if (name === '⏎') this.#enter(timeUs);
    else if (name === '⌫') this.#erase(timeUs);
    else if (name === 'Tab') this.#typed(timeUs, '\t');
    else if (/^Num [*/]$/.test(name)) this.#typed(timeUs, name.slice(4));
    else this.#named(timeUs, name, this.#layout === null && isCharacterKey(name));
  }

  #byLayout(timeUs: number, name: string, [plain, shifted]: readonly [string, string]): void {
    const { shiftLock, composes } = this.#layout!;
    const isLetter = plain !== shifted && plain.toUpperCase() === shifted;
    const isShifted = this.#capsLock && (isLetter || shiftLock) ? !this.#shift : this.#shift;
    const character = isShifted ? shifted : plain;
    if (character === '') this.#named(timeUs, name);
    else this.#typed(timeUs, character, composes || (this.#capsLock && !isLetter));
  }

  /** With Num Lock it types, with Num Lock and Shift or without it moves. */
  #numberBlock(timeUs: number, name: string, moving: string): void {
    const what = name.slice(4);
    if (what === '-' || what === '+') this.#typed(timeUs, what);
    else if (this.#numLock === false || this.#shift) this.#named(timeUs, moving);
    else this.#typed(timeUs, what === '.' ? (this.#layout?.decimal ?? '.') : what, this.#numLock === null);
  }

  #character(timeUs: number, character: string): void {
    const afterReturn = this.#afterReturn;
    this.#afterReturn = character === '\r';
    const code = character.charCodeAt(0);
    const together = this.#altGr ? [] : this.#together();
    const asAltGr = together.includes('Ctrl') && together.includes('Alt');
    if (character === '\n' && afterReturn) return;
    if (character === '\b') this.#erase(timeUs);
    else if (character === '\r' || character === '\n') this.#enter(timeUs);
    else if (character === '\x7f') this.#named(timeUs, 'Delete');
    else if (character === '\x1b') this.#named(timeUs, 'Esc');
    else if (character === '\t') this.#typed(timeUs, '\t');
    else if (together.length > 0 && !asAltGr) this.#combination(timeUs, [...together, character.toUpperCase()]);
    else if (code >= 1 && code <= 26) this.#combination(timeUs, ['Ctrl', String.fromCharCode(64 + code)]);
    else if (code < 0x20) this.#named(timeUs, `U+00${code.toString(16).padStart(2, '0')}`);
    else {
      // It is what it is: no dead key, and none makes it another.
      this.#write(timeUs, this.#dead === '' ? character : deadKeyAlone(this.#dead) + character, false, character);
      this.#dead = '';
    }
  }

  #combination(timeUs: number, names: string[]): void {
    this.end();
    if (this.#policy === 'none') return;
    this.#emit(timeUs, { kind: 'combination', keys: this.#policy === 'full' ? names.join('+') : null });
  }

  #enter(timeUs: number): void {
    this.#into(timeUs, '').press(timeUs, '', false, false);
    this.end(true);
  }

  #erase(timeUs: number): void {
    const line = this.#into(timeUs, '');
    if (this.#dead === '') line.erase(timeUs);
    else line.press(timeUs, '', false, false);
    this.#dead = '';
  }

  #named(timeUs: number, name: string, approximate = false): void {
    this.#into(timeUs, `[${name}]`).press(timeUs, `[${name}]`, true, approximate);
  }

  /** What a key of the layout types, dead keys included. */
  #typed(timeUs: number, character: string, approximate = false): void {
    const waits = this.#dead === '' && isDeadKey(character);
    const alone = isDeadKey(character) ? deadKeyAlone(character) : character;
    if (waits) this.#write(timeUs, '', approximate);
    else this.#write(timeUs, this.#dead === '' ? character : composed(this.#dead, character), approximate, alone);
    this.#dead = waits ? character : '';
  }

  /** `alone`: the character without the preceding accent, for the case that the line which began with the accent has ended. */
  #write(timeUs: number, text: string, approximate: boolean, alone = text): void {
    const dead = this.#dead;
    const line = this.#into(timeUs, text);
    line.press(timeUs, this.#dead === dead ? text : alone, false, approximate);
  }

  /** The line that goes on, or a new one. */
  #into(timeUs: number, text: string): TypedLine {
    this.tick(timeUs);
    if (this.#line !== null && !this.#line.hasRoomFor(text)) this.end();
    this.#line ??= new TypedLine(timeUs);
    return this.#line;
  }
}

/** Keys that type something on every layout. */
const isCharacterKey = (name: string): boolean => name.length === 1 && !'⏎⌫←↑→↓'.includes(name);

const labelOf = (typed: readonly [string, string] | undefined, name: string): string =>
  typed === undefined || typed[0] === '' || isDeadKey(typed[0]) ? name : typed[0].toUpperCase();
