import { utf8 } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import type { SecretSeal } from '@lucid-sessions/pipeline';
import { concatBytes } from '@lucid-sessions/wire';
import type { LocalKey } from './key-files.ts';

const SEAL_INFO = 'lucid-sessions/v1/secret\0';
const NONCE_BYTES = 12;

/** AES-256-GCM under the installation's `secrets.key`: nonce 12 ‖ ciphertext ‖ tag 16, the name as AAD. */
export class LocalSeal implements SecretSeal {
  readonly #key: LocalKey;

  constructor(key: LocalKey) {
    this.#key = key;
  }

  async seal(name: string, secret: Uint8Array): Promise<Uint8Array> {
    // Random nonces: one key seals far fewer than 2^32 credentials.
    const nonce = nodeCrypto.randomBytes(NONCE_BYTES);
    return concatBytes(nonce, nodeCrypto.aes256GcmSeal(this.#key.bytes, nonce, aadOf(name), secret));
  }

  async open(name: string, sealed: Uint8Array): Promise<Uint8Array | null> {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    if (nonce.length < NONCE_BYTES) return null;
    return nodeCrypto.aes256GcmOpen(this.#key.bytes, nonce, aadOf(name), sealed.subarray(NONCE_BYTES));
  }
}

const aadOf = (name: string): Uint8Array => utf8(`${SEAL_INFO}${name}`);
