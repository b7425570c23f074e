import { type Codec, DecodeError, encode, Reader } from '@lucid-sessions/wire';
import {
  bytes,
  fixedUtf16,
  list,
  rest,
  struct,
  structWithTail,
  textOfBytes,
  textOfUtf16,
  u16le,
  u32le,
  u64le,
  type Value,
} from '@lucid-sessions/wire/struct';

/** CLIPRDR_HEADER, [MS-RDPECLIP] 2.2.1. `data` is `dataLen` bytes and whatever padding follows. */
export const clipboardMessage = struct('CLIPRDR message', {
  msgType: u16le,
  msgFlags: u16le,
  dataLen: u32le,
  data: rest,
});
export type ClipboardMessage = Value<typeof clipboardMessage>;

/** msgType of clipboard messages. */
export const ClipboardType = {
  monitorReady: 1,
  formatList: 2,
  formatListResponse: 3,
  formatDataRequest: 4,
  formatDataResponse: 5,
  tempDirectory: 6,
  clipCaps: 7,
  fileContentsRequest: 8,
  fileContentsResponse: 9,
  lockClipdata: 10,
  unlockClipdata: 11,
} as const;

/** CLIPRDR_FILECONTENTS_REQUEST, [MS-RDPECLIP] 2.2.5.3 */
export const fileContentsRequest = structWithTail(
  'file contents request',
  {
    streamId: u32le,
    lindex: u32le,
    dwFlags: u32le,
    nPositionLow: u32le,
    nPositionHigh: u32le,
    cbRequested: u32le,
  },
  { clipDataId: u32le },
);
export type FileContentsRequest = Value<typeof fileContentsRequest>;

/** CLIPRDR_CAPS, [MS-RDPECLIP] 2.2.2.1, with its only set, CLIPRDR_GENERAL_CAPABILITY. */
export const clipboardCapabilities = structWithTail(
  'clipboard capabilities',
  {
    cCapabilitiesSets: u16le,
    pad1: u16le,
    capabilitySetType: u16le,
    lengthCapability: u16le,
    version: u32le,
    generalFlags: u32le,
  },
  {},
);
export type ClipboardCapabilities = Value<typeof clipboardCapabilities>;

/** generalFlags of the general capability set, [MS-RDPECLIP] 2.2.2.1.1.1. */
export const ClipboardGeneralFlag = {
  useLongFormatNames: 0x02,
  streamFileclipEnabled: 0x04,
  fileclipNoFilePaths: 0x08,
  canLockClipdata: 0x10,
  hugeFileSupportEnabled: 0x20,
} as const;

/** CLIPRDR_LOCK_CLIPDATA and CLIPRDR_UNLOCK_CLIPDATA, [MS-RDPECLIP] 2.2.4.1 and 2.2.4.2. */
export const clipboardLock = structWithTail('clipboard lock', { clipDataId: u32le }, {});
export type ClipboardLock = Value<typeof clipboardLock>;

/** msgFlags of clipboard messages. */
export const ClipboardFlag = { responseOk: 1, responseFail: 2, asciiNames: 4 } as const;

/** Most formats in one list, and longest name, that are accepted. */
const FORMATS_MAX = 1024;
const FORMAT_NAME_UNITS_MAX = 1024;

/** One format of a CLIPRDR_LONG_FORMAT_NAME list, [MS-RDPECLIP] 2.2.3.1.2.1; registered formats have names. */
export interface ClipboardFormat {
  formatId: number;
  formatName: string;
}

/** CLIPRDR_LONG_FORMAT_NAMES: what peers send once both announced CB_USE_LONG_FORMAT_NAMES. */
export const longFormatNames: Codec<ClipboardFormat[]> = {
  name: 'long format names',
  decode(reader) {
    const formats: ClipboardFormat[] = [];
    while (reader.remaining > 0) {
      if (formats.length === FORMATS_MAX) throw reader.error('limit', `more than ${FORMATS_MAX} clipboard formats`);
      const formatId = reader.u32le();
      const at = reader.offset;
      let units = 0;
      while (reader.u16le() !== 0) {
        units += 1;
        if (units > FORMAT_NAME_UNITS_MAX) throw new DecodeError('limit', 'clipboard format name too long', at);
      }
      formats.push({ formatId, formatName: textOfUtf16(reader.bytes.subarray(at, at + 2 * units)) });
    }
    return formats;
  },
  encode(formats, writer) {
    for (const { formatId, formatName } of formats) writer.u32le(formatId).utf16le(formatName).u16le(0);
  },
};

const shortFormatName = struct('short format name', { formatId: u32le, formatName: bytes(32) });
/** CLIPRDR_SHORT_FORMAT_NAMES, [MS-RDPECLIP] 2.2.3.1.1: 32 bytes of ASCII or UTF-16 per name. */
export const shortFormatNames: Codec<Value<typeof shortFormatName>[]> = {
  name: 'short format names',
  decode(reader) {
    const formats: Value<typeof shortFormatName>[] = [];
    while (reader.remaining > 0) {
      if (formats.length === FORMATS_MAX) throw reader.error('limit', `more than ${FORMATS_MAX} clipboard formats`);
      formats.push(shortFormatName.decode(reader));
    }
    return formats;
  },
  encode(formats, writer) {
    for (const format of formats) shortFormatName.encode(format, writer);
  },
};

const SHORT_NAME_BYTES = 32;
const SHORT_ENTRY_BYTES = 4 + SHORT_NAME_BYTES;

/**
 * The formats of a list in whichever form it came ([MS-RDPECLIP] 2.2.3.1), for who reads along: peers put bytes behind the last name, and
 * not all keep to what they announced. `longNames`: both said they use them.
 */
export function readClipboardFormats(list: Uint8Array, msgFlags: number, longNames: boolean): ClipboardFormat[] {
  const form = clipboardListForm(list, msgFlags, longNames);
  return form === 'long' ? readLongNames(list) : readShortNames(list, form === 'ascii');
}

/** How names stand in a list: in full, or in 32 bytes each, of UTF-16 or (as its flags say) of ASCII. */
export type ClipboardListForm = 'long' | 'short' | 'ascii';

export function clipboardListForm(list: Uint8Array, msgFlags: number, longNames: boolean): ClipboardListForm {
  if ((msgFlags & ClipboardFlag.asciiNames) !== 0) return 'ascii';
  return looksShort(list, longNames) ? 'short' : 'long';
}

/** The data of a list in that form; names that are too long for it are cut. */
export function encodeClipboardFormats(formats: readonly ClipboardFormat[], form: ClipboardListForm): Uint8Array {
  if (form === 'long') return encode(longFormatNames, [...formats]);
  const unitBytes = form === 'ascii' ? 1 : 2;
  const short = formats.map(({ formatId, formatName }) => {
    const name = new Uint8Array(SHORT_NAME_BYTES);
    for (let at = 0; at < Math.min(formatName.length, SHORT_NAME_BYTES / unitBytes - 1); at += 1) {
      const code = formatName.charCodeAt(at);
      name[unitBytes * at] = code & 0xff;
      if (unitBytes === 2) name[2 * at + 1] = code >> 8;
    }
    return { formatId, formatName: name };
  });
  return encode(shortFormatNames, short);
}

/** Entries of 36 bytes, with zeros behind each name. Where long names were agreed on there must be more zeros than those have. */
function looksShort(list: Uint8Array, longNames: boolean): boolean {
  if (list.length === 0 || list.length % SHORT_ENTRY_BYTES !== 0) return false;
  let padded = false;
  for (let at = 0; at < list.length; at += SHORT_ENTRY_BYTES) {
    const [, zeros] = /(\0*)$/.exec(textOfUtf16(list.subarray(at + 4, at + SHORT_ENTRY_BYTES))) ?? [];
    const name = textOfUtf16(list.subarray(at + 4, at + SHORT_ENTRY_BYTES - 2 * (zeros ?? '').length));
    if (name.includes('\0') || (longNames && zeros === '')) return false;
    padded ||= (zeros ?? '').length > 1;
  }
  return padded || !longNames;
}

function readShortNames(list: Uint8Array, ascii: boolean): ClipboardFormat[] {
  const formats: ClipboardFormat[] = [];
  for (let at = 0; at + 4 <= list.length && formats.length < FORMATS_MAX; at += SHORT_ENTRY_BYTES) {
    const name = list.subarray(at + 4, at + SHORT_ENTRY_BYTES);
    const [formatName = ''] = (ascii || looksAscii(name) ? textOfBytes(name) : textOfUtf16(name)).split('\0');
    formats.push({ formatId: new Reader(list, at).u32le(), formatName });
  }
  return formats;
}

/** Names of ASCII whose sender did not say so. */
function looksAscii(name: Uint8Array): boolean {
  return name.length > 1 && name[1] !== 0 && /^[ -~]+\0*$/.test(textOfBytes(name));
}

function readLongNames(list: Uint8Array): ClipboardFormat[] {
  const reader = new Reader(list);
  const formats: ClipboardFormat[] = [];
  while (reader.remaining >= 4 && formats.length < FORMATS_MAX) {
    const formatId = reader.u32le();
    let formatName = '';
    while (reader.remaining >= 2) {
      const unit = reader.u16le();
      if (unit === 0) break;
      if (formatName.length < FORMAT_NAME_UNITS_MAX) formatName += String.fromCharCode(unit);
    }
    if (formatId !== 0) formats.push({ formatId, formatName });
  }
  return formats;
}

/** CLIPRDR_FORMAT_DATA_REQUEST, [MS-RDPECLIP] 2.2.5.1 */
export const formatDataRequest = structWithTail('format data request', { requestedFormatId: u32le }, {});
export type FormatDataRequest = Value<typeof formatDataRequest>;

/** CLIPRDR_FILECONTENTS_RESPONSE, [MS-RDPECLIP] 2.2.5.4 */
export const fileContentsResponse = struct('file contents response', { streamId: u32le, data: rest });
export type FileContentsResponse = Value<typeof fileContentsResponse>;

/** flags of file descriptors: which fields say something ([MS-RDPECLIP] 2.2.5.2.3.1). */
export const FileDescriptorFlag = { attributes: 0x04, writeTime: 0x20, fileSize: 0x40, progressUi: 0x4000 } as const;

/** dwFlags of file contents requests. */
export const FileContentsFlag = { size: 1, range: 2 } as const;

/** CLIPRDR_FILEDESCRIPTOR, [MS-RDPECLIP] 2.2.5.2.3.1. */
export const fileDescriptor = struct('CLIPRDR_FILEDESCRIPTOR', {
  flags: u32le,
  reserved1: bytes(32),
  fileAttributes: u32le,
  reserved2: bytes(16),
  /** 100 ns since 1601. */
  lastWriteTime: u64le,
  fileSizeHigh: u32le,
  fileSizeLow: u32le,
  fileName: fixedUtf16(520),
});
export type FileDescriptor = Value<typeof fileDescriptor>;
export const FILE_DESCRIPTOR_BYTES = 592;
/** CLIPRDR_FILELIST, [MS-RDPECLIP] 2.2.5.2.3: the data of the format FileGroupDescriptorW. */
export const fileList = structWithTail('file list', { files: list('file descriptors', u32le, fileDescriptor) }, {});
export type FileList = Value<typeof fileList>;
