/** One RDP session being relayed and recorded: over one connection, or several where it was lost on the way. */
import type { EndReason, RecorderReport, RecordingFact, RecordingStatistics, Refusal } from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { encodeNote, frameFlags, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import type { FrameTap, RelayEvent, RelaySide } from '@lucid-sessions/relay';
import type { Spool, SpoolSession } from '../spool/index.ts';
import type { ReadyConnection } from './connection.ts';
import { ipOf } from './door-limits.ts';
import { RelayedConnection } from './relayed-connection.ts';

export interface RecordedSessionOptions extends ReadyConnection {
  spool: Spool;
  recorderId: string;
  wallUs: () => number;
  /** Tells every session when the wall clock was set. */
  checkClock: () => void;
  report: (report: RecorderReport) => Promise<void>;
  /** The sockets are closed and the recording is closed; chunks may still drain. */
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

const lostReason = 'connection_lost';
const noCounters = { bytes: 0, updates: 0, unread: 0 };
/** Names of channels that one session is told of. */
const unknownNamesMax = 256;

export class RecordedSession {
  readonly sessionId: string;
  readonly startedUs: number;
  readonly #options: RecordedSessionOptions;
  readonly #spool: SpoolSession;
  readonly #tap: FrameTap;
  /** The last connection; while `#waiting` is set, the one that was lost. */
  #connection: RelayedConnection;
  #connectionsCount = 0;
  /** Of the connections before it. */
  #earlier = noCounters;
  #unknown: ReadonlyMap<string, number> = new Map();
  #waiting: Waiting | null = null;
  #paused: { fromUs: number; framesLost: number } | null = null;
  #framesCount = 0;
  #framesLost = 0;
  #errorsCount = 0;
  #updatesSeen = 0;
  #droppedSeen = 0;
  #ending: Ending | null = null;
  #ended = false;
  /** Why its chunks are refused; null while they are stored. */
  #unstorable: string | null = null;
  #errorInfo: string | null = null;
  readonly #whenEnded: Promise<void>;
  #resolveEnded: () => void = () => {};
  #info: Partial<Extract<GatewayNote, { type: 'client' }>> = {};
  /** What was told of the present connection: a peer says the same as often as it likes, and each report is written down. */
  readonly #told = new Set<string>();

  constructor(options: RecordedSessionOptions) {
    const { ticket, spool } = options;
    this.#options = options;
    this.sessionId = ticket.sessionId;
    this.startedUs = options.wallUs();
    this.#whenEnded = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#spool = spool.open(ticket.sessionId, {
      onFailed: (_, message, fromUs) => {
        this.#openGap(fromUs, message);
        this.#recordingFailed(message);
      },
      onGap: ({ fromUs, toUs, framesLost, reason }) => this.#gap(fromUs, toUs, framesLost, reason),
    });
    this.#tap = this.#makeTap();
    this.#connection = this.#relayed(options);
  }

  /** Begins to relay. What has come already may end the session before this returns. */
  start(): void {
    const { sessionId, startedUs: atUs } = this;
    const { recorderId } = this.#options;
    void this.#options.report({ kind: 'started', sessionId, atUs, recorderId, ...namesOf(this.#options) });
    this.#begin(atUs);
  }

  get statistics(): RecordingStatistics {
    const { bytes, updates } = this.#connection.counters;
    return {
      framesCount: this.#framesCount,
      relayedBytes: this.#earlier.bytes + bytes,
      framesDropped: this.#framesLost + this.#spool.batch.framesDropped,
      errorsCount: this.#errorsCount,
      durationUs: this.#nowUs(),
      updatesCount: this.#earlier.updates + updates,
    };
  }

  /** What was recorded without being understood: PDUs that could not be read, and those of the client on unknown channels, by name. */
  get unread(): { pdus: number; channels: ReadonlyMap<string, number> } {
    const { unread } = this.#connection.counters;
    const channels = added(this.#unknown, this.#connection.unknownChannels);
    return { pdus: this.#earlier.unread + unread, channels };
  }

  get isPaused(): boolean {
    return this.#paused !== null;
  }

  /** It has no connection; its client may come back. */
  get isWaiting(): boolean {
    return this.#waiting !== null;
  }

  /** Monotonic, µs: how long the present connection has been connecting; null when it has a desktop, or when there is none. */
  get connectingSinceUs(): number | null {
    return this.#connection.activated || this.#waiting !== null ? null : this.#connection.begunUs;
  }

  /** Monotonic, µs: when its user last did something. */
  get lastInputUs(): number {
    return this.#connection.lastInputUs;
  }

  /** Resolves when both sockets are let go and the recording is closed. */
  get whenEnded(): Promise<void> {
    return this.#whenEnded;
  }

  /** Resolves when all that was recorded so far is durable. */
  durable(): Promise<void> {
    return this.#spool.durable();
  }

  /** µs since the session's start; the clock stands while nobody is connected. */
  #nowUs(): number {
    return this.#waiting?.atUs ?? this.#spool.nowUs();
  }

  #relayed(connection: ReadyConnection): RelayedConnection {
    const { spool } = this.#options;
    const relayed = new RelayedConnection({
      connection,
      tap: this.#tap,
      nowUs: () => this.#nowUs(),
      monotonicUs: () => spool.monotonicUs(),
      hasRoom: () => spool.hasRoom,
      onEvent: (event) => this.#on(event),
      onStep: () => this.#count(relayed),
      onViolation: (message) => {
        this.#errorsCount += 1;
        const ending: Ending = { reason: 'protocol_violation', message, failed: true };
        this.#end(ending, ErrorInfo.serverDeniedConnection.code);
      },
      onLeft: (side) => this.#left(side),
      onClosed: () => this.#connectionClosed(),
    });
    return relayed;
  }

  /** What the recording says of the connection, and its first frames; then it is relayed. */
  #begin(atUs: number): void {
    const { clientAddress, clientTls, targetAddress, beforeTls, facts } = this.#connection.connection;
    this.#connectionsCount += 1;
    this.#updatesSeen = 0;
    this.#errorInfo = null;
    this.#info = {};
    this.#told.clear();
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
      if (fact.kind === 'downgrade') this.#note({ type: 'downgrade', what: fact.what });
    }
    this.#connection.start();
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
        this.#framesCount += 1;
        batch.frame(kind, flags, channelId, bytes, timeUs);
      },
      begin: (flags, channelId, length, timeUs) => {
        const direction = flags & 1 ? 1 : 0;
        dropping[direction] = this.#paused !== null;
        if (this.#paused !== null) {
          this.#paused.framesLost += 1;
          return;
        }
        this.#framesCount += 1;
        batch.begin(flags, channelId, length, timeUs);
      },
      fill: (direction, bytes) => {
        if (!dropping[direction]) batch.fill(direction, bytes);
      },
    };
  }

  #count({ counters }: RelayedConnection): void {
    const { batch } = this.#spool;
    batch.updatesCount += counters.updates - this.#updatesSeen;
    this.#updatesSeen = counters.updates;
    if (batch.framesDropped === this.#droppedSeen) return;
    this.#droppedSeen = batch.framesDropped;
    // The spool had no room although reading had been stopped in time: as bad as a disk that fails.
    this.#recordingFailed('the spool could not keep up');
  }

  #on(event: RelayEvent): void {
    switch (event.kind) {
      case 'client': {
        const { kind: _, ...client } = event;
        this.#info = { ...client, security: this.#connection.connection.selectedProtocol === 0 ? 'rdp' : 'tls' };
        return;
      }
      case 'client_info': {
        if (!this.#isNews('client_info')) return;
        const clientUser = event.domain === '' ? event.userName : `${event.domain}\\${event.userName}`;
        const said = { clientName: this.#info.clientName ?? null, clientUser: clientUser || null };
        const { sessionId } = this;
        void this.#options.report({ kind: 'client', sessionId, atUs: this.#options.wallUs(), ...said });
        return;
      }
      case 'channels':
        this.#note({ type: 'client', ...this.#info, channels: event.channels } as GatewayNote);
        return;
      case 'downgrade':
        if (!this.#isNews(event.what)) return;
        this.#fact({ kind: 'downgrade', atUs: this.#options.wallUs(), what: event.what });
        this.#note({ type: 'downgrade', what: event.what });
        return;
      case 'error_info':
        this.#errorInfo = event.text;
        return;
      case 'redirection': {
        const message = `the target sent the client on to ${event.target}, past the recording; record that host instead`;
        const ending: Ending = { reason: 'protocol_violation', message, failed: true };
        // After the bytes of this step are on their way.
        setImmediate(() => this.#end(ending, ErrorInfo.cbRedirectingToDestination.code));
        return;
      }
      case 'disconnect':
        this.#ending ??= left(event.from, this.#errorInfo);
    }
  }

  /** The first time on this connection. Bounded: what is told is one of a few. */
  #isNews(what: string): boolean {
    const isNews = !this.#told.has(what);
    this.#told.add(what);
    return isNews;
  }

  #note(note: GatewayNote): void {
    this.#framesCount += 1;
    this.#spool.batch.frame(frameKinds.note, 0, 0, encodeNote(note), this.#nowUs());
  }

  #fact(fact: RecordingFact): void {
    void this.#options.report({ kind: 'fact', sessionId: this.sessionId, fact });
  }

  #gap(fromUs: number, toUs: number, framesLost: number, reason: string): void {
    this.#framesLost += framesLost;
    this.#fact({ kind: 'gap', fromUs, toUs, framesLost, reason });
    if (!this.#ended) this.#note({ type: 'gap', fromUs, toUs, framesLost, reason });
  }

  /** Told when it begins, to where another disk may keep it: a recorder that dies in it can't tell its end. */
  #openGap(fromUs: number, reason: string): void {
    this.#fact({ kind: 'gap', fromUs, toUs: null, framesLost: 0, reason });
  }

  /** What was recorded stays in the spool, where nobody can see it: going on would be recording for nobody. */
  unstorable(message: string): void {
    if (this.#unstorable !== null) return;
    this.#unstorable = message;
    this.#recordingFailed(message);
  }

  #recordingFailed(message: string): void {
    this.#errorsCount += 1;
    if (this.#options.ticket.persistence === 'best_effort') return;
    const reason = 'recording_not_persisted';
    const text = `the session was ended because its recording could not be stored: ${message}`;
    this.#end({ reason, message: text, failed: true }, ErrorInfo.outOfMemory.code);
  }

  // ---- connections that are lost, and their successors

  /** A peer's side is closed. One that said goodbye or asked to end, or that the gateway sent away, has left; a client that did not was lost. */
  #left(side: RelaySide): void {
    const { reconnectSeconds } = this.#options.ticket;
    const mayComeBack = reconnectSeconds > 0 && this.#connectionsCount < connectionsMax && !this.#connection.isLeaving;
    if (this.#ending === null && side === 'client' && mayComeBack) this.#lose("the client's connection was lost", null);
    // A client that nobody tells would try again and again.
    else
      this.#end(left(side, this.#errorInfo), this.#ending === null && side === 'server' ? ErrorInfo.none.code : null);
  }

  #lose(message: string, errorInfo: number | null): void {
    const { reconnectSeconds } = this.#options.ticket;
    const lostUs = this.#options.wallUs();
    const timer = setTimeout(() => this.#expired(), reconnectSeconds * 1000);
    const untilUs = lostUs + reconnectSeconds * 1_000_000;
    const connection = this.#connection;
    // What the gateway says to the old client comes before the clock stands.
    connection.end(errorInfo);
    connection.close();
    const atUs = this.#spool.nowUs();
    // What has not arrived whole is no frame.
    this.#framesCount -= this.#spool.batch.finish(atUs);
    this.#waiting = { lostUs, atUs, untilUs, message, timer };
    // The chunk that ends here need not wait for the client.
    this.#spool.rotate(false);
    void this.#options.report({ kind: 'lost', sessionId: this.sessionId, atUs: lostUs, untilUs, message });
  }

  #expired(): void {
    const { reconnectSeconds } = this.#options.ticket;
    const message = `${this.#waiting?.message ?? 'the connection was lost'} and it did not come back within ${reconnectSeconds} seconds`;
    this.#end({ reason: 'client_disconnected', message, failed: false }, null);
  }

  /**
   * Why a connection from this address may not go on with the session; null: it may. One client at a time: while one is there,
   * a second one is refused, unless it comes from the same address and the first has been silent long enough to be dead.
   */
  whyNotReconnect(clientAddress: string): Refusal | null {
    if (this.#ended || this.#ending !== null)
      return { code: 'not_startable', message: 'this session is over; create a new one' };
    if (this.#connectionsCount >= connectionsMax)
      return { code: 'not_startable', message: 'this session was reconnected too often; create a new one' };
    if (this.#waiting !== null) return null;
    const { connection, lastHeardUs } = this.#connection;
    const quietMs = (this.#options.spool.monotonicUs() - lastHeardUs) / 1000;
    // Without its port: a client comes back from another one.
    const isSuccessor = ipOf(connection.clientAddress) === ipOf(clientAddress) && quietMs >= takeOverQuietMs;
    const { reconnectSeconds } = this.#options.ticket;
    if (isSuccessor && reconnectSeconds > 0) return null;
    return { code: 'in_use', message: 'this session has a connection already' };
  }

  /** A connection is on its way to go on with the session: the window stays open for it for `waitMs`. */
  expectClient(waitMs: number): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    const leftMs = (waiting.untilUs - this.#options.wallUs()) / 1000;
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => this.#expired(), Math.max(leftMs, waitMs, 0));
  }

  /** Goes on over another connection. Answers why not, where something else was faster. */
  reconnect(connection: ReadyConnection): Refusal | null {
    const why = this.whyNotReconnect(connection.clientAddress);
    if (why !== null) return why;
    if (this.#waiting === null)
      this.#lose('another connection of the same client took over', ErrorInfo.disconnectedByOtherConnection.code);
    const { lostUs, timer } = this.#waiting!;
    clearTimeout(timer);
    const { bytes, updates, unread } = this.#connection.counters;
    const earlier = this.#earlier;
    this.#earlier = {
      bytes: earlier.bytes + bytes,
      updates: earlier.updates + updates,
      unread: earlier.unread + unread,
    };
    this.#unknown = added(this.#unknown, this.#connection.unknownChannels);
    this.#waiting = null;
    const atUs = this.#options.wallUs();
    this.#gap(lostUs, atUs, 0, lostReason);
    void this.#options.report({ kind: 'reconnected', sessionId: this.sessionId, atUs, ...namesOf(connection) });
    this.#connection = this.#relayed(connection);
    this.#begin(atUs);
    return null;
  }

  /** The present connection never came to a desktop. The session goes on waiting where it had one before. */
  giveUpConnecting(message: string): void {
    if (this.#connectionsCount > 1 && this.#ending === null) this.#lose(message, ErrorInfo.logonTimeout.code);
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
    return this.#whenEnded;
  }

  pause(): number {
    const atUs = this.#options.wallUs();
    if (this.#paused !== null) return this.#paused.fromUs;
    this.#note({ type: 'pause', atUs });
    this.#spool.rotate(false);
    this.#paused = { fromUs: atUs, framesLost: 0 };
    this.#fact({ kind: 'pause', fromUs: atUs, toUs: null });
    this.#openGap(atUs, 'paused');
    void this.#options.report({ kind: 'paused', sessionId: this.sessionId, atUs });
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
    void this.#options.report({ kind: 'resumed', sessionId: this.sessionId, atUs });
    return atUs;
  }

  clockStepped(stepUs: number): void {
    const atUs = this.#options.wallUs();
    this.#fact({ kind: 'clock_step', atUs, stepUs });
    this.#note({ type: 'clock_step', atUs, stepUs });
  }

  progress(): void {
    void this.#options.report({ kind: 'progress', sessionId: this.sessionId, statistics: this.statistics });
  }

  // ---- the end

  #end(ending: Ending, errorInfo: number | null): void {
    this.#ending ??= ending;
    if (this.#waiting === null) this.#connection.end(errorInfo);
    else this.#close();
  }

  #connectionClosed(): void {
    // One that was lost is closed too, and ends nothing.
    if (this.#ending !== null) this.#close();
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    const { onEnded, report } = this.#options;
    const ending = this.#ending ?? left('client', null);
    // A step since the last look would date the end before what came before it, without a word.
    this.#options.checkClock();
    const atUs = this.#options.wallUs();
    // The clock goes on standing: what is said of the end belongs to the moment the client was lost.
    clearTimeout(this.#waiting?.timer);
    this.#closePause(atUs);
    this.#note({ type: 'ended', atUs, reason: ending.reason, message: ending.message.slice(0, 4000) });
    const { statistics } = this;
    this.#spool.end({ atUs, ...ending, statistics });
    void report({ kind: 'ended', sessionId: this.sessionId, atUs, ...ending, statistics });
    onEnded();
    this.#resolveEnded();
  }

  #closePause(atUs: number): void {
    if (this.#paused === null) return;
    const { fromUs, framesLost } = this.#paused;
    this.#paused = null;
    this.#fact({ kind: 'pause', fromUs, toUs: atUs });
    this.#gap(fromUs, atUs, framesLost, 'paused');
  }
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
