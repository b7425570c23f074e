/** One RDP session being relayed and recorded: over one connection, or several where it was lost on the way. */
import type {
  EndReason,
  JoinPolicy,
  RecorderReport,
  RecordingFact,
  RecordingStatistics,
  Refusal,
  SessionTicket,
  TargetCredentials,
} from '@lucid-sessions/contract';
import { clientInfoPdu, ErrorInfo, Protocol, Splice } from '@lucid-sessions/rdp';
import { encodeNote, frameFlags, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import type { FrameTap, RelayEvent, RelaySide } from '@lucid-sessions/relay';
import { attempt, decode } from '@lucid-sessions/wire';
import type { ClockCheck } from '../clock/clock-watch.ts';
import { SocketPeer } from '../peer/socket-peer.ts';
import { Turns } from '../peer/turns.ts';
import { securityName } from '../security-name.ts';
import type { Spool, SpoolSession } from '../spool/index.ts';
import { ipOf } from './door-limits.ts';
import type { ConnectFailure } from './failure.ts';
import type { ReadyConnection } from './ready-connection.ts';
import { type Followed, type Onward, onwardOf, redirectionsMax } from './redirection.ts';
import { RelayedConnection } from './relayed-connection.ts';
import { type JoinerLink, Steering } from './steering.ts';

export interface RecordedSessionOptions extends ReadyConnection {
  spool: Spool;
  recorderId: string;
  /** What the graphics pipeline draws is read, so that messages can be shown over it. */
  paintsPipeline: boolean;
  wallUs: () => number;
  /** Tells every session when the wall clock was set. */
  checkClock: () => void;
  report: (report: RecorderReport) => Promise<void>;
  /** The ticket, as strict as the host that was reached asks for. */
  bounded: (ticket: SessionTicket, host: string, targetAddress: string) => SessionTicket;
  /** The connections are ended and the recording is closed; chunks may still drain. */
  onEnded: () => void;
}

interface Ending {
  reason: EndReason;
  message: string;
  failed: boolean;
}

/** The connection was lost: the session goes on when its client comes back in time. */
interface Waiting {
  /** Wall clock. */
  lostUs: number;
  /** Since the session's start: its clock stands there, nothing happens. */
  atUs: number;
  untilUs: number;
  message: string;
  timer: NodeJS.Timeout;
}

/** A client that has been silent for so long may be one whose cable was pulled: its successor need not wait until TCP knows. */
const takeOverQuietMs = 15_000;
/** A client that comes and goes must not fill the facts of its manifest. */
const connectionsMax = 1000;

type Phase =
  /** It has a connection that is relayed. */
  | { kind: 'connected' }
  | ({ kind: 'waiting' } & Waiting)
  /** Why is known, and the first reason stays; what is on its way still passes. `stoodAtUs`: where its clock stands, when it had been waiting. */
  | { kind: 'ending'; ending: Ending; stoodAtUs: number | null }
  | { kind: 'ended'; stoodAtUs: number | null };

/** The last connection, and what is known of it alone; in phase `waiting` the one that was lost. */
interface Present {
  readonly relayed: RelayedConnection;
  info: Partial<Extract<GatewayNote, { type: 'client' }>>;
  errorInfo: string | null;
  updatesSeen: number;
  /** A peer says the same as often as it likes, and each report is written down. */
  readonly told: Set<string>;
}

/** What the connections before it came to. */
interface Earlier {
  bytes: number;
  updates: number;
  unread: number;
  unknownChannels: ReadonlyMap<string, number>;
}

/** Who asks again and again must not fill the facts of its manifest. */
const steeringsMax = 200;
const clockTellUs = 3_600_000_000;

const lostReason = 'connection_lost';
/** Names of channels that one session is told of. */
const unknownNamesMax = 256;

export class RecordedSession {
  readonly sessionId: string;
  readonly startedUs: number;
  readonly #options: RecordedSessionOptions;
  readonly #spool: SpoolSession;
  readonly #tap: FrameTap;
  #client: Turns;
  #redirectionsCount = 0;
  #phase: Phase = { kind: 'connected' };
  #present: Present;
  #connectionsCount = 0;
  #earlier: Earlier = { bytes: 0, updates: 0, unread: 0, unknownChannels: new Map() };
  #paused: { fromUs: number; framesLost: number } | null = null;
  #clockTold: ClockCheck | null = null;
  #steering: Steering | null = null;
  #steeringsCount = 0;
  readonly #counts = { frames: 0, framesLost: 0, errors: 0, droppedSeen: 0 };
  /** Its chunks are refused. */
  #isUnstorable = false;
  readonly #whenEnded = Promise.withResolvers<void>();

  constructor(options: RecordedSessionOptions) {
    const { ticket, spool } = options;
    this.#options = options;
    this.sessionId = ticket.sessionId;
    this.startedUs = options.wallUs();
    this.#spool = spool.open(
      ticket.sessionId,
      {
        onFailed: (_, message, fromUs) => {
          this.#openGap(fromUs, message);
          this.#recordingFailed(message);
        },
        onGap: ({ fromUs, toUs, framesLost, reason }) => this.#gap(fromUs, toUs, framesLost, reason),
      },
      ticket.recordingNumber,
    );
    this.#tap = this.#makeTap();
    this.#client = new Turns(options.client);
    this.#present = this.#presentOf(options);
  }

  /** As of this recording: another one of its session may have begun elsewhere meanwhile. */
  #report(said: RecorderReport): void {
    const { recordingNumber } = this.#options.ticket;
    void this.#options.report(recordingNumber === undefined ? said : { ...said, recordingNumber });
  }

  /** Begins to relay. What has come already may end the session before this returns. */
  start(): void {
    this.#connectionsCount += 1;
    const { sessionId, startedUs: atUs } = this;
    const { recorderId } = this.#options;
    this.#report({ kind: 'started', sessionId, atUs, recorderId, ...namesOf(this.#options) });
    this.#begin(atUs);
  }

  get statistics(): RecordingStatistics {
    const { bytes, updates } = this.#present.relayed.counters;
    return {
      framesCount: this.#counts.frames,
      relayedBytes: this.#earlier.bytes + bytes,
      framesDropped: this.#counts.framesLost + this.#spool.batch.framesDropped,
      errorsCount: this.#counts.errors,
      durationUs: this.#nowUs(),
      updatesCount: this.#earlier.updates + updates,
    };
  }

  /** What was recorded without being understood: PDUs that could not be read, and those of the client on unknown channels, by name. */
  get unread(): { pdus: number; channels: ReadonlyMap<string, number> } {
    const { relayed } = this.#present;
    const { unread } = relayed.counters;
    const channels = added(this.#earlier.unknownChannels, relayed.unknownChannels);
    return { pdus: this.#earlier.unread + unread, channels };
  }

  get isPaused(): boolean {
    return this.#paused !== null;
  }

  /** It has no connection; its client may come back. */
  get isWaiting(): boolean {
    return this.#phase.kind === 'waiting';
  }

  /** Monotonic, µs: how long the present connection has been connecting; null when it has a desktop, or when there is none. */
  get connectingSinceUs(): number | null {
    const { relayed } = this.#present;
    return relayed.activated || this.isWaiting ? null : relayed.begunUs;
  }

  /** Monotonic, µs: when its user last did something. */
  get lastInputUs(): number {
    return this.#present.relayed.lastInputUs;
  }

  /** Resolves when both connections are ended and the recording is closed. */
  get whenEnded(): Promise<void> {
    return this.#whenEnded.promise;
  }

  /** Resolves when all that was recorded so far is durable. */
  durable(): Promise<void> {
    return this.#spool.durable();
  }

  /** µs since the session's start; the clock stands while nobody is connected. */
  #nowUs(): number {
    const phase = this.#phase;
    const stoodAtUs = phase.kind === 'waiting' ? phase.atUs : phase.kind === 'connected' ? null : phase.stoodAtUs;
    return stoodAtUs ?? this.#spool.nowUs();
  }

  #presentOf(connection: ReadyConnection): Present {
    const { spool } = this.#options;
    const relayed = new RelayedConnection({
      connection: { ...connection, client: this.#client.next() },
      tap: this.#tap,
      paintsPipeline: this.#options.paintsPipeline,
      nowUs: () => this.#nowUs(),
      monotonicUs: () => spool.monotonicUs(),
      hasRoom: () => spool.hasRoom,
      onEvent: (event) => this.#on(event),
      onJoined: (client, target) => this.#note({ type: 'joined', client, target }),
      onStep: () => this.#count(),
      onViolation: (message) => {
        this.#counts.errors += 1;
        const ending: Ending = { reason: 'protocol_violation', message, failed: true };
        this.#end(ending, ErrorInfo.serverDeniedConnection.code);
      },
      onLeft: (side) => this.#left(side),
      onClosed: () => this.#connectionClosed(),
    });
    // The connection relayed is a copy: nobody else keeps them.
    connection.credentials = null;
    return { relayed, info: {}, errorInfo: null, updatesSeen: 0, told: new Set() };
  }

  /** What the recording says of the connection, and its first frames; then it is relayed. */
  #begin(atUs: number): void {
    const { clientAddress, clientTls, targetAddress, beforeTls, facts } = this.#present.relayed.connection;
    const connected = { atUs, clientAddress, targetAddress, ...(clientTls === '' ? {} : { tls: clientTls }) };
    this.#fact({ kind: 'connected', ...connected });
    this.#note({ type: 'connected', ...connected });
    for (const { fromServer, bytes, flags } of beforeTls) {
      const direction = fromServer ? frameFlags.serverToClient : 0;
      this.#tap.frame(frameKinds.pdu, direction | frameFlags.beforeTls | flags, 0, bytes, this.#nowUs());
    }
    for (const fact of facts) {
      this.#fact(fact);
      if (fact.kind === 'target_certificate') {
        const { atUs: _at, kind: _kind, ...certificate } = fact;
        this.#note({ type: 'target_certificate', ...certificate });
      }
      if (fact.kind === 'approval') this.#note({ type: 'approval', by: fact.by, reason: fact.reason });
      if (fact.kind === 'consent') this.#note({ type: 'consent', textSha256: fact.textSha256, user: fact.user });
      if (fact.kind === 'client_logon') {
        const { atUs: _at, kind: _kind, ...logon } = fact;
        this.#note({ type: 'client_logon', ...logon });
      }
      if (fact.kind === 'target_logon') {
        const { atUs: _at, kind: _kind, ...logon } = fact;
        this.#note({ type: 'target_logon', ...logon });
      }
      if (fact.kind === 'downgrade') this.#note({ type: 'downgrade', what: fact.what });
    }
    this.#present.relayed.start();
  }

  /** Frames go to the spool, or nowhere while the recording is paused. */
  #makeTap(): FrameTap {
    const { batch } = this.#spool;
    // PDUs that began while paused are not recorded to their end.
    const dropping: [boolean, boolean] = [false, false];
    return {
      frame: (kind, flags, channelId, bytes, timeUs) => {
        if (this.#paused !== null) {
          this.#paused.framesLost += 1;
          return;
        }
        this.#counts.frames += 1;
        batch.frame(kind, flags, channelId, bytes, timeUs);
      },
      begin: (flags, channelId, length, timeUs) => {
        const direction = flags & 1 ? 1 : 0;
        dropping[direction] = this.#paused !== null;
        if (this.#paused !== null) {
          this.#paused.framesLost += 1;
          return;
        }
        this.#counts.frames += 1;
        batch.begin(flags, channelId, length, timeUs);
      },
      fill: (direction, bytes) => {
        if (!dropping[direction]) batch.fill(direction, bytes);
      },
    };
  }

  #count(): void {
    const { batch } = this.#spool;
    const present = this.#present;
    const { updates } = present.relayed.counters;
    batch.updatesCount += updates - present.updatesSeen;
    present.updatesSeen = updates;
    if (batch.framesDropped === this.#counts.droppedSeen) return;
    this.#counts.droppedSeen = batch.framesDropped;
    // The spool had no room although reading had been stopped in time: as bad as a disk that fails.
    this.#recordingFailed('the spool could not keep up');
  }

  #on(event: RelayEvent): void {
    switch (event.kind) {
      case 'client': {
        const { kind: _, ...client } = event;
        const { selectedProtocol } = this.#present.relayed.connection;
        this.#present.info = { ...client, security: securityName(selectedProtocol) };
        return;
      }
      case 'client_info': {
        if (!this.#isNews('client_info')) return;
        const clientUser = event.domain === '' ? event.userName : `${event.domain}\\${event.userName}`;
        const said = { clientName: this.#present.info.clientName ?? null, clientUser: clientUser || null };
        const { sessionId } = this;
        this.#report({ kind: 'client', sessionId, atUs: this.#options.wallUs(), ...said });
        return;
      }
      case 'channels':
        this.#note({ type: 'client', ...this.#present.info, channels: event.channels } as GatewayNote);
        return;
      case 'downgrade':
        if (!this.#isNews(event.what)) return;
        this.#fact({ kind: 'downgrade', atUs: this.#options.wallUs(), what: event.what });
        this.#note({ type: 'downgrade', what: event.what });
        return;
      case 'policy':
        if (!this.#isNews(event.what)) return;
        this.#fact({ kind: 'policy', atUs: this.#options.wallUs(), what: event.what, count: event.count });
        this.#note({ type: 'policy', what: event.what });
        return;
      case 'error_info':
        this.#present.errorInfo = event.text;
        return;
      case 'redirection': {
        // After the bytes of this step are on their way.
        setImmediate(() => void this.#follow(event));
        return;
      }
      case 'disconnect':
        this.#setEnding(left(event.from, this.#present.errorInfo));
    }
  }

  /** The first time on this connection. Bounded: what is told is one of a few. */
  #isNews(what: string): boolean {
    const { told } = this.#present;
    const isNews = !told.has(what);
    told.add(what);
    return isNews;
  }

  /** What was refused again after it had been told: counted when its connection is over. */
  #tellRefusals(): void {
    const atUs = this.#options.wallUs();
    for (const [what, count] of this.#present.relayed.refusals)
      if (count > 1) this.#fact({ kind: 'policy', atUs, what, count: count - 1 });
  }

  #note(note: GatewayNote): void {
    this.#counts.frames += 1;
    this.#spool.batch.frame(frameKinds.note, 0, 0, encodeNote(note), this.#nowUs());
  }

  #fact(fact: RecordingFact): void {
    this.#report({ kind: 'fact', sessionId: this.sessionId, fact });
  }

  #gap(fromUs: number, toUs: number, framesLost: number, reason: string): void {
    this.#counts.framesLost += framesLost;
    this.#fact({ kind: 'gap', fromUs, toUs, framesLost, reason });
    if (this.#phase.kind !== 'ended') this.#note({ type: 'gap', fromUs, toUs, framesLost, reason });
  }

  /** Told when it begins, to where another disk may keep it: a recorder that dies in it can't tell its end. */
  #openGap(fromUs: number, reason: string): void {
    this.#fact({ kind: 'gap', fromUs, toUs: null, framesLost: 0, reason });
  }

  /** What was recorded stays in the spool, where nobody can see it: going on would be recording for nobody. */
  unstorable(message: string): void {
    if (this.#isUnstorable) return;
    this.#isUnstorable = true;
    this.#recordingFailed(message);
  }

  #recordingFailed(message: string): void {
    this.#counts.errors += 1;
    if (this.#options.ticket.persistence === 'best_effort') return;
    const reason = 'recording_not_persisted';
    const text = `the session was ended because its recording could not be stored: ${message}`;
    this.#end({ reason, message: text, failed: true }, ErrorInfo.outOfMemory.code);
  }

  // ---- connections that are lost, and their successors

  /** A peer's side is closed. One that said goodbye or asked to end, or that the gateway sent away, has left; a client that did not was lost. */
  #left(side: RelaySide): void {
    const { reconnectSeconds } = this.#options.ticket;
    const { relayed, errorInfo } = this.#present;
    const mayComeBack = reconnectSeconds > 0 && this.#connectionsCount < connectionsMax && !relayed.isLeaving;
    const isRunning = this.#phase.kind === 'connected';
    if (isRunning && side === 'client' && mayComeBack) this.#lose("the client's connection was lost", null);
    // A client that nobody tells would try again and again.
    else this.#end(left(side, errorInfo), isRunning && side === 'server' ? ErrorInfo.none.code : null);
  }

  #lose(message: string, errorInfo: number | null): Waiting {
    const { reconnectSeconds } = this.#options.ticket;
    const lostUs = this.#options.wallUs();
    const timer = setTimeout(() => this.#expired(), reconnectSeconds * 1000);
    const untilUs = lostUs + reconnectSeconds * 1_000_000;
    const { relayed } = this.#present;
    this.#steering?.end('the session’s connection was lost');
    // What the gateway says to the old client comes before the clock stands.
    relayed.end(errorInfo);
    relayed.close();
    const atUs = this.#spool.nowUs();
    // What has not arrived whole is no frame.
    this.#counts.frames -= this.#spool.batch.finish(atUs);
    const waiting: Waiting & { kind: 'waiting' } = { kind: 'waiting', lostUs, atUs, untilUs, message, timer };
    this.#phase = waiting;
    // The chunk that ends here need not wait for the client.
    this.#spool.rotate(false);
    this.#report({ kind: 'lost', sessionId: this.sessionId, atUs: lostUs, untilUs, message });
    return waiting;
  }

  #expired(): void {
    const { reconnectSeconds } = this.#options.ticket;
    const why = this.#phase.kind === 'waiting' ? this.#phase.message : 'the connection was lost';
    const message = `${why} and it did not come back within ${reconnectSeconds} seconds`;
    this.#end({ reason: 'client_disconnected', message, failed: false }, null);
  }

  /**
   * Why a connection from this address may not continue the session; null: it may. One client at a time: while one is there,
   * a second one is refused, unless it comes from the same address and the first has been silent long enough to be dead.
   */
  whyNotReconnect(clientAddress: string): Refusal | null {
    if (this.#phase.kind === 'ending' || this.#phase.kind === 'ended')
      return { code: 'not_startable', message: 'this session is over; create a new one' };
    if (this.#connectionsCount >= connectionsMax)
      return { code: 'not_startable', message: 'this session was reconnected too often; create a new one' };
    if (this.#phase.kind === 'waiting') return null;
    const { connection, lastHeardUs } = this.#present.relayed;
    const quietMs = (this.#options.spool.monotonicUs() - lastHeardUs) / 1000;
    // Without its port: a client comes back from another one.
    const isSuccessor = ipOf(connection.clientAddress) === ipOf(clientAddress) && quietMs >= takeOverQuietMs;
    const { reconnectSeconds } = this.#options.ticket;
    if (isSuccessor && reconnectSeconds > 0) return null;
    return { code: 'in_use', message: 'this session has a connection already' };
  }

  /** A connection is about to continue the session: the window stays open for it for `waitMs`. */
  expectClient(waitMs: number): void {
    const waiting = this.#phase;
    if (waiting.kind !== 'waiting') return;
    const leftMs = (waiting.untilUs - this.#options.wallUs()) / 1000;
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => this.#expired(), Math.max(leftMs, waitMs, 0));
  }

  /** Goes on over another connection. Answers why not, where something else was faster. */
  reconnect(connection: ReadyConnection): Refusal | null {
    const why = this.whyNotReconnect(connection.clientAddress);
    if (why !== null) return why;
    const { lostUs, timer } =
      this.#phase.kind === 'waiting'
        ? this.#phase
        : this.#lose('another connection of the same client took over', ErrorInfo.disconnectedByOtherConnection.code);
    clearTimeout(timer);
    this.#tellRefusals();
    this.#addUp();
    this.#phase = { kind: 'connected' };
    const atUs = this.#options.wallUs();
    this.#gap(lostUs, atUs, 0, lostReason);
    this.#report({ kind: 'reconnected', sessionId: this.sessionId, atUs, ...namesOf(connection) });
    this.#client = new Turns(connection.client);
    this.#present = this.#presentOf(connection);
    this.#connectionsCount += 1;
    this.#begin(atUs);
    return null;
  }

  /** What the connection that is over came to. */
  #addUp(): void {
    const { relayed } = this.#present;
    const { bytes, updates, unread } = relayed.counters;
    const earlier = this.#earlier;
    this.#earlier = {
      bytes: earlier.bytes + bytes,
      updates: earlier.updates + updates,
      unread: earlier.unread + unread,
      unknownChannels: added(earlier.unknownChannels, relayed.unknownChannels),
    };
  }

  // ---- targets that send the client on

  async #follow({ target, redirection }: Extract<RelayEvent, { kind: 'redirection' }>): Promise<void> {
    const { relayed } = this.#present;
    const { successor } = relayed;
    const onward = redirection === null ? 'in a way that is not understood' : onwardOf(redirection);
    this.#redirectionsCount += 1;
    if (successor === null) this.#endSentOn(target, 'when it had a desktop already');
    else if (typeof onward === 'string') this.#endSentOn(target, onward);
    else if (this.#redirectionsCount > redirectionsMax) this.#endSentOn(target, 'once too often');
    else await this.#goTo(relayed, successor, onward);
  }

  #endSentOn(target: string, how: string): void {
    const message = `the target sent the client on to ${target}, past the recording, ${how}; record that host instead`;
    this.#end({ reason: 'protocol_violation', message, failed: true }, ErrorInfo.cbRedirectingToDestination.code);
  }

  async #goTo(relayed: RelayedConnection, successor: Successor, onward: Onward): Promise<void> {
    const { connection } = relayed;
    const gone = new AbortController();
    void connection.client.left.then(() => gone.abort());
    // What a client logged on to the gateway with is no target's business.
    const own = connection.hasLoggedOn ? null : credentialsOf(successor.client.clientInfo);
    // Whom a redirection logged on by RDSTLS is nobody elsewhere, and has no password.
    const isByRdstls = relayed.connection.selectedProtocol === Protocol.rdstls;
    const credentials = isByRdstls ? null : (successor.credentials ?? own);
    try {
      const followed = await connection.follow(onward, credentials, gone.signal);
      // It may have ended meanwhile, or another client may have come.
      if (this.#phase.kind === 'connected' && this.#present.relayed === relayed && !gone.signal.aborted)
        this.#moveOn(relayed, successor, onward, followed);
      else followed.socket.destroy();
    } catch (error) {
      const { message, errorInfo } = error as ConnectFailure;
      // Who leaves meanwhile is the old connection's to tell.
      if (!gone.signal.aborted) this.#end({ reason: 'target_unreachable', message, failed: true }, errorInfo);
    }
  }

  /** The same session goes on at another target, whose connection begins like every other; the client notices nothing. */
  #moveOn(relayed: RelayedConnection, { client, credentials }: Successor, onward: Onward, followed: Followed): void {
    const { host, target, socket, facts } = followed;
    const { hello, address } = target;
    const atUs = this.#options.wallUs();
    const how = onward.rdstls === null ? '' : ' by RDSTLS';
    const what = `the target sent the client on${how}, and the gateway followed: ${relayed.connection.targetAddress} to ${address}`;
    this.#tellRefusals();
    this.#addUp();
    const { told } = this.#present;
    this.#present = this.#presentOf({
      ...relayed.connection,
      ticket: this.#options.bounded(relayed.connection.ticket, host, address),
      target: new SocketPeer(socket),
      splice: new Splice(client),
      targetAddress: address,
      credentials: onward.logon ?? credentials,
      beforeTls: [
        { fromServer: false, bytes: hello.request, flags: frameFlags.deliveredOnly },
        { fromServer: true, bytes: hello.confirm, flags: frameFlags.receivedOnly },
      ],
      selectedProtocol: hello.selectedProtocol,
      facts: [...facts, { kind: 'downgrade', atUs, what }],
    });
    for (const each of told) this.#present.told.add(each);
    relayed.release();
    this.#begin(atUs);
  }

  /** The present connection never came to a desktop. The session goes on waiting where it had one before. */
  giveUpConnecting(message: string): void {
    if (this.#connectionsCount > 1 && this.#phase.kind === 'connected')
      this.#lose(message, ErrorInfo.logonTimeout.code);
    else void this.stop('handshake_timeout', message, true);
  }

  // ---- what the API asks for

  /** Ends the session with an error its user can read; the first reason stays. */
  stop(reason: EndReason, message: string, failed = false): Promise<void> {
    const code =
      reason === 'idle_timeout'
        ? ErrorInfo.idleTimeout.code
        : reason === 'handshake_timeout'
          ? ErrorInfo.logonTimeout.code
          : ErrorInfo.rpcInitiatedDisconnect.code;
    this.#end({ reason, message, failed }, code);
    return this.#whenEnded.promise;
  }

  /** Tells its user something, in their desktop. Why not, where it can't be shown; a fact where it is. */
  message(from: string, text: string, seconds: number): string | null {
    if (this.#phase.kind !== 'connected') return 'nobody is connected to the session now';
    const isShown = this.#present.relayed.notify(`${from}:`, text, seconds);
    if (!isShown)
      return 'it can not be shown in this session: it has no desktop yet, or its graphics pipeline draws the desktop and is not read (RDP_GRAPHICS_NOTICES, leave_in; graphics classic does without it)';
    this.#note({ type: 'message', from, text });
    return null;
  }

  /** Why nobody can steer it now; null: somebody may ask. */
  get steerProblem(): string | null {
    if (this.#joinPolicy === 'off') return 'nobody may steer this session (RDP_JOIN, or its own policy)';
    if (this.#phase.kind !== 'connected' || !this.#present.relayed.activated) return 'nobody works in the session now';
    if (this.#steering !== null) return 'somebody else steers it, or asks to';
    return this.#steeringsCount < steeringsMax ? null : 'this session was asked for too often';
  }

  get #joinPolicy(): JoinPolicy {
    return this.#present.relayed.connection.ticket.join ?? 'off';
  }

  /** Somebody wants to; the link is told how it goes. Null, with the link told why, where nobody can. */
  steer(by: string, link: JoinerLink): Steering | null {
    const problem = this.steerProblem;
    const policy = this.#joinPolicy;
    if (problem !== null || policy === 'off') {
      link.tell('refused', problem ?? '');
      link.end();
      return null;
    }
    const { relayed } = this.#present;
    const steering = new Steering({
      by,
      policy,
      link,
      show: (title, text, seconds) => relayed.notify(title, text, seconds),
      hide: () => relayed.hideNotice(),
      watch: (watch) => relayed.watchInput(watch),
      input: (events) => relayed.input(events),
      note: (note) => this.#note(note),
      fact: (fact) => this.#fact(fact),
      wallUs: () => this.#options.wallUs(),
      monotonicUs: () => this.#options.spool.monotonicUs(),
      onOver: () => {
        this.#steering = null;
      },
    });
    this.#steering = steering;
    this.#steeringsCount += 1;
    steering.begin();
    return steering;
  }

  pause(): number {
    const atUs = this.#options.wallUs();
    if (this.#paused !== null) return this.#paused.fromUs;
    this.#note({ type: 'pause', atUs });
    this.#spool.rotate(false);
    this.#paused = { fromUs: atUs, framesLost: 0 };
    this.#fact({ kind: 'pause', fromUs: atUs, toUs: null });
    this.#openGap(atUs, 'paused');
    this.#report({ kind: 'paused', sessionId: this.sessionId, atUs });
    return atUs;
  }

  resume(): number {
    const atUs = this.#options.wallUs();
    if (this.#paused === null) return atUs;
    const { fromUs, framesLost } = this.#paused;
    this.#paused = null;
    this.#spool.rotate(true);
    this.#note({ type: 'resume', atUs });
    this.#fact({ kind: 'pause', fromUs, toUs: atUs });
    this.#gap(fromUs, atUs, framesLost, 'paused');
    this.#report({ kind: 'resumed', sessionId: this.sessionId, atUs });
    return atUs;
  }

  /** Told at the beginning, each hour, and when the clock is further off than before by more than either may be wrong. */
  clockCompared(check: ClockCheck): void {
    const { atUs, offsetUs, errorUs } = check;
    const before = this.#clockTold;
    const isNews =
      before === null ||
      atUs - before.atUs >= clockTellUs ||
      (offsetUs === null) !== (before.offsetUs === null) ||
      Math.abs((offsetUs ?? 0) - (before.offsetUs ?? 0)) > (errorUs ?? 0) + (before.errorUs ?? 0);
    if (!isNews) return;
    this.#clockTold = check;
    this.#fact({ kind: 'clock_check', ...check });
  }

  clockStepped(stepUs: number): void {
    const atUs = this.#options.wallUs();
    this.#fact({ kind: 'clock_step', atUs, stepUs });
    this.#note({ type: 'clock_step', atUs, stepUs });
  }

  progress(): void {
    this.#report({ kind: 'progress', sessionId: this.sessionId, statistics: this.statistics });
  }

  // ---- the end

  #setEnding(ending: Ending): void {
    this.#steering?.end('the session ended');
    const phase = this.#phase;
    if (phase.kind === 'connected') this.#phase = { kind: 'ending', ending, stoodAtUs: null };
    if (phase.kind !== 'waiting') return;
    clearTimeout(phase.timer);
    // The clock goes on standing: what is said of the end belongs to the moment the client was lost.
    this.#phase = { kind: 'ending', ending, stoodAtUs: phase.atUs };
  }

  #end(ending: Ending, errorInfo: number | null): void {
    this.#setEnding(ending);
    const phase = this.#phase;
    if (phase.kind !== 'ending') return;
    if (phase.stoodAtUs === null) this.#present.relayed.end(errorInfo);
    else this.#close(phase);
  }

  #connectionClosed(): void {
    // One that was lost is closed too, and ends nothing.
    if (this.#phase.kind === 'ending') this.#close(this.#phase);
  }

  #close({ ending, stoodAtUs }: Extract<Phase, { kind: 'ending' }>): void {
    this.#phase = { kind: 'ended', stoodAtUs };
    const { onEnded } = this.#options;
    // A step since the last look would date the end before what came before it, without a word.
    this.#options.checkClock();
    const atUs = this.#options.wallUs();
    this.#tellRefusals();
    this.#closePause(atUs);
    this.#note({ type: 'ended', atUs, reason: ending.reason, message: ending.message.slice(0, 4000) });
    const { statistics } = this;
    this.#spool.end({ atUs, ...ending, statistics });
    this.#report({ kind: 'ended', sessionId: this.sessionId, atUs, ...ending, statistics });
    onEnded();
    this.#whenEnded.resolve();
  }

  #closePause(atUs: number): void {
    if (this.#paused === null) return;
    const { fromUs, framesLost } = this.#paused;
    this.#paused = null;
    this.#fact({ kind: 'pause', fromUs, toUs: atUs });
    this.#gap(fromUs, atUs, framesLost, 'paused');
  }
}

type Successor = NonNullable<RelayedConnection['successor']>;

/** What the client would log on with by itself; null where it has no password. */
function credentialsOf(clientInfo: Uint8Array): TargetCredentials | null {
  const info = attempt(() => decode(clientInfoPdu, clientInfo).info);
  if (info === null || info.userName === '' || info.password === '') return null;
  return { username: info.userName, domain: info.domain, password: info.password };
}

function added(known: ReadonlyMap<string, number>, more: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const all = new Map(known);
  for (const [name, count] of more)
    if (all.has(name) || all.size < unknownNamesMax) all.set(name, (all.get(name) ?? 0) + count);
  return all;
}

const namesOf = ({ connectionId, clientAddress, targetAddress }: ReadyConnection) => ({
  connectionId,
  clientAddress,
  targetAddress,
});

function left(side: RelaySide, errorInfo: string | null): Ending {
  if (side === 'client') return { reason: 'client_disconnected', message: 'the client disconnected', failed: false };
  const why = errorInfo === null ? '' : `: ${errorInfo}`;
  return { reason: 'server_disconnected', message: `the target ended the session${why}`, failed: false };
}
