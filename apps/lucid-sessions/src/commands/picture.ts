/** `picture`: what the client showed at one moment of a recording, as PNG. */
import { createHash } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { createPixelBuffer, importedText, markImported, paintScreen, SessionDecoder } from '@lucid-sessions/graphics';
import { encodePng, ownFileMode } from '@lucid-sessions/node';
import { pixelsBytes, type RecordingTrace, withTrace } from '@lucid-sessions/recording';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { H264Use } from './h264-use.ts';
import { writeNewFile } from './new-file.ts';
import type { Recording } from './recording-reader.ts';
import { formatRecordingTime } from './recording-time.ts';
import { walk } from './replay.ts';
import { describeUnsupported } from './video.ts';

export interface PictureOptions {
  out: string;
  /** Infinite for the end. */
  atUs: number;
  pointer: boolean;
}

export interface PictureResult {
  session_id: string;
  out: string;
  /** Time of the last frame before the moment asked for. */
  seconds: number;
  width: number;
  height: number;
  bytes: number;
  unsupported: Record<string, number>;
  /** What decoded H.264; null where there was none to decode. */
  h264_decoder: string | null;
  /** It proves nothing; the picture is marked. */
  imported: boolean;
  /** Of the recording; null while it has no manifest. */
  merkle_root: string | null;
  /** Of what is shown (docs/payload-format.md, 3): drawing it again gives the same. */
  pixels_sha256: string;
}

export async function takePicture(
  recording: Recording,
  options: PictureOptions,
  output: Output,
  signal: AbortSignal,
): Promise<PictureResult> {
  if (extname(options.out).toLowerCase() !== '.png')
    throw new CliError(`${options.out} is no name for a picture: end it in .png`, exitCodes.usage);
  return writeNewFile(options.out, async (partial) => {
    const { picture, lastUs, unsupported, h264 } = await pictureAt(recording, options, output, signal);
    const pixels = createHash('sha256').update(pixelsBytes(picture)).digest('hex');
    const trace: RecordingTrace = {
      v: 1,
      session_id: recording.sessionId,
      merkle_root: recording.root,
      from_us: lastUs,
      to_us: lastUs,
      pixels_sha256: pixels,
    };
    await writeFile(partial, withTrace(await encodePng(picture), trace), { mode: ownFileMode });
    return {
      session_id: recording.sessionId,
      out: resolve(options.out),
      seconds: lastUs / 1_000_000,
      width: picture.width,
      height: picture.height,
      bytes: (await stat(partial)).size,
      unsupported,
      h264_decoder: h264,
      imported: recording.imported,
      merkle_root: recording.root,
      pixels_sha256: pixels,
    };
  });
}

async function pictureAt(recording: Recording, { atUs, pointer }: PictureOptions, output: Output, signal: AbortSignal) {
  const h264 = new H264Use();
  const decoder = new SessionDecoder({ createH264Decoder: h264.create });
  try {
    const { lastUs, more } = await walk(recording, {
      decoder,
      signal,
      untilUs: atUs,
      chunkRead: (index) => output.progress(`drawing: chunk ${index + 1} of ${recording.chunksCount}`, index + 1),
    });
    const { screen, h264Failure } = decoder;
    if (atUs !== Number.POSITIVE_INFINITY && !more && lastUs < atUs)
      throw new CliError(`the recording ends at ${formatRecordingTime(lastUs)}, before --at`, exitCodes.usage);
    if (h264Failure instanceof Error) throw new CliError(`the session's h.264 can't be drawn: ${h264Failure.message}`);
    if (screen.width === 0 || screen.height === 0) throw new CliError('no desktop is shown at that time');
    const picture = createPixelBuffer(screen.width, screen.height);
    paintScreen(picture, screen, pointer);
    if (recording.imported) markImported(picture);
    return { picture, lastUs, unsupported: Object.fromEntries(screen.unsupported), h264: await h264.name() };
  } finally {
    decoder.close();
  }
}

export const describePicture = ({
  out,
  width,
  height,
  seconds,
  unsupported,
  h264_decoder,
  imported,
}: PictureResult): string =>
  [
    `${out}: ${width}x${height}, as of ${formatRecordingTime(seconds * 1_000_000)}${h264_decoder === null ? '' : `, H.264 by ${h264_decoder}`}`,
    ...(imported ? [importedText] : []),
    ...describeUnsupported(unsupported),
  ].join('\n');
