import { i32le, list, struct, u8, u16le, u32le, u64le, type Value } from '@lucid-sessions/wire/struct';

/** RDPGFX_POINT16, [MS-RDPEGFX] 2.2.1.1. */
export const gfxPoint16 = struct('RDPGFX_POINT16', { x: u16le, y: u16le });
export type GfxPoint16 = Value<typeof gfxPoint16>;

/** RDPGFX_RECT16, [MS-RDPEGFX] 2.2.1.2: right and bottom are exclusive. */
export const gfxRect16 = struct('RDPGFX_RECT16', { left: u16le, top: u16le, right: u16le, bottom: u16le });
export type GfxRect16 = Value<typeof gfxRect16>;

/** RDPGFX_COLOR32, [MS-RDPEGFX] 2.2.1.3. */
export const gfxColor32 = struct('RDPGFX_COLOR32', { b: u8, g: u8, r: u8, xa: u8 });

/** RDPGFX_PIXELFORMAT, [MS-RDPEGFX] 2.2.1.4. */
export const pixelFormatXrgb8888 = 0x20;
export const pixelFormatArgb8888 = 0x21;

/** TS_MONITOR_DEF, [MS-RDPBCGR] 2.2.1.3.6.1. */
const monitorDef = struct('TS_MONITOR_DEF', { left: i32le, top: i32le, right: i32le, bottom: i32le, flags: u32le });

/** RDPGFX_CACHE_ENTRY_METADATA, [MS-RDPEGFX] 2.2.2.16.1. */
const cacheEntryMetadata = struct('RDPGFX_CACHE_ENTRY_METADATA', { cacheKey: u64le, bitmapLength: u32le });

export const monitorDefs = list('monitorDefArray', u32le, monitorDef);
export const cacheEntries = list('cacheEntries', u16le, cacheEntryMetadata);
export const cacheSlots = list('cacheSlots', u16le, u16le);
export const gfxRects = list('rectangles', u16le, gfxRect16);
export const gfxPoints = list('points', u16le, gfxPoint16);
