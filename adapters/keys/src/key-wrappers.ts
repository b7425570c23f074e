import type { KeyWrap } from '@lucid-sessions/contract';
import { DEK_BYTES, utf8 } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { concatBytes } from '@lucid-sessions/wire';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import type { LocalKey } from './key-files.ts';

/**
 * Wraps a session's DEK for one recipient. A KMS is one more class behind this interface, as `VaultTransit` is: its
 * `recipient` is the key's name there, `wrap` and `unwrap` are its two calls.
 */
export interface KeyWrapper {
  readonly scheme: string;
  /** Public name of who can unwrap. */
  readonly recipient: string;
  wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap>;
}

export interface KeyUnwrapper {
  /** The DEK, or null when the wrap is not for this unwrapper. Throws `WrapError` when it is, and does not open. */
  unwrap(wrap: KeyWrap): Promise<Uint8Array | null>;
}

/** `unavailable`: who holds the key can not be asked now. Messages hold no key, token or plaintext. */
export type WrapErrorCode = 'damaged' | 'no_key' | 'unavailable';

export class WrapError extends Error {
  override readonly name = 'WrapError';
  readonly code: WrapErrorCode;
  constructor(code: WrapErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const WRAP_INFO = 'lucid-sessions/v1/dek-wrap\0';
const NONCE_BYTES = 12;
export const AGE_SCHEME = 'age';
export const LOCAL_SCHEME = 'local';

/** age (age-encryption.org/v1) to an X25519 recipient: the recorder can encrypt, only the holder of the identity reads. */
export class AgeWrapper implements KeyWrapper {
  readonly scheme = AGE_SCHEME;
  readonly recipient: string;

  constructor(recipient: string) {
    this.recipient = recipient;
    // A recipient that can't be parsed must fail at start, not when the first session opens.
    new Encrypter().addRecipient(recipient);
  }

  async wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap> {
    const encrypter = new Encrypter();
    encrypter.addRecipient(this.recipient);
    // The key's name travels inside: a wrap moved beside another session does not open.
    const wrapped = await encrypter.encrypt(concatBytes(utf8(`${keyId}\n`), dek));
    return { scheme: this.scheme, recipient: this.recipient, keyId, wrapped };
  }
}

/** A new X25519 identity (secret) and its recipient (public), as `age-keygen` makes them. */
export async function makeAgeIdentity(): Promise<{ identity: string; recipient: string }> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** Opens age wraps with an identity (`AGE-SECRET-KEY-1…`). */
export class AgeUnwrapper implements KeyUnwrapper {
  readonly #identity: string;
  #recipient: string | null = null;

  constructor(identity: string) {
    this.#identity = identity;
    new Decrypter().addIdentity(identity);
  }

  async unwrap(wrap: KeyWrap): Promise<Uint8Array | null> {
    if (wrap.scheme !== AGE_SCHEME) return null;
    this.#recipient ??= await identityToRecipient(this.#identity);
    if (wrap.recipient !== this.#recipient) return null;
    const decrypter = new Decrypter();
    decrypter.addIdentity(this.#identity);
    let plain: Uint8Array;
    try {
      plain = await decrypter.decrypt(wrap.wrapped);
    } catch {
      throw new WrapError('damaged', `the age wrap of key ${wrap.keyId} does not open`);
    }
    const name = utf8(`${wrap.keyId}\n`);
    if (plain.length !== name.length + DEK_BYTES || name.some((byte, at) => byte !== plain[at]))
      throw new WrapError('damaged', `the age wrap does not hold key ${wrap.keyId}`);
    return plain.slice(name.length);
  }
}

/** Binds a wrap to its DEK's name: moved beside another session it does not open. */
export const wrapAad = (keyId: string): Uint8Array => utf8(`${WRAP_INFO}${keyId}`);

/** AES-256-GCM under the recorder's local key: nonce 12 ‖ ciphertext 32 ‖ tag 16, the DEK's name as AAD. */
export class LocalWrapper implements KeyWrapper {
  readonly scheme = LOCAL_SCHEME;
  readonly recipient: string;
  readonly #key: LocalKey;

  constructor(key: LocalKey) {
    this.#key = key;
    this.recipient = key.keyId;
  }

  async wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap> {
    // Random nonces: a local key wraps far fewer than 2^32 DEKs before anyone rotates it.
    const nonce = nodeCrypto.randomBytes(NONCE_BYTES);
    const sealed = nodeCrypto.aes256GcmSeal(this.#key.bytes, nonce, wrapAad(keyId), dek);
    return { scheme: this.scheme, recipient: this.recipient, keyId, wrapped: concatBytes(nonce, sealed) };
  }
}

/** Opens local wraps with any of the keys given (present and retired ones). */
export class LocalUnwrapper implements KeyUnwrapper {
  readonly #keys: readonly LocalKey[];
  constructor(keys: readonly LocalKey[]) {
    this.#keys = keys;
  }

  async unwrap(wrap: KeyWrap): Promise<Uint8Array | null> {
    const key = wrap.scheme === LOCAL_SCHEME ? this.#keys.find(({ keyId }) => keyId === wrap.recipient) : undefined;
    if (key === undefined) return null;
    const nonce = wrap.wrapped.subarray(0, NONCE_BYTES);
    const dek =
      nonce.length === NONCE_BYTES
        ? nodeCrypto.aes256GcmOpen(key.bytes, nonce, wrapAad(wrap.keyId), wrap.wrapped.subarray(NONCE_BYTES))
        : null;
    if (dek?.length !== DEK_BYTES) throw new WrapError('damaged', `the local wrap of key ${wrap.keyId} does not open`);
    return dek;
  }
}

export async function wrapDek(dek: Uint8Array, keyId: string, wrappers: readonly KeyWrapper[]): Promise<KeyWrap[]> {
  return Promise.all(wrappers.map((wrapper) => wrapper.wrap(dek, keyId)));
}

/**
 * The DEK from the first wrap one of the unwrappers opens. Null: none is for them, or there are no wraps (shredded). One
 * that fails does not keep the others from being tried; the first failure is thrown when none of them opens.
 */
export async function unwrapDek(
  wraps: readonly KeyWrap[],
  unwrappers: readonly KeyUnwrapper[],
): Promise<Uint8Array | null> {
  let failure: unknown = null;
  for (const wrap of wraps)
    for (const unwrapper of unwrappers) {
      const dek = await unwrapper.unwrap(wrap).catch((error: unknown) => {
        failure ??= error;
        return null;
      });
      if (dek !== null) return dek;
    }
  if (failure !== null) throw failure;
  return null;
}

/** Key rotation: the same DEK, wrapped to other recipients. Chunk files and signed records are not touched. */
export async function rewrapDek(
  wraps: readonly KeyWrap[],
  unwrappers: readonly KeyUnwrapper[],
  wrappers: readonly KeyWrapper[],
): Promise<KeyWrap[]> {
  const [first] = wraps;
  const dek = await unwrapDek(wraps, unwrappers);
  if (first === undefined || dek === null) throw new WrapError('no_key', 'none of the given keys opens the wraps');
  return wrapDek(dek, first.keyId, wrappers);
}
