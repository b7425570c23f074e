import { concatBytes, DecodeError, encode, Reader, Writer } from '@lucid-sessions/wire';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { BerReader, BerWriter } from '../pdu/ber.ts';

const GSS_ENVELOPE = 0x60;
const OBJECT_IDENTIFIER = 0x06;

/** TOK_ID of RFC 4121 section 4.1 and draft-swift-win2k-krb-user2user. */
export const TokenId = { apReq: 0x0100, apRep: 0x0200, error: 0x0300, tgtReq: 0x0400, tgtRep: 0x0401 } as const;

/** A token of context establishment. */
export interface GssToken {
  /** OID content in hexadecimal. */
  mechanism: string;
  id: number;
  /** The message of Kerberos. */
  body: Uint8Array;
}

export const gssToken = {
  name: 'GSS-API token of Kerberos',
  decode(reader: Reader): GssToken {
    const ber = new BerReader();
    const inner = ber.enter(reader, GSS_ENVELOPE);
    const mechanism = bytesToHex(ber.octets(inner, OBJECT_IDENTIFIER));
    if (ber.forms() !== undefined) throw inner.error('unsupported', 'a GSS-API token that is no DER');
    return { mechanism, id: inner.u16be(), body: inner.copy(inner.remaining) };
  },
  encode({ mechanism, id, body }: GssToken, writer: Writer): void {
    const ber = new BerWriter();
    ber.element(writer, GSS_ENVELOPE, (inner) => {
      ber.octets(inner, hexToBytes(mechanism), OBJECT_IDENTIFIER);
      inner.u16be(id).slice(body);
    });
  },
};

export const gssTokenBytes = (token: GssToken): Uint8Array => encode(gssToken, token).slice();

/** Flags of MIC and Wrap tokens, RFC 4121 section 4.2.2. */
export const TokenFlag = { sentByAcceptor: 1, sealed: 2, acceptorSubkey: 4 } as const;

const MIC_ID = 0x0404;
const WRAP_ID = 0x0504;
export const tokenHeaderBytes = 16;

/** MIC token, RFC 4121 section 4.2.6.1. */
export interface MicToken {
  flags: number;
  sequence: bigint;
  checksum: Uint8Array;
}

/** The 16 bytes before the checksum, which it is made over as well. */
export const micHeader = (flags: number, sequence: bigint): Uint8Array =>
  new Writer(tokenHeaderBytes).u16be(MIC_ID).u8(flags).u8(0xff).u32be(0xffffffff).u64be(sequence).bytes();

export function readMic(bytes: Uint8Array): MicToken {
  const reader = new Reader(bytes);
  if (reader.u16be() !== MIC_ID) throw reader.error('invalid', 'this is no MIC of Kerberos');
  const flags = reader.u8();
  if (reader.u8() !== 0xff || reader.u32be() !== 0xffffffff) throw reader.error('invalid', 'a MIC without its filler');
  return { flags, sequence: reader.u64be(), checksum: reader.copy(reader.remaining) };
}

/** Wrap token, RFC 4121 section 4.2.6.2. */
export interface WrapToken {
  flags: number;
  /** Bytes of filler behind the text. */
  extraCount: number;
  /** Bytes that what follows the header is turned right by. */
  rightRotation: number;
  sequence: bigint;
  /** As it stands, turned. */
  body: Uint8Array;
}

export const wrapHeader = ({ flags, extraCount, rightRotation, sequence }: Omit<WrapToken, 'body'>): Uint8Array =>
  new Writer(tokenHeaderBytes)
    .u16be(WRAP_ID)
    .u8(flags)
    .u8(0xff)
    .u16be(extraCount)
    .u16be(rightRotation)
    .u64be(sequence)
    .bytes();

export function readWrap(bytes: Uint8Array): WrapToken {
  const reader = new Reader(bytes);
  if (reader.u16be() !== WRAP_ID) throw reader.error('invalid', 'this is no Wrap token of Kerberos');
  const flags = reader.u8();
  if (reader.u8() !== 0xff) throw reader.error('invalid', 'a Wrap token without its filler');
  const [extraCount, rightRotation, sequence] = [reader.u16be(), reader.u16be(), reader.u64be()];
  return { flags, extraCount, rightRotation, sequence, body: reader.copy(reader.remaining) };
}

/** Turns right by so many bytes, more than there are included; left where it is negative. */
export function rotate(bytes: Uint8Array, by: number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const at = (((-by % bytes.length) + bytes.length) % bytes.length) as number;
  return concatBytes(bytes.slice(at), bytes.slice(0, at));
}

export function checkFlags(flags: number, expected: number): void {
  if (flags !== expected) throw new DecodeError('invalid', `a token of Kerberos with flags ${flags}, not ${expected}`);
}
