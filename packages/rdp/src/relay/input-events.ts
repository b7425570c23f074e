/** Where the keyboard events of input PDUs stand: for what marks them and what masks them. */

/** Bytes of a fast-path input event after its header, by event code ([MS-RDPBCGR] 2.2.8.1.2.2). */
const FAST_PATH_EVENT_BYTES = [1, 6, 6, 0, 2, 6, 4];
const FAST_PATH_SCANCODE = 0;
const FAST_PATH_UNICODE = 4;
/** TS_INPUT_EVENT ([MS-RDPBCGR] 2.2.8.1.1.3.1.1): time, type, then what the type says. */
const SLOW_EVENT_BYTES = 12;
const SLOW_EVENTS_OFFSET = 4;
const SLOW_SCANCODE = 4;
const SLOW_UNICODE = 5;

type OnKey = (at: number, length: number) => void;

/** Calls back with the place of each keyboard event of a fast-path input PDU. False when it can't be read to its end. */
export function eachFastPathKey(pdu: Uint8Array, onKey: OnKey): boolean {
  if (((pdu[0] ?? 0) & 0xc3) !== 0) return false;
  let at = ((pdu[1] ?? 0) & 0x80) === 0 ? 2 : 3;
  let count = ((pdu[0] ?? 0) >> 2) & 15;
  if (count === 0) count = pdu[at++] ?? 0;
  for (; count > 0; count -= 1) {
    const code = (pdu[at] ?? 0xff) >> 5;
    const length = FAST_PATH_EVENT_BYTES[code];
    if (length === undefined || at + 1 + length > pdu.length) return false;
    if (code === FAST_PATH_SCANCODE || code === FAST_PATH_UNICODE) onKey(at, 1 + length);
    at += 1 + length;
  }
  return at === pdu.length;
}

/** The same for TS_INPUT_PDU_DATA; the last event may be cut. False when it is. */
export function eachSlowPathKey(data: Uint8Array, onKey: OnKey): boolean {
  let at = SLOW_EVENTS_OFFSET;
  for (; at < data.length; at += SLOW_EVENT_BYTES) {
    const type = (data[at + 4] ?? 0) | ((data[at + 5] ?? 0) << 8);
    if (type === SLOW_SCANCODE || type === SLOW_UNICODE) onKey(at, Math.min(SLOW_EVENT_BYTES, data.length - at));
  }
  return at === data.length;
}
