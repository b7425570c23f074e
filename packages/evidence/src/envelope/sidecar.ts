import { type Crypto, concatBytes, DecodeError, equalBytes } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';
import { sessionIdBytes } from './session-id.ts';

/**
 * Files beside the chunks that can be made again (the session index): encrypted under a key of the session, so that
 * they are gone when its DEK is: what tells typed or copied texts under the DEK, pictures under the view key, but no part of the evidence. `"LSX1" ‖ u8 version 1 ‖ u8 suite ‖ u16 0 ‖ salt 32 ‖
 * commitment 32 ‖ ciphertext ‖ tag 16`; suite 0 (no encryption): the bytes follow the first 8.
 */
const INFO = utf8('lucid-sessions/v1/sidecar\0');
const HEAD_BYTES = 8;
const SALT_BYTES = 32;
const PREFIX_BYTES = HEAD_BYTES + SALT_BYTES + 32;
const TAG_BYTES = 16;

export interface SidecarPlace {
  sessionId: string;
  /** Its file name: a sidecar can't take another one's place. */
  name: string;
}

const head = (suite: 0 | 1): Uint8Array => Uint8Array.of(0x4c, 0x53, 0x58, 0x31, 1, suite, 0, 0);
const aadOf = (first: Uint8Array, { sessionId, name }: SidecarPlace): Uint8Array =>
  concatBytes(first, sessionIdBytes(sessionId), utf8(name));

/** key ‖ nonce ‖ commitment = HKDF-SHA-256(sealing key, salt, domain ‖ head ‖ session id ‖ name). */
async function keysOf(crypto: Crypto, key: Uint8Array, salt: Uint8Array, aad: Uint8Array) {
  const material = await crypto.hkdfSha256(key, salt, concatBytes(INFO, aad), 76);
  return { key: material.subarray(0, 32), nonce: material.subarray(32, 44), commitment: material.subarray(44) };
}

/** `sealingKey` null: the session is not encrypted, and neither is what is made of it. */
export async function sealSidecar(
  crypto: Crypto,
  sealingKey: Uint8Array | null,
  place: SidecarPlace,
  plain: Uint8Array,
): Promise<Uint8Array> {
  if (sealingKey === null) return concatBytes(head(0), plain);
  const first = head(1);
  const aad = aadOf(first, place);
  // One salt, one use: it makes key and nonce of this writing unlike those of every other, of the same name too.
  const salt = crypto.randomBytes(SALT_BYTES);
  const { key, nonce, commitment } = await keysOf(crypto, sealingKey, salt, aad);
  return concatBytes(first, salt, commitment, await crypto.aes256GcmSeal(key, nonce, aad, plain));
}

/** Throws `DecodeError` when it is none, of another place, or not of this key: make it again. */
export async function openSidecar(
  crypto: Crypto,
  sealingKey: Uint8Array | null,
  place: SidecarPlace,
  file: Uint8Array,
): Promise<Uint8Array> {
  const first = head(sealingKey === null ? 0 : 1);
  if (!equalBytes(file.subarray(0, HEAD_BYTES), first))
    throw new DecodeError('invalid', 'not a sidecar of this version and suite');
  if (sealingKey === null) return file.subarray(HEAD_BYTES);
  if (file.length < PREFIX_BYTES + TAG_BYTES) throw new DecodeError('truncated', 'the sidecar ends before its tag');
  const aad = aadOf(first, place);
  const salt = file.subarray(HEAD_BYTES, HEAD_BYTES + SALT_BYTES);
  const { key, nonce, commitment } = await keysOf(crypto, sealingKey, salt, aad);
  const opened = equalBytes(commitment, file.subarray(HEAD_BYTES + SALT_BYTES, PREFIX_BYTES))
    ? await crypto.aes256GcmOpen(key, nonce, aad, file.subarray(PREFIX_BYTES))
    : null;
  if (opened === null) throw new DecodeError('invalid', 'the sidecar was not made under this key for this place');
  return opened;
}
