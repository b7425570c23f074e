import type { Codec } from '@lucid-sessions/wire';
import {
  bytes,
  counted,
  fixedUtf16,
  list,
  struct,
  structWithTail,
  u8,
  u16le,
  u32le,
  type Value,
} from '@lucid-sessions/wire/struct';
import { type Block, block } from './block.ts';

/** Every capability set, [MS-RDPBCGR] 2.2.7 (and [MS-RDPEGDI], [MS-RDPERP], [MS-RDPRFX], [MS-RDPNSC] where named). */

/** extraFlags of the general set. */
export const GeneralExtraFlag = {
  fastpathOutputSupported: 0x0001,
  noBitmapCompressionHdr: 0x0400,
  longCredentialsSupported: 0x0004,
  autoreconnectSupported: 0x0008,
  encSaltedChecksum: 0x0010,
} as const;

/** 2.2.7.1.1 */
export const generalCapability = structWithTail(
  'general capability set',
  {
    osMajorType: u16le,
    osMinorType: u16le,
    protocolVersion: u16le,
    pad2octetsA: u16le,
    generalCompressionTypes: u16le,
    extraFlags: u16le,
    updateCapabilityFlag: u16le,
    remoteUnshareFlag: u16le,
    generalCompressionLevel: u16le,
    refreshRectSupport: u8,
    suppressOutputSupport: u8,
  },
  {},
);

/** 2.2.7.1.2 */
export const bitmapCapability = structWithTail(
  'bitmap capability set',
  {
    preferredBitsPerPixel: u16le,
    receive1BitPerPixel: u16le,
    receive4BitsPerPixel: u16le,
    receive8BitsPerPixel: u16le,
    desktopWidth: u16le,
    desktopHeight: u16le,
    pad2octets: u16le,
    desktopResizeFlag: u16le,
    bitmapCompressionFlag: u16le,
    highColorFlags: u8,
    drawingFlags: u8,
    multipleRectangleSupport: u16le,
    pad2octetsB: u16le,
  },
  {},
);

/** 2.2.7.1.3 */
export const orderCapability = structWithTail(
  'order capability set',
  {
    terminalDescriptor: bytes(16),
    pad4octetsA: u32le,
    desktopSaveXGranularity: u16le,
    desktopSaveYGranularity: u16le,
    pad2octetsA: u16le,
    maximumOrderLevel: u16le,
    numberFonts: u16le,
    orderFlags: u16le,
    orderSupport: bytes(32),
    textFlags: u16le,
    orderSupportExFlags: u16le,
    pad4octetsB: u32le,
    desktopSaveSize: u32le,
    pad2octetsC: u16le,
    pad2octetsD: u16le,
    textAnsiCodePage: u16le,
    pad2octetsE: u16le,
  },
  {},
);

/** 2.2.7.1.4.1 */
export const bitmapCacheCapability = structWithTail(
  'bitmap cache capability set',
  {
    pad: bytes(24),
    cache0Entries: u16le,
    cache0MaximumCellSize: u16le,
    cache1Entries: u16le,
    cache1MaximumCellSize: u16le,
    cache2Entries: u16le,
    cache2MaximumCellSize: u16le,
  },
  {},
);

/** 2.2.7.1.4.2 */
export const bitmapCacheV2Capability = structWithTail(
  'bitmap cache revision 2 capability set',
  {
    cacheFlags: u16le,
    pad2: u8,
    numCellCaches: u8,
    cell0Info: u32le,
    cell1Info: u32le,
    cell2Info: u32le,
    cell3Info: u32le,
    cell4Info: u32le,
    pad3: bytes(12),
  },
  {},
);

/** 2.2.7.2.2 */
export const controlCapability = structWithTail(
  'control capability set',
  { controlFlags: u16le, remoteDetachFlag: u16le, controlInterest: u16le, detachInterest: u16le },
  {},
);

/** 2.2.7.2.3 */
export const windowActivationCapability = structWithTail(
  'window activation capability set',
  { helpKeyFlag: u16le, helpKeyIndexFlag: u16le, helpExtendedKeyFlag: u16le, windowManagerKeyFlag: u16le },
  {},
);

/** 2.2.7.1.5; a server may leave pointerCacheSize out. */
export const pointerCapability = structWithTail(
  'pointer capability set',
  { colorPointerFlag: u16le, colorPointerCacheSize: u16le },
  { pointerCacheSize: u16le },
);

/** 2.2.7.2.4 */
export const shareCapability = structWithTail('share capability set', { nodeId: u16le, pad2octets: u16le }, {});

/** Color cache, [MS-RDPEGDI] 2.2.1.1 */
export const colorCacheCapability = structWithTail(
  'color cache capability set',
  { colorTableCacheSize: u16le, pad2octets: u16le },
  {},
);

/** 2.2.7.1.11 */
export const soundCapability = structWithTail('sound capability set', { soundFlags: u16le, pad2octetsA: u16le }, {});

/** inputFlags of the input set. */
export const InputFlag = {
  scancodes: 0x0001,
  mousex: 0x0004,
  fastpathInput: 0x0008,
  unicode: 0x0010,
  fastpathInput2: 0x0020,
  unused1: 0x0040,
  mouseRelative: 0x0080,
  mouseHwheel: 0x0100,
  qoeTimestamps: 0x0200,
} as const;

/** 2.2.7.1.6 */
export const inputCapability = structWithTail(
  'input capability set',
  {
    inputFlags: u16le,
    pad2octetsA: u16le,
    keyboardLayout: u32le,
    keyboardType: u32le,
    keyboardSubType: u32le,
    keyboardFunctionKey: u32le,
    imeFileName: fixedUtf16(64),
  },
  {},
);

/** 2.2.7.2.5; some servers send only the flags, some nothing. */
export const fontCapability = structWithTail('font capability set', {}, { fontSupportFlags: u16le, pad2octets: u16le });

/** 2.2.7.1.7 */
export const brushCapability = structWithTail('brush capability set', { brushSupportLevel: u32le }, {});

const cacheDefinition = struct('TS_CACHE_DEFINITION', { cacheEntries: u16le, cacheMaximumCellSize: u16le });
function tenCaches(): Codec<Value<typeof cacheDefinition>[]> {
  return {
    name: 'ten glyph caches',
    decode: (reader) => Array.from({ length: 10 }, () => cacheDefinition.decode(reader)),
    encode: (value, writer) => {
      if (value.length !== 10) throw new RangeError('the glyph cache set has exactly ten caches');
      for (const cache of value) cacheDefinition.encode(cache, writer);
    },
  };
}

/** 2.2.7.1.8 */
export const glyphCacheCapability = structWithTail(
  'glyph cache capability set',
  {
    glyphCache: tenCaches(),
    fragCache: u32le,
    glyphSupportLevel: u16le,
    pad2octets: u16le,
  },
  {},
);
/** 2.2.7.1.9 */
export const offscreenCacheCapability = structWithTail(
  'offscreen bitmap cache capability set',
  { offscreenSupportLevel: u32le, offscreenCacheSize: u16le, offscreenCacheEntries: u16le },
  {},
);

/** 2.2.7.2.1 */
export const bitmapCacheHostSupportCapability = structWithTail(
  'bitmap cache host support capability set',
  { cacheVersion: u8, pad1: u8, pad2: u16le },
  {},
);

/** 2.2.7.1.10; VCChunkSize is absent in clients' and old servers' sets. */
export const virtualChannelCapability = structWithTail(
  'virtual channel capability set',
  { flags: u32le },
  { vcChunkSize: u32le },
);

/** [MS-RDPEGDI] 2.2.1.2 */
export const drawNineGridCapability = structWithTail(
  'DrawNineGrid cache capability set',
  { drawNineGridSupportLevel: u32le, drawNineGridCacheSize: u16le, drawNineGridCacheEntries: u16le },
  {},
);

/** [MS-RDPEGDI] 2.2.1.3 */
export const drawGdiPlusCapability = structWithTail(
  'GDI+ capability set',
  {
    drawGdiPlusSupportLevel: u32le,
    gdipVersion: u32le,
    drawGdiplusCacheLevel: u32le,
    gdipCacheEntries: bytes(10),
    gdipCacheChunkSize: bytes(8),
    gdipImageCacheProperties: bytes(6),
  },
  {},
);

/** [MS-RDPERP] 2.2.1.1.1 */
export const remoteProgramsCapability = structWithTail(
  'remote programs capability set',
  { railSupportLevel: u32le },
  {},
);

/** [MS-RDPERP] 2.2.1.1.2 */
export const windowListCapability = structWithTail(
  'window list capability set',
  { wndSupportLevel: u32le, numIconCaches: u8, numIconCacheEntries: u16le },
  {},
);

/** 2.2.7.2.8 */
export const desktopCompositionCapability = structWithTail(
  'desktop composition capability set',
  { compDeskSupportLevel: u16le },
  {},
);

/** 2.2.7.2.6 */
export const multifragmentUpdateCapability = structWithTail(
  'multifragment update capability set',
  { maxRequestSize: u32le },
  {},
);

/** 2.2.7.2.7 */
export const largePointerCapability = structWithTail(
  'large pointer capability set',
  { largePointerSupportFlags: u16le },
  {},
);

/** cmdFlags of the surface commands set. */
export const SurfaceCommandFlag = { setSurfaceBits: 0x02, frameMarker: 0x10, streamSurfaceBits: 0x40 } as const;

/** 2.2.7.2.9 */
export const surfaceCommandsCapability = structWithTail(
  'surface commands capability set',
  { cmdFlags: u32le, reserved: u32le },
  {},
);

const bitmapCodec = struct('TS_BITMAPCODEC', { codecGuid: bytes(16), codecId: u8, codecProperties: counted(u16le) });
/** 2.2.7.2.10 */
export const bitmapCodecsCapability = structWithTail(
  'bitmap codecs capability set',
  { bitmapCodecs: list('bitmap codecs', u8, bitmapCodec) },
  {},
);
export type BitmapCodec = Value<typeof bitmapCodec>;

/** Codec GUIDs as they are on the wire, in hex. */
export const BitmapCodecGuid = {
  nsCodec: 'b91b8dca0f004f15589fae2d1a87e2d6',
  remoteFx: '122f777672bd6344afb3b73c9c6f7886',
  imageRemoteFx: 'd4cc44278a9d744e803c0ecbeea19c54',
  ignore: 'a651439c3535ae42910ccdfce5760b58',
} as const;

/** [MS-RDPRFX] 2.2.1.3 TS_FRAME_ACKNOWLEDGE_CAPABILITYSET */
export const frameAcknowledgeCapability = structWithTail(
  'frame acknowledge capability set',
  { maxUnacknowledgedFrameCount: u32le },
  {},
);

/** CAPSETTYPE_BITMAP_CACHE_V3_CODECID, [MS-RDPEGDI] 2.2.1.4 */
export const bitmapCacheV3CodecIdCapability = structWithTail('bitmap cache v3 codec id', { codecId: u8 }, {});

const table = {
  general: { type: 1, codec: generalCapability },
  bitmap: { type: 2, codec: bitmapCapability },
  order: { type: 3, codec: orderCapability },
  bitmapCache: { type: 4, codec: bitmapCacheCapability },
  control: { type: 5, codec: controlCapability },
  bitmapCacheV3CodecId: { type: 6, codec: bitmapCacheV3CodecIdCapability },
  windowActivation: { type: 7, codec: windowActivationCapability },
  pointer: { type: 8, codec: pointerCapability },
  share: { type: 9, codec: shareCapability },
  colorCache: { type: 10, codec: colorCacheCapability },
  sound: { type: 12, codec: soundCapability },
  input: { type: 13, codec: inputCapability },
  font: { type: 14, codec: fontCapability },
  brush: { type: 15, codec: brushCapability },
  glyphCache: { type: 16, codec: glyphCacheCapability },
  offscreenCache: { type: 17, codec: offscreenCacheCapability },
  bitmapCacheHostSupport: { type: 18, codec: bitmapCacheHostSupportCapability },
  bitmapCacheV2: { type: 19, codec: bitmapCacheV2Capability },
  virtualChannel: { type: 20, codec: virtualChannelCapability },
  drawNineGrid: { type: 21, codec: drawNineGridCapability },
  drawGdiPlus: { type: 22, codec: drawGdiPlusCapability },
  remotePrograms: { type: 23, codec: remoteProgramsCapability },
  windowList: { type: 24, codec: windowListCapability },
  desktopComposition: { type: 25, codec: desktopCompositionCapability },
  multifragmentUpdate: { type: 26, codec: multifragmentUpdateCapability },
  largePointer: { type: 27, codec: largePointerCapability },
  surfaceCommands: { type: 28, codec: surfaceCommandsCapability },
  bitmapCodecs: { type: 29, codec: bitmapCodecsCapability },
  frameAcknowledge: { type: 30, codec: frameAcknowledgeCapability },
} as const;

/** One capability set; sets of unknown type or shape are kept raw. */
export type CapabilitySet = Block<typeof table>;
export type CapabilityKind = CapabilitySet['kind'];
export const capabilitySet: Codec<CapabilitySet> = block('capability set', table);
/** The set's type number on the wire, by kind. */
export const CapabilitySetType = Object.fromEntries(
  Object.entries(table).map(([kind, entry]) => [kind, entry.type]),
) as { readonly [K in keyof typeof table]: number };
