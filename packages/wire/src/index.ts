export { concatBytes, equalBytes, giveBack, joinBytes } from './bytes.ts';
export { type Codec, decode, encode } from './codec.ts';
export type { Crypto, MaybePromise, SpkiSignature, SyncCrypto } from './crypto.ts';
export { attempt, DecodeError, type DecodeErrorCode } from './decode-error.ts';
export { Reader } from './reader.ts';
export { Writer } from './writer.ts';
