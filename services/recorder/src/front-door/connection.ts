/**
 * One connection of a client, until it is a session or has been told why not: who it asks for, its way to the target, its
 * first PDU; then, and not before, what is durable begins.
 */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Route, SessionTicket } from '@lucid-sessions/contract';
import { passBytes } from '@lucid-sessions/kit';
import { Front, type FrontEvent } from '@lucid-sessions/rdp';
import { type Asked, routeOf } from './asked.ts';
import { Claim } from './claim.ts';
import { ClientLogon, wantsLogon } from './client-logon.ts';
import { Driver, type EndedEvent, SequenceEnded } from './driver.ts';
import { HeldElsewhere } from './failure.ts';
import { holdClient } from './held-client.ts';
import { asksItsUser, HeldJoining, isHeld } from './held-joining.ts';
import type { Arrival, Joining } from './joining.ts';
import { keepAlive30 } from './keep-alive.ts';
import type { Caller, ConnectionContext } from './ready-connection.ts';
import { probeKind, reasonOf } from './refusals.ts';
import { refuse } from './refuse.ts';
import { StraightJoining } from './straight-joining.ts';

/** A client that says nothing at all is let go earlier than one that is busy. */
const helloMsMax = 10_000;

/** Takes a connection from its first byte on. Resolves when the session runs or the client is gone. Never rejects. */
export function serveConnection(caller: Caller, context: ConnectionContext): Promise<void> {
  return new Connection(caller, context).serve();
}

class Connection {
  readonly #caller: Caller;
  readonly #claim: Claim;
  readonly #route: Route | null;
  readonly #context: ConnectionContext;
  readonly #front: Front;
  readonly #client: Driver<FrontEvent>;
  readonly #clientAddress: string;
  readonly #untilMs: number;
  #joining: Joining | null = null;

  constructor(caller: Caller, context: ConnectionContext) {
    const { stream, clientAddress, route, wanted } = caller;
    this.#caller = caller;
    this.#claim = new Claim(context, clientAddress, wanted);
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
      await this.#claim.settled();
      if (error instanceof SequenceEnded) this.#clientGone(error.event);
      else if (!(await this.#passedOn(error))) await this.#refuse(error);
    }
  }

  async #connect(): Promise<void> {
    const asked = await this.#ask();
    this.#client.limit(this.#untilMs - performance.now(), 'the client did not begin in time');
    const known = this.#wantsLogon(asked) ? await this.#logOn(asked) : asked;
    const ticket = await this.#client.during(this.#claim.find(known));
    const joining = await this.#join(this.#arrivalOf(known), ticket);
    await this.#claim.join(known, ticket, joining);
  }

  /** Whether it has gone on to the recorder that holds its session: only one that was not answered yet can. */
  async #passedOn(error: unknown): Promise<boolean> {
    const { asked } = this.#claim;
    const isOpen = asked !== null && this.#front.state === 'decision' && this.#caller.isPassedOn !== true;
    if (!(error instanceof HeldElsewhere) || !isOpen) return false;
    const way = await this.#context.passOn(this.#caller, error.holder);
    const { ended } = this.#client;
    if (ended !== null) {
      way?.destroy();
      this.#clientGone(ended.event);
      return true;
    }
    if (way === null) return false;
    const client = this.#client.release();
    this.#context.watch(client);
    way.write(asked.bytes);
    passBytes(client, way);
    return true;
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
    const asked = { request, bytes, route: this.#route ?? routeOf(request), clientName };
    this.#claim.asked = asked;
    return asked;
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
      connectionId: this.#claim.connectionId,
      clientAddress: this.#clientAddress,
      front: this.#front,
      client: this.#client,
      pipeline,
      nla,
      publicKey: identity.publicKey,
      onProblem,
    });
    this.#claim.logon = logon;
    const { user, workstation, targetName, version } = await logon.run();
    this.#claim.facts.push({ kind: 'client_logon', atUs: wallUs(), user, workstation, targetName, version });
    const token = asked.route?.kind === 'token' ? { token: asked.route.token } : {};
    return { ...asked, route: { kind: 'credential', user, ...token }, clientName: asked.clientName ?? user };
  }

  #arrivalOf(asked: Asked): Arrival {
    return {
      asked,
      hasLoggedOn: this.#claim.hasLoggedOn,
      connectionId: this.#claim.connectionId,
      context: this.#context,
      front: this.#front,
      client: this.#client,
      clientAddress: this.#clientAddress,
      untilMs: this.#untilMs,
      facts: this.#claim.facts,
    };
  }

  #clientGone({ how, at, problem }: EndedEvent): void {
    const { asked, logon } = this.#claim;
    const route = asked?.route ?? null;
    if (how === 'noTls') {
      this.#claim.attempt('refused', 'tls_required', 'the client does not offer TLS', '');
      return;
    }
    if (how === 'noNla') {
      this.#claim.attempt('refused', 'nla_required', 'the client does not offer network level authentication', '');
      return;
    }
    const refused = logon?.refusal ?? null;
    if (refused !== null) {
      this.#claim.attempt('refused', refused.reason, refused.message, refused.detail);
      return;
    }
    if (at !== 'begun') this.#context.onProbe(probeKind(how, at, this.#front.receivedBytes), this.#clientAddress);
    const hasNamed = route !== null || (logon?.claimed ?? null) !== null;
    if (!hasNamed) return;
    const isProbe = route?.kind === 'listener' && at !== 'begun';
    const reason = reasonOf(how);
    this.#claim.attempt(
      'client_left',
      reason,
      `the client left before the session began: ${problem}`,
      '',
      isProbe ? 0 : 1,
    );
  }

  async #refuse(error: unknown): Promise<void> {
    const failure = this.#claim.failed(error);
    const refused = {
      connectionId: this.#claim.connectionId,
      context: this.#context,
      front: this.#front,
      client: this.#client,
      asked: this.#claim.asked,
    };
    await refuse(refused, this.#joining?.heldClient ?? null, failure);
  }
}
