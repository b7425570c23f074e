/**
 * Legal holds. They stand in the session's document, which is replaced at its version only: whoever begins to destroy says so there
 * first (`beginDestroying`), so of a hold and a deletion one is first, wherever they run. What was signed as destroyed is destroyed;
 * before that a hold takes the deletion back.
 */
import {
  holdsMax,
  isoOf,
  type LegalHold,
  LucidError,
  type PipelinePort,
  type SessionDocument,
} from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import { appendCustody } from '@lucid-sessions/kit';
import {
  type Context,
  editSession,
  entryOf,
  loadJournal,
  loadSession,
  loggedSessionOf,
  logRecord,
  readable,
  stateOf,
  step,
  unlessHeld,
} from './context.ts';
import type { JobHandler } from './job-runner.ts';
import type { NewJob } from './ports.ts';
import { type Held, onSession } from './session-work.ts';

type Destroying = NonNullable<SessionDocument['destroying']>;

/** From here on no hold is in time. Throws `notInThisState` where one was first. Begun once, it goes on. */
export async function beginDestroying(context: Held, sessionId: string, what: Destroying): Promise<void> {
  const isBegun = ({ destroying }: SessionDocument) => destroying === 'keys_and_chunks' || destroying === what;
  if (isBegun(await loadSession(context, sessionId))) return;
  await editSession(context, sessionId, (session) => ({ ...unlessHeld(session), destroying: what }));
}

/** Carries out what a hold needs beside the document. Queued before the hold is there, so that no crash leaves it undone. */
export const holdJob = (context: Context, sessionId: string): NewJob => ({
  jobId: `hold:${sessionId}`,
  kind: 'hold',
  sessionId,
  payload: {},
  runAtUs: context.deps.nowUs(),
  retriesMax: context.limits.retriesMax,
});

type Change = { action: 'hold' | 'release'; by: string; why: string };

const wordsOf = ({ hold_id, reference }: LegalHold, why: string): string =>
  `${reference}: ${why} (hold ${hold_id})`.slice(0, 1000);

/** Of the event a custody record is about; null where it has none, or can't be read. */
function idOf(record: Uint8Array): unknown {
  const extra = readable(() => readRecordOf('custody', record).body.extra);
  return typeof extra === 'object' && extra !== null && 'id' in extra ? extra.id : null;
}

async function custodyIds({ deps }: Context, sessionId: string): Promise<Set<unknown>> {
  const { records } = await deps.storage.getRecords({ sessionId, kind: 'custody' });
  return new Set(records.map(({ record }) => idOf(record)));
}

/** Signs what was done with a hold, unless it is among what was `said`. */
async function recordHold(
  context: Held,
  sessionId: string,
  hold: LegalHold,
  change: Change,
  said: ReadonlySet<unknown>,
) {
  const id = `${change.action}:${hold.hold_id}`;
  if (said.has(id)) return;
  const { hold_id, reference } = hold;
  await appendCustody(context.deps, {
    sessionId,
    actor: change.by,
    action: change.action,
    detail: wordsOf(hold, change.why),
    extra: { id, hold: { hold_id, reference, reason: change.why } },
  });
}

/** Now, and not with the next head: what a hold protects from may follow at once. Before the recording begins there is no log of it. */
async function logHead(context: Held, sessionId: string): Promise<void> {
  const { storage, log } = context.deps;
  if ((await storage.getRecords({ sessionId, kind: 'open' })).records.length === 0) return;
  const head = (await storage.getRecords({ sessionId, kind: 'custody' })).records.at(-1);
  if (head === undefined) return;
  const logged = await loggedSessionOf(context, sessionId);
  if ((await log.find(entryOf(logged, 'custody', head.record))) === null)
    await logRecord(context, logged, 'custody', head.record);
}

async function settleHolds(context: Held, sessionId: string): Promise<void> {
  const session = await loadSession(context, sessionId);
  const { holds = [] } = session;
  if (holds.length > 0 && stateOf(session) === 'cleanup') await takeBack(context, sessionId);
  const said = await custodyIds(context, sessionId);
  for (const hold of holds)
    await recordHold(context, sessionId, hold, { action: 'hold', by: hold.set_by, why: hold.reason }, said);
  if (holds.length > 0) await logHead(context, sessionId);
  // Behind the records: they are locked as well.
  await context.deps.storage.holdFiles({ sessionId, held: holds.length > 0 });
}

export function holdHandler(context: Context): JobHandler {
  return {
    run: ({ sessionId }) =>
      onSession(context, sessionId, async (context) => {
        const { session } = await context.deps.storage.getSession({ sessionId });
        if (session !== null && stateOf(session) !== 'destroyed') await settleHolds(context, sessionId);
        return { done: true };
      }),
  };
}

/** A deletion that has destroyed nothing yet is taken back; its job finds nothing to do. */
async function takeBack(context: Held, sessionId: string): Promise<void> {
  const { failed, manifestUs } = await loadJournal(context, sessionId);
  await step(context, sessionId, failed && manifestUs === null ? 'kept_failed' : 'kept');
}

const tooLate = (sessionId: string): LucidError =>
  new LucidError('notInThisState', 'that the session is destroyed was signed already: a hold is too late', {
    details: { session_id: sessionId },
  });

/** Also one whose destruction an earlier version began, which said so in the record alone. */
async function isErased({ deps }: Context, sessionId: string): Promise<boolean> {
  const { records } = await deps.storage.getRecords({ sessionId, kind: 'erase' });
  return records.some(({ record }) => {
    const erased = readable(() => readRecordOf('erase', record).body.erased);
    return erased !== null && erased !== 'keys';
  });
}

export async function setHold(
  context: Context,
  { sessionId, holdId, reference, reason, by }: Parameters<PipelinePort['setHold']>[0],
): ReturnType<PipelinePort['setHold']> {
  return onSession(context, sessionId, async (context) => {
    const { deps } = context;
    if (await isErased(context, sessionId)) throw tooLate(sessionId);
    // What is signed of a hold is signed once. Where its clearing broke off it is in force still.
    const { holds = [] } = await loadSession(context, sessionId);
    const isSet = holds.some(({ hold_id }) => hold_id === holdId);
    if (!isSet && (await custodyIds(context, sessionId)).has(`release:${holdId}`))
      throw new LucidError('notInThisState', 'a hold of this id was cleared: set one with another id', {
        details: { hold_id: holdId },
      });
    await deps.queue.enqueue(holdJob(context, sessionId));
    const given: LegalHold = { hold_id: holdId, reference, reason, set_by: by, set_at: isoOf(deps.nowUs()) };
    const session = await editSession(context, sessionId, (session) => addHold(session, given));
    // The hold is in force. What can't be signed or locked now is the job's.
    await settleHolds(context, sessionId).catch((thrown: unknown) => deps.onError?.('hold', thrown));
    context.kick();
    return { hold: session.holds?.find(({ hold_id }) => hold_id === holdId) ?? given };
  });
}

function addHold(session: SessionDocument, hold: LegalHold): SessionDocument {
  const { holds = [], destroying } = session;
  if (stateOf(session) === 'destroyed' || destroying === 'keys_and_chunks') throw tooLate(session.session_id);
  if (holds.some(({ hold_id }) => hold_id === hold.hold_id)) return session;
  if (holds.length >= holdsMax)
    throw new LucidError('invalidRequest', `a session has at most ${holdsMax} legal holds at the same time`);
  return { ...session, holds: [...holds, hold] };
}

export async function clearHold(
  context: Context,
  { sessionId, holdId, reason, by }: Parameters<PipelinePort['clearHold']>[0],
): ReturnType<PipelinePort['clearHold']> {
  return onSession(context, sessionId, async (context) => {
    const hold = (await loadSession(context, sessionId)).holds?.find(({ hold_id }) => hold_id === holdId);
    if (hold === undefined)
      throw new LucidError('recordNotFound', 'the session has no such legal hold', { details: { hold_id: holdId } });
    // That it was set is said first, where nobody could say it then.
    await settleHolds(context, sessionId);
    const said = await custodyIds(context, sessionId);
    await recordHold(context, sessionId, hold, { action: 'release', by, why: reason }, said);
    await logHead(context, sessionId);
    await context.deps.queue.enqueue(holdJob(context, sessionId));
    const { holds = [] } = await editSession(context, sessionId, ({ holds = [], ...session }) => {
      const left = holds.filter(({ hold_id }) => hold_id !== holdId);
      return left.length === 0 ? session : { ...session, holds: left };
    });
    context.kick();
    return { holdsLeft: holds.length };
  });
}
