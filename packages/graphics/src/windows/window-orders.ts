import type { Codec, Reader, Writer } from '@lucid-sessions/wire';
import { counted, i32le, list, struct, textOfUtf16, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** Of FieldsPresentFlags, [MS-RDPERP] 2.2.1.3.1.1: what the order is about. */
export const WindowOrderFlag = {
  window: 0x01000000,
  notifyIcon: 0x02000000,
  desktop: 0x04000000,
  isNew: 0x10000000,
  deleted: 0x20000000,
  icon: 0x40000000,
  cachedIcon: 0x80000000,
} as const;

/** FieldsPresentFlags of desktop orders, [MS-RDPERP] 2.2.1.3.3.2. */
export const DesktopOrderFlag = {
  notMonitored: 0x01,
  hooked: 0x02,
  syncCompleted: 0x04,
  syncBegan: 0x08,
  zOrder: 0x10,
  activeWindow: 0x20,
} as const;

const point = struct('offset', { x: i32le, y: i32le });
const size = struct('size', { width: u32le, height: u32le });
const margins = struct('resize margins', { first: u32le, second: u32le });
const styles = struct('styles', { style: u32le, extendedStyle: u32le });
/** UNICODE_STRING, [MS-RDPERP] 2.2.1.2.1: its bytes. */
const text = counted(u16le);
/** TS_RECTANGLE_16, [MS-RDPERP] 2.2.1.2.2: right and bottom are exclusive. */
const rectangle = struct('TS_RECTANGLE_16', { left: u16le, top: u16le, right: u16le, bottom: u16le });
export type WindowRectangle = Value<typeof rectangle>;

/** New or Existing Window, [MS-RDPERP] 2.2.1.3.1.2.1: the flag that announces each field, in the order of the fields. */
const windowFields = {
  ownerWindowId: [0x00000002, u32le],
  styles: [0x00000008, styles],
  showState: [0x00000010, u8],
  titleInfo: [0x00000004, text],
  clientOffset: [0x00004000, point],
  clientAreaSize: [0x00010000, size],
  resizeMarginX: [0x00000080, margins],
  resizeMarginY: [0x08000000, margins],
  rpContent: [0x00020000, u8],
  rootParentHandle: [0x00040000, u32le],
  windowOffset: [0x00000800, point],
  windowClientDelta: [0x00008000, point],
  windowSize: [0x00000400, size],
  windowRects: [0x00000100, list('window rectangles', u16le, rectangle)],
  visibleOffset: [0x00001000, point],
  visibilityRects: [0x00000200, list('visibility rectangles', u16le, rectangle)],
  overlayDescription: [0x00400000, text],
  taskbarButton: [0x00800000, u8],
  enforceServerZOrder: [0x00080000, u8],
  appBarState: [0x00000040, u8],
  appBarEdge: [0x00000001, u8],
} as const satisfies Record<string, readonly [flag: number, codec: Codec<unknown>]>;
const windowFieldList: readonly [string, readonly [number, Codec<unknown>]][] = Object.entries(windowFields);

export type WindowFields = { -readonly [K in keyof typeof windowFields]?: Value<(typeof windowFields)[K][1]> };

/** A windowing order behind its OrderSize. `flags` are FieldsPresentFlags; icons are left as bytes. */
export type WindowOrder =
  | { kind: 'window'; flags: number; windowId: number; fields: WindowFields; trailing: Uint8Array }
  | { kind: 'windowDeleted'; flags: number; windowId: number; trailing: Uint8Array }
  | { kind: 'desktop'; flags: number; activeWindowId?: number; windowIds?: number[]; trailing: Uint8Array }
  | { kind: 'icon'; flags: number; trailing: Uint8Array };

const windowIds = list('window ids', u8, u32le);
const { icon, cachedIcon } = WindowOrderFlag;

/** [MS-RDPERP] 2.2.1.3. The reader must be bounded to the order. */
export const windowOrder: Codec<WindowOrder> = {
  name: 'windowing order',
  decode(reader) {
    const flags = reader.u32le();
    if (flags & WindowOrderFlag.desktop) return readDesktop(reader, flags);
    if (!(flags & WindowOrderFlag.window)) {
      if (flags & WindowOrderFlag.notifyIcon) return { kind: 'icon', flags, trailing: reader.rest() };
      throw reader.error('unsupported', 'a windowing order is about neither window, icon nor desktop');
    }
    if ((flags & (icon | cachedIcon)) !== 0) return { kind: 'icon', flags, trailing: reader.rest() };
    const windowId = reader.u32le();
    if (flags & WindowOrderFlag.deleted) return { kind: 'windowDeleted', flags, windowId, trailing: reader.rest() };
    return { kind: 'window', flags, windowId, fields: readFields(reader, flags), trailing: reader.rest() };
  },
  encode(order, writer) {
    writer.u32le(order.flags);
    if (order.kind === 'window' || order.kind === 'windowDeleted') writer.u32le(order.windowId);
    if (order.kind === 'window') writeFields(writer, order.flags, order.fields);
    if (order.kind === 'desktop') {
      if (order.activeWindowId !== undefined) writer.u32le(order.activeWindowId);
      if (order.windowIds !== undefined) windowIds.encode(order.windowIds, writer);
    }
    writer.slice(order.trailing);
  },
};

function readDesktop(reader: Reader, flags: number): WindowOrder {
  const order: WindowOrder = { kind: 'desktop', flags, trailing: new Uint8Array(0) };
  if (flags & DesktopOrderFlag.activeWindow) order.activeWindowId = reader.u32le();
  if (flags & DesktopOrderFlag.zOrder) order.windowIds = windowIds.decode(reader);
  return { ...order, trailing: reader.rest() };
}

function readFields(reader: Reader, flags: number): WindowFields {
  const fields: Record<string, unknown> = {};
  for (const [name, [flag, codec]] of windowFieldList) if (flags & flag) fields[name] = codec.decode(reader);
  return fields;
}

function writeFields(writer: Writer, flags: number, fields: WindowFields): void {
  for (const [name, [flag, codec]] of windowFieldList)
    if (flags & flag) codec.encode((fields as Record<string, unknown>)[name], writer);
}

/** A New or Existing Window order of these fields. */
export function windowOrderOf(windowId: number, isNew: boolean, fields: WindowFields): WindowOrder {
  let flags: number = WindowOrderFlag.window | (isNew ? WindowOrderFlag.isNew : 0);
  for (const name of Object.keys(fields)) flags |= windowFields[name as keyof WindowFields][0];
  return { kind: 'window', flags: flags >>> 0, windowId, fields, trailing: new Uint8Array(0) };
}

/** Servers cut at 260 characters; terminators are no part of a title. */
const titleCharactersMax = 260;

export function windowTitle(titleInfo: Uint8Array): string {
  const whole = textOfUtf16(titleInfo.subarray(0, 2 * titleCharactersMax));
  const end = whole.indexOf('\0');
  return end < 0 ? whole : whole.slice(0, end);
}
