import { compactState, type H264Decoder, isIdr, SessionDecoder, type YuvFrame } from '@lucid-sessions/graphics';
import { type Frame, frameFlags } from '@lucid-sessions/recording';
import {
  drawFrame,
  isReplayed,
  lacksH264,
  lookBefore,
  type ReplayTally,
  tallyOf,
  throwFailure,
} from '@lucid-sessions/recording/replay';
import {
  deltaLength,
  encodeKeyframe,
  type KeyframeBase,
  type KeyframePlace,
  keyframeBase,
  keyframeState,
  openKeyframes,
  packState,
} from '@lucid-sessions/recording/session-index';
import { BareState } from './bare-state.ts';

/** Keyframes may cost so much of what is stored; the index beside them costs the rest of a tenth. */
const shareMax = 0.08;
/** So much is decoded from a keyframe on before there is another: less where a whole chunk has to be fetched for it … */
const workBytesMax = 512 * 1024;
const workBytesOfChunk = 256 * 1024;
/** … and next to nothing where many have to be. */
const chunksMax = 12;
/** A bare state costs next to nothing, but trying it does. */
const workBytesOfBare = 64 * 1024;
const bareBytesGuess = 8 * 1024;
/** The rest is for those told from the first one. */
const borrowedMax = 7 / 8;
/** What a keyframe costs beside its own bytes: the sidecar's seal, and a row in the list. */
const sidecarBytes = 128;
/** In H.264 a state with pixels leaves as much as it costs for later ones without, which are worth more. */
const leftInH264 = 2;
/** However short an H.264 picture is, every pixel of it is decoded. */
const workBytesPerPixel = 1 / 128;
/** One that costs so much has to save twice the work, and so on up to a limit. */
const costlyBytes = 64 * 1024;
const costlinessMax = 2;
/** What the first one is thought to cost. */
const firstBytesGuess = 64 * 1024;

/** States kept to tell others from: people go back and forth between the same few pictures. */
const basesMax = 6;
/** So many are told one from the other at most. */
const depthMax = 3;
/** A difference of this part of a whole state is no saving worth another file to read. */
const wholeFrom = 0.7;

interface Base extends KeyframeBase {
  depth: number;
}

interface Encoded {
  place: KeyframePlace;
  packed: Uint8Array;
  bytes: Uint8Array;
  base: Base | null;
}

export interface MadeKeyframe extends KeyframePlace {
  number: number;
  base: number;
  lean: boolean;
  /** Encoded, not encrypted. */
  bytes: Uint8Array;
}

/** What the walk goes on from. */
export interface KeyframeWalkStart {
  /** The last keyframe after its bases; empty at the first chunk. */
  chain: Uint8Array[];
  nextNumber: number;
  storedBytes: number;
  /** Of the whole recording, as far as it is stored: at least what was walked. */
  knownBytes?: number;
  keyframeBytes: number;
  /** Keep the graphics channel's past from the beginning. */
  whole: boolean;
}

/**
 * Decodes a recording once and leaves states behind: as many as their share of the stored bytes allows, none where there is
 * little to decode. Where H.264 begins and there is no decoder for it, the states end.
 */
export class KeyframeWalk {
  readonly #createH264Decoder: () => H264Decoder;
  readonly #decoder = new SessionDecoder({ createH264Decoder: () => this.#h264Decoder() });
  /** In order of last use. */
  #bases: Base[] = [];
  /** What the last whole keyframe cost. */
  #wholeBytes = 0;
  readonly #depth: 'whole' | 'lean';
  #number: number;
  #storedBytes: number;
  readonly #knownBytes: number;
  #keyframeBytes: number;
  /** What the next one will cost, as far as the last one tells. */
  #guessBytes = firstBytesGuess;
  #workBytes = 0;
  #walked = { chunks: 0, untilUs: 0 };
  #place: KeyframePlace = { chunkIndex: 0, frameIndex: 0, timeUs: 0 };
  /** A state that may do without its pixels, and where it was. */
  #bare: { state: BareState; place: Omit<KeyframePlace, 'timeUs'> } | null = null;
  #h264 = false;
  /** An IDR picture was decoded since. */
  #idr = false;

  private constructor(start: KeyframeWalkStart, createH264Decoder: () => H264Decoder) {
    this.#createH264Decoder = createH264Decoder;
    this.#depth = start.whole ? 'whole' : 'lean';
    this.#number = start.nextNumber;
    this.#storedBytes = start.storedBytes;
    this.#knownBytes = start.knownBytes ?? 0;
    this.#keyframeBytes = start.keyframeBytes;
  }

  static async begin(start: KeyframeWalkStart, createH264Decoder: () => H264Decoder): Promise<KeyframeWalk> {
    const walk = new KeyframeWalk(start, createH264Decoder);
    const opened = await openKeyframes(start.chain);
    const last = opened.at(-1);
    if (last === undefined) return walk;
    for (const [depth, keyframe] of opened.entries()) if (depth < depthMax) walk.#useBase({ ...keyframe, depth });
    walk.#wholeBytes = start.chain[0]!.length;
    walk.#guessBytes = start.chain.at(-1)!.length;
    walk.#place = last;
    walk.#decoder.restore(keyframeState(last));
    return walk;
  }

  /** H.264 was met that can't be decoded here: no state from there on would be the whole state. */
  get lacksH264(): boolean {
    return lacksH264(this.#decoder);
  }
  /** Lean keyframes made so far are of no use any more. */
  get usesHistory(): boolean {
    return this.#decoder.usesGraphicsHistory;
  }

  /**
   * The next chunk's frames; those before the place the walk began at are passed over. `again`: the file was counted, and
   * had its keyframes, in an earlier walk. `rest` is asked after every frame, and waited for where it answers a promise.
   */
  async chunk(
    index: number,
    frames: readonly Frame[],
    fileBytes: number,
    again: boolean,
    rest: () => Promise<void> | null = () => null,
  ): Promise<MadeKeyframe[]> {
    if (!again) this.#storedBytes += fileBytes;
    const made: MadeKeyframe[] = [];
    const first = index === this.#place.chunkIndex ? this.#place.frameIndex : 0;
    let { timeUs } = this.#place;
    for (let at = first; at < frames.length && !this.lacksH264; at += 1) {
      const frame = frames[at]!;
      timeUs = Math.max(timeUs, frame.timeUs);
      await lookBefore(this.#decoder, frame);
      if (!isReplayed(frame)) continue;
      if (!again) await this.#beginBare(frame, { chunkIndex: index, frameIndex: at });
      await this.#take(frame);
      await rest();
      if (again || this.lacksH264) continue;
      const keyframe =
        (await this.#keepBare(frame, timeUs)) ?? (await this.#keep({ chunkIndex: index, frameIndex: at + 1, timeUs }));
      if (keyframe !== null) made.push(keyframe);
    }
    if (this.#place.chunkIndex <= index) this.#place = { ...this.#place, timeUs };
    this.#walked = { chunks: index + 1, untilUs: timeUs };
    return made;
  }

  /** What could be drawn up to the end of the last chunk. */
  async replay(): Promise<ReplayTally> {
    await this.#decoder.settle();
    throwFailure(this.#decoder);
    return tallyOf(this.#decoder, this.#walked);
  }

  close(): void {
    this.#decoder.close();
  }

  async #take(frame: Frame): Promise<void> {
    if ((frame.flags & frameFlags.serverToClient) !== 0) this.#workBytes += frame.body.length;
    // Whether the picture that is waited for has come has to be known at once.
    await drawFrame(this.#decoder, frame, this.#bare !== null);
  }

  #h264Decoder(): H264Decoder {
    const decoder = this.#createH264Decoder();
    this.#h264 = true;
    const count = (unit: Uint8Array, frame: YuvFrame | null): void => {
      if (isIdr(unit)) this.#idr = true;
      if (frame) this.#workBytes += Math.floor(frame.width * frame.height * workBytesPerPixel);
    };
    return {
      decode: async (unit) => {
        const frame = await decoder.decode(unit);
        count(unit, frame);
        return frame;
      },
      decodeRun: (units, wanted, take) =>
        decoder.decodeRun!(units, wanted, (index, frame) => {
          count(units[index]!, frame);
          take(index, frame);
        }),
      close: () => decoder.close(),
    };
  }

  get #allowanceBytes(): number {
    return this.#storedBytes * shareMax - this.#keyframeBytes - sidecarBytes;
  }

  /**
   * A bare state is worth so much that it may be paid from what lies ahead and is stored already. The first one holds what the
   * connection's beginning left in the bulk compressor; all others are told from it, which takes next to nothing.
   */
  get #bareAllowanceBytes(): number {
    const ahead = Math.max(this.#storedBytes, this.#knownBytes) * shareMax - this.#keyframeBytes - sidecarBytes;
    return Math.max(this.#allowanceBytes, ahead * borrowedMax);
  }

  get #left(): number {
    return this.#h264 && this.#number > 1 ? leftInH264 : 1;
  }

  /** How much further apart they are for what the last one cost: what costs much has to save much. */
  get #costliness(): number {
    return Math.min(costlinessMax, 1 + this.#guessBytes / costlyBytes);
  }

  #due({ chunkIndex }: KeyframePlace): boolean {
    const chunks = chunkIndex - this.#place.chunkIndex;
    const wanted = (chunks === 0 ? workBytesMax : workBytesOfChunk) * this.#costliness;
    const far = chunks >= chunksMax || this.#workBytes >= wanted;
    return far && this.#allowanceBytes >= this.#guessBytes * this.#left;
  }

  async #beginBare(frame: Frame, place: Omit<KeyframePlace, 'timeUs'>): Promise<void> {
    const due = this.#h264 && this.#bare === null && this.#workBytes >= workBytesOfBare;
    if (!due || this.#bareAllowanceBytes < bareBytesGuess) return;
    const state = await BareState.before(frame, this.#decoder, this.#depth);
    if (state === null) return;
    this.#bare = { state, place };
    this.#idr = false;
  }

  /** A state before the IDR picture that was just drawn. */
  async #keepBare(frame: Frame, timeUs: number): Promise<MadeKeyframe | null> {
    const bare = this.#bare;
    if (bare === null) return null;
    const goesOn = bare.state.add(frame);
    const after = this.#idr ? this.#decoder.snapshot('lean') : null;
    if (goesOn && after === null) return null;
    this.#bare = null;
    const packed = after && (await bare.state.packedIf(after, this.#createH264Decoder));
    if (packed === null) return null;
    const place = { ...bare.place, timeUs };
    const { bytes, base } = await this.#encode(place, packed);
    return bytes.length > this.#bareAllowanceBytes ? null : this.#made({ place, packed, bytes, base });
  }

  async #keep(place: KeyframePlace): Promise<MadeKeyframe | null> {
    if (this.#bare !== null || !this.#due(place)) return null;
    await this.#decoder.settle();
    const snapshot = this.#decoder.snapshot(this.#depth);
    if (snapshot === null || this.#decoder.screen.width === 0) return null;
    const packed = packState(compactState(snapshot));
    const { bytes, base } = await this.#encode(place, packed);
    this.#guessBytes = bytes.length;
    if (bytes.length * this.#left > this.#allowanceBytes) return null;
    return this.#made({ place, packed, bytes, base });
  }

  #made({ place, packed, bytes, base }: Encoded): MadeKeyframe {
    const number = this.#number;
    const depth = base === null ? 0 : base.depth + 1;
    if (base === null) this.#wholeBytes = bytes.length;
    else this.#useBase(base);
    if (depth < depthMax) this.#useBase({ ...keyframeBase(number, packed, bytes), depth });
    this.#keyframeBytes += bytes.length + sidecarBytes;
    this.#number += 1;
    this.#workBytes = 0;
    this.#place = place;
    const lean = this.#depth === 'lean' && !this.usesHistory;
    return { number, base: base?.number ?? 0, lean, bytes, ...place };
  }

  /** Encoded against the base it shares most blocks with; without a base where that is hardly longer and the budget allows it. */
  async #encode(place: KeyframePlace, packed: Uint8Array): Promise<{ bytes: Uint8Array; base: Base | null }> {
    const head = { number: this.#number, ...place };
    let base: Base | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const candidate of this.#bases) {
      const length = deltaLength(packed, candidate.packed);
      if (length >= least) continue;
      least = length;
      base = candidate;
    }
    const bytes = await encodeKeyframe(head, packed, base);
    if (base === null || bytes.length < wholeFrom * this.#wholeBytes) return { bytes, base };
    const whole = await encodeKeyframe(head, packed, null);
    return whole.length <= this.#allowanceBytes ? { bytes: whole, base: null } : { bytes, base };
  }

  /** A base for later ones; the one not used for longest goes. */
  #useBase(base: Base): void {
    this.#bases = [...this.#bases.filter((known) => known !== base), base].slice(-basesMax);
  }
}
