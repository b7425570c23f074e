import { type Codec, encode, Reader, Writer } from '@lucid-sessions/wire';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { ASN1_ENUMERATED, ASN1_OCTET_STRING, ASN1_SEQUENCE, BerReader, BerWriter } from '../pdu/ber.ts';

/** Mechanisms, as the contents of their OBJECT IDENTIFIER in hexadecimal. */
export const Mechanism = {
  /** 1.3.6.1.4.1.311.2.2.10 */
  ntlm: '2b06010401823702020a',
  /** 1.2.840.113554.1.2.2 */
  kerberos: '2a864886f712010202',
  /** 1.2.840.48018.1.2.2: Kerberos as Windows 2000 misspelt it, and as all still offer it. */
  kerberosMicrosoft: '2a864882f712010202',
  /** 1.2.840.113554.1.2.2.3 */
  kerberosUserToUser: '2a864886f71201020203',
  /** 1.3.6.1.4.1.311.2.2.30 */
  negoEx: '2b06010401823702021e',
} as const;

/** negState, RFC 4178 section 4.2.2. */
export const NegState = { acceptCompleted: 0, acceptIncomplete: 1, reject: 2, requestMic: 3 } as const;

/** NegTokenInit (RFC 4178 section 4.2.1) in its GSS-API envelope, or NegTokenInit2 of [MS-SPNG] 2.2.1. */
export interface NegTokenInit {
  kind: 'init';
  /** Mechanisms offered, most wanted first: OID contents in hexadecimal. */
  mechTypes: string[];
  /** Content of the BIT STRING's context element, as it is. */
  reqFlags?: Uint8Array;
  mechToken?: Uint8Array;
  /** Contents of [3] and [4]: hints, mechListMIC; nothing here depends on them. */
  third?: Uint8Array;
  fourth?: Uint8Array;
  forms?: number[];
}

/** NegTokenResp, RFC 4178 section 4.2.2. */
export interface NegTokenResp {
  kind: 'resp';
  negState?: number;
  /** OID content in hexadecimal. */
  supportedMech?: string;
  responseToken?: Uint8Array;
  mechListMic?: Uint8Array;
  forms?: number[];
}

export type SpnegoToken = NegTokenInit | NegTokenResp;

const context = (number: number): number => 0xa0 | number;
const GSS_ENVELOPE = 0x60;
const OBJECT_IDENTIFIER = 0x06;
/** 1.3.6.1.5.5.2 */
const SPNEGO_OID = '2b0601050502';
const MECHANISMS_MAX = 16;

function field<T>(ber: BerReader, reader: Reader, number: number, read: (inner: Reader) => T): T | undefined {
  if (reader.remaining === 0 || reader.peekU8() !== context(number)) return undefined;
  const inner = ber.enter(reader, context(number));
  const value = read(inner);
  inner.expectEnd(`SPNEGO field ${number}`);
  return value;
}

const readOid = (ber: BerReader, reader: Reader): string => bytesToHex(ber.octets(reader, OBJECT_IDENTIFIER));

function readMechTypes(ber: BerReader, reader: Reader): string[] {
  const list = ber.enter(reader, ASN1_SEQUENCE);
  const found: string[] = [];
  while (list.remaining > 0) {
    if (found.length === MECHANISMS_MAX) throw list.error('limit', 'too many mechanisms');
    found.push(readOid(ber, list));
  }
  return found;
}

function decodeInit(reader: Reader): NegTokenInit {
  const ber = new BerReader();
  const envelope = ber.enter(reader, GSS_ENVELOPE);
  if (readOid(ber, envelope) !== SPNEGO_OID)
    throw envelope.error('unsupported', 'a GSS-API token of something else than SPNEGO');
  const choice = ber.enter(envelope, context(0));
  const content = ber.enter(choice, ASN1_SEQUENCE);
  const mechTypes = field(ber, content, 0, (inner) => readMechTypes(ber, inner));
  if (mechTypes === undefined) throw content.error('invalid', 'SPNEGO without mechanisms');
  const value: NegTokenInit = {
    kind: 'init',
    mechTypes,
    ...optional(
      'reqFlags',
      field(ber, content, 1, (inner) => inner.copy(inner.remaining)),
    ),
    ...optional(
      'mechToken',
      field(ber, content, 2, (inner) => ber.octets(inner).slice()),
    ),
    ...optional(
      'third',
      field(ber, content, 3, (inner) => inner.copy(inner.remaining)),
    ),
    ...optional(
      'fourth',
      field(ber, content, 4, (inner) => inner.copy(inner.remaining)),
    ),
  };
  for (const part of [content, choice, envelope]) part.expectEnd('NegTokenInit');
  return { ...value, ...optional('forms', ber.forms()) };
}

function decodeResp(reader: Reader): NegTokenResp {
  const ber = new BerReader();
  const choice = ber.enter(reader, context(1));
  const content = ber.enter(choice, ASN1_SEQUENCE);
  const value: NegTokenResp = {
    kind: 'resp',
    ...optional(
      'negState',
      field(ber, content, 0, (inner) => ber.integer(inner, ASN1_ENUMERATED)),
    ),
    ...optional(
      'supportedMech',
      field(ber, content, 1, (inner) => readOid(ber, inner)),
    ),
    ...optional(
      'responseToken',
      field(ber, content, 2, (inner) => ber.octets(inner).slice()),
    ),
    ...optional(
      'mechListMic',
      field(ber, content, 3, (inner) => ber.octets(inner).slice()),
    ),
  };
  for (const part of [content, choice]) part.expectEnd('NegTokenResp');
  return { ...value, ...optional('forms', ber.forms()) };
}

const optional = <K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]?: T });

function writeMechTypes(ber: BerWriter, writer: Writer, mechTypes: readonly string[]): void {
  ber.element(writer, ASN1_SEQUENCE, (list) => {
    for (const oid of mechTypes) ber.octets(list, hexToBytes(oid), OBJECT_IDENTIFIER);
  });
}

/** An explicit element that is left out when there is no value for it. */
function put<T>(
  ber: BerWriter,
  out: Writer,
  number: number,
  value: T | undefined,
  write: (inner: Writer, value: T) => void,
): void {
  if (value !== undefined) ber.element(out, context(number), (inner) => write(inner, value));
}

function encodeInit(value: NegTokenInit, writer: Writer): void {
  const ber = new BerWriter(value.forms);
  const raw = (inner: Writer, bytes: Uint8Array): void => {
    inner.slice(bytes);
  };
  ber.element(writer, GSS_ENVELOPE, (envelope) => {
    ber.octets(envelope, hexToBytes(SPNEGO_OID), OBJECT_IDENTIFIER);
    ber.element(envelope, context(0), (choice) => {
      ber.element(choice, ASN1_SEQUENCE, (out) => {
        put(ber, out, 0, value.mechTypes, (inner, list) => writeMechTypes(ber, inner, list));
        put(ber, out, 1, value.reqFlags, raw);
        put(ber, out, 2, value.mechToken, (inner, token) => ber.octets(inner, token));
        put(ber, out, 3, value.third, raw);
        put(ber, out, 4, value.fourth, raw);
      });
    });
  });
}

function encodeResp(value: NegTokenResp, writer: Writer): void {
  const ber = new BerWriter(value.forms);
  const octets = (inner: Writer, bytes: Uint8Array): void => ber.octets(inner, bytes, ASN1_OCTET_STRING);
  ber.element(writer, context(1), (choice) => {
    ber.element(choice, ASN1_SEQUENCE, (out) => {
      put(ber, out, 0, value.negState, (inner, state) => ber.integer(inner, state, ASN1_ENUMERATED));
      put(ber, out, 1, value.supportedMech, (inner, oid) => ber.octets(inner, hexToBytes(oid), OBJECT_IDENTIFIER));
      put(ber, out, 2, value.responseToken, octets);
      put(ber, out, 3, value.mechListMic, octets);
    });
  });
}

export const spnegoToken: Codec<SpnegoToken> = {
  name: 'SPNEGO token',
  decode: (reader) => (reader.peekU8() === GSS_ENVELOPE ? decodeInit(reader) : decodeResp(reader)),
  encode: (value, writer) => (value.kind === 'init' ? encodeInit(value, writer) : encodeResp(value, writer)),
};

/** What mechListMIC is made over: the DER of the MechTypeList. */
export function mechTypesDer(mechTypes: readonly string[]): Uint8Array {
  const writer = new Writer();
  writeMechTypes(new BerWriter(), writer, mechTypes);
  return writer.bytes();
}

/** One token, ready to send. */
export const spnegoBytes = (token: SpnegoToken): Uint8Array => encode(spnegoToken, token).slice();

/** Reads one token that fills `bytes`. Throws `DecodeError`. */
export function readSpnego(bytes: Uint8Array): SpnegoToken {
  const reader = new Reader(bytes);
  const token = spnegoToken.decode(reader);
  reader.expectEnd(spnegoToken.name);
  return token;
}
