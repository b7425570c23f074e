/** The computations of NTLMv2, [MS-NLMP] 3.3.2 and 3.4. */
import { concatBytes } from '@lucid-sessions/wire';
import { hmac } from '@noble/hashes/hmac.js';
import { md5 } from '@noble/hashes/legacy.js';
import { md4 } from './md4.ts';
import { micEnd, micOffset } from './ntlm-messages.ts';
import { Rc4 } from './rc4.ts';
import { upperUnits, utf16Bytes } from './text.ts';

export const hmacMd5 = (key: Uint8Array, ...parts: Uint8Array[]): Uint8Array => hmac(md5, key, concatBytes(...parts));

/** NTOWFv1: what Windows stores in place of a password; as good as the password itself. 16 bytes. */
export const ntHashOf = (password: string): Uint8Array => md4(utf16Bytes(password));

/** NTOWFv2. `user` and `domain` as they stand in the AUTHENTICATE message; only the user is made upper case. */
export const responseKeyOf = (ntHash: Uint8Array, user: string, domain: string): Uint8Array =>
  hmacMd5(ntHash, utf16Bytes(upperUnits(user) + domain));

/** NTProofStr: 16 bytes. `blob`: NTLMv2_CLIENT_CHALLENGE as it is sent. */
export const proofOf = (responseKey: Uint8Array, serverChallenge: Uint8Array, blob: Uint8Array): Uint8Array =>
  hmacMd5(responseKey, serverChallenge, blob);

/** SessionBaseKey, which is the KeyExchangeKey of NTLMv2. */
export const sessionBaseKeyOf = (responseKey: Uint8Array, proof: Uint8Array): Uint8Array => hmacMd5(responseKey, proof);

/** EncryptedRandomSessionKey from ExportedSessionKey, or the other way round. */
export const exchangeKey = (keyExchangeKey: Uint8Array, key: Uint8Array): Uint8Array =>
  new Rc4(keyExchangeKey).apply(key);

/** The MIC over the three messages as they crossed; that of `authenticate` counts as zeros. */
export function micOf(
  exportedSessionKey: Uint8Array,
  negotiate: Uint8Array,
  challenge: Uint8Array,
  authenticate: Uint8Array,
): Uint8Array {
  const zeroed = authenticate.slice().fill(0, micOffset, micEnd);
  return hmacMd5(exportedSessionKey, negotiate, challenge, zeroed);
}

const magic = (text: string): Uint8Array => new TextEncoder().encode(`session key to ${text} key magic constant\0`);

/** SIGNKEY and SEALKEY of one direction, with extended session security and 128 bits. */
export function directionKeys(
  exportedSessionKey: Uint8Array,
  direction: 'client-to-server' | 'server-to-client',
): { sign: Uint8Array; seal: Uint8Array } {
  const derive = (what: string): Uint8Array => md5(concatBytes(exportedSessionKey, magic(`${direction} ${what}`)));
  return { sign: derive('signing'), seal: derive('sealing') };
}
