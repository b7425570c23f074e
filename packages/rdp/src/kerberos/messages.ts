/** Messages of Kerberos 5, RFC 4120 section 5 (sections named beside them). What is encrypted stays so: `etypes.ts` opens it. */
import {
  anyText,
  application,
  type Der,
  derCodec,
  element,
  field,
  flags,
  integer,
  octets,
  optional,
  sequence,
  sequenceOf,
  text,
  time,
} from './der.ts';

/** Name types, 6.2. */
export const NameType = { principal: 1, serviceInstance: 2, enterprise: 10 } as const;

/** 5.2.2. */
export interface PrincipalName {
  nameType: number;
  parts: string[];
}

/** 5.2.9. */
export interface EncryptedData {
  etype: number;
  kvno?: number;
  cipher: Uint8Array;
}

/** EncryptionKey, 5.2.9: a secret. */
export interface EncryptionKey {
  etype: number;
  value: Uint8Array;
}

export interface Checksum {
  type: number;
  value: Uint8Array;
}

export interface PaData {
  type: number;
  value: Uint8Array;
}

export const principalName: Der<PrincipalName> = sequence<PrincipalName>({
  nameType: field(0, integer),
  parts: field(1, sequenceOf(text)),
});
const encryptedDataType = sequence<EncryptedData>({
  etype: field(0, integer),
  kvno: optional(1, integer),
  cipher: field(2, octets),
});
const encryptionKey = sequence<EncryptionKey>({ etype: field(0, integer), value: field(1, octets) });
const checksumType = sequence<Checksum>({ type: field(0, integer), value: field(1, octets) });
const paData = sequence<PaData>({ type: field(1, integer), value: field(2, octets) });

export const encryptedData = derCodec('EncryptedData', encryptedDataType);
/** METHOD-DATA, 5.9.1. */
export const methodData = derCodec('METHOD-DATA', sequenceOf(paData));

/** 5.3. */
export interface Ticket {
  version: number;
  realm: string;
  service: PrincipalName;
  encrypted: EncryptedData;
}

export const ticket = derCodec(
  'Ticket',
  application(
    [1],
    sequence<Ticket>({
      version: field(0, integer),
      realm: field(1, text),
      service: field(2, principalName),
      encrypted: field(3, encryptedDataType),
    }),
  ),
);

/** KDC-REQ-BODY, 5.4.1, as far as it is asked for here. */
export interface KdcRequestBody {
  options: number;
  client?: PrincipalName;
  realm: string;
  service: PrincipalName;
  till: string;
  nonce: number;
  etypes: number[];
}

const kdcRequestBodyType = sequence<KdcRequestBody>({
  options: field(0, flags),
  client: optional(1, principalName),
  realm: field(2, text),
  service: optional(3, principalName),
  till: field(5, time),
  nonce: field(7, integer),
  etypes: field(8, sequenceOf(integer)),
});
export const kdcRequestBody = derCodec('KDC-REQ-BODY', kdcRequestBodyType);

export interface KdcRequest {
  version: number;
  messageType: number;
  paData?: PaData[];
  body: KdcRequestBody;
}

const kdcRequest = sequence<KdcRequest>({
  version: field(1, integer),
  messageType: field(2, integer),
  paData: optional(3, sequenceOf(paData)),
  body: field(4, kdcRequestBodyType),
});
export const MessageType = { asReq: 10, asRep: 11, tgsReq: 12, tgsRep: 13, apReq: 14, apRep: 15, error: 30 } as const;
export const asRequest = derCodec('AS-REQ', application([MessageType.asReq], kdcRequest));
export const tgsRequest = derCodec('TGS-REQ', application([MessageType.tgsReq], kdcRequest));

/** 5.4.2. */
export interface KdcReply {
  version: number;
  messageType: number;
  paData?: PaData[];
  clientRealm: string;
  client: PrincipalName;
  /** The Ticket as it came. */
  ticket: Uint8Array;
  encrypted: EncryptedData;
}

const kdcReply = sequence<KdcReply>({
  version: field(0, integer),
  messageType: field(1, integer),
  paData: optional(2, sequenceOf(paData)),
  clientRealm: field(3, text),
  client: field(4, principalName),
  ticket: field(5, element),
  encrypted: field(6, encryptedDataType),
});
export const asReply = derCodec('AS-REP', application([MessageType.asRep], kdcReply));
export const tgsReply = derCodec('TGS-REP', application([MessageType.tgsRep], kdcReply));

/** EncKDCRepPart, 5.4.2. */
export interface KdcReplyPart {
  key: EncryptionKey;
  lastRequest: Uint8Array;
  nonce: number;
  keyExpiration?: string;
  flags: number;
  authTime: string;
  startTime?: string;
  endTime: string;
  renewTill?: string;
  realm: string;
  service: PrincipalName;
  addresses?: Uint8Array;
  encryptedPaData?: PaData[];
}

/** RFC 4120 lets a KDC tag both replies as those of the TGS. */
export const kdcReplyPart = derCodec(
  'EncKDCRepPart',
  application(
    [25, 26],
    sequence<KdcReplyPart>({
      key: field(0, encryptionKey),
      lastRequest: field(1, element),
      nonce: field(2, integer),
      keyExpiration: optional(3, time),
      flags: field(4, flags),
      authTime: field(5, time),
      startTime: optional(6, time),
      endTime: field(7, time),
      renewTill: optional(8, time),
      realm: field(9, text),
      service: field(10, principalName),
      addresses: optional(11, element),
      encryptedPaData: optional(12, sequenceOf(paData)),
    }),
  ),
);

/** KRB-ERROR, 5.9.1. */
export interface KrbError {
  version: number;
  messageType: number;
  clientTime?: string;
  clientMicros?: number;
  serverTime: string;
  serverMicros: number;
  code: number;
  clientRealm?: string;
  client?: PrincipalName;
  realm: string;
  service: PrincipalName;
  text?: Uint8Array;
  data?: Uint8Array;
}

export const krbError = derCodec(
  'KRB-ERROR',
  application(
    [MessageType.error],
    sequence<KrbError>({
      version: field(0, integer),
      messageType: field(1, integer),
      clientTime: optional(2, time),
      clientMicros: optional(3, integer),
      serverTime: field(4, time),
      serverMicros: field(5, integer),
      code: field(6, integer),
      clientRealm: optional(7, text),
      client: optional(8, principalName),
      realm: field(9, text),
      service: field(10, principalName),
      text: optional(11, anyText),
      data: optional(12, octets),
    }),
  ),
);

/** ETYPE-INFO2, 5.2.7.5. */
export interface EtypeInfo {
  etype: number;
  salt?: string;
  parameters?: Uint8Array;
}

export const etypeInfo2 = derCodec(
  'ETYPE-INFO2',
  sequenceOf(
    sequence<EtypeInfo>({ etype: field(0, integer), salt: optional(1, text), parameters: optional(2, octets) }),
  ),
);

/** PA-ENC-TS-ENC, 5.2.7.2. */
export const encryptedTimestamp = derCodec(
  'PA-ENC-TS-ENC',
  sequence<{ time: string; micros?: number }>({ time: field(0, time), micros: optional(1, integer) }),
);

/** 5.5.1. */
export interface ApRequest {
  version: number;
  messageType: number;
  options: number;
  /** The Ticket as it came. */
  ticket: Uint8Array;
  authenticator: EncryptedData;
}

export const ApOption = { useSessionKey: 0x40000000, mutualRequired: 0x20000000 } as const;

export const apRequest = derCodec(
  'AP-REQ',
  application(
    [MessageType.apReq],
    sequence<ApRequest>({
      version: field(0, integer),
      messageType: field(1, integer),
      options: field(2, flags),
      ticket: field(3, element),
      authenticator: field(4, encryptedDataType),
    }),
  ),
);

/** 5.5.1. */
export interface Authenticator {
  version: number;
  clientRealm: string;
  client: PrincipalName;
  checksum?: Checksum;
  micros: number;
  time: string;
  subkey?: EncryptionKey;
  sequence?: number;
  authorizationData?: Uint8Array;
}

export const authenticator = derCodec(
  'Authenticator',
  application(
    [2],
    sequence<Authenticator>({
      version: field(0, integer),
      clientRealm: field(1, text),
      client: field(2, principalName),
      checksum: optional(3, checksumType),
      micros: field(4, integer),
      time: field(5, time),
      subkey: optional(6, encryptionKey),
      sequence: optional(7, integer),
      authorizationData: optional(8, element),
    }),
  ),
);

/** 5.5.2. */
export const apReply = derCodec(
  'AP-REP',
  application(
    [MessageType.apRep],
    sequence<{ version: number; messageType: number; encrypted: EncryptedData }>({
      version: field(0, integer),
      messageType: field(1, integer),
      encrypted: field(2, encryptedDataType),
    }),
  ),
);

/** EncAPRepPart, 5.5.2. */
export interface ApReplyPart {
  time: string;
  micros: number;
  subkey?: EncryptionKey;
  sequence?: number;
}

export const apReplyPart = derCodec(
  'EncAPRepPart',
  application(
    [27],
    sequence<ApReplyPart>({
      time: field(0, time),
      micros: field(1, integer),
      subkey: optional(2, encryptionKey),
      sequence: optional(3, integer),
    }),
  ),
);

/** `YYYYMMDDhhmmssZ`. */
export const kerberosTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;

/** `alice`, `TERMSRV/host` */
export const nameText = ({ parts }: PrincipalName): string => parts.join('/');

/** What a KDC or a service says besides its code, printable and within bounds. */
export const errorText = ({ text: said }: KrbError): string =>
  said === undefined ? '' : `: ${new TextDecoder().decode(said.subarray(0, 200)).replace(/[^ -~]/g, '?')}`;
