/**
 * From a connection to a session in two steps: `find` says which session it would be and leaves nothing durable, `admit` opens
 * the recording once target and client are ready.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  type Admission,
  type ConnectionRequest,
  type Finding,
  isLucidError,
  isoOf,
  type JoinPolicy,
  joinPolicies,
  LucidError,
  noStatistics,
  type RdpConfig,
  type RecorderPresence,
  type RecordingConfig,
  type Refusal,
  type RefusalCode,
  type Route,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  type SessionTicket,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { loggedSession, readRecordOf } from '@lucid-sessions/evidence';
import type { PipelineLimits } from './config.ts';
import {
  type Context,
  editSession,
  loadJournal,
  loadSession,
  logRecord,
  newJournal,
  putJournal,
  stateOf,
  step,
} from './context.ts';
import { isGiven } from './credentials.ts';
import { credentialUsed, findGatewayCredential } from './gateway-credentials.ts';
import type { Journal } from './ports.ts';
import { beginAgain } from './reports.ts';
import type { Reservation } from './reservations.ts';
import { type Held, onSession } from './session-work.ts';
import { liveStates } from './state-machine.ts';

type NotFound = Refusal & { heldBy?: RecorderPresence };

const refusal = (code: RefusalCode, message: string): Refusal => ({ code, message });

const unknown = refusal('unknown_session', 'no session has this route; download a fresh .rdp file');
const notLetIn = refusal('expired', 'this link into a session was used already, or is too old; connect again');
const changed = refusal('not_reserved', 'the session was changed while the connection was being made; connect again');
const atAnother = refusal('in_use', 'this session is under way at another gateway; connect through that one');
const inUse = refusal('in_use', 'this session has a connection already');

export const capacityRefusal = ({ concurrentSessionsMax }: PipelineLimits): Refusal =>
  refusal('at_capacity', `${concurrentSessionsMax} sessions are recorded already; try again later`);

export const tokenSha256 = (token: string) => createHash('sha256').update(token).digest('hex');

const hostWithoutBrackets = (host: string) => host.replace(/^\[|\]$/g, '');

function targetOf(target: string): { host: string; port: number } {
  const { host = '', port } = /^(?<host>\[[0-9A-Fa-f:.]+\]|[^:]+)(?::(?<port>\d{1,5}))?$/.exec(target)?.groups ?? {};
  const parsed = rdpConfigSchema.safeParse({ host, ...(port === undefined ? {} : { port: Number(port) }) });
  if (!parsed.success) throw new LucidError('invalidRequest', 'a listener names its target as host or host:port');
  return parsed.data;
}

/** A connection to a fixed listener is a session of its own, named after target and time. Stored when it is admitted. */
function sessionForListener(
  context: Context,
  {
    target,
    ignoreCert,
    pinnedSha256,
    legacyTls,
    leaveIn,
    bulkCompression,
    channels,
    retentionDays,
  }: Extract<Route, { kind: 'listener' }>,
): SessionDocument {
  const createdAt = isoOf(context.deps.nowUs());
  return {
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
      ...(legacyTls === true ? { legacy_tls: true } : {}),
      ...(leaveIn === undefined ? {} : { leave_in: [...leaveIn] }),
      ...(bulkCompression === undefined ? {} : { bulk_compression: bulkCompression }),
      ...(channels === undefined ? {} : { channels }),
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
}

/** A listener's session ends with its connection: nothing names it to a second one. */
const reconnectSecondsOf = (
  { limits }: Context,
  { created_by, recording_config: recording }: SessionDocument,
): number => (created_by === null ? 0 : (recording.reconnect_seconds ?? limits.reconnectSeconds));

/** [MS-RDPEPS]; without an id it is 0. */
function preconnectionOf({
  preconnection_id: id,
  preconnection_blob: blob,
}: RdpConfig): Pick<SessionTicket['target'], 'preconnection'> {
  return id === undefined && blob === undefined ? {} : { preconnection: { id: id ?? 0, blob: blob ?? null } };
}

/** What is asked of a session's user. */
function screensOf(
  { limits }: Context,
  { consent_text: text, approval }: RecordingConfig,
): Pick<PipelineLimits, 'consentText' | 'approval'> {
  if (limits.screensBinding)
    return { consentText: limits.consentText ?? text ?? null, approval: limits.approval || approval === true };
  return { consentText: text === undefined ? limits.consentText : text, approval: approval ?? limits.approval };
}

function joinOf({ limits }: Context, { join }: RecordingConfig): JoinPolicy {
  if (join === undefined || !limits.screensBinding) return join ?? limits.join;
  return joinPolicies[Math.max(joinPolicies.indexOf(join), joinPolicies.indexOf(limits.join))]!;
}

type Comer = Pick<Reservation, 'routeKind' | 'credentialUser' | 'userId' | 'clientAddress'>;

/** Where a client is and how it showed who it is; a name in a cookie shows nothing. A session has one token. */
function letInOf({ routeKind, credentialUser, userId, clientAddress }: Comer): NonNullable<Journal['letIn']> | null {
  const address = clientAddress.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (routeKind === 'token') return { address, proof: 'token' };
  if (routeKind === 'credential') return { address, proof: `credential ${credentialUser}` };
  return routeKind === 'browser' && userId !== null ? { address, proof: `browser ${userId}` } : null;
}

/** Who is known to have come, and by what: what a client says of its user is not asked. */
function cameByOf(session: SessionDocument, { routeKind, userId }: Comer): NonNullable<SessionDocument['came_by']> {
  switch (routeKind) {
    case 'browser':
      return { way: 'browser', user: userId };
    case 'credential':
      return { way: 'credential', user: session.gateway_logon?.issued_by ?? null };
    case 'token':
      return { way: 'token', user: session.rdp_file_issued_by ?? null };
    case 'cookie':
      return { way: 'name', user: null };
    case 'listener':
      return { way: 'listener', user: null };
  }
}

/** Who was let in need not be let in again by themselves; anybody else who comes to the session does. */
function isLetIn({ letIn = null }: Journal, comer: Comer): boolean {
  const mine = letInOf(comer);
  return letIn !== null && mine !== null && letIn.address === mine.address && letIn.proof === mine.proof;
}

/** Null: its first connection. */
function ticketOf(context: Context, session: SessionDocument, again: { isLetIn: boolean } | null): SessionTicket {
  const reconnects = again !== null;
  const { rdp_config: rdp, recording_config: recording } = session;
  const { consentText, approval } = screensOf(context, recording);
  return {
    sessionId: session.session_id,
    reconnects,
    reconnectSeconds: reconnectSecondsOf(context, session),
    target: {
      host: hostWithoutBrackets(rdp.host),
      port: rdp.port,
      useTls: rdp.use_tls,
      ignoreCert: rdp.ignore_cert,
      ...(rdp.pinned_sha256 === undefined ? {} : { pinnedSha256: rdp.pinned_sha256 }),
      ...(rdp.legacy_tls === true ? { legacyTls: true } : {}),
      leaveIn: rdp.leave_in ?? context.limits.leaveIn,
      bulkCompression: rdp.bulk_compression ?? context.limits.bulkCompression,
      ...(rdp.restricted_admin === true ? { restrictedAdmin: true } : {}),
      ...preconnectionOf(rdp),
      channels: { ...context.limits.channels, ...rdp.channels },
    },
    credentials: isGiven(session.credentials) ? 'injected' : session.credentials === 'client' ? 'client' : 'none',
    // Asked once a session: who comes back to it has been asked.
    ...(consentText === null || reconnects ? {} : { consentText }),
    ...(approval && again?.isLetIn !== true ? { approval: true } : {}),
    join: joinOf(context, recording),
    recording,
    graphics: recording.graphics,
    persistence: recording.persistence,
  };
}

async function sessionOf(
  context: Context,
  route: Exclude<Route, { kind: 'listener' }>,
  connectionId: string,
): Promise<{ session: SessionDocument | null; userId: string | null }> {
  const { storage } = context.deps;
  if (route.kind === 'browser') {
    const used = await context.browserTokens.use(route.token, connectionId);
    if (used === null) return { session: null, userId: null };
    return { ...(await storage.getSession({ sessionId: used.sessionId })), userId: used.userId };
  }
  if (route.kind === 'credential') return { session: await sessionOfCredential(context, route), userId: null };
  const by = route.kind === 'token' ? { tokenSha256: tokenSha256(route.token) } : { cookie: route.name };
  return { ...(await storage.findSession({ route: by })), userId: null };
}

/** A token beside it must lead to the same session: whoever has an .rdp file and logs on with a name means one of them by mistake. */
async function sessionOfCredential(
  context: Context,
  { user, token }: Extract<Route, { kind: 'credential' }>,
): Promise<SessionDocument | null> {
  const sessionId = (await findGatewayCredential(context, user))?.sessionId;
  if (sessionId === undefined) return null;
  const { storage } = context.deps;
  if (token === undefined) return (await storage.getSession({ sessionId })).session;
  const { session } = await storage.findSession({ route: { tokenSha256: tokenSha256(token) } });
  return session?.session_id === sessionId ? session : null;
}

const dayUs = 86_400_000_000;

/** A name is no secret: it leads to a session only where operator and session want that. */
function routeRefusal({ deps, limits }: Context, session: SessionDocument, kind: Route['kind']): Refusal | null {
  const issuedAt = session.rdp_file_issued_at ?? null;
  if (kind === 'token') {
    const isUsed = session.started_at !== null;
    const ageUs = issuedAt === null ? 0 : deps.nowUs() - Date.parse(issuedAt) * 1000;
    // From the future too: the clock was ahead when it was issued, and it must not last until then.
    const isFresh = Math.abs(ageUs) <= limits.rdpFileDays * dayUs;
    const isOld = limits.rdpFileDays > 0 && !isFresh;
    return isOld && !isUsed ? refusal('expired', 'this .rdp file is too old; download a fresh one') : null;
  }
  if (kind === 'credential' || kind === 'browser') return null;
  if (!limits.cookieRoute)
    return refusal('unknown_session', 'names lead to no session here (RDP_COOKIE_ROUTE); use the .rdp file');
  if (isGiven(session.credentials))
    return refusal(
      'unknown_session',
      'the gateway logs on in this session: it takes its .rdp file or its credential only',
    );
  const hasSecret = issuedAt !== null || (session.gateway_logon ?? null) !== null;
  if (hasSecret && session.rdp_config.route_by_name !== true)
    return refusal('unknown_session', 'this session takes its .rdp file or its credential only');
  return null;
}

/** What this connection would be to the session: its first one, one that continues it, here or at another recorder, or neither. */
function placeOf(
  context: Context,
  session: SessionDocument,
  journal: Journal,
  { routeKind, recorderId }: Pick<Reservation, 'routeKind' | 'recorderId'>,
): 'first' | 'again' | 'elsewhere' | Refusal {
  const unroutable = routeRefusal(context, session, routeKind);
  if (unroutable !== null) return unroutable;
  const state = stateOf(session);
  if (journal.connected) {
    const goesOn = liveStates.includes(state) && state !== 'stopping';
    if (!goesOn || reconnectSecondsOf(context, session) === 0) return inUse;
    return journal.recorderId === recorderId ? 'again' : 'elsewhere';
  }
  if (state !== 'created' && state !== 'starting')
    return refusal('not_startable', `this session is ${state}; create a new one`);
  // A name is no secret: whoever guesses it must not use up a session that nobody has started.
  if (routeKind === 'cookie' && state === 'created')
    return refusal('not_startable', 'start this session first: POST /api/v1/sessions/{id}/start');
  return 'first';
}

/** With the recorder that holds it, where that one is heard of. */
async function elsewhere({ recorders }: Context, { recorderId }: Journal): Promise<NotFound> {
  const heldBy = recorderId === null ? null : await recorders.find(recorderId);
  return heldBy === null ? atAnother : { ...atAnother, heldBy };
}

async function look(context: Context, { route, ...request }: ConnectionRequest): Promise<Reservation | NotFound> {
  const credentialUser = route.kind === 'credential' ? route.user : null;
  const base = { ...request, routeKind: route.kind, credentialUser };
  if (route.kind === 'listener') {
    if (!(await context.connected.hasRoom())) return capacityRefusal(context.limits);
    const unsaved = sessionForListener(context, route);
    const ticket = ticketOf(context, unsaved, null);
    return { ...base, sessionId: unsaved.session_id, reconnects: false, unsaved, userId: null, ticket };
  }
  const { session, userId } = await sessionOf(context, route, request.connectionId);
  if (session === null) return route.kind === 'browser' ? notLetIn : unknown;
  const { session_id: sessionId } = session;
  const journal = await loadJournal(context, sessionId);
  const place = placeOf(context, session, journal, base);
  if (typeof place === 'object') return place;
  if (place === 'elsewhere') return elsewhere(context, journal);
  const reconnects = place === 'again';
  // One that continues its session is counted already.
  if (!reconnects && !(await context.connected.hasRoom())) return capacityRefusal(context.limits);
  const again = reconnects ? { isLetIn: isLetIn(journal, { ...base, userId }) } : null;
  return { ...base, sessionId, reconnects, unsaved: null, userId, ticket: ticketOf(context, session, again) };
}

export async function find(context: Context, request: ConnectionRequest): Promise<Finding> {
  try {
    const looked = await look(context, request);
    if ('code' in looked) return { found: false, ...looked };
    // Asked again: the session that was found the first time is the one.
    const reserved = await context.reservations.put(looked);
    if (reserved === null)
      return { found: false, ...refusal('at_capacity', 'too many connections are being made; try again in a moment') };
    return { found: true, ticket: reserved.ticket };
  } catch (thrown) {
    context.deps.onError?.('find', thrown);
    return { found: false, ...refusal('unavailable', 'the session could not be looked up; try again in a moment') };
  }
}

/** Keys, signed `open` record, log: all durable before the first frame. A second time it finds everything done. */
export async function openRecording(context: Context, session: SessionDocument, openedUs: number): Promise<number> {
  const { processor, log } = context.deps;
  const { recording_config: recording } = session;
  const { openRecord } = await processor.open({
    session,
    openedUs,
    checkpoint: await log.checkpoint(),
    persistence: recording.persistence,
    graphics: recording.graphics,
  });
  return logRecord(context, loggedSession(readRecordOf('open', openRecord)), 'open', openRecord);
}

const ofRecording = (ticket: SessionTicket, { recordings }: Journal): SessionTicket =>
  recordings === undefined ? ticket : { ...ticket, recordingNumber: recordings };

async function admitFirst(context: Held, reservation: Reservation): Promise<SessionTicket | Refusal> {
  const { sessionId, unsaved } = reservation;
  // Counted from here on, so that connections that open at the same time can't exceed the limit together.
  if (!(await context.connected.add(sessionId, reservation.recorderId))) return capacityRefusal(context.limits);
  try {
    const admittedUs = context.deps.nowUs();
    const known = await loadJournal(context, sessionId);
    let admitted: Journal = {
      ...known,
      recordings: (known.recordings ?? 0) + 1,
      recorderId: reservation.recorderId,
      clientAddress: reservation.clientAddress,
      connectionId: reservation.connectionId,
      clientName: reservation.clientName,
      letIn: reservation.ticket.approval === true ? letInOf(reservation) : null,
      connected: true,
      admittedUs,
    };
    if (unsaved !== null) {
      // Before the row: what a crash leaves of a listener's session is found by it, and by nothing else.
      admitted = await putJournal(context, admitted);
      await context.deps.storage.createSession({ session: unsaved, routeTokenSha256: null });
    }
    const session = await loadSession(context, sessionId);
    const openedUs = admitted.openedUs ?? admittedUs;
    const openLogIndex = admitted.openLogIndex ?? (await openRecording(context, session, openedUs));
    const opened = { ...admitted, openedUs, openLogIndex };
    const done = await step(context, sessionId, 'admit', {
      journal: () => opened,
      session: (document) => ({
        ...document,
        end_reason: null,
        end_message: null,
        came_by: cameByOf(document, reservation),
      }),
    });
    return ofRecording(ticketOf(context, done.session, null), opened);
  } catch (thrown) {
    await context.connected.remove(sessionId).catch(() => {});
    // What can't be taken back now is taken back by the reconciler.
    if (unsaved !== null) await takeBack(context, sessionId).catch(() => {});
    throw thrown;
  }
}

/** Nobody comes back to a session that its connection created. */
export async function takeBack(context: Held, sessionId: string): Promise<void> {
  const { session } = await context.deps.storage.getSession({ sessionId });
  const journal = await loadJournal(context, sessionId);
  if (session !== null) return beginAgain(context, sessionId, journal);
  await putJournal(context, { ...newJournal(sessionId), version: journal.version });
}

/** Its recorder holds the session and lets one connection in. */
async function admitAgain(context: Held, reservation: Reservation): Promise<SessionTicket> {
  const { sessionId, connectionId, clientAddress, clientName, ticket } = reservation;
  const journal = await loadJournal(context, sessionId);
  const letIn = ticket.approval === true ? letInOf(reservation) : (journal.letIn ?? null);
  await putJournal(context, { ...journal, connectionId, clientAddress, clientName, letIn });
  await editSession(context, sessionId, (session) => ({ ...session, came_by: cameByOf(session, reservation) }));
  return ticket;
}

async function admitReserved(context: Held, reservation: Reservation): Promise<SessionTicket | Refusal> {
  const { connectionId, sessionId, unsaved } = reservation;
  const journal = await loadJournal(context, sessionId);
  if (journal.connected && journal.connectionId === connectionId)
    // Its answer was lost.
    return ofRecording(reservation.ticket, journal);
  if (unsaved !== null) return admitFirst(context, reservation);
  const session = await loadSession(context, sessionId);
  const place = placeOf(context, session, journal, reservation);
  if (typeof place === 'object') return place;
  if (place === 'elsewhere') return atAnother;
  // Another connection began or ended the session between find and admit.
  if ((place === 'again') !== reservation.reconnects) return inUse;
  // Its target was dialled as it was then, and its user asked for what was wanted then.
  const again = reservation.reconnects ? { isLetIn: isLetIn(journal, reservation) } : null;
  if (!isDeepStrictEqual(ticketOf(context, session, again), reservation.ticket)) return changed;
  return reservation.reconnects ? admitAgain(context, reservation) : admitFirst(context, reservation);
}

export async function admit(context: Context, { connectionId }: { connectionId: string }): Promise<Admission> {
  const reservation = await context.reservations.get(connectionId);
  if (reservation === null)
    return { admitted: false, ...refusal('not_reserved', 'the connection took too long; connect again') };
  const { sessionId } = reservation;
  try {
    const answer = await onSession(context, sessionId, async (context) => {
      const admitted = await admitReserved(context, reservation);
      const { credentialUser } = reservation;
      if (!('code' in admitted) && credentialUser !== null) await credentialUsed(context, credentialUser);
      return admitted;
    });
    return 'code' in answer ? { admitted: false, ...answer } : { admitted: true, ticket: answer };
  } catch (thrown) {
    context.deps.onError?.('admit', thrown);
    if (isLucidError(thrown, 'sessionNotFound')) return { admitted: false, ...unknown };
    if (isLucidError(thrown, 'compression')) {
      // No connection can mend it: whoever set the session up reads why none begins.
      await editSession(context, sessionId, (session) => ({ ...session, end_message: thrown.message })).catch(() => {});
      return { admitted: false, ...refusal('unavailable', thrown.message) };
    }
    return { admitted: false, ...refusal('unavailable', 'the recording could not be opened; try again in a moment') };
  }
}
