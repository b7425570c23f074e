import { DecodeError } from '@lucid-sessions/wire';
import { createPixelBuffer, opaqueBlack, type PixelBuffer } from '../pixels.ts';
import { type BitmapEngine, bitmapEngine } from './engine.ts';
import { handedOver } from './picture-options.ts';
import { type PlanarHeader, type PlanarOptions, planarHeader } from './planar-header.ts';
import { combineYCoCg } from './ycocg.ts';

/** RDP 6.0 planar bitmap: [MS-RDPEGDI] 2.2.2.5, 3.1.9. Throws `DecodeError`. */
export function decodePlanar(
  bytes: Uint8Array,
  width: number,
  height: number,
  options: PlanarOptions,
  engine: BitmapEngine | null = bitmapEngine(),
): PixelBuffer {
  const drawn = engine?.planar(bytes, width, height, options);
  if (drawn) return handedOver(drawn, options);
  const source: PlaneSource = { bytes, at: 1, end: bytes.length };
  if (bytes.length === 0) throw planeTruncated(source);
  const header = planarHeader(bytes[0]!);
  const decode = header.runLengthEncoded ? decodeRunLength : decodePlain;
  const picture = createPixelBuffer(width, height);
  if (header.colorLossLevel > 0) decodeChroma(source, header, decode, picture, options);
  else decodeColors(source, header, decode, picture, options);
  return picture;
}

interface PlaneSource {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
}

/** Where a plane's values go: one byte every `step`, rows `stride` apart (negative: upwards). */
interface PlaneTarget {
  readonly bytes: Uint8Array;
  readonly first: number;
  readonly step: number;
  readonly stride: number;
  readonly width: number;
  readonly height: number;
}

type PlaneDecoder = (source: PlaneSource, target: PlaneTarget) => void;

/** Alpha, red, green, blue; each goes into the picture at once. */
function decodeColors(
  source: PlaneSource,
  header: PlanarHeader,
  decode: PlaneDecoder,
  picture: PixelBuffer,
  options: PlanarOptions,
): void {
  if (header.subsampled) throw new DecodeError('invalid', 'chroma subsampling without a chroma plane', 0);
  const { width, height } = picture;
  const bytes = new Uint8Array(picture.data.buffer);
  const stride = options.bottomUp ? -width * 4 : width * 4;
  const top = options.bottomUp ? (height - 1) * width * 4 : 0;
  const plane = (channel: number) => decode(source, { bytes, first: top + channel, step: 4, stride, width, height });
  if (header.hasAlpha) plane(3);
  plane(0);
  plane(1);
  plane(2);
  if (header.hasAlpha && !options.alpha) {
    const words = picture.words;
    for (let index = 0; index < words.length; index += 1) words[index] = words[index]! | opaqueBlack;
  }
}

/** Alpha, luma, orange and green chroma, the latter two at half size where subsampled. */
function decodeChroma(
  source: PlaneSource,
  header: PlanarHeader,
  decode: PlaneDecoder,
  picture: PixelBuffer,
  options: PlanarOptions,
): void {
  const { width, height } = picture;
  const { subsampled } = header;
  const chromaWidth = subsampled ? (width + 1) >> 1 : width;
  const chromaHeight = subsampled ? (height + 1) >> 1 : height;
  const plane = (planeWidth: number, planeHeight: number) => {
    const bytes = new Uint8Array(planeWidth * planeHeight);
    decode(source, { bytes, first: 0, step: 1, stride: planeWidth, width: planeWidth, height: planeHeight });
    return bytes;
  };
  const alpha = header.hasAlpha ? plane(width, height) : null;
  const luma = plane(width, height);
  const orange = plane(chromaWidth, chromaHeight);
  const green = plane(chromaWidth, chromaHeight);
  combineYCoCg(picture, {
    luma,
    lumaStride: width,
    // 3.1.9.1.2: servers exchange red and blue when they reduce colours, so orange chroma counts the other way.
    orange,
    orangeSign: -1,
    green,
    chromaStride: chromaWidth,
    chromaShift: subsampled ? 1 : 0,
    colorLossLevel: header.colorLossLevel,
    alpha: options.alpha ? alpha : null,
    bottomUp: options.bottomUp,
  });
}

function planeTruncated(source: PlaneSource): DecodeError {
  return new DecodeError('truncated', 'a colour plane ends early', source.at);
}

function decodePlain(source: PlaneSource, target: PlaneTarget): void {
  const { bytes, at } = source;
  if (target.width * target.height > source.end - at) throw planeTruncated(source);
  let from = at;
  for (let row = 0; row < target.height; row += 1) {
    let to = target.first + row * target.stride;
    for (let x = 0; x < target.width; x += 1, to += target.step, from += 1) target.bytes[to] = bytes[from]!;
  }
  source.at = from;
}

/** RDP6_RLE_SEGMENTS (2.2.2.5.1.1): the first row absolute, the others as differences to the row before. */
function decodeRunLength(source: PlaneSource, target: PlaneTarget): void {
  for (let row = 0; row < target.height; row += 1) decodeRunLengthRow(source, target, row);
}

function decodeRunLengthRow(source: PlaneSource, target: PlaneTarget, row: number): void {
  const { bytes, end } = source;
  const { bytes: output, step, stride } = target;
  let at = source.at;
  let to = target.first + row * stride;
  const rowEnd = to + target.width * step;
  let value = 0;
  while (to < rowEnd) {
    if (at >= end) throw planeTruncated(source);
    const control = bytes[at]!;
    at += 1;
    let rawCount = control >> 4;
    let runCount = control & 0x0f;
    if (runCount === 1 || runCount === 2) {
      runCount = runCount * 16 + rawCount;
      rawCount = 0;
    }
    if (rawCount > end - at) throw planeTruncated(source);
    if ((rawCount + runCount) * step > rowEnd - to)
      throw new DecodeError('invalid', 'a segment leaves the row it is in', at);
    for (const rawEnd = at + rawCount; at < rawEnd; at += 1, to += step) {
      value = bytes[at]!;
      if (row > 0) value = value & 1 ? 255 - (value >> 1) : value >> 1;
      output[to] = row > 0 ? output[to - stride]! + value : value;
    }
    const runEnd = to + runCount * step;
    if (row > 0) for (; to < runEnd; to += step) output[to] = output[to - stride]! + value;
    else for (; to < runEnd; to += step) output[to] = value;
  }
  source.at = at;
}
