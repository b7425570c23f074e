/** One RDP session being relayed and recorded, from the client's first RDP bytes to its end. */
import type { EndReason, RecorderReport, RecordingFact, RecordingStatistics } from '@lucid-sessions/contract';
import { ErrorInfo, type FrameTap, Relay, type RelayEvent, type RelaySide, RelayViolation } from '@lucid-sessions/rdp';
import { frameFlags, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import type { Spool, SpoolSession } from '../spool/index.ts';
import { closeGently } from './closing.ts';
import type { ReadyConnection } from './connection.ts';
import { Pump } from './pump.ts';

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

/** How long a peer may take for what it must do at the end: finish a PDU, close its side. */
const endWaitMs = 2000;

export class RecordedSession {
  readonly sessionId: string;
  readonly startedUs: number;
  readonly #options: RecordedSessionOptions;
  readonly #relay: Relay;
  readonly #spool: SpoolSession;
  readonly #pumps: Pump[];
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
  #endTimer: NodeJS.Timeout | null = null;
  readonly #whenEnded: Promise<void>;
  #resolveEnded: () => void = () => {};
  #info: Partial<Extract<GatewayNote, { type: 'client' }>> = {};
  /** A desktop has been shown: the connection sequence is over. */
  activated = false;
  /** On the recorder's monotonic clock, µs. */
  lastInputUs: number;

  constructor(options: RecordedSessionOptions) {
    const { ticket, client, target, spool, requestedProtocols, selectedProtocol } = options;
    this.#options = options;
    this.sessionId = ticket.sessionId;
    this.startedUs = options.wallUs();
    this.lastInputUs = spool.monotonicUs();
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
    const { input_policy: input = 'full', clipboard_policy: clipboard = 'full' } = ticket.recording;
    const keep = { input, clipboard };
    const policy = { requestedProtocols, selectedProtocol, graphics: ticket.graphics, keep };
    this.#relay = new Relay(policy, this.#tap());
    const hasRoom = (): boolean => spool.hasRoom;
    this.#pumps = [
      new Pump({
        from: client,
        to: target,
        onBytes: (bytes) => this.#step('client', bytes),
        hasRoom,
        onEnd: () => this.#peerLeft('client'),
      }),
      new Pump({
        from: target,
        to: client,
        onBytes: (bytes) => this.#step('server', bytes),
        hasRoom,
        onEnd: () => this.#peerLeft('server'),
      }),
    ];
    client.on('close', () => this.#peerLeft('client'));
    target.on('close', () => this.#peerLeft('server'));
  }

  get statistics(): RecordingStatistics {
    const { bytes, updates } = this.#relay.counters;
    return {
      framesCount: this.#framesCount,
      relayedBytes: bytes,
      framesDropped: this.#framesLost + this.#spool.batch.framesDropped,
      errorsCount: this.#errorsCount,
      durationUs: this.#spool.nowUs(),
      updatesCount: updates,
    };
  }

  get isPaused(): boolean {
    return this.#paused !== null;
  }

  /** Resolves when both sockets are let go and the recording is closed. */
  get whenEnded(): Promise<void> {
    return this.#whenEnded;
  }

  /** Resolves when all that was recorded so far is durable. */
  durable(): Promise<void> {
    return this.#spool.durable();
  }

  /** Begins to relay. What has come already may end the session before this returns. */
  start(): void {
    const { connectionId, clientAddress, clientTls, targetAddress, beforeTls, facts, recorderId } = this.#options;
    const { sessionId, startedUs: atUs } = this;
    const started = { sessionId, atUs, recorderId, connectionId, clientAddress, targetAddress };
    void this.#options.report({ kind: 'started', ...started });
    const tls = clientTls === '' ? {} : { tls: clientTls };
    this.#fact({ kind: 'connected', atUs, clientAddress, targetAddress, ...tls });
    this.#note({ type: 'connected', atUs, clientAddress, targetAddress, ...tls });
    for (const { fromServer, bytes, flags } of beforeTls) {
      const direction = fromServer ? frameFlags.serverToClient : 0;
      this.#framesCount += 1;
      this.#spool.batch.frame(frameKinds.pdu, direction | frameFlags.beforeTls | flags, 0, bytes, this.#spool.nowUs());
    }
    for (const fact of facts) {
      this.#fact(fact);
      if (fact.kind === 'target_certificate') {
        const { atUs: _at, kind: _kind, ...certificate } = fact;
        this.#note({ type: 'target_certificate', ...certificate });
      }
      if (fact.kind === 'downgrade') this.#note({ type: 'downgrade', what: fact.what });
    }
    for (const pump of this.#pumps) pump.start();
  }

  /** Frames go to the spool, or nowhere while the recording is paused. */
  #tap(): FrameTap {
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

  #step(from: RelaySide, bytes: Uint8Array): readonly Uint8Array[] {
    const nowUs = this.#spool.nowUs();
    if (from === 'client') this.lastInputUs = this.#options.spool.monotonicUs();
    try {
      const { forward, events } = this.#relay.step(from, bytes, nowUs);
      const { updates } = this.#relay.counters;
      this.#spool.batch.updatesCount += updates - this.#updatesSeen;
      this.#updatesSeen = updates;
      for (const event of events) this.#on(event);
      if (this.#spool.batch.framesDropped !== this.#droppedSeen) this.#framesDropped();
      return forward;
    } catch (error) {
      this.#errorsCount += 1;
      // Thrown further from here it would end the process, and every recording with it.
      const message =
        error instanceof RelayViolation ? error.message : `the gateway failed: ${(error as Error).message}`;
      const ending: Ending = { reason: 'protocol_violation', message, failed: true };
      this.#end(ending, ErrorInfo.serverDeniedConnection.code);
      return [];
    }
  }

  /** The spool had no room although reading had been stopped in time: as bad as a disk that fails. */
  #framesDropped(): void {
    this.#droppedSeen = this.#spool.batch.framesDropped;
    this.#recordingFailed('the spool could not keep up');
  }

  #on(event: RelayEvent): void {
    switch (event.kind) {
      case 'client': {
        const { kind: _, ...client } = event;
        this.#info = { ...client, security: this.#options.selectedProtocol === 0 ? 'rdp' : 'tls' };
        return;
      }
      case 'channels':
        this.#note({ type: 'client', ...this.#info, channels: event.channels } as GatewayNote);
        return;
      case 'activated':
        this.activated = true;
        return;
      case 'downgrade':
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
        return;
      case 'ended':
        // The closing PDUs are in what this step forwards: they leave before the socket is closed.
        setImmediate(() => this.#close());
    }
  }

  #note(note: GatewayNote): void {
    this.#framesCount += 1;
    this.#spool.note(note);
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

  #peerLeft(side: RelaySide): void {
    this.#end(left(side, this.#errorInfo), 0);
  }

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

  #end(ending: Ending, errorInfo: number): void {
    this.#ending ??= ending;
    if (this.#endTimer !== null || this.#ended) return;
    const { client } = this.#options;
    this.#endTimer = setTimeout(() => this.#close(), endWaitMs);
    if (errorInfo === 0 || client.destroyed) {
      this.#close();
      return;
    }
    const closing = this.#relay.end(errorInfo, this.#spool.nowUs());
    if (closing !== null) this.#pumps[1]?.send(closing);
    // Half a PDU is on its way to the client: the closing PDUs come behind it with the relay's `ended`.
    if (closing !== null || !this.#relay.isInsidePdu) this.#close();
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#endTimer !== null) clearTimeout(this.#endTimer);
    for (const pump of this.#pumps) pump.stop();
    const { client, target, onEnded, report } = this.#options;
    const ending = this.#ending ?? left('client', null);
    // A step since the last look would date the end before what came before it, without a word.
    this.#options.checkClock();
    const atUs = this.#options.wallUs();
    this.#closePause(atUs);
    this.#note({ type: 'ended', atUs, reason: ending.reason, message: ending.message.slice(0, 4000) });
    const { statistics } = this;
    this.#spool.end({ atUs, ...ending, statistics });
    closeGently(client);
    closeGently(target);
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

function left(side: RelaySide, errorInfo: string | null): Ending {
  if (side === 'client') return { reason: 'client_disconnected', message: 'the client disconnected', failed: false };
  const why = errorInfo === null ? '' : `: ${errorInfo}`;
  return { reason: 'server_disconnected', message: `the target ended the session${why}`, failed: false };
}
