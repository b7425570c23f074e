/** Interleaved RLE, [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4: background runs (as above), colour runs and colour images. */
import { Writer } from '@lucid-sessions/wire';

const BACKGROUND_RUN = 0;
const COLOUR_RUN = 3;
const COLOUR_IMAGE = 4;
const RUN_MAX = 0xffff;

/** `pixels` are 0xRRGGBB, rows from the last to the first. */
export function interleaved(pixels: Uint32Array, width: number, bitsPerPixel: 15 | 16 | 24): Uint8Array {
  const writer = new Writer();
  const values =
    bitsPerPixel === 24 ? pixels : pixels.map((pixel) => (bitsPerPixel === 16 ? to565(pixel) : to555(pixel)));
  const pixel = (value: number): void => {
    writer.u16le(value & 0xffff);
    if (bitsPerPixel === 24) writer.u8(value >> 16);
  };
  let literalStart = 0;
  const literals = (end: number): void => {
    for (let at = literalStart; at < end; at += RUN_MAX) {
      const count = Math.min(RUN_MAX, end - at);
      order(writer, COLOUR_IMAGE, count);
      for (let i = at; i < at + count; i += 1) pixel(values[i]!);
    }
  };
  let wasBackground = false;
  for (let at = 0; at < values.length; ) {
    // No order runs over the end of the first row: what lies above is different there.
    const end = Math.min(at < width ? width : values.length, at + RUN_MAX);
    const background: number = wasBackground && literalStart === at ? 0 : backgroundRun(values, width, at, end);
    const colour = colourRun(values, at, end);
    if (background < 3 && colour < 3) {
      at += 1;
      // What comes behind an image is no second background run in a row.
      if (at === width) {
        literals(at);
        literalStart = at;
        wasBackground = false;
      }
      continue;
    }
    if (literalStart < at) wasBackground = false;
    literals(at);
    wasBackground = background >= colour;
    order(writer, wasBackground ? BACKGROUND_RUN : COLOUR_RUN, wasBackground ? background : colour);
    if (!wasBackground) pixel(values[at]!);
    at += wasBackground ? background : colour;
    literalStart = at;
  }
  literals(values.length);
  return writer.bytes();
}

function order(writer: Writer, code: number, length: number): void {
  if (length < 32) writer.u8((code << 5) | length);
  else if (length < 288) writer.u8(code << 5).u8(length - 32);
  else writer.u8(0xf0 | code).u16le(length);
}

function backgroundRun(values: Uint32Array, width: number, at: number, end: number): number {
  let count = 0;
  while (at + count < end && values[at + count] === (at + count < width ? 0 : values[at + count - width])) count += 1;
  return count;
}

function colourRun(values: Uint32Array, at: number, end: number): number {
  let count = 1;
  while (at + count < end && values[at + count] === values[at]) count += 1;
  return count;
}

const to565 = (pixel: number): number => ((pixel >> 8) & 0xf800) | ((pixel >> 5) & 0x07e0) | ((pixel >> 3) & 0x1f);
const to555 = (pixel: number): number => ((pixel >> 9) & 0x7c00) | ((pixel >> 6) & 0x03e0) | ((pixel >> 3) & 0x1f);
