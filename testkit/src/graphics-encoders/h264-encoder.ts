import { BitWriter } from './bit-writer.ts';

/** What an H.264 stream of this encoder is like. */
export interface H264Format {
  /** Size in macroblocks. */
  widthInMbs: number;
  heightInMbs: number;
  frameNumBits: number;
  /** 0 or 2. */
  pictureOrderType: number;
  references: number;
  /** Slices per picture; not more than macroblocks. */
  slices: number;
}

/** One picture, whose numbers are taken modulo what is there to choose from. */
export interface H264Choice {
  idr: boolean;
  /** Others may refer to it. */
  reference: boolean;
  /** Which reference picture it copies where it does not change. */
  copied: number;
  /** Macroblocks with samples of their own. */
  changes: readonly { block: number; value: number }[];
  /** memory_management_control_operations, by number. */
  operations: readonly { code: number; which: number }[];
}

/** Wraps round within a test; a run of pictures nobody refers to stays below half of it. */
const pictureOrderBits = 6;
const log2 = (value: number): number => 31 - Math.clz32(value);

class Bits extends BitWriter {
  #count = 0;
  override bit(value: number): void {
    super.bit(value);
    this.#count += 1;
  }
  ue(value: number): void {
    this.bits(0, log2(value + 1));
    this.bits(value + 1, log2(value + 1) + 1);
  }
  align(): void {
    while (this.#count & 7) this.bit(0);
  }
  trailing(): void {
    this.bit(1);
    this.align();
  }
}

/** NAL unit with its start code and emulation prevention. */
function nal(firstByte: number, payload: Uint8Array): number[] {
  const bytes = [0, 0, 0, 1, firstByte];
  let zeros = 0;
  for (const byte of payload) {
    if (zeros === 2 && byte <= 3) {
      bytes.push(3);
      zeros = 0;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    bytes.push(byte);
  }
  return bytes;
}

/**
 * Encodes pictures no encoder of this machine makes: any reference picture may be copied, marked and dropped, as ITU-T H.264
 * 8.2.5 allows. Macroblocks are skipped or samples as they are, in variable-length codes.
 */
export class H264Encoder {
  readonly #format: H264Format;
  /** frame_num of short-term references, in the order they came. */
  #short: number[] = [];
  readonly #long = new Set<number>();
  #longCount = 0;
  #frameNum = 0;
  #order = 0;
  #idrs = 0;

  constructor(format: H264Format) {
    this.#format = format;
  }

  /** An access unit, Annex B. The first must be an IDR picture. */
  encode(choice: H264Choice): Uint8Array {
    const { widthInMbs, heightInMbs, slices, frameNumBits } = this.#format;
    const { idr } = choice;
    this.#frameNum = idr ? 0 : (this.#frameNum + 1) % (1 << frameNumBits);
    this.#order = idr ? 0 : this.#order + 2;
    if (idr) this.#idrs += 1;
    const copied = this.#copied(choice.copied);
    const operations = idr || !choice.reference ? [] : this.#operations(choice.operations);
    const blocks = widthInMbs * heightInMbs;
    const bytes = idr ? this.#parameterSets() : [];
    for (let slice = 0; slice < slices; slice += 1) {
      const first = Math.floor((slice * blocks) / slices);
      const end = Math.floor(((slice + 1) * blocks) / slices);
      const bits = new Bits();
      this.#header(bits, choice, first, copied, operations);
      this.#blocks(bits, choice, first, end);
      bits.trailing();
      bytes.push(...nal((choice.reference || idr ? 0x60 : 0) | (idr ? 5 : 1), bits.bytes()));
    }
    this.#mark(choice, operations);
    return Uint8Array.from(bytes);
  }

  #parameterSets(): number[] {
    const { widthInMbs, heightInMbs, frameNumBits, pictureOrderType, references } = this.#format;
    const sps = new Bits();
    sps.bits(66, 8); // Baseline
    sps.bits(0, 8);
    sps.bits(40, 8);
    sps.ue(0);
    sps.ue(frameNumBits - 4);
    sps.ue(pictureOrderType);
    if (pictureOrderType === 0) sps.ue(pictureOrderBits - 4);
    sps.ue(references);
    sps.bit(0);
    sps.ue(widthInMbs - 1);
    sps.ue(heightInMbs - 1);
    sps.bits(0b1100, 4); // frames only, direct 8 × 8, no cropping, no VUI
    sps.trailing();
    const pps = new Bits();
    for (const value of [0, 0]) pps.ue(value);
    pps.bits(0, 2); // variable-length codes
    for (const value of [0, 0, 0]) pps.ue(value);
    pps.bits(0, 3);
    for (const value of [0, 0, 0]) pps.ue(value);
    pps.bits(0b100, 3); // deblocking is controlled by slices
    pps.trailing();
    return [...nal(0x67, sps.bytes()), ...nal(0x68, pps.bytes())];
  }

  #copied(which: number): { short: number } | { long: number } {
    const all = [...this.#short.map((short) => ({ short })), ...[...this.#long].map((long) => ({ long }))];
    return all[which % all.length] ?? { short: 0 };
  }

  #distance(frameNum: number): number {
    const range = 1 << this.#format.frameNumBits;
    return (this.#frameNum - frameNum + range) % range;
  }

  /** Those that make sense now, and one more where there would be too many references. */
  #operations(wanted: H264Choice['operations']): number[][] {
    const operations: number[][] = [];
    const forget = (): void => {
      const oldest = this.#short.shift();
      if (oldest !== undefined) operations.push([1, this.#distance(oldest) - 1]);
      else {
        const [index] = this.#long;
        this.#long.delete(index!);
        operations.push([2, index!]);
      }
    };
    let own = false;
    for (const { code, which } of wanted) {
      const short = this.#short[which % Math.max(1, this.#short.length)];
      const long = [...this.#long][which % Math.max(1, this.#long.size)];
      const index = which % Math.max(1, this.#longCount);
      if (code === 1 && short !== undefined) {
        this.#short.splice(this.#short.indexOf(short), 1);
        operations.push([1, this.#distance(short) - 1]);
      } else if (code === 2 && long !== undefined) {
        this.#long.delete(long);
        operations.push([2, long]);
      } else if (code === 3 && short !== undefined && this.#longCount > 0) {
        this.#short.splice(this.#short.indexOf(short), 1);
        this.#long.add(index);
        operations.push([3, this.#distance(short) - 1, index]);
      } else if (code === 4) {
        this.#longCount = which % (this.#format.references + 1);
        for (const known of this.#long) if (known >= this.#longCount) this.#long.delete(known);
        operations.push([4, this.#longCount]);
      } else if (code === 6 && this.#longCount > 0) {
        this.#long.delete(index);
        operations.push([6, index]);
        own = true;
      }
      if (own) break;
    }
    const full = (): boolean => this.#short.length + this.#long.size >= this.#format.references;
    const slides = operations.length === 0 && this.#short.length > 0;
    // The picture's own mark comes last.
    const last = own ? operations.pop()! : null;
    while (full() && !slides) forget();
    return last ? [...operations, last] : operations;
  }

  #mark({ idr, reference }: H264Choice, operations: readonly number[][]): void {
    if (idr) {
      this.#short = [];
      this.#long.clear();
      this.#longCount = 0;
    } else if (!reference) {
      // The next one has the same number.
      this.#frameNum = (this.#frameNum - 1 + (1 << this.#format.frameNumBits)) % (1 << this.#format.frameNumBits);
      return;
    }
    const own = operations.at(-1);
    if (own?.[0] === 6) {
      this.#long.add(own[1]!);
      return;
    }
    while (this.#short.length + this.#long.size >= this.#format.references) this.#short.shift();
    this.#short.push(this.#frameNum);
  }

  #header(
    bits: Bits,
    { idr, reference }: H264Choice,
    first: number,
    copied: { short: number } | { long: number },
    operations: readonly number[][],
  ): void {
    const { frameNumBits, pictureOrderType } = this.#format;
    bits.ue(first);
    bits.ue(idr ? 2 : 0);
    bits.ue(0);
    bits.bits(this.#frameNum, frameNumBits);
    if (idr) bits.ue(this.#idrs & 1);
    if (pictureOrderType === 0) bits.bits(this.#order, pictureOrderBits);
    if (!idr) {
      bits.bit(1); // one reference, which is the one chosen
      bits.ue(0);
      bits.bit(1);
      if ('short' in copied) for (const value of [0, this.#distance(copied.short) - 1]) bits.ue(value);
      else for (const value of [2, copied.long]) bits.ue(value);
      bits.ue(3);
    }
    if (idr) bits.bits(0, 2);
    else if (reference) {
      bits.bit(operations.length > 0 ? 1 : 0);
      if (operations.length > 0) for (const value of [...operations.flat(), 0]) bits.ue(value);
    }
    bits.ue(0);
    bits.ue(1); // no deblocking
  }

  #blocks(bits: Bits, { idr, changes }: H264Choice, first: number, end: number): void {
    const { widthInMbs, heightInMbs } = this.#format;
    const values = new Map(changes.map(({ block, value }) => [block % (widthInMbs * heightInMbs), value]));
    let skipped = 0;
    for (let block = first; block < end; block += 1) {
      const value = values.get(block) ?? (idr ? block * 37 : null);
      if (value === null) {
        skipped += 1;
        continue;
      }
      if (!idr) bits.ue(skipped);
      skipped = 0;
      bits.ue(idr ? 25 : 30);
      bits.align();
      // Many zeros: what looks like a start code has to be told apart.
      for (let i = 0; i < 384; i += 1) bits.bits(i % 5 === 0 ? (value + i) & 0xff : value & 3, 8);
    }
    if (skipped > 0) bits.ue(skipped);
  }
}
