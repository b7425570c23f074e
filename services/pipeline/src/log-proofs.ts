/** Proofs for an evidence bundle: all of one checkpoint, and that it extends the one the `open` record names. */
import type { LogEntryProof, PipelinePort } from '@lucid-sessions/contract';
import { loggedSession, parseSignedCheckpoint, readRecordOf } from '@lucid-sessions/evidence';
import { type Context, entryOf, loadSession, type PipelineDeps, readable } from './context.ts';
import { progressOf } from './progress.ts';

type LogProofs = Awaited<ReturnType<PipelinePort['logProofs']>>;

export async function logProofs(
  { storage, log, journal, nowUs }: Pick<PipelineDeps, 'storage' | 'log' | 'journal' | 'nowUs'>,
  sessionId: string,
): Promise<LogProofs> {
  await loadSession({ deps: { storage } }, sessionId);
  const { records } = await storage.getRecords({ sessionId });
  const stored = records.find(({ kind }) => kind === 'open');
  // Of one that can't be read nobody knows how the log names its session.
  const open = stored === undefined ? null : readable(() => readRecordOf('open', stored.record));
  if (open === null) return { proofs: [], progress: [], consistency: [] };
  const session = loggedSession(open);
  const logged: { kind: (typeof records)[number]['kind']; sequence: number; index: number }[] = [];
  let custodyFound = false;
  // From the end: of the chain of custody the last head that is logged names all before it.
  for (const { kind, sequence, record } of records.toReversed()) {
    if (kind === 'replay' || (kind === 'custody' && custodyFound)) continue;
    const index = await log.find(entryOf(session, kind, record));
    if (index === null) continue;
    logged.unshift({ kind, sequence, index });
    custodyFound ||= kind === 'custody';
  }
  if (logged.length === 0) return { proofs: [], progress: [], consistency: [] };
  const untilUs = (await journal.get(sessionId))?.manifestUs ?? nowUs();
  const progress = await progressOf({ journal, log }, open.sha256, { fromUs: open.body.opened_us, untilUs });
  const { checkpoint } = open.body;
  // Of a tree of none, and by what is no checkpoint, there is nothing to prove.
  const first = (checkpoint === null ? null : readable(() => parseSignedCheckpoint(checkpoint).size)) || null;
  const made = await log.prove(
    [...logged.map(({ index }) => index), ...progress.map(({ logIndex }) => logIndex)],
    first,
  );
  return {
    proofs: logged.map(({ kind, sequence, index }, at) => ({
      kind,
      sequence,
      proof: { logIndex: index, checkpoint: made.checkpoint, inclusion: made.inclusion[at] ?? [] },
    })),
    progress: progress.map(({ logIndex, ...head }, at) => ({
      head,
      proof: { logIndex, checkpoint: made.checkpoint, inclusion: made.inclusion[logged.length + at] ?? [] },
    })),
    consistency: first === null ? [] : [{ first, second: made.size, hashes: made.consistency }],
  };
}

/** The proof of one entry. */
export async function logProof({ deps }: Context, index: number): Promise<LogEntryProof> {
  const { checkpoint, inclusion } = await deps.log.prove([index], null);
  return { logIndex: index, checkpoint, inclusion: inclusion[0] ?? [] };
}
