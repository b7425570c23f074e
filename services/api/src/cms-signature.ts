/**
 * A detached CMS signature (RFC 5652 SignedData, DER) without attributes: what rdpsign.exe and `openssl cms -sign -binary -noattr` make.
 * SHA-256 with RSA (PKCS #1) or ECDSA.
 */
import { createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto';

export interface CmsSigner {
  /** The signer's certificate first, then whatever leads to a root. */
  certificates: readonly X509Certificate[];
  key: KeyObject;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const OCTETS = 0x04;
const OID = 0x06;
const NULL = Buffer.from('0500', 'hex');
const CONTEXT_0 = 0xa0;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const digits: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  const length = content.length < 0x80 ? [content.length] : [0x80 | digits.length, ...digits];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const oid = (hex: string): Buffer => der(OID, Buffer.from(hex, 'hex'));
const signedData = oid('2a864886f70d010702');
const data = oid('2a864886f70d010701');
/** Without parameters, RFC 5754 section 2. */
const sha256 = der(SEQUENCE, oid('608648016503040201'));
const algorithms: Readonly<Record<string, Buffer>> = {
  rsa: der(SEQUENCE, oid('2a864886f70d010101'), NULL),
  ec: der(SEQUENCE, oid('2a8648ce3d040302')),
};
const version1 = der(INTEGER, Buffer.from([1]));

/** The element that begins at `at`, header and all, and where its content does. */
function element(bytes: Buffer, at: number): { whole: Buffer; contentAt: number } {
  const first = bytes[at + 1] ?? 0;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
  const contentAt = at + 2 + lengthBytes;
  return { whole: bytes.subarray(at, contentAt + length), contentAt };
}

/** IssuerAndSerialNumber, by the certificate's own bytes. */
function signerIdentifier({ raw }: X509Certificate): Buffer {
  let at = element(raw, element(raw, 0).contentAt).contentAt;
  const next = (): Buffer => {
    const { whole } = element(raw, at);
    at += whole.length;
    return whole;
  };
  const first = next();
  const serial = first[0] === CONTEXT_0 ? next() : first;
  next();
  return der(SEQUENCE, next(), serial);
}

/** Throws where certificate and key are none, or not a pair. */
export function readCmsSigner(certificatesPem: string, keyPem: string): CmsSigner {
  const pems = certificatesPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const certificates = pems.map((pem) => new X509Certificate(pem));
  const key = createPrivateKey(keyPem);
  if (certificates[0]?.checkPrivateKey(key) !== true) throw new Error('the certificate and the key are not a pair');
  if (algorithms[key.asymmetricKeyType ?? ''] === undefined) throw new Error('the key must be RSA or EC');
  return { certificates, key };
}

export function cmsSignature({ certificates, key }: CmsSigner, message: Uint8Array): Buffer {
  const signerInfo = der(
    SEQUENCE,
    version1,
    signerIdentifier(certificates[0]!),
    sha256,
    algorithms[key.asymmetricKeyType!]!,
    der(OCTETS, sign('sha256', message, key)),
  );
  const content = der(
    SEQUENCE,
    version1,
    der(SET, sha256),
    der(SEQUENCE, data),
    der(CONTEXT_0, ...certificates.map(({ raw }) => raw)),
    der(SET, signerInfo),
  );
  return der(SEQUENCE, signedData, der(CONTEXT_0, content));
}
