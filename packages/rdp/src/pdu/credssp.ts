import type { Codec, Reader, Writer } from '@lucid-sessions/wire';
import { ASN1_SEQUENCE, BerReader, BerWriter } from './ber.ts';

/** Explicit context tags of TSRequest. */
const context = (number: number) => 0xa0 | number;

/** TSRequest, [MS-CSSP] 2.2.1. Which fields may appear depends on `version`: errorCode from 3, clientNonce from 5. */
export interface TsRequest {
  version: number;
  /** NegoData: SPNEGO or NTLM tokens. */
  negoTokens?: Uint8Array[];
  /** Encrypted TSCredentials; secret even so. */
  authInfo?: Uint8Array;
  pubKeyAuth?: Uint8Array;
  /** NTSTATUS or SSPI code, as an unsigned number; a signed INTEGER on the wire. */
  errorCode?: number;
  clientNonce?: Uint8Array;
  /** BER forms of the peer where they aren't DER. */
  forms?: number[];
}

/** Most tokens in one NegoData; there is never more than one. */
const NEGO_TOKENS_MAX = 16;

function readNegoTokens(ber: BerReader, reader: Reader): Uint8Array[] {
  const items = ber.enter(reader, ASN1_SEQUENCE);
  const tokens: Uint8Array[] = [];
  while (items.remaining > 0) {
    if (tokens.length === NEGO_TOKENS_MAX) throw items.error('limit', 'too many negotiation tokens');
    const item = ber.enter(items, ASN1_SEQUENCE);
    const field = ber.enter(item, context(0));
    tokens.push(ber.octets(field));
    field.expectEnd('negotiation token');
    item.expectEnd('NegoData item');
  }
  return tokens;
}

function writeNegoTokens(ber: BerWriter, writer: Writer, tokens: Uint8Array[]): void {
  ber.element(writer, ASN1_SEQUENCE, (items) => {
    for (const token of tokens)
      ber.element(items, ASN1_SEQUENCE, (item) => {
        ber.element(item, context(0), (field) => ber.octets(field, token));
      });
  });
}

/** Reads one field in its tag's context; false when the tag isn't next. */
function field(ber: BerReader, reader: Reader, number: number, read: (inner: Reader) => void): void {
  if (reader.remaining === 0 || reader.peekU8() !== context(number)) return;
  const inner = ber.enter(reader, context(number));
  read(inner);
  inner.expectEnd(`TSRequest field ${number}`);
}

export const tsRequest: Codec<TsRequest> = {
  name: 'TSRequest',
  decode(reader) {
    const ber = new BerReader();
    const content = ber.enter(reader, ASN1_SEQUENCE);
    const value: TsRequest = { version: -1 };
    field(ber, content, 0, (inner) => {
      value.version = ber.integer(inner);
    });
    if (value.version < 0) throw content.error('invalid', 'TSRequest without version');
    field(ber, content, 1, (inner) => {
      value.negoTokens = readNegoTokens(ber, inner);
    });
    field(ber, content, 2, (inner) => {
      value.authInfo = ber.octets(inner);
    });
    field(ber, content, 3, (inner) => {
      value.pubKeyAuth = ber.octets(inner);
    });
    field(ber, content, 4, (inner) => {
      value.errorCode = ber.status(inner);
    });
    field(ber, content, 5, (inner) => {
      value.clientNonce = ber.octets(inner);
    });
    content.expectEnd('TSRequest');
    const forms = ber.forms();
    return forms ? { ...value, forms } : value;
  },
  encode(value, writer) {
    const ber = new BerWriter(value.forms);
    const { negoTokens, authInfo, pubKeyAuth, errorCode, clientNonce } = value;
    ber.element(writer, ASN1_SEQUENCE, (out) => {
      ber.element(out, context(0), (inner) => ber.integer(inner, value.version));
      if (negoTokens) ber.element(out, context(1), (inner) => writeNegoTokens(ber, inner, negoTokens));
      if (authInfo) ber.element(out, context(2), (inner) => ber.octets(inner, authInfo));
      if (pubKeyAuth) ber.element(out, context(3), (inner) => ber.octets(inner, pubKeyAuth));
      if (errorCode !== undefined) ber.element(out, context(4), (inner) => ber.status(inner, errorCode));
      if (clientNonce) ber.element(out, context(5), (inner) => ber.octets(inner, clientNonce));
    });
  },
};
