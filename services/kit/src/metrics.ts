/** Numbers of this process in Prometheus' text format, and what the numbers in a service's health are called there. */
import { X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ServiceHealth } from '@lucid-sessions/contract';
import { Counter, Gauge, Registry } from 'prom-client';
import type { LogLevel } from './service-log.ts';

interface Fact {
  /** Behind `lucid_SERVICE_`; counters end in `_total`. */
  name: string;
  type: 'gauge' | 'counter';
  help: string;
}

const gauge = (name: string, help: string): Fact => ({ name, type: 'gauge', help });
const counter = (name: string, help: string): Fact => ({ name: `${name}_total`, type: 'counter', help });

/** By service and by the name in `health.details`. */
const facts: Readonly<Record<string, Readonly<Record<string, Fact>>>> = {
  storage: {
    freeBytes: gauge('free_bytes', 'Free bytes of the disk that is worst off.'),
    totalBytes: gauge('total_bytes', 'Bytes of that disk.'),
    recording: gauge('recording', '1 while there is room to record, else 0.'),
    reserveHeld: gauge('reserve_held', '1 while room is kept back for looking and deleting.'),
    recoveryFindings: gauge('recovery_findings', 'What the last start found and could not mend.'),
    orphanSessions: gauge('orphan_sessions', 'Sessions with stored chunks that no database knows.'),
    incompleteSessions: gauge('incomplete_sessions', 'Sessions with chunks missing.'),
    scrubProblems: gauge(
      'scrub_problems',
      'Stored chunks that are missing or spoiled, as far as they were read again.',
    ),
    scrubChunks: gauge('scrub_chunks', 'Chunks that were read again in the walk under way.'),
    scrubBytes: gauge('scrub_bytes', 'Bytes of them.'),
    scrubRepaired: gauge('scrub_repaired', 'Put back from the second store, in this walk and the one before.'),
    scrubLastWalkSeconds: gauge(
      'scrub_last_walk_timestamp_seconds',
      'When all chunks had been read again; 0: not yet.',
    ),
    copyWaitingChunks: gauge('copy_waiting_chunks', 'Chunks that wait for being copied to the second store.'),
  },
  processor: {
    workers: gauge('workers', 'Chunk workers that run.'),
    chunksInFlight: gauge('chunks_in_flight', 'Chunks that are compressed, encrypted or stored.'),
    chunksWaiting: gauge('chunks_waiting', 'Chunks that wait for a worker.'),
    workerCrashes: counter('worker_crashes', 'Chunk workers that died.'),
    sessions: gauge('sessions', 'Sessions whose chain this processor holds.'),
    keyframeSeconds: counter('keyframe_seconds', 'Seconds of a core spent on keyframes made ahead.'),
  },
  pipeline: {
    connectedSessions: gauge('connected_sessions', 'Sessions that are connected.'),
    concurrentSessionsMax: gauge('concurrent_sessions_max', 'How many may be (MAX_CONCURRENT_SESSIONS).'),
    jobsWaiting: gauge('jobs_waiting', 'Jobs that wait, those that wait for a time among them.'),
    jobsRunning: gauge('jobs_running', 'Jobs that run.'),
    jobsFailed: gauge(
      'jobs_failed',
      'Jobs that were given up: `sessions pipeline ID` says why, with `--resume` they are tried again.',
    ),
  },
  recorder: {
    sessions: gauge('sessions', 'Sessions under way, those that wait for their client among them.'),
    sessionsMax: gauge('sessions_max', 'How many there may be.'),
    reportsWaiting: gauge('reports_waiting', 'Reports the pipeline has not taken yet.'),
    rssBytes: gauge('rss_bytes', 'Resident memory of the process.'),
    connectionsWaiting: gauge('connections_waiting', 'Connections that are no session yet.'),
    connectionsPassedOn: counter('connections_passed_on', 'Clients passed on to the recorder of their session.'),
    draining: gauge('draining', '1 while no new sessions are taken.'),
    clockErrorMs: gauge('clock_error_ms', 'By how much that may be wrong, either way.'),
    clockOffsetMs: gauge(
      'clock_offset_ms',
      'What has to be added to the recorder’s clock, by the sources it is compared with.',
    ),
    clockSourcesAgreeing: gauge(
      'clock_sources_agreeing',
      'Sources that agree on it; 0: the clock is compared with nothing.',
    ),
    replicaBehindMs: gauge('replica_behind_ms', 'How far the copy of the spool is behind, ms.'),
    replicasKept: gauge('replicas_kept', 'Recorders whose spool is kept here.'),
    connectionsRefused: counter('connections_refused', 'Connections the gateway refused.'),
    connectionsOverLimit: counter('connections_over_limit', 'Connections closed over a limit.'),
    targetsFailed: counter('targets_failed', 'Connections whose target could not be reached.'),
    clientsLeft: counter('clients_left', 'Clients that left before their session.'),
    probes_tcp: counter('probes_tcp', 'Connections that said nothing.'),
    probes_garbage: counter('probes_garbage', 'Connections that spoke no RDP.'),
    probes_x224: counter('probes_x224', 'Connections that began RDP and went.'),
    probes_tls: counter('probes_tls', 'Connections that went behind TLS.'),
    pdusUnread: counter('pdus_unread', 'PDUs kept as inputs, or blanked, because they could not be read.'),
    unknownChannelPdus: counter('unknown_channel_pdus', 'PDUs of clients on channels whose use is not known.'),
    durableMsP50: gauge(
      'durable_ms_p50',
      'From arrival until frames are durable, ms: the median of the latest batches.',
    ),
    durableMsP99: gauge(
      'durable_ms_p99',
      'From arrival until frames are durable, ms: 99 of a hundred of the latest batches.',
    ),
    spooledBytes: gauge('spooled_bytes', 'Bytes in the spool that are not stored yet.'),
    spooledChunks: gauge('spooled_chunks', 'Closed chunks in the spool that are not stored yet.'),
  },
  api: {
    auditWaiting: gauge('audit_waiting', 'Audit entries storage has not taken yet.'),
    liveViewers: gauge('live_viewers', 'Who watches running sessions.'),
  },
};

const statusNumbers: Record<ServiceHealth['status'], number> = { healthy: 0, degraded: 1, unhealthy: 2 };

/** Numbers and switches of a service's health. */
export function healthMetrics({ service, status, details }: ServiceHealth): string {
  const known = facts[service] ?? {};
  const lines = metric(
    `lucid_${service}_health`,
    'gauge',
    '0 healthy, 1 degraded, 2 unhealthy.',
    statusNumbers[status],
  );
  for (const [detail, value] of Object.entries(details))
    if (typeof value !== 'string') {
      const { name, type, help } = known[detail] ?? gauge(snake(detail), 'From the health of the service.');
      lines.push(...metric(`lucid_${service}_${name}`, type, help, Number(value)));
    }
  return `${lines.join('\n')}\n`;
}

const snake = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll(/[^a-z0-9_]/g, '_');

const metric = (name: string, type: string, help: string, value: number): string[] => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} ${type}`,
  `${name} ${value}`,
];

const registry = new Registry();
const registers = [registry];

const lines = new Counter({
  name: 'lucid_log_lines_total',
  help: 'Lines for the log by level, also those LUCID_LOG_LEVEL leaves out.',
  labelNames: ['level'],
  registers,
});
for (const level of ['error', 'warn', 'info', 'debug'] satisfies LogLevel[]) lines.inc({ level }, 0);
const alarms = new Counter({ name: 'lucid_alarms_total', help: 'Lines that began with ALARM.', registers });

/** Counts a line of the log. */
export function countLine(level: LogLevel, isAlarm: boolean): void {
  lines.inc({ level });
  if (isAlarm) alarms.inc();
}

const certificates = new Gauge({
  name: 'lucid_certificate_not_after_seconds',
  help: 'When a certificate that is used expires, seconds since 1970.',
  labelNames: ['use'],
  registers,
});

/** `use`: at which door. The first certificate of a PEM file, or one in DER. */
export function noteCertificate(use: 'rdp' | 'api' | 'services', certificate: Uint8Array | string): void {
  certificates.set({ use }, new X509Certificate(certificate).validToDate.getTime() / 1000);
}

const build = new Gauge({
  name: 'lucid_build_info',
  help: 'Always 1; what runs.',
  labelNames: ['version', 'node'],
  registers,
});

/** Which version of the product this process runs. */
export function noteBuild(version: string): void {
  build.set({ version, node: process.versions.node }, 1);
}

new Gauge({
  name: 'process_resident_memory_bytes',
  help: 'Resident memory of the process.',
  registers,
  collect() {
    this.set(process.memoryUsage.rss());
  },
});
new Counter({
  name: 'process_cpu_seconds_total',
  help: 'User and system CPU time of the process.',
  registers,
  collect() {
    const { user, system } = process.cpuUsage();
    this.reset();
    this.inc((user + system) / 1e6);
  },
});
new Gauge({
  name: 'process_start_time_seconds',
  help: 'When the process began, seconds since 1970.',
  registers,
}).set(Math.round(performance.timeOrigin) / 1000);
if (process.platform === 'linux')
  new Gauge({
    name: 'process_open_fds',
    help: 'Open file descriptors.',
    registers,
    async collect() {
      this.set((await readdir('/proc/self/fd')).length);
    },
  });

const lagWindowMs = 30_000;
/** A timer that wakes the thread, whatever else happens; Node counts its own time among how late it was. */
const lagResolutionMs = 100;
const lag = monitorEventLoopDelay({ resolution: lagResolutionMs });
lag.enable();
let lagSinceMs = performance.now();

// The thread that answers is the one that relays: whoever keeps it busy keeps every client waiting.
new Gauge({
  name: 'nodejs_eventloop_lag_seconds',
  help: 'How late the main thread was, looked at ten times a second, of up to half a minute.',
  labelNames: ['quantile'],
  registers,
  collect() {
    if (lag.count === 0) return;
    const late = (ns: number): number => Math.max(0, ns / 1e9 - lagResolutionMs / 1000);
    this.set({ quantile: '0.5' }, late(lag.percentile(50)));
    this.set({ quantile: '0.99' }, late(lag.percentile(99)));
    this.set({ quantile: '1' }, late(lag.max));
    if (performance.now() - lagSinceMs < lagWindowMs) return;
    lag.reset();
    lagSinceMs = performance.now();
  },
});

/** All of it as text. */
export const processMetrics = (): Promise<string> => registry.metrics();
