import {
  CORE_INPUT_CHANNEL,
  coreInputPdu,
  type FastPathInput,
  signedValue,
  slowPathInput,
  TOUCH_INPUT_CHANNEL,
  touchInputPdu,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import type { PointerState } from '../screen.ts';

/**
 * Moves the pointer to where the client's mouse is: servers only say so when they move it themselves. Wheel events carry
 * no position that counts ([MS-RDPBCGR] 2.2.8.1.2.2.3).
 */
export function followFastPathMouse(pointer: PointerState, input: Pick<FastPathInput, 'events'>): void {
  for (const event of input.events)
    if (event.kind === 'mouse' || event.kind === 'mousex') follow(pointer, event.pointerFlags, event.x, event.y);
    else if (event.kind === 'mouseRelative') move(pointer, event.xDelta, event.yDelta);
}

/** As `followFastPathMouse`, for the body of a slow-path Input PDU. Throws `DecodeError`. */
export function followSlowPathMouse(pointer: PointerState, data: Uint8Array): void {
  for (const event of decode(slowPathInput, data).events)
    if (event.kind === 'mouse' || event.kind === 'mousex') follow(pointer, event.pointerFlags, event.x, event.y);
    else if (event.kind === 'mouseRelative') move(pointer, event.xDelta, event.yDelta);
}

/** As `followFastPathMouse`, for a message of the channels for keys and mouse, touch and pen. Throws `DecodeError`. */
export function followInputChannel(pointer: PointerState, channelName: string | null, message: Uint8Array): void {
  if (channelName === CORE_INPUT_CHANNEL) {
    const pdu = decode(coreInputPdu, message);
    if (pdu.kind === 'input') followFastPathMouse(pointer, pdu);
  } else if (channelName === TOUCH_INPUT_CHANNEL) {
    const pdu = decode(touchInputPdu, message);
    if (pdu.kind !== 'touch' && pdu.kind !== 'pen') return;
    const contact = pdu.frames.at(-1)?.contacts[0];
    if (contact) place(pointer, signedValue(contact.x), signedValue(contact.y));
  }
}

/** Where there is no such place the pointer stays at the edge. */
function place(pointer: PointerState, x: number, y: number): void {
  pointer.x = Math.min(0xffff, Math.max(0, x));
  pointer.y = Math.min(0xffff, Math.max(0, y));
}

const wheelFlags = 0x0600;

function follow(pointer: PointerState, flags: number, x: number, y: number): void {
  if (flags & wheelFlags) return;
  pointer.x = x;
  pointer.y = y;
}

/** A relative mouse moves from where it was: 16-bit two's complement. */
function move(pointer: PointerState, xDelta: number, yDelta: number): void {
  place(pointer, pointer.x + ((xDelta << 16) >> 16), pointer.y + ((yDelta << 16) >> 16));
}
