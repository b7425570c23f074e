import { type Codec, decode, type Reader, type Writer } from '@lucid-sessions/wire';
import { SecurityFlag, securityHeader } from './security.ts';
import {
  bytes,
  counted,
  fixedUtf16,
  i32le,
  struct,
  structWithTail,
  textOfBytes,
  textOfUtf16,
  u16le,
  u32le,
  type Value,
} from './struct.ts';

/** INFO_* flags, [MS-RDPBCGR] 2.2.1.11.1.1. */
export const InfoFlag = {
  mouse: 0x00000001,
  disableCtrlAltDel: 0x00000002,
  autologon: 0x00000008,
  unicode: 0x00000010,
  maximizeShell: 0x00000020,
  logonNotify: 0x00000040,
  compression: 0x00000080,
  compressionTypeMask: 0x00001e00,
  enableWindowsKey: 0x00000100,
  remoteConsoleAudio: 0x00002000,
  forceEncryptedCsPdu: 0x00004000,
  rail: 0x00008000,
  logonErrors: 0x00010000,
  mouseHasWheel: 0x00020000,
  passwordIsScPin: 0x00040000,
  noAudioPlayback: 0x00080000,
  usingSavedCreds: 0x00100000,
  audioCapture: 0x00200000,
  videoDisable: 0x00400000,
  reservedHidefRailSupported: 0x02000000,
} as const;

/** Longest string of the packet in bytes; the specification says 512, domain names of today may be longer. */
const STRING_BYTES_MAX = 4096;

const systemTime = struct('SYSTEMTIME', {
  year: u16le,
  month: u16le,
  dayOfWeek: u16le,
  day: u16le,
  hour: u16le,
  minute: u16le,
  second: u16le,
  milliseconds: u16le,
});

/** TS_TIME_ZONE_INFORMATION, [MS-RDPBCGR] 2.2.1.11.1.1.1.1. */
export const timeZoneInformation = struct('TS_TIME_ZONE_INFORMATION', {
  bias: i32le,
  standardName: fixedUtf16(64),
  standardDate: systemTime,
  standardBias: i32le,
  daylightName: fixedUtf16(64),
  daylightDate: systemTime,
  daylightBias: i32le,
});
export type TimeZoneInformation = Value<typeof timeZoneInformation>;

/** A time zone that says nothing: UTC without daylight saving. */
export function emptyTimeZone(): TimeZoneInformation {
  const never = { year: 0, month: 0, dayOfWeek: 0, day: 0, hour: 0, minute: 0, second: 0, milliseconds: 0 };
  return {
    bias: 0,
    standardName: { text: '' },
    standardDate: never,
    standardBias: 0,
    daylightName: { text: '' },
    daylightDate: never,
    daylightBias: 0,
  };
}

/** PERF_* flags of performanceFlags. */
export const PerformanceFlag = {
  disableWallpaper: 0x01,
  disableFullwindowdrag: 0x02,
  disableMenuanimations: 0x04,
  disableTheming: 0x08,
  disableCursorShadow: 0x20,
  disableCursorsettings: 0x40,
  enableFontSmoothing: 0x80,
  enableDesktopComposition: 0x100,
} as const;

/** TS_EXTENDED_INFO_PACKET, [MS-RDPBCGR] 2.2.1.11.1.1.1; fields from the time zone on may be absent. */
export const extendedInfo = structWithTail(
  'TS_EXTENDED_INFO_PACKET',
  {
    clientAddressFamily: u16le,
    /** UTF-16LE with its terminator. */
    clientAddress: counted(u16le),
    /** UTF-16LE with its terminator. */
    clientDir: counted(u16le),
  },
  {
    clientTimeZone: timeZoneInformation,
    clientSessionId: u32le,
    performanceFlags: u32le,
    autoReconnectCookie: counted(u16le),
    reserved1: bytes(2),
    reserved2: bytes(2),
    dynamicDstTimeZoneKeyName: counted(u16le),
    dynamicDaylightTimeDisabled: u16le,
  },
);
export type ExtendedInfo = Value<typeof extendedInfo>;

/** TS_INFO_PACKET, [MS-RDPBCGR] 2.2.1.11.1.1. Holds the user's password in clear: never log or record it. */
export interface ClientInfo {
  codePage: number;
  flags: number;
  domain: string;
  userName: string;
  password: string;
  alternateShell: string;
  workingDir: string;
  /** The five terminators, when any of them is not zero. */
  terminators?: Uint8Array[];
  extended?: ExtendedInfo;
  /** Bytes after the strings that are no extended info packet. */
  trailing?: Uint8Array;
}

const STRING_NAMES = ['domain', 'userName', 'password', 'alternateShell', 'workingDir'] as const;

function readStrings(reader: Reader, unit: 1 | 2, value: ClientInfo, lengths: number[]): void {
  const terminators: Uint8Array[] = [];
  STRING_NAMES.forEach((name, i) => {
    const length = lengths[i]!;
    if (length > STRING_BYTES_MAX) throw reader.error('limit', `Client Info ${name} of ${length} bytes`);
    if (length % unit !== 0) throw reader.error('invalid', `Client Info ${name} ends inside a character`);
    const view = reader.slice(length);
    value[name] = unit === 2 ? textOfUtf16(view) : textOfBytes(view);
    terminators.push(reader.slice(unit));
  });
  if (terminators.some((view) => view.some((byte) => byte !== 0))) value.terminators = terminators;
}

function readExtended(reader: Reader, value: ClientInfo): void {
  if (reader.remaining === 0) return;
  if (reader.remaining < 6) value.trailing = reader.rest();
  else value.extended = extendedInfo.decode(reader);
}

function writeText(writer: Writer, text: string, unit: 1 | 2): void {
  if (unit === 2) writer.utf16le(text);
  else writer.latin1(text);
}

export const clientInfo: Codec<ClientInfo> = {
  name: 'TS_INFO_PACKET',
  decode(reader) {
    const codePage = reader.u32le();
    const flags = reader.u32le();
    const value: ClientInfo = {
      codePage,
      flags,
      domain: '',
      userName: '',
      password: '',
      alternateShell: '',
      workingDir: '',
    };
    const lengths = STRING_NAMES.map(() => reader.u16le());
    readStrings(reader, flags & InfoFlag.unicode ? 2 : 1, value, lengths);
    readExtended(reader, value);
    return value;
  },
  encode(value, writer) {
    const unit = value.flags & InfoFlag.unicode ? 2 : 1;
    writer.u32le(value.codePage).u32le(value.flags);
    for (const name of STRING_NAMES) writer.u16le(value[name].length * unit);
    STRING_NAMES.forEach((name, i) => {
      writeText(writer, value[name], unit);
      const terminator = value.terminators?.[i];
      if (terminator) writer.slice(terminator);
      else writer.zeros(unit);
    });
    if (value.extended) extendedInfo.encode(value.extended, writer);
    if (value.trailing) writer.slice(value.trailing);
  },
};

/** Client Info PDU data as an MCS channel carries it: basic security header, then the info packet. */
export interface ClientInfoPdu {
  flags: number;
  flagsHi: number;
  info: ClientInfo;
}

export const clientInfoPdu: Codec<ClientInfoPdu> = {
  name: 'Client Info PDU',
  decode(reader) {
    const { flags, flagsHi } = securityHeader.decode(reader);
    if ((flags & SecurityFlag.infoPkt) === 0) throw reader.error('invalid', 'security header without SEC_INFO_PKT');
    if (flags & SecurityFlag.encrypt) throw reader.error('unsupported', 'Client Info under standard RDP security');
    return { flags, flagsHi, info: clientInfo.decode(reader) };
  },
  encode(value, writer) {
    securityHeader.encode(value, writer);
    clientInfo.encode(value.info, writer);
  },
};

/** A part of a byte string. */
export interface ByteRange {
  offset: number;
  length: number;
}

/**
 * Where the secrets of a Client Info PDU lie (the data of its MCS Send Data, from the security header on): the password
 * and the automatic reconnection cookie. Whoever records the PDU zeroes them. Throws `DecodeError` as the codec does.
 */
export function clientInfoSecrets(pdu: Uint8Array): ByteRange[] {
  const { info } = decode(clientInfoPdu, pdu);
  const unit = info.flags & InfoFlag.unicode ? 2 : 1;
  const before = (info.domain.length + info.userName.length + 2) * unit;
  const ranges = [{ offset: 4 + 18 + before, length: info.password.length * unit }];
  const cookie = info.extended?.autoReconnectCookie;
  if (cookie) ranges.push({ offset: cookie.byteOffset - pdu.byteOffset, length: cookie.length });
  return ranges.filter((range) => range.length > 0);
}
