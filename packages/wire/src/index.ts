export { type Codec, decode, encode } from './codec.ts';
export { DecodeError, type DecodeErrorCode } from './decode-error.ts';
export { Reader } from './reader.ts';
export { Writer } from './writer.ts';
