import { createCipheriv, createHash } from 'node:crypto';
import { giveBack } from '@lucid-sessions/wire';
import { alignToPage, fileView, keyBytes, nonceBytes, secretsView, tagBytes } from './slot.ts';

/** A slice is encrypted, copied and hashed while it is in the second-level cache. */
const sliceBytes = 256 * 1024;

export interface SealedFile {
  fileBytes: number;
  sha256: Uint8Array;
}

/**
 * Writes `body` behind the prefix that stands in the slot's file already, encrypted with the key in the slot, and hashes the
 * whole file. `body` may stand in its place already. The key is zeroed in the slot as soon as it was read.
 */
export function encryptAndHash(
  chunk: { memory: WebAssembly.Memory; body: Uint8Array; prefixBytes: number },
  protection: { aadBytes: number; encrypted: boolean },
): SealedFile {
  const { memory, body, prefixBytes } = chunk;
  const { aadBytes, encrypted } = protection;
  const fileBytes = prefixBytes + body.length + (encrypted ? tagBytes : 0);
  const file = fileView(memory, alignToPage(fileBytes));
  const hash = createHash('sha256').update(file.subarray(0, prefixBytes));
  const cipher = encrypted ? takeCipher(memory, file.subarray(0, aadBytes)) : null;
  let at = prefixBytes;
  for (let from = 0; from < body.length; from += sliceBytes) {
    const plain = body.subarray(from, from + sliceBytes);
    const slice = cipher === null ? plain : cipher.update(plain);
    file.set(slice, at);
    hash.update(slice);
    at += slice.length;
    if (slice !== plain) giveBack(slice);
  }
  if (cipher !== null) {
    at += cipher.final().length;
    const tag = cipher.getAuthTag();
    file.set(tag, at);
    hash.update(tag);
  }
  file.fill(0, fileBytes);
  return { fileBytes, sha256: hash.digest() };
}

function takeCipher(memory: WebAssembly.Memory, aad: Uint8Array) {
  const secrets = secretsView(memory);
  // A private copy: the cipher's constructor must not see memory another thread may zero.
  const key = Uint8Array.from(secrets.subarray(0, keyBytes));
  const nonce = Uint8Array.from(secrets.subarray(keyBytes, keyBytes + nonceBytes));
  secrets.fill(0);
  try {
    return createCipheriv('aes-256-gcm', key, nonce).setAAD(aad);
  } finally {
    key.fill(0);
  }
}
