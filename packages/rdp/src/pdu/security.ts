import { struct, u16le, type Value } from '@lucid-sessions/wire/struct';

/** Flags of the basic security header, [MS-RDPBCGR] 2.2.8.1.1.2.1. */
export const SecurityFlag = {
  exchangePkt: 0x0001,
  transportReq: 0x0002,
  transportRsp: 0x0004,
  encrypt: 0x0008,
  resetSeqno: 0x0010,
  ignoreSeqno: 0x0020,
  infoPkt: 0x0040,
  licensePkt: 0x0080,
  licenseEncrypt: 0x0200,
  redirectionPkt: 0x0400,
  secureChecksum: 0x0800,
  autodetectReq: 0x1000,
  autodetectRsp: 0x2000,
  heartbeat: 0x4000,
  flagshiValid: 0x8000,
} as const;

/** Size of the basic security header. */
export const SECURITY_HEADER_BYTES = 4;

/** Basic security header, [MS-RDPBCGR] 2.2.8.1.1.2.1. Under TLS only some PDUs carry it. */
export const securityHeader = struct('basic security header', { flags: u16le, flagsHi: u16le });
export type SecurityHeader = Value<typeof securityHeader>;
