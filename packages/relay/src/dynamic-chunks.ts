/** Messages of a dynamic channel as chunks of drdynvc: [MS-RDPEDYC] 2.2.3. */
import {
  CHANNEL_CHUNK_BYTES,
  ChannelFlag,
  channelChunk,
  type DynamicChannelPdu,
  dynamicChannelClientPdu,
  widthCode,
} from '@lucid-sessions/rdp';
import { encode } from '@lucid-sessions/wire';

/** A message as data PDUs of its channel, the same of either peer, uncompressed, each in a chunk of its own with `flags` besides. */
export function dynamicChunks(
  { channelId, cbId }: Pick<DynamicChannelPdu, 'cbId'> & { channelId: number },
  message: Uint8Array,
  flags: number,
): Uint8Array[] {
  const sp = widthCode(message.length);
  const idBytes = 1 << cbId;
  const pdus: DynamicChannelPdu[] = [];
  const room = CHANNEL_CHUNK_BYTES - 1 - idBytes;
  if (message.length <= room) pdus.push({ kind: 'data', cbId, sp: 0, channelId, data: message });
  else {
    const firstRoom = room - (1 << sp);
    const { length } = message;
    pdus.push({ kind: 'dataFirst', cbId, sp, channelId, length, data: message.subarray(0, firstRoom) });
    for (let at = firstRoom; at < length; at += room)
      pdus.push({ kind: 'data', cbId, sp: 0, channelId, data: message.subarray(at, at + room) });
  }
  return pdus.map((pdu) => {
    const data = encode(dynamicChannelClientPdu, pdu);
    return encode(channelChunk, { length: data.length, flags: flags | ChannelFlag.first | ChannelFlag.last, data });
  });
}
