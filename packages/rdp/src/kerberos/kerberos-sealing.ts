import { concatBytes, DecodeError } from '@lucid-sessions/wire';
import type { Sealing } from '../auth/sealing.ts';
import { sameSecret } from '../auth/text.ts';
import { type KerberosCrypto, KeyUsage, tagBytesOf } from './etypes.ts';
import {
  checkFlags,
  micHeader,
  readMic,
  readWrap,
  rotate,
  TokenFlag,
  tokenHeaderBytes,
  wrapHeader,
} from './gss-tokens.ts';
import type { EncryptionKey } from './messages.ts';

export interface KerberosSealingOptions {
  crypto: KerberosCrypto;
  role: 'initiator' | 'acceptor';
  key: EncryptionKey;
  /** The key is one the acceptor chose. */
  isAcceptorKey: boolean;
  /** First numbers of both sides. */
  sequences: { initiator: number; acceptor: number };
}

/** Per-message tokens of RFC 4121 section 4.2, as Windows makes them: no filler, turned by the copy of the header and the checksum. */
export class KerberosSealing implements Sealing {
  readonly #options: KerberosSealingOptions;
  readonly #keyFlag: number;
  #sent: bigint;
  #received: bigint;

  constructor(options: KerberosSealingOptions) {
    const { sequences, role, isAcceptorKey } = options;
    this.#options = options;
    this.#keyFlag = isAcceptorKey ? TokenFlag.acceptorSubkey : 0;
    const isInitiator = role === 'initiator';
    this.#sent = BigInt(isInitiator ? sequences.initiator : sequences.acceptor);
    this.#received = BigInt(isInitiator ? sequences.acceptor : sequences.initiator);
  }

  seal(plain: Uint8Array): Uint8Array {
    const { crypto, key } = this.#options;
    const header = { flags: this.#ourFlags | TokenFlag.sealed, extraCount: 0, rightRotation: 0, sequence: this.#sent };
    this.#sent += 1n;
    const sealed = crypto.encrypt(key, this.#usage(true, 'Seal'), concatBytes(plain, wrapHeader(header)));
    const rightRotation = tokenHeaderBytes + tagBytesOf(key.etype);
    return concatBytes(wrapHeader({ ...header, rightRotation }), rotate(sealed, rightRotation));
  }

  open(wrapped: Uint8Array): Uint8Array {
    const { crypto, key } = this.#options;
    const { body, rightRotation, ...header } = readWrap(wrapped);
    checkFlags(header.flags, this.#theirFlags | TokenFlag.sealed);
    this.#next(header.sequence);
    const plain = crypto.decrypt(key, this.#usage(false, 'Seal'), rotate(body, -rightRotation));
    const end = plain.length - tokenHeaderBytes;
    if (end < header.extraCount) throw new DecodeError('truncated', 'a Wrap token without the copy of its header');
    if (!sameSecret(plain.slice(end), wrapHeader({ ...header, rightRotation: 0 })))
      throw new DecodeError('invalid', 'the header of a Wrap token was changed');
    return plain.slice(0, end - header.extraCount);
  }

  mic(message: Uint8Array): Uint8Array {
    const { crypto, key } = this.#options;
    const header = micHeader(this.#ourFlags, this.#sent);
    this.#sent += 1n;
    return concatBytes(header, crypto.checksum(key, this.#usage(true, 'Sign'), concatBytes(message, header)).value);
  }

  verifyMic(message: Uint8Array, signature: Uint8Array): void {
    const { crypto, key } = this.#options;
    const { flags, sequence, checksum } = readMic(signature);
    checkFlags(flags, this.#theirFlags);
    this.#next(sequence);
    const over = concatBytes(message, micHeader(flags, sequence));
    if (!sameSecret(crypto.checksum(key, this.#usage(false, 'Sign'), over).value, checksum))
      throw new DecodeError('invalid', 'a message of Kerberos has a wrong signature');
  }

  get #isInitiator(): boolean {
    return this.#options.role === 'initiator';
  }

  get #ourFlags(): number {
    return this.#keyFlag | (this.#isInitiator ? 0 : TokenFlag.sentByAcceptor);
  }

  get #theirFlags(): number {
    return this.#keyFlag | (this.#isInitiator ? TokenFlag.sentByAcceptor : 0);
  }

  #usage(isOurs: boolean, what: 'Seal' | 'Sign'): number {
    return KeyUsage[`${isOurs === this.#isInitiator ? 'initiator' : 'acceptor'}${what}`];
  }

  #next(sequence: bigint): void {
    if (sequence !== this.#received) throw new DecodeError('invalid', 'a token of Kerberos out of its turn');
    this.#received += 1n;
  }
}
