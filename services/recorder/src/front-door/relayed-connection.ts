/** One client and one target, joined: the relay between them, and how either of them left. */
import type { TargetCredentials } from '@lucid-sessions/contract';
import {
  ClientMemory,
  type DomainIds,
  type FastPathInputEvent,
  type HeldClientState,
  Protocol,
  type Splice,
} from '@lucid-sessions/rdp';
import {
  type FrameTap,
  type InputWatch,
  nobody,
  type PutInLogon,
  Relay,
  type RelayEvent,
  type RelaySide,
  RelayViolation,
} from '@lucid-sessions/relay';
import { DecodeError } from '@lucid-sessions/wire';
import type { Peer } from '../peer/peer.ts';
import { channelPolicyOf } from './channel-policy.ts';
import { Notice } from './notice.ts';
import { Pump } from './pump.ts';
import type { ReadyConnection } from './ready-connection.ts';

export interface RelayedConnectionOptions {
  connection: ReadyConnection;
  tap: FrameTap;
  /** What the graphics pipeline draws is read, so that a message can be shown over it. */
  paintsPipeline: boolean;
  /** µs since the session's start. */
  nowUs: () => number;
  /** The recorder's monotonic clock, µs. */
  monotonicUs: () => number;
  /** False while the recording can't take more. */
  hasRoom: () => boolean;
  onEvent: (event: RelayEvent) => void;
  /** A held client is joined to its target: the ids either knows. */
  onJoined: (client: DomainIds, target: DomainIds) => void;
  /** Bytes of a peer have been dealt with. */
  onStep: () => void;
  onViolation: (message: string) => void;
  /** The peer's side of the connection is closed or lost; whether it said goodbye, events told before. */
  onLeft: (side: RelaySide) => void;
  /** Both peers are ended: the last of all. */
  onClosed: () => void;
}

const logonBefore = Protocol.hybrid | Protocol.hybridEx | Protocol.rdstls;

/** After network level authentication or RDSTLS the target needs no password in Client Info: it gets none. */
function logonOf({ credentials, selectedProtocol, hasLoggedOn }: ReadyConnection): PutInLogon | null {
  if (credentials === null) return hasLoggedOn ? nobody : null;
  const { username: userName, domain, password } = credentials;
  return { userName, domain, password: (selectedProtocol & logonBefore) === 0 ? password : '' };
}

/** How long a peer may take for what it must do at the end: finish a PDU, close its side. */
const endWaitMs = 2000;
/** How long a user may think about it when a client that was denied asks. */
const leavingUsMax = 60_000_000;

export class RelayedConnection {
  readonly #options: RelayedConnectionOptions;
  readonly #relay: Relay;
  readonly #notice: Notice = this.#makeNotice();
  readonly #pumps: readonly [Pump, Pump];
  #idsTold = false;
  /** Until there is a desktop: what another target would need. */
  #memory: ClientMemory | null;
  #credentials: TargetCredentials | null;
  #isSentOn = false;
  #inputsSeen = 0;
  #shutdownsSeen = 0;
  /** Monotonic, µs: when the client asked to end, and nobody has done anything since. */
  #askedToEndUs: number | null = null;
  #endTimer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Monotonic, µs: when it began, when the client last sent anything, when its user last did something. */
  readonly begunUs: number;
  lastHeardUs: number;
  lastInputUs: number;
  /** A desktop has been shown: the connection sequence is over. */
  activated = false;

  constructor(options: RelayedConnectionOptions) {
    const { connection, tap, hasRoom, monotonicUs, paintsPipeline } = options;
    const { client, target, ticket, requestedProtocols, selectedProtocol, isBrowser = false } = connection;
    this.#options = options;
    this.begunUs = monotonicUs();
    this.lastHeardUs = this.begunUs;
    this.lastInputUs = this.begunUs;
    const { input_policy: input = 'full', clipboard_policy: clipboard = 'full' } = ticket.recording;
    const keep = { input, clipboard };
    const { leaveIn = [], bulkCompression = true, channels: rules = {} } = ticket.target;
    const { graphics } = ticket;
    const logon = logonOf(connection);
    const channels = channelPolicyOf(rules);
    this.#relay = new Relay(
      {
        requestedProtocols,
        selectedProtocol,
        graphics,
        keep,
        leaveIn,
        logon,
        bulkCompression,
        channels,
        deepColour: isBrowser,
        autologon: isBrowser,
        recutBitmaps: isBrowser,
        paintsPipeline,
      },
      tap,
    );
    this.#memory = connection.splice === null ? new ClientMemory() : null;
    this.#credentials = connection.credentials;
    // From here on they are held until there is a desktop.
    connection.credentials = null;
    const pump = (side: RelaySide, from: Peer, to: Peer): Pump =>
      new Pump({ from, to, onBytes: (bytes) => this.#step(side, bytes), hasRoom });
    this.#pumps = [pump('client', client, target), pump('server', target, client)];
    void client.left.then(() => this.#left('client'));
    void target.left.then(() => this.#left('server'));
  }

  get connection(): ReadyConnection {
    return this.#options.connection;
  }

  get counters(): Relay['counters'] {
    return this.#relay.counters;
  }

  /** What the policy of channels refused, and how often. */
  get refusals(): Relay['refusals'] {
    return this.#relay.refusals;
  }

  /** PDUs of the client on channels nobody knows the use of, by the channel's name. */
  get unknownChannels(): Relay['unknownChannels'] {
    return this.#relay.unknownChannels;
  }

  start(): void {
    const { splice } = this.connection;
    for (const pump of this.#pumps) pump.start();
    if (splice !== null) this.#guarded(() => this.#say(splice.start().toTarget));
  }

  #step(from: RelaySide, bytes: Uint8Array): readonly Uint8Array[] {
    if (from === 'client') this.lastHeardUs = this.#options.monotonicUs();
    return this.#guarded(() => this.#spliced(from, bytes)) ?? [];
  }

  /** The relay knows the target's ids alone: what a client says is mapped before it, what it hears behind it. */
  #spliced(from: RelaySide, bytes: Uint8Array): readonly Uint8Array[] {
    const { splice } = this.connection;
    if (splice === null) {
      this.#memory?.see(from, bytes);
      return this.#relayed(from, bytes);
    }
    if (from === 'client') return this.#relayed(from, splice.fromClient(bytes).toTarget);
    return this.#relayed(from, bytes).map((view) => this.#forClient(view));
  }

  #forClient(view: Uint8Array): Uint8Array {
    const { splice } = this.connection;
    if (splice === null) return view;
    const { toClient, toTarget } = splice.fromTarget(view);
    this.#say(toTarget);
    this.#lookAtIds(splice);
    return toClient;
  }

  #lookAtIds({ targetIds, clientIds }: Splice): void {
    if (targetIds === null || this.#idsTold) return;
    this.#idsTold = true;
    this.#options.onJoined(clientIds, targetIds);
  }

  /** To the target, in the client's place. */
  #say(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    for (const view of this.#relayed('client', bytes)) this.#pumps[0].send(view);
  }

  #relayed(from: RelaySide, bytes: Uint8Array): readonly Uint8Array[] {
    const { nowUs, monotonicUs, onEvent, onStep } = this.#options;
    const { forward, toServer, toClient, events } = this.#relay.step(from, bytes, nowUs());
    for (const view of toServer) this.#pumps[0].send(view);
    for (const view of toClient) this.#pumps[1].send(this.#forClient(view));
    this.#look(monotonicUs());
    for (const event of events) this.#on(event, onEvent);
    onStep();
    return forward;
  }

  /** Thrown further from here an error would end the process, and every recording with it. */
  #guarded<T>(work: () => T): T | null {
    try {
      return work();
    } catch (error) {
      const isPeers = error instanceof RelayViolation || error instanceof DecodeError;
      this.#options.onViolation(isPeers ? error.message : `the gateway failed: ${(error as Error).message}`);
      return null;
    }
  }

  #look(nowUs: number): void {
    const { inputs, shutdownRequests } = this.#relay.counters;
    if (inputs !== this.#inputsSeen) {
      this.#inputsSeen = inputs;
      this.lastInputUs = nowUs;
      this.#askedToEndUs = null;
    }
    if (shutdownRequests === this.#shutdownsSeen) return;
    this.#shutdownsSeen = shutdownRequests;
    this.#askedToEndUs = nowUs;
  }

  /**
   * A client whose user closes the window asks the server to end the session; one that is denied asks its user, and may close the
   * connection then without another word ([MS-RDPBCGR] 1.3.1.4.1). Who goes on working has changed their mind.
   */
  get isLeaving(): boolean {
    return this.#askedToEndUs !== null && this.#options.monotonicUs() - this.#askedToEndUs <= leavingUsMax;
  }

  #on(event: RelayEvent, onEvent: (event: RelayEvent) => void): void {
    if (event.kind === 'activated') {
      this.activated = true;
      this.#memory = null;
      this.#credentials = null;
    }
    // It is about to close, which is no end.
    if (event.kind === 'redirection') this.#isSentOn = !this.activated;
    onEvent(event);
    // The closing PDUs are in what this step forwards: they leave before the connection is closed.
    if (event.kind === 'ended') setImmediate(() => this.close());
  }

  #left(side: RelaySide): void {
    const isExpected = side === 'server' && this.#isSentOn;
    if (!this.#closed && !isExpected) this.#options.onLeft(side);
  }

  /** What another target needs to take the client over; null: it has a desktop already, or too little is known of it. */
  get successor(): { client: HeldClientState; credentials: TargetCredentials | null } | null {
    const { splice } = this.connection;
    const client = splice === null ? (this.#memory?.state ?? null) : splice.state;
    return this.activated || this.#closed || client === null ? null : { client, credentials: this.#credentials };
  }

  /** Another connection goes on with the client, whose peer is no longer this one's. */
  release(): void {
    this.#closed = true;
    if (this.#endTimer !== null) clearTimeout(this.#endTimer);
    for (const pump of this.#pumps) pump.stop();
    this.connection.target.end();
  }

  /** Shows a message over the desktop; false where nothing of the gateway's can be painted on it. */
  notify(title: string, text: string, seconds: number): boolean {
    return !this.#closed && this.activated && this.#notice.show(title, text, seconds);
  }

  hideNotice(): void {
    this.#notice.hide();
  }

  /** From the next PDU on `watch` says what of the client's input its target gets; null: all of it. */
  watchInput(watch: InputWatch | null): void {
    this.#relay.watchInput(watch);
  }

  /** Input of somebody who steers. */
  input(events: readonly FastPathInputEvent[]): void {
    if (this.#closed) return;
    this.#guarded(() => {
      for (const view of this.#relay.input(events, this.#options.nowUs())) this.#pumps[0].send(view);
    });
    this.#look(this.#options.monotonicUs());
    this.#options.onStep();
  }

  #makeNotice(): Notice {
    const nowUs = (): number => this.#options.nowUs();
    const send = (to: 0 | 1, views: readonly Uint8Array[]): void => {
      for (const view of views) this.#pumps[to].send(to === 0 ? view : this.#forClient(view));
    };
    return new Notice({
      canvas: () => this.#relay.canvas,
      drawnCount: () => this.#relay.counters.updates,
      paint: (updates) => void this.#guarded(() => send(1, this.#relay.paint(updates, nowUs()))),
      pipelineCanvas: () => this.#relay.pipelineCanvas,
      overlay: (picture) => void this.#guarded(() => send(1, this.#relay.overlay(picture, nowUs()))),
      refresh: () => void this.#guarded(() => send(0, this.#relay.refresh(nowUs()))),
    });
  }

  /**
   * Says goodbye to the client, with an error its user can read (0: none), and ends both connections; null just closes them. A
   * client that is not told goodbye takes the connection for lost and may try again by itself.
   */
  end(errorInfo: number | null): void {
    if (this.#endTimer !== null || this.#closed) return;
    this.#endTimer = setTimeout(() => this.close(), endWaitMs);
    if (errorInfo === null || this.connection.client.isClosed) {
      this.close();
      return;
    }
    const closing = this.#relay.end(errorInfo, this.#options.nowUs());
    if (closing !== null) this.#tellClient(closing);
    // Half a PDU is on its way to the client: the closing PDUs come behind it with the relay's `ended`.
    if (closing !== null || !this.#relay.isInsidePdu) this.close();
  }

  #tellClient(closing: Uint8Array): void {
    const { splice } = this.connection;
    this.#pumps[1].send(splice === null ? closing : splice.lastWords(closing));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#notice.stop();
    if (this.#endTimer !== null) clearTimeout(this.#endTimer);
    for (const pump of this.#pumps) pump.stop();
    this.connection.client.end();
    this.connection.target.end();
    this.#options.onClosed();
  }
}
