/** Whether a connection may be relayed, and the opening of its recording before the answer. */
import { createHash } from 'node:crypto';
import {
  type Admission,
  LucidError,
  noStatistics,
  type PipelinePort,
  type RefusalCode,
  type Route,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  type SessionTicket,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { type Context, isoOf, loadJournal, loadSession, logRecord, stateOf, step } from './context.ts';
import type { PipelineState } from './state-machine.ts';

type AdmitRequest = Parameters<PipelinePort['admit']>[0];

const refused = (code: RefusalCode, message: string): Admission => ({ admitted: false, code, message });

const atCapacity = (context: Context) =>
  refused('at_capacity', `${context.limits.concurrentSessionsMax} sessions are recorded already; try again later`);

const unknown = refused('unknown_session', 'no session has this route; download a fresh .rdp file');

export const tokenSha256 = (token: string) => createHash('sha256').update(token).digest('hex');

const hostWithoutBrackets = (host: string) => host.replace(/^\[|\]$/g, '');

function targetOf(target: string): { host: string; port: number } {
  const { host = '', port } = /^(?<host>\[[0-9A-Fa-f:.]+\]|[^:]+)(?::(?<port>\d{1,5}))?$/.exec(target)?.groups ?? {};
  const parsed = rdpConfigSchema.safeParse({ host, ...(port === undefined ? {} : { port: Number(port) }) });
  if (!parsed.success) throw new LucidError('invalidRequest', 'a listener names its target as host or host:port');
  return parsed.data;
}

/** A connection to a fixed listener is a session of its own, named after target and time. */
async function createForListener(
  context: Context,
  { target, ignoreCert, pinnedSha256, retentionDays }: Extract<Route, { kind: 'listener' }>,
): Promise<SessionDocument> {
  const createdAt = isoOf(context.deps.nowUs());
  const session: SessionDocument = {
    session_id: context.deps.newId(),
    name: `${target} ${createdAt}`.slice(0, 255),
    description: null,
    status: 'created',
    created_at: createdAt,
    started_at: null,
    stopped_at: null,
    created_by: null,
    rdp_config: rdpConfigSchema.parse({
      ...targetOf(target),
      ignore_cert: ignoreCert === true,
      ...(pinnedSha256 === undefined ? {} : { pinned_sha256: pinnedSha256 }),
    }),
    recording_config: recordingConfigSchema.parse({}),
    storage_config: storageConfigSchema.parse({
      retention_days: retentionDays === undefined ? context.limits.retentionDaysDefault : retentionDays,
    }),
    metadata: {},
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'created',
  };
  const { created } = await context.deps.storage.createSession({ session, routeTokenSha256: null });
  if (!created) throw new LucidError('sessionExists', 'a new session id was taken already');
  return session;
}

async function find(context: Context, route: Route): Promise<SessionDocument | null> {
  const { storage } = context.deps;
  if (route.kind === 'token')
    return (await storage.findSession({ route: { tokenSha256: tokenSha256(route.token) } })).session;
  if (route.kind === 'cookie') return (await storage.findSession({ route: { cookie: route.name } })).session;
  return createForListener(context, route);
}

function refusalOf(state: PipelineState, connected: boolean, route: Route): Admission | null {
  if (connected) return refused('not_startable', 'this session has a connection already');
  if (state !== 'created' && state !== 'starting')
    return refused('not_startable', `this session is ${state}; create a new one`);
  // A name is no secret: whoever guesses it must not use up a session that nobody has started.
  if (route.kind === 'cookie' && state === 'created')
    return refused('not_startable', 'start this session first: POST /api/v1/sessions/{id}/start');
  return null;
}

function ticketOf(session: SessionDocument): SessionTicket {
  const { rdp_config: rdp, recording_config: recording } = session;
  return {
    sessionId: session.session_id,
    target: {
      host: hostWithoutBrackets(rdp.host),
      port: rdp.port,
      useTls: rdp.use_tls,
      ignoreCert: rdp.ignore_cert,
      ...(rdp.pinned_sha256 === undefined ? {} : { pinnedSha256: rdp.pinned_sha256 }),
    },
    recording,
    graphics: recording.graphics,
    persistence: recording.persistence,
  };
}

/** Keys, signed `open` record, log: all durable before the first frame. A second time it finds everything done. */
async function openRecording(context: Context, session: SessionDocument, openedUs: number): Promise<number> {
  const { processor, storage, log } = context.deps;
  const { session_id: sessionId, recording_config: recording } = session;
  const { openRecord } = await processor.open({
    session,
    openedUs,
    checkpoint: await log.checkpoint(),
    persistence: recording.persistence,
    graphics: recording.graphics,
  });
  await storage.putRecord({ sessionId, kind: 'open', record: openRecord });
  return logRecord(context, 'open', openRecord);
}

async function admitSession(context: Context, request: AdmitRequest, sessionId: string): Promise<Admission> {
  const session = await loadSession(context, sessionId);
  const journal = await loadJournal(context, sessionId);
  const refusal = refusalOf(stateOf(session), journal.connected || context.connected.has(sessionId), request.route);
  if (refusal !== null) return refusal;
  if (context.connected.size >= context.limits.concurrentSessionsMax) return atCapacity(context);
  // Counted from here on, so that connections that open at the same time can't exceed the limit together.
  context.connected.add(sessionId);
  try {
    const admittedUs = context.deps.nowUs();
    const openedUs = journal.openedUs ?? admittedUs;
    const openLogIndex = journal.openLogIndex ?? (await openRecording(context, session, openedUs));
    const done = await step(context, sessionId, 'admit', {
      journal: (known) => ({
        ...known,
        recorderId: request.recorderId,
        clientAddress: request.clientAddress,
        connected: true,
        admittedUs,
        openedUs,
        openLogIndex,
      }),
      session: (document) => ({ ...document, end_reason: null, end_message: null }),
    });
    return { admitted: true, ticket: ticketOf(done.session) };
  } catch (thrown) {
    context.connected.delete(sessionId);
    throw thrown;
  }
}

export async function admit(context: Context, request: AdmitRequest): Promise<Admission> {
  try {
    if (context.connected.size >= context.limits.concurrentSessionsMax) return atCapacity(context);
    const found = await find(context, request.route);
    if (found === null) return unknown;
    return await context.locks.run(found.session_id, () => admitSession(context, request, found.session_id));
  } catch (thrown) {
    context.deps.onError?.('admit', thrown);
    if (thrown instanceof LucidError && thrown.code === 'LUCID_ERR_3001') return unknown;
    return refused('unavailable', 'the recording could not be opened; try again in a moment');
  }
}
