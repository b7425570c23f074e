import { type Codec, DecodeError, Reader, type Writer } from '@lucid-sessions/wire';
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
} from '@lucid-sessions/wire/struct';
import { securityHeader } from './security.ts';

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

/**
 * Neither half of the security header is looked at. mstsc leaves `flagsHi` uninitialised, and under TLS no peer cares for
 * `flags`: this PDU is known by its place, the first data of the client on the I/O channel.
 */
export const clientInfoPdu: Codec<ClientInfoPdu> = {
  name: 'Client Info PDU',
  decode(reader) {
    const { flags, flagsHi } = securityHeader.decode(reader);
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

/** Where codePage and the strings of the info packet begin, behind the security header. */
const INFO_OFFSET = 4;
const STRINGS_OFFSET = INFO_OFFSET + 8 + 10;

/** What may be shown of a Client Info PDU, and what of it is secret. */
export interface ClientInfoSecrets {
  domain: string;
  userName: string;
  hasPassword: boolean;
  /** The password, the automatic reconnection cookie, and what stands where the specification knows nothing. */
  secrets: ByteRange[];
}

/**
 * Where the secrets of a Client Info PDU lie (the data of its MCS Send Data, from the security header on). Whoever records
 * the PDU zeroes them. null where it can't be read without doubt: all of it may be the password then.
 */
export function clientInfoSecrets(pdu: Uint8Array): ClientInfoSecrets | null {
  if (pdu.length < STRINGS_OFFSET) return null;
  try {
    const reader = new Reader(pdu, INFO_OFFSET);
    reader.skip(4);
    const unit = reader.u32le() & InfoFlag.unicode ? 2 : 1;
    const lengths = STRING_NAMES.map(() => reader.u16le());
    const ranges = lengths.map((length) => stringAt(reader, length, unit));
    const [domain, userName, password] = ranges;
    if (!domain || !userName || !password || ranges.includes(null)) return null;
    const secrets = [{ offset: password.offset, length: password.length }, ...extendedSecrets(pdu, reader)];
    return {
      domain: domain.text,
      userName: userName.text,
      hasPassword: password.text !== '',
      secrets: secrets.filter((range) => range.length > 0),
    };
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/** A string and its terminator; null where it is not one in that encoding: the next ones may be elsewhere then. */
function stringAt(reader: Reader, length: number, unit: 1 | 2): (ByteRange & { text: string }) | null {
  const { offset } = reader;
  if (length % unit !== 0) return null;
  const view = reader.slice(length);
  // Some count the terminator into the length.
  const text = (unit === 2 ? textOfUtf16(view) : textOfBytes(view)).replace(/\0+$/, '');
  const ended = reader.slice(unit).every((byte) => byte === 0);
  return ended && !text.includes('\0') ? { offset, length, text } : null;
}

/** ARC_CS_PRIVATE_PACKET, [MS-RDPBCGR] 2.2.4.3. */
const COOKIE_BYTES = 28;

/** The cookie; all of the extended info where a length may be wrong, for then the cookie may be anywhere in it. */
function extendedSecrets(pdu: Uint8Array, reader: Reader): ByteRange[] {
  const all = [{ offset: reader.offset, length: reader.remaining }];
  try {
    const { clientAddress, clientDir, autoReconnectCookie, trailing } = extendedInfo.decode(reader);
    if (trailing !== undefined || !isText(clientAddress) || !isText(clientDir)) return all;
    if (autoReconnectCookie === undefined) return [];
    const { byteOffset, length } = autoReconnectCookie;
    return length === 0 || length === COOKIE_BYTES ? [{ offset: byteOffset - pdu.byteOffset, length }] : all;
  } catch (error) {
    if (error instanceof DecodeError) return all;
    throw error;
  }
}

/** UTF-16 with one terminator and nothing behind it: with fewer or more of them what follows may begin elsewhere. */
function isText(view: Uint8Array): boolean {
  const text = textOfUtf16(view);
  return view.length === 0 || (view.length % 2 === 0 && text.indexOf('\0') === text.length - 1);
}
