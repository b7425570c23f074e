/** A connection and the session it asks for, whatever door it came by: found, admitted, or told of as an attempt. */
import { randomUUID } from 'node:crypto';
import type { AttemptReason, ConnectionAttempt, Finding, RecordingFact, SessionTicket } from '@lucid-sessions/contract';
import { noteOnSpan } from '@lucid-sessions/kit';
import { ErrorInfo, Protocol } from '@lucid-sessions/rdp';
import { type Asked, withoutToken } from './asked.ts';
import type { ClientLogon } from './client-logon.ts';
import { ConnectFailure, HeldElsewhere } from './failure.ts';
import type { Joining } from './joining.ts';
import type { Caller, ConnectionContext, ReadyConnection } from './ready-connection.ts';
import { followerOf } from './redirection.ts';
import { crowded, reached, refusalOf, targetReasons } from './refusals.ts';
import { namesTarget, otherHost } from './wanted-host.ts';

const unrecordable = (problem: string): ConnectFailure =>
  new ConnectFailure('recording_not_persisted', ErrorInfo.serverDeniedConnection.code, problem);

function notFound({ heldBy, ...refusal }: Extract<Finding, { found: false }>): ConnectFailure {
  const failure = refusalOf(refusal);
  return heldBy === undefined ? failure : new HeldElsewhere(failure, heldBy);
}

export class Claim {
  readonly connectionId = randomUUID();
  readonly facts: RecordingFact[] = [];
  /** Set where the client logs on to the gateway, before it has. */
  logon: ClientLogon | null = null;
  /** What it asks for, once it has said so. */
  asked: Asked | null = null;
  readonly #context: ConnectionContext;
  readonly #clientAddress: string;
  readonly #wanted: Caller['wanted'];
  #finding: Promise<Finding> | null = null;
  #ticket: SessionTicket | null = null;

  constructor(context: ConnectionContext, clientAddress: string, wanted?: Caller['wanted']) {
    this.#context = context;
    this.#clientAddress = clientAddress;
    this.#wanted = wanted;
  }

  get hasLoggedOn(): boolean {
    return this.logon !== null;
  }

  /** Rejects with `ConnectFailure`. */
  async find(asked: Asked): Promise<SessionTicket> {
    this.asked = asked;
    const { route, clientName } = asked;
    if (route === null)
      throw new ConnectFailure('no_route', ErrorInfo.serverDeniedConnection.code, 'the client named no session');
    const { pipeline, recorderId, recordingProblem } = this.#context;
    const clientAddress = this.#clientAddress;
    this.#finding = pipeline.find({ connectionId: this.connectionId, route, clientAddress, clientName, recorderId });
    const found = await reached(this.#finding);
    if (!found.found) throw notFound(found);
    // Known before it is refused, so that what was reserved is let go under its name.
    this.#ticket = found.ticket;
    if (this.#wanted !== undefined && !namesTarget(this.#wanted, found.ticket.target)) throw otherHost();
    this.#checkReconnect(found.ticket);
    const problem = recordingProblem(found.ticket);
    if (problem !== null) throw unrecordable(problem);
    return found.ticket;
  }

  /** What `find` reserves must be known before it is let go. */
  async settled(): Promise<void> {
    const found = await this.#finding?.catch(() => null);
    if (found?.found) this.#ticket ??= found.ticket;
  }

  #checkReconnect(ticket: SessionTicket): void {
    const refusal = ticket.reconnects ? this.#context.whyNotReconnect(ticket, this.#clientAddress) : null;
    if (refusal !== null) throw refusalOf(refusal);
  }

  /** From here on what is durable begins, and in the end the session has both ends. */
  async join(asked: Asked, ticket: SessionTicket, joining: Joining): Promise<void> {
    const problem = this.#context.recordingProblem(ticket);
    if (problem !== null) throw unrecordable(problem);
    if (!this.#context.onAdmitting(ticket, this.#clientAddress)) throw crowded();
    try {
      const admitted = await this.#admit();
      this.#handOver(asked, admitted, joining);
    } catch (error) {
      this.#context.onGone(ticket);
      throw error;
    }
  }

  /** Waited for to the end, whatever the client does meanwhile: what is durable must be known before it is taken back. */
  async #admit(): Promise<SessionTicket> {
    const admission = await reached(this.#context.pipeline.admit({ connectionId: this.connectionId }));
    if (!admission.admitted) throw refusalOf(admission);
    this.#ticket = admission.ticket;
    const problem = this.#context.recordingProblem(admission.ticket);
    if (problem !== null) throw unrecordable(problem);
    return admission.ticket;
  }

  #handOver({ request, bytes, route, clientName }: Asked, ticket: SessionTicket, joining: Joining): void {
    joining.checkAlive(ticket);
    // Another client may have been faster since; as long as this one isn't released it can be told.
    this.#checkReconnect(ticket);
    noteOnSpan({ 'lucid.connection.id': this.connectionId, 'lucid.session.id': ticket.sessionId });
    const ready: ReadyConnection = {
      ...joining.release(withoutToken(bytes, request)),
      connectionId: this.connectionId,
      ticket,
      clientAddress: this.#clientAddress,
      clientName,
      requestedProtocols: request.negotiation?.requestedProtocols ?? Protocol.rdp,
      facts: this.facts,
      hasLoggedOn: this.hasLoggedOn,
      follow: followerOf(ticket, route, this.#context),
    };
    try {
      this.#context.onReady(ready);
    } catch (error) {
      for (const peer of [ready.client, ready.target]) peer.destroy();
      throw error;
    }
  }

  /** Whatever was thrown, as what the client is told; it is an attempt from here on. */
  failed(error: unknown): ConnectFailure {
    const failure =
      error instanceof ConnectFailure
        ? error
        : new ConnectFailure('unavailable', ErrorInfo.serverDeniedConnection.code, 'the gateway failed');
    if (failure !== error) this.#context.onProblem(`a connection failed: ${(error as Error).stack ?? String(error)}`);
    const outcome = targetReasons.has(failure.reason) ? 'target_failed' : 'refused';
    this.attempt(outcome, failure.reason, failure.message, failure.detail);
    return failure;
  }

  attempt(
    outcome: ConnectionAttempt['outcome'],
    reason: AttemptReason,
    message: string,
    detail: string,
    count = 1,
  ): void {
    noteOnSpan({ 'lucid.connection.id': this.connectionId, 'lucid.outcome': outcome, 'lucid.reason': reason });
    const attempt = {
      connectionId: this.connectionId,
      // A probe's session is none: there is nothing to take back.
      sessionId: count === 0 ? null : (this.#ticket?.sessionId ?? this.logon?.sessionId ?? null),
      atUs: this.#context.wallUs(),
      clientAddress: this.#clientAddress,
      clientName: this.asked?.clientName ?? this.logon?.claimed?.user ?? null,
      outcome,
      reason,
      message,
      count,
    };
    this.#context.onAttempt(attempt, detail);
  }
}
