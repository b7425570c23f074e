/**
 * What must never be recorded, zeroed in a copy: lengths stay, so the recording still parses. Copies are made by
 * constructor: `slice` of a Node Buffer would share its memory, and the peer would get the zeros too.
 */
import { type ByteRange, tsRequest } from '@lucid-sessions/rdp';
import { DecodeError, decode } from '@lucid-sessions/wire';

/** What may be recorded of a PDU, and whether anything of it was zeroed. */
export interface Blanked {
  bytes: Uint8Array;
  blanked: boolean;
}

/** A copy of a PDU whose parts at `ranges`, counted from `start`, are zeroed. */
export function blankRanges(pdu: Uint8Array, start: number, ranges: readonly ByteRange[]): Blanked {
  if (ranges.length === 0) return { bytes: pdu, blanked: false };
  const bytes = new Uint8Array(pdu);
  for (const { offset, length } of ranges) bytes.fill(0, start + offset, start + offset + length);
  return { bytes, blanked: true };
}

/** A copy of which nothing is left but its first bytes: lengths, by which it is still framed. */
export function blankWhole(pdu: Uint8Array, keptBytes: number): Blanked {
  return { bytes: new Uint8Array(pdu).fill(0, Math.min(keptBytes, pdu.length)), blanked: true };
}

/**
 * A copy of a TSRequest ([MS-CSSP] 2.2.1) without tokens and credentials: the credentials are encrypted, but NTLM tokens
 * let a reader of the recording guess passwords at leisure. One that can't be read keeps its tag and length alone.
 */
export function blankTsRequest(pdu: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(pdu);
  try {
    const { negoTokens = [], authInfo, pubKeyAuth } = decode(tsRequest, bytes);
    for (const view of [...negoTokens, authInfo, pubKeyAuth]) view?.fill(0);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const lengthBytes = (bytes[1] ?? 0) < 0x80 ? 0 : (bytes[1] ?? 0) & 0x7f;
    bytes.fill(0, Math.min(bytes.length, 2 + lengthBytes));
  }
  return bytes;
}

/** LOGON_EX_AUTORECONNECTCOOKIE, [MS-RDPBCGR] 2.2.10.1.1.4. */
const AUTO_RECONNECT_COOKIE = 0x00000001;

/** The server's automatic reconnection secret in the body of a Save Session Info PDU of type 3, whose first field is the type. */
export const RECONNECT_SECRET = { start: 26, end: 42 } as const;

/** Zeroes the server's automatic reconnection secret (2.2.4.2) in the data of a Save Session Info PDU of type 3. */
export function blankReconnectSecret(infoData: Uint8Array): boolean {
  if (infoData.length < 10) return false;
  const view = new DataView(infoData.buffer, infoData.byteOffset, infoData.byteLength);
  if ((view.getUint32(2, true) & AUTO_RECONNECT_COOKIE) === 0) return false;
  // Length u16, fields u32, then cbFieldData u32 and ARC_SC_PRIVATE_PACKET: length, version, logon id, 16 random bytes.
  const { start, end } = RECONNECT_SECRET;
  infoData.fill(0, Math.min(infoData.length, start - 4), Math.min(infoData.length, end - 4));
  return true;
}
