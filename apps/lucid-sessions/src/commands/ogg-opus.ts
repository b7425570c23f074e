/** Opus packets as an Ogg stream (RFC 3533, RFC 7845): what ffmpeg reads them from. */
import type { SoundPacket } from '@lucid-sessions/rdp/sound';

const serial = 1;
const segmentBytes = 255;

const checksums = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) value = (value << 1) ^ (value & 0x8000_0000 ? 0x04c1_1db7 : 0);
  return value >>> 0;
});

function checksum(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = ((value << 8) ^ checksums[(value >>> 24) ^ byte]!) >>> 0;
  return value;
}

/** A page that holds one packet. */
function page(packet: Uint8Array, sequence: number, granule: number, flags: number): Buffer {
  const segments = Math.floor(packet.length / segmentBytes) + 1;
  const bytes = Buffer.alloc(27 + segments + packet.length);
  bytes.write('OggS', 0, 'latin1');
  bytes[5] = flags;
  bytes.writeBigUInt64LE(BigInt(granule), 6);
  bytes.writeUInt32LE(serial, 14);
  bytes.writeUInt32LE(sequence, 18);
  bytes[26] = segments;
  bytes.fill(segmentBytes, 27, 27 + segments - 1);
  bytes[27 + segments - 1] = packet.length % segmentBytes;
  bytes.set(packet, 27 + segments);
  bytes.writeUInt32LE(checksum(bytes), 22);
  return bytes;
}

/** Packets of one channel count, in order. */
export function oggOpus(packets: readonly SoundPacket[]): Buffer {
  const head = Buffer.alloc(19);
  head.write('OpusHead', 0, 'latin1');
  head[8] = 1;
  head[9] = packets[0]!.channels;
  head.writeUInt32LE(48_000, 12);
  const tags = Buffer.from('OpusTags\0\0\0\0\0\0\0\0', 'latin1');
  const pages = [page(head, 0, 0, 2), page(tags, 1, 0, 0)];
  let granule = 0;
  packets.forEach(({ data, samples }, i) => {
    granule += samples;
    pages.push(page(data, i + 2, granule, i === packets.length - 1 ? 4 : 0));
  });
  return Buffer.concat(pages);
}
