/** Captures that become recordings. What they are made of is read once, within bounds, and handed to the recorder. */
import type { Readable } from 'node:stream';
import { LucidError, restRoutes } from '@lucid-sessions/contract';
import type { Handlers } from './call.ts';
import { checkMade } from './scope-gate.ts';
import { sessionView } from './views.ts';

const { bytesMax } = restRoutes.importSession.upload;
/** Between two parts of an upload. */
const stallMs = 30_000;

async function readUpload(upload: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  const stalled = (): void => {
    upload.destroy(new LucidError('invalidRequest', 'the capture came too slowly'));
  };
  let timer = setTimeout(stalled, stallMs);
  try {
    for await (const part of upload as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      timer = setTimeout(stalled, stallMs);
      length += part.length;
      if (length > bytesMax)
        throw new LucidError('tooLarge', `a capture is sent in at most ${bytesMax / 2 ** 20} MiB (gzip)`);
      parts.push(part);
    }
  } finally {
    clearTimeout(timer);
  }
  if (length === 0) throw new LucidError('invalidRequest', 'the capture is empty');
  return Buffer.concat(parts);
}

export const importHandlers: Handlers<'importSession'> = {
  async importSession(call) {
    const { api, query, upload, user, told } = call;
    const { deps, config } = api;
    const { name, source_name: sourceName, source_sha256: sourceSha256, project, environment } = query;
    Object.assign(told, { name, source_name: sourceName, source_sha256: sourceSha256 });
    const metadata = {
      ...(project === undefined ? {} : { project }),
      ...(environment === undefined ? {} : { environment }),
    };
    const sessionId = deps.newId();
    await checkMade(call, { session_id: sessionId, created_by: user.userId, metadata });
    // One at a time: each is held in memory.
    if (api.busy.importing)
      throw new LucidError('atCapacity', 'another capture is being sent; try again when it is there');
    api.busy.importing = true;
    try {
      const capture = await readUpload(upload!);
      const { session } = await deps.recorder.importCapture({
        sessionId,
        name,
        description: query.description ?? null,
        by: user.userId,
        sourceName,
        sourceSha256,
        metadata,
        retentionDays: query.retention_days === undefined ? config.retentionDaysDefault : query.retention_days,
        capture,
      });
      told.capture_sha256 = session.imported?.capture_sha256 ?? null;
      return sessionView(session, config.publicUrl);
    } finally {
      api.busy.importing = false;
    }
  },
};
