import { type Codec, DecodeError } from '@lucid-sessions/wire';
import { counted, u32le } from '@lucid-sessions/wire/struct';

/** Flags of a Server Redirection packet, [MS-RDPBCGR] 2.2.13.1. */
export const RedirectionFlag = {
  targetNetAddress: 0x0001,
  loadBalanceInfo: 0x0002,
  username: 0x0004,
  domain: 0x0008,
  password: 0x0010,
  dontStoreUsername: 0x0020,
  smartcardLogon: 0x0040,
  noRedirect: 0x0080,
  targetFqdn: 0x0100,
  targetNetbiosName: 0x0200,
  targetNetAddresses: 0x0800,
  clientTsvUrl: 0x1000,
  serverTsvCapable: 0x2000,
  passwordIsPkEncrypted: 0x4000,
  redirectionGuid: 0x8000,
  targetCertificate: 0x10000,
} as const;

/** Fields of a redirection packet in wire order; each is there when its flag is. */
const REDIRECTION_FIELDS = [
  ['targetNetAddress', RedirectionFlag.targetNetAddress],
  ['loadBalanceInfo', RedirectionFlag.loadBalanceInfo],
  ['userName', RedirectionFlag.username],
  ['domain', RedirectionFlag.domain],
  ['password', RedirectionFlag.password],
  ['targetFqdn', RedirectionFlag.targetFqdn],
  ['targetNetbiosName', RedirectionFlag.targetNetbiosName],
  ['tsvUrl', RedirectionFlag.clientTsvUrl],
  ['redirectionGuid', RedirectionFlag.redirectionGuid],
  ['targetCertificate', RedirectionFlag.targetCertificate],
  ['targetNetAddresses', RedirectionFlag.targetNetAddresses],
] as const;

/** RDP_SERVER_REDIRECTION_PACKET, [MS-RDPBCGR] 2.2.13.1. Fields are bytes as sent; `password` is a secret. */
export interface ServerRedirection {
  flags: number;
  sessionId: number;
  redirFlags: number;
  fields: Partial<Record<(typeof REDIRECTION_FIELDS)[number][0], Uint8Array>>;
  trailing?: Uint8Array;
}

const redirectionField = counted(u32le);

export const serverRedirection: Codec<ServerRedirection> = {
  name: 'server redirection packet',
  decode(reader) {
    const at = reader.offset;
    const flags = reader.u16le();
    const length = reader.u16le();
    if (length < 12) throw new DecodeError('invalid', `server redirection length ${length} is below its header`, at);
    const content = reader.sub(length - 4);
    const value: ServerRedirection = { flags, sessionId: content.u32le(), redirFlags: content.u32le(), fields: {} };
    for (const [name, flag] of REDIRECTION_FIELDS)
      if (value.redirFlags & flag) value.fields[name] = redirectionField.decode(content);
    if (content.remaining > 0) value.trailing = content.rest();
    return value;
  },
  encode(value, writer) {
    const at = writer.length;
    writer.u16le(value.flags).u16le(0).u32le(value.sessionId).u32le(value.redirFlags);
    for (const [name] of REDIRECTION_FIELDS) {
      const field = value.fields[name];
      if (field) redirectionField.encode(field, writer);
    }
    if (value.trailing) writer.slice(value.trailing);
    writer.patchU16le(at + 2, writer.length - at);
  },
};

/** Enhanced Security Server Redirection, [MS-RDPBCGR] 2.2.13.3.1: the body of its share control PDU. */
export interface EnhancedServerRedirection {
  pad2Octets: number;
  redirection: ServerRedirection;
  trailing?: Uint8Array;
}
export const enhancedServerRedirection: Codec<EnhancedServerRedirection> = {
  name: 'Enhanced Security Server Redirection',
  decode(reader) {
    const value: EnhancedServerRedirection = {
      pad2Octets: reader.u16le(),
      redirection: serverRedirection.decode(reader),
    };
    if (reader.remaining > 0) value.trailing = reader.rest();
    return value;
  },
  encode(value, writer) {
    writer.u16le(value.pad2Octets);
    serverRedirection.encode(value.redirection, writer);
    if (value.trailing) writer.slice(value.trailing);
  },
};
