import { Reader } from '@lucid-sessions/wire';
import { createPixelBuffer, type PixelBuffer } from '../pixels.ts';
import { type BitmapEngine, bitmapEngine } from './engine.ts';
import { type NsCodecOptions, readNsCodecLayout } from './nscodec-layout.ts';
import { handedOver } from './picture-options.ts';
import { combineYCoCg } from './ycocg.ts';

/** NSCodec bitmap: [MS-RDPNSC] 2.2.2, 3.1.8. Throws `DecodeError`. */
export function decodeNsCodec(
  bytes: Uint8Array,
  width: number,
  height: number,
  options: NsCodecOptions = {},
  engine: BitmapEngine | null = bitmapEngine(),
): PixelBuffer {
  const drawn = engine?.nsCodec(bytes, width, height, options);
  if (drawn) return handedOver(drawn, options);
  const reader = new Reader(bytes);
  const { planes, lumaStride, chromaStride, subsampled, colorLossLevel } = readNsCodecLayout(reader, width, height);
  const picture = createPixelBuffer(width, height, 0);
  const plane = (index: number): Uint8Array => readPlane(reader, planes[index]!.bytesCount, planes[index]!.rawBytes);
  const [luma, orange, green] = [plane(0), plane(1), plane(2)];
  const alpha = options.alpha && planes[3]!.bytesCount > 0 ? plane(3) : null;
  const chromaShift = subsampled ? 1 : 0;
  const samples = {
    luma,
    lumaStride,
    orange,
    orangeSign: 1,
    green,
    chromaStride,
    chromaShift,
    colorLossLevel,
  } as const;
  combineYCoCg(picture, { ...samples, alpha, bottomUp: options.bottomUp === true });
  return picture;
}

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
