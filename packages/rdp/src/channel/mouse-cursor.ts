import { rest, struct, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** Pointers of current Windows servers, [MS-RDPEMSC] 2.1. */
export const MOUSE_CURSOR_CHANNEL = 'Microsoft::Windows::RDS::MouseCursor';

/** RDP_MOUSE_CURSOR_HEADER, [MS-RDPEMSC] 2.2.2.1, and what follows it. */
export const mouseCursorPdu = struct('mouse cursor PDU', { pduType: u8, updateType: u8, reserved: u16le, data: rest });
export type MouseCursorPdu = Value<typeof mouseCursorPdu>;

/** pduType of mouse cursor PDUs. */
export const MouseCursorType = { capsAdvertise: 1, capsConfirm: 2, pointerUpdate: 3 } as const;

/** RDP_MOUSE_CURSOR_CAPSET_VERSION1, [MS-RDPEMSC] 2.2.2.3.1. `updateType` of updates has the numbers of `FastPathUpdateCode`. */
export const mouseCursorCapset = struct('mouse cursor capability set', {
  signature: u32le,
  version: u32le,
  size: u32le,
});
export type MouseCursorCapset = Value<typeof mouseCursorCapset>;
