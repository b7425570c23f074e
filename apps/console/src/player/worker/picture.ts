import {
  type PointerState,
  type Rectangle,
  type Screen,
  SessionDecoder,
  type SessionSnapshot,
  type WebCodecs,
  WebCodecsH264,
} from '@lucid-sessions/graphics';
import type { SoundPiece } from '@lucid-sessions/rdp/sound';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { isH264Missing } from '../no-h264.ts';
import type { PictureDecoder } from './engine.ts';

export type PictureState = SessionSnapshot;

/** Areas a painter has not taken yet, before they become "everything". */
const dirtyMax = 256;
const blankSamples = 5003;

/** Null where the browser has none: too old, or a page that came over plain http from another machine. */
function webCodecs(): WebCodecs | null {
  if (typeof VideoDecoder === 'undefined') return null;
  const after = (ms: number, run: () => void): (() => void) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  };
  return { VideoDecoder, EncodedVideoChunk, after };
}

function newDecoder(onSound: (piece: SoundPiece) => void): SessionDecoder {
  const codecs = webCodecs();
  const h264 = codecs === null ? {} : { createH264Decoder: () => new WebCodecsH264(codecs) };
  return new SessionDecoder({ ...h264, onSound });
}

/**
 * The session decoder as the engine walks it: counts visible changes and keeps the areas drawn until a painter takes them.
 */
export class Picture implements PictureDecoder<PictureState> {
  /** Gets the sound of frames somebody looks at. */
  onSound: ((piece: SoundPiece) => void) | null = null;
  #later = false;
  readonly #hear = (piece: SoundPiece): void => void (this.#later || this.onSound?.(piece));
  #decoder = newDecoder(this.#hear);
  #framesCount = 0;
  /** Of what was not drawn: all of it, and pictures for want of an H.264 decoder. */
  #notDrawn = { all: 0, h264: 0 };
  #lacksH264 = false;
  #dirty: Rectangle[] = [];
  #everything = true;

  get framesCount(): number {
    return this.#framesCount;
  }
  /** H.264 was met that this browser can't decode: what is drawn here is not what was shown. */
  get lacksH264(): boolean {
    return this.#lacksH264;
  }
  get screen(): Screen {
    return this.#decoder.screen;
  }
  get pointer(): PointerState {
    return this.#decoder.screen.pointer;
  }

  take(frame: Frame, later = false): void | Promise<void> {
    if (frame.kind !== frameKinds.pdu || (frame.flags & frameFlags.inputs) !== 0) return;
    this.#later = later;
    const fromServer = (frame.flags & frameFlags.serverToClient) !== 0;
    const beforeTls = (frame.flags & frameFlags.beforeTls) !== 0;
    const waiting = this.#decoder.push({ fromServer, bytes: frame.body, beforeTls }, later);
    if (waiting) return waiting.then(() => this.#noteDirty());
    this.#noteDirty();
  }

  async settle(): Promise<void> {
    await this.#decoder.settle();
    this.#noteDirty();
  }

  #noteDirty(): void {
    if (this.#countNotDrawn()) this.#framesCount += 1;
    const dirty = this.screen.takeDirty();
    if (dirty.length === 0) return;
    this.#framesCount += 1;
    this.#dirty.push(...dirty);
    if (this.#dirty.length > dirtyMax) {
      this.#everything = true;
      this.#dirty = [];
    }
  }

  /** Whether there was another picture to be seen that could not be decoded. */
  #countNotDrawn(): boolean {
    const { notDrawn } = this.screen;
    if (notDrawn.total === this.#notDrawn.all) return false;
    const before = this.#notDrawn.h264;
    const h264 = notDrawn.kinds().reduce((sum, { kind, count }) => (isH264Missing(kind) ? sum + count : sum), 0);
    this.#notDrawn = { all: notDrawn.total, h264 };
    this.#lacksH264 ||= h264 > 0;
    return h264 > before;
  }

  /** Whether nothing but one colour is to be seen: servers clear the screen before they draw. */
  get blank(): boolean {
    const { words } = this.screen.pixels;
    const step = Math.max(1, Math.floor(words.length / blankSamples));
    for (let i = step; i < words.length; i += step) if (words[i] !== words[0]) return false;
    return true;
  }

  /** What changed since the last call: areas, or 'everything'. */
  takeDirty(): readonly Rectangle[] | 'everything' {
    const dirty = this.#everything ? 'everything' : this.#dirty;
    this.#dirty = [];
    this.#everything = false;
    return dirty;
  }

  snapshot(): PictureState | null {
    return this.#decoder.snapshot();
  }

  restore(state: PictureState): void {
    this.#decoder.restore(state);
    this.screen.takeDirty();
    this.#countNotDrawn();
    this.#dirty = [];
    this.#everything = true;
  }

  reset(): void {
    this.#decoder.close();
    this.#decoder = newDecoder(this.#hear);
    this.#countNotDrawn();
    this.#everything = true;
  }
}
