/** TCP connections put together from captured packets (RFC 791, 8200, 9293): retransmissions, any order, what is missing. */
import type { Packet } from './packet-file.ts';

export interface StreamPiece {
  fromServer: boolean;
  timeUs: number;
  bytes: Uint8Array;
}

export interface TcpConnection {
  client: string;
  server: string;
  /** In the order in which each direction's bytes became complete. */
  pieces: StreamPiece[];
  /** Bytes that were never captured: nothing behind them can be read. */
  missingBytes: number;
}

export interface TcpFindings {
  connections: TcpConnection[];
  /** Packets that are no TCP over IP, or fragments, by what they are. */
  skipped: Record<string, number>;
}

const connectionsMax = 10_000;
/** Out of order on its way; more means that something was not captured. */
const waitingMax = 4096;

interface Segment {
  source: string;
  destination: string;
  sequence: number;
  syn: boolean;
  ack: boolean;
  fin: boolean;
  timeUs: number;
  data: Uint8Array;
  /** Bytes of its data that the capturing program cut off. */
  cutBytes: number;
}

interface HalfStream {
  /** Sequence numbers of the first byte and of the next one; null until one was seen. */
  first: number | null;
  next: number | null;
  /** Of the byte behind the last one, once a FIN told. */
  end: number | null;
  waiting: Segment[];
  dead: boolean;
}

interface Known {
  connection: TcpConnection;
  halves: [HalfStream, HalfStream];
}

export function tcpConnectionsOf(packets: Iterable<Packet>): TcpFindings {
  const findings: TcpFindings = { connections: [], skipped: {} };
  const open = new Map<string, Known>();
  const all: Known[] = [];
  for (const packet of packets) {
    const segment = segmentOf(packet);
    if (typeof segment === 'string') findings.skipped[segment] = (findings.skipped[segment] ?? 0) + 1;
    else takeSegment(segment, open, all, findings.skipped);
  }
  for (const known of all) for (const fromServer of [false, true]) endHalf(known, fromServer);
  findings.connections = all.map(({ connection }) => connection);
  return findings;
}

function takeSegment(segment: Segment, open: Map<string, Known>, all: Known[], skipped: Record<string, number>): void {
  const [there, back] = [`${segment.source} ${segment.destination}`, `${segment.destination} ${segment.source}`];
  let known = open.get(there) ?? open.get(back);
  if (known === undefined || beginsAnother(known, segment)) {
    if (all.length >= connectionsMax) {
      skipped['connections above the limit'] = (skipped['connections above the limit'] ?? 0) + 1;
      return;
    }
    open.delete(back);
    known = begin(segment);
    open.set(there, known);
    all.push(known);
  }
  takeInto(known, known.connection.client !== segment.source, segment);
}

/** The same two ports again. A SYN that was sent, or captured, twice is of the same connection. */
function beginsAnother({ connection, halves }: Known, { source, sequence, syn, ack }: Segment): boolean {
  const { first } = halves[connection.client === source ? 0 : 1];
  return syn && !ack && first !== null && first !== (sequence + 1) >>> 0;
}

function begin({ source, destination, syn, ack }: Segment): Known {
  const [client, server] = syn && ack ? [destination, source] : [source, destination];
  const half = (): HalfStream => ({ first: null, next: null, end: null, waiting: [], dead: false });
  return { connection: { client, server, pieces: [], missingBytes: 0 }, halves: [half(), half()] };
}

function takeInto(known: Known, fromServer: boolean, segment: Segment): void {
  const half = known.halves[fromServer ? 1 : 0];
  if (half.dead) return;
  half.first ??= (segment.sequence + (segment.syn ? 1 : 0)) >>> 0;
  half.next ??= half.first;
  if (segment.fin) half.end = (segment.sequence + segment.data.length + segment.cutBytes) >>> 0;
  if (segment.syn || segment.data.length + segment.cutBytes === 0) return;
  half.waiting.push(segment);
  drain(known, fromServer);
  if (half.waiting.length > waitingMax) endHalf(known, fromServer);
}

/** Signed distance of two sequence numbers, which wrap. */
const distance = (from: number, to: number): number => (to - from) | 0;

function drain(known: Known, fromServer: boolean): void {
  const half = known.halves[fromServer ? 1 : 0];
  for (let progress = true; progress; ) {
    progress = false;
    const next = half.next ?? 0;
    for (const [i, segment] of half.waiting.entries()) {
      const ahead = distance(next, segment.sequence);
      if (ahead > 0) continue;
      half.waiting.splice(i, 1);
      const behind = -ahead;
      if (behind < segment.data.length) {
        known.connection.pieces.push({ fromServer, timeUs: segment.timeUs, bytes: segment.data.subarray(behind) });
        half.next = (next + segment.data.length - behind) >>> 0;
      }
      if (segment.cutBytes > 0 && behind < segment.data.length + segment.cutBytes) {
        known.connection.missingBytes += segment.cutBytes;
        half.dead = true;
        half.waiting = [];
        return;
      }
      progress = true;
      break;
    }
  }
}

/** What still waits has a hole before it. */
function endHalf(known: Known, fromServer: boolean): void {
  const half = known.halves[fromServer ? 1 : 0];
  if (half.dead) return;
  const behind = half.waiting.map(({ sequence }) => sequence);
  if (half.end !== null) behind.push(half.end);
  const holes = behind.map((sequence) => distance(half.next ?? sequence, sequence)).filter((bytes) => bytes > 0);
  if (holes.length > 0) {
    known.connection.missingBytes += Math.min(...holes);
    half.dead = true;
  }
  half.waiting = [];
}

// ---- down to the segment

const linkHeaders: Record<number, (bytes: Uint8Array) => Uint8Array | null> = {
  0: (bytes) => bytes.subarray(4),
  1: (bytes) => ethernet(bytes, 12),
  12: (bytes) => bytes,
  101: (bytes) => bytes,
  108: (bytes) => bytes.subarray(4),
  113: (bytes) => ethernet(bytes, 14),
  228: (bytes) => bytes,
  229: (bytes) => bytes,
  276: (bytes) => (isIp(u16(bytes, 0)) ? bytes.subarray(20) : null),
};

const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const u32 = (bytes: Uint8Array, at: number): number => (u16(bytes, at) * 65_536 + u16(bytes, at + 2)) >>> 0;
const isIp = (etherType: number): boolean => etherType === 0x0800 || etherType === 0x86dd;

/** Past VLAN tags; null when it carries no IP. */
function ethernet(bytes: Uint8Array, typeAt: number): Uint8Array | null {
  let at = typeAt;
  while ([0x8100, 0x88a8, 0x9100].includes(u16(bytes, at))) at += 4;
  return isIp(u16(bytes, at)) ? bytes.subarray(at + 2) : null;
}

const protocolTcp = 6;
const protocolUdp = 17;
const extensionHeaders: ReadonlySet<number> = new Set([0, 43, 60, 135]);

/** A TCP segment, or what the packet is instead. */
function segmentOf({ linkType, bytes, timeUs, cutBytes }: Packet): Segment | string {
  const link = linkHeaders[linkType];
  if (link === undefined) return `link type ${linkType}`;
  const ip = link(bytes);
  if (ip === null || ip.length < 20) return 'not IP';
  const version = (ip[0] ?? 0) >> 4;
  if (version === 4) return ipv4(ip, timeUs, cutBytes);
  return version === 6 && ip.length >= 40 ? ipv6(ip, timeUs, cutBytes) : 'not IP';
}

function ipv4(ip: Uint8Array, timeUs: number, cutBytes: number): Segment | string {
  if ((u16(ip, 6) & 0x3fff) !== 0) return 'IP fragment';
  const header = ((ip[0] ?? 0) & 15) * 4;
  // Zero where the network card cuts large packets itself.
  const total = u16(ip, 2) === 0 ? ip.length + cutBytes : u16(ip, 2);
  const address = (at: number): string => `${ip[at]}.${ip[at + 1]}.${ip[at + 2]}.${ip[at + 3]}`;
  return transport(ip[9] ?? 0, ip.subarray(header), total - header, [address(12), address(16)], timeUs);
}

function ipv6(ip: Uint8Array, timeUs: number, cutBytes: number): Segment | string {
  const address = (at: number): string =>
    `[${Array.from({ length: 8 }, (_, i) => u16(ip, at + 2 * i).toString(16)).join(':')}]`;
  const total = u16(ip, 4) === 0 ? ip.length - 40 + cutBytes : u16(ip, 4);
  let protocol = ip[6] ?? 0;
  let at = 40;
  while (extensionHeaders.has(protocol) && at + 8 <= ip.length) {
    protocol = ip[at] ?? 0;
    at += 8 + (ip[at + 1] ?? 0) * 8;
  }
  if (protocol === 44) return 'IP fragment';
  return transport(protocol, ip.subarray(at), total - (at - 40), [address(8), address(24)], timeUs);
}

function transport(
  protocol: number,
  payload: Uint8Array,
  length: number,
  [source, destination]: [string, string],
  timeUs: number,
): Segment | string {
  if (protocol === protocolUdp) return u16(payload, 0) === 3389 || u16(payload, 2) === 3389 ? 'RDP over UDP' : 'UDP';
  if (protocol !== protocolTcp || payload.length < 20) return 'not TCP';
  const header = ((payload[12] ?? 0) >> 4) * 4;
  const flags = payload[13] ?? 0;
  const dataBytes = Math.max(0, length - header);
  const data = payload.subarray(header, header + dataBytes);
  return {
    source: `${source}:${u16(payload, 0)}`,
    destination: `${destination}:${u16(payload, 2)}`,
    sequence: u32(payload, 4),
    syn: (flags & 2) !== 0,
    ack: (flags & 16) !== 0,
    fin: (flags & 1) !== 0,
    timeUs,
    data,
    cutBytes: dataBytes - data.length,
  };
}
