/** One picture of a real desktop in each codec, as the messages a server sends for it. The same bytes go to FreeRDP's client and to our decoder. */
import { type GfxPdu, gfxCodecId, type PixelBuffer, type Rectangle } from '@lucid-sessions/graphics';
import {
  BitmapCodecGuid,
  type BitmapData,
  BitmapFlag,
  bitmapUpdate,
  type ColorDepth,
  UpdateType,
} from '@lucid-sessions/rdp';
import { interleavedEncode, nsCodecPlane, planeEncode } from '@lucid-sessions/testkit';
import {
  band,
  clearCodecMessage,
  coarseQuants,
  encodeRfx,
  pdu,
  progressiveMessage,
  rawPixels,
  rect,
  region,
  residual,
  subcodec,
  tileBands,
  tileSimple,
} from '@lucid-sessions/testkit/graphics-encoders';
import { encode, Writer } from '@lucid-sessions/wire';
import { bgrx, crop, desktop, flipped, nativePixels, plane, tilesOf } from './decoder-pictures.ts';

/** What a client has to be told before it takes a stream, and one frame of it. */
export interface DecoderStream {
  readonly name: string;
  readonly bitsPerPixel: ColorDepth;
  /** What xfreerdp needs to announce the codec. */
  readonly clientFlags: readonly string[];
  readonly frame: StreamFrame;
}

export type StreamFrame =
  /** Fast-path updates, whole: the connection cuts them into fragments. */
  | {
      readonly kind: 'updates';
      readonly updates: readonly { readonly isSurface: boolean; readonly data: Uint8Array }[];
    }
  /** Surface commands of a codec whose number the client chooses. */
  | { readonly kind: 'surface'; readonly guid: string; readonly pieces: readonly SurfacePiece[] }
  /** Commands of the graphics pipeline between Start Frame and End Frame. */
  | { readonly kind: 'gfx'; readonly commands: readonly GfxPdu[] };

export interface SurfacePiece extends Rectangle {
  readonly data: Uint8Array;
}

export const surfaceId = 1;
const xrgb = 0x20;
/** Rectangles of one bitmap update stay below what a fast-path PDU can say (15 bits). */
const updateBytesMax = 30_000;

/** Bitmap updates of 64 × 64 tiles. */
function bitmaps(
  picture: PixelBuffer,
  bitsPerPixel: ColorDepth,
  flags: number,
  code: (tile: PixelBuffer) => Uint8Array,
): StreamFrame {
  const updates: { isSurface: boolean; data: Uint8Array }[] = [];
  let rectangles: BitmapData[] = [];
  let bytes = 0;
  const flush = () => {
    const body = encode(bitmapUpdate, { rectangles });
    updates.push({ isSurface: false, data: new Writer().u16le(UpdateType.bitmap).slice(body).bytes() });
    rectangles = [];
    bytes = 0;
  };
  for (const tile of tilesOf(picture, 64, 64)) {
    const { left, top, width, height } = tile;
    const data = code(crop(picture, tile));
    if (bytes + data.length > updateBytesMax) flush();
    bytes += data.length + 18;
    const [destRight, destBottom] = [left + width - 1, top + height - 1];
    rectangles.push({ destLeft: left, destTop: top, destRight, destBottom, width, height, bitsPerPixel, flags, data });
  }
  flush();
  return { kind: 'updates', updates };
}

function nsCodec(picture: PixelBuffer): Uint8Array {
  // Y, Co, Cg of [MS-RDPNSC] 3.1.8.1 without colour loss (level 1), rows as they are sent.
  const [red, green, blue] = [0, 1, 2].map((channel) => plane(picture, channel));
  const values = (of: (r: number, g: number, b: number) => number) =>
    Uint8Array.from(red!, (r, at) => of(r, green![at]!, blue![at]!) & 0xff);
  const planes = [
    values((r, g, b) => (r >> 2) + (g >> 1) + (b >> 2)),
    values((r, _, b) => (r - b) >> 1),
    values((r, g, b) => (-(r >> 1) + g - (b >> 1)) >> 1),
  ].map(nsCodecPlane);
  const head = new Writer();
  for (const { length } of planes) head.u32le(length);
  // No alpha plane, colour loss level 1, no chroma subsampling.
  head.u32le(0).u8(1).u8(0).u16le(0);
  for (const bytes of planes) head.slice(bytes);
  return head.bytes();
}

const surface = (
  guid: string,
  picture: PixelBuffer,
  tiles: readonly Rectangle[],
  code: (tile: PixelBuffer) => Uint8Array,
): StreamFrame => ({
  kind: 'surface',
  guid,
  pieces: tiles.map((tile) => ({ ...tile, data: code(crop(picture, tile)) })),
});

function wireToSurface(codecId: number, { left, top, width, height }: Rectangle, bitmapData: Uint8Array): GfxPdu {
  const destRect = rect(left, top, left + width, top + height);
  return pdu('wireToSurface1', { surfaceId, codecId, pixelFormat: xrgb, destRect, bitmapData });
}

/** 768 tiles: sequence numbers of one byte go on from the last frame to the first. */
function clearCodec(picture: PixelBuffer): GfxPdu[] {
  return tilesOf(picture, 60, 45).map((tile, at) => {
    const message = clearCodecTile(crop(picture, tile), at & 0xff);
    return wireToSurface(gfxCodecId.clearCodec, tile, message);
  });
}

/** Text is bands of vertical bars over a background, flat areas are runs, and what has many colours is raw. */
function clearCodecTile({ width, height, data }: PixelBuffer, sequence: number): Uint8Array {
  const words = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const counts = new Map<number, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const [background, count] = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most));
  const runs = residual(words);
  if (count * 2 > words.length && counts.size > 1) {
    const vBars = Array.from({ length: width }, (_, x) => {
      const column = Array.from({ length: height }, (_, y) => words[y * width + x]!);
      const yOn = column.findIndex((word) => word !== background);
      const end = column.findLastIndex((word) => word !== background) + 1;
      return { kind: 'shortMiss' as const, yOn: Math.max(yOn, 0), words: yOn < 0 ? [] : column.slice(yOn, end) };
    });
    return clearCodecMessage({ sequence, bands: [band({ xStart: 0, yStart: 0, height, background, vBars })] });
  }
  if (runs.length < words.length * 3) return clearCodecMessage({ sequence, residual: runs });
  return clearCodecMessage({ sequence, subcodecs: [subcodec({ x: 0, y: 0, width, height }, 0, rawPixels(words))] });
}

function progressive(picture: PixelBuffer): GfxPdu {
  const quants = [...coarseQuants];
  const tiles = tilesOf(picture, 64, 64).map(({ left, top }) =>
    tileSimple(left / 64, top / 64, tileBands(picture, left / 64, top / 64, quants, true)),
  );
  const rectangles = [{ left: 0, top: 0, width: picture.width, height: picture.height }];
  const bitmapData = progressiveMessage([region({ rectangles, quants, reduceExtrapolate: true, tiles })], false);
  const codecId = gfxCodecId.caProgressive;
  return pdu('wireToSurface2', { surfaceId, codecId, codecContextId: 1, pixelFormat: xrgb, bitmapData });
}

/** Makes each stream when it is asked for: encoders written for clarity take seconds. */
export function* decoderStreams(): Generator<DecoderStream> {
  const picture = desktop();
  const { width, height } = picture;
  const whole = { left: 0, top: 0, width, height };
  const packed = BitmapFlag.compression | BitmapFlag.noCompressionHdr;
  const gfx = (name: string, commands: readonly GfxPdu[]): DecoderStream => ({
    name,
    bitsPerPixel: 32,
    clientFlags: ['/gfx'],
    frame: { kind: 'gfx', commands },
  });
  const fillRects = [rect(0, 0, width, height)];
  yield gfx('solid fill', [pdu('solidFill', { surfaceId, fillPixel: { b: 40, g: 80, r: 120, xa: 255 }, fillRects })]);
  const legacy = (name: string, bitsPerPixel: ColorDepth, frame: StreamFrame, ...flags: string[]): DecoderStream => ({
    name,
    bitsPerPixel,
    clientFlags: [`/bpp:${bitsPerPixel}`, ...flags],
    frame,
  });
  yield legacy(
    'raw 32 bpp',
    32,
    bitmaps(picture, 32, 0, (tile) => bgrx(flipped(tile))),
  );
  for (const depth of [16, 24] as const) {
    const code = (tile: PixelBuffer) => interleavedEncode(nativePixels(tile, depth), tile.width, depth === 16 ? 2 : 3);
    yield legacy(`interleaved ${depth} bpp`, depth, bitmaps(picture, depth, packed, code));
  }
  const planar = (tile: PixelBuffer) =>
    Uint8Array.from([0x30, ...[0, 1, 2].flatMap((channel) => planeEncode(plane(tile, channel), tile.width))]);
  yield legacy('planar', 32, bitmaps(picture, 32, packed, planar));
  const strips = tilesOf(picture, width, 64);
  yield legacy('NSCodec', 32, surface(BitmapCodecGuid.nsCodec, picture, strips, nsCodec), '/nsc');
  for (const mode of [1, 3] as const) {
    const code = (tile: PixelBuffer) => encodeRfx(tile, { mode, quants: coarseQuants });
    yield legacy(`RemoteFX RLGR${mode}`, 32, surface(BitmapCodecGuid.remoteFx, picture, [whole], code), '/rfx');
  }
  yield gfx('RemoteFX progressive', [progressive(picture)]);
  yield gfx('ClearCodec', clearCodec(picture));
  const raw = tilesOf(picture, 64, 64).map((tile) =>
    wireToSurface(gfxCodecId.uncompressed, tile, bgrx(crop(picture, tile))),
  );
  yield gfx('graphics pipeline, uncompressed', raw);
}
