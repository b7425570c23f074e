import {
  ContactFlag,
  type FastPathInput,
  FastPathKeyFlag,
  KeyboardFlag,
  PointerFlag,
  signedValue,
  slowPathInput,
  ToggleFlag,
  type TouchInputPdu,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import type { KeyInput } from './typing.ts';

/** One input event, the same for both paths. */
export type ClientInput =
  | ({ kind: 'key' } & KeyInput)
  /** A UTF-16 code unit: characters above U+FFFF take two. */
  | { kind: 'unicode'; unit: number }
  | { kind: 'click'; button: string; x: number | null; y: number | null }
  | { kind: 'locks'; capsLock: boolean; numLock: boolean }
  | { kind: 'other' };

const other = { kind: 'other' } as const;

/** Fast-path input, [MS-RDPBCGR] 2.2.8.1.2. */
export function fastPathInputs({ events }: Pick<FastPathInput, 'events'>): ClientInput[] {
  return events.map((event): ClientInput => {
    const down = (event.flags & FastPathKeyFlag.release) === 0;
    switch (event.kind) {
      case 'scancode':
        return {
          kind: 'key',
          scanCode: event.keyCode,
          extended: (event.flags & FastPathKeyFlag.extended) !== 0,
          extended1: (event.flags & FastPathKeyFlag.extended1) !== 0,
          down,
        };
      case 'unicode':
        return down ? { kind: 'unicode', unit: event.unicodeCode } : other;
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      case 'mousex':
        return clickOf(moreButtons, event.pointerFlags, event.x, event.y);
      case 'mouseRelative':
        return click(event.pointerFlags, null, null);
      case 'sync':
        return locks(event.flags);
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
        return {
          kind: 'key',
          scanCode: keyCode & 0xff,
          extended: (keyboardFlags & KeyboardFlag.extended) !== 0,
          extended1: (keyboardFlags & KeyboardFlag.extended1) !== 0,
          down: (keyboardFlags & KeyboardFlag.release) === 0,
        };
      }
      case 'unicode':
        return (event.keyboardFlags & KeyboardFlag.release) === 0 ? { kind: 'unicode', unit: event.keyCode } : other;
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      case 'mousex':
        return clickOf(moreButtons, event.pointerFlags, event.x, event.y);
      case 'mouseRelative':
        return click(event.pointerFlags, null, null);
      case 'synchronize':
        return locks(event.toggleFlags);
      default:
        return other;
    }
  });
}

/** Touch and pen, [MS-RDPEI] 2.2.3.3 and 2.2.3.7: what comes down is a click, all else is activity. */
export function touchInputs(pdu: TouchInputPdu): ClientInput[] {
  if (pdu.kind !== 'touch' && pdu.kind !== 'pen') return [];
  const { kind: button, frames } = pdu;
  return frames.flatMap(({ contacts }) =>
    contacts.map(({ x, y, contactFlags }): ClientInput => {
      const isDown = (contactFlags.magnitude & ContactFlag.down) !== 0;
      return isDown ? { kind: 'click', button, x: signedValue(x), y: signedValue(y) } : other;
    }),
  );
}

const buttons: readonly (readonly [number, string])[] = [
  [PointerFlag.button1, 'left'],
  [PointerFlag.button2, 'right'],
  [PointerFlag.button3, 'middle'],
];

/** PTRXFLAGS_BUTTON1 and 2 of extended mouse events, [MS-RDPBCGR] 2.2.8.1.1.3.1.1.4. */
const moreButtons: readonly (readonly [number, string])[] = [
  [0x0001, 'back'],
  [0x0002, 'forward'],
];

function click(flags: number, x: number | null, y: number | null): ClientInput {
  return (flags & (PointerFlag.wheel | PointerFlag.hwheel)) !== 0 ? other : clickOf(buttons, flags, x, y);
}

function clickOf(
  named: readonly (readonly [number, string])[],
  flags: number,
  x: number | null,
  y: number | null,
): ClientInput {
  const button = (flags & PointerFlag.down) === 0 ? undefined : named.find(([bit]) => (flags & bit) !== 0);
  return button ? { kind: 'click', button: button[1], x, y } : other;
}

function locks(toggleFlags: number): ClientInput {
  const has = (flag: number): boolean => (toggleFlags & flag) !== 0;
  return { kind: 'locks', capsLock: has(ToggleFlag.capsLock), numLock: has(ToggleFlag.numLock) };
}
