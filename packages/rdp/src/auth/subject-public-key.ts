import { Reader } from '@lucid-sessions/wire';
import { ASN1_SEQUENCE, BerReader } from '../pdu/ber.ts';

const VERSION = 0xa0;
const BIT_STRING = 0x03;
/** serialNumber, signature, issuer, validity, subject. */
const ELEMENTS_BEFORE_KEY = 5;

/**
 * What pubKeyAuth binds to: the content of the SubjectPublicKey BIT STRING of an X.509 certificate (RFC 5280 section 4.1), without its
 * count of unused bits. Taken from the certificate's own bytes, as nobody may write them anew. Throws `DecodeError`.
 */
export function subjectPublicKeyOf(certificate: Uint8Array): Uint8Array {
  const ber = new BerReader();
  const whole = ber.enter(new Reader(certificate), ASN1_SEQUENCE);
  const content = ber.enter(whole, ASN1_SEQUENCE);
  if (content.peekU8() === VERSION) ber.enter(content, VERSION);
  for (let i = 0; i < ELEMENTS_BEFORE_KEY; i += 1) ber.enter(content, content.peekU8());
  const keyInfo = ber.enter(content, ASN1_SEQUENCE);
  ber.enter(keyInfo, ASN1_SEQUENCE);
  const key = ber.enter(keyInfo, BIT_STRING);
  if (key.u8() !== 0) throw key.error('unsupported', 'a public key of bits that fill no bytes');
  return key.copy(key.remaining);
}
