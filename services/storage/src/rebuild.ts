/**
 * Rows made again from what lies beside a session's chunks, after a database was lost: signed records, wrapped keys, leaves and
 * chunk files are enough to list, verify and open it. What no record says (its name, labels, how long it is kept) is gone.
 */
import {
  type ChunkMetadata,
  type ImportedFrom,
  isoOf,
  type KeyWrap,
  type LegalHold,
  LucidError,
  legalHoldSchema,
  noStatistics,
  rdpConfigSchema,
  recordedOutcome,
  recordingConfigSchema,
  type SessionDocument,
  type SessionReplay,
  type SessionStatistics,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import {
  decodeLeaf,
  type ManifestBody,
  type OpenBody,
  type RecordBody,
  type ReplayBody,
  readRecord,
  replaySummary,
  type SignedRecord,
} from '@lucid-sessions/evidence';
import { sealBytes, sealedLeafBytes } from './leaf.ts';
import { type RecoveryReport, reconcileChain } from './recovery.ts';
import type { ChunkStore, MetadataStore } from './stores.ts';

export interface RebuiltSession {
  session: SessionDocument;
  open: OpenBody;
  manifest: ManifestBody | null;
  chunksCount: number;
}

/** What only its content tells of a chunk. */
export type ChunkContent = Pick<ChunkMetadata, 'framesCount' | 'payloadBytes' | 'compression' | 'keyId'>;

export interface RebuildDeps {
  metadata: MetadataStore;
  chunks: ChunkStore;
  nowUs: () => number;
  /** Opens a chunk with the keys at hand; null where none does. */
  openChunk?: (file: Uint8Array, wraps: readonly KeyWrap[]) => Promise<ChunkContent | null>;
}

interface Read {
  sequence: number;
  bytes: Uint8Array;
  record: SignedRecord;
}

async function recordsOf(chunks: ChunkStore, sessionId: string): Promise<Read[]> {
  const read: Read[] = [];
  for (const { sequence, record: bytes } of await chunks.readRecords(sessionId)) {
    const record = readRecord(bytes);
    if (record.body.session_id !== sessionId)
      throw new LucidError(
        'storage',
        `a record of session ${record.body.session_id} lies beside the chunks of ${sessionId}`,
      );
    read.push({ sequence, bytes, record });
  }
  return read;
}

/** A target as a record names it: host:port. */
function targetOf(target: string) {
  const [, host = '', port] = /^(.*?)(?::(\d{1,5}))?$/.exec(target) ?? [];
  const parsed = rdpConfigSchema.safeParse({ host, ...(port === undefined ? {} : { port: Number(port) }) });
  return parsed.success ? parsed.data : rdpConfigSchema.parse({ host: 'unknown' });
}

/** What its last leaf says; null without one, or where it can't be read. */
async function lastLeaf(chunks: ChunkStore, sessionId: string): Promise<{ closedUs: number; final: boolean } | null> {
  const leaves = await chunks.readLeaves(sessionId);
  try {
    return decodeLeaf(leaves.subarray(leaves.length - sealedLeafBytes, leaves.length - sealBytes));
  } catch {
    return null;
  }
}

/** The words the pipeline has for it: one whose recorder died is recovered where its last chunk says that all is there. */
function endOf({ end, gaps, persistence }: ManifestBody, isWhole: boolean) {
  const crashed = end.reason === 'recorder_crashed';
  const recovered = crashed && isWhole;
  const failed = failedReasons.has(end.reason) || (crashed && !isWhole);
  const outcome = recordedOutcome({ gaps, endReason: end.reason, recovered, persistence, whole: isWhole });
  return { status: failed ? ('failed' as const) : ('completed' as const), outcome };
}

function statisticsOf(open: OpenBody, manifest: ManifestBody, closedUs: number | null): SessionStatistics {
  const { duration_us, frames_count, frames_dropped } = manifest.statistics;
  // Manifests of early versions did not know how long a recording was whose recorder had died.
  const durationUs = duration_us > 0 ? duration_us : Math.max(0, (closedUs ?? open.opened_us) - open.opened_us);
  return {
    ...noStatistics,
    duration_seconds: Number((durationUs / 1e6).toFixed(3)),
    chunks_count: manifest.chunks_count,
    size_bytes: manifest.total_bytes,
    frame_count: frames_count,
    dropped_frames: frames_dropped,
    average_fps: null,
  };
}

/** Of one that has no manifest: what its rows say once they are there again. */
const notCounted: SessionStatistics = { ...noStatistics, frame_count: null, average_fps: null };

function documentOf(
  sessionId: string,
  { open, manifest, erased, replay, holds, last }: Found & { last: Awaited<ReturnType<typeof lastLeaf>> },
): SessionDocument {
  const { parties, policy } = open;
  const end = manifest === null ? null : endOf(manifest, last?.final === true);
  return {
    session_id: sessionId,
    name: `${parties.target} ${isoOf(open.opened_us)}`.slice(0, 255),
    description: 'made again from its stored files',
    status: erased ? 'deleted' : (end?.status ?? 'recording'),
    created_at: isoOf(open.opened_us),
    started_at: isoOf(open.opened_us),
    stopped_at: manifest === null ? null : isoOf(manifest.ended_us),
    created_by: parties.created_by,
    rdp_config: targetOf(parties.target),
    recording_config: recordingConfigSchema.parse({
      compression: policy.compression,
      graphics: policy.graphics,
      persistence: policy.persistence,
    }),
    storage_config: storageConfigSchema.parse({ encryption_enabled: open.dek_id !== null }),
    metadata: {},
    statistics: manifest === null ? notCounted : statisticsOf(open, manifest, last?.closedUs ?? null),
    end_reason: manifest?.end.reason ?? null,
    end_message: manifest?.end.message ?? null,
    outcome: end?.outcome ?? null,
    merkle_root: manifest?.merkle_root ?? null,
    imported: importedOf(open),
    replay: replay && replayOf(replay, manifest),
    ...(holds.length === 0 ? {} : { holds }),
    version: 1,
    pipeline_state: erased ? 'destroyed' : manifest === null ? 'active' : 'stopped',
  };
}

const isoOrNull = (us: number | null): string | null => (us === null ? null : isoOf(us));

/** That it is imported must outlive the database. */
function importedOf({ imported }: OpenBody): ImportedFrom | null {
  if (imported === undefined) return null;
  const { at_us, captured_from_us, captured_to_us, ...same } = imported;
  return {
    ...same,
    at: isoOf(at_us),
    captured_from: isoOrNull(captured_from_us),
    captured_to: isoOrNull(captured_to_us),
    problem: null,
  };
}

function replayOf(replay: ReplayBody, manifest: ManifestBody | null): SessionReplay {
  const { state, detail } = replaySummary(replay, manifest?.chunks_count ?? replay.chunks_count);
  return { state, detail: detail.slice(0, 2000), examined_at: isoOf(replay.examined_us) };
}

/** Those of the signed chain of custody that nobody cleared: a database that is lost lets go of nothing that was to be kept. */
function holdsOf(bodies: readonly RecordBody[]): LegalHold[] {
  const holds = new Map<string, LegalHold>();
  for (const body of bodies) {
    if (body.kind !== 'custody' || (body.action !== 'hold' && body.action !== 'release')) continue;
    const { hold = null } = Object(body.extra) as { hold?: object | null };
    const { data } = legalHoldSchema.safeParse({ ...hold, set_by: body.actor, set_at: isoOf(body.at_us) });
    if (data === undefined) continue;
    if (body.action === 'hold') holds.set(data.hold_id, data);
    else holds.delete(data.hold_id);
  }
  return [...holds.values()];
}

interface Found {
  open: OpenBody;
  manifest: ManifestBody | null;
  /** Its files were destroyed, not only its keys. */
  erased: boolean;
  replay: ReplayBody | null;
  holds: LegalHold[];
}

const failedReasons = new Set([
  'import_failed',
  'handshake_timeout',
  'target_unreachable',
  'target_tls_failed',
  'client_tls_failed',
  'protocol_violation',
  'recording_not_persisted',
]);

/**
 * Frames of a session without a manifest stand in its chunks alone, and will be in the manifest that is made of them. Updates are
 * counted by who relays them, so theirs stay unknown.
 */
async function countFrames({ metadata, chunks, openChunk }: RebuildDeps, sessionId: string, count: number) {
  const wraps = await chunks.getWraps(sessionId);
  for (let index = 0; openChunk !== undefined && index < count; index++) {
    const row = await metadata.getChunk(sessionId, index);
    if (row === null || row.metadata.framesCount !== null) continue;
    const file = await chunks.readFile(sessionId, index);
    const content = file === null ? null : await openChunk(file, wraps);
    if (content !== null) await metadata.completeChunk({ ...row, metadata: { ...row.metadata, ...content } });
  }
}

interface Span {
  openedUs: number;
  closedUs: number;
}

async function withFigures(deps: RebuildDeps, session: SessionDocument, { openedUs, closedUs }: Span) {
  const { chunksCount, storedBytes, framesCount } = await deps.metadata.chainTotals(session.session_id);
  const statistics = {
    ...session.statistics,
    duration_seconds: Number((Math.max(0, closedUs - openedUs) / 1e6).toFixed(3)),
    chunks_count: chunksCount,
    size_bytes: storedBytes,
    frame_count: framesCount,
  };
  const counted = { ...session, statistics, version: session.version + 1 };
  return (await deps.metadata.replaceSession(counted, session.version)) ? counted : session;
}

/** Throws `LucidError` in plain words when there is no signed `open` record to begin with. Run again it changes nothing. */
export async function rebuildSession(deps: RebuildDeps, sessionId: string): Promise<RebuiltSession> {
  const { metadata, chunks } = deps;
  const records = await recordsOf(chunks, sessionId).catch((thrown: unknown) => {
    if (thrown instanceof LucidError) throw thrown;
    throw new LucidError('storage', `a record beside the chunks can not be read: ${(thrown as Error).message}`);
  });
  const bodies = records.map(({ record }) => record.body);
  const open = bodies.findLast((body) => body.kind === 'open');
  if (open === undefined) throw new LucidError('recordNotFound', 'no signed open record lies beside its chunks');
  const manifest = bodies.find((body) => body.kind === 'manifest') ?? null;
  const erased = bodies.some((body) => body.kind === 'erase' && body.erased !== 'keys');
  const replay = bodies.findLast((body) => body.kind === 'replay') ?? null;
  const last = await lastLeaf(chunks, sessionId);
  const session = documentOf(sessionId, { open, manifest, erased, replay, holds: holdsOf(bodies), last });
  await metadata.insertSession(session, null);
  // An `export` goes with its bundle and is kept nowhere.
  for (const { bytes, record } of records)
    if (record.kind !== 'export' && record.kind !== 'redaction')
      await metadata.putRecord(sessionId, record.kind, bytes);
  const wraps = await chunks.getWraps(sessionId);
  if (wraps.length > 0 && (await metadata.getWraps(sessionId)).length === 0) await metadata.putWraps(sessionId, wraps);
  const report: RecoveryReport = {
    sessionsChecked: 0,
    temporariesRemoved: 0,
    rowsRebuilt: 0,
    leavesRebuilt: 0,
    findings: [],
  };
  await reconcileChain(deps, sessionId, report);
  const { count } = await metadata.getHead(sessionId);
  const [finding] = report.findings;
  if (finding !== undefined)
    throw new LucidError(
      'storage',
      `its chain holds as far as chunk ${finding.index}: ${finding.problem.replaceAll('_', ' ')}`,
    );
  if (manifest !== null) return { session, open, manifest, chunksCount: count };
  await countFrames(deps, sessionId, count);
  const span = { openedUs: open.opened_us, closedUs: last?.closedUs ?? open.opened_us };
  return { session: await withFigures(deps, session, span), open, manifest, chunksCount: count };
}
