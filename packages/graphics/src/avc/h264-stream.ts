import { DecodeError, joinBytes } from '@lucid-sessions/wire';
import type { Rectangle } from '../pixels.ts';
import type { H264Decoder, YuvFrame } from './h264-decoder.ts';
import { isSlice, joinNals, nalPps, nalSps, nalType, picturesCount, splitNals } from './h264-nal.ts';
import {
  type PictureParameters,
  readPictureParameters,
  readSequenceParameters,
  type SequenceParameters,
} from './h264-parameters.ts';
import { writeReferences } from './h264-picture-writer.ts';
import { type ReferencePicture, References, type ReferencesSnapshot } from './h264-references.ts';
import {
  type Renumbering,
  readSliceHeader,
  renumberedSlice,
  type SliceHeader,
  sliceParametersId,
} from './h264-slice.ts';

/** What a decoder of the stream has to know to go on: plain values, shared and never changed. */
export interface H264StreamSnapshot {
  /** NAL units, those of sequences before those of pictures. */
  readonly parameterSets: readonly Uint8Array[];
  /** Of the stream's pictures. */
  readonly sequenceId: number;
  readonly references: ReferencesSnapshot;
}

/** Pixels of reference pictures kept for one stream: two of 8K, eight of 4K. Beyond, the stream's state can't be saved. */
const referencePixelsMax = 1 << 26;
const parameterBytesMax = 64 * 1024;

/** One picture of the stream: its first slice's header and what that refers to. */
interface Picture {
  readonly header: SliceHeader;
  readonly sps: SequenceParameters;
}

/** An access unit in its place in the stream: to be decoded in the order they were planned. */
export interface PlannedUnit {
  /** What the decoder is given, the unit's own picture last. */
  readonly units: readonly Uint8Array[];
  /** null where it holds none that can be told. */
  readonly picture: Picture | null;
  /** IDR pictures before it. */
  readonly idrs: number;
}

/** In place of pictures nothing refers to any more by the time somebody could ask. */
const absent: ReferencePicture = {
  width: 0,
  height: 0,
  y: new Uint8Array(0),
  u: new Uint8Array(0),
  v: new Uint8Array(0),
  strideY: 0,
  strideUv: 0,
};

/**
 * An H.264 stream whose state can be saved at any picture and restored into another decoder, which no decoder offers: what later
 * pictures may refer to is followed in the slice headers and kept, and the new decoder is given those pictures as I_PCM
 * macroblocks. Their numbers begin at 0, so the stream's own are changed to follow on, until its next IDR picture.
 */
export class H264Stream {
  readonly #decoder: H264Decoder;
  readonly #references = new References();
  readonly #sets = new Map<string, Uint8Array>();
  #sps = new Map<number, SequenceParameters>();
  #pps = new Map<number, PictureParameters>();
  #sequenceId = 0;
  /** False where what the decoder holds is not known: before the first IDR picture, or behind something that could not be followed. */
  #followed = false;
  /** frame_num of the last reference picture planned. */
  #frameNum = 0;
  #idrs = 0;
  #renumbering: Renumbering | null = null;
  #last: ReferencePicture | null = null;
  /** Pictures no state shares: their memory is used again when nothing refers to them any more. */
  readonly #own = new Set<ReferencePicture>();
  #spare: Uint8Array<ArrayBuffer>[] = [];
  /** Access units the decoder has to be given before the next one. */
  #before: readonly Uint8Array[] = [];

  constructor(decoder: H264Decoder) {
    this.#decoder = decoder;
  }

  close(): void {
    this.#decoder.close();
  }

  /** The picture of the last access unit, where others may refer to it; its memory is used again later unless a state has it. */
  get lastReference(): ReferencePicture | null {
    return this.#last;
  }

  /** Copies the unit: its bytes may be gone by the time it is decoded. */
  plan(unit: Uint8Array): PlannedUnit {
    const nals = splitNals(unit);
    const picture = this.#follow(nals);
    const units = [...this.#before, this.#numbered(unit, nals, picture)];
    this.#before = [];
    return { units, picture, idrs: this.#idrs };
  }

  async #decodeOne(planned: PlannedUnit): Promise<YuvFrame | null> {
    this.#last = null;
    try {
      let frame: YuvFrame | null = null;
      for (const unit of planned.units) frame = await this.#decoder.decode(unit);
      this.#decoded(planned, frame, true);
      return frame;
    } catch (error) {
      this.#lose(planned);
      throw error;
    }
  }

  /** `take` is given each picture in turn (see `H264Decoder.decodeRun`). What goes wrong is given to `take`, and the next one is tried. */
  async decodeRun(
    run: readonly PlannedUnit[],
    wanted: (index: number) => Rectangle | null,
    take: (index: number, result: YuvFrame | null | Error) => void,
  ): Promise<void> {
    for (let index = 0; index < run.length; ) {
      const count = this.#decoder.decodeRun ? run.slice(index).findIndex(({ picture }) => picture === null) : 0;
      const end = count < 0 ? run.length : index + count;
      if (end - index > 1) index += await this.#decodeTogether(run.slice(index, end), index, wanted, take);
      else {
        take(index, await this.#decodeOne(run[index]!).catch((error: Error) => error));
        index += 1;
      }
    }
  }

  /** Answers how many it took. */
  async #decodeTogether(
    run: readonly PlannedUnit[],
    first: number,
    wanted: (index: number) => Rectangle | null,
    take: (index: number, result: YuvFrame | null | Error) => void,
  ): Promise<number> {
    const kept = keptPictures(run);
    /** For every unit the decoder is given, whose picture it is; −1 for those that only bring it there. */
    const owners = run.flatMap(({ units }, index) => units.map((_, at) => (at === units.length - 1 ? index : -1)));
    let taken = 0;
    try {
      await this.#decoder.decodeRun!(
        run.flatMap(({ units }) => units),
        (unit) => {
          const owner = owners[unit]!;
          if (owner < 0) return null;
          return kept.has(owner) ? wholePicture(run[owner]!) : wanted(first + owner);
        },
        (unit, frame) => {
          const owner = owners[unit]!;
          if (owner < 0) return;
          taken = owner + 1;
          this.#decoded(run[owner]!, frame, kept.has(owner));
          take(first + owner, frame);
        },
      );
    } catch (error) {
      this.#lose(run[taken]!);
      take(first + taken, error as Error);
      taken += 1;
    }
    if (this.#references.has(absent)) this.#followed = false;
    return taken;
  }

  refersTo(picture: ReferencePicture): boolean {
    return this.#references.has(picture);
  }

  /** null while no other decoder could be brought to where this one stands. */
  snapshot(): H264StreamSnapshot | null {
    if (!this.#followed) return null;
    this.#own.clear();
    return {
      parameterSets: [...this.#sets.values()].sort((a, b) => nalType(a) - nalType(b)),
      sequenceId: this.#sequenceId,
      references: this.#references.snapshot(),
    };
  }

  /** Of a stream whose decoder has decoded nothing yet. Throws `DecodeError`. */
  restore({ parameterSets, sequenceId, references }: H264StreamSnapshot): void {
    for (const nal of parameterSets) this.#keepParameters(nal);
    this.#sequenceId = sequenceId;
    this.#references.restore(references);
    this.#frameNum = references.frameNum;
    const sps = this.#sps.get(sequenceId);
    if (!sps) throw new DecodeError('invalid', 'an h.264 state lacks its sequence parameter set');
    const { units, frameNum, pictureOrder } = writeReferences(
      this.#references.list(sps),
      references.longCount,
      sps,
      this.#unusedPictureParametersId(),
    );
    this.#before = units.map((unit, i) => (i === 0 ? joinBytes([joinNals(parameterSets), unit]) : unit));
    this.#renumbering = {
      frameNum: frameNum - references.frameNum,
      pictureOrder: pictureOrder - references.pictureOrder,
    };
    this.#followed = true;
  }

  #unusedPictureParametersId(): number {
    let id = 255;
    while (this.#pps.has(id)) id -= 1;
    if (id < 0) throw new DecodeError('unsupported', 'an h.264 stream uses every picture parameter set');
    return id;
  }

  /** The unit's picture, or null where it holds none that can be told. */
  #follow(nals: readonly Uint8Array[]): Picture | null {
    try {
      for (const nal of nals) this.#keepParameters(nal);
      const slice = nals.find(isSlice);
      if (!slice) return null;
      if (picturesCount(nals) !== 1)
        throw new DecodeError('unsupported', 'an h.264 access unit holds several pictures');
      const picture = this.#pictureOf(slice);
      if (picture.header.idr) {
        this.#followed = true;
        this.#idrs += 1;
        this.#renumbering = null;
      } else if (picture.header.frameNum !== (this.#frameNum + 1) % (1 << picture.sps.frameNumBits))
        // A picture is missing: what a decoder makes of that is its own.
        this.#followed = false;
      if (picture.header.reference) this.#frameNum = picture.header.frameNum;
      return picture;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#followed = false;
      return null;
    }
  }

  #keepParameters(nal: Uint8Array): void {
    const type = nalType(nal);
    if (type !== nalSps && type !== nalPps) return;
    const kept = nal.slice();
    if (type === nalSps) {
      const sps = readSequenceParameters(nal);
      this.#sps.set(sps.id, sps);
      this.#sets.set(`sps ${sps.id}`, kept);
    } else {
      const pps = readPictureParameters(nal);
      this.#pps.set(pps.id, pps);
      this.#sets.set(`pps ${pps.id}`, kept);
    }
    let bytes = 0;
    for (const { length } of this.#sets.values()) bytes += length;
    if (bytes > parameterBytesMax) throw new DecodeError('limit', 'an h.264 stream has too many parameter sets');
  }

  #pictureOf(slice: Uint8Array): Picture {
    const pps = this.#pps.get(sliceParametersId(slice));
    const sps = pps && this.#sps.get(pps.sequenceId);
    if (!sps) throw new DecodeError('invalid', 'an h.264 slice names parameter sets that never came');
    this.#sequenceId = sps.id;
    return { header: readSliceHeader(slice, sps, pps), sps };
  }

  /** What the decoder is given: the unit as it is, or with numbers that follow on those of the pictures it was given before. */
  #numbered(unit: Uint8Array, nals: readonly Uint8Array[], picture: Picture | null): Uint8Array {
    const by = this.#renumbering;
    if (by === null || picture === null) return unit.slice();
    try {
      const numbered = (nal: Uint8Array): Uint8Array =>
        isSlice(nal) ? renumberedSlice(nal, this.#pictureOf(nal).header, picture.sps, by) : nal;
      return joinNals(nals.map(numbered));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#followed = false;
      return unit.slice();
    }
  }

  #decoded(planned: PlannedUnit, frame: YuvFrame | null, whole: boolean): void {
    this.#last = null;
    if (!this.#followed || !planned.picture) return;
    const { header, sps } = planned.picture;
    try {
      if (frame?.width !== sps.codedWidth || frame.height !== sps.codedHeight)
        throw new DecodeError('invalid', 'an h.264 picture did not come, or of another size than its stream');
      if (header.reference) this.#last = whole ? this.#copyOf(frame) : absent;
      this.#references.add(header, sps, this.#last);
      this.#takeBack();
      if (this.#references.pixelsCount > referencePixelsMax)
        throw new DecodeError('limit', 'an h.264 stream keeps too many pixels');
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#lose(planned);
    }
  }

  /** Nothing is known any more until the next IDR picture, which may have been planned already. */
  #lose({ idrs }: PlannedUnit): void {
    if (idrs === this.#idrs) this.#followed = false;
  }

  #copyOf(frame: YuvFrame): ReferencePicture {
    const length = (frame.width * frame.height * 3) / 2;
    const memory = this.#spare.pop() ?? new Uint8Array(length);
    const picture = copyInto(memory.length === length ? memory : new Uint8Array(length), frame);
    this.#own.add(picture);
    return picture;
  }

  #takeBack(): void {
    for (const picture of this.#own) {
      if (this.#references.has(picture)) continue;
      this.#own.delete(picture);
      this.#spare = [memoryOf(picture)];
    }
  }
}

/** Pictures of a run that may be referred to behind its end: the last ones, or all where the stream says which to keep. */
function keptPictures(run: readonly PlannedUnit[]): Set<number> {
  const references = [...run.keys()].filter((index) => run[index]!.picture!.header.reference);
  const marked = run.some(({ picture }) => picture!.header.marking !== null || picture!.header.longTerm);
  const count = Math.max(...run.map(({ picture }) => picture!.sps.referencesMax));
  return new Set(marked ? references : references.slice(-count));
}

const wholePicture = ({ picture }: PlannedUnit): Rectangle => ({
  left: 0,
  top: 0,
  width: picture!.sps.codedWidth,
  height: picture!.sps.codedHeight,
});

const memoryOf = ({ y }: ReferencePicture): Uint8Array<ArrayBuffer> => new Uint8Array(y.buffer as ArrayBuffer);

/** A copy without the decoder's padding; all planes lie in `memory`. */
function copyInto(memory: Uint8Array<ArrayBuffer>, frame: YuvFrame): ReferencePicture {
  const { width, height, strideY, strideUv } = frame;
  const lumaBytes = width * height;
  const y = memory.subarray(0, lumaBytes);
  const u = memory.subarray(lumaBytes, lumaBytes + lumaBytes / 4);
  const v = memory.subarray(lumaBytes + lumaBytes / 4);
  copyRows(y, width, frame.y, strideY);
  copyRows(u, width >> 1, frame.u, strideUv);
  copyRows(v, width >> 1, frame.v, strideUv);
  return { width, height, y, u, v, strideY: width, strideUv: width >> 1 };
}

function copyRows(target: Uint8Array, width: number, source: Uint8Array, stride: number): void {
  if (stride === width) target.set(source.subarray(0, target.length));
  else
    for (let to = 0, from = 0; to < target.length; to += width, from += stride)
      target.set(source.subarray(from, from + width), to);
}
