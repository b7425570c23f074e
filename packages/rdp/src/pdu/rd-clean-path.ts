import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';
import { ASN1_OCTET_STRING, ASN1_SEQUENCE, BerReader, BerWriter } from './ber.ts';

/**
 * RDCleanPath, as IronRDP's web client speaks it (crate ironrdp-rdcleanpath): one DER message each way, behind which a WebSocket
 * carries RDP in clear. The gateway does TLS in the client's place; the client hears what certificate it met.
 */
export interface RdCleanPath {
  /** `RD_CLEAN_PATH_VERSION` is the only one there is. */
  version: number;
  error?: RdCleanPathError;
  /** Where the client believes to go. */
  destination?: string;
  /** What lets it in here. Secret. */
  proxyAuth?: string;
  serverAuth?: string;
  preconnectionBlob?: string;
  /** The client's X.224 connection request, or the target's confirm: a whole TPKT. */
  x224?: Uint8Array;
  /** DER, the target's own first. */
  certificates?: Uint8Array[];
  serverAddress?: string;
  /** DER forms of the peer where they are not the shortest. */
  forms?: number[];
}

export interface RdCleanPathError {
  code: number;
  httpStatus?: number;
  wsaError?: number;
  tlsAlert?: number;
}

export const RD_CLEAN_PATH_VERSION = 3390;
/** 1 whatever is wrong; 2 the target's negotiation failure, which stands in `x224`. */
export const RdCleanPathErrorCode = { general: 1, negotiation: 2 } as const;

const ASN1_UTF8_STRING = 0x0c;
/** No chain that anybody serves is longer. */
const CERTIFICATES_MAX = 16;

const context = (number: number): number => 0xa0 | number;
const utf8 = new TextDecoder('utf-8', { fatal: true });
const toUtf8 = new TextEncoder();

/** Reads field `number`; undefined when it is not the next. */
function optional<T>(ber: BerReader, reader: Reader, number: number, read: (inner: Reader) => T): T | undefined {
  if (reader.remaining === 0 || reader.peekU8() !== context(number)) return undefined;
  const inner = ber.enter(reader, context(number));
  const value = read(inner);
  inner.expectEnd(`RDCleanPath field ${number}`);
  return value;
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new DecodeError('invalid', `RDCleanPath without ${what}`);
  return value;
}

function text(ber: BerReader, reader: Reader): string {
  const bytes = ber.octets(reader, ASN1_UTF8_STRING);
  try {
    return utf8.decode(bytes);
  } catch {
    throw reader.error('invalid', 'RDCleanPath text is not UTF-8');
  }
}

function readCertificates(ber: BerReader, reader: Reader): Uint8Array[] {
  const items = ber.enter(reader, ASN1_SEQUENCE);
  const certificates: Uint8Array[] = [];
  while (items.remaining > 0) {
    if (certificates.length === CERTIFICATES_MAX) throw items.error('limit', 'too many certificates');
    certificates.push(ber.octets(items, ASN1_OCTET_STRING));
  }
  return certificates;
}

function readError(ber: BerReader, reader: Reader): RdCleanPathError {
  const content = ber.enter(reader, ASN1_SEQUENCE);
  const integer = (number: number) => optional(ber, content, number, (inner) => ber.integer(inner));
  const code = required(integer(0), 'error code');
  const [httpStatus, wsaError, tlsAlert] = [integer(1), integer(2), integer(3)];
  content.expectEnd('RDCleanPathErr');
  return {
    code,
    ...(httpStatus === undefined ? {} : { httpStatus }),
    ...(wsaError === undefined ? {} : { wsaError }),
    ...(tlsAlert === undefined ? {} : { tlsAlert }),
  };
}

/** Writes what is there, in the fields' order. */
class Fields {
  readonly #ber: BerWriter;
  readonly #out: Writer;

  constructor(ber: BerWriter, out: Writer) {
    this.#ber = ber;
    this.#out = out;
  }

  put<T>(number: number, value: T | undefined, write: (inner: Writer, value: T) => void): this {
    if (value !== undefined) this.#ber.element(this.#out, context(number), (inner) => write(inner, value));
    return this;
  }

  integer(number: number, value: number | undefined): this {
    return this.put(number, value, (inner, given) => this.#ber.integer(inner, given));
  }

  text(number: number, value: string | undefined): this {
    return this.put(number, value, (inner, given) => this.#ber.octets(inner, toUtf8.encode(given), ASN1_UTF8_STRING));
  }
}

function writeError(ber: BerWriter, writer: Writer, { code, httpStatus, wsaError, tlsAlert }: RdCleanPathError): void {
  ber.element(writer, ASN1_SEQUENCE, (out) => {
    new Fields(ber, out).integer(0, code).integer(1, httpStatus).integer(2, wsaError).integer(3, tlsAlert);
  });
}

export const rdCleanPath: Codec<RdCleanPath> = {
  name: 'RDCleanPath',
  decode(reader) {
    const ber = new BerReader();
    const content = ber.enter(reader, ASN1_SEQUENCE);
    const string = (number: number) => optional(ber, content, number, (inner) => text(ber, inner));
    const fields = {
      version: required(
        optional(ber, content, 0, (inner) => ber.integer(inner)),
        'version',
      ),
      error: optional(ber, content, 1, (inner) => readError(ber, inner)),
      destination: string(2),
      proxyAuth: string(3),
      serverAuth: string(4),
      preconnectionBlob: string(5),
      x224: optional(ber, content, 6, (inner) => ber.octets(inner)),
      certificates: optional(ber, content, 7, (inner) => readCertificates(ber, inner)),
      serverAddress: string(9),
      forms: ber.forms(),
    };
    content.expectEnd('RDCleanPath');
    const { version, ...rest } = fields;
    const present = Object.entries(rest).filter(([, value]) => value !== undefined);
    return { version, ...(Object.fromEntries(present) as Omit<RdCleanPath, 'version'>) };
  },
  encode(value, writer) {
    const ber = new BerWriter(value.forms);
    ber.element(writer, ASN1_SEQUENCE, (out) => {
      new Fields(ber, out)
        .integer(0, value.version)
        .put(1, value.error, (inner, error) => writeError(ber, inner, error))
        .text(2, value.destination)
        .text(3, value.proxyAuth)
        .text(4, value.serverAuth)
        .text(5, value.preconnectionBlob)
        .put(6, value.x224, (inner, bytes) => ber.octets(inner, bytes))
        .put(7, value.certificates, (inner, certificates) => {
          ber.element(inner, ASN1_SEQUENCE, (items) => {
            for (const certificate of certificates) ber.octets(items, certificate);
          });
        })
        .text(9, value.serverAddress);
    });
  },
};
