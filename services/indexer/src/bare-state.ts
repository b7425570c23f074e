import { isDeepStrictEqual } from 'node:util';
import { compactState, type H264Decoder, SessionDecoder, type SessionSnapshot } from '@lucid-sessions/graphics';
import type { HistoryDepth } from '@lucid-sessions/rdp/bulk';
import { type Frame, frameFlags } from '@lucid-sessions/recording';
import { packState } from '@lucid-sessions/recording/session-index';

/** A message that holds a picture: a large one comes in hundreds of pieces. */
const framesMax = 4096;
/** Start code and first byte of a sequence parameter set, which encoders put before an IDR picture; its importance varies. */
const parameterSets = [0x67, 0x47, 0x27].map((first) => Buffer.from([0, 0, 1, first]));

/**
 * A state before an IDR picture, without the pixels of the surface that picture paints anew: hardly anything is left of it, and
 * it is of use from the moment the picture is drawn. Whether the picture does paint everything is tried, not guessed.
 */
export class BareState {
  readonly #state: SessionSnapshot;
  readonly #frames: Frame[] = [];

  private constructor(state: SessionSnapshot) {
    this.#state = state;
  }

  /** Before a frame in which an H.264 stream seems to begin anew; null where it doesn't, or where there is nothing to go on from. */
  static async before(frame: Frame, decoder: SessionDecoder, depth: HistoryDepth): Promise<BareState | null> {
    const body = Buffer.from(frame.body.buffer, frame.body.byteOffset, frame.body.length);
    const begins = (frame.flags & frameFlags.serverToClient) !== 0 && parameterSets.some((set) => body.includes(set));
    if (!begins) return null;
    await decoder.settle();
    const state = decoder.snapshot(depth);
    return state?.graphics.pipeline ? new BareState(withoutPixels(state)) : null;
  }

  /** A frame was decoded. False where this takes too long. */
  add(frame: Frame): boolean {
    this.#frames.push(frame);
    return this.#frames.length <= framesMax;
  }

  /** The state packed, if decoding those frames from it gives `after`; else null. */
  async packedIf(after: SessionSnapshot, createH264Decoder: () => H264Decoder): Promise<Uint8Array | null> {
    // Without H.264 in it, compacting leaves the state as it is.
    const packed = packState(compactState(this.#state));
    const decoder = new SessionDecoder({ createH264Decoder });
    try {
      decoder.restore(this.#state);
      for (const { flags, body } of this.#frames)
        await decoder.push(
          {
            fromServer: (flags & frameFlags.serverToClient) !== 0,
            bytes: body,
            beforeTls: (flags & frameFlags.beforeTls) !== 0,
          },
          true,
        );
      await decoder.settle();
      const reached = decoder.snapshot('lean');
      return reached !== null && isDeepStrictEqual(pixelsOf(reached), pixelsOf(after)) ? packed : null;
    } finally {
      decoder.close();
    }
  }
}

/** What was taken away and has to be there again: the rest comes from the same bytes. */
const pixelsOf = ({ screen, graphics: { pipeline } }: SessionSnapshot): unknown[] => [
  screen.pixels,
  pipeline?.surfaces ?? [],
  pipeline?.codecs.avc ?? [],
];

function withoutPixels(state: SessionSnapshot): SessionSnapshot {
  const pipeline = state.graphics.pipeline!;
  const painted = new Set(pipeline.codecs.avc.map(([surfaceId]) => surfaceId));
  for (const { id, pixels } of pipeline.surfaces) if (painted.has(id)) pixels.words.fill(0);
  state.screen.pixels.words.fill(0);
  const codecs = { ...pipeline.codecs, avc: [] };
  return { ...state, graphics: { ...state.graphics, pipeline: { ...pipeline, codecs } } };
}
