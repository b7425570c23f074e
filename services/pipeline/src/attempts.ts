/** Connections that became no session: what they reserved is let go, their session keeps waiting, and the audit log knows. */
import { type ConnectionAttempt, isLucidError, isoOf, type LastAttempt } from '@lucid-sessions/contract';
import { type Context, editSession, loadJournal } from './context.ts';
import { beginAgain } from './reports.ts';
import { type Held, onSession } from './session-work.ts';

const textMax = 500;

const lastAttemptOf = (attempt: ConnectionAttempt): LastAttempt => ({
  at: isoOf(attempt.atUs),
  client_address: attempt.clientAddress,
  client_name: attempt.clientName,
  outcome: attempt.outcome,
  reason: attempt.reason,
  message: attempt.message.slice(0, textMax),
});

async function settleAttempt(context: Held, sessionId: string, attempt: ConnectionAttempt): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  // Admitted, and then nothing came of it at the recorder.
  if (journal.connected && journal.startedUs === null && journal.connectionId === attempt.connectionId) {
    await context.connected.remove(sessionId);
    await beginAgain(context, sessionId, journal);
  }
  if (attempt.count === 0) return;
  const last_attempt = lastAttemptOf(attempt);
  await editSession(context, sessionId, (session) => ({ ...session, last_attempt }));
}

/** A listener names a session for whoever knocks: it is stored when they are admitted. */
const isKnown = async ({ deps }: Context, sessionId: string | null): Promise<boolean> =>
  sessionId !== null && (await deps.storage.getSession({ sessionId })).session !== null;

export async function attempted(context: Context, attempt: ConnectionAttempt): Promise<void> {
  const { sessionId, connectionId } = attempt;
  await context.reservations.release(connectionId);
  // Of a probe, or of one of a flood that is told as a whole, nothing is kept.
  if (attempt.count > 0) await context.attemptAudit.tell(attempt, await isKnown(context, sessionId));
  if (sessionId === null) return;
  try {
    await onSession(context, sessionId, (context) => settleAttempt(context, sessionId, attempt));
  } catch (thrown) {
    // A listener's session that was never stored.
    if (!isLucidError(thrown, 'sessionNotFound')) throw thrown;
  }
}
