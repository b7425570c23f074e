/** Pieces of ClearCodec streams, written from [MS-RDPEGFX] 2.2.4.1. Pixels are opaque words (0xffBBGGRR). */
import { joinBytes, Writer } from '@lucid-sessions/wire';

export const glyphIndexFlag = 1;
export const glyphHitFlag = 2;
export const cacheResetFlag = 4;

function pixel(writer: Writer, word: number): Writer {
  return writer
    .u8((word >>> 16) & 0xff)
    .u8((word >>> 8) & 0xff)
    .u8(word & 0xff);
}

function runLength(writer: Writer, length: number): Writer {
  if (length < 0xff) return writer.u8(length);
  if (length < 0xffff) return writer.u8(0xff).u16le(length);
  return writer.u8(0xff).u16le(0xffff).u32le(length);
}

export function residual(words: ArrayLike<number>): Uint8Array {
  const writer = new Writer();
  for (let at = 0; at < words.length; ) {
    let length = 1;
    while (at + length < words.length && words[at + length] === words[at]) length += 1;
    runLength(pixel(writer, words[at]!), length);
    at += length;
  }
  return writer.bytes();
}

export type VBar =
  | { kind: 'hit'; index: number }
  | { kind: 'shortHit'; index: number; yOn: number }
  | { kind: 'shortMiss'; yOn: number; words: readonly number[] };

export interface Band {
  readonly xStart: number;
  readonly yStart: number;
  readonly height: number;
  readonly background: number;
  readonly vBars: readonly VBar[];
}

export function band({ xStart, yStart, height, background, vBars }: Band): Uint8Array {
  const writer = new Writer()
    .u16le(xStart)
    .u16le(xStart + vBars.length - 1)
    .u16le(yStart)
    .u16le(yStart + height - 1);
  pixel(writer, background);
  for (const vBar of vBars) {
    if (vBar.kind === 'hit') writer.u16le(0x8000 | vBar.index);
    else if (vBar.kind === 'shortHit') writer.u16le(0x4000 | vBar.index).u8(vBar.yOn);
    else {
      writer.u16le(vBar.yOn | ((vBar.yOn + vBar.words.length) << 8));
      for (const word of vBar.words) pixel(writer, word);
    }
  }
  return writer.bytes();
}

export interface Part {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function subcodec({ x, y, width, height }: Part, id: number, data: Uint8Array): Uint8Array {
  const writer = new Writer().u16le(x).u16le(y).u16le(width).u16le(height);
  return writer.u32le(data.length).u8(id).slice(data).bytes();
}

export function rawPixels(words: Iterable<number>): Uint8Array {
  const writer = new Writer();
  for (const word of words) pixel(writer, word);
  return writer.bytes();
}

export function rlex(
  palette: readonly number[],
  runs: readonly { start: number; run: number; stop: number }[],
): Uint8Array {
  const writer = new Writer().u8(palette.length);
  for (const word of palette) pixel(writer, word);
  let stopBits = 1;
  while (1 << stopBits < palette.length) stopBits += 1;
  for (const { start, run, stop } of runs) runLength(writer.u8(stop | ((stop - start) << stopBits)), run);
  return writer.bytes();
}

export interface ClearCodecMessage {
  readonly flags?: number;
  readonly sequence: number;
  readonly glyphIndex?: number;
  readonly residual?: Uint8Array;
  readonly bands?: readonly Uint8Array[];
  readonly subcodecs?: readonly Uint8Array[];
}

export function clearCodecMessage(message: ClearCodecMessage): Uint8Array {
  const writer = new Writer().u8(message.flags ?? 0).u8(message.sequence);
  if (message.glyphIndex !== undefined) writer.u16le(message.glyphIndex);
  if ((message.flags ?? 0) & glyphHitFlag) return writer.bytes();
  const { residual = new Uint8Array(0), bands = [], subcodecs = [] } = message;
  const parts = [residual, joinBytes(bands), joinBytes(subcodecs)];
  for (const part of parts) writer.u32le(part.length);
  for (const part of parts) writer.slice(part);
  return writer.bytes();
}
