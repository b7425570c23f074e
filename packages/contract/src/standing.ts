/** What became of a session, in the words lists use beside its status. */
import type { SessionDocument, SessionOutcome, SessionReplay } from './models.ts';

const attemptWords: Record<string, string> = {
  refused: 'last connection refused',
  target_failed: 'target not reached',
  client_left: 'client left while connecting',
};

const outcomeWords: Record<SessionOutcome, string | null> = {
  whole: null,
  recovered: 'recovered',
  gap: 'with a gap',
  refused: 'refused',
  never_connected: 'never connected',
};

const outcomeSentences: Record<SessionOutcome, string> = {
  whole: 'recorded from beginning to end',
  recovered: 'recovered: its recorder died, and what was stored by then is here up to the last frame',
  gap: 'recorded with a gap: frames are missing',
  refused: 'not recorded: the gateway refused the last connection',
  never_connected: 'not recorded: nobody connected',
};

/** What a page about the session says; null while it is not decided. */
export function outcomeText({ status, outcome }: Pick<SessionDocument, 'status' | 'outcome'>): string | null {
  if (!outcome) return null;
  const isGone = status === 'deleted' && wasRecorded.includes(outcome);
  return isGone ? `${outcomeSentences[outcome]}; the recording was deleted since` : outcomeSentences[outcome];
}

/** A whole recording that shows black is no recording: that is said beside what became of it. */
const replayWords: Record<SessionReplay['state'], string | null> = {
  drawn: null,
  parts: 'not all can be seen',
  nothing: 'nothing can be seen',
  unexamined: 'not examined',
};

const wasRecorded: readonly SessionOutcome[] = ['whole', 'recovered', 'gap'];

/** What a list says beside the status; null where the status says it all. */
export function standingOf(
  session: Pick<SessionDocument, 'status' | 'outcome' | 'last_attempt' | 'reconnect_until' | 'imported' | 'replay'>,
): string | null {
  if (session.imported || session.outcome) {
    const { outcome } = session;
    // Of one that is deleted nothing can be looked at any more.
    const isThere = outcome && session.status !== 'deleted' ? wasRecorded.includes(outcome) : false;
    const replay = isThere ? replayWords[session.replay?.state ?? 'unexamined'] : null;
    const words = [session.imported && 'imported', outcome && outcomeWords[outcome], replay];
    return words.filter(Boolean).join(', ') || null;
  }
  if (session.reconnect_until) return 'client lost, may come back';
  const waits = session.status === 'created' || session.status === 'starting';
  return waits && session.last_attempt ? (attemptWords[session.last_attempt.outcome] ?? null) : null;
}
