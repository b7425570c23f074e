import { type CapabilitySet, GeneralExtraFlag, InputFlag } from '../pdu/capability-sets.ts';

/** Capability sets for peers that speak plain bitmaps: no orders, no codecs, no compression. */

/** The color depths of a session. */
export type ColorDepth = 15 | 16 | 24 | 32;

export interface DesktopShape {
  desktopWidth: number;
  desktopHeight: number;
  bitsPerPixel: ColorDepth;
}

/** Largest fast-path update this project's own peers put together. */
export const MULTIFRAGMENT_BYTES_MAX = 4 * 1024 * 1024;

const GENERAL_EXTRA =
  GeneralExtraFlag.fastpathOutputSupported |
  GeneralExtraFlag.noBitmapCompressionHdr |
  GeneralExtraFlag.longCredentialsSupported;

function general(): CapabilitySet {
  return {
    kind: 'general',
    osMajorType: 1,
    osMinorType: 3,
    protocolVersion: 0x0200,
    pad2octetsA: 0,
    generalCompressionTypes: 0,
    extraFlags: GENERAL_EXTRA,
    updateCapabilityFlag: 0,
    remoteUnshareFlag: 0,
    generalCompressionLevel: 0,
    refreshRectSupport: 1,
    suppressOutputSupport: 1,
  };
}

function bitmap(shape: DesktopShape): CapabilitySet {
  return {
    kind: 'bitmap',
    preferredBitsPerPixel: shape.bitsPerPixel,
    receive1BitPerPixel: 1,
    receive4BitsPerPixel: 1,
    receive8BitsPerPixel: 1,
    desktopWidth: shape.desktopWidth,
    desktopHeight: shape.desktopHeight,
    pad2octets: 0,
    desktopResizeFlag: 1,
    bitmapCompressionFlag: 1,
    highColorFlags: 0,
    drawingFlags: 0x08,
    multipleRectangleSupport: 1,
    pad2octetsB: 0,
  };
}

function order(): CapabilitySet {
  return {
    kind: 'order',
    terminalDescriptor: new Uint8Array(16),
    pad4octetsA: 0,
    desktopSaveXGranularity: 1,
    desktopSaveYGranularity: 20,
    pad2octetsA: 0,
    maximumOrderLevel: 1,
    numberFonts: 0,
    orderFlags: 0x000a,
    orderSupport: new Uint8Array(32),
    textFlags: 0,
    orderSupportExFlags: 0,
    pad4octetsB: 0,
    desktopSaveSize: 480 * 480,
    pad2octetsC: 0,
    pad2octetsD: 0,
    textAnsiCodePage: 0,
    pad2octetsE: 0,
  };
}

function input(inputFlags: number, keyboardLayout: number): CapabilitySet {
  return {
    kind: 'input',
    inputFlags,
    pad2octetsA: 0,
    keyboardLayout,
    keyboardType: 4,
    keyboardSubType: 0,
    keyboardFunctionKey: 12,
    imeFileName: { text: '' },
  };
}

/** What this project's own servers announce. */
export function serverCapabilities(shape: DesktopShape): CapabilitySet[] {
  const inputFlags = InputFlag.scancodes | InputFlag.mousex | InputFlag.unicode | InputFlag.fastpathInput2;
  return [
    { kind: 'share', nodeId: 0x03ea, pad2octets: 0 },
    general(),
    bitmap(shape),
    { kind: 'font', fontSupportFlags: 1, pad2octets: 0 },
    order(),
    { kind: 'colorCache', colorTableCacheSize: 6, pad2octets: 0 },
    { kind: 'pointer', colorPointerFlag: 1, colorPointerCacheSize: 25, pointerCacheSize: 25 },
    input(inputFlags | InputFlag.fastpathInput, 0),
    { kind: 'virtualChannel', flags: 0, vcChunkSize: 1600 },
    { kind: 'multifragmentUpdate', maxRequestSize: MULTIFRAGMENT_BYTES_MAX },
  ];
}

/** What this project's own clients announce. */
export function clientCapabilities(shape: DesktopShape, keyboardLayout: number): CapabilitySet[] {
  const inputFlags = InputFlag.scancodes | InputFlag.mousex | InputFlag.unicode | InputFlag.fastpathInput2;
  const noCache = { cacheEntries: 0, cacheMaximumCellSize: 0 };
  return [
    general(),
    bitmap(shape),
    order(),
    {
      kind: 'bitmapCache',
      pad: new Uint8Array(24),
      cache0Entries: 0,
      cache0MaximumCellSize: 0,
      cache1Entries: 0,
      cache1MaximumCellSize: 0,
      cache2Entries: 0,
      cache2MaximumCellSize: 0,
    },
    { kind: 'pointer', colorPointerFlag: 1, colorPointerCacheSize: 25, pointerCacheSize: 25 },
    input(inputFlags, keyboardLayout),
    { kind: 'brush', brushSupportLevel: 0 },
    {
      kind: 'glyphCache',
      glyphCache: Array.from({ length: 10 }, () => noCache),
      fragCache: 0,
      glyphSupportLevel: 0,
      pad2octets: 0,
    },
    { kind: 'virtualChannel', flags: 0 },
    { kind: 'sound', soundFlags: 0, pad2octetsA: 0 },
    { kind: 'share', nodeId: 0, pad2octets: 0 },
    { kind: 'font', fontSupportFlags: 1, pad2octets: 0 },
    { kind: 'control', controlFlags: 0, remoteDetachFlag: 0, controlInterest: 2, detachInterest: 2 },
    { kind: 'colorCache', colorTableCacheSize: 6, pad2octets: 0 },
    {
      kind: 'windowActivation',
      helpKeyFlag: 0,
      helpKeyIndexFlag: 0,
      helpExtendedKeyFlag: 0,
      windowManagerKeyFlag: 0,
    },
    { kind: 'multifragmentUpdate', maxRequestSize: MULTIFRAGMENT_BYTES_MAX },
    { kind: 'largePointer', largePointerSupportFlags: 1 },
  ];
}
