import { counted, type Fields, list, rest, struct, u8, u16le, u32le, u64le } from '@lucid-sessions/wire/struct';
import { cacheEntries, cacheSlots, gfxColor32, gfxPoints, gfxRect16, gfxRects, monitorDefs } from './structures.ts';

/** Codecs that bitmap data may be compressed with: [MS-RDPEGFX] 2.2.2.1 and 2.2.2.2. */
export const gfxCodecId = {
  uncompressed: 0x0000,
  caVideo: 0x0003,
  clearCodec: 0x0008,
  caProgressive: 0x0009,
  planar: 0x000a,
  avc420: 0x000b,
  alpha: 0x000c,
  caProgressiveV2: 0x000d,
  avc444: 0x000e,
  avc444v2: 0x000f,
} as const;

/** RDPGFX_CAPSET, [MS-RDPEGFX] 2.2.1.6. `capsData` is the 32-bit flags in every version but 10.1, which has 16 zeros. */
export const gfxCapset = struct('RDPGFX_CAPSET', { version: u32le, capsData: counted(u32le) });

/** One body per command, [MS-RDPEGFX] 2.2.2.1 to 2.2.2.23, in the order of their command identifiers. */
export const gfxBodies = {
  wireToSurface1: struct('RDPGFX_WIRE_TO_SURFACE_PDU_1', {
    surfaceId: u16le,
    codecId: u16le,
    pixelFormat: u8,
    destRect: gfxRect16,
    bitmapData: counted(u32le),
  }),
  wireToSurface2: struct('RDPGFX_WIRE_TO_SURFACE_PDU_2', {
    surfaceId: u16le,
    codecId: u16le,
    codecContextId: u32le,
    pixelFormat: u8,
    bitmapData: counted(u32le),
  }),
  deleteEncodingContext: struct('RDPGFX_DELETE_ENCODING_CONTEXT_PDU', { surfaceId: u16le, codecContextId: u32le }),
  solidFill: struct('RDPGFX_SOLIDFILL_PDU', { surfaceId: u16le, fillPixel: gfxColor32, fillRects: gfxRects }),
  surfaceToSurface: struct('RDPGFX_SURFACE_TO_SURFACE_PDU', {
    surfaceIdSrc: u16le,
    surfaceIdDest: u16le,
    rectSrc: gfxRect16,
    destPts: gfxPoints,
  }),
  surfaceToCache: struct('RDPGFX_SURFACE_TO_CACHE_PDU', {
    surfaceId: u16le,
    cacheKey: u64le,
    cacheSlot: u16le,
    rectSrc: gfxRect16,
  }),
  cacheToSurface: struct('RDPGFX_CACHE_TO_SURFACE_PDU', { cacheSlot: u16le, surfaceId: u16le, destPts: gfxPoints }),
  evictCacheEntry: struct('RDPGFX_EVICT_CACHE_ENTRY_PDU', { cacheSlot: u16le }),
  createSurface: struct('RDPGFX_CREATE_SURFACE_PDU', {
    surfaceId: u16le,
    width: u16le,
    height: u16le,
    pixelFormat: u8,
  }),
  deleteSurface: struct('RDPGFX_DELETE_SURFACE_PDU', { surfaceId: u16le }),
  startFrame: struct('RDPGFX_START_FRAME_PDU', { timestamp: u32le, frameId: u32le }),
  endFrame: struct('RDPGFX_END_FRAME_PDU', { frameId: u32le }),
  frameAcknowledge: struct('RDPGFX_FRAME_ACKNOWLEDGE_PDU', {
    queueDepth: u32le,
    frameId: u32le,
    totalFramesDecoded: u32le,
  }),
  /** `pad` fills the PDU to 340 bytes. */
  resetGraphics: struct('RDPGFX_RESET_GRAPHICS_PDU', { width: u32le, height: u32le, monitors: monitorDefs, pad: rest }),
  mapSurfaceToOutput: struct('RDPGFX_MAP_SURFACE_TO_OUTPUT_PDU', {
    surfaceId: u16le,
    reserved: u16le,
    outputOriginX: u32le,
    outputOriginY: u32le,
  }),
  cacheImportOffer: struct('RDPGFX_CACHE_IMPORT_OFFER_PDU', { cacheEntries }),
  cacheImportReply: struct('RDPGFX_CACHE_IMPORT_REPLY_PDU', { cacheSlots }),
  capsAdvertise: struct('RDPGFX_CAPS_ADVERTISE_PDU', { capsSets: list('capsSets', u16le, gfxCapset) }),
  capsConfirm: struct('RDPGFX_CAPS_CONFIRM_PDU', { capsSet: gfxCapset }),
  mapSurfaceToWindow: struct('RDPGFX_MAP_SURFACE_TO_WINDOW_PDU', {
    surfaceId: u16le,
    windowId: u64le,
    mappedWidth: u32le,
    mappedHeight: u32le,
  }),
  qoeFrameAcknowledge: struct('RDPGFX_QOE_FRAME_ACKNOWLEDGE_PDU', {
    frameId: u32le,
    timestamp: u32le,
    timeDiffSE: u16le,
    timeDiffEDR: u16le,
  }),
  mapSurfaceToScaledOutput: struct('RDPGFX_MAP_SURFACE_TO_SCALED_OUTPUT_PDU', {
    surfaceId: u16le,
    reserved: u16le,
    outputOriginX: u32le,
    outputOriginY: u32le,
    targetWidth: u32le,
    targetHeight: u32le,
  }),
  mapSurfaceToScaledWindow: struct('RDPGFX_MAP_SURFACE_TO_SCALED_WINDOW_PDU', {
    surfaceId: u16le,
    windowId: u64le,
    mappedWidth: u32le,
    mappedHeight: u32le,
    targetWidth: u32le,
    targetHeight: u32le,
  }),
} as const satisfies Fields;

export type GfxKind = keyof typeof gfxBodies;

/** Command identifiers, [MS-RDPEGFX] 2.2.1.5. */
export const gfxCmdId: { readonly [K in GfxKind]: number } = {
  wireToSurface1: 0x0001,
  wireToSurface2: 0x0002,
  deleteEncodingContext: 0x0003,
  solidFill: 0x0004,
  surfaceToSurface: 0x0005,
  surfaceToCache: 0x0006,
  cacheToSurface: 0x0007,
  evictCacheEntry: 0x0008,
  createSurface: 0x0009,
  deleteSurface: 0x000a,
  startFrame: 0x000b,
  endFrame: 0x000c,
  frameAcknowledge: 0x000d,
  resetGraphics: 0x000e,
  mapSurfaceToOutput: 0x000f,
  cacheImportOffer: 0x0010,
  cacheImportReply: 0x0011,
  capsAdvertise: 0x0012,
  capsConfirm: 0x0013,
  mapSurfaceToWindow: 0x0015,
  qoeFrameAcknowledge: 0x0016,
  mapSurfaceToScaledOutput: 0x0017,
  mapSurfaceToScaledWindow: 0x0018,
};
