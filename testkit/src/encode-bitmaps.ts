/** Bitmap compressors for tests and benchmarks, written from the specifications' encoding sections. */

/** Interleaved RLE, [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4, from native pixels in rows bottom-up: colour and background runs, images. */
export function interleavedEncode(pixels: readonly number[], width: number, pixelBytes: 1 | 2 | 3): Uint8Array {
  const bytes: number[] = [];
  const pixel = (value: number) => {
    for (let byte = 0; byte < pixelBytes; byte += 1) bytes.push((value >> (byte * 8)) & 0xff);
  };
  const header = (code: number, length: number) => {
    if (length < 32) bytes.push((code << 5) | length);
    else if (length < 288) bytes.push(code << 5, length - 32);
    else bytes.push(0xf0 | code, length & 0xff, length >> 8);
  };
  let lastWasBackground = false;
  for (let at = 0; at < pixels.length; ) {
    // No order runs over the end of the first row: what lies above is different there.
    const end = at < width ? width : pixels.length;
    const above = (index: number) => (index < width ? 0 : pixels[index - width]!);
    let background = 0;
    while (at + background < end && background < 65535 && pixels[at + background] === above(at + background))
      background += 1;
    let run = 1;
    while (at + run < end && run < 65535 && pixels[at + run] === pixels[at]) run += 1;
    if (background > 1 && !lastWasBackground) {
      header(0, background);
      at += background;
      lastWasBackground = true;
      continue;
    }
    lastWasBackground = false;
    if (run > 2) {
      header(3, run);
      pixel(pixels[at]!);
      at += run;
    } else {
      header(4, 1);
      pixel(pixels[at]!);
      at += 1;
    }
  }
  return Uint8Array.from(bytes);
}

/** One plane of RDP6_RLE_SEGMENTS, [MS-RDPEGDI] 3.1.9.2. */
export function planeEncode(plane: Uint8Array, width: number): number[] {
  const bytes: number[] = [];
  for (let row = 0; row * width < plane.length; row += 1) {
    const values = Array.from({ length: width }, (_, x) => {
      const value = plane[row * width + x]!;
      if (row === 0) return value;
      const delta = ((value - plane[(row - 1) * width + x]!) << 24) >> 24;
      return (delta < 0 ? -delta * 2 - 1 : delta * 2) & 0xff;
    });
    segments(values, bytes);
  }
  return bytes;
}

function segments(values: readonly number[], bytes: number[]): void {
  let raw: number[] = [];
  let last = 0;
  for (let at = 0; at < values.length; ) {
    let run = 0;
    while (at + run < values.length && values[at + run] === last && run < 47) run += 1;
    if (run >= 3) {
      const short = raw.length > 0 ? Math.min(run, 15) : run;
      if (short < 16) bytes.push((raw.length << 4) | short, ...raw);
      else bytes.push(short < 32 ? ((short - 16) << 4) | 1 : ((short - 32) << 4) | 2);
      raw = [];
      at += short;
    } else {
      last = values[at]!;
      raw.push(last);
      at += 1;
      if (raw.length === 15) bytes.push(0xf0, ...raw.splice(0));
    }
  }
  if (raw.length > 0) bytes.push(raw.length << 4, ...raw);
}

/** A plane as NSCODEC_RLE_SEGMENTS where that is shorter, [MS-RDPNSC] 2.2.2.1. */
export function nsCodecPlane(plane: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  const end = plane.length - 4;
  for (let at = 0; at < end; ) {
    let run = 1;
    while (at + run < end && plane[at + run] === plane[at]) run += 1;
    const value = plane[at]!;
    if (run === 1) bytes.push(value);
    else if (run < 257) bytes.push(value, value, run - 2);
    else bytes.push(value, value, 0xff, run & 0xff, (run >> 8) & 0xff, (run >> 16) & 0xff, run >>> 24);
    at += run;
  }
  bytes.push(...plane.slice(Math.max(0, end)));
  return bytes.length < plane.length && end >= 0 ? Uint8Array.from(bytes) : plane;
}
