import type { Codec } from '@lucid-sessions/wire';
import { bytes, list, rest, struct, structWithTail, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** PDUs of a running session that are neither input nor graphics, without their share headers. */

/** TS_SET_ERROR_INFO_PDU, [MS-RDPBCGR] 2.2.5.1.1; codes are in error-info.ts. */
export const setErrorInfo = structWithTail('Set Error Info', { errorInfo: u32le }, {});
export type SetErrorInfo = Value<typeof setErrorInfo>;

/** infoType of Save Session Info. */
export const SaveSessionInfoType = { logon: 0, logonLong: 1, plainNotify: 2, logonExtendedInfo: 3 } as const;
/** TS_SAVE_SESSION_INFO_PDU_DATA, [MS-RDPBCGR] 2.2.10.1.1; the body by type is left as bytes. */
export const saveSessionInfo = structWithTail('Save Session Info', { infoType: u32le, infoData: rest }, {});
export type SaveSessionInfo = Value<typeof saveSessionInfo>;

/** TS_STATUS_INFO_PDU, [MS-RDPBCGR] 2.2.5.2.1 */
export const statusInfo = structWithTail('Status Info', { statusCode: u32le }, {});
export type StatusInfo = Value<typeof statusInfo>;

const rectangle = struct('TS_RECTANGLE16', { left: u16le, top: u16le, right: u16le, bottom: u16le });
export type Rectangle16 = Value<typeof rectangle>;

/** TS_SUPPRESS_OUTPUT_PDU, [MS-RDPBCGR] 2.2.11.3.1; the rectangle is present when updates are allowed. */
export const suppressOutput = structWithTail(
  'Suppress Output',
  { allowDisplayUpdates: u8, pad3octets: bytes(3) },
  { desktopRect: rectangle },
);
export type SuppressOutput = Value<typeof suppressOutput>;

const refreshHead = struct('Refresh Rect head', { numberOfAreas: u8, pad3octets: bytes(3) });
/** TS_REFRESH_RECT_PDU, [MS-RDPBCGR] 2.2.11.2.1. Right and bottom are inclusive. */
export interface RefreshRect {
  pad3octets: Uint8Array;
  areas: Rectangle16[];
}
export const refreshRect: Codec<RefreshRect> = {
  name: 'Refresh Rect',
  decode(reader) {
    const { numberOfAreas, pad3octets } = refreshHead.decode(reader);
    return { pad3octets, areas: Array.from({ length: numberOfAreas }, () => rectangle.decode(reader)) };
  },
  encode(value, writer) {
    refreshHead.encode({ numberOfAreas: value.areas.length, pad3octets: value.pad3octets }, writer);
    for (const area of value.areas) rectangle.encode(area, writer);
  },
};

/** Shutdown Request and Shutdown Denied have no body, [MS-RDPBCGR] 2.2.2.2 and 2.2.2.3. */
export const emptyBody = structWithTail('empty PDU body', {}, {});
export type EmptyBody = Value<typeof emptyBody>;

/** TS_SET_KEYBOARD_INDICATORS_PDU, [MS-RDPBCGR] 2.2.8.2.1.1 */
export const setKeyboardIndicators = structWithTail('Set Keyboard Indicators', { unitId: u16le, ledFlags: u16le }, {});
export type SetKeyboardIndicators = Value<typeof setKeyboardIndicators>;

/** TS_SET_KEYBOARD_IME_STATUS_PDU, [MS-RDPBCGR] 2.2.8.2.2.1 */
export const setKeyboardImeStatus = structWithTail(
  'Set Keyboard IME Status',
  { unitId: u16le, imeState: u32le, imeConvMode: u32le },
  {},
);
export type SetKeyboardImeStatus = Value<typeof setKeyboardImeStatus>;

/** TS_PLAY_SOUND_PDU_DATA, [MS-RDPBCGR] 2.2.9.1.1.5.1 */
export const playSound = structWithTail('Play Sound', { duration: u32le, frequency: u32le }, {});
export type PlaySound = Value<typeof playSound>;

/** TS_FRAME_ACKNOWLEDGE_PDU, [MS-RDPRFX] 2.2.3.1 */
export const frameAcknowledge = structWithTail('Frame Acknowledge', { frameId: u32le }, {});
export type FrameAcknowledge = Value<typeof frameAcknowledge>;

const monitor = struct('TS_MONITOR_DEF', { left: u32le, top: u32le, right: u32le, bottom: u32le, flags: u32le });
/** TS_MONITOR_LAYOUT_PDU, [MS-RDPBCGR] 2.2.12.1; coordinates are two's complement. */
export const monitorLayout = structWithTail('Monitor Layout', { monitors: list('monitors', u32le, monitor) }, {});
export type MonitorLayout = Value<typeof monitorLayout>;
