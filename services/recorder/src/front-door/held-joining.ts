/**
 * The held way: the client is brought up to its Client Info first, as a server of our own would, because what it says there is
 * needed to get into the target. Then the target is told what the client said, and ids are mapped between the two.
 */
import { TLSSocket } from 'node:tls';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { Hold, type HoldEvent, NegotiationResponseFlag, Protocol, Splice } from '@lucid-sessions/rdp';
import { SocketPeer } from '../peer/socket-peer.ts';
import { Driver } from './driver.ts';
import type { ConnectFailure } from './failure.ts';
import { injectedCredentials, noteUntrusted } from './injected.ts';
import type { Arrival, Joined, Joining } from './joining.ts';
import { helloFrames, refusalMs, refuseAtFront } from './straight-joining.ts';
import { tlsName } from './tls-settings.ts';
import { WayToTarget } from './way-to-target.ts';

/** Where the client's own credentials are the target's, or its user has to be shown something before. */
export const isHeld = ({ credentials }: SessionTicket): boolean => credentials === 'client';

interface Held {
  hold: Hold<never>;
  client: Driver<HoldEvent<never>>;
}

export class HeldJoining implements Joining {
  readonly #arrival: Arrival;
  readonly #way: WayToTarget;
  #held: Held | null = null;
  #credentials: TargetCredentials | null = null;

  constructor(arrival: Arrival) {
    this.#arrival = arrival;
    this.#way = new WayToTarget(arrival);
  }

  async begin(ticket: SessionTicket): Promise<void> {
    const { client } = await this.#takeOver(ticket);
    await nextOf(client, 'clientInfo');
    this.#credentials = await client.during(injectedCredentials(this.#arrival, ticket));
    await this.#way.dial(ticket, client, this.#credentials);
    if (this.#credentials !== null) noteUntrusted(this.#arrival.facts, this.#arrival.context.wallUs());
  }

  /** Once it has begun, the client is the hold's. */
  async #takeOver(ticket: SessionTicket): Promise<Held> {
    const { client, front, asked, untilMs } = this.#arrival;
    client.run(front.accept(flagsForAny(ticket)));
    const { bytes } = await nextOf(client, 'connectInitial');
    const requestedProtocols = asked.request.negotiation?.requestedProtocols ?? Protocol.rdp;
    const hold = new Hold<never>(requestedProtocols, bytes);
    const driver = new Driver<HoldEvent<never>>(client.release(), hold, {
      secure: () => {
        throw new Error('TLS is there already');
      },
    });
    driver.limit(untilMs - performance.now(), 'the client did not go on in time');
    this.#held = { hold, client: driver };
    return this.#held;
  }

  checkAlive(ticket: SessionTicket): void {
    const ended = this.#held?.client.ended ?? null;
    if (ended !== null) throw ended;
    this.#way.checkAlive(ticket);
  }

  release(request: Uint8Array): Joined {
    if (this.#held === null) throw new Error('the client is not held');
    const { hold, client } = this.#held;
    const splice = new Splice(hold.state);
    const socket = client.release();
    const { hello, address, socket: targetSocket } = this.#way.release();
    for (const each of [socket, targetSocket]) this.#arrival.context.watch(each);
    return {
      client: new SocketPeer(socket),
      target: new SocketPeer(targetSocket),
      splice,
      targetAddress: address,
      credentials: this.#credentials,
      beforeTls: helloFrames(request, hello, this.#arrival.front.confirm),
      selectedProtocol: hello.selectedProtocol,
      clientTls: socket instanceof TLSSocket ? tlsName(socket) : '',
    };
  }

  async refuse(failure: ConnectFailure): Promise<void> {
    if (this.#held === null) return refuseAtFront(this.#arrival, failure);
    const { hold, client } = this.#held;
    client.run(hold.refuse(failure.errorInfo));
    client.limit(refusalMs, 'the client was too slow to be told');
    if (client.isDriving) await client.over.catch(() => {});
  }

  abandon(): void {
    this.#way.abandon();
  }
}

async function nextOf<E extends { kind: string }, K extends E['kind']>(
  driver: Driver<E>,
  kind: K,
): Promise<Extract<E, { kind: K }>> {
  const event = await driver.next();
  if (event.kind !== kind) throw new Error(`${event.kind} of the client while waiting for ${kind}`);
  return event as unknown as Extract<E, { kind: K }>;
}

/** What any target may turn out to have: a client says more to a server that names these, and no server minds. */
const flagsForAny = ({ graphics }: SessionTicket): number =>
  NegotiationResponseFlag.extendedClientDataSupported |
  (graphics === 'classic' ? 0 : NegotiationResponseFlag.dynvcGfxProtocolSupported);
