import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { KeyUsageFlags, KeyUsagesExtension, PemConverter, X509CertificateGenerator } from '@peculiar/x509';

/** A self-signed TLS certificate for one test server. */
export interface TestCertificate {
  /** PEM. */
  key: string;
  /** PEM. */
  cert: string;
  /** Of the DER certificate, lower-case hex. */
  sha256: string;
}

const DAY_MS = 86_400_000;

/** Makes one with a fresh RSA key: the kind every RDP client takes. */
export async function makeCertificate(name = 'localhost', days = 30): Promise<TestCertificate> {
  const signingAlgorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const rsa = { ...signingAlgorithm, modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
  const keys = await crypto.subtle.generateKey(rsa, true, ['sign', 'verify']);
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + days * DAY_MS),
    keys,
    signingAlgorithm,
    extensions: [new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true)],
  });
  return {
    key: PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
    cert: certificate.toString('pem'),
    sha256: createHash('sha256').update(new Uint8Array(certificate.rawData)).digest('hex'),
  };
}
