import type { Reader } from '@lucid-sessions/wire';
import type { Rectangle } from '../pixels.ts';
import type { Point } from './shapes.ts';

/** Control flags of a primary drawing order: [MS-RDPEGDI] 2.2.2.2.1.1.2. */
export const controlStandard = 0x01;
export const controlSecondary = 0x02;
export const controlBounds = 0x04;
export const controlTypeChange = 0x08;
export const controlDeltaCoordinates = 0x10;
export const controlZeroBoundsDeltas = 0x20;

/** Right and bottom are inclusive. */
export interface OrderBounds {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Signed value of the low `bits` of `value`. */
export function signed(value: number, bits: 8 | 16): number {
  return (value << (32 - bits)) >> (32 - bits);
}

/** The bounds field (2.2.2.2.1.1.2): per side two bytes, or one byte to add, or nothing. */
export function readBounds(reader: Reader, previous: OrderBounds): OrderBounds {
  const flags = reader.u8();
  const side = (value: number, index: number) => {
    if (flags & (0x10 << index)) return signed(value + signed(reader.u8(), 8), 16);
    return flags & (0x01 << index) ? reader.i16le() : value;
  };
  const left = side(previous.left, 0);
  const top = side(previous.top, 1);
  const right = side(previous.right, 2);
  return { left, top, right, bottom: side(previous.bottom, 3) };
}

/** Field flags, little-endian; `zeroBytes` of them at the end are not sent. */
export function readFieldFlags(reader: Reader, bytesCount: number, zeroBytes: number): number {
  let flags = 0;
  for (let index = 0; index < bytesCount - zeroBytes; index += 1) flags |= reader.u8() << (index * 8);
  return flags;
}

/** A delta of one or two bytes (2.2.2.2.1.1.1.4): 7 or 15 bits, signed. */
export function readDelta(reader: Reader): number {
  const first = reader.u8();
  if (!(first & 0x80)) return (first << 25) >> 25;
  return (((first << 8) | reader.u8()) << 17) >> 17;
}

/** TWO_BYTE_UNSIGNED_ENCODING: 2.2.2.2.1.2.1.2. */
export function readTwoByteUnsigned(reader: Reader): number {
  const first = reader.u8();
  return first & 0x80 ? ((first & 0x7f) << 8) | reader.u8() : first;
}

/** TWO_BYTE_SIGNED_ENCODING: 2.2.2.2.1.2.1.3, sign and magnitude. */
export function readTwoByteSigned(reader: Reader): number {
  const first = reader.u8();
  const magnitude = first & 0x80 ? ((first & 0x3f) << 8) | reader.u8() : first & 0x3f;
  return first & 0x40 ? -magnitude : magnitude;
}

/** FOUR_BYTE_UNSIGNED_ENCODING: 2.2.2.2.1.2.1.4. */
export function readFourByteUnsigned(reader: Reader): number {
  const first = reader.u8();
  let value = first & 0x3f;
  for (let more = first >> 6; more > 0; more -= 1) value = value * 256 + reader.u8();
  return value;
}

/** DELTA_PTS_FIELD (2.2.2.2.1.1.1.4): `count` points after `start`. */
export function readDeltaPoints(reader: Reader, start: Point, count: number): Point[] {
  const zeroBits = reader.slice((count + 3) >> 2);
  const points: Point[] = [];
  let { x, y } = start;
  for (let index = 0; index < count; index += 1) {
    const zero = zeroBits[index >> 2]! << ((index & 3) * 2);
    if (!(zero & 0x80)) x += readDelta(reader);
    if (!(zero & 0x40)) y += readDelta(reader);
    points.push({ x, y });
  }
  return points;
}

/** DELTA_RECTS_FIELD (2.2.2.2.1.1.1.5): left and top as differences, width and height as they are or as before. */
export function readDeltaRectangles(reader: Reader, count: number): Rectangle[] {
  const zeroBits = reader.slice((count + 1) >> 1);
  const rectangles: Rectangle[] = [];
  let left = 0;
  let top = 0;
  let width = 0;
  let height = 0;
  for (let index = 0; index < count; index += 1) {
    const zero = zeroBits[index >> 1]! << ((index & 1) * 4);
    if (!(zero & 0x80)) left += readDelta(reader);
    if (!(zero & 0x40)) top += readDelta(reader);
    if (!(zero & 0x20)) width = readDelta(reader);
    if (!(zero & 0x10)) height = readDelta(reader);
    rectangles.push({ left, top, width, height });
  }
  return rectangles;
}
