import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

/**
 * Turns one kind of value into bytes and back. `decode` reads exactly the value and leaves the reader after it, throws
 * `DecodeError` on bad bytes and nothing else; `encode(decode(bytes))` gives `bytes` back for every value a peer may send.
 */
export interface Codec<T> {
  readonly name: string;
  encode(value: T, writer: Writer): void;
  decode(reader: Reader): T;
}

/** The bytes of one value. */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new Writer();
  codec.encode(value, writer);
  return writer.bytes();
}

/** Decodes one value that must fill `bytes` exactly. Throws `DecodeError`. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes);
  const value = codec.decode(reader);
  reader.expectEnd(codec.name);
  return value;
}
