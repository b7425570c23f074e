/**
 * The RD Gateway door ([MS-TSGU]): a client that reaches only the port for people opens a tunnel with the token of its .rdp file as
 * cookie, names the host it wants, and speaks RDP inside as it would at the listener. The token opens one session; the name it asks
 * for is compared with that session's target, and nothing is dialled because a client named it.
 */
import { randomUUID } from 'node:crypto';
import type { ConnectionAttempt, Finding, SessionTicket } from '@lucid-sessions/contract';
import { GatewayError, type GatewayErrorCode } from '@lucid-sessions/rdp';
import { serveConnection } from '../front-door/connection.ts';
import { ConnectFailure } from '../front-door/failure.ts';
import type { Caller, ConnectionContext } from '../front-door/ready-connection.ts';
import { probeKind, reached, reasonOf } from '../front-door/refusals.ts';
import { namesTarget, otherHost, type WantedHost } from '../front-door/wanted-host.ts';
import { type GatewayAsking, GatewayChannel } from './gateway-channel.ts';

/** Between two requests of a client. */
const requestMsMax = 10_000;

/** Serves one client of the gateway to the end of its connect phase. `letIn` is called when it may send as much as it likes. */
export function serveGateway(caller: Caller, context: ConnectionContext, letIn: () => void): Promise<void> {
  return new Visit(caller, context, letIn).serve();
}

class Visit {
  readonly #connectionId = randomUUID();
  readonly #clientAddress: string;
  readonly #context: ConnectionContext;
  readonly #letIn: () => void;
  readonly #channel: GatewayChannel;
  #ticket: SessionTicket | null = null;
  #clientName: string | null = null;

  constructor({ stream, clientAddress }: Caller, context: ConnectionContext, letIn: () => void) {
    this.#clientAddress = clientAddress;
    this.#context = context;
    this.#letIn = letIn;
    this.#channel = new GatewayChannel(stream);
  }

  async serve(): Promise<void> {
    const tunnel = await this.#next('tunnel');
    if (tunnel === null) return;
    const route = { kind: 'token', token: tunnel.cookie } as const;
    const found = tunnel.cookie === '' ? noCookie : await this.#find(route);
    // Every other refusal is told inside, in words, with its reference.
    if (!found.found && found.code === 'unknown_session') {
      this.#refuse(GatewayError.cookieAccessDenied, 'unknown_session', found.message);
      return;
    }
    if (found.found) this.#ticket = found.ticket;
    this.#channel.acceptTunnel();
    const asked = await this.#next('channel');
    if (asked === null) return;
    this.#clientName = asked.clientName;
    const wanted: WantedHost = { names: asked.names, port: asked.port };
    if (this.#ticket !== null && !namesTarget(wanted, this.#ticket.target)) {
      const failure = otherHost();
      this.#refuse(GatewayError.resourceAccessDenied, failure.reason, failure.message);
      return;
    }
    this.#letIn();
    this.#channel.acceptChannel();
    // Inside it is asked for again, by then perhaps as whom the client has logged on as; this was a look.
    if (this.#ticket !== null) this.#attempt('client_left', 'client_disconnected', '', 0);
    await serveConnection({ stream: this.#channel, clientAddress: this.#clientAddress, route, wanted }, this.#context);
  }

  async #next<K extends GatewayAsking['kind']>(kind: K): Promise<Extract<GatewayAsking, { kind: K }> | null> {
    const asking = await this.#channel.next(Math.min(requestMsMax, this.#context.handshakeMs));
    if (asking?.kind === kind) return asking as Extract<GatewayAsking, { kind: K }>;
    this.#gone();
    return null;
  }

  async #find(route: { kind: 'token'; token: string }): Promise<Finding> {
    const { pipeline, recorderId } = this.#context;
    const connectionId = this.#connectionId;
    const request = { connectionId, route, clientAddress: this.#clientAddress, clientName: null, recorderId };
    try {
      return await reached(pipeline.find(request));
    } catch (error) {
      if (!(error instanceof ConnectFailure)) throw error;
      // It is looked up again inside, where the answer is said in words.
      return { found: false, code: 'unavailable', message: error.message };
    }
  }

  #gone(): void {
    const { ended, receivedBytes } = this.#channel;
    if (ended === null) return;
    const { how, problem } = ended;
    if (this.#ticket === null)
      this.#context.onProbe(probeKind(how, 'connectionRequest', receivedBytes), this.#clientAddress);
    else this.#attempt('client_left', reasonOf(how), `the client left before the session began: ${problem}`);
  }

  #refuse(code: GatewayErrorCode, reason: ConnectionAttempt['reason'], message: string): void {
    this.#attempt('refused', reason, message);
    this.#channel.refuse(code, message);
  }

  #attempt(
    outcome: ConnectionAttempt['outcome'],
    reason: ConnectionAttempt['reason'],
    message: string,
    count = 1,
  ): void {
    const attempt: ConnectionAttempt = {
      connectionId: this.#connectionId,
      sessionId: count === 0 ? null : (this.#ticket?.sessionId ?? null),
      atUs: this.#context.wallUs(),
      clientAddress: this.#clientAddress,
      clientName: this.#clientName,
      outcome,
      reason,
      message,
      count,
    };
    this.#context.onAttempt(attempt, '');
  }
}

const noCookie: Finding = { found: false, code: 'unknown_session', message: 'the client has no token' };
