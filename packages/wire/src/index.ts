export { type Codec, decode, encode } from './codec.ts';
export { attempt, DecodeError, type DecodeErrorCode } from './decode-error.ts';
export { joinBytes } from './join-bytes.ts';
export { Reader } from './reader.ts';
export { Writer } from './writer.ts';
