/** Session Storage: the only service that touches chunk files and metadata. */
import { type Entry, LucidError, refuseHeld, type ServiceHealth, type StoragePort } from '@lucid-sessions/contract';
import { KeyedQueue } from '@lucid-sessions/kit';
import { AuditChain } from './audit-chain.ts';
import { Census, type CensusReport } from './census.ts';
import { Copies } from './copies.ts';
import { type ChunkPutter, chunkPutter, isImported, retainedFrom } from './put-chunk.ts';
import { type RecoveryReport, recoverStorage } from './recovery.ts';
import { Scrubber, type ScrubberView, type ScrubSettings } from './scrubber.ts';
import { SpaceWatch, spaceMessage } from './space-watch.ts';
import type { ChunkStore, MetadataStore, SpaceReserve } from './stores.ts';

export interface StorageDeps {
  metadata: MetadataStore;
  chunks: ChunkStore;
  /** µs since 1970. */
  nowUs: () => number;
  /** Hash every file again before it is stored: on where files arrive over a network. */
  verifyOnPut?: boolean;
  /** A second store, and whose chunks go there. */
  copy?: { chunks: ChunkStore; which: 'all' | 'asked' };
  /** Every stored chunk is read again within so many days; null: none is. */
  scrub?: ScrubSettings | null;
  /** Room kept back; without it a full disk takes no audit entry. */
  reserve?: SpaceReserve;
  /** What an operator should see. */
  say?: (line: string) => void;
  /** Sees what failed beside a call. */
  onError?: (where: string, thrown: unknown) => void;
}

export interface StorageService extends StoragePort {
  /** Reconciles what a crash left. Call before the first chunk. */
  start(): Promise<RecoveryReport>;
  /** Whether files and rows belong together; runs by itself too. */
  census(): Promise<CensusReport>;
  /** Waits for what is under way, then closes the stores. */
  dispose(): Promise<void>;
}

/** A database that waits for its disk, or for a lock, answers nobody: health must, even then. */
const pingMsMax = 3000;

/** Calls that may wait for what is kept beside one session's chunks. */
const keepWaitingMax = 1000;

const sessionsOf = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`;

/** Null while files and rows belong together. */
function apartMessage({ orphansCount, incompleteCount }: CensusReport): string | null {
  if (incompleteCount > 0)
    return `${sessionsOf(incompleteCount, 'session has', 'sessions have')} chunks missing: run lucid-sessions check`;
  if (orphansCount > 0)
    return `the stored chunks of ${sessionsOf(orphansCount, 'session', 'sessions')} belong to no session here: run lucid-sessions check`;
  return null;
}

/** Throws when the database does not answer in time. */
async function ping(metadata: MetadataStore): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), pingMsMax);
  });
  await Promise.race([metadata.ping(), late]).finally(() => clearTimeout(timer));
}

type SessionCalls = Pick<
  StoragePort,
  | 'createSession'
  | 'getSession'
  | 'findSession'
  | 'setRouteToken'
  | 'listSessions'
  | 'countSessions'
  | 'replaceSession'
  | 'acquireLease'
  | 'releaseLease'
>;

function sessionCalls({ metadata, nowUs, space }: Shared): SessionCalls {
  return {
    async createSession({ session, routeTokenSha256 }) {
      await space.checkRecording();
      return { created: await metadata.insertSession(session, routeTokenSha256) };
    },
    async getSession({ sessionId }) {
      return { session: await metadata.getSession(sessionId) };
    },
    async findSession({ route }) {
      const session =
        'tokenSha256' in route
          ? await metadata.findByToken(route.tokenSha256)
          : await metadata.findByCookie(route.cookie.slice(0, 255));
      return { session };
    },
    async setRouteToken({ sessionId, tokenSha256 }) {
      return { stored: await metadata.setRouteToken(sessionId, tokenSha256) };
    },
    listSessions: (query) => metadata.listSessions(query),
    async countSessions() {
      return { byStatus: await metadata.countSessions() };
    },
    async replaceSession({ session, expectedVersion }) {
      if (session.version !== expectedVersion + 1)
        throw new LucidError('invalidRequest', 'the new version of a session is the expected one plus 1');
      if (await metadata.replaceSession(session, expectedVersion)) return { replaced: true, current: session };
      return { replaced: false, current: await metadata.getSession(session.session_id) };
    },
    async acquireLease({ sessionId, owner, ttlMs }) {
      const now = nowUs();
      const { acquired, lease } = await metadata.acquireLease(sessionId, owner, now, now + Math.round(ttlMs * 1000));
      return { acquired, epoch: lease.epoch, owner: lease.owner };
    },
    async releaseLease({ sessionId, owner }) {
      await metadata.releaseLease(sessionId, owner);
    },
  };
}

type ChunkCalls = Pick<
  StoragePort,
  'putChunk' | 'purgeSession' | 'chainHeads' | 'listChunks' | 'getChunk' | 'sessionTotals' | 'readChunk' | 'readLeaves'
>;

/** What the calls of a service share. */
interface Shared extends StorageDeps {
  putter: ChunkPutter;
  audit: AuditChain;
  space: SpaceWatch;
  /** What is kept of a session beside its chunks changes one call after the other. */
  keeping: KeyedQueue;
  census: Census;
  copies: Copies | null;
}

/** Whoever asks, and whatever the pipeline believes: a legal hold is the last word. */
async function refuseIfHeld(
  metadata: MetadataStore,
  sessionId: string,
  what: 'keys' | 'keys_and_chunks',
): Promise<void> {
  const session = await metadata.getSession(sessionId);
  // Begun before the hold: its record is signed.
  const isBegun = session?.destroying === what || session?.destroying === 'keys_and_chunks';
  if (session !== null && !isBegun) refuseHeld(session);
}

function chunkCalls({ metadata, chunks, putter, keeping, census, copies }: Shared): ChunkCalls {
  return {
    async putChunk(request) {
      const answer = await putter.put(request);
      if (answer.appended) copies?.stored(request.metadata.sessionId);
      return answer;
    },
    async purgeSession({ sessionId }) {
      const purge = async () => {
        await refuseIfHeld(metadata, sessionId, 'keys_and_chunks');
        // Keys first: from here on the chunks can't be read. Rows last: while they stand, purging is asked for again.
        await chunks.putWraps(sessionId, []);
        await metadata.putWraps(sessionId, []);
        const { count: chunksCount } = await metadata.getHead(sessionId);
        const bytesFreed = await chunks.purgeSession(sessionId, { chunksCount });
        await copies?.purge(sessionId, { chunksCount });
        await metadata.purgeChain(sessionId);
        return { bytesFreed };
      };
      return putter.lanes.run(sessionId, () => keeping.run(sessionId, purge));
    },
    async chainHeads({ sessionIds }) {
      const heads = [];
      for (const sessionId of sessionIds) {
        const { count, leafHash } = await metadata.getHead(sessionId);
        heads.push({ sessionId, count, leafHash });
      }
      return { heads };
    },
    listChunks: (query) => metadata.listChunks(query),
    async getChunk({ sessionId, index }) {
      return { chunk: (await metadata.getChunk(sessionId, index))?.metadata ?? null };
    },
    async sessionTotals({ sessionId }) {
      const totals = await metadata.chainTotals(sessionId);
      const session = await metadata.getSession(sessionId);
      return session !== null && isImported(session) ? { ...totals, lineUs: 0 } : totals;
    },
    async readChunk({ sessionId, index }) {
      const file = await chunks.readFile(sessionId, index);
      if (file === null) census.suspect(sessionId);
      return { file };
    },
    async readLeaves({ sessionId }) {
      return { leaves: await chunks.readLeaves(sessionId) };
    },
  };
}

type RecordCalls = Pick<
  StoragePort,
  | 'putRecord'
  | 'getRecords'
  | 'putWraps'
  | 'getWraps'
  | 'holdFiles'
  | 'putSidecar'
  | 'getSidecar'
  | ('appendAudit' | 'listAudit' | 'auditHead' | 'auditRows')
>;

function recordCalls({ metadata, chunks, audit, keeping, onError, space, nowUs, copies, copy }: Shared): RecordCalls {
  /** Nothing is put beside chunks that are gone: a folder that stands there is one whose recording nobody knows. */
  const isDestroyed = async (sessionId: string): Promise<boolean> =>
    (await metadata.getSession(sessionId))?.pipeline_state === 'destroyed';
  return {
    async putRecord({ sessionId, kind, record, place }) {
      const sequence = await metadata.putRecord(sessionId, kind, record, place);
      // The row counts. A disk of chunks that is full must not keep anybody from deleting: the census writes it later.
      await keeping
        .run(sessionId, async () => {
          const session = await metadata.getSession(sessionId);
          if (session?.pipeline_state === 'destroyed') return;
          const retain = session === null ? {} : retainedFrom(session, nowUs());
          await chunks.putRecord(sessionId, sequence, record, retain);
        })
        .catch((thrown: unknown) => onError?.('copy of a record', thrown));
      copies?.touched(sessionId);
      return { sequence };
    },
    async getRecords({ sessionId, kind }) {
      return { records: await metadata.getRecords(sessionId, kind ?? null) };
    },
    async putWraps({ sessionId, wraps }) {
      // The first thing of a recording. Destroying keys needs no room.
      if (wraps.length > 0) await space.checkRecording();
      await keeping.run(sessionId, async () => {
        if (wraps.length === 0) await refuseIfHeld(metadata, sessionId, 'keys');
        // Files first: a shredding that is cut off finds rows left, and is carried on.
        await chunks.putWraps(sessionId, wraps);
        await metadata.putWraps(sessionId, wraps);
      });
    },
    async getWraps({ sessionId }) {
      return { wraps: await metadata.getWraps(sessionId) };
    },
    async holdFiles({ sessionId, held }) {
      const counts = await Promise.all(
        [chunks, ...(copy === undefined ? [] : [copy.chunks])].map((store) => store.hold(sessionId, held)),
      );
      const files = counts.filter((count) => count !== null);
      return { files: files.length === 0 ? null : files.reduce((sum, count) => sum + count) };
    },
    async putSidecar({ sessionId, name, bytes }) {
      await space.checkRecording(bytes.length);
      if (!(await isDestroyed(sessionId))) await chunks.putSidecar(sessionId, name, bytes);
    },
    async getSidecar({ sessionId, name }) {
      return { bytes: await chunks.getSidecar(sessionId, name) };
    },
    appendAudit: (event) => audit.append(event),
    listAudit: (query) => metadata.listAudit(query),
    auditHead: async () => ({ head: await audit.head() }),
    auditRows: async (page) => ({
      rows: await metadata.listAuditRows(page),
      unchained: await metadata.countUnchained(),
    }),
  };
}

type EntryCalls = Pick<StoragePort, 'getEntry' | 'putEntry' | 'listEntries' | 'removeEntry'>;

const sweepEveryUs = 600_000_000;

function entryCalls({ metadata, nowUs, onError }: Shared): EntryCalls {
  let sweptUs = 0;
  /** What has ended goes with what is written behind it: sign-ins come from strangers, and must not pile up. */
  const sweep = (): void => {
    if (nowUs() - sweptUs < sweepEveryUs) return;
    sweptUs = nowUs();
    void metadata.sweepEntries(nowUs()).catch((thrown: unknown) => onError?.('sweep of entries', thrown));
  };
  const isLive = ({ untilUs }: Entry): boolean => untilUs === null || untilUs > nowUs();
  return {
    async getEntry({ kind, id }) {
      const entry = await metadata.getEntry(kind, id);
      return { entry: entry !== null && isLive(entry) ? entry : null };
    },
    async putEntry(entry) {
      sweep();
      if (await metadata.putEntry(entry)) return { stored: true };
      const there = entry.version === 1 ? await metadata.getEntry(entry.kind, entry.id) : null;
      if (there === null || isLive(there)) return { stored: false };
      await metadata.removeEntry(entry.kind, entry.id, there.version);
      return { stored: await metadata.putEntry(entry) };
    },
    async listEntries(query) {
      return { entries: await metadata.listEntries(query, nowUs()) };
    },
    async removeEntry({ kind, id, version }) {
      return { removed: await metadata.removeEntry(kind, id, version) };
    },
  };
}

const scrubDetails = ({ problems, chunks, bytes, repaired, lastWalkSeconds }: ScrubberView) => ({
  scrubProblems: problems,
  scrubChunks: chunks,
  scrubBytes: bytes,
  scrubRepaired: repaired,
  scrubLastWalkSeconds: lastWalkSeconds,
});

export function createStorageService(deps: StorageDeps): StorageService {
  const { metadata, chunks, nowUs } = deps;
  const { reserve, say = () => {} } = deps;
  const space = new SpaceWatch({ chunks, say, ...(reserve === undefined ? {} : { reserve }) });
  const putter = chunkPutter({ metadata, chunks, nowUs, verifyOnPut: deps.verifyOnPut ?? false, space });
  const keeping = new KeyedQueue(keepWaitingMax);
  const { onError } = deps;
  const census = new Census({ metadata, chunks, lanes: keeping, ...(onError === undefined ? {} : { onError }) });
  const copies =
    deps.copy === undefined
      ? null
      : new Copies({
          metadata,
          chunks,
          copy: deps.copy.chunks,
          which: deps.copy.which,
          nowUs,
          ...(onError === undefined ? {} : { onError }),
        });
  const audit = new AuditChain(metadata, nowUs);
  const scrubber =
    deps.scrub === undefined || deps.scrub === null
      ? null
      : new Scrubber({
          settings: deps.scrub,
          metadata,
          chunks,
          copy: deps.copy?.chunks ?? null,
          nowUs,
          audit: (event) => audit.append(event),
          say,
          ...(onError === undefined ? {} : { onError }),
        });
  const shared: Shared = { ...deps, putter, audit, space, keeping, census, copies };
  let recovery: RecoveryReport | null = null;

  async function health(): Promise<ServiceHealth> {
    try {
      await ping(metadata);
      const { state, ...disk } = await space.view();
      const { freeBytes, totalBytes, isReserveHeld } = disk;
      const problems = recovery?.findings.length ?? 0;
      const copied = copies?.state;
      const message =
        putter.problem() ??
        (state !== 'enough'
          ? spaceMessage(state, disk)
          : problems > 0
            ? 'some chains need a look'
            : (apartMessage(census.report) ?? scrubber?.problem ?? copied?.problem ?? null));
      return {
        service: 'storage',
        status: message === null ? 'healthy' : 'degraded',
        message,
        details: {
          freeBytes,
          totalBytes,
          recording: state !== 'no_recording',
          reserveHeld: isReserveHeld,
          recoveryFindings: problems,
          orphanSessions: census.report.orphansCount,
          incompleteSessions: census.report.incompleteCount,
          ...(copied === undefined ? {} : { copyWaitingChunks: copied.waitingChunks }),
          ...(scrubber === null ? {} : scrubDetails(scrubber.view)),
        },
      };
    } catch {
      return { service: 'storage', status: 'unhealthy', message: 'metadata or disk can not be read', details: {} };
    }
  }

  return {
    ...sessionCalls(shared),
    ...chunkCalls(shared),
    ...recordCalls(shared),
    ...entryCalls(shared),
    health,
    async statistics() {
      const [totals, { freeBytes, totalBytes }] = await Promise.all([metadata.totals(), space.view()]);
      const { waitingChunks, copiedChunks } = copies?.state ?? {};
      return {
        ...totals,
        freeBytes,
        totalBytes,
        lineSeconds: putter.histogram.snapshot(),
        ...(waitingChunks === undefined || copiedChunks === undefined
          ? {}
          : { copies: { waitingChunks, copiedChunks } }),
      };
    },
    async start() {
      recovery = await recoverStorage({ metadata, chunks, nowUs });
      await deps.copy?.chunks.recover();
      census.start();
      copies?.start();
      scrubber?.start();
      space.start();
      return recovery;
    },
    census: () => census.take(),
    async dispose() {
      await scrubber?.dispose();
      await census.dispose();
      await copies?.dispose();
      await space.dispose();
      await putter.lanes.idle();
      await keeping.idle();
      await audit.idle();
      await Promise.all([chunks.dispose(), deps.copy?.chunks.dispose(), metadata.dispose()]);
    },
  };
}
