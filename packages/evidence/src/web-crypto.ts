import { type Crypto, concatBytes, type SpkiSignature } from '@lucid-sessions/wire';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 as nobleSha256, sha384, sha512 } from '@noble/hashes/sha2.js';

/** SHA-256 in JavaScript, for leaves, tree nodes and other small things where a call into the platform costs more. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = nobleSha256.create();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** What the Web Cryptography API offers everywhere; the caller hands in its `globalThis.crypto`. */
export interface WebCryptoPlatform {
  readonly subtle: SubtleCrypto;
  getRandomValues(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
}

/** WebCrypto takes no view of shared memory, and its types say so. */
const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();

const never = (check: () => boolean): boolean => {
  try {
    return check();
  } catch {
    return false;
  }
};

/** The port for browsers: SHA-256 and AES by the platform, curves in JavaScript because not every browser has Ed25519. */
export function webCrypto(platform: WebCryptoPlatform): Crypto {
  const aes = (key: Uint8Array, use: 'encrypt' | 'decrypt'): Promise<CryptoKey> =>
    platform.subtle.importKey('raw', own(key), 'AES-GCM', false, [use]);
  return {
    randomBytes: (length) => platform.getRandomValues(new Uint8Array(length)),
    async sha256(...parts) {
      const bytes = parts.length === 1 ? own(parts[0] as Uint8Array) : concatBytes(...parts);
      return new Uint8Array(await platform.subtle.digest('SHA-256', bytes));
    },
    hkdfSha256: (key, salt, info, length) => hkdf(nobleSha256, key, salt, info, length),
    async aes256GcmSeal(key, nonce, aad, plaintext) {
      const algorithm = { name: 'AES-GCM', iv: own(nonce), additionalData: own(aad) };
      return new Uint8Array(await platform.subtle.encrypt(algorithm, await aes(key, 'encrypt'), own(plaintext)));
    },
    async aes256GcmOpen(key, nonce, aad, sealed) {
      const algorithm = { name: 'AES-GCM', iv: own(nonce), additionalData: own(aad) };
      const aesKey = await aes(key, 'decrypt');
      try {
        return new Uint8Array(await platform.subtle.decrypt(algorithm, aesKey, own(sealed)));
      } catch {
        return null;
      }
    },
    async aes256Ctr(key, iv, bytes) {
      const aesKey = await platform.subtle.importKey('raw', own(key), 'AES-CTR', false, ['encrypt']);
      const algorithm = { name: 'AES-CTR', counter: own(iv), length: 128 };
      return new Uint8Array(await platform.subtle.encrypt(algorithm, aesKey, own(bytes)));
    },
    ed25519PublicKey: (seed) => ed25519.getPublicKey(seed),
    ed25519Sign: (seed, message) => ed25519.sign(message, seed),
    // RFC 8032 and not ZIP 215: what OpenSSL refuses is refused here.
    ed25519Verify: (publicKey, message, signature) =>
      never(() => ed25519.verify(signature, message, publicKey, { zip215: false })),
    // lowS off: other signers' signatures are taken as FIPS 186-5 allows them.
    p256Verify: (publicKey, message, signature) =>
      never(() => p256.verify(signature, message, publicKey, { lowS: false })),
    async spkiVerify(spki, { scheme, hash }, message, signature) {
      try {
        return scheme === 'rsa'
          ? await rsaVerify(platform, spki, hash, message, signature)
          : ecdsaVerify(spki, hash, message, signature);
      } catch {
        return false;
      }
    },
  };
}

const webHashes = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' } as const;

async function rsaVerify(
  platform: WebCryptoPlatform,
  spki: Uint8Array,
  hash: SpkiSignature['hash'],
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: webHashes[hash] };
  const key = await platform.subtle.importKey('spki', own(spki), algorithm, false, ['verify']);
  return platform.subtle.verify(algorithm, key, own(signature), own(message));
}

/** RFC 5480 SubjectPublicKeyInfo ends in an uncompressed point; its length tells the curve. */
function ecdsaVerify(
  spki: Uint8Array,
  hash: SpkiSignature['hash'],
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const curve = spki.length === 91 ? { verify: p256.verify, point: 65 } : { verify: p384.verify, point: 97 };
  const digest = { sha256: nobleSha256, sha384, sha512 }[hash](message);
  const options = { lowS: false, prehash: false, format: 'der' } as const;
  return curve.verify(signature, digest, spki.subarray(spki.length - curve.point), options);
}
