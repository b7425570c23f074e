/** The commands that turn a recording into something to look at. */
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { describePicture, takePicture } from './picture.ts';
import { openRecording, type Recording } from './recording-reader.ts';
import { interruptible } from './replay.ts';
import { describeVideo, exportVideo } from './video.ts';

interface Given {
  api: () => ApiClient;
  out: string;
  pointer: boolean;
  identity?: string;
}

export interface GivenForVideo extends Given {
  /** µs since the recording's start, as `to`. */
  from: number;
  to?: number;
  speed: number;
  fps: number;
  skipIdle?: boolean;
}

export interface GivenForPicture extends Given {
  /** µs since the recording's start; infinite for the end. */
  at: number;
}

const framesPerSecondMax = 60;

export async function runVideo(what: string, given: GivenForVideo, output: Output): Promise<void> {
  const { out, pointer, from: fromUs, to: toUs = null, speed, fps: framesPerSecond, skipIdle = false } = given;
  if (!(framesPerSecond >= 1 && framesPerSecond <= framesPerSecondMax))
    throw new CliError(`--fps must be from 1 to ${framesPerSecondMax}`, exitCodes.usage);
  if (toUs !== null && toUs <= fromUs) throw new CliError('--to must be later than --from', exitCodes.usage);
  const options = { out, pointer, fromUs, toUs, speed, framesPerSecond, skipIdle };
  const made = await withRecording(what, given, (recording, signal) => exportVideo(recording, options, output, signal));
  output.result(made, describeVideo(made));
}

export async function runPicture(what: string, given: GivenForPicture, output: Output): Promise<void> {
  const { out, pointer, at: atUs } = given;
  const made = await withRecording(what, given, (recording, signal) =>
    takePicture(recording, { out, pointer, atUs }, output, signal),
  );
  output.result(made, describePicture(made));
}

function withRecording<T>(
  what: string,
  { api, identity }: Given,
  use: (recording: Recording, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return interruptible(async (signal) => {
    const recording = await openRecording(what, { api, identity });
    try {
      return await use(recording, signal);
    } finally {
      await recording.close();
    }
  });
}
