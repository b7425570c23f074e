import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';
import { bytes, counted, rest, struct, structWithTail, u8, u16le, u32le, u64le } from '@lucid-sessions/wire/struct';
import { withOptional } from './fields.ts';

/** The packets of an RD Gateway over HTTP, [MS-TSGU] 2.2.10: `type`, `reserved`, the length of all of it, then the body. */

/** HTTP_PACKET_TYPE, 2.2.5.3.3, by the name of the packet's kind here. */
export const GatewayPacketType = {
  handshakeRequest: 0x1,
  handshakeResponse: 0x2,
  extendedAuth: 0x3,
  tunnelCreate: 0x4,
  tunnelResponse: 0x5,
  tunnelAuth: 0x6,
  tunnelAuthResponse: 0x7,
  channelCreate: 0x8,
  channelResponse: 0x9,
  data: 0xa,
  serviceMessage: 0xb,
  reauth: 0xc,
  keepAlive: 0xd,
  closeChannel: 0x10,
  closeChannelResponse: 0x11,
} as const;

/** HTTP_EXTENDED_AUTH, 2.2.5.3.2. */
export const ExtendedAuth = { none: 0, smartCard: 1, paa: 2, sspiNtlm: 4, bearer: 8 } as const;

/** HTTP_CAPABILITY_TYPE, 2.2.5.3.1. */
export const GatewayCapability = {
  quarantineSoh: 0x01,
  idleTimeout: 0x02,
  consentMessage: 0x04,
  serviceMessage: 0x08,
  reauthentication: 0x10,
  udpTransport: 0x20,
} as const;

/** HTTP_TUNNEL_PACKET_FIELDS_PRESENT_FLAGS, 2.2.5.3.6. */
export const TunnelField = { paaCookie: 1, reauth: 2 } as const;
/** HTTP_TUNNEL_RESPONSE_FIELDS_PRESENT_FLAGS, 2.2.5.3.8. */
export const TunnelResponseField = { tunnelId: 1, capabilities: 2, sohRequest: 4, consentMessage: 0x10 } as const;
/** HTTP_TUNNEL_AUTH_RESPONSE_FIELDS_PRESENT_FLAGS, 2.2.5.3.5. */
export const TunnelAuthResponseField = { redirection: 1, idleTimeout: 2, sohResponse: 4 } as const;
/** HTTP_TUNNEL_REDIR_FLAGS, 2.2.5.3.7. */
export const GatewayRedirection = { enableAll: 0x80000000, disableAll: 0x40000000 } as const;
/** HTTP_CHANNEL_RESPONSE_FIELDS_PRESENT_FLAGS, 2.2.5.3.9. */
export const ChannelResponseField = { channelId: 1, authenticationCookie: 2, udpPort: 4 } as const;

export const gatewayHeaderBytes = 8;
/** What stands before the bytes of a data packet: header and their count. */
export const dataHeaderBytes = gatewayHeaderBytes + 2;

const text = counted(u16le);
const blob = counted(u16le);
/** 2.2.10.4: at least one name, at most fifty, and three others the same host may have. */
const resourcesMax = 50;
const alternativesMax = 3;

/** HTTP_CHANNEL_PACKET, 2.2.10.2: what the client wants to reach. Names are UTF-16LE. */
export interface ChannelCreate {
  port: number;
  /** 3: RDP. */
  protocol: number;
  resources: Uint8Array[];
  alternatives: Uint8Array[];
  trailing?: Uint8Array;
}

const channelCreate: Codec<ChannelCreate> = {
  name: 'HTTP_CHANNEL_PACKET',
  decode(reader) {
    const resourcesCount = reader.u8();
    const alternativesCount = reader.u8();
    if (!(resourcesCount <= resourcesMax && alternativesCount <= alternativesMax))
      throw reader.error('limit', `a channel of ${resourcesCount} and ${alternativesCount} names`);
    const names = (count: number): Uint8Array[] => Array.from({ length: count }, () => text.decode(reader));
    const [port, protocol] = [reader.u16le(), reader.u16le()];
    const value: ChannelCreate = {
      port,
      protocol,
      resources: names(resourcesCount),
      alternatives: names(alternativesCount),
    };
    if (reader.remaining > 0) value.trailing = reader.rest();
    return value;
  },
  encode({ port, protocol, resources, alternatives, trailing }, writer) {
    writer.u8(resources.length).u8(alternatives.length).u16le(port).u16le(protocol);
    for (const name of [...resources, ...alternatives]) text.encode(name, writer);
    if (trailing !== undefined) writer.slice(trailing);
  },
};

/** Bodies by kind, each read to the end of its packet. */
const bodies = {
  handshakeRequest: structWithTail(
    'HTTP_HANDSHAKE_REQUEST_PACKET',
    { versionMajor: u8, versionMinor: u8, clientVersion: u16le, extendedAuth: u16le },
    {},
  ),
  handshakeResponse: structWithTail(
    'HTTP_HANDSHAKE_RESPONSE_PACKET',
    { errorCode: u32le, versionMajor: u8, versionMinor: u8, serverVersion: u16le, extendedAuth: u16le },
    {},
  ),
  extendedAuth: structWithTail('HTTP_EXTENDED_AUTH_PACKET', { errorCode: u32le, blob }, {}),
  tunnelCreate: withOptional(
    struct('HTTP_TUNNEL_PACKET', { capabilities: u32le, fieldsPresent: u16le, reserved: u16le }),
    { reauthContext: [TunnelField.reauth, u64le], paaCookie: [TunnelField.paaCookie, blob] },
  ),
  tunnelResponse: withOptional(
    struct('HTTP_TUNNEL_RESPONSE', { serverVersion: u16le, errorCode: u32le, fieldsPresent: u16le, reserved: u16le }),
    {
      tunnelId: [TunnelResponseField.tunnelId, u32le],
      capabilities: [TunnelResponseField.capabilities, u32le],
      nonce: [TunnelResponseField.sohRequest, bytes(16)],
      serverCertificate: [TunnelResponseField.sohRequest, text],
      consentMessage: [TunnelResponseField.consentMessage, text],
    },
  ),
  tunnelAuth: withOptional(struct('HTTP_TUNNEL_AUTH_PACKET', { fieldsPresent: u16le, clientName: text }), {
    statementOfHealth: [1, blob],
  }),
  tunnelAuthResponse: withOptional(
    struct('HTTP_TUNNEL_AUTH_RESPONSE', { errorCode: u32le, fieldsPresent: u16le, reserved: u16le }),
    {
      redirectionFlags: [TunnelAuthResponseField.redirection, u32le],
      idleTimeoutMinutes: [TunnelAuthResponseField.idleTimeout, u32le],
      sohResponse: [TunnelAuthResponseField.sohResponse, blob],
    },
  ),
  channelCreate,
  channelResponse: withOptional(
    struct('HTTP_CHANNEL_RESPONSE', { errorCode: u32le, fieldsPresent: u16le, reserved: u16le }),
    {
      channelId: [ChannelResponseField.channelId, u32le],
      udpPort: [ChannelResponseField.udpPort, u16le],
      authenticationCookie: [ChannelResponseField.authenticationCookie, blob],
    },
  ),
  data: structWithTail('HTTP_DATA_PACKET', { data: counted(u16le) }, {}),
  serviceMessage: structWithTail('HTTP_SERVICE_MESSAGE', { message: text }, {}),
  reauth: structWithTail('HTTP_REAUTH_MESSAGE', { tunnelContext: u64le }, {}),
  keepAlive: structWithTail('HTTP_KEEPALIVE_PACKET', {}, {}),
  closeChannel: structWithTail('HTTP_CLOSE_PACKET', { statusCode: u32le }, {}),
  closeChannelResponse: structWithTail('HTTP_CLOSE_PACKET response', { statusCode: u32le }, {}),
  /** Of a type that is not listed: skipped by who reads it. */
  unknown: struct('unknown packet', { type: u16le, body: rest }),
};

type Bodies = typeof bodies;
type Body<K extends keyof Bodies> = Bodies[K] extends Codec<infer T> ? T : never;
export type GatewayPacketKind = keyof typeof GatewayPacketType;
/** One packet; `headerReserved` is 0 where it is absent. */
export type GatewayPacket = {
  [K in keyof Bodies]: { kind: K; headerReserved?: number } & Body<K>;
}[keyof Bodies];

const kinds = new Map<number, GatewayPacketKind>(
  (Object.keys(GatewayPacketType) as GatewayPacketKind[]).map((kind) => [GatewayPacketType[kind], kind]),
);

function decodeBody(type: number, body: Reader): GatewayPacket {
  const kind = kinds.get(type);
  if (kind === undefined) return { kind: 'unknown', type, body: body.rest() };
  const codec = bodies[kind] as Codec<object>;
  return { kind, ...codec.decode(body) } as GatewayPacket;
}

/** A whole packet with its header. */
export const gatewayPacket: Codec<GatewayPacket> = {
  name: 'HTTP_PACKET',
  decode(reader) {
    const at = reader.offset;
    const type = reader.u16le();
    const reserved = reader.u16le();
    const length = reader.u32le();
    if (length < gatewayHeaderBytes) throw new DecodeError('invalid', `a packet of ${length} bytes`, at);
    const packet = decodeBody(type, reader.sub(length - gatewayHeaderBytes));
    if (reserved !== 0) packet.headerReserved = reserved;
    return packet;
  },
  encode(packet, writer: Writer) {
    const at = writer.length;
    const isUnknown = packet.kind === 'unknown';
    const type = isUnknown ? packet.type : GatewayPacketType[packet.kind];
    writer
      .u16le(type)
      .u16le(packet.headerReserved ?? 0)
      .u32le(0);
    if (isUnknown) writer.slice(packet.body);
    else (bodies[packet.kind] as Codec<object>).encode(packet, writer);
    writer.patchU32le(at + 4, writer.length - at);
  },
};
