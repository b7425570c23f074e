import type { Codec } from '@lucid-sessions/wire';
import { i32le, list, rest, struct, u32le, type Value } from '@lucid-sessions/wire/struct';

/** The client asks for another layout of monitors, [MS-RDPEDISP] 2.1. */
export const DISPLAY_CONTROL_CHANNEL = 'Microsoft::Windows::RDS::DisplayControl';

/** Type of DISPLAYCONTROL_MONITOR_LAYOUT_PDU, [MS-RDPEDISP] 2.2.2.2. */
export const DISPLAY_CONTROL_MONITOR_LAYOUT = 2;

/** DISPLAYCONTROL_HEADER, [MS-RDPEDISP] 2.2.1.1, and what follows it. */
export const displayControlPdu = struct('display control PDU', { type: u32le, length: u32le, data: rest });
export type DisplayControlPdu = Value<typeof displayControlPdu>;

/** DISPLAYCONTROL_MONITOR_LAYOUT, [MS-RDPEDISP] 2.2.2.2.1. */
const monitor = struct('DISPLAYCONTROL_MONITOR_LAYOUT', {
  flags: u32le,
  left: i32le,
  top: i32le,
  width: u32le,
  height: u32le,
  physicalWidth: u32le,
  physicalHeight: u32le,
  orientation: u32le,
  desktopScaleFactor: u32le,
  deviceScaleFactor: u32le,
});

/** DISPLAYCONTROL_MONITOR_LAYOUT_PDU behind its header. */
export const displayControlLayout: Codec<DisplayControlLayout> = struct('DISPLAYCONTROL_MONITOR_LAYOUT_PDU', {
  monitorLayoutSize: u32le,
  monitors: list('monitors', u32le, monitor),
});
export interface DisplayControlLayout {
  monitorLayoutSize: number;
  monitors: Value<typeof monitor>[];
}
