/** Two key combinations of a user's that are for the gateway and reach no target: how they answer while somebody wants to steer. */
import { type FastPathInputEvent, FastPathKeyFlag } from '@lucid-sessions/rdp';

export type Hotkey = 'agree' | 'refuse';

/** As the user is told them. No client keeps them for itself, and scancodes are the same on every keyboard. */
export const hotkeyNames: Readonly<Record<Hotkey, string>> = { agree: 'Ctrl+Shift+F9', refuse: 'Ctrl+Shift+F10' };

const keyOf: ReadonlyMap<number, Hotkey> = new Map([
  [0x43, 'agree'],
  [0x44, 'refuse'],
]);
const CONTROL = 0x1d;
const SHIFTS: readonly number[] = [0x2a, 0x36];

export class Hotkeys {
  /** Of Control and Shift, those that are down. */
  readonly #modifiers = new Set<string>();
  /** Pressed and not released: what they still say is not for the target either. */
  readonly #swallowed = new Set<number>();

  /** Nothing of a combination is still to come. */
  get isIdle(): boolean {
    return this.#swallowed.size === 0;
  }

  /** What of the events is for the target, and what was pressed. */
  see(events: readonly FastPathInputEvent[]): { passing: readonly FastPathInputEvent[]; pressed: readonly Hotkey[] } {
    const pressed: Hotkey[] = [];
    const passing = events.filter((event) => {
      // The client's window was left and come back to: whatever was down is up.
      if (event.kind === 'sync') this.#modifiers.clear();
      return event.kind !== 'scancode' || !this.#takes(event, pressed);
    });
    return { passing, pressed };
  }

  #takes({ flags, keyCode }: { flags: number; keyCode: number }, pressed: Hotkey[]): boolean {
    const isDown = (flags & FastPathKeyFlag.release) === 0;
    const hotkey = keyOf.get(keyCode);
    if (hotkey === undefined || (flags & FastPathKeyFlag.extended) !== 0) {
      this.#modifier(keyCode, flags, isDown);
      return false;
    }
    if (this.#swallowed.has(keyCode)) {
      if (!isDown) this.#swallowed.delete(keyCode);
      return true;
    }
    if (!isDown || !this.#isArmed) return false;
    this.#swallowed.add(keyCode);
    pressed.push(hotkey);
    return true;
  }

  #modifier(keyCode: number, flags: number, isDown: boolean): void {
    if (keyCode !== CONTROL && !SHIFTS.includes(keyCode)) return;
    const key = `${keyCode === CONTROL ? 'control' : 'shift'} ${keyCode} ${flags & FastPathKeyFlag.extended}`;
    if (isDown) this.#modifiers.add(key);
    else this.#modifiers.delete(key);
  }

  get #isArmed(): boolean {
    const down = [...this.#modifiers];
    return ['control', 'shift'].every((name) => down.some((key) => key.startsWith(name)));
  }
}
