export type MaybePromise<T> = T | Promise<T>;

/** A signature algorithm of certificates: RSASSA-PKCS1-v1_5, or ECDSA with its signature in DER. */
export interface SpkiSignature {
  scheme: 'rsa' | 'ecdsa';
  hash: 'sha256' | 'sha384' | 'sha512';
}

/**
 * The cryptography that pure packages ask of their platform, for bulk data and secrets. Keys and signatures are raw bytes:
 * Ed25519 seed 32, public key 32, signature 64 (RFC 8032); P-256 public key 65 uncompressed, signature 64 (r ‖ s).
 */
export interface Crypto {
  randomBytes(length: number): Uint8Array;
  /** SHA-256 over the parts, as if they were one. */
  sha256(...parts: Uint8Array[]): MaybePromise<Uint8Array>;
  /** RFC 5869 extract-and-expand. */
  hkdfSha256(key: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): MaybePromise<Uint8Array>;
  /** Ciphertext ‖ 16-byte tag. */
  aes256GcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): MaybePromise<Uint8Array>;
  /** The plaintext of ciphertext ‖ tag, or null when it does not authenticate. */
  aes256GcmOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): MaybePromise<Uint8Array | null>;
  /** Counter mode with a 128-bit big-endian counter that begins at `iv` (16 bytes); its own inverse. */
  aes256Ctr(key: Uint8Array, iv: Uint8Array, bytes: Uint8Array): MaybePromise<Uint8Array>;
  ed25519PublicKey(seed: Uint8Array): MaybePromise<Uint8Array>;
  ed25519Sign(seed: Uint8Array, message: Uint8Array): MaybePromise<Uint8Array>;
  /** False on a bad signature and on bytes that are no key; never throws. */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): MaybePromise<boolean>;
  /** ECDSA with SHA-256. False on anything bad; never throws. */
  p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): MaybePromise<boolean>;
  /** A signature under a SubjectPublicKeyInfo (timestamp authorities). False on anything bad; never throws. */
  spkiVerify(
    spki: Uint8Array,
    algorithm: SpkiSignature,
    message: Uint8Array,
    signature: Uint8Array,
  ): MaybePromise<boolean>;
}

/** The same without waiting, for worker threads. */
export interface SyncCrypto extends Crypto {
  sha256(...parts: Uint8Array[]): Uint8Array;
  hkdfSha256(key: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  aes256GcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  aes256GcmOpen(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null;
  aes256Ctr(key: Uint8Array, iv: Uint8Array, bytes: Uint8Array): Uint8Array;
  ed25519PublicKey(seed: Uint8Array): Uint8Array;
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  spkiVerify(spki: Uint8Array, algorithm: SpkiSignature, message: Uint8Array, signature: Uint8Array): boolean;
}
