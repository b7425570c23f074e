import { readFileSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { CAPTURE_BYTES_MAX, type Capture, decodeCapture } from '@lucid-sessions/recording';

export type { Capture, CaptureRecord } from '@lucid-sessions/recording';

/** Reads a capture file, plain or gzipped (told by its first bytes, not by its name). */
export function readCapture(path: string): Capture {
  if (statSync(path).size > CAPTURE_BYTES_MAX) throw new Error(`capture above ${CAPTURE_BYTES_MAX} bytes: ${path}`);
  const file = readFileSync(path);
  const isGzip = file[0] === 0x1f && file[1] === 0x8b;
  return decodeCapture(isGzip ? gunzipSync(file, { maxOutputLength: CAPTURE_BYTES_MAX }) : file);
}

/** Runs a command over a capture; what is wrong with its file is a sentence and exit code 1. */
export async function overCapture(path: string, work: (capture: Capture) => number | Promise<number>): Promise<number> {
  let capture: Capture;
  try {
    capture = readCapture(path);
  } catch (error) {
    const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
    process.stderr.write(isGone ? `there is no ${path}\n` : `${path} can't be read: ${(error as Error).message}\n`);
    return 1;
  }
  return work(capture);
}

/** Both directions of a capture as two byte strings, in order. */
export function captureStreams(capture: Capture): { client: Uint8Array; server: Uint8Array } {
  const join = (fromServer: boolean) =>
    Buffer.concat(capture.records.filter((record) => record.fromServer === fromServer).map((record) => record.bytes));
  return { client: join(false), server: join(true) };
}
