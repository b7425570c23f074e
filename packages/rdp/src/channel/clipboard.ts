import { rest, struct, structWithTail, u16le, u32le, type Value } from '../pdu/struct.ts';

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
