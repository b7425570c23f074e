/** The certificate clients see: the operator's, or one made at the first start. */
import { X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { tlsSettings } from './tls-settings.ts';

export interface IdentityFiles {
  /** PEM files; both or none. */
  certificatePath?: string;
  keyPath?: string;
  /** Where a certificate of our own is kept. */
  directory: string;
}

export interface GatewayIdentity {
  context: SecureContext;
  /** Of the certificate (DER), lower-case hex: what an operator tells the users to expect. */
  sha256: string;
  selfSigned: boolean;
}

const yearsValid = 10;

export async function loadIdentity(files: IdentityFiles): Promise<GatewayIdentity> {
  const own = files.certificatePath === undefined || files.keyPath === undefined;
  const certificatePath = files.certificatePath ?? join(files.directory, 'rdp.crt');
  const keyPath = files.keyPath ?? join(files.directory, 'rdp.key');
  if (own && !fs.existsSync(keyPath)) await makeIdentity(files.directory, certificatePath, keyPath);
  const cert = fs.readFileSync(certificatePath);
  const context = createSecureContext({ ...tlsSettings, cert, key: fs.readFileSync(keyPath) });
  const sha256 = new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase();
  return { context, sha256, selfSigned: own };
}

async function makeIdentity(directory: string, certificatePath: string, keyPath: string): Promise<void> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(Date.now() - 3_600_000);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${hostname().replaceAll(/[^A-Za-z0-9.-]/g, '-') || 'lucid-sessions'}`,
    notBefore,
    notAfter: new Date(notBefore.getTime() + yearsValid * 365 * 86_400_000),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: hostname() || 'localhost' }]),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/(.{64})/g, '$1\n').trim()}\n-----END PRIVATE KEY-----\n`;
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  fs.writeFileSync(certificatePath, `${certificate.toString('pem')}\n`, { mode: 0o600 });
  // The key last: its presence says that both are there.
  fs.writeFileSync(`${keyPath}.new`, pem, { mode: 0o600 });
  fs.renameSync(`${keyPath}.new`, keyPath);
}
