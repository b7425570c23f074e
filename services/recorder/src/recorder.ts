/** The session recorder: front door, sessions and spool put together behind the RecorderPort. */
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import {
  LucidError,
  mebibytesText,
  type PipelinePort,
  type ProcessorPort,
  type RecorderPort,
  type RecorderReport,
  type ServiceHealth,
  spaceBounds,
} from '@lucid-sessions/contract';
import type { RecorderConfig } from './config.ts';
import { AttemptQueue } from './front-door/attempt-queue.ts';
import { FrontDoor, type ListenAddress } from './front-door/front-door.ts';
import { loadIdentity } from './front-door/identity.ts';
import type { RecordedSession } from './front-door/recorded-session.ts';
import { ReportQueue } from './front-door/report-queue.ts';
import { liveFrames } from './live-frames.ts';
import { type RecoveredSession, Spool, type SpoolLimits } from './spool/index.ts';
import { WallClock } from './wall-clock.ts';

export interface RecorderDeps {
  pipeline: PipelinePort;
  processor: Pick<ProcessorPort, 'seal'>;
  /** Something an operator should know; never contains secrets. */
  onProblem?: (message: string) => void;
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
  spool: Spool;
  /** Ends every session as `recorder_shutdown`, gives chunks `drainMs` to be stored, keeps the rest for the next start. */
  dispose(drainMs?: number): Promise<void>;
}

const progressMs = 5000;
const sweepMs = 1000;
const chunkSlotsCount = 4;

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
  await recorder.start();
  return recorder;
}

class RunningRecorder implements Recorder {
  readonly #config: RecorderConfig;
  readonly #deps: RecorderDeps;
  readonly #onProblem: (message: string) => void;
  readonly #reports: ReportQueue;
  readonly #attempts: AttemptQueue;
  readonly #clock = new WallClock();
  readonly #sessions = new Map<string, RecordedSession>();
  /** Admitted, not running yet: when they were, µs. */
  readonly #connecting = new Map<string, number>();
  #door: FrontDoor | null = null;
  #timers: NodeJS.Timeout[] = [];
  #disposing: Promise<void> | null = null;
  readonly port: RecorderPort;
  addresses: ListenAddress[] = [];
  certificateSha256 = '';
  spool!: Spool;

  constructor(config: RecorderConfig, deps: RecorderDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#onProblem = deps.onProblem ?? (() => {});
    this.#reports = new ReportQueue({
      report: (report) => deps.pipeline.report(report),
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
    this.port = {
      stop: async ({ sessionId, reason, message }) => {
        const session = this.#sessions.get(sessionId);
        if (session === undefined) return { stopped: false };
        await session.stop(reason, message);
        return { stopped: true };
      },
      pause: async ({ sessionId }) => ({ pausedAtUs: this.#session(sessionId).pause() }),
      resume: async ({ sessionId }) => ({ resumedAtUs: this.#session(sessionId).resume() }),
      live: async () => ({ sessions: this.#live() }),
      liveFrames: (request) => liveFrames(this.spool, request),
      health: () => this.#health(),
    };
  }

  async start(): Promise<void> {
    const { dataDir, sessionsMax } = this.#config;
    const identity = await loadIdentity({ ...this.#config, directory: join(dataDir, 'keys') });
    this.certificateSha256 = identity.sha256;
    this.spool = await Spool.start({
      directory: join(dataDir, 'spool'),
      keyPath: join(dataDir, 'keys', 'spool.key'),
      limits: { ...limitsOf(this.#config), ...this.#deps.spoolLimits },
      originNs: process.hrtime.bigint(),
      // Memory is touched only when it is used: this is a bound, not a cost.
      batchSlotsCount: 3 * sessionsMax + 128,
      // While chunks can't be stored, sessions that are over wait too.
      sessionsMax: 20 * sessionsMax + 100,
      chunkSlotsCount,
      flushEveryMs: 5,
      seal: (chunk) => this.#deps.processor.seal(chunk),
      onDrained: (sessionId, chunksCount) => this.#report({ kind: 'drained', sessionId, chunksCount }),
      onProblem: this.#onProblem,
      ...(this.#deps.spoolDiskModule === undefined ? {} : { diskModule: this.#deps.spoolDiskModule }),
    });
    for (const session of this.spool.recovered) this.#reportRecovered(session);
    this.#door = new FrontDoor(
      {
        pipeline: this.#deps.pipeline,
        spool: this.spool,
        identity,
        recorderId: this.#config.recorderId,
        handshakeMs: this.#config.handshakeMs,
        wallUs: () => this.#clock.nowUs(),
        checkClock: () => this.#checkClock(),
        report: (report) => this.#report(report),
        attempted: (attempt) => this.#attempts.send(attempt),
        onProblem: this.#onProblem,
        onAdmitted: (sessionId) => void this.#connecting.set(sessionId, this.#clock.nowUs()),
        onStarted: (session) => this.#started(session),
        onGone: (sessionId) => this.#gone(sessionId),
      },
      // Beside the sessions, connections that are still being turned away or are looking at the certificate.
      2 * sessionsMax + 64,
    );
    this.addresses = await this.#door.listen(this.#config.listeners);
    this.#timers = [setInterval(() => this.#sweep(), sweepMs), setInterval(() => this.#progress(), progressMs)];
  }

  #report(report: RecorderReport): Promise<void> {
    return this.#reports.send(report);
  }

  #started(session: RecordedSession): void {
    this.#connecting.delete(session.sessionId);
    this.#sessions.set(session.sessionId, session);
    if (this.#disposing !== null) void session.stop('recorder_shutdown', shutdownMessage);
  }

  #gone(sessionId: string): void {
    this.#connecting.delete(sessionId);
    this.#sessions.delete(sessionId);
  }

  #session(sessionId: string): RecordedSession {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) throw new LucidError('notInThisState', 'the session has no connection at this recorder');
    return session;
  }

  #reportRecovered({ sessionId, end, lastWrittenUs, framesCount }: RecoveredSession): void {
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
      failed: true,
      statistics,
    } as const;
    void this.#report({ kind: 'ended', sessionId, ...(end ?? crashed) });
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
      statistics: noStatistics,
    }));
    return [...running, ...connecting];
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
      const { idleMs, activationMs } = this.#config;
      const quietMs = (nowUs - session.lastInputUs) / 1000;
      if (!session.activated && session.statistics.durationUs > activationMs * 1000)
        void session.stop('handshake_timeout', 'client and target did not finish connecting in time', true);
      else if (idleMs > 0 && quietMs > idleMs)
        void session.stop('idle_timeout', `nobody used the session for ${Math.round(idleMs / 60_000)} minutes`);
    }
  }

  #progress(): void {
    for (const session of this.#sessions.values()) session.progress();
  }

  async #health(): Promise<ServiceHealth> {
    const { failure, sealProblem } = this.spool;
    const details: ServiceHealth['details'] = {
      sessions: this.#sessions.size,
      sessionsMax: this.#config.sessionsMax,
      reportsWaiting: this.#reports.length,
      rssBytes: process.memoryUsage.rss(),
    };
    if (failure !== null) return { service: 'recorder', status: 'unhealthy', message: failure, details };
    const spool = await this.spool.statistics();
    details.spooledBytes = spool.spooledBytes;
    details.spooledChunks = spool.closedSegmentsCount;
    const message = sealProblem ?? (await this.#roomProblem());
    return { service: 'recorder', status: message === null ? 'healthy' : 'degraded', message, details };
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
    const ended = [...this.#sessions.values()].map((session) => session.stop('recorder_shutdown', shutdownMessage));
    await Promise.all(ended);
    const until = performance.now() + drainMs;
    while (this.spool.undrainedCount > 0 && this.spool.failure === null && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#reports.dispose(Math.max(100, until - performance.now()));
    await this.#attempts.dispose(100);
    this.#door?.destroy();
    await this.spool.close();
  }
}

const shutdownMessage = 'the recorder is being shut down';
const noStatistics = {
  framesCount: 0,
  relayedBytes: 0,
  framesDropped: 0,
  errorsCount: 0,
  durationUs: 0,
  updatesCount: 0,
};
