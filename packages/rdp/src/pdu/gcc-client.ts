import type { Codec } from '@lucid-sessions/wire';
import {
  bytes,
  fixedLatin1,
  fixedUtf16,
  i32le,
  list,
  repeated,
  struct,
  structWithTail,
  u8,
  u16le,
  u32le,
  type Value,
} from '@lucid-sessions/wire/struct';
import { type Block, block } from './block.ts';

/** earlyCapabilityFlags of CS_CORE, [MS-RDPBCGR] 2.2.1.3.2. */
export const ClientEarlyCapability = {
  supportErrinfoPdu: 0x0001,
  want32BppSession: 0x0002,
  supportStatusInfoPdu: 0x0004,
  strongAsymmetricKeys: 0x0008,
  relativeMouseInput: 0x0010,
  validConnectionType: 0x0020,
  supportMonitorLayoutPdu: 0x0040,
  supportNetcharAutodetect: 0x0080,
  supportDynvcGfxProtocol: 0x0100,
  supportDynamicTimeZone: 0x0200,
  supportHeartbeatPdu: 0x0400,
  supportSkipChanneljoin: 0x0800,
} as const;

/** Client Core Data, [MS-RDPBCGR] 2.2.1.3.2. Fields from `postBeta2ColorDepth` on may end anywhere. */
export const clientCoreData = structWithTail(
  'CS_CORE',
  {
    version: u32le,
    desktopWidth: u16le,
    desktopHeight: u16le,
    colorDepth: u16le,
    sasSequence: u16le,
    keyboardLayout: u32le,
    clientBuild: u32le,
    clientName: fixedUtf16(32),
    keyboardType: u32le,
    keyboardSubType: u32le,
    keyboardFunctionKey: u32le,
    imeFileName: fixedUtf16(64),
  },
  {
    postBeta2ColorDepth: u16le,
    clientProductId: u16le,
    serialNumber: u32le,
    highColorDepth: u16le,
    supportedColorDepths: u16le,
    earlyCapabilityFlags: u16le,
    clientDigProductId: bytes(64),
    connectionType: u8,
    pad1octet: u8,
    serverSelectedProtocol: u32le,
    desktopPhysicalWidth: u32le,
    desktopPhysicalHeight: u32le,
    desktopOrientation: u16le,
    desktopScaleFactor: u32le,
    deviceScaleFactor: u32le,
  },
);
export type ClientCoreData = Value<typeof clientCoreData>;

/** Client Security Data, [MS-RDPBCGR] 2.2.1.3.3. */
export const clientSecurityData = structWithTail(
  'CS_SECURITY',
  { encryptionMethods: u32le },
  { extEncryptionMethods: u32le },
);
export type ClientSecurityData = Value<typeof clientSecurityData>;

/** Options of CHANNEL_DEF, [MS-RDPBCGR] 2.2.1.3.4.1. */
export const ChannelOption = {
  initialized: 0x80000000,
  encryptRdp: 0x40000000,
  encryptSc: 0x20000000,
  encryptCs: 0x10000000,
  priHigh: 0x08000000,
  priMed: 0x04000000,
  priLow: 0x02000000,
  compressRdp: 0x00800000,
  compress: 0x00400000,
  showProtocol: 0x00200000,
  remoteControlPersistent: 0x00100000,
} as const;

const channelDefinition = struct('CHANNEL_DEF', { name: fixedLatin1(8), options: u32le });
export type ChannelDefinition = Value<typeof channelDefinition>;

/** Client Network Data, [MS-RDPBCGR] 2.2.1.3.4. */
export const clientNetworkData = structWithTail(
  'CS_NET',
  { channels: list('channel definitions', u32le, channelDefinition) },
  {},
);
export type ClientNetworkData = Value<typeof clientNetworkData>;

/** Client Cluster Data, [MS-RDPBCGR] 2.2.1.3.5. */
export const clientClusterData = structWithTail('CS_CLUSTER', { flags: u32le, redirectedSessionId: u32le }, {});
export type ClientClusterData = Value<typeof clientClusterData>;

const monitorDefinition = struct('TS_MONITOR_DEF', {
  left: i32le,
  top: i32le,
  right: i32le,
  bottom: i32le,
  flags: u32le,
});
/** Client Monitor Data, [MS-RDPBCGR] 2.2.1.3.6. */
export const clientMonitorData = structWithTail(
  'CS_MONITOR',
  { flags: u32le, monitors: list('monitor definitions', u32le, monitorDefinition) },
  {},
);
export type ClientMonitorData = Value<typeof clientMonitorData>;

const monitorAttributes = struct('TS_MONITOR_ATTRIBUTES', {
  physicalWidth: u32le,
  physicalHeight: u32le,
  orientation: u32le,
  desktopScaleFactor: u32le,
  deviceScaleFactor: u32le,
});
/** Client Monitor Extended Data, [MS-RDPBCGR] 2.2.1.3.9. */
export const clientMonitorExtendedData = structWithTail(
  'CS_MONITOR_EX',
  { flags: u32le, monitorAttributeSize: u32le, monitors: list('monitor attributes', u32le, monitorAttributes) },
  {},
);
export type ClientMonitorExtendedData = Value<typeof clientMonitorExtendedData>;

/** Client Message Channel Data, [MS-RDPBCGR] 2.2.1.3.7. */
export const clientMessageChannelData = structWithTail('CS_MCS_MSGCHANNEL', { flags: u32le }, {});
export type ClientMessageChannelData = Value<typeof clientMessageChannelData>;

/** Client Multitransport Channel Data, [MS-RDPBCGR] 2.2.1.3.8. */
export const clientMultitransportData = structWithTail('CS_MULTITRANSPORT', { flags: u32le }, {});
export type ClientMultitransportData = Value<typeof clientMultitransportData>;

const table = {
  core: { type: 0xc001, codec: clientCoreData },
  security: { type: 0xc002, codec: clientSecurityData },
  network: { type: 0xc003, codec: clientNetworkData },
  cluster: { type: 0xc004, codec: clientClusterData },
  monitor: { type: 0xc005, codec: clientMonitorData },
  messageChannel: { type: 0xc006, codec: clientMessageChannelData },
  monitorExtended: { type: 0xc008, codec: clientMonitorExtendedData },
  multitransport: { type: 0xc00a, codec: clientMultitransportData },
} as const;

/** One of the client's data blocks; blocks of unknown type or shape are kept raw. */
export type ClientDataBlock = Block<typeof table>;
export const clientDataBlock: Codec<ClientDataBlock> = block('client data block', table);
export const clientDataBlocks: Codec<ClientDataBlock[]> = repeated('client data blocks', clientDataBlock);
