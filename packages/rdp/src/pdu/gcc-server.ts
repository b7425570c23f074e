import type { Codec } from '@lucid-sessions/wire';
import { list, repeated, structWithTail, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';
import { type Block, block } from './block.ts';

/** earlyCapabilityFlags of SC_CORE, [MS-RDPBCGR] 2.2.1.4.2. */
export const ServerEarlyCapability = {
  edgeActionsSupportedV1: 1,
  dynamicDstSupported: 2,
  edgeActionsSupportedV2: 4,
  skipChanneljoinSupported: 8,
} as const;

/** Server Core Data, [MS-RDPBCGR] 2.2.1.4.2. */
export const serverCoreData = structWithTail(
  'SC_CORE',
  { version: u32le },
  { clientRequestedProtocols: u32le, earlyCapabilityFlags: u32le },
);
export type ServerCoreData = Value<typeof serverCoreData>;

/** Server Security Data, [MS-RDPBCGR] 2.2.1.4.3. */
export interface ServerSecurityData {
  encryptionMethod: number;
  encryptionLevel: number;
  serverRandom?: Uint8Array;
  /** Proprietary or X.509 chain (2.2.1.4.3.1), undecoded. */
  serverCertificate?: Uint8Array;
  trailing?: Uint8Array;
}

export const serverSecurityData: Codec<ServerSecurityData> = {
  name: 'SC_SECURITY',
  decode(reader) {
    const value: ServerSecurityData = { encryptionMethod: reader.u32le(), encryptionLevel: reader.u32le() };
    if (reader.remaining >= 8) {
      const randomLength = reader.u32le();
      const certificateLength = reader.u32le();
      value.serverRandom = reader.slice(randomLength);
      value.serverCertificate = reader.slice(certificateLength);
    }
    if (reader.remaining > 0) value.trailing = reader.rest();
    return value;
  },
  encode(value, writer) {
    writer.u32le(value.encryptionMethod).u32le(value.encryptionLevel);
    if (value.serverRandom && value.serverCertificate) {
      writer.u32le(value.serverRandom.length).u32le(value.serverCertificate.length);
      writer.slice(value.serverRandom).slice(value.serverCertificate);
    }
    if (value.trailing) writer.slice(value.trailing);
  },
};

/** Server Network Data, [MS-RDPBCGR] 2.2.1.4.4. The padding of an odd channel count is in `trailing`. */
export const serverNetworkData = structWithTail(
  'SC_NET',
  { mcsChannelId: u16le, channelIds: list('channel ids', u16le, u16le) },
  {},
);
export type ServerNetworkData = Value<typeof serverNetworkData>;

/** Server Message Channel Data, [MS-RDPBCGR] 2.2.1.4.5. */
export const serverMessageChannelData = structWithTail('SC_MCS_MSGCHANNEL', { mcsChannelId: u16le }, {});
export type ServerMessageChannelData = Value<typeof serverMessageChannelData>;

/** Server Multitransport Channel Data, [MS-RDPBCGR] 2.2.1.4.6. */
export const serverMultitransportData = structWithTail('SC_MULTITRANSPORT', { flags: u32le }, {});
export type ServerMultitransportData = Value<typeof serverMultitransportData>;

const table = {
  core: { type: 0x0c01, codec: serverCoreData },
  security: { type: 0x0c02, codec: serverSecurityData },
  network: { type: 0x0c03, codec: serverNetworkData },
  messageChannel: { type: 0x0c04, codec: serverMessageChannelData },
  multitransport: { type: 0x0c08, codec: serverMultitransportData },
} as const;

/** One of the server's data blocks; blocks of unknown type or shape are kept raw. */
export type ServerDataBlock = Block<typeof table>;
export const serverDataBlock: Codec<ServerDataBlock> = block('server data block', table);
export const serverDataBlocks: Codec<ServerDataBlock[]> = repeated('server data blocks', serverDataBlock);
