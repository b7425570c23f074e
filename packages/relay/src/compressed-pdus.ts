/** Where the compressed payloads of a server's PDUs are: bulk compression is one stream over all three kinds of them. */
import {
  ChannelFlag,
  CompressionFlag,
  channelCompression,
  PduType,
  SHARE_CONTROL_HEADER_BYTES,
  SHARE_DATA_HEADER_BYTES,
} from '@lucid-sessions/rdp';
import { seePdu } from './seen-pdu.ts';

type OnPayload = (data: Uint8Array, flags: number) => void;

const CHUNK_HEADER_BYTES = 8;
const FASTPATH_COMPRESSION_USED = 0x80;

/** Calls back with each compressed payload of a PDU; `ioChannelId` is the one shares come on. Stops where it can't read on. */
export function eachCompressed(pdu: Uint8Array, ioChannelId: number, onPayload: OnPayload): void {
  if (pdu[0] !== 3) {
    fastPath(pdu, onPayload);
    return;
  }
  const seen = seePdu(pdu, 'server');
  if (seen.kind !== 'data') return;
  if (seen.channelId === ioChannelId) shares(seen.data, onPayload);
  else if (seen.data.length >= CHUNK_HEADER_BYTES) {
    const flags = u16le(seen.data, 4) | (u16le(seen.data, 6) << 16);
    if ((flags & ChannelFlag.packetCompressed) !== 0)
      onPayload(seen.data.subarray(CHUNK_HEADER_BYTES), channelCompression(flags));
  }
}

/** TS_FP_UPDATE, [MS-RDPBCGR] 2.2.9.1.2.1. */
function fastPath(pdu: Uint8Array, onPayload: OnPayload): void {
  let at = ((pdu[1] ?? 0) & 0x80) === 0 ? 2 : 3;
  while (at + 3 <= pdu.length) {
    const isCompressed = (pdu[at]! & FASTPATH_COMPRESSION_USED) !== 0;
    const flags = isCompressed ? pdu[at + 1]! : 0;
    const sizeAt = at + (isCompressed ? 2 : 1);
    const end = sizeAt + 2 + u16le(pdu, sizeAt);
    if (end > pdu.length) return;
    if ((flags & CompressionFlag.compressed) !== 0) onPayload(pdu.subarray(sizeAt + 2, end), flags);
    at = end;
  }
}

function shares(data: Uint8Array, onPayload: OnPayload): void {
  const headers = SHARE_CONTROL_HEADER_BYTES + SHARE_DATA_HEADER_BYTES;
  for (let at = 0; at + headers <= data.length; ) {
    const end = at + u16le(data, at);
    if (end < at + headers || end > data.length) return;
    const flags = data[at + 15]!;
    if ((data[at + 2]! & 15) === PduType.data && (flags & CompressionFlag.compressed) !== 0)
      onPayload(data.subarray(at + headers, end), flags);
    at = end;
  }
}

const u16le = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
