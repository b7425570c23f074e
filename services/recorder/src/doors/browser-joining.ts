/**
 * A browser and its target: the gateway does X.224 and TLS with the target, and logs on where it was given credentials; otherwise
 * the browser logs on by itself, through the gateway and bound to the target's own certificate.
 */
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { type BrowserFront, type BrowserFrontEvent, ErrorInfo, Protocol } from '@lucid-sessions/rdp';
import type { DialledTarget } from '../front-door/dial.ts';
import type { Driver } from '../front-door/driver.ts';
import { ConnectFailure } from '../front-door/failure.ts';
import { HeldClient } from '../front-door/held-client.ts';
import { injectedCredentials, noteUntrusted } from '../front-door/injected.ts';
import type { Arrival, Joined, Joining } from '../front-door/joining.ts';
import { flagsFor, flagsForAny } from '../front-door/negotiation-flags.ts';
import { helloFrames, refusalMs } from '../front-door/straight-joining.ts';
import { WayToTarget } from '../front-door/way-to-target.ts';
import { SocketPeer } from '../peer/socket-peer.ts';
import { LogonPassage } from './logon-passage.ts';
import { httpStatusOf } from './refusal-status.ts';
import type { WebSocketStream } from './web-socket-stream.ts';

/** A browser that was let in, and what it has been given so far. */
export interface BrowserArrival extends Pick<Arrival, 'connectionId' | 'context' | 'asked' | 'untilMs' | 'facts'> {
  readonly front: BrowserFront;
  readonly client: Driver<BrowserFrontEvent>;
  readonly stream: WebSocketStream;
  readonly isBrowser: true;
  readonly hasLoggedOn: false;
}

const nla = Protocol.hybrid | Protocol.hybridEx;
const certificatesMax = 8;

export class BrowserJoining implements Joining {
  readonly #arrival: BrowserArrival;
  readonly #way: WayToTarget;
  #credentials: TargetCredentials | null = null;
  #passage: LogonPassage | null = null;
  #target: (DialledTarget & { socket: Duplex }) | null = null;

  constructor(arrival: BrowserArrival) {
    this.#arrival = arrival;
    this.#way = new WayToTarget(arrival);
  }

  async begin(ticket: SessionTicket): Promise<void> {
    if (!ticket.target.useTls) throw withoutTls();
    const { client, front, asked, facts, context } = this.#arrival;
    this.#credentials = await client.during(injectedCredentials(this.#arrival, ticket));
    const offered = (asked.request.negotiation?.requestedProtocols ?? 0) & nla;
    const offer = Protocol.ssl | (this.#credentials === null ? offered : 0);
    const { hello, driver, address } = await this.#way.dial(ticket, client, this.#credentials, { offer });
    if (this.#credentials !== null) noteUntrusted(facts, context.wallUs());
    const logsOn = hello.logon === null && (hello.selectedProtocol & nla) !== 0;
    const answer = {
      selectedProtocol: logsOn ? hello.selectedProtocol : Protocol.ssl,
      negotiationFlags: flagsFor(ticket, hello.negotiationFlags),
      certificates: certificatesOf(driver.stream),
      serverAddress: address,
    };
    if (!logsOn) {
      client.run(front.accept(answer));
      await this.#way.orGone(ticket, client.next());
      return;
    }
    this.#target = this.#way.release();
    this.#passage = new LogonPassage(front, client, this.#target.socket);
    client.run(front.accept(answer));
    await this.#passage.done();
  }

  checkAlive(ticket: SessionTicket): void {
    const { ended } = this.#arrival.client;
    if (ended !== null) throw ended;
    if (this.#passage === null) this.#way.checkAlive(ticket);
    else this.#passage.checkAlive();
  }

  release(request: Uint8Array): Joined {
    const { client, front, context } = this.#arrival;
    const stream = client.release();
    const { hello, address, socket } = this.#target ?? this.#way.release();
    this.#passage?.release();
    context.watch(socket);
    return {
      client: new SocketPeer(stream),
      target: new SocketPeer(socket),
      splice: null,
      targetAddress: address,
      credentials: this.#credentials,
      beforeTls: helloFrames(request, hello, front.confirm),
      selectedProtocol: hello.selectedProtocol,
      // Of the WebSocket, which ends before the gateway.
      clientTls: '',
      isBrowser: this.#arrival.isBrowser,
    };
  }

  get heldClient(): null {
    return null;
  }

  abandon(): void {
    this.#way.abandon();
    this.#target?.socket.destroy();
  }
}

/** By a status in the client's own protocol, and by words where the WebSocket ends. */
export async function refuseBrowser(
  { client, front, stream }: Pick<BrowserArrival, 'client' | 'front' | 'stream'>,
  { errorInfo, reason, message }: ConnectFailure,
): Promise<void> {
  stream.reason = message;
  client.run(front.refuse(errorInfo, httpStatusOf(reason)));
  if (front.state === 'logon') stream.end();
  client.limit(refusalMs, 'the client was too slow to be told');
  if (client.isDriving) await client.over.catch(() => {});
}

/** As a server of the gateway's own would take it: the target is not known yet. */
export async function holdBrowser(
  { client, front, context, asked, untilMs }: BrowserArrival,
  ticket: SessionTicket,
): Promise<HeldClient> {
  const { certificate } = context.identity;
  const answer = {
    selectedProtocol: Protocol.ssl,
    negotiationFlags: flagsFor(ticket, flagsForAny),
    certificates: [certificate],
    serverAddress: '',
  };
  client.run(front.accept(answer));
  const event = await client.next();
  if (event.kind !== 'connectInitial') throw new Error(`${event.kind} of a browser that was to begin`);
  const requestedProtocols = asked.request.negotiation?.requestedProtocols ?? Protocol.rdp;
  const held = new HeldClient(client.release(), requestedProtocols, event.bytes);
  held.limit(untilMs - performance.now(), 'the browser did not go on in time');
  return held;
}

const withoutTls = (): ConnectFailure =>
  new ConnectFailure(
    'target_tls_failed',
    ErrorInfo.serverDeniedConnection.code,
    'a browser reaches targets by TLS only, and this session does without; use an RDP client',
  );

/** What the target showed: its own, then whoever signed it. */
function certificatesOf(stream: Duplex): Uint8Array[] {
  const certificates: Uint8Array[] = [];
  if (!(stream instanceof TLSSocket)) return certificates;
  let certificate = stream.getPeerCertificate(true);
  while (certificates.length < certificatesMax) {
    certificates.push(certificate.raw);
    const { issuerCertificate: issuer } = certificate;
    if (issuer === undefined || issuer.fingerprint256 === certificate.fingerprint256) break;
    certificate = issuer;
  }
  return certificates;
}
