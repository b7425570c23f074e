import { DecodeError } from '@lucid-sessions/wire';
import { H264BitReader } from './h264-bits.ts';
import { createNal, nalIdrSlice, nalPayload, nalType } from './h264-nal.ts';
import type { PictureParameters, SequenceParameters } from './h264-parameters.ts';

/** memory_management_control_operation, ITU-T H.264 table 7-9. */
export type MarkingOperation =
  | { kind: 'forgetShort'; distance: number }
  | { kind: 'forgetLong'; longNumber: number }
  | { kind: 'makeLong'; distance: number; index: number }
  | { kind: 'limitLong'; count: number }
  | { kind: 'forgetAll' }
  | { kind: 'markLong'; index: number };

/** The part of a slice header that says where its picture stands among others, clause 7.3.3. */
export interface SliceHeader {
  readonly idr: boolean;
  readonly frameNum: number;
  /** pic_order_cnt_lsb; 0 where the stream has none. */
  readonly pictureOrder: number;
  readonly reference: boolean;
  /** An IDR picture that is kept as long-term reference 0. */
  readonly longTerm: boolean;
  /** null: the oldest short-term reference goes when there are too many. */
  readonly marking: readonly MarkingOperation[] | null;
  /** Bits of the payload before frame_num and pic_order_cnt_lsb. */
  readonly frameNumAt: number;
  readonly pictureOrderAt: number;
}

const sliceP = 0;
const sliceI = 2;
const operationsMax = 66;
const activeReferencesMax = 32;

const out = (): DecodeError => new DecodeError('invalid', 'an h.264 slice header has a value out of range');

/** The picture parameter set a slice names. */
export function sliceParametersId(nal: Uint8Array): number {
  const bits = new H264BitReader(nalPayload(nal.subarray(0, 32)));
  bits.ue();
  bits.ue();
  return bits.ue();
}

/** Throws `DecodeError`, also for what no desktop is sent in: fields, B and switching pictures, picture order of type 1. */
export function readSliceHeader(nal: Uint8Array, sps: SequenceParameters, pps: PictureParameters): SliceHeader {
  if (!sps.framesOnly || sps.pictureOrderType === 1)
    throw new DecodeError('unsupported', 'an h.264 stream has fields or picture order of type 1');
  const bits = new H264BitReader(nalPayload(nal));
  const idr = nalType(nal) === nalIdrSlice;
  const reference = (nal[0]! & 0x60) !== 0;
  bits.ue(); // first_mb_in_slice
  const sliceType = bits.ue() % 5;
  if (sliceType !== sliceP && sliceType !== sliceI)
    throw new DecodeError('unsupported', 'an h.264 stream has B or switching slices');
  bits.ue(); // pic_parameter_set_id
  const frameNumAt = bits.position;
  const frameNum = bits.read(sps.frameNumBits);
  if (idr) bits.ue(); // idr_pic_id
  const pictureOrderAt = bits.position;
  const pictureOrder = bits.read(sps.pictureOrderBits);
  if (sps.pictureOrderType === 0 && pps.hasBottomOrder) bits.se(); // delta_pic_order_cnt_bottom
  if (pps.hasRedundantCount) bits.ue(); // redundant_pic_cnt
  if (sliceType === sliceP) skipReferenceLists(bits, pps);
  const marking = reference ? readMarking(bits, idr) : { longTerm: false, operations: null };
  const { longTerm, operations } = marking;
  return { idr, frameNum, pictureOrder, reference, longTerm, marking: operations, frameNumAt, pictureOrderAt };
}

/** Up to and with the weights: clauses 7.3.3.1 and 7.3.3.2. */
function skipReferenceLists(bits: H264BitReader, pps: PictureParameters): void {
  const active = bits.flag() ? bits.ue() + 1 : pps.activeReferences;
  if (active > activeReferencesMax) throw out();
  if (bits.flag())
    for (let count = 0; bits.ue() !== 3; count += 1) {
      bits.ue(); // abs_diff_pic_num_minus1 or long_term_pic_num
      if (count > operationsMax) throw out();
    }
  if (!pps.weighted) return;
  bits.ue(); // luma_log2_weight_denom
  bits.ue(); // chroma_log2_weight_denom
  for (let i = 0; i < active; i += 1) {
    if (bits.flag()) for (let value = 0; value < 2; value += 1) bits.se();
    if (bits.flag()) for (let value = 0; value < 4; value += 1) bits.se();
  }
}

/** dec_ref_pic_marking, clause 7.3.3.3. */
function readMarking(
  bits: H264BitReader,
  idr: boolean,
): { longTerm: boolean; operations: readonly MarkingOperation[] | null } {
  if (idr) {
    bits.flag(); // no_output_of_prior_pics_flag
    return { longTerm: bits.flag(), operations: null };
  }
  if (!bits.flag()) return { longTerm: false, operations: null };
  const operations: MarkingOperation[] = [];
  for (let code = bits.ue(); code !== 0; code = bits.ue()) {
    operations.push(readOperation(bits, code));
    if (operations.length > operationsMax) throw out();
  }
  return { longTerm: false, operations };
}

function readOperation(bits: H264BitReader, code: number): MarkingOperation {
  switch (code) {
    case 1:
      return { kind: 'forgetShort', distance: bits.ue() + 1 };
    case 2:
      return { kind: 'forgetLong', longNumber: bits.ue() };
    case 3:
      return { kind: 'makeLong', distance: bits.ue() + 1, index: bits.ue() };
    case 4:
      return { kind: 'limitLong', count: bits.ue() };
    case 5:
      return { kind: 'forgetAll' };
    case 6:
      return { kind: 'markLong', index: bits.ue() };
    default:
      throw out();
  }
}

/** How much later than in the stream a decoder's numbers are. */
export interface Renumbering {
  readonly frameNum: number;
  readonly pictureOrder: number;
}

/** The slice with other numbers, of the same lengths: nothing behind them moves. */
export function renumberedSlice(
  nal: Uint8Array,
  header: SliceHeader,
  sps: SequenceParameters,
  by: Renumbering,
): Uint8Array<ArrayBuffer> {
  const payload = nalPayload(nal);
  patchBits(payload, header.frameNumAt, sps.frameNumBits, header.frameNum + by.frameNum);
  patchBits(payload, header.pictureOrderAt, sps.pictureOrderBits, header.pictureOrder + by.pictureOrder);
  return createNal(nal[0]!, payload);
}

/** The lowest `count` bits of `value`. */
function patchBits(bytes: Uint8Array, at: number, count: number, value: number): void {
  for (let i = 0; i < count; i += 1) {
    const mask = 0x80 >> ((at + i) & 7);
    if ((value >> (count - 1 - i)) & 1) bytes[(at + i) >> 3]! |= mask;
    else bytes[(at + i) >> 3]! &= ~mask;
  }
}
