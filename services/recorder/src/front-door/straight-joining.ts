/**
 * The straight way: the target first, so that the client is confirmed what the target can do; then the client's MCS bytes
 * are relayed as they come.
 */
import { TLSSocket } from 'node:tls';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { NegotiationResponseFlag, type TargetHello } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { SocketPeer } from '../peer/socket-peer.ts';
import { injectedCredentials, noteUntrusted } from './injected.ts';
import type { Arrival, Joined, Joining } from './joining.ts';
import { flagsFor } from './negotiation-flags.ts';
import { tlsName } from './tls-settings.ts';
import { WayToTarget } from './way-to-target.ts';

/** A client that is being told no gets this long to listen. */
export const refusalMs = 10_000;

export class StraightJoining implements Joining {
  readonly #arrival: Arrival;
  readonly #way: WayToTarget;
  #credentials: TargetCredentials | null = null;

  constructor(arrival: Arrival) {
    this.#arrival = arrival;
    this.#way = new WayToTarget(arrival);
  }

  async begin(ticket: SessionTicket): Promise<void> {
    const { client, front, facts, context } = this.#arrival;
    this.#credentials = await client.during(injectedCredentials(this.#arrival, ticket));
    const { hello } = await this.#way.dial(ticket, client, this.#credentials);
    if (this.#credentials !== null) noteUntrusted(facts, context.wallUs());
    client.run(front.accept(flagsFor(ticket, hello.negotiationFlags & ~ofTargetAlone)));
    await this.#way.orGone(ticket, client.next());
  }

  checkAlive(ticket: SessionTicket): void {
    const { ended } = this.#arrival.client;
    if (ended !== null) throw ended;
    this.#way.checkAlive(ticket);
  }

  release(request: Uint8Array): Joined {
    const { client, front, context } = this.#arrival;
    const socket = client.release();
    const { hello, address, socket: targetSocket } = this.#way.release();
    for (const each of [socket, targetSocket]) context.watch(each);
    return {
      client: new SocketPeer(socket),
      target: new SocketPeer(targetSocket),
      splice: null,
      targetAddress: address,
      credentials: this.#credentials,
      beforeTls: helloFrames(request, hello, front.confirm),
      selectedProtocol: hello.selectedProtocol,
      clientTls: socket instanceof TLSSocket ? tlsName(socket) : '',
    };
  }

  get heldClient(): null {
    return null;
  }

  abandon(): void {
    this.#way.abandon();
  }
}

/** What crossed before TLS, on either side. */
export function helloFrames(request: Uint8Array, hello: TargetHello, confirm: Uint8Array): Joined['beforeTls'] {
  const preconnection = { fromServer: false, bytes: hello.preconnection, flags: frameFlags.deliveredOnly };
  return [
    { fromServer: false, bytes: request, flags: frameFlags.receivedOnly },
    ...(hello.preconnection.length > 0 ? [preconnection] : []),
    { fromServer: false, bytes: hello.request, flags: frameFlags.deliveredOnly },
    { fromServer: true, bytes: hello.confirm, flags: frameFlags.receivedOnly },
    { fromServer: true, bytes: confirm, flags: frameFlags.deliveredOnly },
  ];
}

/** What the target said of its own logon is not the gateway's to promise. */
const ofTargetAlone =
  NegotiationResponseFlag.restrictedAdminModeSupported | NegotiationResponseFlag.redirectedAuthenticationModeSupported;
