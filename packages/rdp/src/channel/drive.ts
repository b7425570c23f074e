import { rest, struct, u16le, u32le, type Value } from '../pdu/struct.ts';

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
