/** What the contract calls the pipeline of a session: its stages, from what journal, storage and queue know. */
import type { PipelinePort, PipelineStatus, StageStatus } from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, notInThisState, putJournal, stateOf, tryStep } from './context.ts';
import type { Job, Journal } from './ports.ts';
import { onSession } from './session-work.ts';
import type { PipelineState } from './state-machine.ts';

const pipelineStatusOf: Record<PipelineState, PipelineStatus['pipelineStatus']> = {
  created: 'inactive',
  starting: 'active',
  active: 'active',
  pausing: 'paused',
  paused: 'paused',
  stopping: 'active',
  stopped: 'stopped',
  cleanup: 'stopped',
  destroyed: 'stopped',
  error: 'error',
};

const perSecond = (count: number, ms: number) => (ms > 0 ? Number(((count * 1000) / ms).toFixed(2)) : 0);

type Facts = Pick<StageStatus, 'status' | 'itemsProcessed' | 'errorsCount' | 'processingTimeMs'> &
  Partial<Pick<StageStatus, 'lastError'>>;

const stage = (stageName: string, retriesMax: number, facts: Facts, job?: Job): StageStatus => ({
  stageName,
  ...facts,
  throughputPerSecond: perSecond(facts.itemsProcessed, facts.processingTimeMs),
  retryCount: job?.retries ?? 0,
  maxRetries: job?.retriesMax ?? retriesMax,
  lastError: job?.lastError ?? facts.lastError ?? null,
});

function recordingStatus(state: PipelineState, journal: Journal): StageStatus['status'] {
  if (journal.endedUs !== null) return journal.failed ? 'error' : 'completed';
  if (state === 'paused' || state === 'pausing') return 'paused';
  return journal.connected ? 'active' : 'inactive';
}

function jobStatus(job: Job | undefined, completed: boolean): StageStatus['status'] {
  if (completed) return 'completed';
  if (job === undefined) return 'inactive';
  const byState = {
    waiting: 'active',
    running: 'active',
    paused: 'paused',
    failed: 'error',
    done: 'completed',
  } as const;
  return byState[job.state];
}

export async function pipelineStatus(context: Context, sessionId: string): Promise<PipelineStatus> {
  const { deps, limits, recorders } = context;
  const session = await loadSession(context, sessionId);
  const state = stateOf(session);
  const [journal, totals, jobs, receipts] = await Promise.all([
    loadJournal(context, sessionId),
    deps.storage.sessionTotals({ sessionId }),
    deps.queue.listFor(sessionId),
    deps.journal.listReceipts(sessionId),
  ]);
  const jobOf = (jobId: string) => jobs.find((job) => job.jobId === jobId);
  const finalise = jobOf(`finalise:${sessionId}`);
  const quiet = journal.connected && (await recorders.gone()).includes(journal.recorderId ?? '');
  const recording = quiet ? 'error' : recordingStatus(state, journal);
  // The chunk line compresses, encrypts and stores in one pass: its time and count stand with each of the three.
  const line: Facts = {
    status:
      journal.drainedUs !== null ? 'completed' : journal.connected || totals.chunksCount > 0 ? 'active' : 'inactive',
    itemsProcessed: totals.chunksCount,
    errorsCount: 0,
    processingTimeMs: Math.round(totals.lineUs / 1000),
  };
  const made = journal.manifestUs !== null;
  const manifest: Facts = {
    status: jobStatus(finalise, made),
    itemsProcessed: made ? 1 : 0,
    errorsCount: finalise?.retries ?? 0,
    processingTimeMs: made
      ? Math.max(0, Math.round((journal.manifestUs! - (journal.drainedUs ?? journal.manifestUs!)) / 1000))
      : 0,
  };
  const anchoring = deps.anchors.map(({ backend }) => {
    const job = jobOf(`anchor:${backend}:${sessionId}`);
    const receipt = receipts.find((known) => known.backend === backend);
    const confirmed = receipt?.status === 'confirmed';
    const lost = receipt?.status === 'failed' || receipt?.status === 'reorged';
    const status = lost ? 'error' : jobStatus(job, confirmed);
    const processingTimeMs = confirmed ? Math.round((receipt.confirmedAtUs! - receipt.submittedAtUs) / 1000) : 0;
    const facts: Facts = {
      status,
      itemsProcessed: confirmed ? 1 : 0,
      errorsCount: job?.retries ?? 0,
      processingTimeMs,
    };
    return stage(`anchoring_${backend}`, limits.retriesMax, facts, job);
  });
  return {
    sessionId,
    state,
    pipelineStatus: journal.processingPaused && state === 'stopping' ? 'paused' : pipelineStatusOf[state],
    stages: [
      stage('recording', limits.retriesMax, {
        status: recording,
        lastError: quiet ? `its recorder ${journal.recorderId} has not been heard of` : null,
        itemsProcessed: journal.statistics?.framesCount ?? 0,
        errorsCount: journal.statistics?.errorsCount ?? 0,
        processingTimeMs: Math.round((journal.statistics?.durationUs ?? 0) / 1000),
      }),
      ...['compression', 'encryption', 'storage'].map((name) => stage(name, limits.retriesMax, line)),
      stage('manifest', limits.retriesMax, manifest, finalise),
      stage(
        'log',
        limits.retriesMax,
        { ...manifest, itemsProcessed: (journal.openLogIndex === null ? 0 : 1) + (made ? 1 : 0) },
        finalise,
      ),
      ...anchoring,
    ],
  };
}

/** Pause holds the session's jobs back; resume lets them go and gives failed ones all their retries again. */
export async function control(
  context: Context,
  sessionId: string,
  action: 'pause' | 'resume',
): ReturnType<PipelinePort['control']> {
  await onSession(context, sessionId, async (context) => {
    const { queue, nowUs } = context.deps;
    const state = stateOf(await loadSession(context, sessionId));
    if (state === 'cleanup' || state === 'destroyed') throw notInThisState(state, action);
    const journal = await loadJournal(context, sessionId);
    await putJournal(context, { ...journal, processingPaused: action === 'pause' });
    await queue.setPaused(sessionId, action === 'pause');
    if (action === 'resume') {
      await queue.revive(sessionId, nowUs());
      if (state === 'error') await tryStep(context, sessionId, 'retry');
    }
  });
  context.kick();
  return { status: await pipelineStatus(context, sessionId) };
}
