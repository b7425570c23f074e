import { concatBytes } from '@lucid-sessions/wire';
import { sha256 } from '@noble/hashes/sha2.js';

/** Highest CredSSP version spoken here, [MS-CSSP] 2.2.1; what says more counts as this. */
export const credsspVersion = 6;
/** From here on pubKeyAuth is a hash over a nonce (CVE-2018-0886). */
const HASHED_FROM_VERSION = 5;
/** From here on a server says why it refuses. */
export const ERROR_CODE_FROM_VERSION = 3;
export const NONCE_BYTES = 32;

const hashLabel = (direction: string): Uint8Array => new TextEncoder().encode(`CredSSP ${direction} Binding Hash\0`);

export const hasNonce = (version: number): boolean => version >= HASHED_FROM_VERSION;

/** What the client seals as pubKeyAuth. `publicKey`: the content of the SubjectPublicKey BIT STRING of the server's certificate. */
export function clientBinding(version: number, nonce: Uint8Array, publicKey: Uint8Array): Uint8Array {
  if (!hasNonce(version)) return publicKey;
  return sha256(concatBytes(hashLabel('Client-To-Server'), nonce, publicKey));
}

/** What the server answers with. */
export function serverBinding(version: number, nonce: Uint8Array, publicKey: Uint8Array): Uint8Array {
  if (hasNonce(version)) return sha256(concatBytes(hashLabel('Server-To-Client'), nonce, publicKey));
  const answer = publicKey.slice();
  answer[0] = (answer[0]! + 1) & 0xff;
  return answer;
}
