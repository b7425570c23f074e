import { SessionDecoder, type SessionSnapshot } from '@lucid-sessions/rdp/graphics';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import {
  decodeKeyframe,
  encodeKeyframe,
  type KeyframeBase,
  type KeyframePlace,
  keyframeHead,
  packState,
  unpackState,
} from '@lucid-sessions/recording/session-index';

/** Keyframes may cost so much of what is stored; the index beside them costs the rest of a tenth. */
const shareMax = 0.08;
/** Decoding less than this from a keyframe on is quicker than fetching another one. */
const workBytesMin = 512 * 1024;
/** Nor is it quick to fetch many chunks with nothing in them. */
const chunksMax = 12;
/** What the first one is thought to cost. */
const firstBytesGuess = 64 * 1024;

const basesMax = 2;

interface Base extends KeyframeBase {
  /** As a keyframe. */
  bytes: number;
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
  /** The last keyframe, behind those it is told from; empty at the first chunk. */
  chain: Uint8Array[];
  nextNumber: number;
  storedBytes: number;
  keyframeBytes: number;
  /** Keep the graphics channel's past from the beginning. */
  whole: boolean;
}

/**
 * Decodes a recording once and leaves states behind: as many as their share of the stored bytes allows, none where there is
 * little to decode. H.264 is not decoded here, so where it begins the states end.
 */
export class KeyframeWalk {
  readonly #decoder = new SessionDecoder({
    createH264Decoder: () => {
      this.#h264 = true;
      return { decode: () => null, close: () => {} };
    },
  });
  #h264 = false;
  /** What keyframes are told from: a whole one, then at most one that is told from it. */
  #bases: Base[] = [];
  readonly #depth: 'whole' | 'lean';
  #number: number;
  #storedBytes: number;
  #keyframeBytes: number;
  /** What the next one will cost, as far as the last one tells. */
  #guessBytes = firstBytesGuess;
  #workBytes = 0;
  #place: KeyframePlace = { chunkIndex: 0, frameIndex: 0, timeUs: 0 };

  private constructor(start: KeyframeWalkStart) {
    this.#depth = start.whole ? 'whole' : 'lean';
    this.#number = start.nextNumber;
    this.#storedBytes = start.storedBytes;
    this.#keyframeBytes = start.keyframeBytes;
  }

  static async begin(start: KeyframeWalkStart): Promise<KeyframeWalk> {
    const walk = new KeyframeWalk(start);
    let packed: Uint8Array | null = null;
    for (const bytes of start.chain) {
      const base = walk.#bases.at(-1) ?? null;
      packed = await decodeKeyframe(bytes, base);
      if (walk.#bases.length < basesMax)
        walk.#bases.push({ number: keyframeHead(bytes).number, packed, bytes: bytes.length });
      walk.#place = keyframeHead(bytes);
      walk.#guessBytes = bytes.length;
    }
    if (packed !== null) walk.#decoder.restore(unpackState(packed) as SessionSnapshot);
    return walk;
  }

  /** H.264 was met: no state from here on would be the whole state. */
  get h264(): boolean {
    return this.#h264;
  }
  /** Lean keyframes made so far are of no use any more. */
  get usesHistory(): boolean {
    return this.#decoder.usesGraphicsHistory;
  }

  /**
   * The next chunk's frames; those before the place the walk began at are passed over. `again`: the file was counted, and
   * had its keyframes, in an earlier walk.
   */
  async chunk(index: number, frames: readonly Frame[], fileBytes: number, again: boolean): Promise<MadeKeyframe[]> {
    if (!again) this.#storedBytes += fileBytes;
    const made: MadeKeyframe[] = [];
    const first = index === this.#place.chunkIndex ? this.#place.frameIndex : 0;
    let { timeUs } = this.#place;
    for (let at = first; at < frames.length && !this.#h264; at += 1) {
      const frame = frames[at]!;
      timeUs = Math.max(timeUs, frame.timeUs);
      await this.#take(frame);
      const keyframe = again ? null : await this.#keep({ chunkIndex: index, frameIndex: at + 1, timeUs });
      if (keyframe !== null) made.push(keyframe);
    }
    if (this.#place.chunkIndex <= index) this.#place = { ...this.#place, timeUs };
    return made;
  }

  close(): void {
    this.#decoder.close();
  }

  async #take({ kind, flags, body }: Frame): Promise<void> {
    if (kind !== frameKinds.pdu || (flags & frameFlags.receivedOnly) !== 0) return;
    const fromServer = (flags & frameFlags.serverToClient) !== 0;
    if (fromServer) this.#workBytes += body.length;
    await this.#decoder.push({ fromServer, bytes: body });
    this.#decoder.screen.takeDirty();
  }

  get #allowanceBytes(): number {
    return this.#storedBytes * shareMax - this.#keyframeBytes;
  }

  #due({ chunkIndex }: KeyframePlace): boolean {
    const far = this.#workBytes >= workBytesMin || chunkIndex - this.#place.chunkIndex >= chunksMax;
    return far && this.#allowanceBytes >= this.#guessBytes;
  }

  async #keep(place: KeyframePlace): Promise<MadeKeyframe | null> {
    if (!this.#due(place)) return null;
    const snapshot = this.#decoder.snapshot(this.#depth);
    if (snapshot === null || this.#decoder.screen.width === 0) return null;
    const packed = packState(snapshot);
    const made = await this.#encode(place, packed);
    this.#guessBytes = made.bytes.length;
    if (made.bytes.length > this.#allowanceBytes) return null;
    const number = this.#number;
    this.#bases = this.#bases.slice(0, made.depth);
    if (made.depth < basesMax) this.#bases.push({ number, packed, bytes: made.bytes.length });
    this.#keyframeBytes += made.bytes.length;
    this.#number += 1;
    this.#workBytes = 0;
    this.#place = place;
    return {
      number,
      base: this.#bases[made.depth - 1]?.number ?? 0,
      lean: this.#depth === 'lean' && !this.usesHistory,
      bytes: made.bytes,
      ...place,
    };
  }

  /** Told from the nearest base; what has come far from it is a better base itself, where that can be afforded. */
  async #encode(place: KeyframePlace, packed: Uint8Array): Promise<{ bytes: Uint8Array; depth: number }> {
    const head = { number: this.#number, ...place };
    let depth = this.#bases.length;
    let bytes = await encodeKeyframe(head, packed, this.#bases[depth - 1] ?? null);
    while (depth > 0 && bytes.length > this.#bases[depth - 1]!.bytes / 2) {
      const wider = await encodeKeyframe(head, packed, this.#bases[depth - 2] ?? null);
      if (wider.length > this.#allowanceBytes) break;
      bytes = wider;
      depth -= 1;
    }
    return { bytes, depth };
  }
}
