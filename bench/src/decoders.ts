/**
 * `node bench/src/main.ts decoders [--seconds 1]`
 *
 * How fast one core (per second of processor time) decodes what sessions are recorded as: each bitmap codec on a real desktop of 1920 × 1080, the bulk
 * decompressors and RemoteFX on what real servers sent, and whole recorded sessions from first PDU to last.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { StreamInspector } from '@lucid-sessions/rdp';
import {
  BulkDecompressor,
  createPalette,
  createPixelBuffer,
  decodeBitmap,
  decodeNsCodec,
  decodePlanar,
  type PixelBuffer,
  RemoteFxDecoder,
  SessionDecoder,
} from '@lucid-sessions/rdp/graphics';
import { type CaptureRecord, interleavedEncode, nsCodecPlane, planeEncode, readCapture } from '@lucid-sessions/testkit';

const captures = fileURLToPath(new URL('../../testkit/captures/', import.meta.url));
const megabyte = 1_000_000;

function records(name: string): CaptureRecord[] {
  return readCapture(`${captures}${name}.rdpcap.gz`).records;
}

function print(row: Record<string, string | number>): void {
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

/** Processor time of this process, all threads: a shared machine's other work doesn't count. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Calls `work` for about `seconds`, after a warm-up, and returns its calls per second of processor time. */
function rate(seconds: number, work: () => void): number {
  const warmUntil = cpuSeconds() + seconds * 0.3;
  while (cpuSeconds() < warmUntil) work();
  const started = cpuSeconds();
  let calls = 0;
  let elapsed = 0;
  do {
    work();
    calls += 1;
    elapsed = cpuSeconds() - started;
  } while (elapsed < seconds);
  return calls / elapsed;
}

/** The last picture of a session at 1920 × 1080. */
function desktop(): PixelBuffer {
  const decoder = new SessionDecoder();
  for (const record of records('shadow-nsc-1080p')) decoder.push(record);
  return decoder.screen.pixels;
}

/** One channel of a picture as a plane, rows bottom-up. */
function plane(picture: PixelBuffer, channel: number): Uint8Array {
  const { width, height, data } = picture;
  const values = new Uint8Array(width * height);
  for (let row = 0; row < height; row += 1)
    for (let x = 0; x < width; x += 1) values[(height - 1 - row) * width + x] = data[(row * width + x) * 4 + channel]!;
  return values;
}

/** Native pixels in rows bottom-up. */
function nativePixels(picture: PixelBuffer, depth: 16 | 24): number[] {
  const [red, green, blue] = [0, 1, 2].map((channel) => plane(picture, channel));
  return Array.from(red!, (value, index) => {
    const [g, b] = [green![index]!, blue![index]!];
    return depth === 24 ? (value << 16) | (g << 8) | b : ((value >> 3) << 11) | ((g >> 2) << 5) | (b >> 3);
  });
}

function nsCodecStream(planes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(20 + planes.reduce((sum, { length }) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 20;
  planes.forEach((values, index) => {
    view.setUint32(index * 4, values.length, true);
    bytes.set(values, at);
    at += values.length;
  });
  view.setUint8(16, 1);
  return bytes;
}

function bitmaps(seconds: number): void {
  const picture = desktop();
  const { width, height } = picture;
  const palette = createPalette();
  const measure = (decoder: string, bytes: Uint8Array, decode: (bytes: Uint8Array) => PixelBuffer) => {
    const framesPerSecond = rate(seconds, () => decode(bytes));
    print({
      decoder,
      size: `${width}x${height}`,
      framesPerSecond: Math.round(framesPerSecond),
      pixelsMBPerSecond: Math.round((framesPerSecond * width * height * 4) / megabyte),
      streamMBPerSecond: Math.round((framesPerSecond * bytes.length) / megabyte),
      streamBytes: bytes.length,
    });
  };
  const bitmap = (depth: 16 | 24 | 32, compressed: boolean) => (bytes: Uint8Array) =>
    decodeBitmap({ bytes, width, height, depth, compressed }, palette);
  const colors = [0, 1, 2].map((channel) => plane(picture, channel));
  const planar = [0x30, ...colors.flatMap((values) => planeEncode(values, width))];
  measure('raw 32 bpp', new Uint8Array(picture.data.buffer), bitmap(32, false));
  measure('planar', Uint8Array.from(planar), (bytes) => decodePlanar(bytes, width, height, { bottomUp: true }));
  measure('interleaved 16 bpp', interleavedEncode(nativePixels(picture, 16), width, 2), bitmap(16, true));
  measure('interleaved 24 bpp', interleavedEncode(nativePixels(picture, 24), width, 3), bitmap(24, true));
  const nsCodec = nsCodecStream(colors.map(nsCodecPlane));
  measure('NSCodec', nsCodec, (bytes) => decodeNsCodec(bytes, width, height));
}

/** The server's compressed payloads of a session, in order. */
function compressedPayloads(name: string): { data: Uint8Array; flags: number }[] {
  const payloads: { data: Uint8Array; flags: number }[] = [];
  const bulk = new BulkDecompressor();
  const inspector = new StreamInspector({
    server: (data, flags) => {
      payloads.push({ data: data.slice(), flags });
      return bulk.decompress(data, flags);
    },
  });
  for (const { fromServer, bytes } of records(name)) inspector.push(fromServer ? 'server' : 'client', bytes);
  return payloads;
}

function bulk(seconds: number): void {
  for (const [decoder, name] of [
    ['MPPC 64K', 'xorg-default'],
    ['XCRUSH', 'shadow-bpp32'],
  ] as const) {
    const payloads = compressedPayloads(name);
    let outputBytes = 0;
    const perSecond = rate(seconds, () => {
      const decompressor = new BulkDecompressor();
      outputBytes = 0;
      for (const { data, flags } of payloads) outputBytes += decompressor.decompress(data, flags).length;
    });
    const outputMBPerSecond = Math.round((perSecond * outputBytes) / megabyte);
    print({ decoder, session: name, outputMBPerSecond, outputBytes });
  }
}

const remoteFxTileBlock = 0xcac3;
/** TS_SURFCMD_SET_SURF_BITS before its bitmap data, and TS_FRAME_MARKER: [MS-RDPBCGR] 2.2.9.2. */
const surfaceBitsHeaderBytes = 22;
const frameMarker = 0x0004;
const frameMarkerBytes = 8;

/** The RemoteFX messages of a session's surface commands. */
function remoteFxMessages(name: string): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const decompressor = new BulkDecompressor();
  const inspector = new StreamInspector({ server: (data, flags) => decompressor.decompress(data, flags) });
  for (const { fromServer, bytes } of records(name))
    for (const event of inspector.push(fromServer ? 'server' : 'client', bytes)) {
      if (event.kind !== 'fastPathUpdate' || event.updateCode !== 4 || !event.data) continue;
      const view = new DataView(event.data.buffer, event.data.byteOffset, event.data.byteLength);
      for (let at = 0; at < event.data.length; ) {
        if (view.getUint16(at, true) === frameMarker) {
          at += frameMarkerBytes;
          continue;
        }
        const length = view.getUint32(at + surfaceBitsHeaderBytes - 4, true);
        messages.push(event.data.slice(at + surfaceBitsHeaderBytes, at + surfaceBitsHeaderBytes + length));
        at += surfaceBitsHeaderBytes + length;
      }
    }
  return messages;
}

function tilesCount(message: Uint8Array): number {
  let count = 0;
  for (let at = 0; at + 1 < message.length; at += 1)
    if ((message[at]! | (message[at + 1]! << 8)) === remoteFxTileBlock) count += 1;
  return count;
}

function remoteFx(seconds: number): void {
  const messages = remoteFxMessages('shadow-rfx');
  const tiles = messages.reduce((sum, message) => sum + tilesCount(message), 0);
  const target = createPixelBuffer(1024, 768);
  const decoder = new RemoteFxDecoder();
  const perSecond = rate(seconds, () => {
    for (const message of messages) decoder.decode(message, target, 0, 0);
  });
  const tilesPerSecond = Math.round(perSecond * tiles);
  const framesPerSecond = Math.round(tilesPerSecond / (Math.ceil(1920 / 64) * Math.ceil(1080 / 64)));
  print({ decoder: 'RemoteFX', session: 'shadow-rfx', tilesPerSecond, framesPerSecond, size: '1920x1080' });
}

/** H.264 is an outside decoder's work: sessions with it are replayed without their pictures. */
function sessions(seconds: number): void {
  const names = readdirSync(captures)
    .filter((file) => file.endsWith('.rdpcap.gz'))
    .map((file) => file.slice(0, -'.rdpcap.gz'.length));
  for (const session of names) {
    const all = records(session);
    const bytes = all.reduce((sum, record) => sum + record.bytes.length, 0);
    const seenMs = all.at(-1)?.timeMs ?? 0;
    const perSecond = rate(seconds / 2, () => {
      const decoder = new SessionDecoder();
      for (const record of all) decoder.push(record);
      decoder.close();
    });
    const replayMs = Number((1000 / perSecond).toFixed(1));
    print({
      session,
      replayMs,
      timesRealTime: Math.round(seenMs / replayMs),
      MBPerSecond: Math.round((perSecond * bytes) / megabyte),
    });
  }
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { seconds: { type: 'string', default: '1' } } });
  const seconds = Number(values.seconds);
  bitmaps(seconds);
  bulk(seconds);
  remoteFx(seconds);
  sessions(seconds);
}
