/**
 * One connection of a client, until it is a session or has been told why not: who it asks for, the target, TLS, its first
 * PDU; then, and not before, what is durable begins.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type {
  ConnectionAttempt,
  Finding,
  PipelinePort,
  RecordingFact,
  Refusal,
  Route,
  SessionTicket,
} from '@lucid-sessions/contract';
import {
  ErrorInfo,
  Front,
  type FrontEvent,
  NegotiationResponseFlag,
  Protocol,
  type X224ConnectionRequest,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import type { ListenerRule } from '../config.ts';
import type { Peer } from '../peer/peer.ts';
import { SocketPeer } from '../peer/socket-peer.ts';
import { type DialledTarget, type DialOptions, dialTarget, failureOf } from './dial.ts';
import { Driver, type EndedEvent, SequenceEnded } from './driver.ts';
import { ConnectFailure } from './failure.ts';
import type { GatewayIdentity } from './identity.ts';
import { keepAlive30 } from './keep-alive.ts';
import { tlsName } from './tls-settings.ts';

/** A client that has begun and a target that waits for it, admitted. */
export interface ReadyConnection {
  connectionId: string;
  ticket: SessionTicket;
  client: Peer;
  target: Peer;
  clientAddress: string;
  /** The name in its cookie. */
  clientName: string | null;
  targetAddress: string;
  /** PDUs exchanged before TLS, in order. */
  beforeTls: { fromServer: boolean; bytes: Uint8Array; flags: number }[];
  requestedProtocols: number;
  selectedProtocol: number;
  /** Version and suite of the client's TLS. */
  clientTls: string;
  /** What was found out while connecting. */
  facts: RecordingFact[];
}

/** Connections that never were one: they came no further than this. */
export type ProbeKind =
  /** TCP, and not a byte. */
  | 'tcp'
  /** Something that is no RDP. */
  | 'garbage'
  /** X.224, and TLS not to its end. */
  | 'x224'
  /** TLS, and nothing in it. */
  | 'tls';

export interface ConnectionContext {
  pipeline: Pick<PipelinePort, 'find' | 'admit'>;
  identity: GatewayIdentity;
  recorderId: string;
  /** From the TCP connection to the client's first PDU. */
  handshakeMs: number;
  wallUs: () => number;
  dial: Pick<DialOptions, 'resolve' | 'denied'>;
  /** Why this connection may not continue the session its ticket `reconnects` to; null: it may, and the session waits for it. */
  whyNotReconnect: (ticket: SessionTicket, clientAddress: string) => Refusal | null;
  /** Why nothing of this session can be recorded now; null when it can. */
  recordingProblem: (ticket: SessionTicket) => string | null;
  /** A client that came no further and asked for nothing in particular. */
  onProbe: (kind: ProbeKind, address: string) => void;
  /** A connection that asked for something and became nothing. `detail` is for the operator's log. */
  onAttempt: (attempt: ConnectionAttempt, detail: string) => void;
  /** It is about to be admitted: yes, and `onReady` or `onGone` follows, or no: its address has too many that show no desktop. */
  onAdmitting: (ticket: SessionTicket, clientAddress: string) => boolean;
  onGone: (ticket: SessionTicket) => void;
  /** Has it noticed when its other side is gone while bytes for it are on the way. */
  watch: (socket: Socket) => void;
  /** Admitted: from here on it is the session's. */
  onReady: (connection: ReadyConnection) => void;
  /** Something is wrong here. */
  onProblem: (message: string) => void;
}

/** A client that says nothing at all is let go earlier than one that is busy. */
const helloMsMax = 10_000;
/** A client that is being told no gets this long to listen. */
const refusalMs = 10_000;

export const addressOf = (tcp: Socket): string => {
  const { remoteAddress = 'unknown', remotePort = 0 } = tcp;
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
};

/** Takes a connection from its first byte on. Resolves when the session runs or the client is gone. Never rejects. */
export function serveConnection(tcp: Socket, rule: ListenerRule, context: ConnectionContext): Promise<void> {
  return new Connection(tcp, rule, context).serve();
}

const crowded = (): ConnectFailure =>
  new ConnectFailure(
    'rate_limited',
    ErrorInfo.cbDestinationPoolNotFree.code,
    'too many sessions of this client address show no desktop yet',
  );

interface Asked {
  request: X224ConnectionRequest;
  bytes: Uint8Array;
  route: Route | null;
  clientName: string | null;
}

class Connection {
  readonly #connectionId = randomUUID();
  readonly #rule: ListenerRule;
  readonly #context: ConnectionContext;
  readonly #front = new Front();
  readonly #client: Driver<FrontEvent>;
  readonly #clientAddress: string;
  readonly #facts: RecordingFact[] = [];
  readonly #untilMs: number;
  #asked: Asked | null = null;
  #finding: Promise<Finding> | null = null;
  #ticket: SessionTicket | null = null;
  #target: DialledTarget | null = null;

  constructor(tcp: Socket, rule: ListenerRule, context: ConnectionContext) {
    this.#rule = rule;
    this.#context = context;
    this.#clientAddress = addressOf(tcp);
    this.#untilMs = performance.now() + context.handshakeMs;
    keepAlive30(tcp);
    this.#client = new Driver<FrontEvent>(tcp, this.#front, {
      secure: (socket) =>
        new TLSSocket(socket, { isServer: true, secureContext: context.identity.context, requestCert: false }),
    });
    this.#client.limit(Math.min(helloMsMax, context.handshakeMs), 'the client said nothing in time');
  }

  async serve(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      this.#target?.driver.destroy('the connection came to nothing');
      // What `find` reserves must be known before it is let go.
      const found = await this.#finding?.catch(() => null);
      if (found?.found) this.#ticket ??= found.ticket;
      if (error instanceof SequenceEnded) this.#clientGone(error.event);
      else await this.#refuse(error);
    }
  }

  async #connect(): Promise<void> {
    const asked = await this.#ask();
    this.#client.limit(this.#untilMs - performance.now(), 'the client did not begin in time');
    const ticket = await this.#client.during(this.#find(asked));
    this.#ticket = ticket;
    const target = await this.#dial(ticket);
    this.#client.run(this.#front.accept(negotiationFlags(ticket, target)));
    await this.#orTargetGone(ticket, target, this.#client.next());
    if (!this.#context.onAdmitting(ticket, this.#clientAddress)) throw crowded();
    try {
      await this.#admit();
      this.#handOver(asked, this.#ticket ?? ticket, target);
    } catch (error) {
      this.#context.onGone(ticket);
      throw error;
    }
  }

  async #ask(): Promise<Asked> {
    const event = await this.#client.next();
    if (event.kind !== 'connectionRequest') throw new Error(`${event.kind} before the connection request`);
    const { request, bytes } = event;
    const clientName = request.routing?.kind === 'mstshash' ? request.routing.name : null;
    this.#asked = { request, bytes, route: routeOf(request, this.#rule), clientName };
    return this.#asked;
  }

  async #find({ route, clientName }: Asked): Promise<SessionTicket> {
    if (route === null)
      throw new ConnectFailure('no_route', ErrorInfo.serverDeniedConnection.code, 'the client named no session');
    const { pipeline, recorderId, recordingProblem } = this.#context;
    const clientAddress = this.#clientAddress;
    this.#finding = pipeline.find({ connectionId: this.#connectionId, route, clientAddress, clientName, recorderId });
    const found = await reached(this.#finding);
    if (!found.found) throw refusalOf(found);
    // Known before it is refused, so that what was reserved is let go under its name.
    this.#ticket = found.ticket;
    const refusal = found.ticket.reconnects ? this.#context.whyNotReconnect(found.ticket, clientAddress) : null;
    if (refusal !== null) throw refusalOf(refusal);
    const problem = recordingProblem(found.ticket);
    if (problem === null) return found.ticket;
    throw new ConnectFailure('recording_not_persisted', ErrorInfo.serverDeniedConnection.code, problem);
  }

  async #dial(ticket: SessionTicket): Promise<DialledTarget> {
    const { dial, handshakeMs, wallUs } = this.#context;
    const dialling = dialTarget(ticket.target, {
      ...dial,
      // What the operator's own configuration names is not asked about.
      ...(this.#rule.target === null ? {} : { denied: () => null }),
      wallUs,
      timeoutMs: Math.min(handshakeMs / 2, Math.max(1, this.#untilMs - performance.now())),
      signal: this.#client.signal,
      onFact: (fact) => this.#facts.push(fact),
    });
    try {
      this.#target = await this.#client.during(dialling);
      return this.#target;
    } catch (error) {
      dialling.then(
        ({ driver }) => driver.destroy('the client left'),
        () => {},
      );
      throw error;
    }
  }

  /** A target that closes meanwhile ends the wait, and the client is told. */
  #orTargetGone<T>({ target }: SessionTicket, { driver }: DialledTarget, work: Promise<T>): Promise<T> {
    const gone = driver.over.catch((error: unknown) => {
      throw error instanceof SequenceEnded ? failureOf(target, error.event) : error;
    });
    return Promise.race([work, gone]);
  }

  /** Waited for to the end, whatever the client does meanwhile: what is durable must be known before it is taken back. */
  async #admit(): Promise<void> {
    const admission = await reached(this.#context.pipeline.admit({ connectionId: this.#connectionId }));
    if (!admission.admitted) throw refusalOf(admission);
    this.#ticket = admission.ticket;
    const problem = this.#context.recordingProblem(admission.ticket);
    if (problem !== null)
      throw new ConnectFailure('recording_not_persisted', ErrorInfo.serverDeniedConnection.code, problem);
  }

  #handOver({ request, bytes, clientName }: Asked, ticket: SessionTicket, target: DialledTarget): void {
    if (this.#client.ended !== null) throw this.#client.ended;
    if (target.driver.ended !== null) throw failureOf(ticket.target, target.driver.ended.event);
    // Another client may have been faster since; as long as this one isn't released it can be told.
    const refusal = ticket.reconnects ? this.#context.whyNotReconnect(ticket, this.#clientAddress) : null;
    if (refusal !== null) throw refusalOf(refusal);
    const { hello } = target;
    const client = this.#client.release();
    const targetSocket = target.driver.release();
    const ready: ReadyConnection = {
      connectionId: this.#connectionId,
      ticket,
      client: new SocketPeer(client),
      target: new SocketPeer(targetSocket),
      clientAddress: this.#clientAddress,
      clientName,
      targetAddress: target.address,
      beforeTls: [
        { fromServer: false, bytes: withoutToken(bytes, request), flags: frameFlags.receivedOnly },
        { fromServer: false, bytes: hello.request, flags: frameFlags.deliveredOnly },
        { fromServer: true, bytes: hello.confirm, flags: frameFlags.receivedOnly },
        { fromServer: true, bytes: this.#front.confirm, flags: frameFlags.deliveredOnly },
      ],
      requestedProtocols: request.negotiation?.requestedProtocols ?? Protocol.rdp,
      selectedProtocol: hello.selectedProtocol,
      clientTls: client instanceof TLSSocket ? tlsName(client) : '',
      facts: this.#facts,
    };
    for (const socket of [client, targetSocket]) this.#context.watch(socket);
    try {
      this.#context.onReady(ready);
    } catch (error) {
      for (const peer of [ready.client, ready.target]) peer.destroy();
      throw error;
    }
  }

  #clientGone({ how, at, problem }: EndedEvent): void {
    const route = this.#asked?.route ?? null;
    if (how === 'noTls') {
      this.#attempt('refused', 'tls_required', 'the client does not offer TLS', '');
      return;
    }
    if (at !== 'begun') this.#context.onProbe(probeKind(how, at, this.#front.receivedBytes), this.#clientAddress);
    if (route === null) return;
    const isProbe = route.kind === 'listener' && at !== 'begun';
    const reason = reasonOf(how);
    this.#attempt('client_left', reason, `the client left before the session began: ${problem}`, '', isProbe ? 0 : 1);
  }

  async #refuse(error: unknown): Promise<void> {
    const failure =
      error instanceof ConnectFailure
        ? error
        : new ConnectFailure('unavailable', ErrorInfo.serverDeniedConnection.code, 'the gateway failed');
    if (failure !== error) this.#context.onProblem(`a connection failed: ${(error as Error).stack ?? String(error)}`);
    const outcome = targetReasons.has(failure.reason) ? 'target_failed' : 'refused';
    this.#attempt(outcome, failure.reason, failure.message, failure.detail);
    this.#client.run(this.#front.refuse(failure.errorInfo));
    this.#client.limit(refusalMs, 'the client was too slow to be told');
    if (this.#client.isDriving) await this.#client.over.catch(() => {});
  }

  #attempt(
    outcome: ConnectionAttempt['outcome'],
    reason: ConnectionAttempt['reason'],
    message: string,
    detail: string,
    count = 1,
  ): void {
    const attempt = {
      connectionId: this.#connectionId,
      // A probe's session is none: there is nothing to take back.
      sessionId: count === 0 ? null : (this.#ticket?.sessionId ?? null),
      atUs: this.#context.wallUs(),
      clientAddress: this.#clientAddress,
      clientName: this.#asked?.clientName ?? null,
      outcome,
      reason,
      message,
      count,
    };
    this.#context.onAttempt(attempt, detail);
  }
}

const targetReasons: ReadonlySet<string> = new Set(['target_unreachable', 'target_tls_failed', 'server_disconnected']);

function routeOf({ routing }: X224ConnectionRequest, rule: ListenerRule): Route | null {
  const { target, host: _host, port: _port, ...trust } = rule;
  if (target !== null) return { kind: 'listener', target, ...trust };
  if (routing?.kind === 'msts') return { kind: 'token', token: routing.token };
  if (routing?.kind === 'mstshash') return { kind: 'cookie', name: routing.name };
  return null;
}

export function refusalOf({ code, message }: Refusal): ConnectFailure {
  const errorInfo = code === 'at_capacity' ? ErrorInfo.cbDestinationPoolNotFree : ErrorInfo.serverDeniedConnection;
  return new ConnectFailure(code, errorInfo.code, message);
}

/** A pipeline that can't be reached is a refusal too. */
async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const message = 'the gateway can not look sessions up at the moment';
    throw new ConnectFailure(
      'unavailable',
      ErrorInfo.serverDeniedConnection.code,
      message,
      `the pipeline can't be reached: ${(error as Error).message}`,
    );
  }
}

function negotiationFlags({ graphics }: SessionTicket, { hello }: DialledTarget): number {
  const withoutGraphics = ~NegotiationResponseFlag.dynvcGfxProtocolSupported;
  return graphics === 'classic' ? hello.negotiationFlags & withoutGraphics : hello.negotiationFlags;
}

function probeKind(how: string, at: string, receivedBytes: number): ProbeKind {
  if (receivedBytes === 0) return 'tcp';
  if (how === 'garbage' || at === 'connectionRequest') return 'garbage';
  return at === 'connectInitial' ? 'tls' : 'x224';
}

function reasonOf(how: string): ConnectionAttempt['reason'] {
  switch (how) {
    case 'late':
      return 'handshake_timeout';
    case 'garbage':
      return 'protocol_violation';
    case 'tlsFailed':
      return 'client_tls_failed';
    default:
      return 'client_disconnected';
  }
}

/** A routing token opens its session: it is a secret and is recorded as x's. */
export function withoutToken(bytes: Uint8Array, { routing }: X224ConnectionRequest): Uint8Array {
  if (routing?.kind !== 'msts') return bytes;
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(routing.token, 0, 'latin1');
  return at < 0 ? copy : copy.fill(0x78, at, at + routing.token.length);
}
