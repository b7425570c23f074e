/** The certificate clients see: the operator's, or one made at the first start. */
import { X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { makeSelfSigned } from './self-signed.ts';
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
  const notBefore = new Date(Date.now() - 3_600_000);
  const notAfter = new Date(notBefore.getTime() + yearsValid * 365 * 86_400_000);
  const name = hostname().replaceAll(/[^A-Za-z0-9.-]/g, '-') || 'lucid-sessions';
  const { certificate, key } = await makeSelfSigned(name, notBefore, notAfter);
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  fs.writeFileSync(certificatePath, certificate, { mode: 0o600 });
  // The key last: its presence says that both are there.
  fs.writeFileSync(`${keyPath}.new`, key, { mode: 0o600 });
  fs.renameSync(`${keyPath}.new`, keyPath);
}
