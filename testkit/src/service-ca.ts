/** A CA of a test's own, and certificates of services under it, as PEM. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hourMs = 3_600_000;

export interface CertificateOptions {
  dns?: readonly string[];
  uris?: readonly string[];
  addresses?: readonly string[];
  /** From now on; negative: it has expired. */
  lifetimeMs?: number;
}

export interface IssuedCertificate {
  certificate: string;
  key: string;
}

export interface ServiceCa {
  certificate: string;
  issue(options: CertificateOptions): Promise<IssuedCertificate>;
}

const newKeys = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

async function pemOf(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

export async function makeServiceCa(name = 'services'): Promise<ServiceCa> {
  const keys = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 48 * hourMs),
    notAfter: new Date(Date.now() + 48 * hourMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  let serial = 1;
  return {
    certificate: `${ca.toString('pem')}\n`,
    async issue({ dns = [], uris = [], addresses = [], lifetimeMs = 24 * hourMs }) {
      const own = await newKeys();
      serial += 1;
      const issued = await x509.X509CertificateGenerator.create({
        serialNumber: serial.toString(16).padStart(4, '0'),
        subject: 'CN=service',
        issuer: ca.subject,
        notBefore: new Date(Date.now() - 24 * hourMs),
        notAfter: new Date(Date.now() + lifetimeMs),
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension([
            ...dns.map((value) => ({ type: 'dns', value }) as const),
            ...uris.map((value) => ({ type: 'url', value }) as const),
            ...addresses.map((value) => ({ type: 'ip', value }) as const),
          ]),
        ],
      });
      return { certificate: `${issued.toString('pem')}\n`, key: await pemOf(own.privateKey) };
    },
  };
}
