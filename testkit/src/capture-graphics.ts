/**
 * Takes the graphics out of a real capture with a few lines of its own, so that decoder tests don't stand on the protocol
 * code they share a package with.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { createPixelBuffer, type PixelBuffer, type Rectangle } from '@lucid-sessions/graphics';
import { BulkDecompressor } from '@lucid-sessions/rdp/bulk';
import { PNG } from 'pngjs';

const captures = new URL('../captures/', import.meta.url);

/** What the server sent, in order. */
export type GraphicsEvent =
  /** One Set or Stream Surface Bits command, [MS-RDPBCGR] 2.2.9.2. */
  | {
      kind: 'surface-bits';
      codecId: number;
      left: number;
      top: number;
      data: Uint8Array;
      width: number;
      height: number;
    }
  /** One reassembled message of the graphics channel, still in its ZGFX segments. */
  | { kind: 'gfx'; data: Uint8Array };

interface CaptureRecord {
  flags: number;
  bytes: Uint8Array;
}

function records(name: string): CaptureRecord[] {
  const bytes = gunzipSync(readFileSync(new URL(`${name}.rdpcap.gz`, captures)));
  const found: CaptureRecord[] = [];
  let at = 12 + bytes.readUInt32LE(8);
  while (at < bytes.length) {
    const length = bytes.readUInt32LE(at + 5);
    found.push({ flags: bytes[at]!, bytes: bytes.subarray(at + 9, at + 9 + length) });
    at += 9 + length;
  }
  return found;
}

/** The server's PDUs: TPKT, fast-path, and the DER of CredSSP, which is skipped. */
function* serverPdus(name: string): Generator<Buffer> {
  const parts = records(name).filter((record) => (record.flags & 1) === 1);
  const bytes = Buffer.concat(parts.map((record) => record.bytes));
  let at = 0;
  let connected = false;
  while (at + 4 <= bytes.length) {
    let length: number;
    if (bytes[at] === 0x30 && !connected) {
      const wide = bytes[at + 1]! & 0x80 ? bytes[at + 1]! & 0x7f : 0;
      length = 2 + wide + (wide ? bytes.readUIntBE(at + 2, wide) : bytes[at + 1]!);
    } else if (bytes[at] === 3) {
      length = bytes.readUInt16BE(at + 2);
      connected ||= bytes[at + 5] === 0xf0;
      yield bytes.subarray(at, at + length);
    } else {
      length = bytes[at + 1]! & 0x80 ? bytes.readUInt16BE(at + 1) & 0x7fff : bytes[at + 1]!;
      yield bytes.subarray(at, at + length);
    }
    at += length;
  }
}

class Extractor {
  readonly events: GraphicsEvent[] = [];
  readonly #bulk = new BulkDecompressor();
  #fragments: Buffer[] = [];
  #channels = new Map<number, Buffer[]>();
  #gfxChannel = -1;
  #gfxParts: Buffer[] = [];
  #gfxMissing = 0;

  pdu(bytes: Buffer): void {
    if (bytes[0] === 3) this.#tpkt(bytes);
    else this.#fastPath(bytes);
  }

  #fastPath(bytes: Buffer): void {
    let at = bytes[1]! & 0x80 ? 3 : 2;
    while (at < bytes.length) {
      const header = bytes[at]!;
      const compressed = header >> 7 ? bytes[at + 1]! : 0;
      at += header >> 7 ? 2 : 1;
      const data = bytes.subarray(at + 2, at + 2 + bytes.readUInt16LE(at));
      at += 2 + data.length;
      const plain = Buffer.from(this.#bulk.decompress(data, compressed));
      if ((header & 0xf) !== 4) continue;
      const fragment = (header >> 4) & 3; // 0 single, 1 last, 2 first, 3 next
      if (fragment === 2 || fragment === 0) this.#fragments = [];
      this.#fragments.push(plain);
      if (fragment < 2) this.#surfaceCommands(Buffer.concat(this.#fragments));
    }
  }

  #surfaceCommands(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const command = bytes.readUInt16LE(at);
      if (command === 4) {
        at += 8;
        continue;
      }
      const length = bytes.readUInt32LE(at + 18);
      this.events.push({
        kind: 'surface-bits',
        left: bytes.readUInt16LE(at + 2),
        top: bytes.readUInt16LE(at + 4),
        codecId: bytes[at + 13]!,
        width: bytes.readUInt16LE(at + 14),
        height: bytes.readUInt16LE(at + 16),
        data: bytes.subarray(at + 22, at + 22 + length),
      });
      at += 22 + length;
    }
  }

  #tpkt(bytes: Buffer): void {
    if (bytes[5] !== 0xf0 || bytes[7] !== 0x68) return;
    const channel = bytes.readUInt16BE(10);
    if (channel === 1003) return;
    const wide = bytes[13]! & 0x80 ? 2 : 1;
    const data = bytes.subarray(13 + wide);
    if (data.length < 8) return;
    const flags = data.readUInt32LE(4);
    const parts = this.#channels.get(channel) ?? [];
    if (flags & 1) parts.length = 0;
    parts.push(data.subarray(8));
    this.#channels.set(channel, parts);
    if (flags & 2) this.#dynamic(Buffer.concat(parts));
  }

  #dynamic(bytes: Buffer): void {
    const header = bytes[0]!;
    const command = header >> 4;
    const wide = [1, 2, 4, 4][header & 3]!;
    if (command < 1 || command > 3 || bytes.length <= 1 + wide) return;
    const id = bytes.readUIntLE(1, wide);
    let at = 1 + wide;
    if (command === 1 && bytes.toString('latin1', at).startsWith('Microsoft::Windows::RDS::Graphics'))
      this.#gfxChannel = id;
    if (command === 1 || id !== this.#gfxChannel) return;
    if (command === 2) {
      const lengthWide = [1, 2, 4, 4][(header >> 2) & 3]!;
      this.#gfxMissing = bytes.readUIntLE(at, lengthWide);
      this.#gfxParts = [];
      at += lengthWide;
    } else if (this.#gfxMissing === 0) {
      this.#gfxMissing = bytes.length - at;
      this.#gfxParts = [];
    }
    const part = bytes.subarray(at);
    this.#gfxParts.push(part);
    this.#gfxMissing -= part.length;
    if (this.#gfxMissing === 0) this.events.push({ kind: 'gfx', data: Buffer.concat(this.#gfxParts) });
  }
}

/** All graphics a capture's server sent by surface commands and by the graphics channel. */
export function captureGraphics(name: string): GraphicsEvent[] {
  const extractor = new Extractor();
  for (const pdu of serverPdus(name)) extractor.pdu(pdu);
  return extractor.events;
}

/** The picture the real client showed at the end of a capture. */
export function capturePicture(name: string): PixelBuffer {
  const png = PNG.sync.read(readFileSync(new URL(`${name}.png`, captures)));
  const picture = createPixelBuffer(png.width, png.height);
  picture.data.set(png.data);
  return picture;
}

/**
 * Peak signal-to-noise ratio of two pictures' colours in dB over the area they share; ∞ where they are equal. Pixels for
 * which `skip` holds don't count.
 */
export function psnr(a: PixelBuffer, b: PixelBuffer, skip: readonly Rectangle[] = []): number {
  const width = Math.min(a.width, b.width);
  const height = Math.min(a.height, b.height);
  let sum = 0;
  let count = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (skip.some((r) => x >= r.left && x < r.left + r.width && y >= r.top && y < r.top + r.height)) continue;
      for (let c = 0; c < 3; c += 1) {
        const difference = a.data[(y * a.width + x) * 4 + c]! - b.data[(y * b.width + x) * 4 + c]!;
        sum += difference * difference;
      }
      count += 3;
    }
  }
  return sum === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10((255 * 255 * count) / sum);
}

/** Writes a picture for a person to look at (used while finding a fault, never by a test that passes). */
export function pictureBytes(picture: PixelBuffer): Uint8Array {
  const png = new PNG({ width: picture.width, height: picture.height });
  png.data.set(picture.data);
  return PNG.sync.write(png);
}
