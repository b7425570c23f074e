/** `video`: a recording as MP4 or WebM. Two walks through the recording: one to learn its sizes and its end, one to draw. */
import { rename, rm, stat } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import {
  createPixelBuffer,
  importedText,
  markImported,
  type PixelBuffer,
  type PointerState,
  paintScreen,
  SessionDecoder,
} from '@lucid-sessions/graphics';
import { traceText } from '@lucid-sessions/recording';
import { CliError, exitCodes, formatBytes, type Output } from '../cli/output.ts';
import { H264Use } from './h264-use.ts';
import { writeNewFile } from './new-file.ts';
import type { Recording } from './recording-reader.ts';
import { formatRecordingTime } from './recording-time.ts';
import { interrupted, walk } from './replay.ts';
import { requireEncoder, VideoEncoder, type VideoFormat } from './video-encoder.ts';
import { VideoPace } from './video-pace.ts';
import { joinSound, VideoSound } from './video-sound.ts';

export interface VideoOptions {
  out: string;
  fromUs: number;
  /** null: to the end. */
  toUs: number | null;
  speed: number;
  framesPerSecond: number;
  skipIdle: boolean;
  pointer: boolean;
  /** Pictures on their way to the encoder, as they are shown at a moment of the recording: some of them covered. */
  cover?: PictureCover;
}

export interface PictureCover {
  isCovered(timeUs: number): boolean;
  /** `picture` is a copy. */
  cover(picture: PixelBuffer, timeUs: number): void;
  /** Every picture in order, as it is written. */
  shown(picture: Uint8Array): void;
  /** Sound is nowhere heard there. */
  muted: readonly { from_us: number; to_us: number }[];
}

/** What takes pictures of one size; one is as it is until the next call resolves. */
export interface PictureSink {
  write(picture: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  kill(): Promise<void>;
}

export interface VideoResult {
  session_id: string;
  out: string;
  width: number;
  height: number;
  frames: number;
  seconds: number;
  bytes: number;
  /** Whether it can be heard. */
  sound: boolean;
  /** What could not be drawn, by kind. */
  unsupported: Record<string, number>;
  /** What decoded H.264; null where there was none to decode. */
  h264_decoder: string | null;
  /** It proves nothing; every picture is marked. */
  imported: boolean;
  /** Of the recording; null while it has no manifest. */
  merkle_root: string | null;
}

/** The format a file name asks for. Throws `CliError`. */
export function videoFormat(path: string): VideoFormat {
  const extension = extname(path).toLowerCase();
  if (extension === '.mp4') return 'mp4';
  if (extension === '.webm') return 'webm';
  throw new CliError(`${path} tells no format: end it in .mp4 or .webm`, exitCodes.usage);
}

export async function exportVideo(
  recording: Recording,
  options: VideoOptions,
  output: Output,
  signal: AbortSignal,
): Promise<VideoResult> {
  const format = videoFormat(options.out);
  await requireEncoder(format);
  return writeNewFile(options.out, async (partial) => {
    const survey = await surveyRecording(recording, options, output, signal);
    const comment = traceText({
      v: 1,
      session_id: recording.sessionId,
      merkle_root: recording.root,
      from_us: options.fromUs,
      to_us: survey.endUs,
      pixels_sha256: null,
    });
    const { framesPerSecond } = options;
    const encoder = new VideoEncoder(partial, { ...survey, format, framesPerSecond, comment });
    const sound = new VideoSound(`${partial}.sound`, mutedIn(options));
    const { imported } = recording;
    const film = new Film(encoder, survey, { ...options, imported }, output, sound);
    try {
      const { unsupported, h264_decoder } = await film.shoot(recording, signal);
      const heard = await addSound(partial, sound, format);
      const { size: bytes } = await stat(partial);
      const { width, height } = survey;
      const frames = film.picturesCount;
      const seconds = frames / options.framesPerSecond;
      const session_id = recording.sessionId;
      const out = resolve(options.out);
      return {
        session_id,
        out,
        width,
        height,
        frames,
        seconds,
        bytes,
        sound: heard,
        unsupported,
        h264_decoder,
        imported,
        merkle_root: recording.root,
      };
    } finally {
      await encoder.kill();
      await sound.dispose();
    }
  });
}

const mutedIn = ({ cover, fromUs }: VideoOptions) =>
  (cover?.muted ?? []).map(({ from_us, to_us }) => ({ fromUs: from_us - fromUs, toUs: to_us - fromUs }));

/** The same pictures into another sink, at the pace of a video. Answers their size and how many there were. */
export async function shootPictures(
  recording: Recording,
  options: VideoOptions,
  output: Output,
  signal: AbortSignal,
  sink: PictureSink,
): Promise<{ width: number; height: number; frames: number; h264_decoder: string | null }> {
  const survey = await surveyRecording(recording, options, output, signal);
  const film = new Film(sink, survey, { ...options, imported: recording.imported }, output, null);
  const { h264_decoder } = await film.shoot(recording, signal);
  return { width: survey.width, height: survey.height, frames: film.picturesCount, h264_decoder };
}

/** Pictures first, sound when all of it is known. Whether there was any. */
async function addSound(partial: string, sound: VideoSound, format: VideoFormat): Promise<boolean> {
  await sound.finish();
  if (sound.isEmpty) return false;
  const joined = `${partial}.joined`;
  try {
    await joinSound(partial, sound.path, format, joined);
    await rename(joined, partial);
  } finally {
    await rm(joined, { force: true });
  }
  return true;
}

interface Survey {
  /** The largest of all sizes shown, made even. */
  width: number;
  height: number;
  endUs: number;
}

/** Sizes can change at any time and an encoder wants to know first. H.264, most of the work, is left out here. */
async function surveyRecording(
  recording: Recording,
  { fromUs, toUs }: VideoOptions,
  output: Output,
  signal: AbortSignal,
): Promise<Survey> {
  const decoder = new SessionDecoder();
  const { screen } = decoder;
  let width = 0;
  let height = 0;
  const measure = (): void => {
    width = Math.max(width, screen.width);
    height = Math.max(height, screen.height);
  };
  const { lastUs, more } = await walk(recording, {
    decoder,
    signal,
    untilUs: toUs ?? Number.POSITIVE_INFINITY,
    before: (timeUs) => void (timeUs > fromUs && measure()),
    chunkRead: (index) => output.progress(`measuring: chunk ${index + 1} of ${recording.chunksCount}`, index + 1),
  });
  measure();
  decoder.close();
  const endUs = more && toUs !== null ? toUs : lastUs;
  if (endUs < fromUs)
    throw new CliError(`the recording ends at ${formatRecordingTime(lastUs)}, before --from`, exitCodes.usage);
  if (width === 0 || height === 0) throw new CliError('no desktop is shown in this part of the recording');
  return { width: (width + 1) & ~1, height: (height + 1) & ~1, endUs };
}

/** One picture after the other into the encoder. */
class Film {
  readonly #encoder: PictureSink;
  readonly #options: VideoOptions & { imported: boolean };
  readonly #endUs: number;
  readonly #output: Output;
  readonly #pace: VideoPace;
  readonly #h264 = new H264Use();
  readonly #decoder: SessionDecoder;
  #timeUs = 0;
  /** One is painted while the other is on its way to the encoder. */
  #shown: PixelBuffer;
  #spare: PixelBuffer;
  #pointer: PointerState | null = null;
  /** Covered copies: one is made while the other is on its way. */
  #copies: PixelBuffer[] = [];

  constructor(
    encoder: PictureSink,
    { width, height, endUs }: Survey,
    options: VideoOptions & { imported: boolean },
    output: Output,
    sound: VideoSound | null,
  ) {
    this.#decoder = new SessionDecoder({
      createH264Decoder: this.#h264.create,
      // Faster or slower it would not be what was heard.
      ...(options.speed === 1 &&
        sound !== null && { onSound: (piece) => sound.hear(piece, this.#pace.videoUs(this.#timeUs)) }),
    });
    this.#encoder = encoder;
    this.#options = options;
    this.#endUs = endUs;
    this.#output = output;
    this.#pace = new VideoPace(options);
    this.#shown = createPixelBuffer(width, height);
    if (options.imported) markImported(this.#shown);
    this.#spare = createPixelBuffer(width, height);
  }

  get picturesCount(): number {
    return this.#pace.picturesCount;
  }

  /** Answers what could not be drawn, and what drew H.264. */
  async shoot(recording: Recording, signal: AbortSignal): Promise<Pick<VideoResult, 'unsupported' | 'h264_decoder'>> {
    try {
      await walk(recording, {
        decoder: this.#decoder,
        untilUs: this.#endUs,
        signal,
        before: (timeUs) => {
          this.#timeUs = timeUs;
          const due = this.#pace.before(timeUs);
          return due === 0 ? undefined : this.#show(due, timeUs, signal);
        },
      });
      await this.#show(this.#pace.end(this.#endUs), this.#endUs, signal);
      await this.#encoder.finish();
      const { h264Failure, screen } = this.#decoder;
      if (h264Failure instanceof Error)
        throw new CliError(`the session's h.264 can't be drawn: ${h264Failure.message}`);
      return { unsupported: Object.fromEntries(screen.unsupported), h264_decoder: await this.#h264.name() };
    } finally {
      this.#decoder.close();
    }
  }

  async #show(times: number, timeUs: number, signal: AbortSignal): Promise<void> {
    if (times > 0 && this.#hasChanged()) {
      paintScreen(this.#spare, this.#decoder.screen, this.#options.pointer);
      if (this.#options.imported) markImported(this.#spare);
      [this.#shown, this.#spare] = [this.#spare, this.#shown];
    }
    const { cover } = this.#options;
    for (let i = 0; i < times; i += 1) {
      if (signal.aborted) throw interrupted();
      const bytes = this.#pictureAt(this.#pace.picturesCount - times + i);
      cover?.shown(bytes);
      await this.#encoder.write(bytes);
    }
    this.#report(timeUs);
  }

  /** Picture `number` of the video: of what is shown, or a covered copy of it. */
  #pictureAt(number: number): Uint8Array {
    const { cover, fromUs, framesPerSecond, speed } = this.#options;
    const timeUs = fromUs + Math.floor((number * 1_000_000 * speed) / framesPerSecond);
    if (cover === undefined || !cover.isCovered(timeUs)) return bytesOf(this.#shown);
    if (this.#copies.length === 0)
      this.#copies = [0, 1].map(() => createPixelBuffer(this.#shown.width, this.#shown.height));
    const copy = this.#copies[number % 2]!;
    copy.words.set(this.#shown.words);
    cover.cover(copy, timeUs);
    // What an import shows says that it is one, whatever is covered.
    if (this.#options.imported) markImported(copy);
    return bytesOf(copy);
  }

  #hasChanged(): boolean {
    const { pointer } = this.#decoder.screen;
    const last = this.#pointer;
    const drawn = this.#decoder.screen.takeDirty().length > 0;
    const moved =
      this.#options.pointer &&
      !(
        last?.x === pointer.x &&
        last.y === pointer.y &&
        last.visible === pointer.visible &&
        last.shape === pointer.shape
      );
    if (moved) this.#pointer = { ...pointer };
    return drawn || moved;
  }

  #report(timeUs: number): void {
    const { fromUs } = this.#options;
    const percent = Math.floor((100 * (timeUs - fromUs)) / Math.max(1, this.#endUs - fromUs));
    const [at, end] = [timeUs, this.#endUs].map(formatRecordingTime);
    this.#output.progress(`drawing: ${at} of ${end}, ${percent} %`, this.picturesCount);
  }
}

const bytesOf = ({ data }: PixelBuffer): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

export const describeVideo = (made: VideoResult): string =>
  [
    `${made.out}: ${made.width}x${made.height}, ${made.frames} frames, ${made.seconds.toFixed(1)} s, ${formatBytes(made.bytes)}${made.sound ? ', with sound' : ''}${made.h264_decoder === null ? '' : `, H.264 by ${made.h264_decoder}`}`,
    ...(made.imported ? [importedText] : []),
    ...describeUnsupported(made.unsupported),
  ].join('\n');

/** A viewer must know when the picture may not be the whole truth. */
export function describeUnsupported(unsupported: Record<string, number>): string[] {
  const kinds = Object.entries(unsupported).map(([kind, count]) => `${kind} (${count})`);
  return kinds.length === 0 ? [] : [`not everything could be drawn: ${kinds.join(', ')}`];
}
