import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { type EncryptionKey, KerberosCrypto, stringToKey } from '../../src/kerberos/index.ts';

/** Random where nothing else is said, at the time it is. */
export function nodeCrypto(fixed: { random?: (length: number) => Uint8Array; nowMs?: () => number } = {}) {
  return new KerberosCrypto({
    randomBytes: fixed.random ?? ((length) => randomBytes(length)),
    nowMs: fixed.nowMs ?? Date.now,
    aesCbc(direction, key, blocks) {
      const make = direction === 'encrypt' ? createCipheriv : createDecipheriv;
      const cipher = make(`aes-${key.length * 8}-cbc`, key, new Uint8Array(16)).setAutoPadding(false);
      return Uint8Array.from(Buffer.concat([cipher.update(blocks), cipher.final()]));
    },
  });
}

export function passwordKey(crypto: KerberosCrypto, etype: number, password: string, salt: string): EncryptionKey {
  const from = stringToKey(etype, salt);
  return crypto.keyOfPbkdf2(etype, pbkdf2(password, from));
}

export const pbkdf2 = (password: string, { salt, iterations, keyBytes, hash }: ReturnType<typeof stringToKey>) =>
  pbkdf2Sync(password, salt, iterations, keyBytes, hash);
