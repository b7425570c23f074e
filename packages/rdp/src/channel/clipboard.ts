import { type Codec, DecodeError } from '@lucid-sessions/wire';
import {
  bytes,
  fixedUtf16,
  list,
  rest,
  struct,
  structWithTail,
  textOfUtf16,
  u16le,
  u32le,
  u64le,
  type Value,
} from '../pdu/struct.ts';

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

/** CLIPRDR_FORMAT_DATA_REQUEST, [MS-RDPECLIP] 2.2.5.1 */
export const formatDataRequest = structWithTail('format data request', { requestedFormatId: u32le }, {});
export type FormatDataRequest = Value<typeof formatDataRequest>;

/** CLIPRDR_FILECONTENTS_RESPONSE, [MS-RDPECLIP] 2.2.5.4 */
export const fileContentsResponse = struct('file contents response', { streamId: u32le, data: rest });
export type FileContentsResponse = Value<typeof fileContentsResponse>;

/** dwFlags of file contents requests. */
export const FileContentsFlag = { size: 1, range: 2 } as const;

const fileDescriptor = struct('CLIPRDR_FILEDESCRIPTOR', {
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
/** CLIPRDR_FILELIST, [MS-RDPECLIP] 2.2.5.2.3: the data of the format FileGroupDescriptorW. */
export const fileList = structWithTail('file list', { files: list('file descriptors', u32le, fileDescriptor) }, {});
export type FileList = Value<typeof fileList>;
