import { PAYLOAD_HEADER_BYTES } from './frame.ts';

/** Why a chunk closed. */
export type ChunkCloseReason = 'size' | 'age' | 'gap' | 'pause' | 'end';

/** What the owner of the frames has to do, in order. */
export type ChunkerEffect =
  | { type: 'open'; index: number; openedUs: number; firstFrameNumber: number; gapBefore: boolean }
  | {
      type: 'close';
      index: number;
      reason: ChunkCloseReason;
      openedUs: number;
      closedUs: number;
      firstFrameNumber: number;
      framesCount: number;
      /** Payload header included. */
      payloadBytes: number;
      /** No frame crossed while it was open: a heartbeat. */
      empty: boolean;
      final: boolean;
    };

export interface ChunkerLimits {
  /** Payload bytes (header included) above which no further frame goes into a chunk that has one already. */
  payloadBytesMax: number;
  /** A chunk closes at this age, empty or not. */
  ageUsMax: number;
}

export const CHUNK_AGE_US_MAX = 30_000_000;

interface OpenChunk {
  index: number;
  openedUs: number;
  firstFrameNumber: number;
  framesCount: number;
  payloadBytes: number;
}

/**
 * Decides when chunks open and close; holds no frame. While a session records there is always an open chunk, and it
 * closes at 30 s even if nothing crossed: silence is then a signed statement and not a hole. A pause closes the chunk and
 * opens none. The end always yields a final chunk, an empty one if need be. Times are the caller's wall clock (µs since
 * 1970); one that went backwards is held at the last time seen, so a chunk never closes before it opened.
 */
export class Chunker {
  readonly #limits: ChunkerLimits;
  #open: OpenChunk | null = null;
  #state: 'new' | 'recording' | 'paused' | 'ended' = 'new';
  #nextIndex: number;
  #nextFrameNumber: number;
  #nowUs = 0;
  #gapBefore = false;

  /** `next` carries on a session after a crash. */
  constructor(limits: ChunkerLimits, next: { index: number; frameNumber: number } = { index: 0, frameNumber: 0 }) {
    if (!(limits.payloadBytesMax > PAYLOAD_HEADER_BYTES))
      throw new RangeError('payloadBytesMax leaves no room for a frame');
    if (!(limits.ageUsMax > 0)) throw new RangeError('ageUsMax must be above 0');
    this.#limits = limits;
    this.#nextIndex = next.index;
    this.#nextFrameNumber = next.frameNumber;
  }

  get state(): 'new' | 'recording' | 'paused' | 'ended' {
    return this.#state;
  }

  /** When `tick` has something to do next (µs since 1970), or null. */
  get deadlineUs(): number | null {
    return this.#open === null ? null : this.#open.openedUs + this.#limits.ageUsMax;
  }

  start(nowUs: number): ChunkerEffect[] {
    if (this.#state !== 'new') throw new Error(`a chunker that is ${this.#state} can't start`);
    this.#state = 'recording';
    return [this.#opening(this.#clock(nowUs))];
  }

  /** Before frames of `framesBytes` (headers included) are appended. The frames belong to the chunk open afterwards. */
  append(framesBytes: number, framesCount: number, nowUs: number): ChunkerEffect[] {
    if (this.#state !== 'recording' || this.#open === null)
      throw new Error(`a chunker that is ${this.#state} takes no frames`);
    const effects = this.tick(nowUs);
    if (this.#open.framesCount > 0 && this.#open.payloadBytes + framesBytes > this.#limits.payloadBytesMax)
      effects.push(this.#closing('size', this.#nowUs, false), this.#opening(this.#nowUs));
    this.#open.framesCount += framesCount;
    this.#open.payloadBytes += framesBytes;
    this.#nextFrameNumber += framesCount;
    return effects;
  }

  /** Closes what is too old. A late tick closes one chunk, at its true time: age is a limit kept by who calls in time. */
  tick(nowUs: number): ChunkerEffect[] {
    const now = this.#clock(nowUs);
    if (this.#open === null || now < this.#open.openedUs + this.#limits.ageUsMax) return [];
    return [this.#closing('age', now, false), this.#opening(now)];
  }

  /** Frames were lost: the next chunk to open says so. Closes the present one, so that the hole lies between two chunks. */
  gap(nowUs: number): ChunkerEffect[] {
    const now = this.#clock(nowUs);
    this.#gapBefore = true;
    if (this.#open === null) return [];
    return [this.#closing('gap', now, false), this.#opening(now)];
  }

  pause(nowUs: number): ChunkerEffect[] {
    const now = this.#clock(nowUs);
    if (this.#state !== 'recording') return [];
    this.#state = 'paused';
    return [this.#closing('pause', now, false)];
  }

  resume(nowUs: number): ChunkerEffect[] {
    const now = this.#clock(nowUs);
    if (this.#state !== 'paused') return [];
    this.#state = 'recording';
    return [this.#opening(now)];
  }

  /** The session is over: the last chunk closes as final. Frames of the end (a note) are appended before this. */
  end(nowUs: number): ChunkerEffect[] {
    const now = this.#clock(nowUs);
    if (this.#state === 'ended') return [];
    this.#state = 'ended';
    const opening = this.#open === null ? [this.#opening(now)] : [];
    return [...opening, this.#closing('end', now, true)];
  }

  #clock(nowUs: number): number {
    this.#nowUs = Math.max(this.#nowUs, nowUs);
    return this.#nowUs;
  }

  #opening(openedUs: number): ChunkerEffect {
    const index = this.#nextIndex;
    this.#nextIndex += 1;
    const firstFrameNumber = this.#nextFrameNumber;
    const gapBefore = this.#gapBefore;
    this.#gapBefore = false;
    this.#open = { index, openedUs, firstFrameNumber, framesCount: 0, payloadBytes: PAYLOAD_HEADER_BYTES };
    return { type: 'open', index, openedUs, firstFrameNumber, gapBefore };
  }

  #closing(reason: ChunkCloseReason, closedUs: number, final: boolean): ChunkerEffect {
    const chunk = this.#open as OpenChunk;
    this.#open = null;
    return { type: 'close', reason, closedUs, final, empty: chunk.framesCount === 0, ...chunk };
  }
}
