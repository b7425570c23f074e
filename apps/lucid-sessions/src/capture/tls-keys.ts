/** What opens captured TLS: a key log as browsers, OpenSSL and Wireshark write it (NSS key log format), or RSA private keys. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { CaptureError } from './packet-file.ts';

export interface TlsSecrets {
  /** Label and client random (hex) → secret. */
  keyLog: Map<string, Buffer>;
  /** RSA keys of servers: they open connections whose key exchange is RSA. */
  rsaKeys: KeyObject[];
}

const linePattern = /^([A-Z][A-Z0-9_]{2,40})\s+([0-9A-Fa-f]{64})\s+([0-9A-Fa-f]{16,192})\s*$/;
const linesMax = 1_000_000;

export const noSecrets = (): TlsSecrets => ({ keyLog: new Map(), rsaKeys: [] });

/** Adds a key log's lines, or the RSA key of a PEM file. Throws `CaptureError` where `text` is neither. */
export function addSecrets(secrets: TlsSecrets, text: string): void {
  if (text.includes('-----BEGIN')) {
    secrets.rsaKeys.push(rsaKeyOf(text));
    return;
  }
  const lines = text.split('\n');
  if (lines.length > linesMax) throw new CaptureError(`a key log may have ${linesMax} lines`);
  let found = 0;
  for (const line of lines) {
    const [, label, random, secret] = linePattern.exec(line) ?? [];
    if (label === undefined || random === undefined || secret === undefined) continue;
    secrets.keyLog.set(`${label} ${random.toLowerCase()}`, Buffer.from(secret, 'hex'));
    found += 1;
  }
  if (found === 0 && lines.some((line) => line.trim() !== '' && !line.startsWith('#')))
    throw new CaptureError('the key log has no line of the form LABEL CLIENT_RANDOM SECRET, and is no PEM file either');
}

function rsaKeyOf(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new CaptureError('the PEM file holds no private key that can be read without a passphrase');
  }
  if (key.asymmetricKeyType !== 'rsa') throw new CaptureError('only RSA keys open captured connections');
  return key;
}
