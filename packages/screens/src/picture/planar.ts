/** RDP6_BITMAP_STREAM, [MS-RDPEGDI] 2.2.2.5.1: red, green and blue plane, run-length encoded, no alpha. */
const FORMAT = 0x30;
/** Pixels one control byte stands for: runs without and with raw values before them, and raw ones. */
const RUN_MIN = 3;
const RUN_MAX = 47;
const RAW_MAX = 15;

/** `pixels` are 0xRRGGBB, rows as the receiver has them: in bitmap updates from the last to the first. */
export function planar(pixels: Uint32Array, width: number): Uint8Array {
  const bytes = [FORMAT];
  for (const shift of [16, 8, 0]) plane(bytes, pixels, shift, width);
  return Uint8Array.from(bytes);
}

function plane(bytes: number[], pixels: Uint32Array, shift: number, width: number): void {
  const values = new Uint8Array(width);
  for (let row = 0; row < pixels.length; row += width) {
    for (let x = 0; x < width; x += 1) {
      const value = (pixels[row + x]! >> shift) & 255;
      values[x] = row === 0 ? value : delta(value, (pixels[row + x - width]! >> shift) & 255);
    }
    segments(bytes, values);
  }
}

/** Difference to the pixel above, its sign in the lowest bit. */
function delta(value: number, above: number): number {
  const difference = ((value - above) << 24) >> 24;
  return (difference < 0 ? -difference * 2 - 1 : difference * 2) & 255;
}

/** RDP6_RLE_SEGMENTS: raw values, then a run of the last of them, or of the value before them where there are none. */
function segments(bytes: number[], values: Uint8Array): void {
  const raw: number[] = [];
  let last = 0;
  for (let at = 0; at < values.length; ) {
    const run = runAt(values, at, last);
    if (run >= RUN_MIN) {
      at += raw.length > 0 ? Math.min(run, RAW_MAX) : run;
      runs(bytes, raw.splice(0), run);
      continue;
    }
    last = values[at]!;
    raw.push(last);
    at += 1;
    if (raw.length === RAW_MAX) runs(bytes, raw.splice(0), 0);
  }
  if (raw.length > 0) runs(bytes, raw, 0);
}

function runAt(values: Uint8Array, at: number, value: number): number {
  let run = 0;
  while (at + run < values.length && values[at + run] === value && run < RUN_MAX) run += 1;
  return run;
}

/** Run lengths of 1 and 2 in the control byte stand for runs of 16 to 47 without raw values. */
function runs(bytes: number[], raw: readonly number[], run: number): void {
  if (raw.length > 0 || run < 16) bytes.push((raw.length << 4) | Math.min(run, RAW_MAX), ...raw);
  else if (run < 32) bytes.push(((run - 16) << 4) | 1);
  else bytes.push(((run - 32) << 4) | 2);
}
