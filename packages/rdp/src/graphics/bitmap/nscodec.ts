import { Reader } from '@lucid-sessions/wire';
import { createPixelBuffer, type PixelBuffer } from '../pixels.ts';
import { combineYCoCg } from './ycocg.ts';

export interface NsCodecOptions {
  /** Keep the alpha plane; otherwise the picture is opaque. */
  readonly alpha?: boolean;
  /** The last row comes first: surface commands and cached bitmaps, but not ClearCodec. */
  readonly bottomUp?: boolean;
}

/** NSCodec bitmap: [MS-RDPNSC] 2.2.2, 3.1.8. Throws `DecodeError`. */
export function decodeNsCodec(
  bytes: Uint8Array,
  width: number,
  height: number,
  options: NsCodecOptions = {},
): PixelBuffer {
  const reader = new Reader(bytes);
  const planeBytes = [reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le()] as const;
  const colorLossLevel = reader.u8();
  const subsampled = reader.u8() !== 0;
  reader.skip(2);
  if (colorLossLevel < 1 || colorLossLevel > 7) throw reader.error('invalid', 'the colour loss level is not 1 to 7');
  const picture = createPixelBuffer(width, height, 0);
  const lumaStride = subsampled ? (width + 7) & ~7 : width;
  const chromaStride = subsampled ? lumaStride >> 1 : width;
  const chromaBytes = chromaStride * (subsampled ? (height + 1) >> 1 : height);
  const luma = readPlane(reader, planeBytes[0], lumaStride * height);
  const orange = readPlane(reader, planeBytes[1], chromaBytes);
  const green = readPlane(reader, planeBytes[2], chromaBytes);
  const alpha = options.alpha && planeBytes[3] > 0 ? readPlane(reader, planeBytes[3], width * height) : null;
  const chromaShift = subsampled ? 1 : 0;
  const planes = { luma, lumaStride, orange, orangeSign: 1, green, chromaStride, chromaShift, colorLossLevel } as const;
  combineYCoCg(picture, { ...planes, alpha, bottomUp: options.bottomUp === true });
  return picture;
}

/** A plane as long as it is wide and high is raw, a shorter one NSCODEC_RLE_SEGMENTS (2.2.2.1). */
function readPlane(reader: Reader, planeBytes: number, rawBytes: number): Uint8Array {
  if (planeBytes > rawBytes) throw reader.error('invalid', 'a plane is longer than its pixels');
  const plane = reader.sub(planeBytes);
  return planeBytes === rawBytes ? plane.rest() : decodeSegments(plane, rawBytes);
}

/** A factor of 255: the length follows in four bytes. */
const longRun = 0xff + 2;
const shortRunBytes = 32;

/** Runs and literals, then the plane's last four bytes as they are. */
function decodeSegments(reader: Reader, rawBytes: number): Uint8Array {
  const { bytes, end } = reader;
  const output = new Uint8Array(rawBytes);
  const segmentsEnd = rawBytes - 4;
  if (segmentsEnd < 0) throw reader.error('invalid', 'a plane of less than four bytes is not compressed');
  let at = reader.offset;
  let to = 0;
  while (to < segmentsEnd) {
    if (at + 1 >= end) throw reader.error('truncated', 'a plane ends early');
    const value = bytes[at]!;
    // The last byte before the end data is a literal, whatever follows it.
    if (value !== bytes[at + 1] || to === segmentsEnd - 1) {
      output[to] = value;
      at += 1;
      to += 1;
      continue;
    }
    if (at + 2 >= end) throw reader.error('truncated', 'a plane ends early');
    let length = bytes[at + 2]! + 2;
    at += 3;
    if (length === longRun) {
      reader.offset = at;
      length = reader.u32le();
      at = reader.offset;
    }
    if (length > segmentsEnd - to) throw reader.error('invalid', 'a run leaves its plane');
    const runEnd = to + length;
    // Most runs are short: calling fill costs more than they do.
    if (length < shortRunBytes) for (; to < runEnd; to += 1) output[to] = value;
    else output.fill(value, to, runEnd);
    to = runEnd;
  }
  reader.offset = at;
  output.set(reader.slice(4), to);
  return output;
}
