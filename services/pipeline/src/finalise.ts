/** From the last stored chunk to a signed, stored and logged manifest. Each step leaves its result before the next begins. */
import {
  type FinalStatistics,
  LucidError,
  noRecordingStatistics,
  recordedOutcome,
  type SessionDocument,
  type SessionOutcome,
} from '@lucid-sessions/contract';
import {
  type Context,
  loadJournal,
  loadSession,
  loggedSessionOf,
  logRecord,
  putJournal,
  stateOf,
  step,
  tryStep,
} from './context.ts';
import type { JobHandler } from './job-runner.ts';
import type { Journal } from './ports.ts';
import { onSession } from './session-work.ts';
import { sessionStatistics } from './statistics.ts';
import { awaitWitnesses } from './witnessed.ts';

/** When the last chunk in storage was closed, µs since 1970; 0: there is none. */
async function lastClosedUs({ deps: { storage } }: Context, sessionId: string): Promise<number> {
  const { chunksCount } = await storage.sessionTotals({ sessionId });
  const { chunk } = await storage.getChunk({ sessionId, index: Math.max(0, chunksCount - 1) });
  return chunk?.closedUs ?? 0;
}

/** A recorder that nobody heard of may have gone on recording: an end that was only concluded is not before its chunks'. */
async function endedUsOf(context: Context, { sessionId, endedUs, endInferred }: Journal): Promise<number> {
  const toldUs = endedUs ?? context.deps.nowUs();
  return endInferred ? Math.max(toldUs, await lastClosedUs(context, sessionId)) : toldUs;
}

/** What the recorder told, and what it could not tell itself: what its chunks hold, and until when. */
async function figuresOf(context: Context, journal: Journal): Promise<FinalStatistics> {
  const { storage } = context.deps;
  const { sessionId, startedUs, lostUs, recovered } = journal;
  const told = journal.statistics ?? noRecordingStatistics;
  const { framesCount, updatesCount } = await storage.sessionTotals({ sessionId });
  // What the recorder counted may have found no room on disk: a manifest counts what is there.
  if (!recovered && !journal.endInferred) return { ...told, framesCount };
  const untilUs = Math.min(await lastClosedUs(context, sessionId), lostUs ?? Number.POSITIVE_INFINITY);
  const spanUs = recovered || startedUs === null ? 0 : untilUs - startedUs;
  return { ...told, framesCount, updatesCount, durationUs: Math.max(told.durationUs, spanUs) };
}

async function outcomeOf(context: Context, journal: Journal, session: SessionDocument): Promise<SessionOutcome> {
  const facts = await context.deps.journal.listFacts(journal.sessionId);
  return recordedOutcome({
    gaps: facts.filter((fact) => fact.kind === 'gap'),
    endReason: journal.endReason,
    recovered: journal.recovered,
    persistence: session.recording_config.persistence,
    whole: journal.drainedChunks !== null,
  });
}

async function makeManifest(context: Context, sessionId: string, journal: Journal): Promise<Journal> {
  const { processor, storage, nowUs } = context.deps;
  const statistics = await figuresOf(context, journal);
  const made = await processor.finish({
    session: await loadSession(context, sessionId),
    reason: journal.endReason ?? 'recorder_crashed',
    message: journal.endMessage ?? '',
    endedUs: await endedUsOf(context, journal),
    facts: await context.deps.journal.listFacts(sessionId),
    statistics,
  });
  // Resumes were signed by whoever took the chain over; they are logged with the manifest that names them.
  const logged = await loggedSessionOf(context, sessionId);
  for (const { record } of (await storage.getRecords({ sessionId, kind: 'resume' })).records)
    await logRecord(context, logged, 'resume', record);
  await storage.putRecord({ sessionId, kind: 'manifest', record: made.manifestRecord });
  const index = await logRecord(context, logged, 'manifest', made.manifestRecord);
  return {
    ...journal,
    statistics,
    merkleRoot: made.merkleRoot,
    chunksCount: made.chunksCount,
    totalBytes: made.totalBytes,
    manifestLogIndex: index,
    manifestUs: nowUs(),
  };
}

/** A key that is shared among holders is theirs alone once nothing is sealed with it any more: the other wraps were for carrying a recording on. */
async function leaveShares({ deps: { storage } }: Context, sessionId: string): Promise<void> {
  const { wraps } = await storage.getWraps({ sessionId });
  const shares = wraps.filter(({ scheme }) => scheme === 'share');
  if (shares.length > 0 && shares.length < wraps.length) await storage.putWraps({ sessionId, wraps: shares });
}

export function finaliseHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      onSession(context, job.sessionId, async (context) => {
        const { sessionId } = job;
        // Left over from a state that was never written, or done before the crash.
        if (stateOf(await loadSession(context, sessionId)) !== 'stopping') return { done: true };
        const known = await loadJournal(context, sessionId);
        if (known.drainedChunks !== null) {
          const { chunksCount } = await context.deps.storage.sessionTotals({ sessionId });
          if (chunksCount < known.drainedChunks)
            throw new LucidError('storage', `${chunksCount} of ${known.drainedChunks} chunks are stored`);
        }
        const journal = known.manifestUs === null ? await makeManifest(context, sessionId, known) : known;
        if (journal !== known) await putJournal(context, journal);
        await awaitWitnesses(context, sessionId);
        await leaveShares(context, sessionId);
        const statistics = await sessionStatistics(context, sessionId, journal.statistics);
        const outcome = await outcomeOf(context, journal, await loadSession(context, sessionId));
        await step(context, sessionId, 'finalised', {
          session: (session) => ({ ...session, merkle_root: journal.merkleRoot, statistics, outcome }),
        });
        return { done: true };
      }),
    gaveUp: (job, error) =>
      onSession(context, job.sessionId, async (context) => {
        await tryStep(context, job.sessionId, 'fail', {
          session: (session) => ({ ...session, end_message: `the manifest could not be made: ${error}`.slice(0, 500) }),
        });
      }),
  };
}
