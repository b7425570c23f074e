/** An outbox per anchor: the job stands before anything is sent and ends when the anchoring is confirmed or refused. */
import { errorNames, LucidError } from '@lucid-sessions/contract';
import { type Context, loadJournal } from './context.ts';
import { backoffMs, type JobHandler } from './job-runner.ts';
import type { AnchorRequest, Job } from './ports.ts';

const unavailableBackoff = { backoffBaseMs: 5_000, backoffMaxMs: 3_600_000 };

async function requestOf(context: Context, sessionId: string): Promise<AnchorRequest | null> {
  const journal = await loadJournal(context, sessionId);
  if (journal.merkleRoot === null) return null;
  return {
    sessionId,
    merkleRoot: journal.merkleRoot,
    chunksCount: journal.chunksCount ?? 0,
    totalBytes: journal.totalBytes ?? 0,
    createdAtUs: journal.openedUs ?? 0,
    checkpoint: await context.deps.log.checkpoint(),
  };
}

const isFinal = (thrown: unknown) =>
  thrown instanceof LucidError && thrown.code === errorNames.anchoring && thrown.status === 500;

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
      if (receipt.status === 'confirmed' || receipt.status === 'failed') return { done: true } as const;
      return { againMs: limits.anchorPollMs, payload: { backend: anchor.backend } };
    } catch (thrown) {
      if (isFinal(thrown)) throw thrown;
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
