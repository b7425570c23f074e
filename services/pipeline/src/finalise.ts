/** From the last stored chunk to a signed, stored and logged manifest. Each step leaves its result before the next begins. */
import { LucidError } from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, logRecord, stateOf, step, tryStep } from './context.ts';
import type { JobHandler } from './job-runner.ts';
import type { Journal } from './ports.ts';
import { sessionStatistics } from './statistics.ts';

const noFrames = {
  framesCount: 0,
  relayedBytes: 0,
  framesDropped: 0,
  errorsCount: 0,
  durationUs: 0,
  updatesCount: 0,
};

async function makeManifest(context: Context, sessionId: string, journal: Journal): Promise<Journal> {
  const { processor, storage, nowUs } = context.deps;
  const made = await processor.finish({
    session: await loadSession(context, sessionId),
    reason: journal.endReason ?? 'recorder_crashed',
    message: journal.endMessage ?? '',
    endedUs: journal.endedUs ?? nowUs(),
    facts: await context.deps.journal.listFacts(sessionId),
    statistics: journal.statistics ?? noFrames,
  });
  // Resumes were signed by whoever took the chain over; they are logged with the manifest that names them.
  for (const { record } of (await storage.getRecords({ sessionId, kind: 'resume' })).records)
    await logRecord(context, 'resume', record);
  await storage.putRecord({ sessionId, kind: 'manifest', record: made.manifestRecord });
  const index = await logRecord(context, 'manifest', made.manifestRecord);
  return {
    ...journal,
    merkleRoot: made.merkleRoot,
    chunksCount: made.chunksCount,
    totalBytes: made.totalBytes,
    manifestLogIndex: index,
    manifestUs: nowUs(),
  };
}

export function finaliseHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      context.locks.run(job.sessionId, async () => {
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
        await context.deps.journal.put(journal);
        const statistics = await sessionStatistics(context, sessionId, journal.statistics);
        await step(context, sessionId, 'finalised', {
          session: (session) => ({ ...session, merkle_root: journal.merkleRoot, statistics }),
        });
        return { done: true };
      }),
    gaveUp: (job, error) =>
      context.locks.run(job.sessionId, async () => {
        await tryStep(context, job.sessionId, 'fail', {
          session: (session) => ({ ...session, end_message: `the manifest could not be made: ${error}`.slice(0, 500) }),
        });
      }),
  };
}
