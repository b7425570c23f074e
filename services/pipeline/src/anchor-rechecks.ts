/** What was confirmed once is asked about again: a chain may reorganise, and then a person has to know. */
import type { AnchoringState, AnchorReceipt } from '@lucid-sessions/contract';
import { isFinalRefusal, requestOf } from './anchor-request.ts';
import { type Context, loadJournal } from './context.ts';
import type { JobHandler } from './job-runner.ts';
import type { Anchor, AnchorRequest, Job } from './ports.ts';

const backend = (job: Job) => String(job.payload.backend);
const recheckId = (name: string, sessionId: string) => `anchor_recheck:${name}:${sessionId}`;

/** Called when an anchor confirmed; durable before the job that confirmed it ends. */
export async function scheduleRecheck(context: Context, anchor: Anchor, sessionId: string): Promise<void> {
  const [firstMs] = context.limits.anchorRechecksMs;
  if (anchor.isFinal === true || firstMs === undefined) return;
  await context.deps.queue.enqueue({
    jobId: recheckId(anchor.backend, sessionId),
    kind: 'anchor_recheck',
    sessionId,
    payload: { backend: anchor.backend, checks: 0 },
    runAtUs: context.deps.nowUs() + firstMs * 1000,
    retriesMax: context.limits.retriesMax,
  });
}

async function audit(context: Context, sessionId: string, eventType: string, receipt: AnchorReceipt): Promise<void> {
  const { deps } = context;
  await deps.storage.appendAudit({
    eventId: deps.newId(),
    timestampUs: deps.nowUs(),
    eventType,
    userId: null,
    resourceId: sessionId,
    ipAddress: null,
    userAgent: null,
    success: eventType !== 'anchor_reorged',
    errorMessage: eventType === 'anchor_reorged' ? receipt.detail : null,
    details: {
      backend: receipt.backend,
      block_height: receipt.blockHeight,
      transaction_id: receipt.transactionId,
      merkle_root: receipt.merkleRoot,
    },
  });
}

/** What the anchor says now, in terms of what it said before: confirmed, or not any more. */
async function askAgain(anchor: Anchor, request: AnchorRequest, known: AnchorReceipt): Promise<AnchorReceipt> {
  const lost = (detail: string): AnchorReceipt => ({ ...known, status: 'reorged', detail });
  let now: AnchorReceipt | null;
  try {
    now = await anchor.check(request, known);
  } catch (thrown) {
    // Another root under our id, where ours was confirmed.
    if (isFinalRefusal(thrown) && known.status !== 'reorged') return lost(thrown.message);
    throw thrown;
  }
  if (now?.status === 'confirmed') return now;
  if (known.status !== 'reorged')
    return lost(now?.detail ?? `it was confirmed once and is ${now?.status ?? 'unknown'} now`);
  // It stays reorged in the open until it is confirmed anew; meanwhile it is handed in again where it was forgotten.
  if (now === null) await anchor.submit(request);
  return known;
}

export function recheckHandler(context: Context): JobHandler {
  const { deps, limits } = context;
  const waitMs = (checks: number) => limits.anchorRechecksMs[Math.min(checks, limits.anchorRechecksMs.length - 1)];

  async function recheck(job: Job, anchor: Anchor): Promise<boolean> {
    const request = await requestOf(context, job.sessionId);
    const known = (await deps.journal.listReceipts(job.sessionId)).find(
      (receipt) => receipt.backend === anchor.backend,
    );
    if (request === null || known === undefined) return true;
    const receipt = await askAgain(anchor, request, known);
    if (receipt === known) return false;
    await deps.journal.putReceipt(job.sessionId, receipt);
    const [was, is] = [known.status, receipt.status];
    if (was !== 'reorged' && is === 'reorged') {
      deps.onError?.(`anchor ${anchor.backend}`, new Error(`session ${job.sessionId}: ${receipt.detail}`));
      await audit(context, job.sessionId, 'anchor_reorged', receipt);
    }
    if (was === 'reorged' && is === 'confirmed') await audit(context, job.sessionId, 'anchor_restored', receipt);
    return is === 'confirmed';
  }

  return {
    async run(job) {
      const anchor = deps.anchors.find((known) => known.backend === backend(job));
      const checks = Number(job.payload.checks ?? 0);
      const again = (count: number) => ({
        againMs: waitMs(count) ?? 604_800_000,
        payload: { backend: backend(job), checks: count },
      });
      // Not configured now: it may be again one day, and nothing is lost by waiting.
      if (anchor === undefined) return again(checks);
      try {
        // While it does not stand it is asked as often as at first.
        return again((await recheck(job, anchor)) ? checks + 1 : 0);
      } catch (thrown) {
        deps.onError?.(`anchor ${anchor.backend}`, thrown);
        return again(checks);
      }
    },
  };
}

const stateOfReceipt = {
  pending: 'pending',
  processing: 'pending',
  confirmed: 'confirmed',
  failed: 'failed',
  reorged: 'reorged',
} as const satisfies Record<AnchorReceipt['status'], AnchoringState['state']>;

/** Every configured anchor of a session, and those that left a receipt once. */
export async function anchoringStates(context: Context, sessionId: string): Promise<AnchoringState[]> {
  const { deps } = context;
  const [receipts, jobs, { merkleRoot }] = await Promise.all([
    deps.journal.listReceipts(sessionId),
    deps.queue.listFor(sessionId),
    loadJournal(context, sessionId),
  ]);
  const names = new Set([...deps.anchors.map((anchor) => anchor.backend), ...receipts.map((known) => known.backend)]);
  const unsent = merkleRoot === null ? null : 'not accepted yet';
  return [...names].map((name) => {
    const receipt = receipts.find((known) => known.backend === name);
    const next = jobs
      .filter(({ jobId }) => jobId === `anchor:${name}:${sessionId}` || jobId === recheckId(name, sessionId))
      .filter(({ state }) => state === 'waiting' || state === 'running')
      .map(({ runAtUs }) => runAtUs);
    return {
      backend: name,
      state: receipt === undefined ? (merkleRoot === null ? 'none' : 'pending') : stateOfReceipt[receipt.status],
      nextCheckUs: next.length === 0 ? null : Math.min(...next),
      detail: receipt === undefined ? unsent : receipt.status === 'confirmed' ? null : receipt.detail,
    };
  });
}
