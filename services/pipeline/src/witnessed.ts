/**
 * When witnesses first saw a manifest: the log keeps their word for its latest checkpoint alone, so that of each session is kept
 * with it. Without it a bundle could only show that they know the manifest at the time it is exported.
 */
import { parseSignedCheckpoint } from '@lucid-sessions/evidence';
import { type Context, putJournal, readable } from './context.ts';
import type { JobHandler } from './job-runner.ts';
import { onSession } from './session-work.ts';

/** Between looks; they grow with the time a witness is away. */
const lookMs = 5_000;
const lookMsMax = 600_000;
/** From then on those who came are enough: one may be gone for good. */
const waitForAllUs = 3_600_000_000;
/** Nobody came. */
const givenUpUs = 30 * 86_400_000_000;

/** Called when the manifest is logged. */
export async function awaitWitnesses(context: Context, sessionId: string): Promise<void> {
  const { limits, deps } = context;
  if (limits.witnesses === 0) return;
  await deps.queue.enqueue({
    jobId: `witness:${sessionId}`,
    kind: 'witness',
    sessionId,
    payload: { sinceUs: deps.nowUs() },
    runAtUs: deps.nowUs() + lookMs * 1000,
    retriesMax: limits.retriesMax,
  });
}

const cosignaturesOf = (checkpoint: string): number =>
  Math.max(0, (readable(() => parseSignedCheckpoint(checkpoint).note.signatures.length) ?? 0) - 1);

export function witnessHandler(context: Context): JobHandler {
  const { deps, limits } = context;
  return {
    async run({ sessionId, payload }) {
      const journal = await deps.journal.get(sessionId);
      if (journal === null || journal.manifestLogIndex === null || journal.witnessedCheckpoint != null)
        return { done: true };
      const waitedUs = deps.nowUs() - Number(payload.sinceUs);
      const { checkpoint } = await deps.log.prove([journal.manifestLogIndex], null);
      const count = cosignaturesOf(checkpoint);
      if (count < (waitedUs < waitForAllUs ? limits.witnesses : 1))
        return waitedUs > givenUpUs
          ? { done: true }
          : { againMs: Math.min(lookMsMax, Math.max(lookMs, waitedUs / 10_000)), payload };
      await onSession(context, sessionId, async (held) => {
        const known = await held.deps.journal.get(sessionId);
        if (known !== null && known.witnessedCheckpoint == null)
          await putJournal(held, { ...known, witnessedCheckpoint: checkpoint });
      });
      return { done: true };
    },
  };
}

/** Size of the tree the kept checkpoint is of, where it covers entry `index` and is no larger than `until`; null: there is none. */
export function witnessedSize(checkpoint: string | null | undefined, index: number, until: number): number | null {
  const size = checkpoint == null ? null : readable(() => parseSignedCheckpoint(checkpoint).size);
  return size !== null && size > index && size <= until ? size : null;
}
