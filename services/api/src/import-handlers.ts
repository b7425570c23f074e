/** Captures that become recordings. What they are made of is read once, within bounds, and handed to the recorder. */
import { LucidError, restRoutes } from '@lucid-sessions/contract';
import type { Handlers } from './call.ts';
import { checkMade } from './scope-gate.ts';
import { readUpload } from './upload.ts';
import { sessionView } from './views.ts';

const { bytesMax } = restRoutes.importSession.upload;
const bounds = { bytesMax, stallMs: 30_000, what: 'the capture' };

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
      const capture = await readUpload(upload!, bounds);
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
