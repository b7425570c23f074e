import { DecodeError } from '@lucid-sessions/wire';
import type { YuvFrame } from './h264-decoder.ts';
import type { SequenceParameters } from './h264-parameters.ts';
import type { MarkingOperation, SliceHeader } from './h264-slice.ts';

/** A decoded picture later ones may refer to, rows without padding. Never changed once it is made: states share it. */
export type ReferencePicture = YuvFrame;

export interface Reference {
  readonly picture: ReferencePicture;
  /** Reference pictures decoded since: 0 for the last one, by frame_num. Long-term ones have none. */
  readonly age: number;
  /** LongTermFrameIdx, null for a short-term reference. */
  readonly longTermIndex: number | null;
}

export interface ReferencesSnapshot {
  readonly short: readonly { readonly frameNum: number; readonly picture: ReferencePicture }[];
  readonly long: readonly (readonly [number, ReferencePicture])[];
  readonly longCount: number;
  /** frame_num of the last reference picture. */
  readonly frameNum: number;
  /** pic_order_cnt_lsb of the last picture: the next one follows on it, or ffmpeg waits for one between. */
  readonly pictureOrder: number;
}

/**
 * Which pictures an H.264 decoder holds for later ones to refer to: decoded reference picture marking, ITU-T H.264 clause 8.2.5,
 * for frames.
 */
export class References {
  /** In the order they were decoded. */
  #short: { frameNum: number; picture: ReferencePicture }[] = [];
  #long = new Map<number, ReferencePicture>();
  /** MaxLongTermFrameIdx + 1. */
  #longCount = 0;
  #frameNum = 0;
  #pictureOrder = 0;

  snapshot(): ReferencesSnapshot {
    return {
      short: [...this.#short],
      long: [...this.#long],
      longCount: this.#longCount,
      frameNum: this.#frameNum,
      pictureOrder: this.#pictureOrder,
    };
  }

  restore(snapshot: ReferencesSnapshot): void {
    this.#short = [...snapshot.short];
    this.#long = new Map(snapshot.long);
    this.#longCount = snapshot.longCount;
    this.#frameNum = snapshot.frameNum;
    this.#pictureOrder = snapshot.pictureOrder;
  }

  has(picture: ReferencePicture): boolean {
    return this.#short.some((reference) => reference.picture === picture) || [...this.#long.values()].includes(picture);
  }

  get pixelsCount(): number {
    const pictures = [...this.#short.map(({ picture }) => picture), ...this.#long.values()];
    return pictures.reduce((sum, { width, height }) => sum + width * height, 0);
  }

  /** A picture was decoded; `picture` where others may refer to it. Throws `DecodeError`. */
  add(header: SliceHeader, sps: SequenceParameters, picture: ReferencePicture | null): void {
    this.#pictureOrder = header.pictureOrder;
    if (picture) this.#mark(header, sps, picture);
  }

  #mark(header: SliceHeader, sps: SequenceParameters, picture: ReferencePicture): void {
    const { frameNum } = header;
    if (header.idr) {
      this.#short = [];
      this.#long.clear();
      this.#longCount = header.longTerm ? 1 : 0;
    }
    let longTermIndex = header.longTerm ? 0 : null;
    for (const operation of header.marking ?? [])
      longTermIndex = this.#operate(operation, frameNum, sps) ?? longTermIndex;
    if (!header.idr && header.marking === null) this.#slide(sps.referencesMax);
    if (longTermIndex === null) this.#short.push({ frameNum, picture });
    else this.#long.set(longTermIndex, picture);
    if (this.#short.length + this.#long.size > sps.referencesMax)
      throw new DecodeError('invalid', 'an h.264 stream keeps too many reference pictures');
    this.#frameNum = frameNum;
  }

  /** Sliding window, clause 8.2.5.3. */
  #slide(referencesMax: number): void {
    while (this.#short.length > 0 && this.#short.length + this.#long.size >= referencesMax) this.#short.shift();
  }

  /** Clause 8.2.5.4. Answers the LongTermFrameIdx the picture itself gets. */
  #operate(operation: MarkingOperation, frameNum: number, sps: SequenceParameters): number | null {
    switch (operation.kind) {
      case 'forgetShort':
        this.#take(operation.distance, frameNum, sps);
        return null;
      case 'forgetLong':
        this.#long.delete(operation.longNumber);
        return null;
      case 'makeLong': {
        const picture = this.#take(operation.distance, frameNum, sps);
        if (picture && operation.index < this.#longCount) this.#long.set(operation.index, picture);
        return null;
      }
      case 'limitLong':
        this.#longCount = Math.min(operation.count, sps.referencesMax);
        for (const index of this.#long.keys()) if (index >= this.#longCount) this.#long.delete(index);
        return null;
      case 'markLong':
        if (operation.index >= this.#longCount)
          throw new DecodeError('invalid', 'an h.264 long-term index is too large');
        return operation.index;
      default:
        throw new DecodeError('unsupported', 'an h.264 stream begins anew without an IDR picture');
    }
  }

  /** Takes away the short-term reference `distance` before the picture of `frameNum`. */
  #take(distance: number, frameNum: number, { frameNumBits }: SequenceParameters): ReferencePicture | null {
    const range = 1 << frameNumBits;
    const wanted = (frameNum - distance + range) % range;
    const at = this.#short.findIndex((reference) => reference.frameNum === wanted);
    return at < 0 ? null : this.#short.splice(at, 1)[0]!.picture;
  }

  /** In the order a decoder can be given them: long-term ones, then short-term ones from the oldest on. */
  list({ frameNumBits }: SequenceParameters): Reference[] {
    const range = 1 << frameNumBits;
    const long = [...this.#long].map(([longTermIndex, picture]) => ({ picture, age: 0, longTermIndex }));
    const short = this.#short.map(({ frameNum, picture }) => ({
      picture,
      age: (this.#frameNum - frameNum + range) % range,
      longTermIndex: null,
    }));
    return [...long, ...short];
  }
}
