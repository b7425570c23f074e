import {
  bytes,
  counted,
  fixedLatin1,
  list,
  rest,
  struct,
  structWithTail,
  u8,
  u16le,
  u32le,
  u64le,
  type Value,
} from '@lucid-sessions/wire/struct';

/** RDPDR_HEADER, [MS-RDPEFS] 2.2.1.1 */
export const deviceMessage = struct('RDPDR message', { component: u16le, packetId: u16le, data: rest });
export type DeviceMessage = Value<typeof deviceMessage>;

/** component of device messages: core and printer. */
export const DeviceComponent = { core: 0x4472, printer: 0x5052 } as const;

/** packetId of device messages. */
export const DevicePacketId = {
  serverAnnounce: 0x496e,
  clientIdConfirm: 0x4343,
  clientName: 0x434e,
  deviceListAnnounce: 0x4441,
  deviceReply: 0x6472,
  deviceIoRequest: 0x4952,
  deviceIoCompletion: 0x4943,
  serverCapability: 0x5350,
  clientCapability: 0x4350,
  deviceListRemove: 0x444d,
  userLoggedOn: 0x554c,
  printerCacheData: 0x5043,
  printerUsingXps: 0x5543,
} as const;

/** DR_DEVICE_IOREQUEST, [MS-RDPEFS] 2.2.1.4; `data` depends on the major function. */
export const deviceIoRequest = struct('device I/O request', {
  deviceId: u32le,
  fileId: u32le,
  completionId: u32le,
  majorFunction: u32le,
  minorFunction: u32le,
  data: rest,
});
export type DeviceIoRequest = Value<typeof deviceIoRequest>;

/** DR_DEVICE_IOCOMPLETION, [MS-RDPEFS] 2.2.1.5 */
export const deviceIoCompletion = struct('device I/O completion', {
  deviceId: u32le,
  completionId: u32le,
  ioStatus: u32le,
  data: rest,
});
export type DeviceIoCompletion = Value<typeof deviceIoCompletion>;

/** majorFunction of device I/O requests. */
export const DeviceMajorFunction = {
  create: 0x00,
  close: 0x02,
  read: 0x03,
  write: 0x04,
  queryInformation: 0x05,
  setInformation: 0x06,
  queryVolumeInformation: 0x0a,
  setVolumeInformation: 0x0b,
  directoryControl: 0x0c,
  deviceControl: 0x0e,
  lockControl: 0x11,
} as const;

/** DR_CREATE_REQ after its header, [MS-RDPEFS] 2.2.3.3.1 / 2.2.1.4.1. */
export const deviceCreateRequest = structWithTail(
  'device create request',
  {
    desiredAccess: u32le,
    allocationSize: u64le,
    fileAttributes: u32le,
    sharedAccess: u32le,
    createDisposition: u32le,
    createOptions: u32le,
    /** UTF-16LE with its terminator, separators are backslashes. */
    path: counted(u32le),
  },
  {},
);
export type DeviceCreateRequest = Value<typeof deviceCreateRequest>;

/** DR_CREATE_RSP after its header: the id later requests name the file by. */
export const deviceCreateResponse = structWithTail(
  'device create response',
  { fileId: u32le },
  { information: bytes(1) },
);
export type DeviceCreateResponse = Value<typeof deviceCreateResponse>;

/** DR_READ_REQ after its header, [MS-RDPEFS] 2.2.1.4.3. */
export const deviceReadRequest = structWithTail(
  'device read request',
  { length: u32le, offset: u64le },
  { padding: bytes(20) },
);
export type DeviceReadRequest = Value<typeof deviceReadRequest>;

/** DR_READ_RSP after its header. */
export const deviceReadResponse = structWithTail('device read response', { readData: counted(u32le) }, {});
export type DeviceReadResponse = Value<typeof deviceReadResponse>;

/** DR_WRITE_REQ after its header, [MS-RDPEFS] 2.2.1.4.4: length and offset, padding, then the data. */
export const deviceWriteRequest = struct('device write request', {
  length: u32le,
  offset: u64le,
  padding: bytes(20),
  writeData: rest,
});
export type DeviceWriteRequest = Value<typeof deviceWriteRequest>;

/** DR_WRITE_RSP after its header. */
export const deviceWriteResponse = structWithTail('device write response', { length: u32le }, { padding: bytes(1) });
export type DeviceWriteResponse = Value<typeof deviceWriteResponse>;

/** DR_DRIVE_SET_INFORMATION_REQ after its header, [MS-RDPEFS] 2.2.3.3.9; `setBuffer` is of the named class, [MS-FSCC] 2.4. */
export const deviceSetInformationRequest = struct('device set information request', {
  fsInformationClass: u32le,
  length: u32le,
  padding: bytes(24),
  setBuffer: rest,
});
export type DeviceSetInformationRequest = Value<typeof deviceSetInformationRequest>;

/** DR_DRIVE_QUERY_INFORMATION_REQ after its header, [MS-RDPEFS] 2.2.3.3.8. */
export const deviceQueryInformationRequest = structWithTail(
  'device query information request',
  { fsInformationClass: u32le },
  {},
);
export type DeviceQueryInformationRequest = Value<typeof deviceQueryInformationRequest>;

/** DR_DRIVE_QUERY_INFORMATION_RSP after its header, [MS-RDPEFS] 2.2.3.4.8. */
export const deviceQueryInformationResponse = structWithTail(
  'device query information response',
  { buffer: counted(u32le) },
  {},
);
export type DeviceQueryInformationResponse = Value<typeof deviceQueryInformationResponse>;

/** Classes of file information that tell or change what a file is, [MS-FSCC] 2.4. */
export const FileInformationClass = {
  standard: 5,
  rename: 10,
  disposition: 13,
  allocation: 19,
  endOfFile: 20,
} as const;

/** FileStandardInformation, [MS-FSCC] 2.4.47. */
export const fileStandardInformation = structWithTail(
  'FileStandardInformation',
  { allocationSize: u64le, endOfFile: u64le, numberOfLinks: u32le, deletePending: u8, directory: u8 },
  {},
);
export type FileStandardInformation = Value<typeof fileStandardInformation>;

/** RDP_FILE_RENAME_INFORMATION, [MS-RDPEFS] 2.2.3.3.9.1. */
export const fileRenameInformation = structWithTail(
  'RDP_FILE_RENAME_INFORMATION',
  { replaceIfExists: u8, rootDirectory: u8, fileName: counted(u32le) },
  {},
);
export type FileRenameInformation = Value<typeof fileRenameInformation>;

/** DR_DEVICELIST_REMOVE after its header, [MS-RDPEFS] 2.2.3.2. */
export const deviceListRemove = structWithTail(
  'device list remove',
  { deviceIds: list('device ids', u32le, u32le) },
  {},
);
export type DeviceListRemove = Value<typeof deviceListRemove>;

/** DR_PRN_DEVICE_ANNOUNCE's device data, [MS-RDPEPC] 2.2.2.1: lengths in bytes, then the strings. */
export const printerDeviceData = structWithTail(
  'printer device data',
  {
    flags: u32le,
    codePage: u32le,
    pnpNameLen: u32le,
    driverNameLen: u32le,
    printNameLen: u32le,
    cachedFieldsLen: u32le,
  },
  { names: rest },
);
export type PrinterDeviceData = Value<typeof printerDeviceData>;
/** flags of printer device data: the names are ASCII. */
export const PRINTER_NAMES_ASCII = 1;

/** createDisposition of create requests, [MS-SMB2] 2.2.13. */
export const CreateDisposition = { supersede: 0, open: 1, create: 2, openIf: 3, overwrite: 4, overwriteIf: 5 } as const;
/** FILE_DELETE_ON_CLOSE of createOptions. */
export const CREATE_DELETE_ON_CLOSE = 0x1000;
/** ioStatus of a read behind the end of a file. */
export const STATUS_END_OF_FILE = 0xc0000011;

/** deviceType of announced devices. */
export const DeviceType = { serial: 1, parallel: 2, printer: 4, filesystem: 8, smartcard: 0x20 } as const;

const deviceAnnounce = struct('DEVICE_ANNOUNCE', {
  deviceType: u32le,
  deviceId: u32le,
  preferredDosName: fixedLatin1(8),
  deviceData: counted(u32le),
});
export type DeviceAnnounce = Value<typeof deviceAnnounce>;
/** DR_CORE_DEVICELIST_ANNOUNCE_REQ after its header, [MS-RDPEFS] 2.2.2.9. */
export const deviceListAnnounce = structWithTail(
  'device list announce',
  { devices: list('devices', u32le, deviceAnnounce) },
  {},
);
export type DeviceListAnnounce = Value<typeof deviceListAnnounce>;
