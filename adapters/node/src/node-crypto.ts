import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { spkiOf } from '@lucid-sessions/evidence';
import { type Crypto, concatBytes, type SpkiSignature, type SyncCrypto } from '@lucid-sessions/wire';

const privateKey = (seed: Uint8Array) =>
  createPrivateKey({ key: Buffer.from(seed), format: 'raw-private', asymmetricKeyType: 'ed25519' });

/** A chain of records is signed by one key: to import it costs a fifth of a check. */
const PUBLIC_KEYS_MAX = 64;
const publicKeys = new Map<string, KeyObject>();

function publicKey(algorithm: 'ed25519' | 'p256', bytes: Uint8Array): KeyObject {
  const name = `${algorithm}:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')}`;
  const known = publicKeys.get(name);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: Buffer.from(spkiOf({ algorithm, bytes })), format: 'der', type: 'spki' });
  if (publicKeys.size === PUBLIC_KEYS_MAX) publicKeys.clear();
  publicKeys.set(name, key);
  return key;
}

const never = (check: () => boolean): boolean => {
  try {
    return check();
  } catch {
    return false;
  }
};

/** The `Crypto` port on node:crypto (OpenSSL). Synchronous: made for worker threads and for small values elsewhere. */
export const nodeCrypto: SyncCrypto = {
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
  sha256(...parts) {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return new Uint8Array(hash.digest());
  },
  hkdfSha256: (key, salt, info, length) => new Uint8Array(hkdfSync('sha256', key, salt, info, length)),
  aes256GcmSeal(key, nonce, aad, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(aad);
    const body = cipher.update(plaintext);
    cipher.final();
    return concatBytes(body, cipher.getAuthTag());
  },
  aes256GcmOpen(key, nonce, aad, sealed) {
    if (sealed.length < 16) return null;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    const body = decipher.update(sealed.subarray(0, sealed.length - 16));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return new Uint8Array(body.buffer, body.byteOffset, body.length);
  },
  aes256Ctr: (key, iv, bytes) => new Uint8Array(createCipheriv('aes-256-ctr', key, iv).update(bytes)),
  ed25519PublicKey: (seed) => new Uint8Array(createPublicKey(privateKey(seed)).export({ format: 'raw-public' })),
  ed25519Sign: (seed, message) => new Uint8Array(sign(null, message, privateKey(seed))),
  ed25519Verify: (key, message, signature) => never(() => verify(null, message, publicKey('ed25519', key), signature)),
  p256Verify: (key, message, signature) =>
    never(() => verify('sha256', message, { key: publicKey('p256', key), dsaEncoding: 'ieee-p1363' }, signature)),
  spkiVerify: (spki, { scheme, hash }, message, signature) =>
    never(() => {
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
      return isKeyOf(scheme, key) && verify(hash, message, key, signature);
    }),
};

/** The platform goes by the key alone; who trusts one scheme has to be told of that one. */
function isKeyOf(scheme: SpkiSignature['scheme'], key: KeyObject): boolean {
  if (scheme === 'rsa') return key.asymmetricKeyType === 'rsa';
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return key.asymmetricKeyType === 'ec' && (curve === 'prime256v1' || curve === 'secp384r1');
}

/** False on anything bad, as the port has it. */
function offThread(check: (done: (error: Error | null, good: boolean) => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      check((error, good) => resolve(error === null && good));
    } catch {
      resolve(false);
    }
  });
}

/** `nodeCrypto`, but signatures are checked in the platform's own threads: for verifiers, who have thousands to check and others to serve. */
export const threadedCrypto: Crypto = {
  ...nodeCrypto,
  ed25519Verify: (key, message, signature) =>
    offThread((done) => verify(null, message, publicKey('ed25519', key), signature, done)),
  p256Verify: (key, message, signature) =>
    offThread((done) =>
      verify('sha256', message, { key: publicKey('p256', key), dsaEncoding: 'ieee-p1363' }, signature, done),
    ),
};
