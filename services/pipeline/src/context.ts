/** What all parts of the pipeline share, and the one function that moves a session through its states. */
import { createHash } from 'node:crypto';
import {
  hasHolds,
  LucidError,
  type ProcessorPort,
  type RecorderPort,
  type RecordKind,
  refuseHeld,
  type SessionDocument,
  type StoragePort,
} from '@lucid-sessions/contract';
import { type LoggedSession, logEntry, loggedSession, readRecordOf } from '@lucid-sessions/evidence';
import type { KeyedQueue, OnError } from '@lucid-sessions/kit';
import type { Approvals } from './approvals.ts';
import type { AttemptAudit } from './attempt-audit.ts';
import type { BrowserTokens } from './browser-tokens.ts';
import type { PipelineLimits } from './config.ts';
import type { ConnectedSessions } from './connected-sessions.ts';
import type { EventSink } from './forward.ts';
import type { Leases } from './leases.ts';
import type { PendingLogons } from './pending-logons.ts';
import type {
  Anchor,
  Coordination,
  CredentialProvider,
  JobQueue,
  JobWaker,
  Journal,
  JournalStore,
  SecretSeal,
  Stamper,
  TransparencyLog,
} from './ports.ts';
import type { Recorders } from './recorders.ts';
import type { Reservations } from './reservations.ts';
import { type Held, isHeld } from './session-work.ts';
import {
  type Effect,
  isPipelineState,
  type PipelineEvent,
  type PipelineState,
  sessionStatusOf,
  transition,
} from './state-machine.ts';
import type { ViewingRequests } from './viewings.ts';

export interface PipelineDeps {
  storage: StoragePort;
  processor: ProcessorPort;
  /** The recorder of this name at this URL; null where one of them is not known. */
  recorder: (recorderId: string | null, url: string | null) => RecorderPort;
  log: TransparencyLog;
  anchors: readonly Anchor[];
  queue: JobQueue;
  /** Tells other pipelines of jobs, and this one of theirs; without it each looks for itself. */
  waker?: JobWaker;
  journal: JournalStore;
  /** What this pipeline and others agree on; without it, it is the only one. */
  coordination?: Coordination;
  /** Credentials are kept under it. */
  seal: SecretSeal;
  /** Where credentials for targets may be asked for. */
  credentialProvider?: CredentialProvider;
  /** µs since 1970. */
  nowUs: () => number;
  /** 0 ≤ x < 1. */
  random: () => number;
  newId: () => string;
  /** Unpredictable. */
  randomBytes: (length: number) => Uint8Array;
  /** NT hash of a password ([MS-NLMP] NTOWFv1), 16 bytes. */
  ntHashOf: (password: string) => Uint8Array;
  /** Who stamps what evidence records are made of. */
  stamper?: Stamper;
  /** Where audit events are sent on to; the service disposes of them. */
  eventSinks?: readonly EventSink[];
  /** Sees what failed inside; nothing secret reaches it. */
  onError?: OnError;
}

export interface Context {
  deps: PipelineDeps;
  limits: PipelineLimits;
  /** Work of one session, in this process; `onSession` is the way to it. */
  locks: KeyedQueue;
  leases: Leases;
  /** Sessions with a connection, or about to have one. */
  connected: ConnectedSessions;
  /** Connections that were told of a session and are not admitted yet. */
  reservations: Reservations;
  recorders: Recorders;
  approvals: Approvals;
  viewings: ViewingRequests;
  attemptAudit: AttemptAudit;
  pendingLogons: PendingLogons;
  browserTokens: BrowserTokens;
  /** Wakes the job runner. */
  kick: () => void;
  /** Something that was lent is to be taken back. */
  kickCredentials: () => void;
}

export const newJournal = (sessionId: string): Journal => ({
  sessionId,
  version: 0,
  recorderId: null,
  clientAddress: null,
  connectionId: null,
  clientName: null,
  clientUser: null,
  joinedUs: null,
  lostUs: null,
  armed: false,
  connected: false,
  admittedUs: null,
  openedUs: null,
  openLogIndex: null,
  startedUs: null,
  endedUs: null,
  endInferred: false,
  endReason: null,
  endMessage: null,
  failed: false,
  recovered: false,
  drainedUs: null,
  drainedChunks: null,
  statistics: null,
  merkleRoot: null,
  chunksCount: null,
  totalBytes: null,
  manifestUs: null,
  manifestLogIndex: null,
  processingPaused: false,
  imported: false,
});

export async function loadSession(
  { deps }: { deps: Pick<PipelineDeps, 'storage'> },
  sessionId: string,
): Promise<SessionDocument> {
  const { session } = await deps.storage.getSession({ sessionId });
  if (session === null)
    throw new LucidError('sessionNotFound', 'no such session', { details: { session_id: sessionId } });
  return session;
}

/** In work of the session it is as this work knows it: what others wrote meanwhile is found out when it is written. */
export async function loadJournal(context: Context, sessionId: string): Promise<Journal> {
  const work = isHeld(context) && context.work.sessionId === sessionId ? context.work : null;
  if (work !== null && work.journal !== null) return work.journal;
  // One written by an earlier version may lack fields.
  const journal = { ...newJournal(sessionId), ...(await context.deps.journal.get(sessionId)) };
  if (work !== null) work.journal = journal;
  return journal;
}

/** Answers it with its next version. Throws `conflict` when it was changed since it was read. */
export async function putJournal({ deps, work }: Held, journal: Journal): Promise<Journal> {
  const stored = await deps.journal.put(journal);
  if (stored === null)
    throw new LucidError('conflict', 'the session was changed by another pipeline meanwhile; try again');
  work.journal = stored;
  return stored;
}

export function stateOf(session: SessionDocument): PipelineState {
  if (!isPipelineState(session.pipeline_state))
    throw new LucidError('pipeline', `the session has the unknown state ${session.pipeline_state}`);
  return session.pipeline_state;
}

const swapsMax = 20;

/** Compare-and-swap until it holds: the API changes documents too. `edit` must not have effects. */
export async function editSession(
  context: Context,
  sessionId: string,
  edit: (session: SessionDocument) => SessionDocument,
): Promise<SessionDocument> {
  let session = await loadSession(context, sessionId);
  for (let swap = 0; swap < swapsMax; swap++) {
    const next = { ...edit(session), version: session.version + 1 };
    const { replaced, current } = await context.deps.storage.replaceSession({
      session: next,
      expectedVersion: session.version,
    });
    if (replaced) return next;
    if (current === null) throw new LucidError('sessionNotFound', 'the session was removed meanwhile');
    session = current;
  }
  throw new LucidError('conflict', 'the session is being changed all the time; try again');
}

export interface Step {
  session: SessionDocument;
  journal: Journal;
  effects: readonly Effect[];
}

export interface StepEdits {
  journal?: (journal: Journal) => Journal;
  session?: (session: SessionDocument) => SessionDocument;
  /** Who has a session purged, and why: for its erase record. */
  purge?: { actor: string; reason: string };
}

export function notInThisState(
  state: PipelineState,
  event: PipelineEvent | 'start' | 'erase' | 'message' | 'steer' | 'issue a credential',
): LucidError {
  return new LucidError('notInThisState', `the session is ${state}: ${event} is not possible now`, {
    details: { state, event },
  });
}

/** The session, unless a legal hold is on it: throws `notInThisState` then. */
export function unlessHeld(session: SessionDocument): SessionDocument {
  refuseHeld(session);
  return session;
}

const finaliseJob = (sessionId: string) => `finalise:${sessionId}`;

/** Effects that are jobs are queued before the state is written; their handlers take the session's lock and so run after. */
async function queueEffects(
  context: Context,
  session: SessionDocument,
  journal: Journal,
  effects: readonly Effect[],
  purge: StepEdits['purge'],
): Promise<void> {
  const { queue, nowUs, anchors } = context.deps;
  const { session_id: sessionId } = session;
  const base = { sessionId, payload: {}, runAtUs: nowUs(), retriesMax: context.limits.retriesMax };
  if (effects.includes('finalise')) {
    await queue.enqueue({ ...base, jobId: finaliseJob(sessionId), kind: 'finalise' });
    if (journal.processingPaused) await queue.setPaused(sessionId, true);
  }
  if (effects.includes('settle')) {
    for (const { backend } of journal.merkleRoot === null ? [] : anchors)
      await queue.enqueue({ ...base, jobId: `anchor:${backend}:${sessionId}`, kind: 'anchor', payload: { backend } });
    await queue.enqueue({ ...base, jobId: `retention:${sessionId}`, kind: 'retention' });
    // What was stored since it was set is locked, too.
    if (hasHolds(session)) await queue.enqueue({ ...base, jobId: `hold:${sessionId}`, kind: 'hold' });
  }
  if (effects.includes('purge')) {
    await queue.removeFor(sessionId);
    await queue.enqueue({
      ...base,
      jobId: `purge:${sessionId}`,
      kind: 'purge',
      payload: purge ?? {},
    });
  }
  if (effects.length > 0) context.kick();
}

const overEvents: readonly PipelineEvent[] = ['drained', 'finalised', 'fail', 'remove', 'expire'];

/** No connection of the session comes any more. One that ended before anything was recorded begins again. */
const endsForGood = (event: PipelineEvent, { startedUs }: Journal): boolean =>
  overEvents.includes(event) || (event === 'ended' && startedUs !== null);

/** Null: the event has no place in the present state, and nothing was changed. */
export async function tryStep(
  context: Held,
  sessionId: string,
  event: PipelineEvent,
  edits: StepEdits = {},
): Promise<Step | null> {
  const before = await loadSession(context, sessionId);
  const moved = transition(stateOf(before), event);
  if (moved === null) return null;
  const known = await loadJournal(context, sessionId);
  const edited = edits.journal?.(known) ?? known;
  await queueEffects(context, before, edited, moved.effects, edits.purge);
  const journal = edited === known ? known : await putJournal(context, edited);
  const isOver = endsForGood(event, journal);
  if (isOver) await context.deps.journal.dropCredential(sessionId);
  const progress = {
    drained: journal.drainedUs !== null,
    finalised: journal.manifestUs !== null,
    failed: journal.failed,
  };
  const session = await editSession(context, sessionId, (document) => {
    if (document.pipeline_state !== before.pipeline_state)
      throw new LucidError('conflict', 'another pipeline moved the session on meanwhile; try again');
    return {
      ...(edits.session?.(document) ?? document),
      ...(isOver ? { gateway_logon: null } : {}),
      pipeline_state: moved.next,
      status: sessionStatusOf(moved.next, progress),
    };
  });
  return { session, journal, effects: moved.effects };
}

export async function step(
  context: Held,
  sessionId: string,
  event: PipelineEvent,
  edits: StepEdits = {},
): Promise<Step> {
  const done = await tryStep(context, sessionId, event, edits);
  if (done === null) throw notInThisState(stateOf(await loadSession(context, sessionId)), event);
  return done;
}

/** What stored bytes say; null where nobody can read them: the verifier says what is wrong with them. */
export function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (thrown) {
    if ((thrown as Error | null)?.name === 'DecodeError') return null;
    throw thrown;
  }
}

/** The session as the log's entries name it: by its signed `open` record. Throws `recordNotFound` where there is none. */
export async function loggedSessionOf(
  { deps }: { deps: Pick<PipelineDeps, 'storage'> },
  sessionId: string,
): Promise<LoggedSession> {
  const [open] = (await deps.storage.getRecords({ sessionId, kind: 'open' })).records;
  if (open === undefined) throw new LucidError('recordNotFound', 'the session has no signed open record');
  return loggedSession(readRecordOf('open', open.record));
}

/** What the log holds of a record of this session, in the form its `open` record announces: nothing personal. */
export function entryOf(session: LoggedSession, kind: RecordKind, record: Uint8Array): Uint8Array {
  return logEntry(kind, createHash('sha256').update(record).digest('hex'), session);
}

/** Answers the record's index in the log. */
export async function logRecord(
  { deps }: Context,
  session: LoggedSession,
  kind: RecordKind,
  record: Uint8Array,
): Promise<number> {
  return (await deps.log.append(entryOf(session, kind, record))).index;
}
