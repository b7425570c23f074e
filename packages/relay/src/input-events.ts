/** Where the keyboard events of input PDUs stand: for what marks them and what masks them. */
import { FastPathFlag } from '@lucid-sessions/rdp';

/** Bytes of a fast-path input event after its header, by event code ([MS-RDPBCGR] 2.2.8.1.2.2). */
const FAST_PATH_EVENT_BYTES = [1, 6, 6, 0, 2, 6, 4];
const FAST_PATH_SCANCODE = 0;
const FAST_PATH_UNICODE = 4;
/** TS_INPUT_EVENT ([MS-RDPBCGR] 2.2.8.1.1.3.1.1): time, type, then what the type says. */
const SLOW_EVENT_BYTES = 12;
const SLOW_EVENTS_OFFSET = 4;
/** Synchronize, unused, and the three kinds of mouse events: what is neither these nor a key is not known. */
const SLOW_SILENT = [0, 2];
const SLOW_MOUSE = [0x8001, 0x8002, 0x8004];
const FAST_PATH_SYNC = 3;
const FAST_PATH_QOE = 6;

/** What was found on the way through the events of an input PDU. */
export interface InputEvents {
  /** Keyboard events, or events that can't be read: they count as typed. */
  keys: boolean;
  /** Keys, mouse or touch: somebody is there. Lock keys and time stamps are sent without anybody's doing. */
  active: boolean;
  /** Every event was read. */
  whole: boolean;
  /** A Shutdown Request was among it ([MS-RDPBCGR] 2.2.2.2): the user wants to leave. */
  asksToEnd?: boolean;
}

type OnKey = (at: number, length: number) => void;

const unread = (): InputEvents => ({ keys: true, active: true, whole: false });

/** The events of a fast-path input PDU; calls back with the place of each keyboard event. Encrypted ones can't be read. */
export function fastPathEvents(pdu: Uint8Array, onKey?: OnKey): InputEvents {
  const first = pdu[0] ?? 0;
  if ((first & 3) !== 0 || ((first >> 6) & FastPathFlag.encrypted) !== 0) return unread();
  let at = ((pdu[1] ?? 0) & 0x80) === 0 ? 2 : 3;
  let count = (first >> 2) & 15;
  if (count === 0) count = pdu[at++] ?? 0;
  return eventsFrom(pdu, at, count, onKey);
}

/** `count` events coded as fast-path has them, from `at` to the end. */
export function eventsFrom(pdu: Uint8Array, start: number, count: number, onKey?: OnKey): InputEvents {
  const found: InputEvents = { keys: false, active: false, whole: true };
  let at = start;
  for (let left = count; left > 0; left -= 1) {
    const code = (pdu[at] ?? 0xff) >> 5;
    const length = FAST_PATH_EVENT_BYTES[code];
    if (length === undefined || at + 1 + length > pdu.length) return unread();
    if (code === FAST_PATH_SCANCODE || code === FAST_PATH_UNICODE) {
      found.keys = true;
      onKey?.(at, 1 + length);
    }
    if (code !== FAST_PATH_SYNC && code !== FAST_PATH_QOE) found.active = true;
    at += 1 + length;
  }
  return at === pdu.length ? found : unread();
}

/** The same for TS_INPUT_PDU_DATA; the last event may be cut, and counts as a key then. */
export function slowPathEvents(data: Uint8Array, onKey?: OnKey): InputEvents {
  const found: InputEvents = { keys: false, active: false, whole: true };
  for (let at = SLOW_EVENTS_OFFSET; at < data.length; at += SLOW_EVENT_BYTES) {
    const length = Math.min(SLOW_EVENT_BYTES, data.length - at);
    const type = (data[at + 4] ?? 0) | ((data[at + 5] ?? 0) << 8);
    const isKey = length < SLOW_EVENT_BYTES || !(SLOW_SILENT.includes(type) || SLOW_MOUSE.includes(type));
    found.keys ||= isKey;
    found.active ||= isKey || !SLOW_SILENT.includes(type);
    if (isKey) onKey?.(at, length);
  }
  return found;
}
