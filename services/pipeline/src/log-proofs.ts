/** Proofs for an evidence bundle: all of one checkpoint, and that it extends the one the `open` record names. */
import type { PipelinePort } from '@lucid-sessions/contract';
import { parseSignedCheckpoint, readRecordOf } from '@lucid-sessions/evidence';
import { type Context, entryOf, loadSession } from './context.ts';

type LogProofs = Awaited<ReturnType<PipelinePort['logProofs']>>;

/** The log may grow between two proofs; it rarely does so several times in a row. */
const triesMax = 10;

/** Size of the tree the `open` record names; null when it names none. */
function sizeNamedBy(openRecord: Uint8Array): number | null {
  try {
    const { checkpoint } = readRecordOf('open', openRecord).body;
    return checkpoint === null ? null : parseSignedCheckpoint(checkpoint).size;
  } catch (thrown) {
    // A record nobody can read has no checkpoint to prove anything about; the verifier says what is wrong with it.
    if ((thrown as Error | null)?.name === 'DecodeError') return null;
    throw thrown;
  }
}

async function proveAll(context: Context, sessionId: string): Promise<LogProofs & { checkpoints: Set<string> }> {
  const { storage, log } = context.deps;
  const { records } = await storage.getRecords({ sessionId });
  const made: LogProofs & { checkpoints: Set<string> } = { proofs: [], consistency: [], checkpoints: new Set() };
  for (const { kind, sequence, record } of records) {
    const index = await log.find(entryOf(kind, record));
    if (index === null) continue;
    const proof = await log.proof(index);
    made.proofs.push({ kind, sequence, proof });
    made.checkpoints.add(proof.checkpoint);
  }
  const open = records.find(({ kind }) => kind === 'open');
  const first = open === undefined ? null : sizeNamedBy(open.record);
  if (first !== null && first > 0 && made.proofs.length > 0) {
    const { checkpoint, ...consistency } = await log.consistency(first);
    made.consistency.push(consistency);
    made.checkpoints.add(checkpoint);
  }
  return made;
}

export async function logProofs(context: Context, sessionId: string): Promise<LogProofs> {
  await loadSession(context, sessionId);
  for (let left = triesMax; ; left--) {
    const { checkpoints, ...made } = await proveAll(context, sessionId);
    if (checkpoints.size <= 1 || left === 0) return made;
  }
}
