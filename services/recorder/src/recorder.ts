/** The session recorder: front door, sessions and spool put together behind the RecorderPort. */
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, statfs } from 'node:fs/promises';
import { Socket } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import {
  boundRules,
  earlyTargetProblem,
  LucidError,
  mebibytesText,
  noRecordingStatistics,
  type PipelinePort,
  type ProcessorPort,
  type RecorderPort,
  type RecorderReport,
  type Refusal,
  rpcClient,
  type ServiceHealth,
  type SessionTicket,
  spaceBounds,
  type TargetPolicy,
  targetProblem,
} from '@lucid-sessions/contract';
import { type Doors, noteCertificate, ServiceCaller } from '@lucid-sessions/kit';
import { askChrony } from './clock/chrony-source.ts';
import { type ClockSource, ClockWatch } from './clock/clock-watch.ts';
import { askNtp } from './clock/ntp-source.ts';
import type { RecorderConfig } from './config.ts';
import { recorderDoors } from './doors/doors.ts';
import { PassingOn } from './doors/passing-on.ts';
import { type LetIn, steerDoor } from './doors/steer-door.ts';
import { AttemptBook, printable } from './front-door/attempt-book.ts';
import { AttemptQueue } from './front-door/attempt-queue.ts';
import type { NlaSettings } from './front-door/client-logon.ts';
import { type DialOptions, resolveAll } from './front-door/dial.ts';
import { clientGroup, ipOf } from './front-door/door-limits.ts';
import { FrontDoor, type ListenAddress } from './front-door/front-door.ts';
import { loadIdentity } from './front-door/identity.ts';
import { type KerberosPort, kerberosSettings } from './front-door/kerberos.ts';
import { LogonLimits } from './front-door/logon-limits.ts';
import { PeerWatch } from './front-door/peer-watch.ts';
import type { ReadyConnection } from './front-door/ready-connection.ts';
import { RecordedSession } from './front-door/recorded-session.ts';
import { refusalOf } from './front-door/refusals.ts';
import { RefusalScreens } from './front-door/refuse.ts';
import { ReportQueue } from './front-door/report-queue.ts';
import { SteerTokens } from './front-door/steer-tokens.ts';
import { TargetChecks } from './front-door/target-check.ts';
import { Imports } from './import/imports.ts';
import { liveFrames } from './live-frames.ts';
import { RecorderMetrics } from './recorder-metrics.ts';
import { ReplicaShelf } from './replica/replica-shelf.ts';
import { SpoolReplica } from './replica/spool-replica.ts';
import { SessionTraces } from './session-traces.ts';
import {
  createDisk,
  type RecoveredSession,
  Spool,
  type SpoolLimits,
  type SpoolOptions,
  setTakenOverAside,
} from './spool/index.ts';
import { WallClock } from './wall-clock.ts';

export interface RecorderDeps {
  pipeline: PipelinePort;
  processor: Pick<ProcessorPort, 'seal'>;
  /** Something an operator should know; never contains secrets. */
  onProblem?: (message: string) => void;
  /** What happens at the door and to sessions, a line each; never contains secrets. */
  onLog?: (line: string) => void;
  /** Where names lead; the system's resolver unless given. */
  resolve?: DialOptions['resolve'];
  /** Tickets for targets that want network level authentication; without it NTLM alone. */
  kerberos?: KerberosPort | null;
  /** Tests put a faulty disk here (module that exports `createDisk`). */
  spoolDiskModule?: string;
  spoolLimits?: Partial<SpoolLimits>;
}

export interface Recorder {
  port: RecorderPort;
  /** Where RDP clients connect. */
  addresses: ListenAddress[];
  /** SHA-256 of the certificate clients see. */
  certificateSha256: string;
  /** What the API's public doors lead to. */
  doors: Doors;
  /** Of sessions, in Prometheus' text format. */
  metrics(): Promise<string>;
  spool: Spool;
  /** Ends every session as `recorder_shutdown`, gives chunks `drainMs` to be stored, keeps the rest for the next start. */
  dispose(drainMs?: number): Promise<void>;
}

const ownAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));

const progressMs = 5000;
const sweepMs = 1000;
const peerWatchMs = 10_000;
const attemptPageMs = 60_000;
/** Sessions that show no desktop yet which one client address may always have. */
const withoutDesktopMin = 10;
const chunkSlotsCount = 4;
const askReplicaMs = 3000;
const clockAnswerMs = 3000;
const targetCheckMs = 10_000;

const limitsOf = (config: RecorderConfig): SpoolLimits => ({
  segmentBytesMax: config.chunkBytesMax,
  segmentAgeMs: config.chunkAgeMs,
  commitEveryMs: 8,
  spoolBytesMax: config.spoolBytesMax,
  retryMs: 250,
  retryMsMax: 5_000,
  burstBytesPerSecond: 60e6,
  burstChunksPerSecond: 6,
});

/** Starts listening and takes up the spool of an earlier process. */
export async function createRecorder(config: RecorderConfig, deps: RecorderDeps): Promise<Recorder> {
  const recorder = new RunningRecorder(config, deps);
  try {
    await recorder.start();
  } catch (error) {
    // A port that is taken must not leave the spool's thread behind: it would keep the process alive.
    await recorder.dispose(0);
    throw error;
  }
  return recorder;
}

class RunningRecorder implements Recorder {
  readonly #config: RecorderConfig;
  readonly #deps: RecorderDeps;
  readonly #onProblem: (message: string) => void;
  readonly #reports: ReportQueue;
  readonly #attempts: AttemptQueue;
  readonly #book: AttemptBook;
  readonly #peers = new PeerWatch();
  readonly #log: (line: string) => void;
  readonly #clock = new WallClock();
  /** Null: nobody said what it is compared with. */
  readonly #clockWatch: ClockWatch | null;
  /** Of sessions that are over. */
  readonly #unread = { ...noUnread };
  readonly #sessions = new Map<string, RecordedSession>();
  /** Told already: what keeps sessions that are over out of storage. Bounded by what the spool holds. */
  readonly #unstored = new Map<string, string>();
  /** Admitted, not running yet: when they were, µs. */
  readonly #connecting = new Map<string, number>();
  /** Whose clients they are: of all that are admitted or run. */
  readonly #clientGroups = new Map<string, string>();
  readonly #imports: Imports;
  readonly #targetChecks: TargetChecks;
  readonly #steerTokens = new SteerTokens(() => this.#clock.nowUs());
  readonly #shelf: ReplicaShelf;
  #replica: SpoolReplica | null = null;
  readonly #passingOn: PassingOn;
  readonly #traces = new SessionTraces();
  readonly #metrics = new RecorderMetrics(() =>
    [...this.#sessions.values()].reduce((sum, { statistics }) => sum + statistics.relayedBytes, 0),
  );
  #door: FrontDoor | null = null;
  #timers: NodeJS.Timeout[] = [];
  #isDraining = false;
  #disposing: Promise<void> | null = null;
  readonly port: RecorderPort;
  addresses: ListenAddress[] = [];
  certificateSha256 = '';
  doors: Doors = {};
  spool!: Spool;

  constructor(config: RecorderConfig, deps: RecorderDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#onProblem = deps.onProblem ?? (() => {});
    this.#log = deps.onLog ?? (() => {});
    this.#reports = new ReportQueue({
      report: (report) => this.#traces.within(report.sessionId, () => deps.pipeline.report(report)),
      reportsMax: 10_000,
      retryMs: 200,
      retryMsMax: 10_000,
      onProblem: this.#onProblem,
    });
    this.#attempts = new AttemptQueue({
      attempted: (attempt) => deps.pipeline.attempted(attempt),
      attemptsMax: 10_000,
      retryMs: 1000,
      onProblem: this.#onProblem,
    });
    this.#book = new AttemptBook({
      tell: (attempt) => this.#attempts.send(attempt),
      newId: randomUUID,
      wallUs: () => this.#clock.nowUs(),
      log: this.#log,
    });
    this.#shelf = new ReplicaShelf({
      directory: join(config.dataDir, 'replicas'),
      recorderId: config.recorderId,
      pipeline: deps.pipeline,
      takeOverMs: config.takeOverMs,
      recover: (directory) => this.#recoverCopy(directory),
      onProblem: this.#onProblem,
    });
    const { recorderId, chunkBytesMax, chunkAgeMs, serviceSecret, proof, sessionsMax } = config;
    const access = { serviceSecret, ...(proof === undefined ? {} : { proof }), onProblem: this.#onProblem };
    this.#passingOn = new PassingOn(new ServiceCaller(access), sessionsMax);
    this.#clockWatch = this.#newClockWatch();
    this.#targetChecks = new TargetChecks({
      resolve: deps.resolve ?? resolveAll,
      denied: (address, target) => this.#targetProblem(address, target),
      wallUs: () => this.#clock.nowUs(),
      timeoutMs: Math.min(targetCheckMs, config.handshakeMs / 2),
      log: (line) => this.#log(printable(line)),
    });
    this.#imports = new Imports({
      recorderId,
      pipeline: deps.pipeline,
      seal: (chunk) => deps.processor.seal(chunk),
      report: (report) => this.#report(report),
      wallUs: () => this.#clock.nowUs(),
      chunkBytesMax,
      chunkAgeUs: chunkAgeMs * 1000,
    });
    this.port = {
      stop: async ({ sessionId, reason, message }) => {
        const { run } = this.#imports;
        if (run?.sessionId === sessionId) {
          await run.stop(reason, message);
          return { stopped: true };
        }
        const session = this.#sessions.get(sessionId);
        if (session === undefined) return { stopped: false };
        await session.stop(reason, message);
        return { stopped: true };
      },
      pause: async ({ sessionId }) => ({ pausedAtUs: this.#session(sessionId).pause() }),
      resume: async ({ sessionId }) => ({ resumedAtUs: this.#session(sessionId).resume() }),
      message: async ({ sessionId, from, text, seconds }) => {
        const why = this.#session(sessionId).message(from, text, seconds);
        if (why !== null) throw new LucidError('notInThisState', why);
        return { untilUs: this.#clock.nowUs() + seconds * 1_000_000 };
      },
      steer: async ({ sessionId, by }) => {
        const why = this.#session(sessionId).steerProblem;
        if (why !== null) throw new LucidError('notInThisState', why);
        return this.#steerTokens.issue({ sessionId, by });
      },
      live: async () => ({ sessions: this.#live(), spooled: [...this.spool.undrained, ...this.#shelf.recovering] }),
      importCapture: async (request) => {
        if (this.#isDraining) throw new LucidError('unavailable', drainingMessage);
        return this.#imports.begin(request);
      },
      drain: async () => {
        if (!this.#isDraining) this.#log('takes no new sessions from now on; those it has go on');
        this.#isDraining = true;
        return { sessions: this.#live().length, spooled: this.spool.undrainedCount };
      },
      liveFrames: (request) => liveFrames(this.spool, request),
      replicaState: (request) => this.#shelf.state(request),
      replicate: (copy) => this.#shelf.replicate(copy),
      checkTarget: (request) => this.#targetChecks.check(request),
      judgeTarget: async (target) => ({ open: this.#earlyTargetProblem(target) === null }),
      health: () => this.#health(),
    };
  }

  async start(): Promise<void> {
    const { dataDir, keys, sessionsMax, recorderId } = this.#config;
    const identity = await loadIdentity({ ...this.#config, directory: keys.path, given: keys.given });
    this.certificateSha256 = identity.sha256;
    noteCertificate('rdp', identity.certificate);
    if (!identity.isRsa && this.#config.nla !== 'off')
      this.#onProblem('RDP_TLS_CERT is no RSA certificate: some clients can not log on (RDP_NLA) over any other');
    await this.#setTakenOverAside();
    // Nobody connects before it was compared, or could not be.
    await this.#clockWatch?.start();
    this.spool = await Spool.start({
      ...this.#spoolOptions(join(dataDir, 'spool')),
      // Memory is touched only when it is used: this is a bound, not a cost.
      batchSlotsCount: 3 * sessionsMax + 128,
      // While chunks can't be stored, sessions that are over wait too.
      sessionsMax: 20 * sessionsMax + 100,
      holdsBack: () => this.#replica?.holdsBack === true,
    });
    for (const session of this.spool.recovered) this.#reportRecovered(session);
    await this.#shelf.start();
    this.#replica = this.#startReplica();
    const { handshakeMs, waitingPerAddressMax, waitingMax, connectionsPerSecondMax } = this.#config;
    this.#door = new FrontDoor(
      {
        pipeline: this.#deps.pipeline,
        identity,
        nla: this.#nla(),
        recorderId,
        handshakeMs,
        refusals: new RefusalScreens(this.#config.refusalMs),
        wallUs: () => this.#clock.nowUs(),
        dial: {
          resolve: this.#deps.resolve ?? resolveAll,
          denied: (address, target) => this.#targetProblem(address, target),
          kerberos: this.#deps.kerberos ? kerberosSettings(this.#deps.kerberos, this.#config.kerberos) : null,
        },
        whyNotReconnect: (ticket, clientAddress) => this.#whyNotReconnect(ticket, clientAddress),
        recordingProblem: (ticket) => this.#recordingProblem(ticket),
        onProbe: (kind, address) => this.#book.probe(kind, address),
        onAttempt: (attempt, detail) => this.#book.attempt(attempt, detail),
        onAdmitting: ({ sessionId, reconnects }, clientAddress) => {
          if (reconnects) return true;
          if (this.#isCrowded(clientAddress)) return false;
          this.#connecting.set(sessionId, this.#clock.nowUs());
          this.#clientGroups.set(sessionId, clientGroup(ipOf(clientAddress)));
          return true;
        },
        watch: (stream) => (stream instanceof Socket ? this.#peers.add(stream) : undefined),
        onReady: (connection) => this.#ready(connection),
        onGone: ({ sessionId }) => this.#forget(sessionId),
        passOn: this.#passingOn.open,
        onProblem: this.#onProblem,
      },
      {
        waitingPerAddressMax,
        waitingMax,
        perSecondMax: connectionsPerSecondMax,
        onOverLimit: (address) => this.#book.overLimit(address),
      },
    );
    this.doors = { ...recorderDoors(this.#door), steer: this.#steerDoor() };
    this.addresses = await this.#door.listen(this.#config.listeners);
    this.#timers = [
      setInterval(() => this.#sweep(), sweepMs),
      setInterval(() => this.#progress(), progressMs),
      setInterval(() => void this.#peers.look().catch(() => {}), peerWatchMs),
      setInterval(() => this.#book.turnPage(), attemptPageMs),
    ];
  }

  /** All but the bounds of memory. */
  #spoolOptions(directory: string): Omit<SpoolOptions, 'batchSlotsCount' | 'sessionsMax'> {
    const { keys } = this.#config;
    return {
      directory,
      keyPath: join(keys.path, 'spool.key'),
      keyGiven: keys.given,
      limits: { ...limitsOf(this.#config), ...this.#deps.spoolLimits },
      originNs: process.hrtime.bigint(),
      chunkSlotsCount,
      flushEveryMs: 5,
      seal: (chunk) => this.#traces.within(chunk.sessionId, () => this.#deps.processor.seal(chunk)),
      onDrained: (sessionId, chunksCount, recording) => {
        this.#unstored.delete(sessionId);
        return this.#report({ kind: 'drained', ...ofRecording(sessionId, recording), chunksCount });
      },
      onUnstorable: (...unstorable) => this.#unstorable(...unstorable),
      onProblem: this.#onProblem,
      ...(this.#deps.spoolDiskModule === undefined ? {} : { diskModule: this.#deps.spoolDiskModule }),
    };
  }

  /** The copy of a spool whose recorder is gone, taken up as that one's own next start would. */
  async #recoverCopy(directory: string): Promise<Spool> {
    const sessionsMax = Math.max(1, (await readdir(directory)).length);
    const spool = await Spool.start({
      ...this.#spoolOptions(directory),
      isCopy: true,
      batchSlotsCount: 1,
      sessionsMax,
    });
    for (const session of spool.recovered) this.#reportRecovered(session);
    return spool;
  }

  #startReplica(): SpoolReplica | null {
    const { spoolReplicas: urls, spoolReplicaHoldMs, recorderId, dataDir, serviceSecret, proof } = this.#config;
    if (urls.length === 0) return null;
    const access = { serviceSecret, ...(proof === undefined ? {} : { proof }) };
    const data = { directory: join(dataDir, 'spool'), recorderId, urls, access };
    return new SpoolReplica(data, this.#onProblem, spoolReplicaHoldMs);
  }

  /** What another recorder recovered meanwhile is not sealed twice: the chain would refuse it, and it is kept for a person to look at. */
  async #setTakenOverAside(): Promise<void> {
    const { spoolReplicas: urls, recorderId, dataDir, serviceSecret, proof } = this.#config;
    if (urls.length === 0) return;
    const caller = new ServiceCaller({ serviceSecret, ...(proof === undefined ? {} : { proof }) });
    const asked = urls.map(async (url) => {
      const replica = rpcClient('recorder', url, { ...caller.rpcOptions('recorder'), timeoutMsMax: askReplicaMs });
      const state = await replica.replicaState({ recorderId, begins: false }).catch((error: Error) => {
        this.#onProblem(`whether the spool was taken over could not be asked of ${url}: ${error.message}`);
        return null;
      });
      return state?.takenOver ?? [];
    });
    const takenOver = (await Promise.all(asked)).flat();
    const disk = { disk: createDisk(), directory: join(dataDir, 'spool'), wallUs: () => this.#clock.nowUs() };
    const aside = setTakenOverAside(disk, takenOver);
    if (aside.length > 0)
      this.#onProblem(
        `another recorder recovered ${aside.length} sessions while this one was gone; what was here of them was moved to spool/taken-over: ${aside.join(', ')}`,
      );
  }

  #nla(): NlaSettings {
    const { nla: policy, nlaVersionMin: minimumVersion, cookieRoute } = this.#config;
    return {
      policy,
      minimumVersion,
      cookieRoute,
      // As a NetBIOS name.
      name:
        hostname()
          .replaceAll(/[^A-Za-z0-9-]/g, '-')
          .slice(0, 15) || 'GATEWAY',
      platform: { randomBytes: (length) => new Uint8Array(randomBytes(length)), nowMs: Date.now },
      limits: new LogonLimits(() => performance.now() * 1000),
    };
  }

  #report(report: RecorderReport): Promise<void> {
    this.#metrics.note(report);
    this.#traces.note(report);
    if (report.kind === 'ended') {
      const { sessionId, reason, message, statistics } = report;
      const seconds = Math.round(statistics.durationUs / 1e6);
      this.#log(`session ${sessionId} ended after ${seconds} s: ${reason}, ${printable(message)}`);
    }
    if (report.kind === 'lost') this.#log(`session ${report.sessionId} waits for its client: ${report.message}`);
    return this.#reports.send(report);
  }

  #targetProblem(address: string, { host, port }: SessionTicket['target']): string | null {
    return targetProblem({ host, port, address, ownAddresses: ownAddresses() }, this.#targetPolicy());
  }

  #earlyTargetProblem(target: { host: string; port: number }): string | null {
    const problem = earlyTargetProblem({ ...target, ownAddresses: ownAddresses() }, this.#targetPolicy());
    if (problem !== null) this.#log(`a session may not lead to ${printable(target.host)}:${target.port} [${problem}]`);
    return problem;
  }

  #targetPolicy(): TargetPolicy {
    const { targets } = this.#config;
    // A port the system chose is known only now.
    return { ...targets, ownPorts: [...targets.ownPorts, ...this.addresses.map(({ port }) => port)] };
  }

  #recordingProblem({ sessionId, reconnects }: SessionTicket): string | null {
    if (this.#disposing !== null) return shutdownMessage;
    // Who is being admitted counts as a session already.
    if (this.#isDraining && !reconnects && !this.#connecting.has(sessionId)) return drainingMessage;
    if (this.#config.clock?.required === true && !reconnects && !this.#connecting.has(sessionId)) {
      const wrong = this.#clockWatch?.problem ?? null;
      if (wrong !== null) return wrong;
    }
    if (reconnects || this.spool.canOpen(sessionId)) return null;
    return this.spool.failure ?? 'chunks of this session are still being stored; try again in a moment';
  }

  /** The session that is under way says whether it takes this connection; where it does, it waits for it. */
  #whyNotReconnect({ sessionId }: SessionTicket, clientAddress: string): Refusal | null {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return over;
    const refusal = session.whyNotReconnect(clientAddress);
    if (refusal === null) session.expectClient(this.#config.handshakeMs);
    return refusal;
  }

  #ready(connection: ReadyConnection): void {
    const { ticket, clientAddress, clientName, targetAddress } = connection;
    const { sessionId, reconnects } = ticket;
    connection.ticket = this.#bounded(ticket, ticket.target.host, targetAddress);
    const name = clientName === null ? '' : ` (${printable(clientName)})`;
    const who = `${clientAddress}${name} to ${targetAddress}`;
    if (reconnects) {
      this.#goOn(connection);
      this.#log(`session ${sessionId} reconnected: ${who}`);
      return;
    }
    this.#log(`session ${sessionId} connected: ${who}`);
    this.#begin(connection);
  }

  /** Whatever the session says, what its target is bound to holds. */
  #bounded(ticket: SessionTicket, host: string, targetAddress: string): SessionTicket {
    const { port, channels = {} } = ticket.target;
    const address = targetAddress.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    const rules = boundRules(channels, { host, port, address }, this.#config.channelBounds);
    return { ...ticket, target: { ...ticket.target, channels: rules } };
  }

  /** Another connection may have been faster, or the session may have ended meanwhile. */
  #goOn(connection: ReadyConnection): void {
    const session = this.#sessions.get(connection.ticket.sessionId);
    const refusal = session === undefined ? over : session.reconnect(connection);
    if (refusal !== null) throw refusalOf(refusal);
  }

  #begin(connection: ReadyConnection): void {
    const { sessionId } = connection.ticket;
    const session = new RecordedSession({
      ...connection,
      spool: this.spool,
      recorderId: this.#config.recorderId,
      paintsPipeline: this.#config.paintsPipeline,
      wallUs: () => this.#clock.nowUs(),
      checkClock: () => this.#checkClock(),
      report: (report) => this.#report(report),
      bounded: (...reached) => this.#bounded(...reached),
      onEnded: () => this.#gone(sessionId),
    });
    this.#connecting.delete(sessionId);
    this.#sessions.set(sessionId, session);
    this.#traces.begin(sessionId);
    session.start();
    const compared = this.#clockWatch?.last ?? null;
    if (compared !== null) session.clockCompared(compared);
  }

  #gone(sessionId: string): void {
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    if (session !== undefined) {
      this.#noteUnread(session);
      this.#metrics.gone(session.statistics.relayedBytes);
    }
    this.#forget(sessionId);
  }

  #noteUnread({ sessionId, unread: { pdus, channels } }: RecordedSession): void {
    const counts = unreadCounts(pdus, channels);
    for (const [name, count] of Object.entries(counts)) this.#unread[name as keyof typeof counts] += count;
    if (channels.size === 0) return;
    const names = [...channels].slice(0, namesSaidMax).map(([name, count]) => `${printable(name)} (${count})`);
    const more = channels.size > names.length ? ` and ${channels.size - names.length} more` : '';
    this.#log(`session ${sessionId} used channels of unknown use, kept as inputs are: ${names.join(', ')}${more}`);
  }

  #forget(sessionId: string): void {
    this.#connecting.delete(sessionId);
    if (!this.#sessions.has(sessionId)) this.#clientGroups.delete(sessionId);
  }

  /** A session without a desktop costs its client nothing: one address may have half of all of them, not all. */
  #isCrowded(clientAddress: string): boolean {
    const group = clientGroup(ipOf(clientAddress));
    let count = 0;
    for (const [sessionId, of] of this.#clientGroups)
      if (of === group && this.#sessions.get(sessionId)?.connectingSinceUs !== null) count += 1;
    return count >= Math.max(withoutDesktopMin, this.#config.sessionsMax / 2);
  }

  #steerDoor(): Doors[string] {
    const letIn: LetIn = (token, link) => {
      const claim = this.#steerTokens.use(token);
      const session = claim === null ? undefined : this.#sessions.get(claim.sessionId);
      if (claim === null || session === undefined) return null;
      const steering = session.steer(claim.by, link);
      return {
        input: (events) => steering?.input(events),
        left: () => steering?.end('who steered left, or their connection was lost'),
      };
    };
    return steerDoor(letIn, () => this.spool.monotonicUs());
  }

  #session(sessionId: string): RecordedSession {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) throw new LucidError('notInThisState', 'the session has no connection at this recorder');
    return session;
  }

  /** A session that runs is told its user; one that is over waits in the spool, and whoever looks at it reads why. */
  #unstorable(sessionId: string, message: string, recording: number): void {
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) session.unstorable(message);
    else if (this.#unstored.get(sessionId) !== message) {
      this.#unstored.set(sessionId, message);
      this.#onProblem(`session ${sessionId} is over and not whole in storage: ${message}`);
      void this.#report({ kind: 'not_stored', ...ofRecording(sessionId, recording), message });
    }
  }

  #reportRecovered({ sessionId, recording, end, lastWrittenUs, framesCount }: RecoveredSession): void {
    const statistics = {
      framesCount,
      relayedBytes: 0,
      framesDropped: 0,
      errorsCount: 1,
      durationUs: 0,
      updatesCount: 0,
    };
    const crashed = {
      atUs: lastWrittenUs,
      reason: 'recorder_crashed',
      message: 'the recorder died while it recorded; what was durable has been recovered',
      failed: false,
      recovered: true,
      statistics,
    } as const;
    void this.#report({ kind: 'ended', ...ofRecording(sessionId, recording), ...(end ?? crashed) });
  }

  #live(): Awaited<ReturnType<RecorderPort['live']>>['sessions'] {
    const running = [...this.#sessions.values()].map((session) => ({
      sessionId: session.sessionId,
      startedAtUs: session.startedUs,
      paused: session.isPaused,
      statistics: session.statistics,
    }));
    const connecting = [...this.#connecting].map(([sessionId, startedAtUs]) => ({
      sessionId,
      startedAtUs,
      paused: false,
      statistics: noRecordingStatistics,
    }));
    const { run } = this.#imports;
    const importing =
      run === null
        ? []
        : [{ sessionId: run.sessionId, startedAtUs: run.startedUs, paused: false, statistics: run.statistics }];
    return [...running, ...connecting, ...importing];
  }

  #newClockWatch(): ClockWatch | null {
    const { sources = [], everyMs = 0, offsetUsMax = 0 } = this.#config.clock ?? {};
    if (sources.length === 0) return null;
    const wallUs = () => this.#clock.nowUs();
    const timeoutMs = Math.min(clockAnswerMs, everyMs);
    const asked = sources.map(
      (source): ClockSource =>
        source === 'chrony'
          ? { name: 'chrony', ask: () => askChrony(timeoutMs) }
          : { name: source.host, ask: () => askNtp(source, { wallUs, timeoutMs }) },
    );
    return new ClockWatch({
      sources: asked,
      everyMs,
      offsetUsMax,
      wallUs,
      onProblem: this.#onProblem,
      onCheck: (check) => {
        for (const session of this.#sessions.values()) session.clockCompared(check);
      },
    });
  }

  #checkClock(): void {
    const stepUs = this.#clock.check();
    if (stepUs === 0) return;
    for (const session of this.#sessions.values()) session.clockStepped(stepUs);
  }

  /** Time limits, and the wall clock against the monotonic one. */
  #sweep(): void {
    this.#checkClock();
    const nowUs = this.spool.monotonicUs();
    for (const session of [...this.#sessions.values()]) {
      if (session.isWaiting) continue;
      const { idleMs, activationMs } = this.#config;
      const quietMs = (nowUs - session.lastInputUs) / 1000;
      const { connectingSinceUs } = session;
      if (connectingSinceUs !== null && nowUs - connectingSinceUs > activationMs * 1000)
        session.giveUpConnecting('client and target did not finish connecting in time');
      else if (idleMs > 0 && quietMs > idleMs)
        void session.stop('idle_timeout', `nobody used the session for ${Math.round(idleMs / 60_000)} minutes`);
    }
  }

  #progress(): void {
    for (const session of this.#sessions.values()) session.progress();
    const { run } = this.#imports;
    if (run !== null) void this.#report({ kind: 'progress', sessionId: run.sessionId, statistics: run.statistics });
  }

  async #health(): Promise<ServiceHealth> {
    const { failure, sealProblem } = this.spool;
    const details: ServiceHealth['details'] = {
      sessions: this.#sessions.size,
      sessionsMax: this.#config.sessionsMax,
      reportsWaiting: this.#reports.length,
      rssBytes: process.memoryUsage.rss(),
      connectionsWaiting: this.#door?.waitingCount ?? 0,
      connectionsPassedOn: this.#passingOn.count,
      draining: this.#isDraining,
      ...(this.#replica === null
        ? {}
        : { replicaBehindMs: this.#replica.behindMs, replicaKeptBy: this.#replica.keptBy ?? '' }),
      ...(this.#shelf.recordersCount === 0 ? {} : { replicasKept: this.#shelf.recordersCount }),
      ...this.#clockDetails(),
      ...this.#book.counts,
      ...this.#unreadNow(),
    };
    if (failure !== null) return { service: 'recorder', status: 'unhealthy', message: failure, details };
    const spool = await this.spool.statistics();
    details.spooledBytes = spool.spooledBytes;
    details.spooledChunks = spool.closedSegmentsCount;
    const durableMs = spool.durableMs.sort((a, b) => a - b);
    const durableAt = (share: number) => durableMs[Math.floor(durableMs.length * share)] ?? 0;
    details.durableMsP50 = durableAt(0.5);
    details.durableMsP99 = durableAt(0.99);
    const message =
      sealProblem ?? this.#replica?.problem ?? (await this.#roomProblem()) ?? this.#clockWatch?.problem ?? null;
    return { service: 'recorder', status: message === null ? 'healthy' : 'degraded', message, details };
  }

  #clockDetails(): ServiceHealth['details'] {
    if (this.#clockWatch === null) return {};
    const { last, agreeing } = this.#clockWatch;
    const { offsetUs = null, errorUs = null } = last ?? {};
    return {
      clockSourcesAgreeing: last === null ? 0 : agreeing,
      ...(offsetUs === null || errorUs === null
        ? {}
        : { clockOffsetMs: offsetUs / 1000, clockErrorMs: errorUs / 1000 }),
    };
  }

  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  /** Of the sessions that are over and of those under way. */
  #unreadNow(): typeof noUnread {
    const now = { ...this.#unread };
    for (const { unread } of this.#sessions.values()) {
      const counts = unreadCounts(unread.pdus, unread.channels);
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) now[name] += counts[name];
    }
    return now;
  }

  /** Sessions end when the spool's disk is nearly full: operators hear of it before. */
  async #roomProblem(): Promise<string | null> {
    const { bavail, blocks, bsize } = await statfs(join(this.#config.dataDir, 'spool'));
    const { alarmBytesMin, recordingBytesMin } = spaceBounds(blocks * bsize);
    if (bavail * bsize >= alarmBytesMin) return null;
    return `the disk of the spool is nearly full: ${mebibytesText(bavail * bsize)} are free, sessions end below ${mebibytesText(recordingBytesMin)}`;
  }

  dispose(drainMs = 5000): Promise<void> {
    this.#disposing ??= this.#dispose(drainMs);
    return this.#disposing;
  }

  async #dispose(drainMs: number): Promise<void> {
    this.#door?.close();
    for (const timer of this.#timers) clearInterval(timer);
    await this.#clockWatch?.stop();
    const ended = [...this.#sessions.values()].map((session) => session.stop('recorder_shutdown', shutdownMessage));
    await Promise.all([...ended, this.#imports.close()]);
    const until = performance.now() + drainMs;
    // Not there where its start has failed.
    const spool: Spool | undefined = this.spool;
    while (spool !== undefined && spool.undrainedCount > 0 && spool.failure === null && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#reports.dispose(Math.max(100, until - performance.now()));
    this.#book.turnPage();
    await this.#attempts.dispose(100);
    this.#door?.destroy();
    await this.#replica?.stop();
    await this.#shelf.dispose();
    await spool?.close();
  }
}

/** What a report says first. */
const ofRecording = (
  sessionId: string,
  recordingNumber: number,
): Pick<RecorderReport, 'sessionId' | 'recordingNumber'> =>
  recordingNumber === 0 ? { sessionId } : { sessionId, recordingNumber };

/** Names of one session that are said in its line. */
const namesSaidMax = 10;
const noUnread = { pdusUnread: 0, unknownChannelPdus: 0 };

const unreadCounts = (pdus: number, channels: ReadonlyMap<string, number>): typeof noUnread => ({
  pdusUnread: pdus,
  unknownChannelPdus: [...channels.values()].reduce((sum, count) => sum + count, 0),
});

const over: Refusal = { code: 'not_startable', message: 'this session is over; create a new one' };
const drainingMessage = 'this recorder takes no new sessions before it is stopped; connect again';
const shutdownMessage = 'the recorder is being shut down';
