/** Whether a video shows the pictures it should: they are drawn again, and compared with what ffmpeg decodes of the file. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { PictureSink } from './video.ts';

/** Pixels of a side of the squares that are compared. */
const square = 16;
/**
 * How far the mean of a square's colours may be off, of 255. A lossy encoder stays below 10 even at the edges of small text; what was
 * not covered is further off unless it was nearly black itself.
 */
const meanMax = 24;

export class VideoComparer implements PictureSink {
  readonly #child: ChildProcess;
  readonly #frames: Readable;
  readonly #width: number;
  readonly #height: number;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #frame: Uint8Array;
  #rest: Uint8Array = new Uint8Array(0);
  #count = 0;
  /** Number of the first picture the video shows otherwise. */
  #other: number | null = null;
  /** It has fewer pictures, or more. */
  #isOtherLength = false;

  constructor(path: string, width: number, height: number) {
    const colours = ['-vf', 'scale=in_color_matrix=bt709:in_range=tv', '-pix_fmt', 'rgba'];
    const input = ['-hide_banner', '-loglevel', 'error', '-i', `file:${path}`, '-an', '-fps_mode', 'passthrough'];
    this.#child = spawn('ffmpeg', [...input, ...colours, '-f', 'rawvideo', 'pipe:1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#frames = this.#child.stdout!;
    this.#width = width;
    this.#height = height;
    // It can't start where there is no ffmpeg: its output ends then.
    this.#child.once('error', () => this.#frames.destroy());
    this.#chunks = this.#frames[Symbol.asyncIterator]();
    this.#frame = new Uint8Array(width * height * 4);
  }

  async write(picture: Uint8Array): Promise<void> {
    if (this.#isOtherLength) return;
    const frame = await this.#next();
    if (frame === null) this.#isOtherLength = true;
    else if (this.#other === null && !isAlike(frame, picture, this.#width, this.#height)) this.#other = this.#count;
    this.#count += 1;
  }

  async finish(): Promise<void> {
    if (!this.#isOtherLength && (await this.#next()) !== null) this.#isOtherLength = true;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    this.#frames.destroy();
  }

  /** In words; null: it shows them. */
  problem(framesPerSecond: number): string | null {
    if (this.#isOtherLength) return 'the video has another number of pictures, or can not be decoded here (ffmpeg)';
    return this.#other === null
      ? null
      : `the video shows something else than its signed pictures, first at ${(this.#other / framesPerSecond).toFixed(1)} s`;
  }

  /** The same memory each time. */
  async #next(): Promise<Uint8Array | null> {
    let filled = 0;
    while (filled < this.#frame.length) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next().catch(() => ({ done: true, value: undefined }));
        if (done === true) return null;
        this.#rest = value as Uint8Array;
        continue;
      }
      const part = this.#rest.subarray(0, this.#frame.length - filled);
      this.#frame.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return this.#frame;
  }
}

/** RGBA both. */
function isAlike(a: Uint8Array, b: Uint8Array, width: number, height: number): boolean {
  for (let top = 0; top < height; top += square)
    for (let left = 0; left < width; left += square) {
      const [right, bottom] = [Math.min(width, left + square), Math.min(height, top + square)];
      let sum = 0;
      for (let y = top; y < bottom; y += 1)
        for (let at = 4 * (y * width + left); at < 4 * (y * width + right); at += 4)
          sum += Math.abs(a[at]! - b[at]!) + Math.abs(a[at + 1]! - b[at + 1]!) + Math.abs(a[at + 2]! - b[at + 2]!);
      if (sum > 3 * meanMax * (right - left) * (bottom - top)) return false;
    }
  return true;
}
