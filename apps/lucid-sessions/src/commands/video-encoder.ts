/** ffmpeg as a video encoder: raw pictures in, one file out. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { CliError } from '../cli/output.ts';

export type VideoFormat = 'mp4' | 'webm';

export interface VideoShape {
  format: VideoFormat;
  /** Both even: the chroma of 4:2:0 has half of each. */
  width: number;
  height: number;
  framesPerSecond: number;
  /** Goes into the file's metadata. */
  comment: string;
}

const encoders: Record<VideoFormat, string> = { mp4: 'libx264', webm: 'libvpx-vp9' };
const complaintCharactersMax = 500;
const seekableSeconds = 5;

/** Constant quality, high enough for small text to stay readable. */
const formatArguments: Record<VideoFormat, readonly string[]> = {
  mp4: ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', '-movflags', '+faststart', '-f', 'mp4'],
  webm: [
    ...['-c:v', 'libvpx-vp9', '-b:v', '0', '-crf', '24', '-deadline', 'realtime', '-cpu-used', '7', '-row-mt', '1'],
    ...['-f', 'webm'],
  ],
};

/** The colours of BT.709, said in the file: players would otherwise guess by the picture's size. */
const colourArguments = [
  ...['-vf', 'scale=out_color_matrix=bt709:out_range=tv', '-pix_fmt', 'yuv420p', '-color_range', 'tv'],
  ...['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709'],
];

/** Throws `CliError` that says what to install. */
export async function requireEncoder(format: VideoFormat): Promise<void> {
  let known: string;
  try {
    known = (await promisify(execFile)('ffmpeg', ['-hide_banner', '-encoders'])).stdout;
  } catch (error) {
    throw cannotStart(error as NodeJS.ErrnoException);
  }
  if (!known.includes(` ${encoders[format]} `))
    throw new CliError(`the ffmpeg of this machine can't write ${format}: it lacks ${encoders[format]}`);
}

const cannotStart = (error: NodeJS.ErrnoException): CliError =>
  error.code === 'ENOENT'
    ? new CliError('ffmpeg is not installed: install it (apt install ffmpeg), or export from the web console')
    : new CliError(`ffmpeg does not start: ${error.message}`);

/** Writes pictures of one size at a constant rate. At most one picture waits in the pipe. */
export class VideoEncoder {
  readonly #process: ChildProcess;
  readonly #input: Writable;
  readonly #closed: Promise<unknown>;
  #complaint = '';
  #failure: Error | null = null;
  #sending: Promise<void> = Promise.resolve();

  constructor(file: string, { format, width, height, framesPerSecond, comment }: VideoShape) {
    const input = ['-f', 'rawvideo', '-pix_fmt', 'rgba', '-s', `${width}x${height}`, '-r', `${framesPerSecond}`];
    const seekable = ['-g', `${seekableSeconds * framesPerSecond}`];
    // A group of its own: Ctrl-C reaches this program, which then decides about the file.
    const child = spawn(
      'ffmpeg',
      [
        ...['-hide_banner', '-loglevel', 'error', '-y', ...input, '-i', 'pipe:0', '-an', ...colourArguments],
        ...[...seekable, '-metadata', `comment=${comment}`, ...formatArguments[format], `file:${file}`],
      ],
      { stdio: ['pipe', 'ignore', 'pipe'], detached: true },
    );
    this.#process = child;
    this.#input = child.stdin;
    this.#closed = once(child, 'close').catch((error: NodeJS.ErrnoException) => {
      this.#failure ??= cannotStart(error);
    });
    // 'close' tells what happened; the pipe only notices it.
    child.stdin.on('error', () => {});
    child.stderr.on('data', (part: Buffer) => {
      const text = `${this.#complaint}${part.toString('latin1')}`.replaceAll(/[^\x20-\x7e]+/g, ' ');
      this.#complaint = text.slice(0, complaintCharactersMax);
    });
  }

  /** Resolves when the picture before is taken; this one must stay as it is until the next call resolves. */
  async write(picture: Uint8Array): Promise<void> {
    await this.#sending;
    if (this.#failure) throw await this.#explained();
    this.#sending = new Promise((resolve) => {
      this.#input.write(picture, (error) => {
        if (error) this.#fail();
        resolve();
      });
    });
  }

  /** Resolves when the file is whole. */
  async finish(): Promise<void> {
    await this.#sending;
    this.#input.end();
    await this.#closed;
    if (this.#process.exitCode !== 0) this.#fail();
    if (this.#failure) throw await this.#explained();
  }

  /** Ends ffmpeg at once; the file is then worth nothing. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    this.#input.destroy();
    await this.#closed;
  }

  #fail(): void {
    this.#failure ??= new CliError('ffmpeg ended before the video was done');
  }

  async #explained(): Promise<Error> {
    await this.#closed;
    return this.#complaint === '' ? this.#failure! : new CliError(`ffmpeg failed: ${this.#complaint.trim()}`);
  }
}
