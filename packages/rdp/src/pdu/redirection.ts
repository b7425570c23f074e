import { attempt, type Codec, DecodeError, decode } from '@lucid-sessions/wire';
import { counted, textOfUtf16, u32le } from '@lucid-sessions/wire/struct';

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

/** CERTIFICATE_META_ELEMENT, [MS-RDPBCGR] 2.2.13.1.2.1. */
export interface CertificateMetaElement {
  type: number;
  encoding: number;
  data: Uint8Array;
}

const elementData = counted(u32le);

/** TARGET_CERTIFICATE_CONTAINER, [MS-RDPBCGR] 2.2.13.1.2: what is in the Base64 of `targetCertificate`. */
export const targetCertificateContainer: Codec<CertificateMetaElement[]> = {
  name: 'TARGET_CERTIFICATE_CONTAINER',
  decode(reader) {
    const elements: CertificateMetaElement[] = [];
    while (reader.remaining > 0)
      elements.push({ type: reader.u32le(), encoding: reader.u32le(), data: elementData.decode(reader) });
    return elements;
  },
  encode(elements, writer) {
    for (const { type, encoding, data } of elements) {
      writer.u32le(type).u32le(encoding);
      elementData.encode(data, writer);
    }
  },
};

const ELEMENT_TYPE_CERTIFICATE = 32;
const ENCODING_TYPE_ASN1_DER = 1;

/** The certificate (DER) in a redirection's `targetCertificate`; null: it can't be read, or has none or several. */
export function targetCertificateOf(field: Uint8Array): Uint8Array | null {
  const text = textOfUtf16(field).replace(/\0+$/, '');
  const elements = attempt(() => decode(targetCertificateContainer, bytesOfBase64(text)));
  const isCertificate = ({ type, encoding }: CertificateMetaElement): boolean =>
    type === ELEMENT_TYPE_CERTIFICATE && encoding === ENCODING_TYPE_ASN1_DER;
  const [first, ...others] = elements?.filter(isCertificate) ?? [];
  return first === undefined || others.length > 0 ? null : first.data;
}

function bytesOfBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new DecodeError('invalid', 'a target certificate that is no Base64');
  }
}

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
