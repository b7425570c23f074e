/** One TCP connection of a client, until it is a recorded session or has been told why not. */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type {
  AttemptReason,
  ConnectionAttempt,
  PipelinePort,
  RecorderReport,
  RecordingFact,
  Route,
  SessionTicket,
} from '@lucid-sessions/contract';
import {
  ErrorInfo,
  NegotiationFailureCode,
  NegotiationResponseFlag,
  Protocol,
  TapFlag,
  type X224ConnectionRequest,
  x224ConnectionRequest,
} from '@lucid-sessions/rdp';
import type { ListenerRule } from '../config.ts';
import type { Spool } from '../spool/index.ts';
import { acceptTls } from './client-tls.ts';
import { ConnectFailure } from './failure.ts';
import type { GatewayIdentity } from './identity.ts';
import { confirmFailure, confirmTls, decodeTpdu, readTpkt } from './raw-exchange.ts';
import { RecordedSession } from './recorded-session.ts';
import { closeGently, refuseClient } from './refusal.ts';
import { connectTarget, type TargetConnection } from './target.ts';

export interface ConnectionContext {
  pipeline: PipelinePort;
  spool: Spool;
  identity: GatewayIdentity;
  recorderId: string;
  handshakeMs: number;
  wallUs: () => number;
  /** Tells every session when the wall clock was set. */
  checkClock: () => void;
  report: (report: RecorderReport) => Promise<void>;
  /** Tells the pipeline of a connection that became no session; tried again until it arrives. */
  attempted: (attempt: ConnectionAttempt) => void;
  onProblem: (message: string) => void;
  /** Sessions that were admitted, while they connect and while they run. */
  onAdmitted: (sessionId: string) => void;
  onStarted: (session: RecordedSession) => void;
  onGone: (sessionId: string) => void;
}

interface Hello {
  request: X224ConnectionRequest;
  bytes: Uint8Array;
}

/** A client that is being told no gets this long to listen. */
const refusalMs = 10_000;

/** Takes a connection from its first byte on. Resolves when the session runs or the client was turned away. */
export async function serveConnection(tcp: Socket, rule: ListenerRule, context: ConnectionContext): Promise<void> {
  tcp.on('error', () => {});
  const signal = AbortSignal.timeout(context.handshakeMs);
  let hello: Hello;
  try {
    const bytes = await readTpkt(tcp, signal);
    hello = { bytes, request: decodeTpdu(x224ConnectionRequest, bytes) };
  } catch {
    tcp.destroy();
    return;
  }
  const requested = hello.request.negotiation?.requestedProtocols ?? Protocol.rdp;
  if ((requested & Protocol.ssl) === 0) {
    tcp.write(confirmFailure(hello.request.sourceReference, NegotiationFailureCode.sslRequiredByServer));
    closeGently(tcp);
    return;
  }
  const connection: Connection = { connectionId: randomUUID(), tcp, hello, clientName: nameOf(hello.request) };
  const ticket = await find(connection, rule, context);
  if (ticket instanceof Refused) {
    context.onProblem(`refused ${addressOf(tcp)}: ${ticket.message}`);
    tellAttempt(connection, null, { outcome: 'refused', ...ticket }, context);
    await refuseClient(tcp, hello.bytes, context.identity, ticket.errorInfo, AbortSignal.timeout(refusalMs));
    return;
  }
  await connectSession(connection, ticket, context, signal);
}

interface Connection {
  connectionId: string;
  tcp: Socket;
  hello: Hello;
  clientName: string | null;
}

const nameOf = ({ routing }: X224ConnectionRequest): string | null =>
  routing?.kind === 'mstshash' ? routing.name : null;

function tellAttempt(
  { connectionId, tcp, clientName }: Connection,
  sessionId: string | null,
  { outcome, reason, message }: Pick<ConnectionAttempt, 'outcome' | 'reason' | 'message'>,
  context: ConnectionContext,
): void {
  const clientAddress = addressOf(tcp);
  const atUs = context.wallUs();
  context.attempted({ connectionId, sessionId, atUs, clientAddress, clientName, outcome, reason, message, count: 1 });
}

function routeOf({ routing }: X224ConnectionRequest, rule: ListenerRule): Route | null {
  const { target, ignoreCert, pinnedSha256, retentionDays } = rule;
  if (target !== null)
    return {
      kind: 'listener',
      target,
      ...(ignoreCert === undefined ? {} : { ignoreCert }),
      ...(pinnedSha256 === undefined ? {} : { pinnedSha256 }),
      ...(retentionDays === undefined ? {} : { retentionDays }),
    };
  if (routing?.kind === 'msts') return { kind: 'token', token: routing.token };
  if (routing?.kind === 'mstshash') return { kind: 'cookie', name: routing.name };
  return null;
}

/** The gateway says no. */
class Refused {
  readonly reason: AttemptReason;
  readonly errorInfo: number;
  readonly message: string;

  constructor(reason: AttemptReason, message: string) {
    this.reason = reason;
    this.errorInfo =
      reason === 'at_capacity' ? ErrorInfo.cbDestinationPoolNotFree.code : ErrorInfo.serverDeniedConnection.code;
    this.message = message;
  }
}

async function find(
  { connectionId, tcp, hello, clientName }: Connection,
  rule: ListenerRule,
  context: ConnectionContext,
): Promise<SessionTicket | Refused> {
  const route = routeOf(hello.request, rule);
  if (route === null) return new Refused('no_route', 'the client named no session');
  const { recorderId } = context;
  const request = { connectionId, route, clientAddress: addressOf(tcp), clientName, recorderId };
  try {
    const finding = await context.pipeline.find(request);
    return finding.found ? finding.ticket : new Refused(finding.code, finding.message);
  } catch (error) {
    return new Refused('unavailable', `the pipeline can't be reached: ${(error as Error).message}`);
  }
}

const addressOf = (tcp: Socket): string => `${tcp.remoteAddress ?? 'unknown'}:${tcp.remotePort ?? 0}`;

async function connectSession(
  connection: Connection,
  ticket: SessionTicket,
  context: ConnectionContext,
  signal: AbortSignal,
): Promise<void> {
  const { tcp, hello } = connection;
  const facts: RecordingFact[] = [];
  let target: TargetConnection | null = null;
  try {
    if (!context.spool.canOpen(ticket.sessionId))
      throw new ConnectFailure(
        'recording_not_persisted',
        ErrorInfo.serverDeniedConnection.code,
        context.spool.failure ?? 'chunks of this session are still being stored; try again in a moment',
      );
    const half = AbortSignal.any([signal, AbortSignal.timeout(context.handshakeMs / 2)]);
    target = await connectTarget(ticket.target, half, (certificate) =>
      facts.push({ ...certificate, atUs: context.wallUs() }),
    );
    await startSession(connection, ticket, target, facts, context, signal);
  } catch (error) {
    target?.socket.destroy();
    const failure =
      error instanceof ConnectFailure
        ? error
        : new ConnectFailure('protocol_violation', ErrorInfo.none.code, (error as Error).message);
    context.onProblem(`session ${ticket.sessionId}: ${failure.message}`);
    const { message } = failure;
    const reason = failure.reason as AttemptReason;
    tellAttempt(connection, ticket.sessionId, { outcome: outcomeOf(failure), reason, message }, context);
    context.onGone(ticket.sessionId);
    // Without a code the client has its confirm already, or has left.
    if (failure.errorInfo === 0) tcp.destroy();
    else await refuseClient(tcp, hello.bytes, context.identity, failure.errorInfo, AbortSignal.timeout(refusalMs));
  }
}

function outcomeOf({ reason }: ConnectFailure): ConnectionAttempt['outcome'] {
  if (reason === 'target_unreachable' || reason === 'target_tls_failed' || reason === 'server_disconnected')
    return 'target_failed';
  return reason === 'recording_not_persisted' || reason === 'stopped' ? 'refused' : 'client_left';
}

async function startSession(
  { connectionId, tcp, hello: { request, bytes: requestBytes } }: Connection,
  ticket: SessionTicket,
  target: TargetConnection,
  facts: RecordingFact[],
  context: ConnectionContext,
  signal: AbortSignal,
): Promise<void> {
  const classic = ticket.graphics === 'classic';
  const withoutGraphics = ~NegotiationResponseFlag.dynvcGfxProtocolSupported;
  const flags = classic ? target.negotiationFlags & withoutGraphics : target.negotiationFlags;
  const confirm = confirmTls(request.sourceReference, flags);
  tcp.write(confirm);
  const client = await acceptTls(tcp, context.identity, signal);
  await firstBytes(client, target.socket, signal);
  const admission = await context.pipeline.admit({ connectionId });
  if (!admission.admitted) throw new ConnectFailure('recording_not_persisted', 0, admission.message);
  context.onAdmitted(ticket.sessionId);
  const received = TapFlag.receivedOnly;
  const delivered = TapFlag.deliveredOnly;
  const session = new RecordedSession({
    ticket,
    connectionId,
    client,
    target: target.socket,
    clientAddress: addressOf(tcp),
    targetAddress: target.address,
    beforeTls: [
      { fromServer: false, bytes: withoutToken(requestBytes, request), flags: received },
      { fromServer: false, bytes: target.request, flags: delivered },
      { fromServer: true, bytes: target.confirm, flags: received },
      { fromServer: true, bytes: confirm, flags: delivered },
    ],
    requestedProtocols: request.negotiation?.requestedProtocols ?? Protocol.rdp,
    selectedProtocol: target.selectedProtocol,
    facts,
    spool: context.spool,
    recorderId: context.recorderId,
    wallUs: context.wallUs,
    checkClock: context.checkClock,
    report: context.report,
    onEnded: () => context.onGone(ticket.sessionId),
  });
  context.onStarted(session);
}

/** A routing token opens its session: it is a secret and is recorded as x's. */
function withoutToken(bytes: Uint8Array, { routing }: X224ConnectionRequest): Uint8Array {
  if (routing?.kind !== 'msts') return bytes;
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(routing.token, 0, 'latin1');
  return at < 0 ? copy : copy.fill(0x78, at, at + routing.token.length);
}

/**
 * Waits until the client goes on after TLS. A client that only looked at the certificate (and shows it to its user, then
 * connects anew) has begun no session.
 */
function firstBytes(client: Socket, target: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null): void => {
      client.off('readable', onReadable).off('close', onClientGone).off('end', onClientGone);
      target.off('close', onTargetGone).off('end', onTargetGone).off('readable', onTargetReadable);
      signal.removeEventListener('abort', onAbort);
      if (error === null) resolve();
      else reject(error);
    };
    const onClientGone = (): void =>
      settle(new ConnectFailure('client_disconnected', 0, 'the client left after TLS, before the session began'));
    const onTargetGone = (): void =>
      settle(new ConnectFailure('server_disconnected', 0, 'the target closed the connection before the session began'));
    const onAbort = (): void =>
      settle(new ConnectFailure('handshake_timeout', 0, 'the client did not begin the session in time'));
    // RDP servers wait for the client; reading only shows whether the target is still there.
    const onTargetReadable = (): void => {
      const bytes = target.read() as Buffer | null;
      if (bytes === null) return;
      target.off('readable', onTargetReadable);
      target.unshift(bytes);
    };
    const onReadable = (): void => {
      const bytes = client.read() as Buffer | null;
      if (bytes === null) return;
      client.unshift(bytes);
      settle(null);
    };
    const gone = (socket: Socket): boolean => socket.destroyed || socket.readableEnded;
    if (signal.aborted) onAbort();
    else if (gone(client)) onClientGone();
    else if (gone(target)) onTargetGone();
    else {
      client.on('readable', onReadable).on('close', onClientGone).on('end', onClientGone);
      target.on('close', onTargetGone).on('end', onTargetGone).on('readable', onTargetReadable);
      signal.addEventListener('abort', onAbort);
    }
  });
}
