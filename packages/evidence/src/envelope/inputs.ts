import { clearInputFlags, eachInput, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { type Crypto, concatBytes } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';
import type { ChunkHeader } from './chunk-header.ts';

const INFO = utf8('lucid-sessions/v1/chunk-inputs\0');
/** key 32 ‖ first counter block 16 of the AES-256-CTR that runs over a chunk's bodies flagged `inputs`. */
export const INPUTS_SECRET_BYTES = 48;
const KEY_BYTES = 32;

/** HKDF-SHA-256(inputs key, the chunk's salt, domain ‖ session id ‖ index u64). H is not known yet when bodies are sealed. */
export async function inputsSecret(
  crypto: Crypto,
  inputsKey: Uint8Array,
  salt: Uint8Array,
  { sessionId, index }: Pick<ChunkHeader, 'sessionId' | 'index'>,
): Promise<Uint8Array> {
  const place = new Uint8Array(8);
  new DataView(place.buffer).setBigUint64(0, BigInt(index));
  return crypto.hkdfSha256(inputsKey, salt, concatBytes(INFO, sessionId, place), INPUTS_SECRET_BYTES);
}

/** How an opened chunk's flagged bodies are read: with a secret, as they are (suite 0), or not at all (null). */
export type InputsAccess = Uint8Array | 'clear' | null;

/** Seals the flagged bodies of a payload, in a copy; opens them again likewise, leaving flags alone. */
export async function cipherInputs(crypto: Crypto, secret: Uint8Array, payload: Uint8Array): Promise<Uint8Array> {
  const bodies: Uint8Array[] = [];
  const copy = payload.slice();
  eachInput(copy, PAYLOAD_HEADER_BYTES, (_, from, end) => void bodies.push(copy.subarray(from, end)));
  if (bodies.length === 0) return payload;
  const done = await crypto.aes256Ctr(
    secret.subarray(0, KEY_BYTES),
    secret.subarray(KEY_BYTES, INPUTS_SECRET_BYTES),
    concatBytes(...bodies),
  );
  let at = 0;
  for (const body of bodies) {
    body.set(done.subarray(at, at + body.length));
    at += body.length;
  }
  return copy;
}

/**
 * The payload as this reader may see it. Flags of opened frames are cleared, so that a frame still flagged `inputs` is one
 * to skip, whoever reads. The payload given stays as it is.
 */
export async function openInputs(crypto: Crypto, access: InputsAccess, payload: Uint8Array): Promise<Uint8Array> {
  if (access === null) return payload;
  let count = 0;
  eachInput(payload, PAYLOAD_HEADER_BYTES, () => {
    count += 1;
  });
  if (count === 0) return payload;
  const opened = access === 'clear' ? payload.slice() : await cipherInputs(crypto, access, payload);
  clearInputFlags(opened, PAYLOAD_HEADER_BYTES);
  return opened;
}
