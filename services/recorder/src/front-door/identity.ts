/** The certificate clients see: the operator's, or one made at the first start. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { EnvironmentError } from '@lucid-sessions/kit';
import { subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { makeSelfSigned } from './self-signed.ts';
import { tlsSettings } from './tls-settings.ts';

export interface IdentityFiles {
  /** PEM files; both or none. */
  certificatePath?: string;
  keyPath?: string;
  /** Where a certificate of our own is kept. */
  directory: string;
  /** Somebody put it there: none is made, so that all recorders have the same. */
  given?: boolean;
}

export interface GatewayIdentity {
  context: SecureContext;
  /** The certificate itself, DER. */
  certificate: Uint8Array;
  /** Of the certificate (DER), lower-case hex: what an operator tells the users to expect. */
  sha256: string;
  selfSigned: boolean;
  /** What CredSSP binds a logon to: the SubjectPublicKey of the certificate. */
  publicKey: Uint8Array;
  /** Some clients log on over RSA alone. */
  isRsa: boolean;
}

const yearsValid = 10;

export async function loadIdentity(files: IdentityFiles): Promise<GatewayIdentity> {
  const { own } = pathsOf(files);
  if (own && files.given !== true) await makeIdentity(files.directory);
  const { certificate, cert, key } = checkCertificate(files, Date.now());
  const context = createSecureContext({ ...tlsSettings, cert, key });
  return {
    context,
    certificate: certificate.raw,
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    selfSigned: own,
    publicKey: subjectPublicKeyOf(new Uint8Array(certificate.raw)),
    isRsa: certificate.publicKey.asymmetricKeyType === 'rsa',
  };
}

function pathsOf(files: IdentityFiles): { own: boolean; certificatePath: string; keyPath: string } {
  return {
    own: files.certificatePath === undefined || files.keyPath === undefined,
    certificatePath: files.certificatePath ?? join(files.directory, 'rdp.crt'),
    keyPath: files.keyPath ?? join(files.directory, 'rdp.key'),
  };
}

/** Throws EnvironmentError for files that no client could connect with: unreadable, not a pair, not valid at this time. */
export function checkCertificate(
  files: IdentityFiles,
  nowMs: number,
): { certificate: X509Certificate; cert: Buffer; key: Buffer } {
  const { own, certificatePath, keyPath } = pathsOf(files);
  const place = files.given === true ? 'LUCID_KEYS_PATH' : 'LUCID_DATA_DIR';
  const [certVariable, keyVariable] = own ? [place, place] : ['RDP_TLS_CERT', 'RDP_TLS_KEY'];
  const mend = own && files.given !== true ? '; remove rdp.crt and rdp.key there to have them made again' : '';
  const wrong = (variable: string, path: string, what: string, cause?: unknown): EnvironmentError =>
    new EnvironmentError(variable, `names ${path}, ${what}${mend}`, { cause });
  const cert = readFile(certVariable, certificatePath);
  const key = readFile(keyVariable, keyPath);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch (cause) {
    throw wrong(certVariable, certificatePath, 'which holds no certificate in PEM form', cause);
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch (cause) {
    throw wrong(keyVariable, keyPath, 'which holds no private key in PEM form without a passphrase', cause);
  }
  if (!certificate.checkPrivateKey(privateKey))
    throw wrong(keyVariable, keyPath, `which is not the key of the certificate in ${certificatePath}`);
  if (certificate.validToDate.getTime() < nowMs)
    throw wrong(certVariable, certificatePath, `a certificate that expired on ${isoDay(certificate.validToDate)}`);
  if (certificate.validFromDate.getTime() > nowMs)
    throw wrong(certVariable, certificatePath, `a certificate that begins on ${isoDay(certificate.validFromDate)}`);
  return { certificate, cert, key };
}

const isoDay = (date: Date): string => date.toISOString().slice(0, 10);

function readFile(variable: string, path: string): Buffer {
  try {
    return fs.readFileSync(path);
  } catch (cause) {
    throw new EnvironmentError(
      variable,
      `names ${path}, which can't be read (${(cause as NodeJS.ErrnoException).code})`,
      {
        cause,
      },
    );
  }
}

/** Makes `rdp.crt` and `rdp.key` in the directory, unless they are there. */
export async function makeIdentity(directory: string): Promise<void> {
  const { certificatePath, keyPath } = pathsOf({ directory });
  if (fs.existsSync(keyPath)) return;
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
