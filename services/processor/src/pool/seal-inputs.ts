import { createCipheriv } from 'node:crypto';
import { eachInput, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { inputsSecretView, keyBytes, payloadRoom } from './slot.ts';

/**
 * The payload with the bodies of frames flagged `inputs` encrypted, by AES-256-CTR with the secret in the slot; the payload itself
 * when there are none. The bodies of memory that is not the slot's are never changed: it is the recorder's spool, which live
 * viewers read, and from which the chunk is sealed again when this one fails.
 */
export function sealInputs(payload: Uint8Array, memory: WebAssembly.Memory): Uint8Array {
  const secret = inputsSecretView(memory);
  const found: number[] = [];
  eachInput(payload, PAYLOAD_HEADER_BYTES, (_, from, end) => void found.push(from, end));
  if (found.length === 0) {
    secret.fill(0);
    return payload;
  }
  const own = payloadRoom(memory, payload.length);
  if (payload.buffer !== own.buffer) own.set(payload);
  const cipher = takeCipher(secret);
  for (let i = 0; i < found.length; i += 2) {
    const body = own.subarray(found[i], found[i + 1]);
    body.set(cipher.update(body));
  }
  return own;
}

function takeCipher(secret: Uint8Array) {
  const copy = Uint8Array.from(secret);
  secret.fill(0);
  try {
    return createCipheriv('aes-256-ctr', copy.subarray(0, keyBytes), copy.subarray(keyBytes));
  } finally {
    copy.fill(0);
  }
}
