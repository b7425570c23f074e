/** What an anchor is asked for, and which of its refusals are final. */
import { isLucidError, type LucidError } from '@lucid-sessions/contract';
import { type Context, loadJournal } from './context.ts';
import type { AnchorRequest } from './ports.ts';

/** Null while the session has no manifest. */
export async function requestOf(context: Context, sessionId: string): Promise<AnchorRequest | null> {
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

export const isFinalRefusal = (thrown: unknown): thrown is LucidError =>
  isLucidError(thrown, 'anchoring') && thrown.status === 500;
