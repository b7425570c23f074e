/** A recorder between a test desktop and a test client, with the services it talks to played by the test. */

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Admission,
  type ChunkToSeal,
  type ConnectionAttempt,
  type ConnectionRequest,
  type Finding,
  type LogonAccount,
  type LogonTry,
  type PipelinePort,
  type RecorderReport,
  type Route,
  recordingConfigSchema,
  type SessionTicket,
} from '@lucid-sessions/contract';
import { decodeNote, type Frame, frameKinds, type GatewayNote, readPayload } from '@lucid-sessions/recording';
import { createRecorder, type Recorder, type RecorderConfig, type RecorderDeps } from '../src/index.ts';
import { temporaryDirectory } from './spool-kit.ts';

export interface Gateway {
  recorder: Recorder;
  /** Where clients that name their session connect. */
  port: number;
  reports: RecorderReport[];
  chunks: (ChunkToSeal & { copy: Uint8Array })[];
  routes: Route[];
  problems: string[];
  /** What the operator reads. */
  lines: string[];
  /** Outcomes of logons. */
  tries: LogonTry[];
  /** Connections that became no session. */
  attempts: ConnectionAttempt[];
  /** The first of them, when it is there. */
  attempted: () => Promise<ConnectionAttempt>;
  /** The first report of a kind, when it is there. */
  reported: <K extends RecorderReport['kind']>(kind: K) => Promise<Extract<RecorderReport, { kind: K }>>;
  frames: () => Frame[];
  notes: () => GatewayNote[];
}

export const ticketFor = (port: number, more: Partial<SessionTicket> = {}): SessionTicket => ({
  sessionId: 'session-1',
  reconnects: false,
  reconnectSeconds: 0,
  target: { host: '127.0.0.1', port, useTls: true, ignoreCert: true },
  credentials: 'none',
  recording: recordingConfigSchema.parse({}),
  graphics: 'passthrough',
  persistence: 'strict',
  ...more,
});

export const configFor = (dataDir: string, more: Partial<RecorderConfig> = {}): RecorderConfig => ({
  host: '127.0.0.1',
  port: 0,
  serviceSecret: 'x'.repeat(32),
  keys: { path: join(dataDir, 'keys'), given: false },
  dataDir,
  recorderId: 'test-recorder',
  listeners: [{ host: '127.0.0.1', port: 0, target: null }],
  sessionsMax: 10,
  channelBounds: [],
  chunkBytesMax: 1 << 20,
  chunkAgeMs: 30_000,
  spoolReplicas: [],
  takeOverMs: 60_000,
  spoolReplicaHoldMs: 0,
  spoolBytesMax: 1 << 30,
  handshakeMs: 10_000,
  waitingPerAddressMax: 200,
  waitingMax: 800,
  connectionsPerSecondMax: 1000,
  nla: 'offered',
  nlaVersionMin: 5,
  cookieRoute: true,
  targets: { allow: [], deny: [], opensLoopback: true, ownPorts: [] },
  kerberos: { policy: 'off', exceptions: [], ownTargets: [] },
  refusalMs: 0,
  paintsPipeline: true,
  activationMs: 60_000,
  idleMs: 0,
  ...more,
});

export const receipt = {
  chunkId: 'c',
  index: 0,
  leafHash: '',
  fileSha256: '',
  fileBytes: 0,
  payloadBytes: 0,
  compression: 'none',
  storedAtUs: 0,
} as const;

export interface GatewayOptions {
  /** What `find` answers; `admit` answers the same when the connection is ready. */
  admit: (route: Route) => Admission | Promise<Admission>;
  config?: Partial<RecorderConfig>;
  deps?: Partial<RecorderDeps>;
  dataDir?: string;
  report?: (report: RecorderReport) => Promise<void>;
  beginImport?: PipelinePort['beginImport'];
  /** Who may log on, by user name. */
  logonAccount?: (user: string) => Promise<LogonAccount | null>;
  targetCredentials?: PipelinePort['targetCredentials'];
  approval?: PipelinePort['approval'];
}

export async function startGateway(t: TestContext, options: GatewayOptions): Promise<Gateway> {
  const dataDir = options.dataDir ?? temporaryDirectory(t);
  const reports: RecorderReport[] = [];
  const chunks: Gateway['chunks'] = [];
  const routes: Route[] = [];
  const problems: string[] = [];
  const lines: string[] = [];
  const attempts: ConnectionAttempt[] = [];
  const tries: LogonTry[] = [];
  const admissions = new Map<string, Admission>();
  const waiters: (() => void)[] = [];
  const pipeline = {
    find: async ({ connectionId, route }: ConnectionRequest): Promise<Finding> => {
      routes.push(route);
      const admission = await options.admit(route);
      admissions.set(connectionId, admission);
      const { admitted, ...rest } = admission;
      return { found: admitted, ...rest } as Finding;
    },
    beginImport: options.beginImport,
    logonAccount: async ({ user }: { user: string }) => ({ account: (await options.logonAccount?.(user)) ?? null }),
    logonTried: async (tried: LogonTry) => void tries.push(tried),
    targetCredentials: options.targetCredentials,
    approval: options.approval,
    admit: async ({ connectionId }: { connectionId: string }) => admissions.get(connectionId),
    attempted: async (attempt: ConnectionAttempt) => {
      attempts.push(attempt);
      for (const wake of waiters.splice(0)) wake();
    },
    report: async (report: RecorderReport) => {
      await options.report?.(report);
      reports.push(report);
      for (const wake of waiters.splice(0)) wake();
    },
  } as unknown as PipelinePort;
  const recorder = await createRecorder(configFor(dataDir, options.config), {
    pipeline,
    processor: {
      seal: async (chunk) => {
        chunks.push({ ...chunk, copy: chunk.payload.slice() });
        return receipt;
      },
    },
    onProblem: (message) => problems.push(message),
    onLog: (line) => lines.push(line),
    ...options.deps,
  });
  t.after(() => recorder.dispose(200));
  const reported: Gateway['reported'] = async (kind) => {
    for (;;) {
      const found = reports.find((report) => report.kind === kind);
      if (found !== undefined) return found as Extract<RecorderReport, { kind: typeof kind }>;
      await new Promise<void>((resolve) => waiters.push(resolve));
    }
  };
  const attempted: Gateway['attempted'] = async () => {
    for (;;) {
      if (attempts[0] !== undefined) return attempts[0];
      await new Promise<void>((resolve) => waiters.push(resolve));
    }
  };
  const frames = (): Frame[] => chunks.flatMap(({ copy }) => [...readPayload(copy)]);
  return {
    recorder,
    port: recorder.addresses[0]!.port,
    reports,
    chunks,
    routes,
    problems,
    lines,
    attempts,
    tries,
    attempted,
    reported,
    frames,
    notes: () =>
      frames()
        .filter((frame) => frame.kind === frameKinds.note)
        .map((frame) => decodeNote(frame.body)),
  };
}
