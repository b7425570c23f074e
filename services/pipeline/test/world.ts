/** A pipeline on real storage with a recorder, processor, log and anchors that do as the test says. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Admission,
  type AnchorReceipt,
  type ConnectionRequest,
  LucidError,
  type PipelinePort,
  type ProcessorPort,
  type RecorderPort,
  type RecorderReport,
  type RecordingStatistics,
  type Route,
  type SessionTicket,
} from '@lucid-sessions/contract';
import { ed25519Signer, formatPublicKey, type RecordBody, recordBase, signRecord } from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { LocalSeal } from '@lucid-sessions/keys';
import { nodeCrypto } from '@lucid-sessions/node';
import {
  type Anchor,
  createPipelineService,
  type PipelineDeps,
  type PipelineLimits,
  type TransparencyLog,
} from '@lucid-sessions/pipeline';
import { SqliteJobQueue, SqliteJournalStore, SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService } from '@lucid-sessions/storage';
import { sampleChunk, sampleSession } from '@lucid-sessions/storage/suites';

export const statistics: RecordingStatistics = {
  framesCount: 100,
  relayedBytes: 5000,
  framesDropped: 1,
  errorsCount: 2,
  durationUs: 10_000_000,
  updatesCount: 50,
};

const bytes = (text: string) => new TextEncoder().encode(text);
const health = (service: 'processor' | 'recorder') => async () =>
  ({ service, status: 'healthy', message: null, details: {} }) as const;

export interface World {
  pipeline: PipelinePort;
  storage: ReturnType<typeof createStorageService>;
  clock: { us: number };
  /** Calls to recorder and processor, in order. */
  calls: string[];
  entries: Uint8Array[];
  recorder: RecorderPort & { alive: Set<string>; paused: Map<string, number> };
  processor: ProcessorPort;
  anchors: Anchor[];
  failures: string[];
  /** The process dies when so many more calls of what is durable were made: that one and all after it are never carried out. */
  fuse: { left: number };
  /** What the next process has otherwise. */
  lender: Partial<Pick<PipelineDeps, 'credentialProvider' | 'seal' | 'journal' | 'stamper'>>;
  service: ReturnType<typeof createPipelineService>;
  /** Another process's view of the same disk. */
  deps(): PipelineDeps;
  /** For tests that bring pipelines of their own. */
  stop(): Promise<void>;
  /** The pipeline's process dies and a new one takes over. */
  restart(limits?: Partial<PipelineLimits>): Promise<void>;
  /** A connection that is found and admitted at once. */
  connect(route: Route, more?: Partial<ConnectionRequest>): Promise<Admission>;
  admit(sessionId: string): Promise<SessionTicket>;
  start(sessionId: string, atUs?: number): Promise<void>;
  putChunk(sessionId: string, index: number, previous?: string | null): Promise<string>;
  /** started → one chunk → ended → drained. */
  record(sessionId: string): Promise<void>;
  /** Waits until the session has the status, at most 5 s. */
  until(sessionId: string, status: string): Promise<void>;
  dispose(): Promise<void>;
}

/** The same, until the fuse is burnt: then no call is carried out any more. Of `names` only, where they are given. */
function fused<T extends object>(port: T, fuse: World['fuse'], names: readonly string[] | null = null): T {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name === 'dispose' || (names !== null && !names.includes(String(name)))) return value.bind(target);
      return async (...args: unknown[]) => {
        if (fuse.left <= 0) throw new LucidError('unavailable', 'the process is dead');
        fuse.left -= 1;
        return value.apply(target, args);
      };
    },
  });
}

const identity = await ed25519Signer(nodeCrypto, new Uint8Array(32).fill(1));

const signedOpen = (sessionId: string, openedUs: number): Promise<Uint8Array> =>
  signRecord(identity, {
    ...recordBase('open', sessionId),
    opened_us: openedUs,
    recorder: { id: 'recorder-1', software: 'test', identity_key: formatPublicKey(identity.publicKey) },
    first_seal_key: '00'.repeat(32),
    encryption: 'none',
    dek_id: null,
    policy: {
      persistence: 'strict',
      graphics: 'passthrough',
      compression: 'none',
      chunk_bytes_max: 1,
      chunk_age_us_max: 1,
    },
    parties: { created_by: null, target: '10.0.0.2:3389', target_user: null },
    checkpoint: null,
    log_entries: 2,
  });

export async function world(limits: Partial<PipelineLimits> = {}): Promise<World> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-pipeline-'));
  const clock = { us: 1_767_225_600_000_000 };
  const nowUs = () => clock.us;
  const storage = createStorageService({
    metadata: new SqliteMetadataStore(':memory:'),
    chunks: new FsChunkStore({ path: join(path, 'chunks') }),
    nowUs,
  });
  const calls: string[] = [];
  const entries: Uint8Array[] = [];
  const failures: string[] = [];
  const alive = new Set<string>();
  const paused = new Map<string, number>();

  const recorder: World['recorder'] = {
    alive,
    paused,
    stop: async ({ sessionId, reason }) => {
      calls.push(`stop ${sessionId} ${reason}`);
      return { stopped: alive.delete(sessionId) };
    },
    pause: async ({ sessionId }) => {
      paused.set(sessionId, paused.get(sessionId) ?? clock.us);
      return { pausedAtUs: paused.get(sessionId)! };
    },
    resume: async ({ sessionId }) => {
      paused.delete(sessionId);
      return { resumedAtUs: clock.us };
    },
    message: async ({ seconds }) => ({ untilUs: clock.us + seconds * 1_000_000 }),
    steer: async ({ by }) => ({ token: `token of ${by}`, expiresUs: clock.us + 60_000_000 }),
    live: async () => ({
      sessions: [...alive].map((sessionId) => ({
        sessionId,
        startedAtUs: 0,
        paused: paused.has(sessionId),
        statistics,
      })),
      spooled: [],
    }),
    judgeTarget: async () => ({ open: true }),
    checkTarget: async () => ({ message: 'no', address: null, certificate: null }),
    importCapture: async () => ({ session: null as never }),
    drain: async () => ({ sessions: 0, spooled: 0 }),
    replicaState: async () => ({ segments: [], takenOver: [] }),
    replicate: async () => {},
    liveFrames: async ({ afterFrame: firstFrame }) => ({
      state: 'ended',
      chunkIndex: 0,
      firstFrame,
      framesCount: 0,
      frames: new Uint8Array(0),
    }),
    health: health('recorder'),
  };
  const processor: ProcessorPort = {
    open: async ({ session, openedUs }) => {
      const { session_id: sessionId } = session;
      calls.push(`open ${sessionId}`);
      const [known] = (await storage.getRecords({ sessionId, kind: 'open' })).records;
      const openRecord = known?.record ?? (await signedOpen(sessionId, openedUs));
      await storage.putRecord({ sessionId, kind: 'open', record: openRecord });
      return { openRecord };
    },
    seal: () => Promise.reject(new Error('not used')),
    finish: async ({ session, reason, facts }) => {
      calls.push(`finish ${session.session_id} ${reason} facts:${facts.length}`);
      const totals = await storage.sessionTotals({ sessionId: session.session_id });
      return {
        manifestRecord: bytes(`manifest ${session.session_id}`),
        merkleRoot: createHash('sha256').update(session.session_id).digest('hex'),
        chunksCount: totals.chunksCount,
        totalBytes: totals.storedBytes,
      };
    },
    signRecord: async ({ sessionId, kind, body }) => ({
      record:
        kind === 'custody'
          ? await signRecord(identity, { ...body, ...recordBase(kind, sessionId) } as unknown as RecordBody)
          : bytes(`${kind} ${sessionId} ${JSON.stringify(body)}`),
    }),
    follow: async () => {},
    health: health('processor'),
  };
  const log: TransparencyLog = {
    publicKey: 'log-key',
    append: async (entry) => ({ index: entries.push(entry) - 1 }),
    prove: async (indices) => ({
      size: entries.length,
      checkpoint: `size ${entries.length}`,
      inclusion: indices.map(() => []),
      consistency: [],
    }),
    proveAt: async () => [],
    proveConsistency: async () => [],
    find: async (entry) => {
      const index = entries.findIndex((known) => Buffer.compare(known, entry) === 0);
      return index < 0 ? null : index;
    },
    checkpoint: async () => (entries.length === 0 ? null : `size ${entries.length}`),
  };
  const anchors: Anchor[] = [];
  let count = 0;
  let connections = 0;
  const fuse = { left: Number.POSITIVE_INFINITY };
  const lender: World['lender'] = {};
  const deps = (): PipelineDeps => ({
    storage: fused(storage, fuse),
    processor: fused(processor, fuse),
    recorder: () => recorder,
    log: fused(log, fuse),
    anchors,
    queue: fused(new SqliteJobQueue(join(path, 'jobs.db')), fuse, ['enqueue']),
    journal: fused(new SqliteJournalStore(join(path, 'journal.db')), fuse),
    seal: new LocalSeal({ keyId: 'test', bytes: new Uint8Array(32).fill(7) }),
    ...lender,
    nowUs,
    random: () => 0,
    newId: () => `new-${++count}`,
    randomBytes: (length) => new Uint8Array(randomBytes(length)),
    // Not MD4, which is the composition's to bring: as good for all the pipeline does with it.
    ntHashOf: (password) => new Uint8Array(createHash('md5').update(password, 'utf16le').digest()),
    onError: (where, thrown) => failures.push(`${where}: ${(thrown as Error).message}`),
  });
  const chosen = { cookieRoute: true, reconcileMs: 3_600_000, progressMs: 0, anchorPollMs: 0, ...limits };
  let service = createPipelineService(deps(), chosen);
  await service.run();

  let stopped: Promise<void> | null = null;
  const report = (said: RecorderReport) => made.pipeline.report(said);
  const made: World = {
    pipeline: service,
    service,
    deps,
    storage,
    clock,
    calls,
    entries,
    recorder,
    processor,
    anchors,
    failures,
    fuse,
    lender,
    stop() {
      stopped ??= service.dispose();
      return stopped;
    },
    async restart(changed = {}) {
      await made.stop();
      fuse.left = Number.POSITIVE_INFINITY;
      service = createPipelineService(deps(), { ...chosen, ...changed });
      stopped = null;
      made.pipeline = service;
      made.service = service;
      await service.run();
    },
    async connect(route, more = {}) {
      const connectionId = `connection-${++connections}`;
      const request = {
        connectionId,
        route,
        clientAddress: '10.0.0.1:5000',
        clientName: null,
        recorderId: 'recorder-1',
      };
      const finding = await made.pipeline.find({ ...request, ...more });
      if (!finding.found) return { admitted: false, code: finding.code, message: finding.message };
      return made.pipeline.admit({ connectionId: more.connectionId ?? connectionId });
    },
    async start(sessionId, atUs = clock.us) {
      const addresses = { connectionId: 'c', clientAddress: '10.0.0.1:5000', targetAddress: '10.0.0.2:3389' };
      await report({ kind: 'started', sessionId, atUs, recorderId: 'recorder-1', ...addresses });
    },
    async admit(sessionId) {
      const session = sampleSession(sessionId);
      await made.pipeline.create({ session, routeTokenSha256: null });
      await made.pipeline.start({ sessionId });
      const admission = await made.connect({ kind: 'cookie', name: sessionId });
      if (!admission.admitted) throw new LucidError('internal', admission.message);
      alive.add(sessionId);
      return admission.ticket;
    },
    async putChunk(sessionId, index, previous = null) {
      const { epoch } = await storage.acquireLease({ sessionId, owner: 'p', ttlMs: 1000 });
      const chunk = sampleChunk(sessionId, index, previous);
      await storage.putChunk({ ...chunk, epoch });
      return chunk.metadata.leafHash;
    },
    async record(sessionId) {
      await made.start(sessionId);
      await made.putChunk(sessionId, 0);
      clock.us += 10_000_000;
      const end = { reason: 'client_disconnected', message: 'bye', failed: false } as const;
      alive.delete(sessionId);
      await report({ kind: 'ended', sessionId, atUs: clock.us, ...end, statistics });
      await report({ kind: 'drained', sessionId, chunksCount: 1 });
    },
    async until(sessionId, status) {
      for (let left = 500; left > 0; left--) {
        if ((await storage.getSession({ sessionId })).session?.status === status) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const { session } = await storage.getSession({ sessionId });
      throw new Error(
        `${sessionId} stayed ${session?.status} (${session?.pipeline_state}), not ${status}: ${failures}`,
      );
    },
    async dispose() {
      await made.stop();
      await storage.dispose();
      await rm(path, { recursive: true });
    },
  };
  return made;
}

export const receiptOf = (backend: string, status: AnchorReceipt['status'], merkleRoot: string): AnchorReceipt => ({
  backend,
  status,
  submittedAtUs: 1,
  confirmedAtUs: status === 'confirmed' ? 2000 : null,
  blockHeight: null,
  transactionId: null,
  merkleRoot,
  detail: null,
});
