import { type H264DecoderFactory, H264MissingError, SessionDecoder } from '@lucid-sessions/graphics';
import { type Frame, frameFlags, frameKinds } from '../frame.ts';
import type { ReplayTally } from './state.ts';
import { endedAtChunk, tallyOf } from './tally.ts';

/** H.264 pictures decoded in one go. */
const framesTogether = 16;

/** What a replay takes of a recording: what was delivered, without what was typed or copied, which the view key doesn't open. */
export const isReplayed = ({ kind, flags }: Frame): boolean =>
  kind === frameKinds.pdu && (flags & (frameFlags.receivedOnly | frameFlags.inputs)) === 0;

/** H.264 was met that can't be decoded here: nothing is drawn rightly from there on. */
export const lacksH264 = ({ h264Failure }: SessionDecoder): boolean => h264Failure instanceof H264MissingError;

/** A picture is missing that others refer to: it is better to begin again later than to continue from what was never shown. */
export function throwFailure(decoder: SessionDecoder): void {
  if (decoder.h264Failure !== undefined && !lacksH264(decoder)) throw decoder.h264Failure;
}

/** Typed or copied: sealed under another key, but that it was is known. */
const isInput = ({ kind, flags }: Frame): boolean =>
  kind === frameKinds.pdu && (flags & frameFlags.inputs) !== 0 && (flags & frameFlags.serverToClient) === 0;

/** To be called with every frame of a walk before it is drawn or passed over: counts what shows one colour only. */
export async function lookBefore(decoder: SessionDecoder, frame: Frame): Promise<void> {
  const { screen } = decoder;
  if (screen.oneColour.isDue(frame.timeUs)) {
    await decoder.settle();
    screen.oneColour.look(screen, frame.timeUs);
  }
  if (isInput(frame)) screen.oneColour.noteInput();
}

/** Draws one frame; `now`: the picture is looked at before the next, else some H.264 pictures are decoded together. */
export async function drawFrame(decoder: SessionDecoder, frame: Frame, now = false): Promise<void> {
  const { flags, body, timeUs } = frame;
  const fromServer = (flags & frameFlags.serverToClient) !== 0;
  const beforeTls = (flags & frameFlags.beforeTls) !== 0;
  const later = !now && decoder.screen.framesCount % framesTogether !== 0;
  await decoder.push({ fromServer, bytes: body, beforeTls, timeUs }, later);
  decoder.screen.takeDirty();
  throwFailure(decoder);
}

/** Draws a recording from its beginning and says what could not be drawn. Give it every chunk, in order. */
export class ReplayWalk {
  readonly #decoder: SessionDecoder;
  #chunks = 0;
  #untilUs = 0;
  #lost = false;

  constructor(createH264Decoder: H264DecoderFactory) {
    this.#decoder = new SessionDecoder({ createH264Decoder });
  }

  /**
   * The next chunk's frames; null where it is lost or can't be read, which ends the walk: what comes behind refers to what is not there.
   * Throws what an H.264 decoder throws that is not the recording's fault, such as a killed program.
   */
  async chunk(frames: Iterable<Frame> | null): Promise<void> {
    if (this.#isOver) return;
    if (frames === null) {
      this.#lost = true;
      return;
    }
    this.#chunks += 1;
    for (const frame of frames) {
      this.#untilUs = Math.max(this.#untilUs, frame.timeUs);
      await lookBefore(this.#decoder, frame);
      if (isReplayed(frame)) await drawFrame(this.#decoder, frame);
      if (this.#isOver) return;
    }
  }

  async end(): Promise<ReplayTally> {
    await this.#decoder.settle();
    throwFailure(this.#decoder);
    const tally = tallyOf(this.#decoder, { chunks: this.#chunks, untilUs: this.#untilUs });
    return this.#lost ? endedAtChunk(tally) : tally;
  }

  close(): void {
    this.#decoder.close();
  }

  get #isOver(): boolean {
    return this.#lost || lacksH264(this.#decoder);
  }
}
