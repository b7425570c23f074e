import { concatBytes, DecodeError, Writer } from '@lucid-sessions/wire';
import { hmac } from '@noble/hashes/hmac.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384 } from '@noble/hashes/sha2.js';
import type { AuthPlatform } from '../auth/auth-platform.ts';
import { sameSecret } from '../auth/text.ts';
import type { EncryptedData, EncryptionKey } from './messages.ts';

export interface KerberosPlatform extends AuthPlatform {
  /** AES in CBC mode from an IV of zeros, without padding: whole blocks in, as many out. `key`: 16 or 32 bytes. */
  aesCbc: (direction: 'encrypt' | 'decrypt', key: Uint8Array, blocks: Uint8Array) => Uint8Array;
}

/** Encryption types spoken: AES with SHA-1 (RFC 3962) and with SHA-2 (RFC 8009). RC4 and DES are not (RFC 8429). */
export const Etype = { aes256Sha384: 20, aes128Sha256: 19, aes256Sha1: 18, aes128Sha1: 17 } as const;
/** Most wanted first: what every KDC knows. */
export const etypesWanted: readonly number[] = [
  Etype.aes256Sha1,
  Etype.aes128Sha1,
  Etype.aes256Sha384,
  Etype.aes128Sha256,
];

/** Key usage numbers, RFC 4120 section 7.5.1 and RFC 4121 section 2. */
export const KeyUsage = {
  asTimestamp: 1,
  asReply: 3,
  tgsChecksum: 6,
  tgsAuthenticator: 7,
  tgsReply: 8,
  apAuthenticator: 11,
  apReply: 12,
  acceptorSeal: 22,
  acceptorSign: 23,
  initiatorSeal: 24,
  initiatorSign: 25,
} as const;

/** How a password becomes a key: PBKDF2 by its owner, who knows how not to hold others up, then `keyOfPbkdf2`. */
export interface StringToKey {
  etype: number;
  hash: 'sha1' | 'sha256' | 'sha384';
  salt: Uint8Array;
  iterations: number;
  keyBytes: number;
}

interface Profile {
  keyBytes: number;
  tagBytes: number;
  checksumType: number;
  hash: StringToKey['hash'];
  defaultIterations: number;
  /** Before the salt. */
  saltName: string;
}

const profiles: ReadonlyMap<number, Profile> = new Map([
  [17, { keyBytes: 16, tagBytes: 12, checksumType: 15, hash: 'sha1', defaultIterations: 4096, saltName: '' }],
  [18, { keyBytes: 32, tagBytes: 12, checksumType: 16, hash: 'sha1', defaultIterations: 4096, saltName: '' }],
  [
    19,
    {
      keyBytes: 16,
      tagBytes: 16,
      checksumType: 19,
      hash: 'sha256',
      defaultIterations: 32768,
      saltName: 'aes128-cts-hmac-sha256-128\0',
    },
  ],
  [
    20,
    {
      keyBytes: 32,
      tagBytes: 24,
      checksumType: 20,
      hash: 'sha384',
      defaultIterations: 32768,
      saltName: 'aes256-cts-hmac-sha384-192\0',
    },
  ],
]);

const BLOCK = 16;
/** Fewer would make a password that was overheard easy to guess; more would keep this machine busy. */
const iterationsMin = 4096;
const iterationsMax = 1 << 20;
const utf8 = new TextEncoder();

function profileOf(etype: number): Profile {
  const profile = profiles.get(etype);
  if (profile === undefined) throw new DecodeError('unsupported', `encryption type ${etype} is not spoken here`);
  return profile;
}

export const knowsEtype = (etype: number): boolean => profiles.has(etype);
/** Throws `DecodeError` for a key of a type that is not spoken, or of another length than its type has. */
export function checkKey({ etype, value }: EncryptionKey): void {
  const { keyBytes } = profileOf(etype);
  if (value.length !== keyBytes) throw new DecodeError('invalid', `a key of type ${etype} with ${value.length} bytes`);
}
/** Bytes of the checksum behind what is encrypted. */
export const tagBytesOf = (etype: number): number => profileOf(etype).tagBytes;

/** `parameters`: of ETYPE-INFO2, the number of iterations. Throws `DecodeError`. */
export function stringToKey(etype: number, salt: string, parameters?: Uint8Array): StringToKey {
  const { hash, defaultIterations, saltName, keyBytes } = profileOf(etype);
  let iterations = defaultIterations;
  if (parameters !== undefined) {
    if (parameters.length !== 4) throw new DecodeError('invalid', 'a number of iterations has 4 bytes');
    iterations = new DataView(parameters.buffer, parameters.byteOffset, 4).getUint32(0);
  }
  if (!(iterations >= iterationsMin && iterations <= iterationsMax))
    throw new DecodeError('limit', `a key of ${iterations} iterations is not made`);
  return { etype, hash, salt: utf8.encode(saltName + salt), iterations, keyBytes };
}

const hmacOf = (hash: StringToKey['hash'], key: Uint8Array, message: Uint8Array): Uint8Array =>
  hmac({ sha1, sha256, sha384 }[hash], key, message);

/** n-fold of RFC 3961 section 5.1. */
export function nFold(input: Uint8Array, length: number): Uint8Array {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  const total = (input.length * length) / gcd(input.length, length);
  const sum = new Uint8Array(length);
  const bits = input.length * 8;
  const bitAt = (at: number): number => (input[at >> 3]! >> (7 - (at & 7))) & 1;
  let carry = 0;
  for (let at = total - 1; at >= 0; at -= 1) {
    // Each copy of the input is turned right by 13 bits more than the one before it.
    const turned = 13 * Math.floor(at / input.length);
    let byte = 0;
    for (let bit = 0; bit < 8; bit += 1) {
      const from = (((at % input.length) * 8 + bit - turned) % bits) + bits;
      byte = (byte << 1) | bitAt(from % bits);
    }
    carry += byte + sum[at % length]!;
    sum[at % length] = carry & 0xff;
    carry >>= 8;
  }
  for (let at = length - 1; carry > 0; at = at === 0 ? length - 1 : at - 1) {
    carry += sum[at]!;
    sum[at] = carry & 0xff;
    carry >>= 8;
  }
  return sum;
}

/** The encryption of Kerberos with one platform's AES. Opening throws `DecodeError`. */
export class KerberosCrypto {
  readonly platform: KerberosPlatform;

  constructor(platform: KerberosPlatform) {
    this.platform = platform;
  }

  /** `derived`: PBKDF2 as `stringToKey` says. */
  keyOfPbkdf2(etype: number, derived: Uint8Array): EncryptionKey {
    return { etype, value: this.#derive(etype, derived, utf8.encode('kerberos'), derived.length) };
  }

  randomKey(etype: number): EncryptionKey {
    return { etype, value: this.platform.randomBytes(profileOf(etype).keyBytes) };
  }

  /** `confounder`: random unless given. */
  encrypt(
    { etype, value }: EncryptionKey,
    usage: number,
    plain: Uint8Array,
    confounder = this.platform.randomBytes(BLOCK),
  ): Uint8Array {
    const text = concatBytes(confounder, plain);
    const sealed = this.#ctsEncrypt(this.#usageKey(etype, value, usage, 0xaa), text);
    return concatBytes(sealed, this.#tag(etype, value, usage, text, sealed));
  }

  decrypt({ etype, value }: EncryptionKey, usage: number, cipher: Uint8Array): Uint8Array {
    const { tagBytes } = profileOf(etype);
    const end = cipher.length - tagBytes;
    if (end < BLOCK) throw new DecodeError('truncated', 'something encrypted without its confounder');
    const sealed = cipher.slice(0, end);
    const text = this.#ctsDecrypt(this.#usageKey(etype, value, usage, 0xaa), sealed);
    if (!sameSecret(this.#tag(etype, value, usage, text, sealed), cipher.slice(end)))
      throw new DecodeError('invalid', 'something encrypted that this key does not open');
    return text.slice(BLOCK);
  }

  seal(key: EncryptionKey, usage: number, plain: Uint8Array): EncryptedData {
    return { etype: key.etype, cipher: this.encrypt(key, usage, plain) };
  }

  open(key: EncryptionKey, usage: number, { etype, cipher }: EncryptedData): Uint8Array {
    if (etype !== key.etype)
      throw new DecodeError('invalid', `encrypted by type ${etype}, and the key is of ${key.etype}`);
    return this.decrypt(key, usage, cipher);
  }

  checksum({ etype, value }: EncryptionKey, usage: number, message: Uint8Array): { type: number; value: Uint8Array } {
    const { hash, tagBytes, checksumType } = profileOf(etype);
    const key = this.#usageKey(etype, value, usage, 0x99);
    return { type: checksumType, value: hmacOf(hash, key, message).slice(0, tagBytes) };
  }

  /** SHA-1: over the text; SHA-2: over what it became, its IV before it. */
  #tag(etype: number, key: Uint8Array, usage: number, plain: Uint8Array, sealed: Uint8Array): Uint8Array {
    const { hash, tagBytes } = profileOf(etype);
    const over = hash === 'sha1' ? plain : concatBytes(new Uint8Array(BLOCK), sealed);
    return hmacOf(hash, this.#usageKey(etype, key, usage, 0x55), over).slice(0, tagBytes);
  }

  #usageKey(etype: number, key: Uint8Array, usage: number, kind: number): Uint8Array {
    const { hash, keyBytes, tagBytes } = profileOf(etype);
    const length = hash === 'sha1' || kind === 0xaa ? keyBytes : tagBytes;
    return this.#derive(etype, key, new Writer(5).u32be(usage).u8(kind).bytes(), length);
  }

  /** DK of RFC 3961 section 5.1, KDF-HMAC-SHA2 of RFC 8009 section 3. */
  #derive(etype: number, key: Uint8Array, constant: Uint8Array, length: number): Uint8Array {
    const { hash } = profileOf(etype);
    if (hash !== 'sha1') {
      const message = new Writer()
        .u32be(1)
        .slice(constant)
        .u8(0)
        .u32be(length * 8)
        .bytes();
      return hmacOf(hash, key, message).slice(0, length);
    }
    const first = this.platform.aesCbc('encrypt', key, nFold(constant, BLOCK));
    if (length === BLOCK) return first;
    return concatBytes(first, this.platform.aesCbc('encrypt', key, first));
  }

  /** Ciphertext stealing of RFC 3962 section 5 (CBC-CS3). At least one block. */
  #ctsEncrypt(key: Uint8Array, text: Uint8Array): Uint8Array {
    const blocks = Math.ceil(text.length / BLOCK);
    const padded = new Uint8Array(blocks * BLOCK);
    padded.set(text);
    const sealed = this.platform.aesCbc('encrypt', key, padded);
    if (blocks === 1) return sealed;
    const last = sealed.slice(-BLOCK);
    const before = sealed.slice(-2 * BLOCK, -BLOCK);
    return concatBytes(sealed.slice(0, -2 * BLOCK), last, before.slice(0, text.length - (blocks - 1) * BLOCK));
  }

  #ctsDecrypt(key: Uint8Array, sealed: Uint8Array): Uint8Array {
    const blocks = Math.ceil(sealed.length / BLOCK);
    if (blocks === 1) return this.platform.aesCbc('decrypt', key, sealed);
    const head = sealed.slice(0, (blocks - 2) * BLOCK);
    const last = sealed.slice((blocks - 2) * BLOCK, (blocks - 1) * BLOCK);
    const stolen = sealed.slice((blocks - 1) * BLOCK);
    const opened = this.platform.aesCbc('decrypt', key, last);
    const before = concatBytes(stolen, opened.slice(stolen.length));
    const tail = opened.slice(0, stolen.length).map((byte, at) => byte ^ stolen[at]!);
    return concatBytes(this.platform.aesCbc('decrypt', key, concatBytes(head, before)), tail);
  }
}
