/**
 * The held way: the client is brought up to its Client Info first, as a server of our own would, because what it says there is
 * needed to get into the target. Then the target is told what the client said, and ids are mapped between the two.
 */
import { TLSSocket } from 'node:tls';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import type { ClientInfo } from '@lucid-sessions/rdp';
import { SocketPeer } from '../peer/socket-peer.ts';
import { type HeldClient, holdClient } from './held-client.ts';
import { injectedCredentials, noteUntrusted } from './injected.ts';
import type { Arrival, Joined, Joining } from './joining.ts';
import { helloFrames } from './straight-joining.ts';
import { tlsName } from './tls-settings.ts';
import { WayToTarget } from './way-to-target.ts';

/** Where the client's own credentials are the target's, or its user has to be shown something before. */
export const isHeld = ({ hasLoggedOn }: Pick<Arrival, 'hasLoggedOn'>, { credentials }: SessionTicket): boolean =>
  credentials === 'client' && !hasLoggedOn;

export class HeldJoining implements Joining {
  readonly #arrival: Arrival;
  readonly #way: WayToTarget;
  #client: HeldClient | null = null;
  /** What is put into Client Info in the client's place. */
  #credentials: TargetCredentials | null = null;

  constructor(arrival: Arrival) {
    this.#arrival = arrival;
    this.#way = new WayToTarget(arrival);
  }

  async begin(ticket: SessionTicket): Promise<void> {
    const client = await holdClient(this.#arrival, ticket.graphics);
    this.#client = client;
    const info = await client.clientInfo();
    this.#credentials = await client.during(injectedCredentials(this.#arrival, ticket));
    const own = credentialsOf(info);
    await this.#way.dial(ticket, client, this.#credentials ?? own);
    // In restricted admin mode the target gets no password, not the one in the client's Client Info either.
    if (ticket.target.restrictedAdmin === true) this.#credentials ??= own;
    if (this.#credentials !== null) noteUntrusted(this.#arrival.facts, this.#arrival.context.wallUs());
  }

  checkAlive(ticket: SessionTicket): void {
    this.#held.checkAlive();
    this.#way.checkAlive(ticket);
  }

  release(request: Uint8Array): Joined {
    const { stream, splice } = this.#held.release();
    const { hello, address, socket: targetSocket } = this.#way.release();
    for (const each of [stream, targetSocket]) this.#arrival.context.watch(each);
    return {
      client: new SocketPeer(stream),
      target: new SocketPeer(targetSocket),
      splice,
      targetAddress: address,
      credentials: this.#credentials,
      beforeTls: helloFrames(request, hello, this.#arrival.front.confirm),
      selectedProtocol: hello.selectedProtocol,
      clientTls: stream instanceof TLSSocket ? tlsName(stream) : '',
    };
  }

  get heldClient(): HeldClient | null {
    return this.#client;
  }

  abandon(): void {
    this.#way.abandon();
  }

  get #held(): HeldClient {
    if (this.#client === null) throw new Error('the client is not held');
    return this.#client;
  }
}

/** Null where the client names nobody or has no password: a target that wants to know is refused then. */
function credentialsOf({ userName: username, domain, password }: ClientInfo): TargetCredentials | null {
  return username === '' || password === '' ? null : { username, domain, password };
}
