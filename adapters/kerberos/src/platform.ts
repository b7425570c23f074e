import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { KerberosCrypto, type KerberosPlatform, type StringToKey } from '@lucid-sessions/rdp/kerberos';

const platform: KerberosPlatform = {
  randomBytes: (length) => randomBytes(length),
  nowMs: Date.now,
  aesCbc(direction, key, blocks) {
    const create = direction === 'encrypt' ? createCipheriv : createDecipheriv;
    const cipher = create(`aes-${key.length * 8}-cbc`, key, new Uint8Array(16)).setAutoPadding(false);
    return Uint8Array.from(Buffer.concat([cipher.update(blocks), cipher.final()]));
  },
};

export const kerberosCrypto = new KerberosCrypto(platform);

/** In a thread of Node's pool: the relaying one has something else to do. */
export const deriveKey = async (password: string, { salt, iterations, keyBytes, hash }: StringToKey): Promise<Buffer> =>
  promisify(pbkdf2)(password, salt, iterations, keyBytes, hash);
