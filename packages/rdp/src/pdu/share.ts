import { type Codec, encode, type Reader } from '@lucid-sessions/wire';
import { struct, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** pduType of the share control header, [MS-RDPBCGR] 2.2.8.1.1.1.1. */
export const PduType = {
  demandActive: 1,
  confirmActive: 3,
  deactivateAll: 6,
  data: 7,
  serverRedirection: 10,
} as const;

/** pduType2 of the share data header, [MS-RDPBCGR] 2.2.8.1.1.1.2. */
export const PduType2 = {
  update: 2,
  control: 20,
  pointer: 27,
  input: 28,
  synchronize: 31,
  refreshRect: 33,
  playSound: 34,
  suppressOutput: 35,
  shutdownRequest: 36,
  shutdownDenied: 37,
  saveSessionInfo: 38,
  fontList: 39,
  fontMap: 40,
  setKeyboardIndicators: 41,
  bitmapCachePersistentList: 43,
  bitmapCacheError: 44,
  setKeyboardImeStatus: 45,
  offscreenCacheError: 46,
  setErrorInfo: 47,
  drawNineGridError: 48,
  drawGdiPlusError: 49,
  arcStatus: 50,
  statusInfo: 54,
  monitorLayout: 55,
  frameAcknowledge: 56,
} as const;

/** Sizes of the share control and share data headers. */
export const SHARE_CONTROL_HEADER_BYTES = 6;
export const SHARE_DATA_HEADER_BYTES = 12;
/** Version bits every share control header carries above the type. */
export const SHARE_VERSION = 0x10;

/** compressedType: the low four bits name the algorithm, the high four are PACKET_* flags ([MS-RDPBCGR] 3.1.8.2.1). */
export const CompressionFlag = { typeMask: 0x0f, compressed: 0x20, atFront: 0x40, flushed: 0x80 } as const;

/** TS_SHARECONTROLHEADER and the body its length covers. */
export interface ShareControlPdu {
  /** Type in the low four bits, version above. */
  pduType: number;
  /** Absent only in the shortest Deactivate All of old servers. */
  pduSource?: number;
  body: Uint8Array;
}

export const shareControlPdu: Codec<ShareControlPdu> = {
  name: 'share control PDU',
  decode(reader) {
    const totalLength = reader.u16le();
    if (totalLength < 4) throw reader.error('invalid', `share control length ${totalLength} is below its header`);
    const content = reader.sub(totalLength - 2);
    const pduType = content.u16le();
    if (content.remaining < 2) {
      content.expectEnd('share control header');
      return { pduType, body: content.rest() };
    }
    return { pduType, pduSource: content.u16le(), body: content.rest() };
  },
  encode(value, writer) {
    const short = value.pduSource === undefined;
    writer.u16le(value.body.length + (short ? 4 : SHARE_CONTROL_HEADER_BYTES)).u16le(value.pduType);
    if (value.pduSource !== undefined) writer.u16le(value.pduSource);
    writer.slice(value.body);
  },
};

/** TS_SHAREDATAHEADER without the share control header. */
export const shareDataHeader = struct('share data header', {
  shareId: u32le,
  pad1: u8,
  streamId: u8,
  /** Size of the uncompressed body with a header the peers count differently; not to be trusted. */
  uncompressedLength: u16le,
  pduType2: u8,
  compressedType: u8,
  compressedLength: u16le,
});
export type ShareDataHeader = Value<typeof shareDataHeader>;

/** Share data header and its body (compressed when `compressedType` says so). */
export interface ShareDataPdu extends ShareDataHeader {
  data: Uint8Array;
}

export const shareDataPdu: Codec<ShareDataPdu> = {
  name: 'share data PDU',
  decode: (reader) => ({ ...shareDataHeader.decode(reader), data: reader.rest() }),
  encode(value, writer) {
    shareDataHeader.encode(value, writer);
    writer.slice(value.data);
  },
};

/**
 * Whether data of the I/O channel begins with a share control header rather than a security header. Client Info and
 * licensing PDUs put flags where the length stands (and xrdp leaves garbage behind them); only a share control header
 * has its version bits and a length that fits. Flow PDUs have 0x8000 there.
 */
export function isShareControl(data: Uint8Array): boolean {
  if (data.length < 4) return false;
  const length = data[0]! | (data[1]! << 8);
  const isVersioned = (data[2]! & 0xf0) === 0x10;
  return isVersioned && length >= 4 && length <= data.length;
}

/** Builds one whole share control PDU around a share data body. */
export function wrapShareData<T>(
  shareId: number,
  pduSource: number,
  pduType2: number,
  codec: Codec<T>,
  value: T,
): Uint8Array {
  const data = encode(codec, value);
  const body = encode(shareDataPdu, {
    shareId,
    pad1: 0,
    streamId: 1,
    uncompressedLength: data.length + SHARE_CONTROL_HEADER_BYTES + SHARE_DATA_HEADER_BYTES,
    pduType2,
    compressedType: 0,
    compressedLength: 0,
    data,
  });
  return encode(shareControlPdu, { pduType: SHARE_VERSION | PduType.data, pduSource, body });
}

/**
 * The share control PDUs in one MCS data field; Windows may put several there. Stops with `DecodeError` at the first
 * one that doesn't fit.
 */
export function readShareControlPdus(reader: Reader): ShareControlPdu[] {
  const pdus: ShareControlPdu[] = [];
  while (reader.remaining > 0) pdus.push(shareControlPdu.decode(reader));
  return pdus;
}

/** Encodes `value` of `codec` as the body of a share control PDU of `pduType`. */
export function wrapShareControl<T>(pduType: number, pduSource: number, codec: Codec<T>, value: T): Uint8Array {
  const body = encode(codec, value);
  return encode(shareControlPdu, { pduType: SHARE_VERSION | pduType, pduSource, body });
}
