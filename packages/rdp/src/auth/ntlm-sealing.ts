import { concatBytes, DecodeError, Writer } from '@lucid-sessions/wire';
import { directionKeys, hmacMd5 } from './ntlm-keys.ts';
import { Rc4 } from './rc4.ts';
import type { Sealing } from './sealing.ts';
import { sameSecret } from './text.ts';

const SIGNATURE_BYTES = 16;
const SIGNATURE_VERSION = 1;

/** One direction of a signed and sealed conversation, [MS-NLMP] 3.4.3 and 3.4.4, with extended session security and key exchange. */
class Direction {
  readonly #signKey: Uint8Array;
  #cipher: Rc4;
  #sequence = 0;

  constructor(exportedSessionKey: Uint8Array, name: 'client-to-server' | 'server-to-client') {
    const { sign, seal } = directionKeys(exportedSessionKey, name);
    this.#signKey = sign;
    this.#cipher = new Rc4(seal);
  }

  /** The text goes through the cipher before its checksum does. */
  seal(plain: Uint8Array): Uint8Array {
    const sealed = this.#cipher.apply(plain);
    return concatBytes(this.#sign(plain), sealed);
  }

  open(wrapped: Uint8Array): Uint8Array {
    if (wrapped.length < SIGNATURE_BYTES) throw new DecodeError('truncated', 'a sealed message without its signature');
    const plain = this.#cipher.apply(wrapped.slice(SIGNATURE_BYTES));
    this.#verify(plain, wrapped.slice(0, SIGNATURE_BYTES));
    return plain;
  }

  /** mechListMIC: the cipher stands afterwards where it stood before, while numbers go on. */
  mic(message: Uint8Array): Uint8Array {
    const before = this.#cipher.clone();
    const signature = this.#sign(message);
    this.#cipher = before;
    return signature;
  }

  verifyMic(message: Uint8Array, signature: Uint8Array): void {
    const before = this.#cipher.clone();
    this.#verify(message, signature);
    this.#cipher = before;
  }

  #sign(message: Uint8Array): Uint8Array {
    const sequence = new Writer(4).u32le(this.#sequence).bytes();
    const checksum = this.#cipher.apply(hmacMd5(this.#signKey, sequence, message).subarray(0, 8));
    this.#sequence += 1;
    return new Writer(SIGNATURE_BYTES).u32le(SIGNATURE_VERSION).slice(checksum).slice(sequence).bytes();
  }

  #verify(message: Uint8Array, signature: Uint8Array): void {
    if (!sameSecret(this.#sign(message), signature))
      throw new DecodeError('invalid', 'a message of NTLM has a wrong signature');
  }
}

/** What two peers of NTLM say to each other once they share a key. Opening and verifying throw `DecodeError`. */
export class NtlmSealing implements Sealing {
  readonly #out: Direction;
  readonly #in: Direction;

  /** `exportedSessionKey`: 16 bytes. */
  constructor(exportedSessionKey: Uint8Array, role: 'client' | 'server') {
    const client = new Direction(exportedSessionKey, 'client-to-server');
    const server = new Direction(exportedSessionKey, 'server-to-client');
    this.#out = role === 'client' ? client : server;
    this.#in = role === 'client' ? server : client;
  }

  /** 16 bytes of signature, then the sealed text. */
  seal(plain: Uint8Array): Uint8Array {
    return this.#out.seal(plain);
  }

  open(wrapped: Uint8Array): Uint8Array {
    return this.#in.open(wrapped);
  }

  /** The mechListMIC we send, [MS-SPNG] 3.1.5.1. */
  mic(mechTypes: Uint8Array): Uint8Array {
    return this.#out.mic(mechTypes);
  }

  verifyMic(mechTypes: Uint8Array, signature: Uint8Array): void {
    this.#in.verifyMic(mechTypes, signature);
  }
}
