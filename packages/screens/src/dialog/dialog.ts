import type { KeyStroke } from './keyboard.ts';

/** A string of Client Info has room for 255 UTF-16 units, [MS-RDPBCGR] 2.2.1.11.1.1. */
export const FIELD_UNITS_MAX = 255;

export interface FieldSpec {
  id: string;
  label: string;
  /** What stands in it at first. */
  value: string;
  /** Dots are shown. */
  secret: boolean;
  /** It may stay empty: others have the focus first. */
  optional: boolean;
}

export interface ButtonSpec {
  id: string;
  label: string;
}

/** One screen: what it says, asks and offers. */
export interface DialogSpec {
  /** Comes back with the answer: which dialog it is of. */
  id: string;
  title: string;
  /** Lines break where it says and where they must; more than fits is scrolled. */
  text: string;
  fields: readonly FieldSpec[];
  /** What went wrong; empty where nothing did. */
  problem: string;
  /** The first is what Enter means. */
  buttons: readonly ButtonSpec[];
  /** It goes on by itself: nothing has the focus at first, and Enter means nothing then. */
  waits: boolean;
  /** What Escape means; null: nothing. */
  escape: string | null;
  /** Small, below everything. */
  footer: string;
}

export interface DialogAnswer {
  /** Of the dialog. */
  id: string;
  button: string;
  values: Readonly<Record<string, string>>;
}

/** Something that can be pointed at. */
export type Spot = { kind: 'field' | 'button'; index: number; offset: number } | null;

const points = (text: string): string[] => [...text];

/** What a person has done to a dialog so far. Knows nothing of pixels but how far its text can be scrolled. */
export class Dialog {
  readonly spec: DialogSpec;
  readonly #values: string[][];
  /** Index of a field, or of a button behind the fields. */
  #focus: number;
  #caret = 0;
  #pressed: number | null = null;
  #scroll = 0;
  #revision = 0;

  constructor(spec: DialogSpec) {
    this.spec = spec;
    this.#values = spec.fields.map(({ value }) => points(value.slice(0, FIELD_UNITS_MAX)));
    const empty = this.#values.findIndex((value, i) => value.length === 0 && !spec.fields[i]!.optional);
    this.#focus = empty >= 0 ? empty : spec.waits ? -1 : spec.fields.length;
    this.#caret = this.#values[this.#focus]?.length ?? 0;
  }

  /** Another one whenever something may look different. */
  get revision(): number {
    return this.#revision;
  }

  /** A field's text, as code points. */
  value(index: number): readonly string[] {
    return this.#values[index] ?? [];
  }

  get focus(): number {
    return this.#focus;
  }

  /** In the field that has the focus, in code points. */
  get caret(): number {
    return this.#caret;
  }

  /** The button the mouse holds down, counted like `focus`. */
  get pressed(): number | null {
    return this.#pressed;
  }

  /** Lines above the first one that is shown. */
  get scroll(): number {
    return this.#scroll;
  }

  /** `lines` more, down where positive, and never beyond `max`. */
  scrollBy(lines: number, max: number): void {
    this.#revision += 1;
    this.#scroll = Math.max(0, Math.min(max, this.#scroll + lines));
  }

  key(stroke: KeyStroke): DialogAnswer | null {
    this.#revision += 1;
    if (stroke.kind === 'text') return this.#type(stroke.text);
    switch (stroke.key) {
      case 'enter':
        return this.#answer(this.#focusedButton ?? (this.spec.waits ? null : (this.spec.buttons[0]?.id ?? null)));
      case 'escape':
        return this.#answer(this.spec.escape);
      case 'tab':
        this.#move(stroke.shift ? -1 : 1);
        return null;
      default:
        this.#edit(stroke.key);
        return null;
    }
  }

  press(spot: Spot): void {
    this.#revision += 1;
    this.#pressed = null;
    if (spot === null) return;
    const index = spot.kind === 'field' ? spot.index : this.spec.fields.length + spot.index;
    this.#focusOn(index);
    if (spot.kind === 'field') this.#caret = Math.min(spot.offset, this.value(index).length);
    else this.#pressed = index;
  }

  /** A button counts where it is let go of on itself. */
  release(spot: Spot): DialogAnswer | null {
    const pressed = this.#pressed;
    this.#revision += 1;
    this.#pressed = null;
    const index = spot?.kind === 'button' ? this.spec.fields.length + spot.index : null;
    return pressed !== null && pressed === index ? this.#answer(this.#focusedButton) : null;
  }

  get #focusedButton(): string | null {
    return this.spec.buttons[this.#focus - this.spec.fields.length]?.id ?? null;
  }

  #answer(button: string | null): DialogAnswer | null {
    if (button === null) return null;
    const entries = this.spec.fields.map(({ id }, i) => [id, this.value(i).join('')]);
    return { id: this.spec.id, button, values: Object.fromEntries(entries) };
  }

  #move(by: number): void {
    const count = this.spec.fields.length + this.spec.buttons.length;
    if (count > 0) this.#focusOn((this.#focus + by + count) % count);
  }

  #focusOn(index: number): void {
    if (index !== this.#focus) this.#caret = this.value(index).length;
    this.#focus = index;
  }

  #type(text: string): DialogAnswer | null {
    const value = this.#values[this.#focus];
    if (value === undefined) return text === ' ' ? this.#answer(this.#focusedButton) : null;
    if (value.join('').length + text.length > FIELD_UNITS_MAX) return null;
    const typed = points(text);
    value.splice(this.#caret, 0, ...typed);
    this.#caret += typed.length;
    return null;
  }

  #edit(key: string): void {
    const value = this.#values[this.#focus];
    if (value === undefined) return;
    if (key === 'left') this.#caret = Math.max(0, this.#caret - 1);
    if (key === 'right') this.#caret = Math.min(value.length, this.#caret + 1);
    if (key === 'home') this.#caret = 0;
    if (key === 'end') this.#caret = value.length;
    if (key === 'delete') value.splice(this.#caret, 1);
    if (key !== 'backspace' || this.#caret === 0) return;
    this.#caret -= 1;
    value.splice(this.#caret, 1);
  }
}
