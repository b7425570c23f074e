/** Packet captures for tests: pcapng and pcap files of TCP connections, in any order and as often as a test likes. */

export interface SentPiece {
  fromServer: boolean;
  bytes: Uint8Array;
}

export interface CapturedPacket {
  timeUs: number;
  fromServer: boolean;
  /** Ethernet frame. */
  bytes: Buffer;
}

const u16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);
const u32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);

interface Ends {
  clientPort: number;
  serverPort: number;
  ipv6?: boolean;
  vlan?: boolean;
}

/** One Ethernet frame with a TCP segment. */
function frame(ends: Ends, fromServer: boolean, sequence: number, flags: number, data: Uint8Array): Buffer {
  const [source, destination] = fromServer ? [ends.serverPort, ends.clientPort] : [ends.clientPort, ends.serverPort];
  const tcp = Buffer.concat([
    u16(source),
    u16(destination),
    u32(sequence),
    u32(0),
    Buffer.from([5 << 4, flags]),
    Buffer.alloc(6),
    data,
  ]);
  const [from, to] = fromServer ? [2, 1] : [1, 2];
  const ip = ends.ipv6
    ? Buffer.concat([
        Buffer.from([0x60, 0, 0, 0]),
        u16(tcp.length),
        Buffer.from([6, 64]),
        Buffer.alloc(15),
        Buffer.from([from]),
        Buffer.alloc(15),
        Buffer.from([to]),
      ])
    : Buffer.concat([
        Buffer.from([0x45, 0]),
        u16(20 + tcp.length),
        Buffer.alloc(5),
        Buffer.from([6, 0, 0, 10, 0, 0, from, 10, 0, 0, to]),
      ]);
  const type = Buffer.concat([
    ends.vlan ? Buffer.from([0x81, 0, 0, 7]) : Buffer.alloc(0),
    u16(ends.ipv6 ? 0x86dd : 0x0800),
  ]);
  return Buffer.concat([Buffer.alloc(12), type, ip, tcp]);
}

/** The packets of one connection, a packet each for SYN, SYN/ACK and every piece of at most `segmentBytes`. */
export function packetsOf(
  pieces: readonly SentPiece[],
  options: Partial<Ends> & { segmentBytes?: number; firstSequence?: number } = {},
): CapturedPacket[] {
  const ends: Ends = { clientPort: 50_000, serverPort: 3389, ...options };
  const segmentBytes = options.segmentBytes ?? 1460;
  const next: [number, number] = [options.firstSequence ?? 1000, options.firstSequence ?? 5000];
  let timeUs = 1_700_000_000_000_000;
  const packets: CapturedPacket[] = [];
  const add = (fromServer: boolean, flags: number, data: Uint8Array): void => {
    const side = fromServer ? 1 : 0;
    packets.push({ timeUs, fromServer, bytes: frame(ends, fromServer, next[side] >>> 0, flags, data) });
    next[side] += data.length + ((flags & 2) !== 0 ? 1 : 0);
    timeUs += 1000;
  };
  add(false, 2, Buffer.alloc(0));
  add(true, 0x12, Buffer.alloc(0));
  for (const { fromServer, bytes } of pieces)
    for (let at = 0; at < bytes.length; at += segmentBytes)
      add(fromServer, 0x18, bytes.subarray(at, at + segmentBytes));
  for (const fromServer of [true, false]) add(fromServer, 0x11, Buffer.alloc(0));
  return packets;
}

/** A pcapng file; `keyLog` goes into a Decryption Secrets Block. */
export function pcapngOf(packets: readonly CapturedPacket[], keyLog = '', little = true): Buffer {
  const word = (value: number): Buffer => (little ? Buffer.from(u32(value)).reverse() : u32(value));
  const half = (value: number): Buffer => (little ? Buffer.from(u16(value)).reverse() : u16(value));
  const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const block = (type: number, ...parts: Uint8Array[]): Buffer => {
    const body = Buffer.concat(parts);
    const length = word(12 + body.length);
    return Buffer.concat([word(type), length, body, length]);
  };
  const log = Buffer.from(keyLog);
  return Buffer.concat([
    block(0x0a0d0d0a, word(0x1a2b3c4d), half(1), half(0), Buffer.alloc(8, 255)),
    // Ethernet, no limit; if_tsresol: nanoseconds.
    block(1, half(1), half(0), word(0), half(9), half(1), Buffer.from([9, 0, 0, 0]), word(0)),
    ...(keyLog === '' ? [] : [block(10, word(0x544c534b), word(log.length), padded(log))]),
    ...packets.map(({ timeUs, bytes }) => {
      const ns = BigInt(timeUs) * 1000n;
      return block(
        6,
        word(0),
        word(Number(ns >> 32n)),
        word(Number(ns & 0xffffffffn)),
        word(bytes.length),
        word(bytes.length),
        padded(bytes),
      );
    }),
  ]);
}

/** A classic pcap file, little-endian, µs. */
export function pcapOf(packets: readonly CapturedPacket[], snapBytes = 65_535): Buffer {
  const word = (value: number): Buffer => Buffer.from(u32(value)).reverse();
  const head = Buffer.concat([word(0xa1b2c3d4), Buffer.from([2, 0, 4, 0]), Buffer.alloc(8), word(snapBytes), word(1)]);
  return Buffer.concat([
    head,
    ...packets.flatMap(({ timeUs, bytes }) => {
      const kept = bytes.subarray(0, snapBytes);
      return [word(Math.floor(timeUs / 1e6)), word(timeUs % 1e6), word(kept.length), word(bytes.length), kept];
    }),
  ]);
}
