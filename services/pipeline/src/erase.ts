/**
 * Signed erasure. The record is signed, stored and logged before anything is destroyed, so that keys are never gone without
 * a word; the job stands before all of it, so that a crash in between does not leave keys that somebody believes destroyed.
 */
import { createHash } from 'node:crypto';
import { hasHolds, LucidError, type PipelinePort, refuseHeld } from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import {
  type Context,
  entryOf,
  loadJournal,
  loadSession,
  loggedSessionOf,
  logRecord,
  notInThisState,
  readable,
  stateOf,
} from './context.ts';
import { beginDestroying } from './holds.ts';
import type { JobHandler } from './job-runner.ts';
import { type Held, onSession } from './session-work.ts';
import type { PipelineState } from './state-machine.ts';

type Erased = 'keys' | 'chunks' | 'keys_and_chunks';
type Answer = Awaited<ReturnType<PipelinePort['erase']>>;

const dekIdPattern = /^[0-9a-f]{32}$/;
/** The recording is over: nothing will be sealed under the key any more. */
const erasableStates: readonly PipelineState[] = ['stopped', 'error', 'cleanup', 'destroyed'];

/** What a stored erase record says; null where the bytes are no record this version can read. */
function readErase(record: Uint8Array): { erased: Erased; atUs: number } | null {
  const body = readable(() => readRecordOf('erase', record).body);
  return body && { erased: body.erased, atUs: body.at_us };
}

/** A stored record that says what is going to be erased, or more. */
async function findErase(
  context: Context,
  sessionId: string,
  erased: Erased,
): Promise<{ record: Uint8Array; atUs: number } | null> {
  const { records } = await context.deps.storage.getRecords({ sessionId, kind: 'erase' });
  for (const { record } of records) {
    const said = readErase(record);
    if (said !== null && (said.erased === erased || said.erased === 'keys_and_chunks'))
      return { record, atUs: said.atUs };
  }
  return null;
}

export interface EraseOrder {
  erased: Erased;
  actor: string;
  reason: string;
}

/** Signs, stores and logs that something is going to be erased. A second time it finds the first record. */
export async function recordErase(
  context: Context,
  sessionId: string,
  { erased, actor, reason }: EraseOrder,
): Promise<{ record: Uint8Array; atUs: number; logIndex: number }> {
  const { storage, processor, nowUs } = context.deps;
  let found = await findErase(context, sessionId, erased);
  if (found === null) {
    const atUs = nowUs();
    const dekId = (await storage.getWraps({ sessionId })).wraps[0]?.keyId ?? '';
    const { merkleRoot } = await loadJournal(context, sessionId);
    const body = {
      at_us: atUs,
      actor,
      reason,
      erased,
      dek_id: dekIdPattern.test(dekId) ? dekId : null,
      merkle_root: merkleRoot,
    };
    const { record } = await processor.signRecord({ sessionId, kind: 'erase', body });
    await storage.putRecord({ sessionId, kind: 'erase', record });
    found = { record, atUs };
  }
  const logged = await loggedSessionOf(context, sessionId);
  const known = await context.deps.log.find(entryOf(logged, 'erase', found.record));
  return { ...found, logIndex: known ?? (await logRecord(context, logged, 'erase', found.record)) };
}

/** Under the session's lock. */
async function shred(context: Held, sessionId: string, order: Omit<EraseOrder, 'erased'>): Promise<Answer> {
  const { storage } = context.deps;
  await beginDestroying(context, sessionId, 'keys');
  const { record, atUs, logIndex } = await recordErase(context, sessionId, { ...order, erased: 'keys' });
  const { wraps } = await storage.getWraps({ sessionId });
  if (wraps.length > 0) await storage.putWraps({ sessionId, wraps: [] });
  return {
    erasedAtUs: atUs,
    recordSha256: createHash('sha256').update(record).digest('hex'),
    logIndex,
    wrapsDestroyed: wraps.length,
  };
}

async function checkErasable(context: Context, sessionId: string): Promise<void> {
  const session = await loadSession(context, sessionId);
  const state = stateOf(session);
  if (!erasableStates.includes(state)) throw notInThisState(state, 'erase');
  refuseHeld(session);
  if ((await loadJournal(context, sessionId)).openedUs === null)
    throw new LucidError('recordNotFound', 'nothing was recorded: the session has no key');
}

export async function erase(
  context: Context,
  { sessionId, actor, reason }: Parameters<PipelinePort['erase']>[0],
): Promise<Answer> {
  return onSession(context, sessionId, async (context) => {
    await checkErasable(context, sessionId);
    await context.deps.queue.enqueue({
      jobId: `erase:${sessionId}`,
      kind: 'erase',
      sessionId,
      payload: { actor, reason },
      runAtUs: context.deps.nowUs(),
      retriesMax: context.limits.retriesMax,
    });
    const answer = await shred(context, sessionId, { actor, reason });
    context.kick();
    return answer;
  });
}

/** Finishes what a crash interrupted; finds everything done where there was none. */
export function eraseHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      onSession(context, job.sessionId, async (context) => {
        const session = await loadSession(context, job.sessionId);
        // Set before anything was signed: it was first.
        if (hasHolds(session) && session.destroying === undefined) return { done: true };
        const order = { actor: String(job.payload.actor), reason: String(job.payload.reason) };
        await shred(context, job.sessionId, order);
        return { done: true };
      }),
  };
}
