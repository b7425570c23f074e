/** The end of a recording's life: its date, and the signed erasure of what it held. */
import { hasHolds, isoOf } from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, stateOf, step, tryStep, unlessHeld } from './context.ts';
import { recordErase } from './erase.ts';
import { beginDestroying } from './holds.ts';
import type { JobHandler } from './job-runner.ts';
import type { Job } from './ports.ts';
import { onSession } from './session-work.ts';

const dayUs = 86_400_000_000;
/** Long waits are cut up, so that a changed retention is noticed within a day. */
const waitMsMax = 86_400_000;
/** What is due is looked at again after this: a clock that was ahead for a moment must not end every recording. */
const confirmMs = 3_600_000;

const heldMs = 10_000;

/** When it was first seen to be due; null where that is not known, or in the future of a clock that was set back. */
function dueSince({ dueUs }: Job['payload'], nowUs: number): number | null {
  return typeof dueUs === 'number' && dueUs <= nowUs ? dueUs : null;
}

export function retentionHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      onSession(context, job.sessionId, async (context) => {
        const { deps } = context;
        const session = await loadSession(context, job.sessionId);
        const state = stateOf(session);
        if (state !== 'stopped' && state !== 'error') return { done: true };
        const { manifestUs, drainedUs } = await loadJournal(context, job.sessionId);
        // A recorder with a wrong clock must not make a recording expire early: our own clock counts as well.
        const endedUs = Math.max(
          Date.parse(session.stopped_at ?? session.created_at) * 1000,
          manifestUs ?? drainedUs ?? 0,
        );
        const { retention_days: days } = session.storage_config;
        // Until somebody deletes it, or changes that; a legal hold is looked at again when it may be over.
        if (days === null || hasHolds(session)) return { againMs: waitMsMax, payload: {} };
        const nowUs = deps.nowUs();
        const leftMs = (endedUs + days * dayUs - nowUs) / 1000;
        if (leftMs > 0) return { againMs: Math.min(leftMs, waitMsMax), payload: {} };
        const dueUs = dueSince(job.payload, nowUs) ?? nowUs;
        if (nowUs - dueUs < confirmMs * 1000) return { againMs: confirmMs, payload: { dueUs } };
        await deps.storage.appendAudit({
          eventId: `retention:${job.sessionId}`,
          timestampUs: nowUs,
          eventType: 'retention_expired',
          userId: null,
          resourceId: job.sessionId,
          ipAddress: null,
          userAgent: null,
          success: true,
          errorMessage: null,
          details: { name: session.name, retention_days: days, ended_at: isoOf(endedUs) },
        });
        await step(context, job.sessionId, 'expire', {
          session: unlessHeld,
          purge: { actor: 'pipeline', reason: 'retention_expired' },
        });
        return { done: true };
      }),
  };
}

/** A job of an earlier version says only whether it was time. */
const orderOf = ({ actor, reason, expired }: Job['payload']): { actor: string; reason: string } => ({
  actor: typeof actor === 'string' ? actor : 'pipeline',
  reason: typeof reason === 'string' ? reason : expired === true ? 'retention_expired' : 'deleted',
});

export function purgeHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      onSession(context, job.sessionId, async (context) => {
        const { storage } = context.deps;
        const { sessionId } = job;
        const session = await loadSession(context, sessionId);
        if (stateOf(session) !== 'cleanup') return { done: true };
        // Whoever set it takes the deletion back in a moment.
        if (hasHolds(session) && session.destroying !== 'keys_and_chunks') return { againMs: heldMs };
        const { openedUs } = await loadJournal(context, sessionId);
        // A crash may have left the record without a word in the journal.
        const opened = openedUs !== null || (await storage.getRecords({ sessionId, kind: 'open' })).records.length > 0;
        await beginDestroying(context, sessionId, 'keys_and_chunks');
        // Said before it is done: a purge without its record would look like a loss.
        if (opened) await recordErase(context, sessionId, { erased: 'keys_and_chunks', ...orderOf(job.payload) });
        await storage.purgeSession({ sessionId });
        await tryStep(context, sessionId, 'purged');
        return { done: true };
      }),
  };
}
