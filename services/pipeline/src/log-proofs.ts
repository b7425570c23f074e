/** Proofs for an evidence bundle: all of one checkpoint, and that it extends the one the `open` record names. */
import type { LogEntryProof, PipelinePort } from '@lucid-sessions/contract';
import { parseSignedCheckpoint, readRecordOf } from '@lucid-sessions/evidence';
import { type Context, entryOf, loadSession, type PipelineDeps } from './context.ts';

type LogProofs = Awaited<ReturnType<PipelinePort['logProofs']>>;

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

export async function logProofs(
  { storage, log }: Pick<PipelineDeps, 'storage' | 'log'>,
  sessionId: string,
): Promise<LogProofs> {
  await loadSession({ deps: { storage } }, sessionId);
  const { records } = await storage.getRecords({ sessionId });
  const open = records.find(({ kind }) => kind === 'open');
  if (open === undefined) return { proofs: [], consistency: [] };
  const logged: { kind: (typeof records)[number]['kind']; sequence: number; index: number }[] = [];
  let custodyFound = false;
  // From the end: of the chain of custody the last head that is logged names all before it.
  for (const { kind, sequence, record } of records.toReversed()) {
    if (kind === 'replay' || (kind === 'custody' && custodyFound)) continue;
    const index = await log.find(await entryOf({ deps: { storage } }, sessionId, kind, record));
    if (index === null) continue;
    logged.unshift({ kind, sequence, index });
    custodyFound ||= kind === 'custody';
  }
  if (logged.length === 0) return { proofs: [], consistency: [] };
  const named = sizeNamedBy(open.record);
  const first = named === 0 ? null : named;
  const made = await log.prove(
    logged.map(({ index }) => index),
    first,
  );
  return {
    proofs: logged.map(({ kind, sequence, index }, at) => ({
      kind,
      sequence,
      proof: { logIndex: index, checkpoint: made.checkpoint, inclusion: made.inclusion[at] ?? [] },
    })),
    consistency: first === null ? [] : [{ first, second: made.size, hashes: made.consistency }],
  };
}

/** The proof of one entry. */
export async function logProof({ deps }: Context, index: number): Promise<LogEntryProof> {
  const { checkpoint, inclusion } = await deps.log.prove([index], null);
  return { logIndex: index, checkpoint, inclusion: inclusion[0] ?? [] };
}
