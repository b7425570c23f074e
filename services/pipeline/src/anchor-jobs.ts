/** An outbox per anchor: the job stands before anything is sent and ends when the anchoring is confirmed or refused. */
import { LucidError } from '@lucid-sessions/contract';
import { scheduleRecheck } from './anchor-rechecks.ts';
import { isFinalRefusal, requestOf } from './anchor-request.ts';
import type { Context } from './context.ts';
import { backoffMs, type JobHandler } from './job-runner.ts';
import type { Job } from './ports.ts';

const unavailableBackoff = { backoffBaseMs: 5_000, backoffMaxMs: 3_600_000 };

export function anchorHandler(context: Context): JobHandler {
  const { deps, limits } = context;

  async function run(job: Job) {
    const anchor = deps.anchors.find(({ backend }) => backend === job.payload.backend);
    if (anchor === undefined) return { done: true } as const;
    const request = await requestOf(context, job.sessionId);
    if (request === null) return { done: true } as const;
    const misses = Number(job.payload.misses ?? 0);
    try {
      const known = (await deps.journal.listReceipts(job.sessionId)).find(({ backend }) => backend === anchor.backend);
      const checked = known === undefined ? null : await anchor.check(request, known);
      const receipt = checked ?? (await anchor.submit(request));
      await deps.journal.putReceipt(job.sessionId, receipt);
      if (receipt.status === 'confirmed') await scheduleRecheck(context, anchor, job.sessionId);
      if (receipt.status === 'confirmed') return { done: true } as const;
      // Handed in again a few times, and after that when somebody resumes the pipeline of the session.
      if (receipt.status === 'failed')
        throw new LucidError('anchoring', receipt.detail ?? 'the anchoring failed', { status: 500 });
      return { againMs: limits.anchorPollMs, payload: { backend: anchor.backend } };
    } catch (thrown) {
      if (isFinalRefusal(thrown)) throw thrown;
      // An anchor that is down for a day is no failure of the session: it is asked again for as long as it takes.
      deps.onError?.(`anchor ${anchor.backend}`, thrown);
      const againMs = backoffMs(misses, unavailableBackoff, deps.random());
      return { againMs, payload: { backend: anchor.backend, misses: misses + 1 } };
    }
  }

  return {
    run,
    async gaveUp(job, error) {
      const request = await requestOf(context, job.sessionId);
      if (request === null) return;
      await deps.journal.putReceipt(job.sessionId, {
        backend: String(job.payload.backend),
        status: 'failed',
        submittedAtUs: deps.nowUs(),
        confirmedAtUs: null,
        blockHeight: null,
        transactionId: null,
        merkleRoot: request.merkleRoot,
        detail: error,
      });
    },
  };
}
