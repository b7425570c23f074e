/**
 * Proofs for an evidence bundle: all of one checkpoint, but that of the manifest of the first one witnesses cosigned, and that each
 * extends the one before, from that of the `open` record on.
 */
import type { LogEntryProof, PipelinePort } from '@lucid-sessions/contract';
import { loggedSession, parseSignedCheckpoint, readRecordOf } from '@lucid-sessions/evidence';
import { type Context, entryOf, loadSession, type PipelineDeps, readable } from './context.ts';
import { progressOf } from './progress.ts';
import { witnessedSize } from './witnessed.ts';

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
  const kept = await journal.get(sessionId);
  const untilUs = kept?.manifestUs ?? nowUs();
  const progress = await progressOf({ journal, log }, open.sha256, { fromUs: open.body.opened_us, untilUs });
  const { checkpoint } = open.body;
  // Of a tree of none, and by what is no checkpoint, there is nothing to prove.
  const first = (checkpoint === null ? null : readable(() => parseSignedCheckpoint(checkpoint).size)) || null;
  const made = await log.prove(
    [...logged.map(({ index }) => index), ...progress.map(({ logIndex }) => logIndex)],
    first,
  );
  const proofs = logged.map(({ kind, sequence, index }, at) => ({
    kind,
    sequence,
    proof: { logIndex: index, checkpoint: made.checkpoint, inclusion: made.inclusion[at] ?? [] },
  }));
  const manifest = proofs.find(({ kind }) => kind === 'manifest');
  const size =
    manifest === undefined ? null : witnessedSize(kept?.witnessedCheckpoint, manifest.proof.logIndex, made.size);
  const consistency = first === null ? [] : [{ first, second: made.size, hashes: made.consistency }];
  if (manifest !== undefined && size !== null) {
    const { logIndex } = manifest.proof;
    const checkpoint = kept?.witnessedCheckpoint ?? made.checkpoint;
    manifest.proof = { logIndex, checkpoint, inclusion: await log.proveAt(logIndex, size) };
    const sizes = [...(first === null ? [] : [first]), size, made.size];
    consistency.length = 0;
    for (const [at, second] of sizes.entries()) {
      const before = sizes[at - 1];
      if (before !== undefined && before < second)
        consistency.push({ first: before, second, hashes: await log.proveConsistency(before, second) });
    }
  }
  return {
    proofs,
    progress: progress.map(({ logIndex, ...head }, at) => ({
      head,
      proof: { logIndex, checkpoint: made.checkpoint, inclusion: made.inclusion[logged.length + at] ?? [] },
    })),
    consistency,
  };
}

/** The proof of one entry. */
export async function logProof({ deps }: Context, index: number): Promise<LogEntryProof> {
  const { checkpoint, inclusion } = await deps.log.prove([index], null);
  return { logIndex: index, checkpoint, inclusion: inclusion[0] ?? [] };
}
