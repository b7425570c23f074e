/**
 * Copies of other recorders' spools, and what becomes of them: while a recorder lives they follow it; when the pipeline says that it is
 * gone, its sessions are recovered from here as they would be at its own next start.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LucidError, type PipelinePort, type RecorderPort, spaceBounds } from '@lucid-sessions/contract';
import { Line } from '@lucid-sessions/kit';
import type { Spool } from '../spool/index.ts';
import { segmentIndex, segmentPath } from '../spool/spool-disk.ts';

export interface ReplicaShelfOptions {
  directory: string;
  /** Of this recorder. */
  recorderId: string;
  pipeline: Pick<PipelinePort, 'takeOverSpool'>;
  /** A recorder that was not heard of for so long is asked about. */
  takeOverMs: number;
  /** Takes up the spool of a recorder that is gone: reports its sessions and seals their chunks. */
  recover: (directory: string) => Promise<Spool>;
  onProblem: (message: string) => void;
}

interface Kept {
  recorderId: string;
  directory: string;
  line: Line;
  heardMs: number;
  /** Since it was taken over: the sessions that were in it. */
  takenOver: string[] | null;
  /** While they are being stored. */
  spool: Spool | null;
  isStored: boolean;
}

const lookMs = 1000;
const recordersMax = 100;
/** Files of one copy that are written at the same time. */
const writesAtOnce = 4;
const nameFile = 'recorder';
const takenFile = 'taken-over.json';

type State = Awaited<ReturnType<RecorderPort['replicaState']>>;
type Copy = Parameters<RecorderPort['replicate']>[0];

export class ReplicaShelf {
  readonly #options: ReplicaShelfOptions;
  readonly #kept = new Map<string, Kept>();
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #disposed = false;

  constructor(options: ReplicaShelfOptions) {
    this.#options = options;
  }

  /** Finds what an earlier process kept. */
  async start(): Promise<void> {
    for (const name of await readdir(this.#options.directory).catch(() => [] as string[])) {
      const directory = join(this.#options.directory, name);
      const recorderId = await readFile(join(directory, nameFile), 'utf8').catch(() => null);
      if (recorderId === null) continue;
      const taken = await readFile(join(directory, takenFile), 'utf8').catch(() => null);
      const takenOver = taken === null ? null : (JSON.parse(taken) as string[]);
      this.#kept.set(recorderId, this.#entry(recorderId, directory, takenOver));
    }
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = null;
      });
    }, lookMs);
  }

  #entry(recorderId: string, directory: string, takenOver: string[] | null): Kept {
    return {
      recorderId,
      directory,
      line: new Line(),
      heardMs: performance.now(),
      takenOver,
      spool: null,
      isStored: false,
    };
  }

  /** Recorders of which something is kept. */
  get recordersCount(): number {
    return this.#kept.size;
  }

  /** Sessions of recorders that are gone whose chunks are not all stored. */
  get recovering(): string[] {
    return [...this.#kept.values()].flatMap(({ spool }) => spool?.undrained ?? []);
  }

  async state({ recorderId, begins }: { recorderId: string; begins: boolean }): Promise<State> {
    const kept = this.#kept.get(recorderId);
    const { recorderId: keptBy } = this.#options;
    if (kept === undefined) return { segments: [], takenOver: [], keptBy };
    kept.heardMs = performance.now();
    return kept.line.run(async () => {
      if (begins && kept.takenOver !== null) await this.#giveBack(kept);
      return {
        segments: kept.takenOver === null ? await segmentsIn(join(kept.directory, 'spool')) : [],
        takenOver: kept.takenOver ?? [],
        keptBy,
      };
    });
  }

  async #giveBack(kept: Kept): Promise<void> {
    if (!kept.isStored)
      throw new LucidError('unavailable', `the spool of ${kept.recorderId} is still being recovered here`);
    await rm(join(kept.directory, 'spool'), { recursive: true, force: true });
    await rm(join(kept.directory, takenFile));
    kept.isStored = false;
    kept.takenOver = null;
  }

  async replicate(copy: Copy): Promise<void> {
    const kept = await this.#keep(copy.recorderId);
    kept.heardMs = performance.now();
    await kept.line.run(async () => {
      if (kept.takenOver !== null)
        throw new LucidError(
          'notInThisState',
          `the spool of ${copy.recorderId} was taken over: it had not been heard of`,
        );
      await this.#write(kept, copy);
    });
  }

  async #keep(recorderId: string): Promise<Kept> {
    const known = this.#kept.get(recorderId);
    if (known !== undefined) return known;
    if (this.#kept.size >= recordersMax)
      throw new LucidError('unavailable', `copies of at most ${recordersMax} spools are kept here`);
    const name = createHash('sha256').update(recorderId).digest('hex').slice(0, 32);
    const kept = this.#entry(recorderId, join(this.#options.directory, name), null);
    this.#kept.set(recorderId, kept);
    await kept.line.run(async () => {
      await mkdir(join(kept.directory, 'spool'), { recursive: true, mode: 0o700 });
      await writeFile(join(kept.directory, nameFile), recorderId, { mode: 0o600, flush: true });
    });
    return kept;
  }

  async #write({ directory }: Kept, { writes, removals }: Copy): Promise<void> {
    await this.#checkRoom(writes.reduce((sum, { bytes }) => sum + bytes.length, 0));
    // Each of a file of its own; the disk makes several durable in the time of one.
    const left = [...writes];
    const writer = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) await writeSegment(directory, next);
    };
    const writers = await Promise.allSettled(Array.from({ length: Math.min(writesAtOnce, left.length) }, writer));
    const failed = writers.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    for (const { sessionId, index } of removals) {
      const folder = join(directory, 'spool', sessionId);
      await rm(segmentPath(folder, index), { force: true });
      if ((await readdir(folder).catch(() => ['?'])).length === 0) await rm(folder, { recursive: true, force: true });
    }
  }

  async #checkRoom(bytes: number): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.#options.directory);
    if (bavail * bsize - bytes < spaceBounds(blocks * bsize).recordingBytesMin)
      throw new LucidError('unavailable', 'the disk of the replica is nearly full');
  }

  async #look(): Promise<void> {
    for (const kept of this.#kept.values())
      await this.#lookAt(kept).catch((error: unknown) =>
        this.#options.onProblem(`the copy of ${kept.recorderId}'s spool: ${(error as Error).message}`),
      );
  }

  async #lookAt(kept: Kept): Promise<void> {
    const { recorderId, pipeline, takeOverMs, onProblem } = this.#options;
    if (kept.isStored || this.#disposed) return;
    if (kept.spool !== null) {
      if (kept.spool.undrainedCount > 0) return;
      await kept.spool.close();
      kept.spool = null;
      kept.isStored = true;
      return;
    }
    if (kept.takenOver === null) {
      if (performance.now() - kept.heardMs < takeOverMs) return;
      const segments = await segmentsIn(join(kept.directory, 'spool'));
      if (segments.length === 0) return;
      const { granted } = await pipeline.takeOverSpool({
        recorderId: kept.recorderId,
        by: recorderId,
        quietSeconds: Math.ceil(takeOverMs / 1000),
      });
      if (!granted) return;
      await kept.line.run(async () => {
        const sessions = [...new Set(segments.map(({ sessionId }) => sessionId))];
        // Before anything is sealed: who comes back must hear of it.
        await writeFile(join(kept.directory, takenFile), JSON.stringify(sessions), { mode: 0o600, flush: true });
        kept.takenOver = sessions;
      });
      onProblem(
        `the recorder ${kept.recorderId} is gone: its ${kept.takenOver!.length} sessions are recovered from their copy`,
      );
    }
    kept.spool = await this.#options.recover(join(kept.directory, 'spool'));
  }

  /** Spools that are stored as a whole are let go. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looking;
    await Promise.all([...this.#kept.values()].map(({ spool }) => spool?.close()));
  }
}

async function writeSegment(directory: string, { sessionId, index, at, bytes }: Copy['writes'][number]): Promise<void> {
  const folder = join(directory, 'spool', sessionId);
  const path = segmentPath(folder, index);
  const isNew = at === 0 && (await mkdir(folder, { recursive: true, mode: 0o700 }).then(() => !existsSync(path)));
  const file = await open(path, isNew ? 'wx' : 'r+', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? hole(sessionId, index, 0) : error;
  });
  try {
    const { size } = await file.stat();
    if (at > size) throw hole(sessionId, index, size);
    if (size > at) await file.truncate(at);
    await file.write(bytes, 0, bytes.length, at);
    await file.datasync();
  } finally {
    await file.close();
  }
  if (isNew) await syncFolder(folder);
}

const hole = (sessionId: string, index: number, bytes: number): LucidError =>
  new LucidError('conflict', `segment ${index} of ${sessionId} has ${bytes} bytes here`);

async function segmentsIn(directory: string): Promise<State['segments']> {
  const segments: State['segments'] = [];
  for (const sessionId of (await readdir(directory).catch(() => [] as string[])).filter((name) =>
    /^[\w-]+$/.test(name),
  ))
    for (const name of await readdir(join(directory, sessionId)).catch(() => [] as string[])) {
      const index = segmentIndex(name);
      if (index === null) continue;
      const { size } = await stat(join(directory, sessionId, name));
      segments.push({ sessionId, index, bytes: size });
    }
  return segments;
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}
