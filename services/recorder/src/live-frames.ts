/** The recorder's answer to somebody who watches a session. */
import { type LiveFrames, LucidError } from '@lucid-sessions/contract';
import type { Spool } from './spool/index.ts';

export async function liveFrames(
  spool: Spool,
  request: { sessionId: string; afterFrame: number; waitMs: number },
): Promise<LiveFrames> {
  const { sessionId, afterFrame, waitMs } = request;
  if (spool.failure !== null) throw new LucidError('unavailable', 'the recorder can not read its spool');
  const { state, ...frames } = await spool.live(sessionId, afterFrame, waitMs);
  // Another recorder may have it, or all of it is stored.
  if (state === 'unknown') throw new LucidError('unavailable', 'the session is not being recorded here');
  return { state, ...frames };
}
