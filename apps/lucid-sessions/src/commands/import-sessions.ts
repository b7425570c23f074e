/** Captured connections sent to an installation, which makes recordings of them. */
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { importBytesMax } from '@lucid-sessions/contract';
import { CAPTURE_BYTES_MAX } from '@lucid-sessions/recording';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, type Output } from '../cli/output.ts';
import type { SessionAnswer } from './sessions.ts';

export interface ImportLabels {
  name?: string;
  project?: string;
  environment?: string;
  /** Days; null: until it is deleted. */
  retention?: number | null;
}

export interface CaptureToSend {
  /** From 1, and of how many. */
  number: number;
  of: number;
  /** An .rdpcap file. */
  capture: Uint8Array;
}

const zip = promisify(gzip);
const pollMs = 1000;
const pollsMax = 900;
const overStatuses: readonly string[] = ['completed', 'failed', 'deleted'];

/** Sends one and waits until its recording is whole or has failed. */
export async function sendCapture(
  api: ApiClient,
  output: Output,
  { number, of, capture }: CaptureToSend,
  source: { path: string; sha256: string } & ImportLabels,
): Promise<SessionAnswer> {
  const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  if (capture.length > CAPTURE_BYTES_MAX)
    throw new CliError(
      `connection ${number} has ${megabytes(capture.length)}; at most ${megabytes(CAPTURE_BYTES_MAX)} can be imported: cut the capture with editcap`,
    );
  const zipped = new Uint8Array(await zip(capture));
  if (zipped.length > importBytesMax)
    throw new CliError(
      `connection ${number} has ${megabytes(zipped.length)} even as gzip; at most ${megabytes(importBytesMax)} can be sent: cut the capture with editcap`,
    );
  const file = basename(source.path).slice(0, 255);
  const name = source.name ?? file;
  const query = {
    name: (of === 1 ? name : `${name}, connection ${number}`).slice(0, 255),
    source_name: file,
    source_sha256: source.sha256,
    project: source.project,
    environment: source.environment,
    retention_days: source.retention === null ? ('none' as const) : source.retention,
  };
  output.progress(`sending connection ${number}, ${megabytes(zipped.length)}`);
  const session = await api.rest.importSession({ query, file: zipped });
  return over(api, session);
}

async function over(api: ApiClient, session: SessionAnswer): Promise<SessionAnswer> {
  let latest = session;
  for (let polls = 0; polls < pollsMax && !overStatuses.includes(latest.status); polls += 1) {
    await sleep(pollMs);
    latest = await api.rest.getSession({ params: { session_id: session.session_id } });
  }
  return latest;
}
