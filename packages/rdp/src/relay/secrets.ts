/**
 * What must never be recorded, zeroed in a copy: lengths stay, so the recording still parses. Copies are made by
 * constructor: `slice` of a Node Buffer would share its memory, and the peer would get the zeros too.
 */
import { decode } from '@lucid-sessions/wire';
import { clientInfoSecrets } from '../pdu/client-info.ts';
import { tsRequest } from '../pdu/credssp.ts';

/** A copy of a Client Info PDU without the password and the reconnection cookie; `data` is the MCS data inside `pdu`. */
export function blankClientInfo(pdu: Uint8Array, data: Uint8Array): { bytes: Uint8Array; blanked: boolean } {
  const secrets = clientInfoSecrets(data);
  if (secrets.length === 0) return { bytes: pdu, blanked: false };
  const bytes = new Uint8Array(pdu);
  const start = data.byteOffset - pdu.byteOffset;
  for (const { offset, length } of secrets) bytes.fill(0, start + offset, start + offset + length);
  return { bytes, blanked: true };
}

/**
 * A copy of a TSRequest ([MS-CSSP] 2.2.1) without tokens and credentials: the credentials are encrypted, but NTLM tokens
 * let a reader of the recording guess passwords at leisure.
 */
export function blankTsRequest(pdu: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(pdu);
  const { negoTokens = [], authInfo, pubKeyAuth } = decode(tsRequest, bytes);
  for (const view of [...negoTokens, authInfo, pubKeyAuth]) view?.fill(0);
  return bytes;
}

/** LOGON_EX_AUTORECONNECTCOOKIE, [MS-RDPBCGR] 2.2.10.1.1.4. */
const AUTO_RECONNECT_COOKIE = 0x00000001;

/** Zeroes the server's automatic reconnection secret (2.2.4.2) in the data of a Save Session Info PDU of type 3. */
export function blankReconnectSecret(infoData: Uint8Array): boolean {
  if (infoData.length < 10) return false;
  const view = new DataView(infoData.buffer, infoData.byteOffset, infoData.byteLength);
  if ((view.getUint32(2, true) & AUTO_RECONNECT_COOKIE) === 0) return false;
  // Length u16, fields u32, then cbFieldData u32 and ARC_SC_PRIVATE_PACKET: length, version, logon id, 16 random bytes.
  infoData.fill(0, Math.min(infoData.length, 22), Math.min(infoData.length, 38));
  return true;
}
