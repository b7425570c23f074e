/** A session that is made of a file: opened at once, without a connection. */
import { isoOf, LucidError, type SessionDocument } from '@lucid-sessions/contract';
import { capacityRefusal, openRecording, takeBack } from './admit.ts';
import { type Context, newJournal, putJournal, step } from './context.ts';
import { type Held, onSession } from './session-work.ts';

export async function beginImport(
  context: Context,
  { session, recorderId }: { session: SessionDocument; recorderId: string },
): Promise<{ session: SessionDocument }> {
  const sessionId = session.session_id;
  if (!session.imported) throw new LucidError('invalidRequest', 'an imported session says where it comes from');
  return onSession(context, sessionId, async (context) => {
    if ((await context.deps.storage.getSession({ sessionId })).session !== null)
      throw new LucidError('sessionExists', 'a session with this id exists already');
    if (!(await context.connected.add(sessionId, recorderId)))
      throw new LucidError('atCapacity', capacityRefusal(context.limits).message);
    try {
      return { session: await open(context, session, recorderId) };
    } catch (thrown) {
      await context.connected.remove(sessionId).catch(() => {});
      // What can't be taken back now is taken back by the reconciler.
      await takeBack(context, sessionId).catch(() => {});
      throw thrown;
    }
  });
}

async function open(context: Held, session: SessionDocument, recorderId: string): Promise<SessionDocument> {
  const { deps } = context;
  const sessionId = session.session_id;
  const nowUs = deps.nowUs();
  const journal = { ...newJournal(sessionId), recorderId, connected: true, admittedUs: nowUs, imported: true };
  // Before the row: what a crash leaves of it is found by the journal, and by nothing else.
  await putJournal(context, journal);
  await deps.storage.createSession({ session, routeTokenSha256: null });
  const openLogIndex = await openRecording(context, session, nowUs);
  await step(context, sessionId, 'admit', { journal: (known) => ({ ...known, openedUs: nowUs, openLogIndex }) });
  const begun = await step(context, sessionId, 'started', {
    journal: (known) => ({ ...known, startedUs: nowUs }),
    session: (document) => ({ ...document, started_at: isoOf(nowUs) }),
  });
  return begun.session;
}
