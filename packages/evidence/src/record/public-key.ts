import { type Crypto, concatBytes, DecodeError, type MaybePromise } from '@lucid-sessions/wire';
import { fromBase64, fromHex, toBase64, toHex } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

export type SignatureAlgorithm = 'ed25519' | 'p256';

/** A key that checks record signatures. Raw bytes: Ed25519 32, P-256 65 (uncompressed point). */
export interface PublicKey {
  algorithm: SignatureAlgorithm;
  bytes: Uint8Array;
}

/** What signs records. The private half stays behind it. */
export interface Signer {
  readonly publicKey: PublicKey;
  sign(message: Uint8Array): MaybePromise<Uint8Array>;
}

const KEY_BYTES: Record<SignatureAlgorithm, number> = { ed25519: 32, p256: 65 };
/** RFC 8410 and RFC 5480 SubjectPublicKeyInfo up to the key's own bytes. */
const SPKI_PREFIX: Record<SignatureAlgorithm, Uint8Array> = {
  ed25519: fromHex('302a300506032b6570032100', 12),
  p256: fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200', 26),
};

/** SubjectPublicKeyInfo in DER, what `openssl pkey -pubin` reads. */
export function spkiOf(key: PublicKey): Uint8Array {
  return concatBytes(SPKI_PREFIX[key.algorithm], key.bytes);
}

const keyIds = new WeakMap<PublicKey, string>();

/** The key's name: SHA-256 of its SubjectPublicKeyInfo, hex. */
export function keyIdOf(key: PublicKey): string {
  const known = keyIds.get(key);
  if (known !== undefined) return known;
  const id = toHex(sha256(spkiOf(key)));
  keyIds.set(key, id);
  return id;
}

/** `ed25519:<base64>` or `p256:<base64>`, as it stands in records and trust policies. */
export function formatPublicKey(key: PublicKey): string {
  return `${key.algorithm}:${toBase64(key.bytes)}`;
}

/** Throws `DecodeError('invalid')`. */
export function parsePublicKey(text: string): PublicKey {
  const [, algorithm, base64] = /^(ed25519|p256):([A-Za-z0-9+/=]{1,100})$/.exec(text) ?? [];
  if (algorithm === undefined || base64 === undefined)
    throw new DecodeError('invalid', 'a public key is written ed25519:<base64> or p256:<base64>');
  const key = { algorithm: algorithm as SignatureAlgorithm, bytes: fromBase64(base64, 'public key') };
  if (key.bytes.length !== KEY_BYTES[key.algorithm])
    throw new DecodeError('invalid', `a ${algorithm} public key has ${KEY_BYTES[key.algorithm]} bytes`);
  return key;
}

export async function verifySignature(
  crypto: Crypto,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  if (signature.length !== 64) return false;
  return key.algorithm === 'ed25519'
    ? crypto.ed25519Verify(key.bytes, message, signature)
    : crypto.p256Verify(key.bytes, message, signature);
}

/** A signer over an Ed25519 seed in memory. */
export async function ed25519Signer(crypto: Crypto, seed: Uint8Array): Promise<Signer> {
  const publicKey: PublicKey = { algorithm: 'ed25519', bytes: await crypto.ed25519PublicKey(seed) };
  return { publicKey, sign: (message) => crypto.ed25519Sign(seed, message) };
}
