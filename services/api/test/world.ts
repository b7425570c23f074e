/** The API over HTTP on real services; only the recorder does as the test says. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AnsweredRequest, type ApiConfig, type ApiDeps, createApiServer, noProxy } from '@lucid-sessions/api';
import {
  basePath,
  errorAnswer,
  type OperationId,
  type RecorderPort,
  type RecordingStatistics,
  type RestRoute,
  type Role,
  rateLimitsPerMinute,
  restRoutes,
} from '@lucid-sessions/contract';
import { formatNoteKey, formatPublicKey, parsePolicy } from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import {
  KeyDirectory,
  type KeyWrapper,
  LocalSeal,
  LocalUnwrapper,
  LocalWrapper,
  unwrapDek,
} from '@lucid-sessions/keys';
import { EmbeddedLog, embeddedLogPort } from '@lucid-sessions/log';
import { nodeCrypto } from '@lucid-sessions/node';
import { createPipelineService } from '@lucid-sessions/pipeline';
import { createProcessor } from '@lucid-sessions/processor';
import { SqliteJobQueue, SqliteJournalStore, SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService } from '@lucid-sessions/storage';
import { SignJWT } from 'jose';

export const jwtSecret = 'the secret of the identity provider, for tests';

export interface TokenClaims {
  user_id?: unknown;
  roles?: unknown;
  type?: unknown;
  exp?: number | null;
}

export async function token(roles: readonly (Role | string)[], claims: TokenClaims = {}, secret = jwtSecret) {
  const { exp, ...rest } = claims;
  const jwt = new SignJWT({ user_id: 'ada', roles, type: 'access', ...rest }).setProtectedHeader({ alg: 'HS256' });
  if (exp !== null) jwt.setExpirationTime(exp ?? Math.floor(Date.now() / 1000) + 3600);
  return jwt.sign(new TextEncoder().encode(secret));
}

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed and held against the schema of its route. */
  body: Record<string, unknown> & { error?: { code: string; message: string; request_id: string; details: object } };
  bytes: Uint8Array;
}

export interface CallOptions {
  params?: Record<string, string>;
  query?: Record<string, string | number>;
  body?: unknown;
  headers?: Record<string, string>;
  /** Roles of the caller; admin when left out, null for no token at all. */
  roles?: readonly string[] | null;
}

const statistics: RecordingStatistics = {
  framesCount: 90,
  relayedBytes: 9000,
  framesDropped: 0,
  errorsCount: 0,
  durationUs: 10_000_000,
  updatesCount: 50,
};

export interface ApiWorld {
  address: string;
  deps: ApiDeps;
  log: EmbeddedLog;
  config: ApiConfig;
  /** Requests as they were logged. */
  lines: AnsweredRequest[];
  failures: string[];
  recorder: RecorderPort;
  call(operation: OperationId, options?: CallOptions): Promise<Answer>;
  raw(path: string, init?: RequestInit): Promise<Answer>;
  create(changes?: Record<string, unknown>): Promise<string>;
  /** Connects, records three chunks and ends; answers when the manifest is signed. */
  record(framesDropped?: number): Promise<string>;
  connect(sessionId: string): Promise<void>;
  seal(sessionId: string, index: number, final: boolean): Promise<void>;
  until(sessionId: string, status: string): Promise<void>;
  chunkPath(sessionId: string, index: number): string;
  dispose(): Promise<void>;
}

/** `wrappers`: whom session keys are wrapped to beside the local key. */
export async function apiWorld(
  changes: Partial<ApiConfig> = {},
  more: Partial<ApiDeps> = {},
  wrappers: readonly KeyWrapper[] = [],
): Promise<ApiWorld> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-api-'));
  const nowUs = more.nowUs ?? (() => Date.now() * 1000);
  const failures: string[] = [];
  const onError = (where: string, thrown: unknown) => failures.push(`${where}: ${(thrown as Error).message}`);
  const storage = createStorageService({
    metadata: new SqliteMetadataStore(':memory:'),
    chunks: new FsChunkStore({ path: join(path, 'chunks') }),
    nowUs,
  });
  const keys = await KeyDirectory.open(join(path, 'keys'));
  const local = await keys.localKey();
  const unwrappers = [new LocalUnwrapper([local])];
  const identity = await keys.identity();
  const processor = createProcessor(
    {
      chunkBytesMax: 1024 * 1024,
      compressionLevel: 3,
      workersMax: 1,
      sessionsMax: 20,
      recorderId: 'recorder-1',
      leaseTtlMs: 60_000,
    },
    {
      storage,
      crypto: nodeCrypto,
      keys: { identity, wrappers: [new LocalWrapper(local), ...wrappers], unwrappers },
      nowUs,
    },
  );
  const signer = await keys.logSigner('log.example/test');
  const log = await EmbeddedLog.open({ directory: join(path, 'log'), signer });
  const recorder: RecorderPort = {
    stop: async () => ({ stopped: true }),
    pause: async () => ({ pausedAtUs: nowUs() }),
    resume: async () => ({ resumedAtUs: nowUs() }),
    message: async ({ seconds }) => ({ untilUs: nowUs() + seconds * 1_000_000 }),
    steer: async ({ by }) => ({ token: `token of ${by}`, expiresUs: nowUs() + 60_000_000 }),
    live: async () => ({ sessions: [] }),
    judgeTarget: async () => ({ open: true }),
    checkTarget: async () => ({ message: 'no', address: null, certificate: null }),
    importCapture: async () => ({ session: null as never }),
    drain: async () => ({ sessions: 0, spooled: 0 }),
    replicaState: async () => ({ segments: [], takenOver: [] }),
    replicate: async () => {},
    liveFrames: async ({ afterFrame }) => ({
      state: 'ended',
      chunkIndex: 0,
      firstFrame: afterFrame,
      framesCount: 0,
      frames: new Uint8Array(0),
    }),
    health: async () => ({
      service: 'recorder',
      status: 'healthy',
      message: null,
      details: { probes_x224: 3, unknownChannelPdus: 5 },
    }),
  };
  const pipeline = createPipelineService(
    {
      storage,
      processor,
      recorder: () => recorder,
      log: embeddedLogPort(log),
      anchors: [
        {
          backend: 'test-chain',
          submit: async ({ merkleRoot }) => ({
            backend: 'test-chain',
            status: 'confirmed',
            submittedAtUs: nowUs(),
            confirmedAtUs: nowUs(),
            blockHeight: 7,
            transactionId: 't1',
            merkleRoot,
            detail: null,
          }),
          check: async (_request, receipt) => receipt,
        },
      ],
      queue: new SqliteJobQueue(':memory:'),
      journal: new SqliteJournalStore(':memory:'),
      seal: new LocalSeal(await keys.secretsKey()),
      nowUs,
      random: () => 0,
      newId: randomUUID,
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
      ntHashOf: () => new Uint8Array(randomBytes(16)),
      onError,
    },
    { reconcileMs: 3_600_000, cookieRoute: true },
  );
  await pipeline.run();
  const trustedKeys: ApiDeps['trustedKeys'] = {
    v: 1,
    identity_keys: [{ key: formatPublicKey(identity.publicKey) }],
    log_keys: [formatNoteKey(log.publicKey)],
  };
  const policy = parsePolicy(new TextEncoder().encode(JSON.stringify(trustedKeys)));
  const lines: AnsweredRequest[] = [];
  const deps: ApiDeps = {
    storage,
    pipeline,
    recorder,
    processor,
    verification: { crypto: nodeCrypto, policy },
    trustedKeys,
    accountSeal: new LocalSeal((await keys.accountsKey())!),
    unwrapKey: (wraps) => unwrapDek(wraps, unwrappers),
    nowUs,
    newId: randomUUID,
    randomBytes: (length) => randomBytes(length),
    onError,
    onRequest: (line) => lines.push(line),
    ...more,
  };
  const config: ApiConfig = {
    host: '127.0.0.1',
    port: 0,
    jwt: { key: { kind: 'secret', secret: jwtSecret }, issuer: null, audience: null },
    rateLimits: {
      ...rateLimitsPerMinute,
      create: 1000,
      read: 10_000,
      update: 1000,
      delete: 1000,
      bulk: 1000,
      sign_in: 1000,
    },
    signIn: { idleUs: 3_600_000_000, wholeUs: 12 * 3_600_000_000 },
    signInBy: { local: true, providers: [] },
    gateway: { host: 'gateway.example', port: 3390 },
    rdpIsOpen: true,
    nla: 'offered',
    rdGateway: { host: 'console.example', port: 443 },
    publicUrl: 'https://console.example',
    trustProxy: noProxy,
    tls: null,
    version: '0.1.0',
    retentionDaysDefault: null,
    deleteReason: 'optional',
    targets: 'open',
    viewing: { level: 'open', projects: new Map(), minutesMax: 60 },
    ...changes,
  };
  const server = createApiServer(config, deps);
  const { address } = await server.start();

  async function raw(where: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(address + where, init);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
    const body = isJson ? JSON.parse(new TextDecoder().decode(bytes)) : {};
    if (response.status >= 400 && where !== '/health') errorAnswer.parse(body);
    return { status: response.status, headers: response.headers, body, bytes };
  }

  const world: ApiWorld = {
    address,
    deps,
    log,
    config,
    lines,
    failures,
    recorder,
    raw,
    async call(operation, { params = {}, query = {}, body, headers = {}, roles = ['admin'] } = {}) {
      const route: RestRoute = restRoutes[operation];
      const filled = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
      const search = new URLSearchParams(
        Object.entries(query).map(([name, value]) => [name, String(value)]),
      ).toString();
      const answer = await raw(basePath + filled + (search === '' ? '' : `?${search}`), {
        method: route.method,
        headers: {
          ...(roles === null ? {} : { authorization: `Bearer ${await token(roles)}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (answer.status < 400) {
        if (answer.status !== route.answer.status) throw new Error(`${operation} answered ${answer.status}`);
        if ('schema' in route.answer) route.answer.schema.parse(answer.body);
      }
      return answer;
    },
    async create(fields = {}) {
      const body = { name: 'A session', rdp_config: { host: 'desk.example', username: 'alice' }, ...fields };
      const { status, body: session } = await world.call('createSession', { body });
      if (status !== 201) throw new Error(`create answered ${status}: ${session.error?.message}`);
      return String(session.session_id);
    },
    async connect(sessionId) {
      await pipeline.start({ sessionId });
      const route = { kind: 'cookie', name: sessionId } as const;
      const addresses = { connectionId: sessionId, clientAddress: '10.0.0.1:1', recorderId: 'r' };
      const found = await pipeline.find({ ...addresses, route, clientName: sessionId });
      if (!found.found) throw new Error(found.message);
      const admission = await pipeline.admit({ connectionId: sessionId });
      if (!admission.admitted) throw new Error(admission.message);
      const targetAddress = '10.0.0.2:3389';
      await pipeline.report({ kind: 'started', sessionId, atUs: nowUs(), ...addresses, targetAddress });
    },
    async seal(sessionId, index, final) {
      const openedUs = nowUs() + index * 1_000_000;
      await processor.seal({
        sessionId,
        index,
        final,
        recovered: index === 1,
        gapBefore: false,
        openedUs,
        closedUs: openedUs + 900_000,
        monotonicNs: index * 1_000_000_000,
        framesCount: 30,
        updatesCount: 20,
        payload: new Uint8Array(20_000).map((_, byte) => (byte * (index + 3)) % 13),
      });
    },
    async record(framesDropped = 0) {
      const sessionId = await world.create();
      await world.connect(sessionId);
      const startedUs = nowUs();
      for (let index = 0; index < 3; index++) await world.seal(sessionId, index, index === 2);
      const end = {
        atUs: startedUs + 4_000_000,
        reason: 'client_disconnected',
        message: 'bye',
        failed: false,
      } as const;
      await pipeline.report({ kind: 'ended', sessionId, ...end, statistics: { ...statistics, framesDropped } });
      await pipeline.report({ kind: 'drained', sessionId, chunksCount: 3 });
      await world.until(sessionId, 'completed');
      return sessionId;
    },
    async until(sessionId, status) {
      for (let left = 500; left > 0; left--) {
        if ((await storage.getSession({ sessionId })).session?.status === status) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`the session did not become ${status}: ${failures}`);
    },
    chunkPath: (sessionId, index) => join(path, 'chunks', sessionId.slice(0, 2), sessionId, `${index}.chunk`),
    async dispose() {
      await server.dispose();
      await pipeline.dispose();
      await processor.dispose();
      await log.close();
      await storage.dispose();
      await rm(path, { recursive: true });
    },
  };
  return world;
}
