import { DecodeError } from '@lucid-sessions/wire';

/** What an H.264 adapter must know of a stream before it decodes: ITU-T H.264, clauses 7.3 and Annex B. */

export const nalSlice = 1;
export const nalIdrSlice = 5;
export const nalSps = 7;
export const nalPps = 8;
export const nalAccessUnitDelimiter = 9;

export function nalType(nal: Uint8Array): number {
  return nal.length === 0 ? 0 : nal[0]! & 0x1f;
}

/** The NAL units of an Annex B byte stream, without start codes and trailing zeros. Views of `bytes`. */
export function splitNals(bytes: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  for (let i = 0; i + 2 < bytes.length; i += 1) {
    if (bytes[i] !== 0 || bytes[i + 1] !== 0 || bytes[i + 2] !== 1) continue;
    if (start >= 0) nals.push(withoutTrailingZeros(bytes.subarray(start, i)));
    start = i + 3;
    i += 2;
  }
  if (start >= 0) nals.push(withoutTrailingZeros(bytes.subarray(start)));
  return nals.filter((nal) => nal.length > 0);
}

function withoutTrailingZeros(nal: Uint8Array): Uint8Array {
  let end = nal.length;
  while (end > 0 && nal[end - 1] === 0) end -= 1;
  return nal.subarray(0, end);
}

/** Pictures whose first slice is among `nals`: what a decoder will give for them. */
export function picturesCount(nals: readonly Uint8Array[]): number {
  let count = 0;
  for (const nal of nals) {
    const slice = nalType(nal) === nalSlice || nalType(nal) === nalIdrSlice;
    // first_mb_in_slice is 0: a single 1 bit in Exp-Golomb code.
    if (slice && nal.length > 1 && nal[1]! & 0x80) count += 1;
  }
  return count;
}

/** Whether an access unit begins anew: nothing behind its picture refers to anything before it. */
export function isIdr(accessUnit: Uint8Array): boolean {
  for (let i = 0; i + 3 < accessUnit.length; i += 1) {
    if (accessUnit[i] !== 0 || accessUnit[i + 1] !== 0 || accessUnit[i + 2] !== 1) continue;
    const type = accessUnit[i + 3]! & 0x1f;
    if (type === nalSlice || type === nalIdrSlice) return type === nalIdrSlice;
    i += 2;
  }
  return false;
}

/** The part of a sequence parameter set that says how large and of what kind pictures are. */
export interface SequenceParameters {
  readonly profileIdc: number;
  readonly constraintFlags: number;
  readonly levelIdc: number;
  /** Whole macroblocks, before cropping. */
  readonly codedWidth: number;
  readonly codedHeight: number;
}

/** Profiles whose parameter sets name a chroma format, clause 7.3.2.1.1. */
const highProfiles = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const macroblocksMax = 1 << 17;

/** Reads a sequence parameter set NAL unit. Throws `DecodeError`, also for anything but 8-bit 4:2:0. */
export function readSequenceParameters(nal: Uint8Array): SequenceParameters {
  const bits = new ExpGolombReader(withoutEmulationPrevention(nal.subarray(1)));
  const profileIdc = bits.read(8);
  const constraintFlags = bits.read(8);
  const levelIdc = bits.read(8);
  bits.ue(); // seq_parameter_set_id
  if (highProfiles.has(profileIdc)) readChromaFormat(bits);
  bits.ue(); // log2_max_frame_num_minus4
  skipPictureOrderCount(bits);
  bits.ue(); // max_num_ref_frames
  bits.read(1); // gaps_in_frame_num_value_allowed_flag
  const widthInMbs = bits.ue() + 1;
  const heightInMapUnits = bits.ue() + 1;
  const frameMbsOnly = bits.read(1);
  const heightInMbs = (2 - frameMbsOnly) * heightInMapUnits;
  if (widthInMbs * heightInMbs > macroblocksMax)
    throw new DecodeError('limit', 'an h.264 stream has pictures larger than 8k');
  return { profileIdc, constraintFlags, levelIdc, codedWidth: widthInMbs * 16, codedHeight: heightInMbs * 16 };
}

function readChromaFormat(bits: ExpGolombReader): void {
  const chromaFormatIdc = bits.ue();
  const bitDepthLuma = bits.ue() + 8;
  const bitDepthChroma = bits.ue() + 8;
  if (chromaFormatIdc !== 1 || bitDepthLuma !== 8 || bitDepthChroma !== 8)
    throw new DecodeError('unsupported', 'an h.264 stream is not 8-bit 4:2:0');
  bits.read(1); // qpprime_y_zero_transform_bypass_flag
  if (bits.read(1) === 0) return; // seq_scaling_matrix_present_flag
  for (let i = 0; i < 8; i += 1) if (bits.read(1) === 1) skipScalingList(bits, i < 6 ? 16 : 64);
}

function skipScalingList(bits: ExpGolombReader, size: number): void {
  let last = 8;
  for (let i = 0; i < size; i += 1) {
    const next = (last + bits.se() + 256) & 0xff;
    if (next === 0) return;
    last = next;
  }
}

function skipPictureOrderCount(bits: ExpGolombReader): void {
  const type = bits.ue();
  if (type === 0) bits.ue(); // log2_max_pic_order_cnt_lsb_minus4
  if (type !== 1) return;
  bits.read(1); // delta_pic_order_always_zero_flag
  bits.se(); // offset_for_non_ref_pic
  bits.se(); // offset_for_top_to_bottom_field
  const cycle = bits.ue();
  if (cycle > 255) throw new DecodeError('invalid', 'an h.264 parameter set has a wrong cycle');
  for (let i = 0; i < cycle; i += 1) bits.se();
}

/** Drops the 3 of every 0 0 3, clause 7.4.1.1. */
function withoutEmulationPrevention(bytes: Uint8Array): Uint8Array {
  const plain = new Uint8Array(bytes.length);
  let length = 0;
  let zeros = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    plain[length] = byte;
    length += 1;
  }
  return plain.subarray(0, length);
}

class ExpGolombReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1) {
      const byte = this.#bytes[this.#at >> 3];
      if (byte === undefined) throw new DecodeError('truncated', 'an h.264 parameter set ends early');
      value = value * 2 + ((byte >> (7 - (this.#at & 7))) & 1);
      this.#at += 1;
    }
    return value;
  }

  /** ue(v), clause 9.1. */
  ue(): number {
    let zeros = 0;
    while (this.read(1) === 0) {
      zeros += 1;
      if (zeros > 31) throw new DecodeError('invalid', 'an h.264 parameter set has too large a number');
    }
    return 2 ** zeros - 1 + this.read(zeros);
  }

  /** se(v), clause 9.1.1. */
  se(): number {
    const code = this.ue();
    return code & 1 ? (code + 1) / 2 : -code / 2;
  }
}
