/** Packet captures as Wireshark, tcpdump and Windows' pktmon write them: pcapng (draft-ietf-opsawg-pcapng) and classic pcap. */

/** Said to a person: the file is not what it should be. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
}

export interface Packet {
  /** µs since 1970. */
  timeUs: number;
  linkType: number;
  bytes: Uint8Array;
  /** Bytes of it that the capturing program cut off. */
  cutBytes: number;
}

export interface PacketFile {
  packets: Packet[];
  /** TLS key log lines kept inside the file (pcapng, Decryption Secrets Block). */
  keyLog: string;
}

const blockBytesMax = 64 * 1024 * 1024;
const sectionHeader = 0x0a0d0d0a;
const byteOrderMagic = 0x1a2b3c4d;
const secretsOfTls = 0x544c534b;
const blockType = { interface: 1, simplePacket: 3, enhancedPacket: 6, secrets: 10 } as const;
const optionTimeResolution = 9;
const optionTimeOffset = 14;

interface Interface {
  linkType: number;
  snapBytes: number;
  /** Units of a timestamp in a second. */
  perSecond: number;
  offsetS: number;
}

/** Reads a whole capture. What the file ends in the middle of is left out. Throws `CaptureError`. */
export function readPacketFile(bytes: Uint8Array): PacketFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24) throw new CaptureError('the file is too short for a packet capture');
  const magic = view.getUint32(0);
  if (magic === sectionHeader) return readPcapng(bytes, view);
  for (const [wanted, perSecond] of [
    [0xa1b2c3d4, 1e6],
    [0xa1b23c4d, 1e9],
  ] as const) {
    if (magic === wanted) return readPcap(bytes, view, false, perSecond);
    if (view.getUint32(0, true) === wanted) return readPcap(bytes, view, true, perSecond);
  }
  if (magic === 0x13f28e9d || bytes[0] === 0x04)
    throw new CaptureError('this is not a pcapng or pcap file; on Windows convert with: pktmon etl2pcap FILE.etl');
  throw new CaptureError('this is not a pcapng or pcap file');
}

function readPcap(bytes: Uint8Array, view: DataView, little: boolean, perSecond: number): PacketFile {
  const linkType = view.getUint32(20, little) & 0xffff;
  const packets: Packet[] = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at + 8, little);
    if (length > blockBytesMax) throw new CaptureError(`the packet at byte ${at} says it has ${length} bytes`);
    const end = at + 16 + length;
    if (end > bytes.length) break;
    const timeUs = view.getUint32(at, little) * 1e6 + (view.getUint32(at + 4, little) * 1e6) / perSecond;
    const cutBytes = Math.max(0, view.getUint32(at + 12, little) - length);
    packets.push({ timeUs, linkType, bytes: bytes.subarray(at + 16, end), cutBytes });
    at = end;
  }
  return { packets, keyLog: '' };
}

function readPcapng(bytes: Uint8Array, view: DataView): PacketFile {
  const file: PacketFile = { packets: [], keyLog: '' };
  let interfaces: Interface[] = [];
  let little = true;
  for (let at = 0; at + 12 <= bytes.length; ) {
    if (view.getUint32(at) === sectionHeader) {
      little = view.getUint32(at + 8, true) === byteOrderMagic;
      if (!little && view.getUint32(at + 8) !== byteOrderMagic)
        throw new CaptureError(`the section at byte ${at} has no byte order`);
      interfaces = [];
    }
    const type = view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0 || length > blockBytesMax)
      throw new CaptureError(`the block at byte ${at} says it has ${length} bytes`);
    if (at + length > bytes.length) break;
    readBlock(new Block(bytes.subarray(at + 8, at + length - 4), little), type, interfaces, file);
    at += length;
  }
  return file;
}

class Block {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(bytes: Uint8Array, little: boolean) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = little;
  }

  u16 = (at: number): number => (at + 2 <= this.bytes.length ? this.#view.getUint16(at, this.#little) : 0);
  u32 = (at: number): number => (at + 4 <= this.bytes.length ? this.#view.getUint32(at, this.#little) : 0);
  i64 = (at: number): number => (at + 8 <= this.bytes.length ? Number(this.#view.getBigInt64(at, this.#little)) : 0);
}

function readBlock(block: Block, type: number, interfaces: Interface[], file: PacketFile): void {
  switch (type) {
    case blockType.interface:
      interfaces.push(interfaceOf(block));
      return;
    case blockType.secrets:
      if (block.u32(0) === secretsOfTls)
        file.keyLog += `${new TextDecoder().decode(block.bytes.subarray(8, 8 + block.u32(4)))}\n`;
      return;
    case blockType.enhancedPacket: {
      const { linkType, perSecond, offsetS } = interfaces[block.u32(0)] ?? noInterface(block.u32(0));
      const ticks = block.u32(4) * 2 ** 32 + block.u32(8);
      const kept = block.u32(12);
      if (20 + kept > block.bytes.length) throw new CaptureError('a packet is longer than the block it stands in');
      const cutBytes = Math.max(0, block.u32(16) - kept);
      const timeUs = offsetS * 1e6 + (ticks / perSecond) * 1e6;
      file.packets.push({ timeUs, linkType, bytes: block.bytes.subarray(20, 20 + kept), cutBytes });
      return;
    }
    case blockType.simplePacket: {
      const { linkType, snapBytes } = interfaces[0] ?? noInterface(0);
      const length = block.u32(0);
      const kept = Math.min(length, snapBytes === 0 ? length : snapBytes, block.bytes.length - 4);
      const timeUs = file.packets.at(-1)?.timeUs ?? 0;
      file.packets.push({ timeUs, linkType, bytes: block.bytes.subarray(4, 4 + kept), cutBytes: length - kept });
    }
  }
}

function noInterface(number: number): never {
  throw new CaptureError(`a packet names interface ${number}, which the file does not describe`);
}

function interfaceOf(block: Block): Interface {
  const found: Interface = { linkType: block.u16(0), snapBytes: block.u32(4), perSecond: 1e6, offsetS: 0 };
  for (let at = 8; at + 4 <= block.bytes.length; ) {
    const code = block.u16(at);
    const length = block.u16(at + 2);
    if (code === 0) break;
    if (code === optionTimeResolution && length === 1) {
      const resolution = block.bytes[at + 4] ?? 6;
      found.perSecond = (resolution & 0x80) === 0 ? 10 ** resolution : 2 ** (resolution & 0x7f);
    }
    if (code === optionTimeOffset && length === 8) found.offsetS = block.i64(at + 4);
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  return found;
}
