/**
 * Where the ten sub-bands of a 64 × 64 tile component lie among its 4096 coefficients, and their quantization:
 * [MS-RDPRFX] 2.2.2.1.5, 3.1.8.1.5 and 3.1.8.2.2, [MS-RDPEGFX] 3.2.8.1.2.
 */

/** Positions in a `SubBandQuants`, which are also the order of the bands among the coefficients. */
export const subBands = ['HL1', 'LH1', 'HH1', 'HL2', 'LH2', 'HH2', 'HL3', 'LH3', 'HH3', 'LL3'] as const;
export const subBandsCount = 10;
export const ll3 = 9;

/** Ten values in the order of `subBands`. */
export type SubBandQuants = Uint8Array<ArrayBuffer>;

/** First coefficient of each band, and 4096 at the end. */
export interface SubBandLayout {
  readonly starts: readonly number[];
  readonly ll3Start: number;
}

function layout(lengths: readonly number[]): SubBandLayout {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return { starts, ll3Start: starts[ll3]! };
}

/** The method of [MS-RDPRFX] 3.1.8.1.4: bands of 32 × 32, 16 × 16 and 8 × 8. */
export const originalLayout = layout([1024, 1024, 1024, 256, 256, 256, 64, 64, 64, 64]);
/** The Reduce-Extrapolate method of [MS-RDPEGFX] 3.2.8.1.2.2: 33, 17 and 9 low results, 31, 16 and 8 high ones. */
export const reduceExtrapolateLayout = layout([1023, 1023, 961, 272, 272, 256, 72, 72, 64, 81]);

/** TS_RFX_CODEC_QUANT, [MS-RDPRFX] 2.2.2.1.5: nibbles LL3 LH3 HL3 HH3 LH2 HL2 HH2 LH1 HL1 HH1, low one first. */
const rfxNibbles = [8, 7, 9, 5, 4, 6, 2, 1, 3, 0] as const;
/** RFX_COMPONENT_CODEC_QUANT, [MS-RDPEGFX] 2.2.4.2.1.5.1: nibbles LL3 HL3 LH3 HH3 HL2 LH2 HH2 HL1 LH1 HH1. */
const progressiveNibbles = [7, 8, 9, 4, 5, 6, 1, 2, 3, 0] as const;
/** Bytes of either structure. */
export const quantBytes = 5;

function readQuants(bytes: Uint8Array, at: number, nibbles: readonly number[]): SubBandQuants {
  const quants = new Uint8Array(subBandsCount);
  for (let band = 0; band < subBandsCount; band += 1) {
    const nibble = nibbles[band]!;
    quants[band] = (bytes[at + (nibble >> 1)]! >> ((nibble & 1) * 4)) & 0xf;
  }
  return quants;
}

export function readRfxQuants(bytes: Uint8Array, at = 0): SubBandQuants {
  return readQuants(bytes, at, rfxNibbles);
}

export function readProgressiveQuants(bytes: Uint8Array, at = 0): SubBandQuants {
  return readQuants(bytes, at, progressiveNibbles);
}

/**
 * Undoes quantization from coefficient `first` on, in place. A quantization value q stands for a factor of 2^(q − 6);
 * 5 more bits make the 11.5 fixed point the colour conversion expects, hence shifts of q − 1.
 */
export function dequantize(
  coefficients: Int16Array,
  quants: SubBandQuants,
  layout: SubBandLayout,
  first: number,
): void {
  for (let band = 0; band < subBandsCount; band += 1) {
    const end = layout.starts[band + 1]!;
    const shift = quants[band]! - 1;
    if (end <= first || shift <= 0) continue;
    for (let i = layout.starts[band]!; i < end; i += 1) coefficients[i] = coefficients[i]! << shift;
  }
}

/** What `dequantize` makes of one LL3 value. */
export function dequantizedLl3(value: number, quants: SubBandQuants): number {
  return value << Math.max(quants[ll3]! - 1, 0);
}

/**
 * Whether coefficients (as sent, from `first` on) describe one flat value: only the first difference of LL3 is set. Half of a
 * desktop's components do.
 */
export function isFlat(coefficients: Int16Array, layout: SubBandLayout, first: number): boolean {
  if (first < layout.ll3Start) return false;
  for (let i = layout.ll3Start + 1; i < tileEnd; i += 1) if (coefficients[i] !== 0) return false;
  return true;
}

/** Sums up the differences LL3 is sent as, [MS-RDPRFX] 3.1.8.2.1. */
export function sumLl3(coefficients: Int16Array, layout: SubBandLayout): void {
  let sum = coefficients[layout.ll3Start]!;
  for (let i = layout.ll3Start + 1; i < tileEnd; i += 1) {
    sum += coefficients[i]!;
    coefficients[i] = sum;
  }
}

const tileEnd = 4096;
