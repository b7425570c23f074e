import {
  type FastPathInput,
  FastPathKeyFlag,
  KeyboardFlag,
  PointerFlag,
  slowPathInput,
  ToggleFlag,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';

/** One input event, the same for both paths. */
export type ClientInput =
  | { kind: 'key'; scanCode: number; extended: boolean; down: boolean }
  | { kind: 'character'; text: string }
  | { kind: 'click'; button: string; x: number; y: number }
  | { kind: 'locks'; capsLock: boolean }
  | { kind: 'other' };

const other = { kind: 'other' } as const;

/** Fast-path input, [MS-RDPBCGR] 2.2.8.1.2. */
export function fastPathInputs({ events }: FastPathInput): ClientInput[] {
  return events.map((event): ClientInput => {
    const down = (event.flags & FastPathKeyFlag.release) === 0;
    switch (event.kind) {
      case 'scancode':
        return { kind: 'key', scanCode: event.keyCode, extended: (event.flags & FastPathKeyFlag.extended) !== 0, down };
      case 'unicode':
        return down ? { kind: 'character', text: String.fromCharCode(event.unicodeCode) } : other;
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      case 'sync':
        return { kind: 'locks', capsLock: (event.flags & ToggleFlag.capsLock) !== 0 };
      default:
        return other;
    }
  });
}

/** Slow-path input, 2.2.8.1.1.3. Throws `DecodeError`. */
export function slowPathInputs(data: Uint8Array): ClientInput[] {
  return decode(slowPathInput, data).events.map((event): ClientInput => {
    switch (event.kind) {
      case 'scancode': {
        const { keyboardFlags, keyCode } = event;
        const extended = (keyboardFlags & KeyboardFlag.extended) !== 0;
        return { kind: 'key', scanCode: keyCode & 0xff, extended, down: (keyboardFlags & KeyboardFlag.release) === 0 };
      }
      case 'unicode':
        return (event.keyboardFlags & KeyboardFlag.release) === 0
          ? { kind: 'character', text: String.fromCharCode(event.keyCode) }
          : other;
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      case 'synchronize':
        return { kind: 'locks', capsLock: (event.toggleFlags & ToggleFlag.capsLock) !== 0 };
      default:
        return other;
    }
  });
}

const buttons: readonly (readonly [number, string])[] = [
  [PointerFlag.button1, 'left'],
  [PointerFlag.button2, 'right'],
  [PointerFlag.button3, 'middle'],
];

function click(flags: number, x: number, y: number): ClientInput {
  if ((flags & PointerFlag.down) === 0 || (flags & (PointerFlag.wheel | PointerFlag.hwheel)) !== 0) return other;
  const button = buttons.find(([bit]) => (flags & bit) !== 0);
  return button ? { kind: 'click', button: button[1], x, y } : other;
}
