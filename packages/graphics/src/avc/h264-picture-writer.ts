import { DecodeError } from '@lucid-sessions/wire';
import { H264BitWriter } from './h264-bits.ts';
import { createNal, joinNals, nalIdrSlice, nalPps, nalSlice } from './h264-nal.ts';
import type { SequenceParameters } from './h264-parameters.ts';
import type { Reference, ReferencePicture } from './h264-references.ts';

/**
 * Brings an H.264 decoder to reference pictures it never saw the stream of: an IDR picture and predicted ones whose macroblocks are
 * samples as they are (I_PCM, ITU-T H.264 clause 7.3.5) or skipped, without deblocking, marked the way the stream's own were.
 */
export interface ReferenceUnits {
  /** One access unit (Annex B) each, without the stream's parameter sets, which go before the first. */
  readonly units: readonly Uint8Array[];
  /** frame_num and pic_order_cnt_lsb of the last one. */
  readonly frameNum: number;
  readonly pictureOrder: number;
}

interface Step {
  /** null: as the picture before. */
  readonly picture: ReferencePicture | null;
  readonly fate: 'short' | 'forgotten' | 'long' | 'longAtOnce';
  readonly longTermIndex: number;
}

const stepsMax = 64;
const referenceIdc = 0x60;
/** Any: a decoder tells pictures apart by their first macroblock. */
const idrPictureId = 7;
const macroblockPcm = 25;
const macroblockPcmInP = 30;
const slicesAllI = 7;
const slicesAllP = 5;
const blockBytes = 384;

/** `pictureParametersId` names no set of the stream's. Throws `DecodeError` where the references lie too far apart. */
export function writeReferences(
  references: readonly Reference[],
  longCount: number,
  sps: SequenceParameters,
  pictureParametersId: number,
): ReferenceUnits {
  const steps = stepsOf(references, longCount);
  let shown = steps.find(({ picture }) => picture !== null)!.picture!;
  const units = steps.map((step, number) => {
    const picture = step.picture ?? shown;
    const bits = new H264BitWriter(number === 0 ? picture.y.length * 2 : 1024);
    writeHeader(bits, { steps, number, longCount, sps, pictureParametersId });
    if (number === 0) writeSamples(bits, picture);
    else writeChanges(bits, picture, shown);
    shown = picture;
    const nal = createNal(referenceIdc | (number === 0 ? nalIdrSlice : nalSlice), bits.finish());
    return joinNals(number === 0 ? [pictureParameters(pictureParametersId, sps.id), nal] : [nal]);
  });
  const last = steps.length - 1;
  return { units, frameNum: last, pictureOrder: 2 * last };
}

/** Which pictures to write, and what becomes of each: numbers between two short-term references have to be gone through. */
function stepsOf(references: readonly Reference[], longCount: number): Step[] {
  const long = references.filter(({ longTermIndex }) => longTermIndex !== null);
  const short = new Map(
    references.filter(({ longTermIndex }) => longTermIndex === null).map(({ age, picture }) => [age, picture]),
  );
  // Where the last picture is a long-term reference, any of those may be the last one written.
  const last = short.has(0) ? undefined : long.pop();
  const oldest = Math.max(-1, ...short.keys());
  if (long.length + oldest + 2 > stepsMax)
    throw new DecodeError('unsupported', 'an h.264 stream refers to pictures far apart');
  const steps: Step[] = long.map(({ picture, longTermIndex }) => ({
    picture,
    fate: 'long',
    longTermIndex: longTermIndex!,
  }));
  for (let age = oldest; age >= (last ? 1 : 0); age -= 1) {
    const picture = short.get(age) ?? null;
    steps.push({ picture, fate: picture ? 'short' : 'forgotten', longTermIndex: 0 });
  }
  if (last) steps.push({ picture: last.picture, fate: 'longAtOnce', longTermIndex: last.longTermIndex! });
  // How many long-term references there may be can't be said with an IDR picture.
  if (longCount > 0 && steps.length === 1) steps.unshift({ picture: null, fate: 'forgotten', longTermIndex: 0 });
  return steps;
}

interface HeaderFacts {
  readonly steps: readonly Step[];
  readonly number: number;
  readonly longCount: number;
  readonly sps: SequenceParameters;
  readonly pictureParametersId: number;
}

/** slice_header, clause 7.3.3. */
function writeHeader(bits: H264BitWriter, { steps, number, longCount, sps, pictureParametersId }: HeaderFacts): void {
  const idr = number === 0;
  bits.ue(0); // first_mb_in_slice
  bits.ue(idr ? slicesAllI : slicesAllP);
  bits.ue(pictureParametersId);
  bits.write(sps.frameNumBits, number);
  if (idr) bits.ue(idrPictureId);
  bits.write(sps.pictureOrderBits, 2 * number);
  if (idr) {
    bits.flag(false); // no_output_of_prior_pics_flag
    bits.flag(false); // long_term_reference_flag
  } else {
    bits.flag(false); // num_ref_idx_active_override_flag
    bits.flag(false); // ref_pic_list_modification_flag_l0
    bits.flag(true); // adaptive_ref_pic_marking_mode_flag
    if (number === 1 && longCount > 0) writeAll(bits, 4, longCount);
    const before = steps[number - 1]!;
    if (before.fate === 'forgotten') writeAll(bits, 1, 0);
    if (before.fate === 'long') writeAll(bits, 3, 0, before.longTermIndex);
    const { fate, longTermIndex } = steps[number]!;
    if (fate === 'longAtOnce') writeAll(bits, 6, longTermIndex);
    bits.ue(0);
  }
  bits.ue(0); // slice_qp_delta
  bits.ue(1); // disable_deblocking_filter_idc
}

function writeAll(bits: H264BitWriter, ...values: number[]): void {
  for (const value of values) bits.ue(value);
}

/** pic_parameter_set_rbsp, clause 7.3.2.2: variable-length codes, one reference, no weights, deblocking by the slice's word. */
function pictureParameters(id: number, sequenceId: number): Uint8Array {
  const bits = new H264BitWriter();
  bits.ue(id);
  bits.ue(sequenceId);
  bits.write(2, 0); // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
  writeAll(bits, 0, 0, 0); // num_slice_groups_minus1, num_ref_idx_l0 and _l1_default_active_minus1
  bits.write(3, 0); // weighted_pred_flag, weighted_bipred_idc
  writeAll(bits, 0, 0, 0); // pic_init_qp_minus26, pic_init_qs_minus26, chroma_qp_index_offset
  bits.write(3, 0b100); // deblocking_filter_control, constrained_intra_pred, redundant_pic_cnt_present
  return createNal(referenceIdc | nalPps, bits.finish());
}

/** Every macroblock's samples. */
function writeSamples(bits: H264BitWriter, picture: ReferencePicture): void {
  const block = new Uint8Array(blockBytes);
  for (let top = 0; top < picture.height; top += 16)
    for (let left = 0; left < picture.width; left += 16) {
      takeBlock(block, picture, left, top);
      writeBlock(bits, macroblockPcm, block);
    }
}

/** Samples of the macroblocks that are not as before; the others are skipped, which copies them. */
function writeChanges(bits: H264BitWriter, picture: ReferencePicture, before: ReferencePicture): void {
  const block = new Uint8Array(blockBytes);
  let skipped = 0;
  for (let top = 0; top < picture.height; top += 16)
    for (let left = 0; left < picture.width; left += 16) {
      if (picture === before || isSame(picture, before, left, top)) {
        skipped += 1;
        continue;
      }
      bits.ue(skipped);
      skipped = 0;
      takeBlock(block, picture, left, top);
      writeBlock(bits, macroblockPcmInP, block);
    }
  if (skipped > 0) bits.ue(skipped);
}

function writeBlock(bits: H264BitWriter, type: number, block: Uint8Array): void {
  bits.ue(type);
  bits.align();
  bits.bytes(block);
}

/** The macroblock's samples: luma, then both chroma planes, row by row. */
function takeBlock(block: Uint8Array, { width, y, u, v }: ReferencePicture, left: number, top: number): void {
  let to = 0;
  for (let at = top * width + left, end = at + 16 * width; at < end; at += width)
    for (let x = 0; x < 16; x += 1, to += 1) block[to] = y[at + x]!;
  const half = width >> 1;
  const chroma = (top >> 1) * half + (left >> 1);
  for (const plane of [u, v])
    for (let at = chroma, end = at + 8 * half; at < end; at += half)
      for (let x = 0; x < 8; x += 1, to += 1) block[to] = plane[at + x]!;
}

function isSame(a: ReferencePicture, b: ReferencePicture, left: number, top: number): boolean {
  const { width } = a;
  const half = width >> 1;
  const chroma = (top >> 1) * half + (left >> 1);
  return (
    isSameArea(a.y, b.y, width, top * width + left, 16) &&
    isSameArea(a.u, b.u, half, chroma, 8) &&
    isSameArea(a.v, b.v, half, chroma, 8)
  );
}

function isSameArea(a: Uint8Array, b: Uint8Array, stride: number, from: number, side: number): boolean {
  for (let at = from, end = from + side * stride; at < end; at += stride)
    for (let x = at; x < at + side; x += 1) if (a[x] !== b[x]) return false;
  return true;
}
