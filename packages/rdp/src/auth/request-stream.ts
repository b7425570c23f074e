import { DecodeError, decode } from '@lucid-sessions/wire';
import { type TsRequest, tsRequest } from '../pdu/credssp.ts';
import { connectFrameLength } from '../pdu/frame-length.ts';
import { Gathered } from '../sequence/gathered.ts';

/** Windows' longest without Kerberos have 1 KiB; shadow 2.11 answers SPNEGO with 12,329 bytes. */
const requestBytesMax = 16 * 1024;
/** A whole one, and what its sender already glued behind it. */
const waitingBytesMax = 64 * 1024;
const DER_SEQUENCE = 0x30;

/** Cuts TSRequests out of bytes that come in any pieces. Throws `DecodeError`. */
export class RequestStream {
  readonly #gathered = new Gathered(waitingBytesMax);

  push(bytes: Uint8Array): void {
    this.#gathered.push(bytes);
  }

  /** The next whole one; null: more bytes are needed. */
  next(): TsRequest | null {
    const { bytes, length } = this.#gathered;
    if (length > 0 && bytes[0] !== DER_SEQUENCE) throw new DecodeError('invalid', 'this is no CredSSP message');
    const size = connectFrameLength(bytes, 0, length);
    if (!(size <= requestBytesMax)) throw new DecodeError('limit', `a CredSSP message of ${size} bytes`);
    if (size === 0 || length < size) return null;
    return decode(tsRequest, this.#gathered.take(size));
  }

  /** The first byte that waits, without taking it. */
  get peek(): number | undefined {
    return this.#gathered.bytes[0];
  }

  /** Exactly so many bytes, or null. */
  take(length: number): Uint8Array | null {
    return this.#gathered.length < length ? null : this.#gathered.take(length);
  }

  takeRest(): Uint8Array {
    return this.#gathered.take();
  }
}
