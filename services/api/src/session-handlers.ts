/** Sessions: create, read, change, delete, and what their recording is told to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  isLucidError,
  isoOf,
  LucidError,
  type NewTargetCredentials,
  noStatistics,
  recordingConfigSchema,
  type SessionDocument,
  type SessionMetadata,
  type SessionQuery,
  storageConfigSchema,
  strictestLevel,
  type Target,
  withCredentials,
} from '@lucid-sessions/contract';
import { type Call, type Handlers, loadSession } from './call.ts';
import { changesOf } from './changes.ts';
import { addCustody } from './custody.ts';
import { steerDoorPath } from './doors.ts';
import { mayDo } from './people/callers.ts';
import { checkMade, seenOf, withinQuery } from './scope-gate.ts';
import { checkAddress } from './target-address.ts';
import { checkCredentials, credentialsIn } from './target-credentials.ts';
import { mayConnect, needTarget } from './target-handlers.ts';
import type { KeptTarget } from './targets.ts';
import { viewingLevel } from './viewing-gate.ts';
import { paginationOf, recordingUrl, sessionView } from './views.ts';

const swapsMax = 5;

/** The user reads why before it happens; where that can't be, nobody waits. Whether it was shown. */
async function noticed({ api, sessionId }: Call<'stopSession'>, text: string, seconds: number): Promise<boolean> {
  try {
    await api.deps.pipeline.message({ sessionId, from: 'This session is being ended', text, seconds });
  } catch (thrown) {
    if (isLucidError(thrown, 'notInThisState')) return false;
    throw thrown;
  }
  await sleep(seconds * 1000);
  return true;
}

type Given = Pick<SessionDocument, 'name' | 'rdp_config' | 'recording_config' | 'metadata'> & {
  storage_config: Omit<SessionDocument['storage_config'], 'retention_days'> & {
    retention_days?: number | null | undefined;
  };
};

function newSession(call: Call<'createSession'>, given: Given, target: KeptTarget | null): SessionDocument {
  const { api, body, user } = call;
  const { retention_days: retention } = given.storage_config;
  return {
    session_id: body.session_id ?? api.deps.newId(),
    name: given.name,
    description: body.description,
    status: 'created',
    created_at: isoOf(api.deps.nowUs()),
    started_at: null,
    stopped_at: null,
    created_by: user.userId,
    ...(target === null ? {} : { target_id: target.id, target_version: target.version }),
    rdp_config: given.rdp_config,
    recording_config: given.recording_config,
    storage_config: {
      ...given.storage_config,
      retention_days: retention === undefined ? api.config.retentionDaysDefault : retention,
    },
    metadata: given.metadata,
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'created',
  };
}

function refuseFree({ api }: Pick<Call, 'api'>): void {
  if (api.config.targets === 'listed')
    throw new LucidError(
      'forbidden',
      'sessions lead to listed targets alone here (LUCID_TARGETS): name one as target_id, GET /targets lists them',
    );
}

/** To an address that is given with it. */
function freeSession(call: Call<'createSession'>): SessionDocument {
  const { body, user } = call;
  if (!mayDo(user, 'sessions:create'))
    throw new LucidError('forbidden', 'to make a session without a target needs the right sessions:create', {
      details: { permissions: ['sessions:create'] },
    });
  refuseFree(call);
  // The password ends here: it has no place in the document, the log or the audit trail.
  const { password: _password, ...rdpConfig } = body.rdp_config!;
  const given = {
    name: body.name!,
    rdp_config: rdpConfig,
    recording_config: body.recording_config ?? recordingConfigSchema.parse({}),
    storage_config: body.storage_config ?? storageOf({}),
    metadata: body.metadata,
  };
  return newSession(call, given, null);
}

/** Its defaults, and no retention where none is said: that is the installation's. */
function storageOf(parts: Target['storage_config']): Given['storage_config'] {
  const { retention_days: _, ...storage } = storageConfigSchema.parse({ ...parts, retention_days: null });
  return { ...storage, ...(parts.retention_days === undefined ? {} : { retention_days: parts.retention_days }) };
}

const tagsMax = 10;

/** All that counts is the target's; of what whoever connects says of the session only what the target leaves open. */
function sessionOf(call: Call<'createSession'>, target: KeptTarget): SessionDocument {
  const { api, body } = call;
  const { name, rdp_config, recording_config, storage_config, metadata } = target.value;
  const tags = [...new Set([...(metadata.tags ?? []), ...(body.metadata.tags ?? [])])].slice(0, tagsMax);
  const given = {
    name: body.name ?? `${name} ${isoOf(api.deps.nowUs())}`,
    rdp_config,
    recording_config: recordingConfigSchema.parse(recording_config),
    storage_config: storageOf(storage_config),
    metadata: { ...body.metadata, ...metadata, ...(tags.length === 0 ? {} : { tags }) },
  };
  return newSession(call, given, target);
}

async function createSession(call: Call<'createSession'>) {
  const { api, body } = call;
  const target = body.target_id === undefined ? null : await connectable(call, body.target_id);
  const session = target === null ? freeSession(call) : sessionOf(call, target);
  const source = target?.value.credentials.source ?? 'none';
  if (source !== 'none' && body.target_credentials !== undefined)
    throw new LucidError('invalidRequest', 'who logs on is the target’s to say: leave target_credentials out');
  const given: { targetCredentials?: NewTargetCredentials } =
    source === 'client' ? { targetCredentials: { source } } : credentialsIn(call, session);
  const secretId = target?.value.secret_id ?? null;
  if (target !== null) call.told.target_id = target.id;
  await checkMade(call, session);
  await checkAddress(call, session.rdp_config);
  const { created } = await api.deps.pipeline.create({
    ...{ session, routeTokenSha256: null, ...given },
    ...(secretId === null ? {} : { secretId }),
  });
  if (!created)
    throw new LucidError('sessionExists', 'a session with this id exists already', {
      details: { session_id: session.session_id },
    });
  const credentials = source === 'none' ? withCredentials(session, given.targetCredentials).credentials : source;
  const stored = credentials === undefined ? session : { ...session, credentials };
  return sessionView(stored, api.config.publicUrl);
}

/** Throws `notFound` where it is not there for whoever asks, `forbidden` where they see it and may not connect. */
async function connectable(call: Call<'createSession'>, targetId: string): Promise<KeptTarget> {
  const target = await needTarget(call, targetId);
  if (mayConnect(call.user, target.value)) return target;
  throw new LucidError('forbidden', 'this target does not name you among those who may connect');
}

/** Left-out fields and fields that are `undefined` keep what is stored. */
const merged = <T extends object>(stored: T, change: Partial<T> | undefined): T => ({
  ...stored,
  ...Object.fromEntries(Object.entries(change ?? {}).filter(([, value]) => value !== undefined)),
});

function changed(session: SessionDocument, body: Call<'updateSession'>['body']): SessionDocument {
  if (session.status === 'deleted') throw new LucidError('notInThisState', 'the session is deleted');
  const { rdp_config, recording_config, storage_config } = body;
  const touchesRecording =
    rdp_config !== undefined || recording_config !== undefined || storage_config?.encryption_enabled !== undefined;
  if (session.target_id && touchesRecording)
    throw new LucidError('notInThisState', 'address and policy are its target’s: change that, and connect again');
  const { project } = session.metadata;
  if (session.target_id && project !== undefined && (body.metadata?.project ?? project) !== project)
    throw new LucidError('notInThisState', 'its project is its target’s');
  if (touchesRecording && session.pipeline_state !== 'created')
    throw new LucidError('notInThisState', 'target, recording and encryption can be changed before the start only');
  return {
    ...session,
    name: body.name ?? session.name,
    description: body.description === undefined ? session.description : body.description,
    rdp_config: merged(session.rdp_config, rdp_config),
    recording_config: merged(session.recording_config, recording_config),
    storage_config: merged(session.storage_config, storage_config),
    metadata: merged<SessionMetadata>(session.metadata, body.metadata),
    version: session.version + 1,
  };
}

/** Moved to a project that asks for less, a recording goes on asking for what it did. */
function keepViewing({ api }: Call<'updateSession'>, from: SessionDocument, to: SessionDocument): void {
  if (from.started_at === null) return;
  const level = viewingLevel(api.config, from);
  if (viewingLevel(api.config, to) !== level)
    to.recording_config.viewing = strictestLevel([level, viewingLevel(api.config, to)]);
}

/** Null is for ever. */
const isShorter = (to: number | null, from: number | null): boolean => to !== null && (from === null || to < from);

/** Once something was recorded, letting it end sooner is destroying it. */
function checkRetention(call: Call<'updateSession'>, from: SessionDocument, to: SessionDocument): void {
  const [before, after] = [from.storage_config.retention_days, to.storage_config.retention_days];
  const nothingRecorded = from.started_at === null && from.statistics.chunks_count === 0 && !from.target_id;
  if (nothingRecorded || !isShorter(after, before)) return;
  const permission = 'sessions:shorten_retention';
  if (mayDo(call.user, permission)) return;
  throw new LucidError(
    'forbidden',
    `a recording is kept as long as was said: to shorten that needs the right ${permission}`,
    {
      details: { permissions: [permission] },
    },
  );
}

async function update(call: Call<'updateSession'>): Promise<SessionDocument> {
  let session = await loadSession(call);
  for (let swap = 0; swap < swapsMax; swap++) {
    const next = changed(session, call.body);
    keepViewing(call, session, next);
    await checkMade(call, next);
    call.told.changes = changesOf(session, next);
    checkRetention(call, session, next);
    checkCredentials(session, next);
    const { host, port } = next.rdp_config;
    if (host !== session.rdp_config.host || port !== session.rdp_config.port) {
      refuseFree(call);
      await checkAddress(call, next.rdp_config);
    }
    const { replaced, current } = await call.api.deps.storage.replaceSession({
      session: next,
      expectedVersion: session.version,
    });
    if (replaced && current !== null) return current;
    session = current ?? (await loadSession(call));
  }
  throw new LucidError('conflict', 'the session is being changed by someone else; try again');
}

/** Body and query may both say why, but not two different things. */
function reasonOf({ api, body, query }: Call<'deleteSession'>): string | undefined {
  const reason = body?.reason ?? query.reason;
  if (query.reason !== undefined && query.reason !== reason)
    throw new LucidError('invalidRequest', 'body and query name different reasons');
  if (reason === undefined && api.config.deleteReason === 'required')
    throw new LucidError('invalidRequest', 'say why it is to be deleted: reason, in the body or in the query');
  return reason;
}

async function deleteSession(call: Call<'deleteSession'>) {
  const { api, sessionId, user } = call;
  const session = await loadSession(call);
  call.told.name = session.name;
  const reason = reasonOf(call);
  call.told.reason = reason ?? null;
  const { confirm } = call.body ?? {};
  if (confirm !== undefined && confirm !== session.name)
    throw new LucidError('invalidRequest', 'confirm must be the name of the session that is to be deleted');
  const { deletedAtUs } = await api.deps.pipeline.remove({
    sessionId,
    actor: user.userId,
    ...(reason === undefined ? {} : { reason }),
  });
  call.told.changes = { status: { from: session.status, to: 'deleted' } };
  if (session.merkle_root !== null) await addCustody(call, 'delete', reason ?? 'deleted through the API');
  return { session_id: sessionId, status: 'deleted' as const, deleted_at: isoOf(deletedAtUs) };
}

/** Carries a command out and keeps what it changed for the audit log. */
async function commanded(
  call: Pick<Call, 'api' | 'sessionId' | 'told'>,
  command: () => Promise<{ session: SessionDocument }>,
): Promise<SessionDocument> {
  const before = await loadSession(call);
  const { session } = await command();
  const { status, pipeline_state, credentials = 'none' } = session;
  const known = { ...before, credentials: before.credentials ?? 'none' };
  call.told.changes = changesOf(known, { ...known, status, pipeline_state, credentials });
  return session;
}

/** In place of those it had, unless its target says who logs on. */
async function newCredentials(call: Call<'startSession'>) {
  const session = await loadSession(call);
  const given = credentialsIn(call, session);
  if (session.target_id && (session.credentials ?? 'none') !== 'none')
    throw new LucidError('notInThisState', 'who logs on is its target’s to say: connect to that again');
  return given;
}

/** As stores are asked. */
function sessionQueryOf(query: Call<'listSessions'>['query']): SessionQuery {
  const { from, to, duration_min, duration_max, size_min, size_max, order, ...same } = query;
  const asked = {
    ...same,
    from: from && new Date(from).toISOString(),
    to: to && new Date(to).toISOString(),
    durationMin: duration_min,
    durationMax: duration_max,
    sizeMin: size_min,
    sizeMax: size_max,
    descending: order && order === 'desc',
  };
  return Object.fromEntries(
    Object.entries(asked).filter(([, value]) => value !== undefined),
  ) as unknown as SessionQuery;
}

type SessionOperations =
  | 'createSession'
  | 'listSessions'
  | 'getSession'
  | 'updateSession'
  | 'deleteSession'
  | 'startSession'
  | 'stopSession'
  | 'pauseSession'
  | 'messageSession'
  | 'steerSession'
  | 'decideApproval'
  | 'listApprovals'
  | 'resumeSession';

export const sessionHandlers: Handlers<SessionOperations> = {
  createSession,

  async listSessions(call) {
    const { api, query } = call;
    const { sessions, total } = await api.deps.storage.listSessions({
      ...sessionQueryOf(query),
      ...(await withinQuery(call)),
    });
    return {
      sessions: sessions.map((session) => sessionView(session, api.config.publicUrl)),
      pagination: paginationOf(total, query),
    };
  },

  getSession: async (call) => sessionView(await loadSession(call), call.api.config.publicUrl),

  updateSession: async (call) => sessionView(await update(call), call.api.config.publicUrl),

  deleteSession,

  async startSession(call) {
    const { api, sessionId, body } = call;
    const given = body?.target_credentials === undefined ? {} : await newCredentials(call);
    const session = await commanded(call, () => api.deps.pipeline.start({ sessionId, ...given }));
    return {
      session_id: sessionId,
      status: session.status,
      started_at: isoOf(api.deps.nowUs()),
      recording_url: recordingUrl(sessionId, api.config.publicUrl),
    };
  },

  async stopSession(call) {
    const { api, sessionId, body, user } = call;
    const reason = body?.reason ?? `stopped by ${user.userId}`;
    call.told.reason = reason;
    if (body?.notice_seconds !== undefined) call.told.noticed = await noticed(call, reason, body.notice_seconds);
    const session = await commanded(call, () => api.deps.pipeline.stop({ sessionId, reason }));
    return {
      session_id: sessionId,
      status: session.status,
      stopped_at: session.stopped_at ?? isoOf(api.deps.nowUs()),
      final_statistics: session.statistics,
    };
  },

  async pauseSession(call) {
    const { api, sessionId } = call;
    let atUs = 0;
    const session = await commanded(call, async () => {
      const done = await api.deps.pipeline.pause({ sessionId });
      atUs = done.atUs;
      return done;
    });
    return { session_id: sessionId, status: session.status, paused_at: isoOf(atUs) };
  },

  async listApprovals(call) {
    const { waiting } = await call.api.deps.pipeline.approvals();
    const seen = await seenOf(call, waiting);
    return {
      approvals: seen.map(({ sessionId, connectionId, sinceUs, clientAddress, user }) => ({
        session_id: sessionId,
        connection_id: connectionId,
        since: isoOf(sinceUs),
        client_address: clientAddress,
        client_user: user,
      })),
    };
  },

  async decideApproval(call) {
    const { api, sessionId, body, user } = call;
    const { connection_id: connectionId, decision, reason } = body;
    call.told.connection_id = connectionId;
    call.told.decision = decision;
    call.told.reason = reason;
    const approve = decision === 'approve';
    await api.deps.pipeline.decideApproval({ sessionId, connectionId, approve, by: user.userId, reason });
    return { session_id: sessionId, connection_id: connectionId, decision };
  },

  async messageSession(call) {
    const { api, sessionId, body, user } = call;
    call.told.text = body.text;
    const { untilUs } = await api.deps.pipeline.message({ sessionId, from: user.userId, ...body });
    const { session } = await api.deps.storage.getSession({ sessionId });
    return { session_id: sessionId, status: session?.status ?? 'recording', shown_until: isoOf(untilUs) };
  },

  async steerSession(call) {
    const { api, sessionId, user } = call;
    const { token, expiresUs } = await api.deps.pipeline.steer({ sessionId, by: user.userId });
    return { session_id: sessionId, token, path: steerDoorPath(sessionId), expires_at: isoOf(expiresUs) };
  },

  async resumeSession(call) {
    const { api, sessionId } = call;
    let atUs = 0;
    const session = await commanded(call, async () => {
      const done = await api.deps.pipeline.resume({ sessionId });
      atUs = done.atUs;
      return done;
    });
    return { session_id: sessionId, status: session.status, resumed_at: isoOf(atUs) };
  },
};
