/** `redact`: a copy of a recording of which something was taken out, with a signed record of what. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { planProblem, REDACTION_RULES, type RedactionBody, type RedactionPlan } from '@lucid-sessions/evidence';
import { makeOwnFolder, writeOwnFile } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { software } from '../server/software.ts';
import { openRecording } from './recording-reader.ts';
import { copyNames, eventsText, FrameHashes, framesText, redactedEvents, videoOptionsOf } from './redact-render.ts';
import { interruptible } from './replay.ts';
import { downloadTo, refuseExisting } from './tar-download.ts';
import { exportVideo } from './video.ts';

export interface RedactOptions extends RedactionPlan {
  out: string;
  reason: string;
  framesPerSecond: number;
  pointer: boolean;
}

async function fileOf(folder: string, name: string): Promise<RedactionBody['files'][number]> {
  const path = join(folder, name);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { name, bytes: (await stat(path)).size, sha256: hash.digest('hex') };
}

/** A folder with the video, its events, the hashes of its pictures, the recording's signed records, and who took what out. */
export async function redactSession(api: ApiClient, output: Output, id: string, options: RedactOptions): Promise<void> {
  const { out, reason, framesPerSecond, pointer, boxes, spans, event_kinds } = options;
  const plan: RedactionPlan = { boxes, spans, event_kinds };
  const problem = planProblem(plan);
  if (problem !== null) throw new CliError(`${problem}: name --box, --span or --drop-events`, exitCodes.usage);
  const folder = resolve(out);
  await refuseExisting(folder);
  await makeOwnFolder(dirname(folder));
  const partial = `${folder}.partial`;
  await refuseExisting(partial);
  await makeOwnFolder(partial);
  try {
    const made = await interruptible((signal) => makeCopy(api, output, id, { ...options, out: partial }, plan, signal));
    const signed = await api.rest.signRedaction({
      params: { session_id: id },
      body: { reason, ...plan, ...made },
    });
    await writeOwnFile(join(partial, copyNames.record), Buffer.from(signed.envelope, 'base64'));
    await writeOwnFile(join(partial, 'policy.json'), `${JSON.stringify(await api.rest.getPolicy(), null, 2)}\n`);
    await rename(partial, folder);
    const events = made.events_removed.reduce((sum, { count }) => sum + count, 0);
    output.result(
      { session_id: id, out: folder, record_sha256: signed.sha256, ...plan, ...made },
      `${folder}: ${made.renderer.frames} frames at ${framesPerSecond} per second${pointer ? '' : ', without the pointer'}; taken out: ${boxes.length} boxes, ${spans.length} spans, ${events} events\nrecord     ${signed.sha256}`,
    );
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

type Made = Pick<RedactionBody, 'manifest_sha256' | 'events_removed' | 'chunks' | 'renderer' | 'files'>;

async function makeCopy(
  api: ApiClient,
  output: Output,
  id: string,
  { out, framesPerSecond, pointer }: RedactOptions,
  plan: RedactionPlan,
  signal: AbortSignal,
): Promise<Made> {
  const params = { session_id: id };
  const { manifest } = await api.rest.getManifest({ params });
  const recording = await openRecording(id, { api: () => api });
  try {
    const hashes = new FrameHashes(framesPerSecond);
    const options = videoOptionsOf(plan, { frames_per_second: framesPerSecond, pointer }, hashes);
    const video = await exportVideo(recording, { ...options, out: join(out, copyNames.video) }, output, signal);
    await writeOwnFile(join(out, copyNames.frames), framesText(hashes.end()));
    const { kept, removed, chunks } = await redactedEvents(recording, plan, signal);
    await writeOwnFile(join(out, copyNames.events), eventsText(kept));
    await downloadTo(join(out, recordsName), await api.rest.exportRecords({ params }), output);
    const names = [copyNames.video, copyNames.frames, copyNames.events, recordsName];
    return {
      manifest_sha256: String(manifest.sha256),
      events_removed: removed,
      chunks,
      renderer: {
        software: `${software.name} ${software.version}`,
        rules: REDACTION_RULES,
        h264_decoder: video.h264_decoder,
        width: video.width,
        height: video.height,
        frames_per_second: framesPerSecond,
        pointer,
        frames: video.frames,
      },
      files: await Promise.all(names.map((name) => fileOf(out, name))),
    };
  } finally {
    await recording.close();
  }
}

/** Signed records, leaves and proofs of the recording: nothing in them can be played. */
export const recordsName = 'records.lucid.tar';
