import { createPixelBuffer, markImported, paintScreen, SessionDecoder } from '@lucid-sessions/graphics';
import type { Frame } from '@lucid-sessions/recording';
import { drawFrame, isReplayed, lacksH264, throwFailure } from '@lucid-sessions/recording/replay';
import { keyframeState, openKeyframes } from '@lucid-sessions/recording/session-index';
import type { TakenPicture } from './messages.ts';
import type { IndexerPlatform } from './platform.ts';

/** Draws one recording up to the moments somebody looks at, and goes on from there when a later one is asked for. */
export class PictureCursor {
  readonly #platform: IndexerPlatform;
  #usesH264 = false;
  readonly #decoder = new SessionDecoder({
    createH264Decoder: () => {
      this.#usesH264 = true;
      return this.#platform.createH264Decoder();
    },
  });
  /** The next frame to draw. */
  #place = { chunkIndex: 0, frameIndex: 0 };
  #timeUs = 0;

  private constructor(platform: IndexerPlatform) {
    this.#platform = platform;
  }

  /** At the last of a chain of keyframes, each the base of the next; at the first frame where there is none. */
  static async begin(chain: readonly Uint8Array[], platform: IndexerPlatform): Promise<PictureCursor> {
    const cursor = new PictureCursor(platform);
    const last = (await openKeyframes(chain)).at(-1);
    if (last === undefined) return cursor;
    cursor.#place = last;
    cursor.#timeUs = last.timeUs;
    cursor.#decoder.restore(keyframeState(last));
    return cursor;
  }

  /** Of the last frame drawn. */
  get timeUs(): number {
    return this.#timeUs;
  }

  /** Draws what a chunk holds up to a moment; false where that lies behind it. Throws `H264MissingError`. */
  async chunk(index: number, frames: readonly Frame[], untilUs: number): Promise<boolean> {
    const first = index === this.#place.chunkIndex ? this.#place.frameIndex : 0;
    for (let at = first; at < frames.length; at += 1) {
      const frame = frames[at]!;
      this.#place = { chunkIndex: index, frameIndex: at };
      if (frame.timeUs > untilUs) return true;
      this.#timeUs = Math.max(this.#timeUs, frame.timeUs);
      if (isReplayed(frame)) await drawFrame(this.#decoder, frame);
      if (lacksH264(this.#decoder)) throw this.#platform.h264Missing();
    }
    this.#place = { chunkIndex: index + 1, frameIndex: 0 };
    return false;
  }

  async picture({ pointer, imported }: { pointer: boolean; imported: boolean }): Promise<TakenPicture> {
    await this.#decoder.settle();
    throwFailure(this.#decoder);
    const { screen } = this.#decoder;
    const h264 = this.#usesH264 ? await this.#platform.h264Name() : null;
    if (screen.width === 0 || screen.height === 0) return { png: new Uint8Array(0), h264 };
    const picture = createPixelBuffer(screen.width, screen.height);
    paintScreen(picture, screen, pointer);
    if (imported) markImported(picture);
    return { png: await this.#platform.encodePng(picture), h264 };
  }

  close(): void {
    this.#decoder.close();
  }
}
