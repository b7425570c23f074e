/** What a user asks of a session. The recorder is called without the session's lock: it reports back while it works. */
import {
  LucidError,
  type PipelinePort,
  type RecorderPort,
  refuseHeld,
  type SessionDocument,
  withCredentials,
} from '@lucid-sessions/contract';
import {
  type Context,
  loadJournal,
  loadSession,
  notInThisState,
  stateOf,
  step,
  tryStep,
  unlessHeld,
} from './context.ts';
import { checkKept, forgetCredentials, keepCredentials, targetSecret } from './credentials.ts';
import { recorderNamed } from './recorders.ts';
import { recordEnd, recordPaused, resumedAt } from './reports.ts';
import { type Held, onSession } from './session-work.ts';
import { liveStates, transition } from './state-machine.ts';

const recorderOf = async (context: Context, sessionId: string) =>
  recorderNamed(context, (await loadJournal(context, sessionId)).recorderId);

export async function create(
  context: Context,
  { session, routeTokenSha256, targetCredentials, secretId }: Parameters<PipelinePort['create']>[0],
): Promise<{ created: boolean }> {
  if (session.pipeline_state !== 'created' || session.status !== 'created')
    throw new LucidError('invalidRequest', 'a new session is in the state created');
  const { session_id: sessionId } = session;
  const given = secretId === undefined ? targetCredentials : await targetSecret(context, secretId);
  if (given === undefined) return context.deps.storage.createSession({ session, routeTokenSha256 });
  return onSession(context, sessionId, async (context) => {
    const { storage } = context.deps;
    // Before its credentials: another session's are not to be replaced by them.
    if ((await storage.getSession({ sessionId })).session !== null) return { created: false };
    await keepCredentials(context, session, given);
    return storage.createSession({ session: withCredentials(session, given), routeTokenSha256 });
  });
}

/** Arms a session for its next connection. One that ended without a recording begins again. */
export async function start(
  context: Context,
  { sessionId, targetCredentials: given }: Parameters<PipelinePort['start']>[0],
): Promise<{ session: SessionDocument }> {
  return onSession(context, sessionId, async (context) => {
    const before = await loadSession(context, sessionId);
    const state = stateOf(before);
    const journal = await loadJournal(context, sessionId);
    const beginsAgain = (state === 'stopped' || state === 'error') && journal.admittedUs === null;
    if (!beginsAgain && transition(state, 'arm') === null) throw notInThisState(state, 'start');
    if (given === undefined) await checkKept(context, before);
    else await keepCredentials(context, before, given);
    if (beginsAgain)
      await step(context, sessionId, 'recover', {
        session: (session) => ({ ...session, stopped_at: null, end_reason: null, end_message: null, outcome: null }),
      });
    const { session } = await step(context, sessionId, 'arm', {
      journal: (known) => ({ ...known, armed: true }),
      session: (known) => withCredentials(known, given),
    });
    return { session };
  });
}

/** A session that waits for a connection that never came: no recording, no manifest. */
async function stopUnconnected(context: Held, sessionId: string): Promise<SessionDocument> {
  await step(context, sessionId, 'stop', { journal: (journal) => ({ ...journal, armed: false }) });
  await context.deps.journal.dropCredential(sessionId);
  const { session } = await step(context, sessionId, 'nothing_recorded', {
    session: (session) => ({
      ...session,
      gateway_logon: null,
      outcome: session.last_attempt?.outcome === 'refused' ? 'refused' : 'never_connected',
    }),
  });
  await forgetCredentials(context, sessionId);
  return session;
}

export async function stop(context: Context, sessionId: string, reason: string): Promise<{ session: SessionDocument }> {
  const message = reason.slice(0, 500) || 'stopped by a user';
  const over = await onSession(context, sessionId, async (context) => {
    const session = await loadSession(context, sessionId);
    const { connected, endReason, endMessage } = await loadJournal(context, sessionId);
    const state = stateOf(session);
    if (!connected && state === 'starting') return stopUnconnected(context, sessionId);
    // One that took long is sent again, to another pipeline: it may have been done meanwhile, or be cut off.
    const isDone = !connected && endReason === 'stopped' && endMessage === message;
    if (isDone && (state === 'stopping' || state === 'stopped')) return session;
    if (state !== 'stopping' || !connected) await step(context, sessionId, 'stop');
    return null;
  });
  if (over !== null) return { session: over };
  const recorder = await recorderOf(context, sessionId);
  await recorder.stop({ sessionId, reason: 'stopped', message });
  return onSession(context, sessionId, async (context) => {
    const atUs = context.deps.nowUs();
    // The recorder's own report, with its last figures, may still be on its way and will be taken then.
    await recordEnd(context, sessionId, {
      atUs,
      reason: 'stopped',
      message,
      failed: false,
      statistics: null,
      inferred: true,
    });
    return { session: await loadSession(context, sessionId) };
  });
}

export async function pause(context: Context, sessionId: string): ReturnType<PipelinePort['pause']> {
  await onSession(context, sessionId, async (context) => {
    // Asked again: who began it may have died, or its answer was lost. The recorder says when it was.
    const state = stateOf(await loadSession(context, sessionId));
    if (state !== 'pausing' && state !== 'paused') await step(context, sessionId, 'pause');
  });
  try {
    const recorder = await recorderOf(context, sessionId);
    const { pausedAtUs } = await recorder.pause({ sessionId });
    await onSession(context, sessionId, (context) => recordPaused(context, { sessionId, atUs: pausedAtUs }));
    return { session: await loadSession(context, sessionId), atUs: pausedAtUs };
  } catch (thrown) {
    await onSession(context, sessionId, (context) => tryStep(context, sessionId, 'pause_failed'));
    throw thrown;
  }
}

export async function resume(context: Context, sessionId: string): ReturnType<PipelinePort['resume']> {
  const session = await loadSession(context, sessionId);
  const state = stateOf(session);
  const { resumedUs } = await loadJournal(context, sessionId);
  // Asked again, because its answer was lost.
  if (state === 'active' && typeof resumedUs === 'number') return { session, atUs: resumedUs };
  if (state !== 'paused') throw notInThisState(state, 'resume');
  const recorder = await recorderOf(context, sessionId);
  const { resumedAtUs } = await recorder.resume({ sessionId });
  // The recorder's report may have been faster.
  await onSession(context, sessionId, (context) => tryStep(context, sessionId, 'resume', resumedAt(resumedAtUs)));
  return { session: await loadSession(context, sessionId), atUs: resumedAtUs };
}

/** Changes nothing of the session: its recorder alone knows whether somebody can see it. */
export async function message(context: Context, request: Parameters<PipelinePort['message']>[0]) {
  return (await recorderOfRunning(context, request.sessionId, 'message')).message(request);
}

export async function steer(context: Context, request: Parameters<PipelinePort['steer']>[0]) {
  return (await recorderOfRunning(context, request.sessionId, 'steer')).steer(request);
}

async function recorderOfRunning(
  context: Context,
  sessionId: string,
  command: 'message' | 'steer',
): Promise<RecorderPort> {
  const state = stateOf(await loadSession(context, sessionId));
  const { connected } = await loadJournal(context, sessionId);
  if (!connected || !liveStates.includes(state)) throw notInThisState(state, command);
  return recorderOf(context, sessionId);
}

export async function remove(
  context: Context,
  { sessionId, actor, reason }: Parameters<PipelinePort['remove']>[0],
): Promise<{ deletedAtUs: number }> {
  return onSession(context, sessionId, async (context) => {
    const session = await loadSession(context, sessionId);
    const state = stateOf(session);
    if (state === 'cleanup' || state === 'destroyed')
      throw new LucidError('sessionNotFound', 'the session is deleted', { details: { session_id: sessionId } });
    refuseHeld(session);
    const { connected } = await loadJournal(context, sessionId);
    if (state === 'starting' && !connected) await stopUnconnected(context, sessionId);
    else if (liveStates.includes(state)) throw notInThisState(state, 'remove');
    await step(context, sessionId, 'remove', {
      session: unlessHeld,
      purge: { actor: actor ?? 'pipeline', reason: reason ?? 'deleted' },
    });
    await context.deps.storage.setRouteToken({ sessionId, tokenSha256: null });
    await forgetCredentials(context, sessionId);
    return { deletedAtUs: context.deps.nowUs() };
  });
}
