import { type Codec, type Reader, Writer } from '@lucid-sessions/wire';
import { bytes, textOfBytes } from '@lucid-sessions/wire/struct';

/** requestedProtocols and selectedProtocol, [MS-RDPBCGR] 2.2.1.1.1 and 2.2.1.2.1. */
export const Protocol = {
  rdp: 0,
  ssl: 1,
  hybrid: 2,
  rdstls: 4,
  hybridEx: 8,
  rdsaad: 16,
} as const;

/** RDP_NEG_REQ flags. */
export const NegotiationRequestFlag = {
  restrictedAdminModeRequired: 1,
  redirectedAuthenticationModeRequired: 2,
  correlationInfoPresent: 8,
} as const;

/** RDP_NEG_RSP flags. */
export const NegotiationResponseFlag = {
  extendedClientDataSupported: 1,
  dynvcGfxProtocolSupported: 2,
  restrictedAdminModeSupported: 8,
  redirectedAuthenticationModeSupported: 16,
} as const;

/** RDP_NEG_FAILURE codes, [MS-RDPBCGR] 2.2.1.2.2. */
export const NegotiationFailureCode = {
  sslRequiredByServer: 1,
  sslNotAllowedByServer: 2,
  sslCertNotOnServer: 3,
  inconsistentFlags: 4,
  hybridRequiredByServer: 5,
  sslWithUserAuthRequiredByServer: 6,
} as const;

/** The line before the negotiation request: which session or server the client wants. */
export type RoutingLine =
  /** `Cookie: mstshash=NAME` */
  | { kind: 'mstshash'; name: string }
  /** `Cookie: msts=TOKEN` */
  | { kind: 'msts'; token: string }
  /** Any other line of a load balancer. */
  | { kind: 'other'; line: string };

/** RDP_NEG_REQ, [MS-RDPBCGR] 2.2.1.1.1. */
export interface NegotiationRequest {
  flags: number;
  requestedProtocols: number;
}

/** RDP_NEG_CORRELATION_INFO, [MS-RDPBCGR] 2.2.1.1.2. */
export interface CorrelationInfo {
  flags: number;
  correlationId: Uint8Array;
  reserved: Uint8Array;
}

/** X.224 Connection Request with its RDP contents, [MS-RDPBCGR] 2.2.1.1. */
export interface X224ConnectionRequest {
  destinationReference: number;
  sourceReference: number;
  classOption: number;
  routing?: RoutingLine;
  negotiation?: NegotiationRequest;
  correlation?: CorrelationInfo;
  /** Variable part nobody claims. */
  trailing?: Uint8Array;
}

/** RDP_NEG_RSP or RDP_NEG_FAILURE, [MS-RDPBCGR] 2.2.1.2.1 and 2.2.1.2.2. */
export type NegotiationAnswer =
  | { kind: 'response'; flags: number; selectedProtocol: number }
  | { kind: 'failure'; flags: number; failureCode: number };

/** X.224 Connection Confirm, [MS-RDPBCGR] 2.2.1.2. */
export interface X224ConnectionConfirm {
  destinationReference: number;
  sourceReference: number;
  classOption: number;
  negotiation?: NegotiationAnswer;
  trailing?: Uint8Array;
}

/** X.224 Disconnect Request, X.224 section 13.5. */
export interface X224DisconnectRequest {
  destinationReference: number;
  sourceReference: number;
  reason: number;
  trailing?: Uint8Array;
}

/** X.224 Data, X.224 section 13.7: what carries every later PDU but the fast-path ones. */
export interface X224Data {
  payload: Uint8Array;
}

const CODE_CONNECTION_REQUEST = 0xe0;
const CODE_CONNECTION_CONFIRM = 0xd0;
const CODE_DISCONNECT_REQUEST = 0x80;
const CODE_DATA = 0xf0;
const END_OF_TSDU = 0x80;
const NEG_REQ = 1;
const NEG_RSP = 2;
const NEG_FAILURE = 3;
const CORRELATION_INFO = 6;
const NEG_BYTES = 8;
const CORRELATION_BYTES = 36;
/** X.224 Data header size. */
export const X224_DATA_HEADER_BYTES = 3;

const sixteen = bytes(16);

/** Opens a TPDU of the given code: a reader over what its length indicator covers, after the code. */
function open(reader: Reader, code: number, name: string): Reader {
  const lengthIndicator = reader.u8();
  const content = reader.sub(lengthIndicator);
  const found = content.u8();
  if (found !== code) throw content.error('invalid', `X.224 code 0x${found.toString(16)}, expected a ${name}`);
  return content;
}

function close(writer: Writer, code: number, content: Uint8Array): void {
  writer
    .u8(content.length + 1)
    .u8(code)
    .slice(content);
}

function routingOf(line: string): RoutingLine {
  const cookie = 'Cookie: mstshash=';
  const token = 'Cookie: msts=';
  if (line.startsWith(cookie)) return { kind: 'mstshash', name: line.slice(cookie.length) };
  if (line.startsWith(token)) return { kind: 'msts', token: line.slice(token.length) };
  return { kind: 'other', line };
}

function lineOf(routing: RoutingLine): string {
  switch (routing.kind) {
    case 'mstshash':
      return `Cookie: mstshash=${routing.name}`;
    case 'msts':
      return `Cookie: msts=${routing.token}`;
    case 'other':
      return routing.line;
  }
}

function startsBlock(reader: Reader, type: number, bytesLength: number): boolean {
  return (
    reader.remaining >= bytesLength &&
    reader.peekU8() === type &&
    reader.peekU8(2) === bytesLength &&
    reader.peekU8(3) === 0
  );
}

function readLine(reader: Reader): string | undefined {
  for (let at = reader.offset; at + 1 < reader.end; at += 1)
    if (reader.bytes[at] === 0x0d && reader.bytes[at + 1] === 0x0a) {
      const line = textOfBytes(reader.slice(at - reader.offset));
      reader.skip(2);
      return line;
    }
  return undefined;
}

export const x224ConnectionRequest: Codec<X224ConnectionRequest> = {
  name: 'X.224 Connection Request',
  decode(reader) {
    const content = open(reader, CODE_CONNECTION_REQUEST, 'Connection Request');
    const value: X224ConnectionRequest = {
      destinationReference: content.u16be(),
      sourceReference: content.u16be(),
      classOption: content.u8(),
    };
    if (!startsBlock(content, NEG_REQ, NEG_BYTES)) {
      const line = readLine(content);
      if (line !== undefined) value.routing = routingOf(line);
    }
    if (startsBlock(content, NEG_REQ, NEG_BYTES)) {
      content.skip(1);
      const flags = content.u8();
      content.skip(2);
      value.negotiation = { flags, requestedProtocols: content.u32le() };
    }
    if (startsBlock(content, CORRELATION_INFO, CORRELATION_BYTES)) {
      content.skip(1);
      const flags = content.u8();
      content.skip(2);
      value.correlation = { flags, correlationId: content.slice(16), reserved: content.slice(16) };
    }
    if (content.remaining > 0) value.trailing = content.rest();
    return value;
  },
  encode(value, writer) {
    const content = new Writer();
    content.u16be(value.destinationReference).u16be(value.sourceReference).u8(value.classOption);
    if (value.routing) content.latin1(`${lineOf(value.routing)}\r\n`);
    if (value.negotiation)
      content.u8(NEG_REQ).u8(value.negotiation.flags).u16le(NEG_BYTES).u32le(value.negotiation.requestedProtocols);
    if (value.correlation) {
      content.u8(CORRELATION_INFO).u8(value.correlation.flags).u16le(CORRELATION_BYTES);
      sixteen.encode(value.correlation.correlationId, content);
      sixteen.encode(value.correlation.reserved, content);
    }
    if (value.trailing) content.slice(value.trailing);
    close(writer, CODE_CONNECTION_REQUEST, content.bytes());
  },
};

function readAnswer(content: Reader): NegotiationAnswer | undefined {
  if (startsBlock(content, NEG_RSP, NEG_BYTES)) {
    content.skip(1);
    const flags = content.u8();
    content.skip(2);
    return { kind: 'response', flags, selectedProtocol: content.u32le() };
  }
  if (startsBlock(content, NEG_FAILURE, NEG_BYTES)) {
    content.skip(1);
    const flags = content.u8();
    content.skip(2);
    return { kind: 'failure', flags, failureCode: content.u32le() };
  }
  return undefined;
}

export const x224ConnectionConfirm: Codec<X224ConnectionConfirm> = {
  name: 'X.224 Connection Confirm',
  decode(reader) {
    const content = open(reader, CODE_CONNECTION_CONFIRM, 'Connection Confirm');
    const value: X224ConnectionConfirm = {
      destinationReference: content.u16be(),
      sourceReference: content.u16be(),
      classOption: content.u8(),
    };
    const answer = readAnswer(content);
    if (answer) value.negotiation = answer;
    if (content.remaining > 0) value.trailing = content.rest();
    return value;
  },
  encode(value, writer) {
    const content = new Writer();
    content.u16be(value.destinationReference).u16be(value.sourceReference).u8(value.classOption);
    const answer = value.negotiation;
    if (answer?.kind === 'response')
      content.u8(NEG_RSP).u8(answer.flags).u16le(NEG_BYTES).u32le(answer.selectedProtocol);
    if (answer?.kind === 'failure') content.u8(NEG_FAILURE).u8(answer.flags).u16le(NEG_BYTES).u32le(answer.failureCode);
    if (value.trailing) content.slice(value.trailing);
    close(writer, CODE_CONNECTION_CONFIRM, content.bytes());
  },
};

export const x224DisconnectRequest: Codec<X224DisconnectRequest> = {
  name: 'X.224 Disconnect Request',
  decode(reader) {
    const content = open(reader, CODE_DISCONNECT_REQUEST, 'Disconnect Request');
    const value: X224DisconnectRequest = {
      destinationReference: content.u16be(),
      sourceReference: content.u16be(),
      reason: content.u8(),
    };
    if (content.remaining > 0) value.trailing = content.rest();
    return value;
  },
  encode(value, writer) {
    const content = new Writer();
    content.u16be(value.destinationReference).u16be(value.sourceReference).u8(value.reason);
    if (value.trailing) content.slice(value.trailing);
    close(writer, CODE_DISCONNECT_REQUEST, content.bytes());
  },
};

export const x224Data: Codec<X224Data> = {
  name: 'X.224 Data',
  decode(reader) {
    const content = open(reader, CODE_DATA, 'Data TPDU');
    const end = content.u8();
    if (end !== END_OF_TSDU || content.remaining !== 0)
      throw content.error('unsupported', 'segmented X.224 data; send one TPDU per TPKT');
    return { payload: reader.rest() };
  },
  encode(value, writer) {
    writer.u8(2).u8(CODE_DATA).u8(END_OF_TSDU).slice(value.payload);
  },
};
