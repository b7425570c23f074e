import type { Codec } from '@lucid-sessions/wire';
import { bytes, struct, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';
import { type FastPathInputEvent, FastPathKeyFlag } from './fast-path.ts';

/** keyboardFlags of slow-path keyboard events. */
export const KeyboardFlag = { extended: 0x0100, extended1: 0x0200, down: 0x4000, release: 0x8000 } as const;

/** pointerFlags of mouse events, slow-path and fast-path, [MS-RDPBCGR] 2.2.8.1.1.3.1.1.3. */
export const PointerFlag = {
  move: 0x0800,
  down: 0x8000,
  button1: 0x1000,
  button2: 0x2000,
  button3: 0x4000,
  wheel: 0x0200,
  hwheel: 0x0400,
  wheelNegative: 0x0100,
  wheelRotationMask: 0x01ff,
} as const;

/** toggleFlags of synchronize events. */
export const ToggleFlag = { scrollLock: 1, numLock: 2, capsLock: 4, kanaLock: 8 } as const;

const keyboard = struct('keyboard event', { keyboardFlags: u16le, keyCode: u16le, pad2Octets: u16le });
const pointer = struct('mouse event', { pointerFlags: u16le, x: u16le, y: u16le });
const relative = struct('relative mouse event', { pointerFlags: u16le, xDelta: u16le, yDelta: u16le });
const sync = struct('synchronize event', { pad2Octets: u16le, toggleFlags: u32le });
const raw = struct('input event', { data: bytes(6) });

const kinds = {
  synchronize: { messageType: 0x0000, codec: sync },
  unused: { messageType: 0x0002, codec: raw },
  scancode: { messageType: 0x0004, codec: keyboard },
  unicode: { messageType: 0x0005, codec: keyboard },
  mouse: { messageType: 0x8001, codec: pointer },
  mousex: { messageType: 0x8002, codec: pointer },
  mouseRelative: { messageType: 0x8004, codec: relative },
} as const;
type Kinds = typeof kinds;

/** TS_INPUT_EVENT, [MS-RDPBCGR] 2.2.8.1.1.3.1.1; twelve bytes each. */
export type SlowPathInputEvent = { eventTime: number } & (
  | { [K in keyof Kinds]: { kind: K } & Value<Kinds[K]['codec']> }[keyof Kinds]
  | { kind: 'unknown'; messageType: number; data: Uint8Array }
);

/** TS_INPUT_PDU_DATA, [MS-RDPBCGR] 2.2.8.1.1.3.1. */
export interface SlowPathInput {
  pad2Octets: number;
  events: SlowPathInputEvent[];
}

const EVENT_BYTES = 12;
const byType = new Map(Object.entries(kinds).map(([kind, entry]) => [entry.messageType as number, { kind, ...entry }]));

const inputEvent: Codec<SlowPathInputEvent> = {
  name: 'slow-path input event',
  decode(reader) {
    const eventTime = reader.u32le();
    const messageType = reader.u16le();
    const known = byType.get(messageType);
    if (!known) return { eventTime, kind: 'unknown', messageType, data: reader.slice(6) };
    return { eventTime, kind: known.kind, ...known.codec.decode(reader) } as SlowPathInputEvent;
  },
  encode(value, writer) {
    writer.u32le(value.eventTime);
    if (value.kind === 'unknown') {
      writer.u16le(value.messageType);
      raw.encode(value, writer);
      return;
    }
    const entry = kinds[value.kind];
    writer.u16le(entry.messageType);
    (entry.codec as Codec<unknown>).encode(value, writer);
  },
};

export const slowPathInput: Codec<SlowPathInput> = {
  name: 'slow-path input',
  decode(reader) {
    const count = reader.u16le();
    const pad2Octets = reader.u16le();
    reader.need(count * EVENT_BYTES, 'input events');
    return { pad2Octets, events: Array.from({ length: count }, () => inputEvent.decode(reader)) };
  },
  encode(value, writer) {
    writer.u16le(value.events.length).u16le(value.pad2Octets);
    for (const event of value.events) inputEvent.encode(event, writer);
  },
};

/** The same event as fast-path input says it; null for what that has no word for. */
export function toFastPath(event: SlowPathInputEvent): FastPathInputEvent | null {
  switch (event.kind) {
    case 'scancode':
      return { kind: 'scancode', flags: keyFlags(event.keyboardFlags), keyCode: event.keyCode & 0xff };
    case 'unicode':
      return {
        kind: 'unicode',
        flags: keyFlags(event.keyboardFlags) & FastPathKeyFlag.release,
        unicodeCode: event.keyCode,
      };
    case 'mouse':
    case 'mousex':
    case 'mouseRelative': {
      const { eventTime: _, ...rest } = event;
      return { flags: 0, ...rest };
    }
    case 'synchronize':
      return { kind: 'sync', flags: event.toggleFlags & 0x1f };
    default:
      return null;
  }
}

/** The other way: what every server takes, whatever it says of fast-path input; null for what has no slow-path word. */
export function toSlowPath(event: FastPathInputEvent): SlowPathInputEvent | null {
  const eventTime = 0;
  switch (event.kind) {
    case 'scancode':
      return {
        eventTime,
        kind: 'scancode',
        keyboardFlags: keyboardFlags(event.flags),
        keyCode: event.keyCode,
        pad2Octets: 0,
      };
    case 'unicode':
      return {
        eventTime,
        kind: 'unicode',
        keyboardFlags: keyboardFlags(event.flags),
        keyCode: event.unicodeCode,
        pad2Octets: 0,
      };
    case 'mouse':
    case 'mousex':
    case 'mouseRelative': {
      const { flags: _, ...rest } = event;
      return { eventTime, ...rest };
    }
    case 'sync':
      return { eventTime, kind: 'synchronize', pad2Octets: 0, toggleFlags: event.flags };
    case 'qoeTimestamp':
      return null;
  }
}

const keyboardFlags = (flags: number): number =>
  (flags & FastPathKeyFlag.release ? KeyboardFlag.release : 0) |
  (flags & FastPathKeyFlag.extended ? KeyboardFlag.extended : 0) |
  (flags & FastPathKeyFlag.extended1 ? KeyboardFlag.extended1 : 0);

const keyFlags = (flags: number): number =>
  (flags & KeyboardFlag.release ? FastPathKeyFlag.release : 0) |
  (flags & KeyboardFlag.extended ? FastPathKeyFlag.extended : 0) |
  (flags & KeyboardFlag.extended1 ? FastPathKeyFlag.extended1 : 0);
