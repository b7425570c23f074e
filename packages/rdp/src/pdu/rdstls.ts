import type { Codec } from '@lucid-sessions/wire';
import { counted, u16le } from '@lucid-sessions/wire/struct';

/** The one version of RDSTLS in [MS-RDPBCGR] 2.2.17; supportedVersions is a set of such bits. */
export const RDSTLS_VERSION_1 = 1;

/** resultCode of an authentication response, [MS-RDPBCGR] 2.2.17.4: Win32 error codes. */
export const RdstlsResult = {
  success: 0,
  accessDenied: 0x005,
  logonFailure: 0x52e,
  invalidLogonHours: 0x530,
  passwordExpired: 0x532,
  accountDisabled: 0x533,
  passwordMustChange: 0x773,
  accountLockedOut: 0x775,
} as const;

/** Who a redirection says is to log on, in its own bytes: nothing of it is the client's to read. `password` is a secret. */
export interface RdstlsCredentials {
  redirectionGuid: Uint8Array;
  userName: Uint8Array;
  domain: Uint8Array;
  password: Uint8Array;
}

/** RDSTLS PDUs, [MS-RDPBCGR] 2.2.17, as they stand behind one another in TLS: without a length of their own. */
export type RdstlsPdu = { version: number } & (
  | { kind: 'capabilities'; supportedVersions: number }
  | ({ kind: 'passwordRequest' } & RdstlsCredentials)
  /** `cookie`: ARC_SC_PRIVATE_PACKET, a secret. */
  | { kind: 'cookieRequest'; sessionId: number; cookie: Uint8Array }
  | { kind: 'response'; resultCode: number }
);

export const RDSTLS_CAPABILITIES_BYTES = 8;
export const RDSTLS_RESPONSE_BYTES = 10;

/** pduType and dataType. */
const TYPES = {
  capabilities: [1, 1],
  passwordRequest: [2, 1],
  cookieRequest: [2, 2],
  response: [4, 1],
} as const satisfies Record<RdstlsPdu['kind'], readonly [number, number]>;

const field = counted(u16le);

export const rdstlsPdu: Codec<RdstlsPdu> = {
  name: 'RDSTLS PDU',
  decode(reader) {
    const [version, pduType, dataType] = [reader.u16le(), reader.u16le(), reader.u16le()];
    const kinds = Object.keys(TYPES) as RdstlsPdu['kind'][];
    switch (kinds.find((kind) => TYPES[kind][0] === pduType && TYPES[kind][1] === dataType)) {
      case 'capabilities':
        return { version, kind: 'capabilities', supportedVersions: reader.u16le() };
      case 'passwordRequest': {
        const [redirectionGuid, userName] = [field.decode(reader), field.decode(reader)];
        const [domain, password] = [field.decode(reader), field.decode(reader)];
        return { version, kind: 'passwordRequest', redirectionGuid, userName, domain, password };
      }
      case 'cookieRequest':
        return { version, kind: 'cookieRequest', sessionId: reader.u32le(), cookie: field.decode(reader) };
      case 'response':
        return { version, kind: 'response', resultCode: reader.u32le() };
      default:
        throw reader.error('unsupported', `an RDSTLS PDU of type ${pduType} with data of type ${dataType}`);
    }
  },
  encode(pdu, writer) {
    const [pduType, dataType] = TYPES[pdu.kind];
    writer.u16le(pdu.version).u16le(pduType).u16le(dataType);
    switch (pdu.kind) {
      case 'capabilities':
        writer.u16le(pdu.supportedVersions);
        break;
      case 'passwordRequest':
        for (const bytes of [pdu.redirectionGuid, pdu.userName, pdu.domain, pdu.password]) field.encode(bytes, writer);
        break;
      case 'cookieRequest':
        writer.u32le(pdu.sessionId);
        field.encode(pdu.cookie, writer);
        break;
      case 'response':
        writer.u32le(pdu.resultCode);
    }
  },
};
