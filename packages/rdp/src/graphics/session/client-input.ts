import { decode } from '@lucid-sessions/wire';
import type { FastPathInput } from '../../pdu/fast-path.ts';
import { slowPathInput } from '../../pdu/input.ts';
import type { PointerState } from '../screen.ts';

/**
 * Moves the pointer to where the client's mouse is: servers only say so when they move it themselves. Wheel events carry
 * no position that counts ([MS-RDPBCGR] 2.2.8.1.2.2.3).
 */
export function followFastPathMouse(pointer: PointerState, input: FastPathInput): void {
  for (const event of input.events)
    if (event.kind === 'mouse' || event.kind === 'mousex') follow(pointer, event.pointerFlags, event.x, event.y);
}

/** As `followFastPathMouse`, for the body of a slow-path Input PDU. Throws `DecodeError`. */
export function followSlowPathMouse(pointer: PointerState, data: Uint8Array): void {
  for (const event of decode(slowPathInput, data).events)
    if (event.kind === 'mouse' || event.kind === 'mousex') follow(pointer, event.pointerFlags, event.x, event.y);
}

const wheelFlags = 0x0600;

function follow(pointer: PointerState, flags: number, x: number, y: number): void {
  if (flags & wheelFlags) return;
  pointer.x = x;
  pointer.y = y;
}
