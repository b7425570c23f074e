import { DecodeError } from '@lucid-sessions/wire';

/** Smallest TPKT that can hold an X.224 TPDU. */
const TPKT_BYTES_MIN = 7;
/** Longest CredSSP message accepted: Kerberos tokens of users in many groups stay below. */
const CREDSSP_BYTES_MAX = 256 * 1024;
/** EARLY_USER_AUTH_RESULT, [MS-RDPBCGR] 5.4.2.2. */
const EARLY_USER_AUTH_RESULT_BYTES = 4;

/**
 * How many bytes the PDU at `offset` takes (TPKT or fast-path), or 0 when more bytes are needed to tell. The PDU itself
 * may not be complete yet. For the stream after the MCS connection began; allocates nothing.
 * Throws `DecodeError` when no PDU can begin like this.
 */
export function frameLength(bytes: Uint8Array, offset: number, end: number): number {
  const available = end - offset;
  if (available < 2) return 0;
  const first = bytes[offset]!;
  if (first === 3) {
    if (available < 4) return 0;
    const length = (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
    if (length < TPKT_BYTES_MIN) throw new DecodeError('invalid', `TPKT length ${length}`, offset);
    return length;
  }
  if ((first & 3) !== 0) throw new DecodeError('invalid', `no PDU begins with byte ${first}`, offset);
  const second = bytes[offset + 1]!;
  if ((second & 0x80) === 0) {
    if (second < 2) throw new DecodeError('invalid', `fast-path length ${second}`, offset);
    return second;
  }
  if (available < 3) return 0;
  const length = ((second & 0x7f) << 8) | bytes[offset + 2]!;
  if (length < 3) throw new DecodeError('invalid', `fast-path length ${length}`, offset);
  return length;
}

/**
 * The same before the MCS connection, where CredSSP may come first: DER TSRequests (0x30) and, with HYBRID_EX, the
 * server's four byte EARLY_USER_AUTH_RESULT. Fast-path is impossible here, so the two can't be mistaken.
 */
export function connectFrameLength(bytes: Uint8Array, offset: number, end: number): number {
  if (end - offset < 2) return 0;
  switch (bytes[offset]) {
    case 3:
      return frameLength(bytes, offset, end);
    case 0x30:
      return derLength(bytes, offset, end);
    case 0x00:
    case 0x05:
      return EARLY_USER_AUTH_RESULT_BYTES;
    default:
      throw new DecodeError('invalid', `no PDU begins with byte ${bytes[offset]} before the MCS connection`, offset);
  }
}

/** Size of the DER element at `offset` with its header, 0 when more bytes are needed. */
function derLength(bytes: Uint8Array, offset: number, end: number): number {
  const first = bytes[offset + 1]!;
  if (first < 0x80) return 2 + first;
  const count = first & 0x7f;
  if (!(count >= 1 && count <= 4)) throw new DecodeError('invalid', `DER length of ${count} bytes`, offset);
  if (end - offset < 2 + count) return 0;
  let length = 0;
  for (let i = 0; i < count; i += 1) length = length * 256 + bytes[offset + 2 + i]!;
  if (length > CREDSSP_BYTES_MAX) throw new DecodeError('limit', `CredSSP message of ${length} bytes`, offset);
  return 2 + count + length;
}
