/**
 * One connection of a client, until it is a session or has been told why not: who it asks for, its way to the target, its
 * first PDU; then, and not before, what is durable begins.
 */
import { randomUUID } from 'node:crypto';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ConnectionAttempt, Finding, RecordingFact, Route, SessionTicket } from '@lucid-sessions/contract';
import { ErrorInfo, Front, type FrontEvent, Protocol } from '@lucid-sessions/rdp';
import { type Asked, routeOf, withoutToken } from './asked.ts';
import { ClientLogon, wantsLogon } from './client-logon.ts';
import { Driver, type EndedEvent, SequenceEnded } from './driver.ts';
import { ConnectFailure } from './failure.ts';
import { holdClient } from './held-client.ts';
import { asksItsUser, HeldJoining, isHeld } from './held-joining.ts';
import type { Arrival, Joining } from './joining.ts';
import { keepAlive30 } from './keep-alive.ts';
import type { Caller, ConnectionContext, ReadyConnection } from './ready-connection.ts';
import { followerOf } from './redirection.ts';
import { crowded, probeKind, reached, reasonOf, refusalOf, targetReasons } from './refusals.ts';
import { refuse } from './refuse.ts';
import { StraightJoining } from './straight-joining.ts';

/** A client that says nothing at all is let go earlier than one that is busy. */
const helloMsMax = 10_000;

/** Takes a connection from its first byte on. Resolves when the session runs or the client is gone. Never rejects. */
export function serveConnection(caller: Caller, context: ConnectionContext): Promise<void> {
  return new Connection(caller, context).serve();
}

class Connection {
  readonly #connectionId = randomUUID();
  readonly #judge: NonNullable<Caller['judge']>;
  readonly #route: Route | null;
  readonly #context: ConnectionContext;
  readonly #front: Front;
  readonly #client: Driver<FrontEvent>;
  readonly #clientAddress: string;
  readonly #facts: RecordingFact[] = [];
  readonly #untilMs: number;
  #asked: Asked | null = null;
  #logon: ClientLogon | null = null;
  #finding: Promise<Finding> | null = null;
  #ticket: SessionTicket | null = null;
  #joining: Joining | null = null;

  constructor({ stream, clientAddress, route, judge }: Caller, context: ConnectionContext) {
    this.#judge = judge ?? (() => null);
    this.#route = route;
    this.#context = context;
    this.#clientAddress = clientAddress;
    this.#untilMs = performance.now() + context.handshakeMs;
    // A fixed listener asks nobody to log on.
    this.#front = new Front(route?.kind === 'listener' ? 'off' : context.nla.policy);
    if (stream instanceof Socket) keepAlive30(stream);
    this.#client = new Driver<FrontEvent>(stream, this.#front, {
      secure: (socket) =>
        new TLSSocket(socket, { isServer: true, secureContext: context.identity.context, requestCert: false }),
    });
    this.#client.limit(Math.min(helloMsMax, context.handshakeMs), 'the client said nothing in time');
  }

  async serve(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      this.#joining?.abandon();
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
    const known = this.#wantsLogon(asked) ? await this.#logOn(asked) : asked;
    const ticket = await this.#client.during(this.#find(known));
    this.#ticket = ticket;
    const joining = await this.#join(this.#arrivalOf(known), ticket);
    if (!this.#context.onAdmitting(ticket, this.#clientAddress)) throw crowded();
    try {
      await this.#admit();
      this.#handOver(known, this.#ticket ?? ticket, joining);
    } catch (error) {
      this.#context.onGone(ticket);
      throw error;
    }
  }

  async #join(arrival: Arrival, ticket: SessionTicket): Promise<Joining> {
    if (!isHeld(ticket)) {
      const straight = new StraightJoining(arrival);
      this.#joining = straight;
      try {
        await straight.begin(ticket);
        return straight;
      } catch (error) {
        if (!asksItsUser(arrival, ticket, error)) throw error;
        straight.abandon();
      }
    }
    const held = new HeldJoining(arrival, () => holdClient(arrival, ticket.graphics));
    this.#joining = held;
    await held.begin(ticket);
    return held;
  }

  async #ask(): Promise<Asked> {
    const event = await this.#client.next();
    if (event.kind !== 'connectionRequest') throw new Error(`${event.kind} before the connection request`);
    const { request, bytes } = event;
    const clientName = request.routing?.kind === 'mstshash' ? request.routing.name : null;
    this.#asked = { request, bytes, route: this.#route ?? routeOf(request), clientName };
    return this.#asked;
  }

  /** A token that the door was shown counts as one in the request. */
  #wantsLogon({ request }: Asked): boolean {
    const route = this.#route;
    if (route?.kind === 'listener') return false;
    const routing = route?.kind === 'token' ? ({ kind: 'msts', token: route.token } as const) : request.routing;
    return wantsLogon({ ...request, ...(routing === undefined ? {} : { routing }) }, this.#context.nla);
  }

  /** It is asked for by name, and the name is proven before anything is looked up for it. */
  async #logOn(asked: Asked): Promise<Asked> {
    const { pipeline, nla, identity, onProblem, wallUs } = this.#context;
    const logon = new ClientLogon({
      connectionId: this.#connectionId,
      clientAddress: this.#clientAddress,
      front: this.#front,
      client: this.#client,
      pipeline,
      nla,
      publicKey: identity.publicKey,
      onProblem,
    });
    this.#logon = logon;
    const { user, workstation, targetName, version } = await logon.run();
    this.#facts.push({ kind: 'client_logon', atUs: wallUs(), user, workstation, targetName, version });
    const token = asked.route?.kind === 'token' ? { token: asked.route.token } : {};
    this.#asked = {
      ...asked,
      route: { kind: 'credential', user, ...token },
      clientName: asked.clientName ?? user,
    };
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
    const failure = this.#judge(found.ticket);
    if (failure !== null) throw failure;
    const refusal = found.ticket.reconnects ? this.#context.whyNotReconnect(found.ticket, clientAddress) : null;
    if (refusal !== null) throw refusalOf(refusal);
    const problem = recordingProblem(found.ticket);
    if (problem === null) return found.ticket;
    throw new ConnectFailure('recording_not_persisted', ErrorInfo.serverDeniedConnection.code, problem);
  }

  #arrivalOf(asked: Asked): Arrival {
    return {
      asked,
      hasLoggedOn: this.#logon !== null,
      connectionId: this.#connectionId,
      context: this.#context,
      front: this.#front,
      client: this.#client,
      clientAddress: this.#clientAddress,
      untilMs: this.#untilMs,
      facts: this.#facts,
    };
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

  #handOver({ request, bytes, route, clientName }: Asked, ticket: SessionTicket, joining: Joining): void {
    joining.checkAlive(ticket);
    // Another client may have been faster since; as long as this one isn't released it can be told.
    const refusal = ticket.reconnects ? this.#context.whyNotReconnect(ticket, this.#clientAddress) : null;
    if (refusal !== null) throw refusalOf(refusal);
    const ready: ReadyConnection = {
      ...joining.release(withoutToken(bytes, request)),
      connectionId: this.#connectionId,
      ticket,
      clientAddress: this.#clientAddress,
      clientName,
      requestedProtocols: request.negotiation?.requestedProtocols ?? Protocol.rdp,
      facts: this.#facts,
      hasLoggedOn: this.#logon !== null,
      follow: followerOf(ticket, route, this.#context),
    };
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
    if (how === 'noNla') {
      this.#attempt('refused', 'nla_required', 'the client does not offer network level authentication', '');
      return;
    }
    const refused = this.#logon?.refusal ?? null;
    if (refused !== null) {
      this.#attempt('refused', refused.reason, refused.message, refused.detail);
      return;
    }
    if (at !== 'begun') this.#context.onProbe(probeKind(how, at, this.#front.receivedBytes), this.#clientAddress);
    const hasNamed = route !== null || (this.#logon?.claimed ?? null) !== null;
    if (!hasNamed) return;
    const isProbe = route?.kind === 'listener' && at !== 'begun';
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
    const refused = {
      connectionId: this.#connectionId,
      context: this.#context,
      front: this.#front,
      client: this.#client,
      asked: this.#asked,
    };
    await refuse(refused, this.#joining?.heldClient ?? null, failure);
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
      sessionId: count === 0 ? null : (this.#ticket?.sessionId ?? this.#logon?.sessionId ?? null),
      atUs: this.#context.wallUs(),
      clientAddress: this.#clientAddress,
      clientName: this.#asked?.clientName ?? this.#logon?.claimed?.user ?? null,
      outcome,
      reason,
      message,
      count,
    };
    this.#context.onAttempt(attempt, detail);
  }
}
