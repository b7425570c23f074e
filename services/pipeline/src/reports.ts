/** What the recorder tells. Reports may come twice, late, or out of order after a crash: none of that is an error. */
import {
  type EndReason,
  type FinalStatistics,
  isoOf,
  noRecordingStatistics,
  type RecorderReport,
  type RecordingStatistics,
  type SessionDocument,
} from '@lucid-sessions/contract';
import { enqueueAlerts } from './alerts/alerts.ts';
import { auditEnded, auditLost, auditStarted } from './connection-audit.ts';
import {
  type Context,
  editSession,
  loadJournal,
  loadSession,
  newJournal,
  putJournal,
  type StepEdits,
  stateOf,
  tryStep,
} from './context.ts';
import { forgetCredentials, spendCredentials } from './credentials.ts';
import type { Journal } from './ports.ts';
import { type Held, onSession } from './session-work.ts';
import { sessionStatistics } from './statistics.ts';

export interface End {
  atUs: number;
  reason: EndReason;
  message: string;
  failed: boolean;
  statistics: RecordingStatistics | null;
  /** The pipeline concluded it; the recorder may still tell it better. */
  inferred: boolean;
  recovered?: boolean;
}

/** What a recorder that died had told last, and what another process found of the recording. */
function recoveredStatistics(journal: Journal, { atUs, statistics }: End): FinalStatistics {
  const known = journal.statistics ?? noRecordingStatistics;
  const { startedUs, lostUs } = journal;
  // While it waited for its client nothing was recorded.
  const untilUs = Math.min(atUs, lostUs ?? atUs);
  const durationUs = Math.max(known.durationUs, startedUs === null ? 0 : untilUs - startedUs);
  // Nothing told is not nothing recorded: what the chunks hold is counted when all are stored.
  const framesCount = Math.max(known.framesCount ?? 0, statistics?.framesCount ?? 0) || null;
  const updatesCount = journal.statistics?.updatesCount ?? null;
  return { ...known, durationUs, framesCount, updatesCount, errorsCount: known.errorsCount + 1 };
}

export async function recordEnd(context: Held, sessionId: string, end: End): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  await context.connected.remove(sessionId);
  const better = journal.endedUs === null || (journal.endInferred && !end.inferred && journal.manifestUs === null);
  if (journal.admittedUs === null) return;
  if (!better) {
    // Its end was told before it was durable, and its recorder died in between: how it ended is true, and it was recovered.
    const isCutOff = end.recovered === true && !journal.recovered && journal.manifestUs === null;
    if (isCutOff) await putJournal(context, { ...journal, recovered: true });
    return;
  }
  const recovered = end.recovered === true;
  const statistics = recovered ? recoveredStatistics(journal, end) : (end.statistics ?? journal.statistics);
  await auditEnded(context, journal, end);
  const ended: Journal = {
    ...journal,
    connected: false,
    endedUs: end.atUs,
    endInferred: end.inferred,
    endReason: end.reason,
    endMessage: end.message,
    failed: end.failed,
    recovered,
    statistics,
  };
  const figures = await sessionStatistics(context, sessionId, statistics);
  const moved = await tryStep(context, sessionId, 'ended', {
    journal: () => ended,
    session: (session) => ({
      ...session,
      stopped_at: isoOf(end.atUs),
      end_reason: end.reason,
      end_message: end.message,
      reconnect_until: null,
      statistics: figures,
    }),
  });
  if (moved === null) await putJournal(context, ended);
  // One that never began may go on waiting for its client.
  if (ended.startedUs !== null) await forgetCredentials(context, sessionId);
  if (ended.drainedUs !== null) await settleEnd(context, sessionId);
}

/** Ended and drained: make the manifest, or begin again when nothing was recorded. */
export async function settleEnd(context: Held, sessionId: string): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  const { chunksCount } = await context.deps.storage.sessionTotals({ sessionId });
  if (journal.startedUs !== null || chunksCount > 0) await tryStep(context, sessionId, 'drained');
  else await beginAgain(context, sessionId, journal);
}

/**
 * Nothing was recorded: the session goes on waiting for its client, with the same .rdp file. The
 * journal comes last: until then a crash leaves it unfinished, and the reconciler comes here once more, from any step between.
 */
export async function beginAgain(context: Held, sessionId: string, journal: Journal): Promise<void> {
  const session = await loadSession(context, sessionId);
  const { openedUs, openLogIndex, armed, recordings = 0 } = journal;
  const again = { ...newJournal(sessionId), version: journal.version, openedUs, openLogIndex, recordings };
  // Nobody comes back to a session that its connection created, or a file.
  if (session.created_by === null || session.imported) {
    if (stateOf(session) === 'created') await tryStep(context, sessionId, 'remove');
    else
      await tryStep(context, sessionId, 'fail', { session: (session) => ({ ...session, outcome: 'never_connected' }) });
    await putJournal(context, { ...again, failed: true });
    return;
  }
  await tryStep(context, sessionId, 'ended');
  await tryStep(context, sessionId, 'nothing_recorded');
  await tryStep(context, sessionId, 'recover', {
    session: (session) => ({
      ...session,
      started_at: null,
      stopped_at: null,
      end_reason: null,
      end_message: null,
      connections: 0,
    }),
  });
  if (armed) await tryStep(context, sessionId, 'arm');
  await putJournal(context, { ...again, armed });
}

export async function recordDrained(context: Held, sessionId: string, chunksCount: number | null): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  if (journal.manifestUs !== null || journal.admittedUs === null) return;
  const drained = { ...journal, drainedUs: context.deps.nowUs(), drainedChunks: chunksCount };
  await putJournal(context, drained);
  await enqueueAlerts(context, sessionId, 'stored');
  // What it said while chunks were refused is over.
  if (chunksCount !== null && drained.endedUs !== null)
    await editSession(context, sessionId, (session) => ({ ...session, end_message: journal.endMessage }));
  if (drained.endedUs !== null) await settleEnd(context, sessionId);
}

/** Told at once, where people look; the manifest says in the end what was stored. */
async function recordNotStored(context: Held, sessionId: string, message: string): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  if (journal.endedUs === null || journal.manifestUs !== null) return;
  const text = `${journal.endMessage ?? 'it ended'}; ${message}`.slice(0, 500);
  await editSession(context, sessionId, (session) => ({ ...session, end_message: text }));
}

type Joined = Extract<RecorderReport, { kind: 'started' | 'reconnected' }>;

/** A connection is the session's: its first, or one after it was lost. */
async function recordJoined(context: Held, joined: Joined): Promise<void> {
  const { sessionId, atUs, connectionId, clientAddress } = joined;
  await context.reservations.release(connectionId);
  const reconnects = joined.kind === 'reconnected';
  const known = await loadJournal(context, sessionId);
  // Told late: the session waits for its client again.
  if (known.admittedUs === null) return;
  const isNews = known.joinedUs !== atUs;
  await auditStarted(context, known, { ...joined, reconnects });
  const edits = {
    journal: (journal: Journal) => ({
      ...journal,
      clientAddress,
      connectionId,
      joinedUs: atUs,
      lostUs: null,
      startedUs: journal.startedUs ?? atUs,
      ...(joined.kind === 'started' ? { recorderId: joined.recorderId } : {}),
    }),
    session: (session: SessionDocument) => ({
      ...session,
      started_at: session.started_at ?? isoOf(atUs),
      client_address: clientAddress,
      connections: (session.connections ?? 0) + (isNews ? 1 : 0),
      reconnect_until: null,
      last_attempt: null,
      outcome: null,
    }),
  };
  if (!reconnects) {
    await tryStep(context, sessionId, 'started', edits);
    await spendCredentials(context, sessionId);
    await enqueueAlerts(context, sessionId, 'began');
  } else if (known.connected) await writeBoth(context, sessionId, edits);
}

/** Journal and document, without a step of the machine. */
async function writeBoth(context: Held, sessionId: string, edits: Required<Omit<StepEdits, 'purge'>>): Promise<void> {
  await putJournal(context, edits.journal(await loadJournal(context, sessionId)));
  await editSession(context, sessionId, edits.session);
}

async function recordLost(context: Held, lost: Extract<RecorderReport, { kind: 'lost' }>): Promise<void> {
  const { sessionId, atUs, untilUs, message } = lost;
  const journal = await loadJournal(context, sessionId);
  await auditLost(context, journal, atUs, message);
  if (!journal.connected) return;
  await writeBoth(context, sessionId, {
    journal: (journal) => ({ ...journal, lostUs: atUs }),
    session: (session) => ({ ...session, reconnect_until: isoOf(untilUs) }),
  });
}

async function recordClient(context: Held, client: Extract<RecorderReport, { kind: 'client' }>): Promise<void> {
  const { sessionId, clientName, clientUser } = client;
  await writeBoth(context, sessionId, {
    journal: (journal) => ({ ...journal, clientName, clientUser }),
    session: (session) => ({ ...session, client_name: clientName, client_user: clientUser }),
  });
}

/** Remembers when a session's figures were last written, as long as that keeps others back. */
export class ProgressClock {
  /** In the order of their writing. */
  readonly #writtenUs = new Map<string, number>();

  isDue({ deps, limits }: Context, sessionId: string): boolean {
    const now = deps.nowUs();
    for (const [id, writtenUs] of this.#writtenUs) {
      if (now - writtenUs < limits.progressMs * 1000) break;
      this.#writtenUs.delete(id);
    }
    if (this.#writtenUs.has(sessionId)) return false;
    this.#writtenUs.set(sessionId, now);
    return true;
  }
}

async function recordProgress(context: Held, sessionId: string, statistics: RecordingStatistics): Promise<void> {
  const journal = await loadJournal(context, sessionId);
  if (!journal.connected) return;
  await putJournal(context, { ...journal, statistics });
  const figures = await sessionStatistics(context, sessionId, statistics);
  await editSession(context, sessionId, (session) => ({ ...session, statistics: figures }));
}

/** A pause whose answer was lost is followed; one that was resumed since is told late. */
export async function recordPaused(
  context: Held,
  { sessionId, atUs }: { sessionId: string; atUs: number },
): Promise<void> {
  const { resumedUs } = await loadJournal(context, sessionId);
  if (atUs < (resumedUs ?? 0)) return;
  if (stateOf(await loadSession(context, sessionId)) === 'active') await tryStep(context, sessionId, 'pause');
  await tryStep(context, sessionId, 'paused');
}

export const resumedAt = (resumedUs: number): StepEdits => ({ journal: (journal) => ({ ...journal, resumedUs }) });

/**
 * A recorder that was away may tell of a recording of which nothing was stored, whose session waited for its client again and has had
 * another one since. What happened in it is true of the session; how it went on and ended is not.
 */
async function isOfAnother(context: Held, { kind, sessionId, recordingNumber }: RecorderReport): Promise<boolean> {
  if (recordingNumber === undefined || kind === 'fact') return false;
  const { recordings } = await loadJournal(context, sessionId);
  return recordings !== undefined && recordings !== recordingNumber;
}

async function take(context: Held, report: RecorderReport): Promise<void> {
  const { sessionId } = report;
  if (await isOfAnother(context, report)) {
    context.deps.onError?.(
      'report',
      new Error(`${report.kind} of recording ${report.recordingNumber} of session ${sessionId} came too late`),
    );
    return;
  }
  switch (report.kind) {
    case 'started':
    case 'reconnected':
      return recordJoined(context, report);
    case 'lost':
      return recordLost(context, report);
    case 'client':
      return recordClient(context, report);
    case 'progress':
      return recordProgress(context, sessionId, report.statistics);
    case 'paused':
      return recordPaused(context, report);
    case 'resumed':
      // Already active when the pipeline asked for it; a recorder that resumed by itself is followed.
      if (stateOf(await loadSession(context, sessionId)) === 'paused')
        await tryStep(context, sessionId, 'resume', resumedAt(report.atUs));
      return;
    case 'fact':
      return context.deps.journal.appendFact(sessionId, report.fact);
    case 'ended':
      return recordEnd(context, sessionId, { ...report, inferred: false });
    case 'not_stored':
      return recordNotStored(context, sessionId, report.message);
    case 'drained':
      return recordDrained(context, sessionId, report.chunksCount);
  }
}

export async function report(context: Context, clock: ProgressClock, said: RecorderReport): Promise<void> {
  if (said.kind === 'progress' && !clock.isDue(context, said.sessionId)) return;
  await onSession(context, said.sessionId, (context) => take(context, said));
}
