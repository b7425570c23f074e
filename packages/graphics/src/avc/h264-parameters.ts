import { DecodeError } from '@lucid-sessions/wire';
import { H264BitReader } from './h264-bits.ts';
import { nalPayload } from './h264-nal.ts';

/** What an H.264 adapter must know of a stream before it decodes, and what is needed to read slice headers: clause 7.3.2. */
export interface SequenceParameters {
  readonly id: number;
  readonly profileIdc: number;
  readonly constraintFlags: number;
  readonly levelIdc: number;
  /** Whole macroblocks, before cropping. */
  readonly codedWidth: number;
  readonly codedHeight: number;
  readonly frameNumBits: number;
  /** 0, 1 or 2. */
  readonly pictureOrderType: number;
  /** Of type 0. */
  readonly pictureOrderBits: number;
  readonly referencesMax: number;
  /** No fields, no field macroblocks. */
  readonly framesOnly: boolean;
}

/** Profiles whose parameter sets name a chroma format, clause 7.3.2.1.1. */
const highProfiles = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const macroblocksMax = 1 << 17;
const referencesMaxMax = 16;

/** Reads a sequence parameter set NAL unit. Throws `DecodeError`, also for anything but 8-bit 4:2:0. */
export function readSequenceParameters(nal: Uint8Array): SequenceParameters {
  const bits = new H264BitReader(nalPayload(nal));
  const profileIdc = bits.read(8);
  const constraintFlags = bits.read(8);
  const levelIdc = bits.read(8);
  const id = bits.ue();
  if (highProfiles.has(profileIdc)) readChromaFormat(bits);
  const frameNumBits = bits.ue() + 4;
  const pictureOrderType = bits.ue();
  const pictureOrderBits = pictureOrderType === 0 ? bits.ue() + 4 : 0;
  if (pictureOrderType === 1) skipPictureOrderCycle(bits);
  const referencesMax = bits.ue();
  const inRange = id < 32 && frameNumBits <= 16 && pictureOrderType <= 2 && pictureOrderBits <= 16;
  if (!inRange || referencesMax > referencesMaxMax)
    throw new DecodeError('invalid', 'an h.264 sequence parameter set has a value out of range');
  bits.flag(); // gaps_in_frame_num_value_allowed_flag
  const widthInMbs = bits.ue() + 1;
  const heightInMapUnits = bits.ue() + 1;
  const framesOnly = bits.flag();
  const heightInMbs = (framesOnly ? 1 : 2) * heightInMapUnits;
  if (widthInMbs * heightInMbs > macroblocksMax)
    throw new DecodeError('limit', 'an h.264 stream has pictures larger than 8k');
  return {
    id,
    profileIdc,
    constraintFlags,
    levelIdc,
    codedWidth: widthInMbs * 16,
    codedHeight: heightInMbs * 16,
    frameNumBits,
    pictureOrderType,
    pictureOrderBits,
    referencesMax: Math.max(1, referencesMax),
    framesOnly,
  };
}

function readChromaFormat(bits: H264BitReader): void {
  const chromaFormatIdc = bits.ue();
  const bitDepthLuma = bits.ue() + 8;
  const bitDepthChroma = bits.ue() + 8;
  if (chromaFormatIdc !== 1 || bitDepthLuma !== 8 || bitDepthChroma !== 8)
    throw new DecodeError('unsupported', 'an h.264 stream is not 8-bit 4:2:0');
  bits.flag(); // qpprime_y_zero_transform_bypass_flag
  if (!bits.flag()) return; // seq_scaling_matrix_present_flag
  for (let i = 0; i < 8; i += 1) if (bits.flag()) skipScalingList(bits, i < 6 ? 16 : 64);
}

function skipScalingList(bits: H264BitReader, size: number): void {
  let last = 8;
  for (let i = 0; i < size; i += 1) {
    const next = (last + bits.se() + 256) & 0xff;
    if (next === 0) return;
    last = next;
  }
}

function skipPictureOrderCycle(bits: H264BitReader): void {
  bits.flag(); // delta_pic_order_always_zero_flag
  bits.se(); // offset_for_non_ref_pic
  bits.se(); // offset_for_top_to_bottom_field
  const cycle = bits.ue();
  if (cycle > 255) throw new DecodeError('invalid', 'an h.264 parameter set has a wrong cycle');
  for (let i = 0; i < cycle; i += 1) bits.se();
}

/** The part of a picture parameter set that slice headers depend on, clause 7.3.2.2. */
export interface PictureParameters {
  readonly id: number;
  readonly sequenceId: number;
  readonly hasBottomOrder: boolean;
  readonly activeReferences: number;
  readonly weighted: boolean;
  readonly hasRedundantCount: boolean;
}

/** Reads a picture parameter set NAL unit. Throws `DecodeError`, also for macroblocks in another order than that of rows. */
export function readPictureParameters(nal: Uint8Array): PictureParameters {
  const bits = new H264BitReader(nalPayload(nal));
  const id = bits.ue();
  const sequenceId = bits.ue();
  if (id > 255 || sequenceId > 31)
    throw new DecodeError('invalid', 'an h.264 picture parameter set has a value out of range');
  bits.flag(); // entropy_coding_mode_flag
  const hasBottomOrder = bits.flag();
  if (bits.ue() !== 0) throw new DecodeError('unsupported', 'an h.264 stream has slice groups');
  const activeReferences = bits.ue() + 1;
  bits.ue(); // num_ref_idx_l1_default_active_minus1
  const weighted = bits.flag();
  bits.read(2); // weighted_bipred_idc
  bits.se(); // pic_init_qp_minus26
  bits.se(); // pic_init_qs_minus26
  bits.se(); // chroma_qp_index_offset
  bits.flag(); // deblocking_filter_control_present_flag
  bits.flag(); // constrained_intra_pred_flag
  return { id, sequenceId, hasBottomOrder, activeReferences, weighted, hasRedundantCount: bits.flag() };
}
