/**
 * `node bench/src/main.ts chunk-line [--rounds 3] [--mib 1024] [--workers 2] [--sessions 16] [--sealing] [--dir PATH]`
 *
 * The line of a chunk from closed to durable (compress, encrypt, hash, seal, store) with real storage and real keys, on four
 * kinds of data, against the same work in C in the same run, and without what makes it evidence (key derivation, leaf, seal,
 * metadata). `--sealing` measures that last difference alone, in a minute or two.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  noStatistics,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { FsChunkStore } from '@lucid-sessions/files';
import { KeyDirectory, LocalWrapper } from '@lucid-sessions/keys';
import { nodeCrypto } from '@lucid-sessions/node';
import { ChunkPool, createProcessor, type ProcessorService } from '@lucid-sessions/processor';
import { SqliteThread } from '@lucid-sessions/sqlite';
import { createStorageService, type StorageService } from '@lucid-sessions/storage';
import { chunksOf, type DataKind, dataKinds } from './chunk-line-data.ts';
import { buildReference, type Reference, type ReferenceRun, writeData } from './chunk-line-reference.ts';

const chunkBytes = 10 * 1024 * 1024;
/** Different chunks per kind; used in turn. */
const distinctChunks = 8;
const sealingPairs = 16;
const sealingChunks = 24;

interface Options {
  rounds: number;
  chunks: number;
  workers: number;
  sessions: number;
  compressionLevel: number;
}

interface Measured {
  seconds: number;
  /** Of all threads. */
  cpuSeconds: number;
  storedBytes: number;
  /** From handing over to durable, per chunk. */
  latenciesMs: number[];
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '3' },
      mib: { type: 'string', default: '1024' },
      workers: { type: 'string', default: `${availableParallelism()}` },
      sessions: { type: 'string', default: '16' },
      level: { type: 'string', default: '6' },
      sealing: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const options: Options = {
    rounds: Number(values.rounds),
    chunks: Math.ceil((Number(values.mib) * 1024 * 1024) / chunkBytes),
    workers: Math.min(Number(values.workers), availableParallelism()),
    sessions: Number(values.sessions),
    compressionLevel: Number(values.level),
  };
  const folder = await mkdtemp(join(values.dir, 'lucid-chunk-line-'));
  try {
    await (values.sealing ? measureSealing(folder, options) : measureAll(folder, options));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measureAll(folder: string, options: Options): Promise<void> {
  const built = await buildReference(folder);
  const reference = 'measure' in built ? built : null;
  if (!('measure' in built)) console.log(`no C reference: ${built.reason}`);
  const { rounds, chunks, workers, sessions } = options;
  console.log(
    `chunk line: ${chunks} chunks of 10 MiB per kind, ${workers} workers, ${sessions} sessions, median of ${rounds} rounds\n`,
  );
  console.log(line(columns.map(([name]) => name)));
  for (const kind of dataKinds) console.log(await measureKind(folder, kind, reference, options));
}

async function measureSealing(folder: string, options: Options): Promise<void> {
  console.log(
    `what sealing adds to storing a chunk: ${sealingPairs} pairs of ${sealingChunks} chunks each, ${options.workers} workers, ${options.sessions} sessions`,
  );
  for (const kind of dataKinds) {
    const data = chunksOf(kind, distinctChunks, chunkBytes);
    const pairs = await sealingPairsOf(folder, data, options);
    const shares = (of: 'seconds' | 'cpuSeconds') => {
      const all = pairs.map((pair) => sealingShare(pair, of));
      return [0.5, 0.25, 0.75].map((share) => `${(100 * percentile(all, share)).toFixed(1)} %`);
    };
    const [time, cpu] = [shares('seconds'), shares('cpuSeconds')];
    console.log(
      `${kind.padEnd(18)} time ${time[0]} (quartiles ${time[1]} to ${time[2]}), CPU ${cpu[0]} (${cpu[1]} to ${cpu[2]})`,
    );
  }
}

/** Chunks with and without sealing, turn by turn in the same minute: a busy disk or machine is busy for both. */
async function sealingPairsOf(folder: string, data: readonly Uint8Array[], options: Options): Promise<SealingPair[]> {
  return inFolder(folder, async (path) => {
    const full = await openFull(join(path, 'full'), data, options);
    const bare = await openBare(join(path, 'bare'), data, options);
    const lanes = 3 * options.workers + 1;
    const pairs: SealingPair[] = [];
    try {
      for (let at = 0; at < sealingPairs; at += 1) {
        const [first, second] = at % 2 === 0 ? [full, bare] : [bare, full];
        const one = await steady(sealingChunks, lanes, first.seal);
        const other = await steady(sealingChunks, lanes, second.seal);
        pairs.push(at % 2 === 0 ? { full: one, bare: other } : { full: other, bare: one });
      }
    } finally {
      await full.dispose();
      await bare.dispose();
    }
    return pairs;
  });
}

type Cost = Pick<Measured, 'seconds' | 'cpuSeconds'>;

interface SealingPair {
  full: Cost;
  bare: Cost;
}

/** Part of the whole line's time or CPU that goes when nothing is sealed. */
const sealingShare = ({ full, bare }: SealingPair, of: 'seconds' | 'cpuSeconds') => 1 - bare[of] / full[of];

async function measureKind(
  folder: string,
  kind: DataKind,
  reference: Reference | null,
  options: Options,
): Promise<string> {
  const { rounds, chunks, workers } = options;
  const data = chunksOf(kind, Math.min(distinctChunks, chunks), chunkBytes);
  const dataPath = join(folder, 'data');
  await writeData(dataPath, data);
  const full: Measured[] = [];
  const paced: Measured[] = [];
  const inC: ReferenceRun[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (reference !== null) inC.push(await reference.measure(dataPath, chunkBytes, chunks, workers));
    full.push(await inFolder(folder, (path) => measureLine(path, data, options, null)));
    // Half of what it can do: what remains is the latency of the work, not of a queue.
    const half = (chunks / full.at(-1)!.seconds) * 0.5;
    paced.push(await inFolder(folder, (path) => measureLine(path, data, { ...options, sessions: 100 }, half)));
  }
  await rm(dataPath);
  const pairs = await sealingPairsOf(folder, data, options);
  return rowOf(kind, chunks, { full, pairs, paced, inC });
}

async function inFolder<T>(parent: string, work: (path: string) => Promise<T>): Promise<T> {
  const path = join(parent, 'line');
  await mkdir(path);
  try {
    return await work(path);
  } finally {
    await rm(path, { recursive: true });
  }
}

const columns = [
  ['data', 18],
  ['MB/s', 6],
  ['chunks/s', 9],
  ['MB/CPU s', 9],
  ['stored', 7],
  ['C MB/s', 7],
  ['of C', 5],
  ['CPU to C', 9],
  ['seal +time', 11],
  ['+CPU', 6],
  ['p50 ms', 7],
  ['p99', 5],
  ['paced p50', 10],
  ['p99', 5],
] as const;

const line = (cells: readonly string[]) =>
  cells.map((cell, at) => (at === 0 ? cell.padEnd(columns[at]![1]) : cell.padStart(columns[at]![1]))).join(' ');

function rowOf(
  kind: DataKind,
  chunks: number,
  { full, pairs, paced, inC }: { full: Measured[]; pairs: SealingPair[]; paced: Measured[]; inC: ReferenceRun[] },
): string {
  const inputMb = (chunks * chunkBytes) / 1e6;
  const seconds = median(full.map((run) => run.seconds));
  const latencies = full.flatMap((run) => run.latenciesMs);
  const pacedLatencies = paced.flatMap((run) => run.latenciesMs);
  // Ratios are taken within each round: the machine may be slower in the next.
  const ofC = median(inC.map((c, round) => c.seconds / full[round]!.seconds));
  const cpuToC = median(inC.map((c, round) => full[round]!.cpuSeconds / c.cpuSeconds));
  const share = (of: 'seconds' | 'cpuSeconds') => median(pairs.map((pair) => sealingShare(pair, of)));
  const cells = [
    kind,
    (inputMb / seconds).toFixed(0),
    (chunks / seconds).toFixed(0),
    (inputMb / median(full.map((run) => run.cpuSeconds))).toFixed(0),
    `${((chunks * chunkBytes) / full[0]!.storedBytes).toFixed(1)}×`,
    (inputMb / median(inC.map((c) => c.seconds))).toFixed(0),
    ofC.toFixed(2),
    cpuToC.toFixed(2),
    `${(100 * share('seconds')).toFixed(0)} %`,
    `${(100 * share('cpuSeconds')).toFixed(0)} %`,
    ...[latencies, pacedLatencies].flatMap((of) => [percentile(of, 0.5).toFixed(0), percentile(of, 0.99).toFixed(0)]),
  ];
  return line(cells);
}

interface Line {
  storage: StorageService;
  processor: ProcessorService;
  sessionIds: string[];
  dispose(): Promise<void>;
}

async function openLine(path: string, options: Options): Promise<Line> {
  const storage = createStorageService({
    metadata: await new SqliteThread().metadata(join(path, 'metadata.db')),
    chunks: new FsChunkStore({ path: join(path, 'chunks') }),
    nowUs: () => Date.now() * 1000,
  });
  await storage.start();
  const directory = await KeyDirectory.open(join(path, 'keys'));
  const keys = {
    identity: await directory.identity(),
    wrappers: [new LocalWrapper(await directory.localKey())],
    unwrappers: [],
  };
  const { compressionLevel, workers: workersMax } = options;
  const processor = createProcessor(
    {
      chunkBytesMax: chunkBytes,
      compressionLevel,
      workersMax,
      sessionsMax: 200,
      recorderId: 'bench',
      leaseTtlMs: 60_000,
    },
    { storage, keys, crypto: nodeCrypto, nowUs: () => Date.now() * 1000 },
  );
  const sessionIds = Array.from({ length: options.sessions }, (_, at) => `session-${at}`);
  for (const sessionId of sessionIds) {
    const session = sessionOf(sessionId);
    await storage.createSession({ session, routeTokenSha256: null });
    await processor.open({
      session,
      openedUs: Date.now() * 1000,
      checkpoint: null,
      persistence: 'strict',
      graphics: 'passthrough',
    });
  }
  return {
    storage,
    processor,
    sessionIds,
    async dispose() {
      await processor.dispose();
      await storage.dispose();
    },
  };
}

/** Something that takes chunks: each call the next one. */
interface ChunkTaker {
  seal(): Promise<number>;
  dispose(): Promise<void>;
}

/** The whole line: as fast as it takes chunks, or `perSecond` chunks at even distances. */
async function measureLine(
  path: string,
  data: readonly Uint8Array[],
  options: Options,
  perSecond: number | null,
): Promise<Measured> {
  const line = await openFull(path, data, options);
  try {
    return perSecond === null
      ? await flood(options.chunks, 3 * options.workers + 1, line.seal)
      : await pace(options.chunks, perSecond, line.seal);
  } finally {
    await line.dispose();
  }
}

async function openFull(path: string, data: readonly Uint8Array[], options: Options): Promise<ChunkTaker> {
  const line = await openLine(path, options);
  let next = 0;
  const put = async (payload: Uint8Array): Promise<number> => {
    const at = next;
    next += 1;
    const receipt = await line.processor.seal({
      sessionId: line.sessionIds[at % line.sessionIds.length]!,
      index: Math.floor(at / line.sessionIds.length),
      final: false,
      recovered: false,
      gapBefore: false,
      openedUs: 1_000_000 + at,
      closedUs: 2_000_000 + at,
      monotonicNs: at,
      framesCount: 100,
      updatesCount: 100,
      payload,
    });
    return receipt.fileBytes;
  };
  await warmUp(data, options, put);
  return { seal: () => put(data[next % data.length]!), dispose: () => line.dispose() };
}

/** The same without keys derived, leaf, seal and metadata: compress, encrypt, hash, and the same files in the same store. */
async function openBare(path: string, data: readonly Uint8Array[], options: Options): Promise<ChunkTaker> {
  const pool = new ChunkPool({
    workersMax: options.workers,
    levelWish: options.compressionLevel,
    payloadBytesMax: chunkBytes,
    waitingMax: 1000,
  });
  const store = new FsChunkStore({ path });
  let next = 0;
  const put = async (payload: Uint8Array): Promise<number> => {
    const at = next;
    next += 1;
    const inputs = nodeCrypto.randomBytes(48);
    const chunk = await pool.take(payload, { compression: 'zstd', prefixBytes: 160, inputs });
    try {
      const secrets = { key: nodeCrypto.randomBytes(32), nonce: nodeCrypto.randomBytes(12) };
      const { file } = await chunk.seal({ prefix: new Uint8Array(160), aadBytes: 96, secrets });
      await store.putFile(`session-${at % options.sessions}`, Math.floor(at / options.sessions), file);
      return file.length;
    } finally {
      chunk.release();
    }
  };
  await warmUp(data, options, put);
  return { seal: () => put(data[next % data.length]!), dispose: () => pool.dispose() };
}

/**
 * Workers compile their code, memory is touched once, and each session gets its folder and its first leaf before the clock
 * runs: a service does the former once a year, and a session of a thousand chunks the latter once.
 */
async function warmUp(
  data: readonly Uint8Array[],
  options: Options,
  put: (payload: Uint8Array) => Promise<number>,
): Promise<void> {
  const small = data[0]!.subarray(0, 64 * 1024);
  for (let at = 0; at < options.sessions; at += 1) await put(small);
  await Promise.all(Array.from({ length: 3 * options.workers }, (_, at) => put(data[at % data.length]!)));
}

/** Keeps `lanes` chunks handed over at any time, as the spool does. */
async function flood(chunks: number, lanes: number, seal: () => Promise<number>): Promise<Measured> {
  const measured: Measured = { seconds: 0, cpuSeconds: 0, storedBytes: 0, latenciesMs: [] };
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < chunks) {
        next += 1;
        const handedMs = performance.now();
        const bytes = await seal();
        measured.storedBytes += bytes;
        measured.latenciesMs.push(performance.now() - handedMs);
      }
    }),
  );
  measured.seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  measured.cpuSeconds = (user + system) / 1e6;
  return measured;
}

/** What chunks cost while all lanes are full: filling and draining them takes a line's latency once, whatever it carries. */
async function steady(chunks: number, lanes: number, seal: () => Promise<number>): Promise<Cost> {
  const cost: Cost = { seconds: 0, cpuSeconds: 0 };
  let [done, startedMs] = [0, 0];
  let cpu = process.cpuUsage();
  await flood(chunks + 2 * lanes, lanes, async () => {
    const bytes = await seal();
    done += 1;
    if (done === lanes) {
      startedMs = performance.now();
      cpu = process.cpuUsage();
    } else if (done === lanes + chunks) {
      cost.seconds = (performance.now() - startedMs) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      cost.cpuSeconds = (user + system) / 1e6;
    }
    return bytes;
  });
  return cost;
}

async function pace(chunks: number, perSecond: number, seal: () => Promise<number>): Promise<Measured> {
  const measured: Measured = { seconds: 0, cpuSeconds: 0, storedBytes: 0, latenciesMs: [] };
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const sealing: Promise<void>[] = [];
  for (let at = 0; at < chunks; at += 1) {
    const dueMs = startedMs + (1000 * at) / perSecond;
    if (dueMs > performance.now()) await delay(dueMs - performance.now());
    sealing.push(
      seal().then((bytes) => {
        measured.storedBytes += bytes;
        // From when it was due: a late timer is latency, too.
        measured.latenciesMs.push(performance.now() - dueMs);
      }),
    );
  }
  await Promise.all(sealing);
  measured.seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  measured.cpuSeconds = (user + system) / 1e6;
  return measured;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function sessionOf(sessionId: string): SessionDocument {
  return {
    session_id: sessionId,
    name: sessionId,
    description: null,
    status: 'recording',
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: null,
    stopped_at: null,
    created_by: null,
    rdp_config: rdpConfigSchema.parse({ host: 'desk.example' }),
    recording_config: recordingConfigSchema.parse({}),
    storage_config: storageConfigSchema.parse({ max_size_gb: 1000 }),
    metadata: {},
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'created',
  };
}
