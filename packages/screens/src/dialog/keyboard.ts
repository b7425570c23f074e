import { type FastPathInputEvent, FastPathKeyFlag, ToggleFlag } from '@lucid-sessions/rdp';
import {
  assumedLayout,
  composed,
  deadKeyAlone,
  isDeadKey,
  type KeyboardLayout,
  keyboardLayoutOf,
} from '@lucid-sessions/rdp/keyboard';

export type KeyName =
  | 'enter'
  | 'escape'
  | 'tab'
  | 'backspace'
  | 'delete'
  | 'left'
  | 'right'
  | 'home'
  | 'end'
  | 'up'
  | 'down'
  | 'pageUp'
  | 'pageDown';

/** What a key did. */
export type KeyStroke = { kind: 'text'; text: string } | { kind: 'key'; key: KeyName; shift: boolean };

/** Scan codes of set 1; those with the prefix E0 have 0x100 added. */
const named: Readonly<Record<number, KeyName>> = {
  1: 'escape',
  14: 'backspace',
  15: 'tab',
  28: 'enter',
  284: 'enter',
  327: 'home',
  328: 'up',
  329: 'pageUp',
  331: 'left',
  333: 'right',
  335: 'end',
  336: 'down',
  337: 'pageDown',
  339: 'delete',
};
/** The number block: what it types, and the key it is without Num Lock. */
const block: Readonly<Record<number, readonly [string, KeyName | null]>> = {
  71: ['7', 'home'],
  72: ['8', 'up'],
  73: ['9', 'pageUp'],
  75: ['4', 'left'],
  76: ['5', null],
  77: ['6', 'right'],
  79: ['1', 'end'],
  80: ['2', 'down'],
  81: ['3', 'pageDown'],
  82: ['0', null],
  83: ['.', 'delete'],
};
const signs: Readonly<Record<number, string>> = { 55: '*', 74: '-', 78: '+', 309: '/', 57: ' ' };
const controls: Readonly<Record<number, KeyName>> = {
  8: 'backspace',
  9: 'tab',
  10: 'enter',
  13: 'enter',
  27: 'escape',
  127: 'delete',
};

const LEFT_SHIFT = 0x2a;
const RIGHT_SHIFT = 0x36;
const LEFT_CTRL = 0x1d;
const RIGHT_CTRL = 0x11d;
const ALT = 0x38;
const ALT_GR = 0x138;
const CAPS_LOCK = 0x3a;
const NUM_LOCK = 0x45;
const modifiers: ReadonlySet<number> = new Set([LEFT_SHIFT, RIGHT_SHIFT, LEFT_CTRL, RIGHT_CTRL, ALT, ALT_GR]);

/**
 * Keys as what they type on the layout the client names, or on the American one where that is not known: whoever can't type a character
 * so sees it, in a field that is not secret, and clients with a keyboard of their own send Unicode events.
 */
export class Keyboard {
  readonly #layout: KeyboardLayout;
  readonly #held = new Set<number>();
  #capsLock = false;
  #numLock = true;
  #dead = '';
  /** First half of a character that takes two Unicode events. */
  #pendingUnit = 0;

  constructor(klid: number, keyboardType: number) {
    this.#layout = keyboardLayoutOf(klid, keyboardType) ?? assumedLayout;
  }

  event(event: FastPathInputEvent): KeyStroke | null {
    switch (event.kind) {
      case 'sync':
        this.#capsLock = (event.flags & ToggleFlag.capsLock) !== 0;
        this.#numLock = (event.flags & ToggleFlag.numLock) !== 0;
        this.#held.clear();
        return null;
      case 'unicode':
        return event.flags & FastPathKeyFlag.release ? null : this.#unicode(event.unicodeCode);
      case 'scancode':
        return this.#scancode(event.keyCode, event.flags);
      default:
        return null;
    }
  }

  #scancode(keyCode: number, flags: number): KeyStroke | null {
    // Pause, and the shifts some keyboards put around keys of their own.
    if (flags & FastPathKeyFlag.extended1) return null;
    const isExtended = (flags & FastPathKeyFlag.extended) !== 0;
    if (isExtended && (keyCode === LEFT_SHIFT || keyCode === RIGHT_SHIFT)) return null;
    const code = isExtended ? keyCode | 0x100 : keyCode;
    const isDown = (flags & FastPathKeyFlag.release) === 0;
    if (modifiers.has(code)) {
      if (isDown) this.#held.add(code);
      else this.#held.delete(code);
      return null;
    }
    if (!isDown) return null;
    if (code === CAPS_LOCK) this.#capsLock = !this.#capsLock;
    if (code === NUM_LOCK) this.#numLock = !this.#numLock;
    return this.#down(code);
  }

  get #shift(): boolean {
    return this.#held.has(LEFT_SHIFT) || this.#held.has(RIGHT_SHIFT);
  }

  get #ctrl(): boolean {
    return this.#held.has(LEFT_CTRL) || this.#held.has(RIGHT_CTRL);
  }

  /** Windows takes Ctrl and Alt together for it. */
  get #altGr(): boolean {
    return this.#held.has(ALT_GR) || (this.#ctrl && this.#held.has(ALT));
  }

  #down(code: number): KeyStroke | null {
    const key = named[code];
    if (key !== undefined) return this.#key(key);
    const ofBlock = block[code];
    if (ofBlock !== undefined) return this.#ofBlock(ofBlock);
    const typed = this.#layout.keys.get(code);
    if (this.#altGr) return this.#raised(typed);
    // A combination with Ctrl or Alt is no text, and this dialog has none.
    if (this.#ctrl || this.#held.has(ALT)) return null;
    const sign = signs[code];
    if (sign !== undefined) return this.#typed(sign);
    return typed === undefined ? null : this.#typed(this.#cased(typed));
  }

  #key(key: KeyName): KeyStroke {
    this.#dead = '';
    return { kind: 'key', key, shift: this.#shift };
  }

  #ofBlock([digit, key]: readonly [string, KeyName | null]): KeyStroke | null {
    if (this.#numLock !== this.#shift) return this.#typed(digit === '.' ? this.#layout.decimal : digit);
    return key === null ? null : this.#key(key);
  }

  #raised(typed: readonly [string, string] | undefined): KeyStroke | null {
    const character = typed && this.#layout.altGr.get(typed[0]);
    if (character === undefined) return null;
    return this.#typed(this.#shift !== this.#capsLock ? character.toUpperCase() : character);
  }

  #cased([plain, shifted]: readonly [string, string]): string {
    const isLetter = plain !== shifted && plain.toUpperCase() === shifted;
    const locks = this.#capsLock && (isLetter || this.#layout.shiftLock);
    return locks !== this.#shift ? shifted : plain;
  }

  /** What a key of the layout types, dead keys included. */
  #typed(character: string): KeyStroke | null {
    const dead = this.#dead;
    this.#dead = '';
    if (character === '') return null;
    if (dead !== '') return { kind: 'text', text: composed(dead, character) };
    if (!isDeadKey(character)) return { kind: 'text', text: character };
    this.#dead = character;
    return null;
  }

  #unicode(unit: number): KeyStroke | null {
    const first = this.#pendingUnit;
    this.#pendingUnit = 0;
    const control = controls[unit];
    if (control !== undefined) return this.#key(control);
    const isLow = unit >= 0xdc00 && unit < 0xe000;
    if (unit >= 0xd800 && unit < 0xdc00) {
      this.#pendingUnit = unit;
      return null;
    }
    if (unit < 0x20 || (isLow && first === 0)) return null;
    const accent = this.#dead === '' ? '' : deadKeyAlone(this.#dead);
    this.#dead = '';
    return { kind: 'text', text: accent + (isLow ? String.fromCharCode(first, unit) : String.fromCharCode(unit)) };
  }
}
