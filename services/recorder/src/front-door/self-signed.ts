/** A self-signed X.509 certificate (RFC 5280) for an ECDSA P-256 key, in the little DER that takes. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** [2] dNSName of GeneralName, [0] version and [3] extensions of TBSCertificate. */
const DNS_NAME = 0x82;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;

const oid = (hex: string): Buffer => der(OBJECT_ID, Buffer.from(hex, 'hex'));

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = '2a8648ce3d040302';
/** 2.5.4.3 */
const commonName = '550403';
/** 2.5.29.17, 2.5.29.37, 2.5.29.15 */
const subjectAltName = '551d11';
const extKeyUsage = '551d25';
const keyUsage = '551d0f';
/** 1.3.6.1.5.5.7.3.1 */
const serverAuth = '2b06010505070301';

function der(tag: number, ...content: Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), body]);
  const size = length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, body]);
}

const time = (date: Date): Buffer =>
  der(GENERALIZED_TIME, Buffer.from(`${date.toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`, 'latin1'));

const extension = (id: string, value: Buffer): Buffer => der(SEQUENCE, oid(id), der(OCTET_STRING, value));

/** PEM certificate and PKCS #8 key. */
export function makeSelfSigned(name: string, notBefore: Date, notAfter: Date): { certificate: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(SEQUENCE, oid(ecdsaWithSha256));
  const text = der(UTF8_STRING, Buffer.from(name, 'utf8'));
  const subject = der(SEQUENCE, der(SET, der(SEQUENCE, oid(commonName), text)));
  const serial = randomBytes(16);
  // Positive and without leading zeros, as INTEGER wants it.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const extensions = der(
    SEQUENCE,
    extension(keyUsage, Buffer.of(BIT_STRING, 2, 7, 0x80)),
    extension(extKeyUsage, der(SEQUENCE, oid(serverAuth))),
    extension(subjectAltName, der(SEQUENCE, der(DNS_NAME, Buffer.from(name, 'latin1')))),
  );
  const body = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.of(2))),
    der(INTEGER, serial),
    algorithm,
    subject,
    der(SEQUENCE, time(notBefore), time(notAfter)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, extensions),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = der(SEQUENCE, body, algorithm, der(BIT_STRING, Buffer.of(0), signature));
  const lines = certificate
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n')
    .trim();
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
