/** The door for browsers: RDCleanPath inside a WebSocket, then RDP in clear, recorded like every session. */
import type { DoorVisit } from '@lucid-sessions/kit';
import { BrowserFront, type BrowserFrontEvent, ErrorInfo } from '@lucid-sessions/rdp';
import type { Asked } from '../front-door/asked.ts';
import { Claim } from '../front-door/claim.ts';
import { addressOf } from '../front-door/door-limits.ts';
import { Driver, type EndedEvent, SequenceEnded } from '../front-door/driver.ts';
import { ConnectFailure } from '../front-door/failure.ts';
import type { FrontDoor } from '../front-door/front-door.ts';
import { HeldJoining, hasScreens } from '../front-door/held-joining.ts';
import type { Joining } from '../front-door/joining.ts';
import type { ConnectionContext } from '../front-door/ready-connection.ts';
import { probeKind, reasonOf } from '../front-door/refusals.ts';
import { refuseHeld } from '../front-door/refuse.ts';
import { type BrowserArrival, BrowserJoining, holdBrowser, refuseBrowser } from './browser-joining.ts';
import { acceptWebSocket, type BoundedStream } from './web-socket.ts';
import type { WebSocketStream } from './web-socket-stream.ts';

/** RDCleanPath, a logon (tokens of Kerberos have some KiB) and a Connect Initial, and what the frames around them cost. */
const earlyBytesMax = 320 * 1024;
const helloMsMax = 10_000;

export function browserDoor(frontDoor: FrontDoor): (visit: DoorVisit) => void {
  return (visit) => {
    const accepted = acceptWebSocket(visit, { earlyBytesMax });
    if (accepted === null) return;
    const caller = { stream: accepted.stream, clientAddress: addressOf(visit.clientAddress), route: null };
    frontDoor.receive(caller, (_caller, context) => serve(accepted, caller.clientAddress, context));
  };
}

async function serve(
  { stream, letIn }: BoundedStream,
  clientAddress: string,
  context: ConnectionContext,
): Promise<void> {
  await new BrowserConnection(stream, clientAddress, context).serve();
  letIn();
}

class BrowserConnection {
  readonly #stream: WebSocketStream;
  readonly #clientAddress: string;
  readonly #context: ConnectionContext;
  readonly #front = new BrowserFront();
  readonly #client: Driver<BrowserFrontEvent>;
  readonly #claim: Claim;
  readonly #untilMs: number;
  #joining: Joining | null = null;

  constructor(stream: WebSocketStream, clientAddress: string, context: ConnectionContext) {
    this.#stream = stream;
    stream.sendByPdu();
    this.#clientAddress = clientAddress;
    this.#context = context;
    this.#claim = new Claim(context, clientAddress);
    this.#untilMs = performance.now() + context.handshakeMs;
    this.#client = new Driver<BrowserFrontEvent>(stream, this.#front, {
      secure: () => {
        throw new Error('the WebSocket has its own TLS');
      },
    });
    this.#client.limit(Math.min(helloMsMax, context.handshakeMs), 'the client said nothing in time');
  }

  /** Resolves when the session runs or the browser is gone. Never rejects. */
  async serve(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      this.#joining?.abandon();
      await this.#claim.settled();
      if (error instanceof SequenceEnded) this.#clientGone(error.event);
      else await this.#refuse(error);
    }
  }

  async #connect(): Promise<void> {
    const asked = await this.#ask();
    this.#client.limit(this.#untilMs - performance.now(), 'the client did not begin in time');
    const ticket = await this.#client.during(this.#claim.find(asked));
    const arrival = this.#arrivalOf(asked);
    // A browser's own logon goes past the gateway: it is held only where there is something to show.
    this.#joining = hasScreens(ticket)
      ? new HeldJoining(arrival, () => holdBrowser(arrival, ticket))
      : new BrowserJoining(arrival);
    await this.#joining.begin(ticket);
    await this.#claim.join(asked, ticket, this.#joining);
  }

  /** Where it believes to go is not asked: the session knows. */
  async #ask(): Promise<Asked> {
    const event = await this.#client.next();
    if (event.kind !== 'connectionRequest') throw new Error(`${event.kind} before the connection request`);
    const { request, bytes, token } = event;
    const clientName = request.routing?.kind === 'mstshash' ? request.routing.name : null;
    if (token === '')
      throw new ConnectFailure('no_route', ErrorInfo.serverDeniedConnection.code, 'the browser shows no token');
    return { request, bytes, route: { kind: 'browser', token }, clientName };
  }

  #arrivalOf(asked: Asked): BrowserArrival {
    const { connectionId, facts } = this.#claim;
    return {
      asked,
      connectionId,
      facts,
      context: this.#context,
      front: this.#front,
      client: this.#client,
      stream: this.#stream,
      untilMs: this.#untilMs,
      isBrowser: true,
      hasLoggedOn: false,
    };
  }

  #clientGone({ how, at, problem }: EndedEvent): void {
    if (at !== 'begun') this.#context.onProbe(probeKind(how, at, this.#front.receivedBytes), this.#clientAddress);
    if (this.#claim.asked === null) return;
    const message = `the browser left before the session began: ${problem}`;
    this.#claim.attempt('client_left', reasonOf(how), message, '');
  }

  #refuse(error: unknown): Promise<void> {
    const failure = this.#claim.failed(error);
    const held = this.#joining?.heldClient ?? null;
    if (held !== null) return refuseHeld(this.#context, this.#claim.connectionId, held, failure);
    const refusing = { client: this.#client, front: this.#front, stream: this.#stream };
    return refuseBrowser(refusing, failure);
  }
}
