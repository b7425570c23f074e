/** Whether all that was recorded can be seen: what is signed, how far somebody walked, and having it walked through. */
import { isLucidError, LucidError } from '@lucid-sessions/contract';
import { type Call, type Handlers, loadSession } from './call.ts';

type ReplayCall = Call<'getReplay'> | Call<'examineReplay'>;

/** A recording nobody can read here has no walk: what was signed of it before still stands. */
async function progressOf({ api, sessionId }: ReplayCall) {
  try {
    return await api.deps.sessionIndexes?.examined(sessionId);
  } catch (thrown) {
    if (isLucidError(thrown, 'recordNotFound')) return undefined;
    throw thrown;
  }
}

async function getReplay(call: ReplayCall) {
  const { replay } = await loadSession(call);
  const progress = await progressOf(call);
  return {
    session_id: call.sessionId,
    state: replay?.state ?? ('unexamined' as const),
    detail: replay?.detail ?? 'nobody has walked through the recording',
    examined_at: replay?.examined_at ?? null,
    walking: progress?.walking ?? false,
    walked_chunks: progress?.walkedChunks ?? 0,
    chunks: progress?.chunks ?? 0,
  };
}

async function examineReplay(call: Call<'examineReplay'>) {
  const { sessionIndexes } = call.api.deps;
  await loadSession(call);
  if (sessionIndexes === undefined) throw new LucidError('unavailable', 'this process walks through no recordings');
  await sessionIndexes.examine(call.sessionId);
  return getReplay(call);
}

export const replayHandlers: Handlers<'getReplay' | 'examineReplay'> = { getReplay, examineReplay };
