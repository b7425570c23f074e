import { DecodeError } from '@lucid-sessions/wire';

let inputBuffer = new Uint8Array(0x10000 + 8);

/** Input, followed by zeros; valid until the next call. */
export function paddedInput(data: Uint8Array): Uint8Array {
  if (inputBuffer.length < data.length + 8) inputBuffer = new Uint8Array(data.length + 8);
  inputBuffer.set(data);
  inputBuffer.fill(0, data.length, data.length + 8);
  return inputBuffer;
}

/** The next 25 bits and more, highest first, in the high end of a signed number. */
export function windowAt(input: Uint8Array, at: number): number {
  const byte = at >> 3;
  return ((input[byte]! << 24) | (input[byte + 1]! << 16) | (input[byte + 2]! << 8) | input[byte + 3]!) << (at & 7);
}

/** As `windowAt`, lowest first, in the low end. */
export function lowWindowAt(input: Uint8Array, at: number): number {
  const byte = at >> 3;
  return (input[byte]! | (input[byte + 1]! << 8) | (input[byte + 2]! << 16) | (input[byte + 3]! << 24)) >>> (at & 7);
}

/** What was read lay in the zeros behind the input. */
export function bitsTruncated(): DecodeError {
  return new DecodeError('truncated', 'compressed bits end inside a code');
}

export function badLengthPrefix(): DecodeError {
  return new DecodeError('invalid', 'a length-of-match has no such prefix');
}

export function badSymbol(): DecodeError {
  return new DecodeError('invalid', 'a Huffman code is not defined');
}

export function badLengthClass(): DecodeError {
  return new DecodeError('invalid', 'a length-of-match class is not defined');
}
