/**
 * `backup`: copies a running installation. The order makes one state of many files: databases at one moment, then the spool and
 * the write-once files (what the databases name is there, and perhaps more), at last the log (what the databases know to be
 * logged is in it), and behind it the audit rows that came meanwhile (what the log names is there). A run becomes the backup by one rename, at its very end.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { FsChunkStore, sessionFolder } from '@lucid-sessions/files';
import { KeyError, KeyLock } from '@lucid-sessions/keys';
import type { Environment } from '@lucid-sessions/kit';
import { logFilesIn } from '@lucid-sessions/log';
import { makeDirectoryDurably, readFileOrNull, syncDirectory, writeFileDurably } from '@lucid-sessions/node';
import { CliError, exitCodes, formatBytes, type Output } from '../cli/output.ts';
import { software } from '../server/software.ts';
import { copyTree, exists, removePartials } from './files.ts';
import {
  type BackupDescription,
  commit,
  describeFiles,
  installationName,
  isOfBackup,
  readDescription,
  removeRuns,
} from './layout.ts';
import { backupLogFiles, checkCopiedLog, copyLog } from './log-part.ts';
import { backupPlaces, installationPlaces, keptElsewhere, type Places } from './places.ts';
import { MetadataRows } from './rows.ts';
import { completeRecords, copyFolder } from './session-folder.ts';
import { copyLaterAudit, Snapshot } from './snapshot.ts';

export interface BackupOptions {
  withKeys: boolean;
}

export interface BackupDone {
  directory: string;
  description: BackupDescription;
  copiedBytes: number;
}

/** Sessions that were deleted between databases and files make another round, with databases that know it. */
const roundsMax = 10;
const problemsMax = 1000;

export async function makeBackup(
  environment: Environment,
  path: string,
  options: BackupOptions,
  output: Output,
): Promise<BackupDone> {
  const source = installationPlaces(environment);
  const directory = resolve(path);
  if (!(await exists(source.keys)) || !((await exists(source.metadata)) || (await exists(source.journal))))
    throw new CliError(
      `there is no installation in ${source.root}: name its directory with --data-dir`,
      exitCodes.usage,
    );
  refuseInside(directory, source);
  // A rotation makes keys and wraps anew one after the other: not while they are copied.
  const keys = mendable(() => KeyLock.share(source.keys));
  try {
    await takeDirectory(directory);
    const lock = mendable(() => KeyLock.take(directory, `another backup is being made in ${directory}`));
    try {
      return await new BackupRun(environment, source, directory, options, output).run();
    } finally {
      lock.release();
    }
  } finally {
    keys.release();
  }
}

function mendable<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw thrown instanceof KeyError ? new CliError(thrown.message) : thrown;
  }
}

const isWithin = (inner: string, outer: string): boolean => {
  const way = relative(outer, inner);
  return way === '' || !(way.startsWith('..') || resolve(way) === way);
};

function refuseInside(directory: string, source: Places): void {
  for (const place of [source.root, source.chunks])
    if (isWithin(directory, place) || isWithin(place, directory))
      throw new CliError(
        `${directory} and ${place} lie inside each other: a backup belongs elsewhere`,
        exitCodes.usage,
      );
}

/** An empty directory, or one that holds backups of ours. */
async function takeDirectory(directory: string): Promise<void> {
  await makeDirectoryDurably(directory);
  const foreign = (await readdir(directory)).find((name) => !isOfBackup(name));
  if (foreign !== undefined)
    throw new CliError(
      `${directory} holds ${foreign}, which is no part of a backup: name an empty directory`,
      exitCodes.usage,
    );
}

/** Made at the first backup. A directory that holds another installation's backup is refused: each would remove the other's. */
async function nameInstallation(source: Places, directory: string): Promise<string> {
  let own = await readFileOrNull(source.installation);
  if (own === null) {
    own = new TextEncoder().encode(`${randomUUID()}\n`);
    await writeFileDurably(source.installation, own, 0o600);
  }
  const id = Buffer.from(own).toString().trim();
  const target = join(directory, installationName);
  const there = await readFileOrNull(target);
  if (there === null) await writeFileDurably(target, own, 0o600);
  else if (Buffer.from(there).toString().trim() !== id)
    throw new CliError(
      `${directory} holds the backup of another installation: name another directory`,
      exitCodes.usage,
    );
  return id;
}

class BackupRun {
  readonly #environment: Environment;
  readonly #source: Places;
  readonly #directory: string;
  readonly #options: BackupOptions;
  readonly #output: Output;
  readonly #run: string;
  readonly #target: Places;
  readonly #problems: string[] = [];
  #orphans: string[] = [];
  #copiedBytes = 0;
  #chunks = 0;

  constructor(environment: Environment, source: Places, directory: string, options: BackupOptions, output: Output) {
    this.#environment = environment;
    this.#source = source;
    this.#directory = directory;
    this.#options = options;
    this.#output = output;
    const time = new Date().toISOString().replaceAll(/[-:]|\.\d+Z/g, '');
    this.#run = `run-${time}-${randomBytes(4).toString('hex')}`;
    this.#target = backupPlaces(directory, this.#run);
  }

  async run(): Promise<BackupDone> {
    const installation = await nameInstallation(this.#source, this.#directory);
    const before = await readDescription(this.#directory);
    this.#output.progress('removing what a run left that was cut off');
    await removeRuns(this.#directory, before?.run ?? null);
    await removePartials(join(this.#directory, 'chunks'));
    for (const name of await readdir(this.#directory))
      if (name.endsWith('.tmp')) await rm(join(this.#directory, name), { force: true });
    await makeDirectoryDurably(this.#target.root);
    if (this.#options.withKeys) await this.#copyKeys();
    const { cutMs, folders, sessions } = await this.#copyStored();
    const log = await this.#copyLog();
    if (await exists(this.#target.metadata)) await copyLaterAudit(this.#source.metadata, this.#target.metadata);
    const description: BackupDescription = {
      v: 1,
      kind: 'lucid-sessions-backup',
      installation,
      run: this.#run,
      software: `${software.name} ${software.version}`,
      cut_at: new Date(cutMs).toISOString(),
      finished_at: new Date().toISOString(),
      with_keys: this.#options.withKeys,
      sessions,
      chunks: this.#chunks,
      log,
      orphans: this.#orphans,
      problems: this.#problems,
      kept_elsewhere: this.#keptElsewhere(),
      files: await describeFiles(this.#target.root),
    };
    await syncDirectory(this.#target.root);
    await syncDirectory(this.#directory);
    await commit(this.#directory, description);
    await this.#removeOld(new Set([...folders, ...this.#orphans]));
    return { directory: this.#directory, description, copiedBytes: this.#copiedBytes };
  }

  #keptElsewhere(): string[] {
    const elsewhere = keptElsewhere(this.#environment);
    if (!this.#options.withKeys) elsewhere.push(`${this.#source.keys} and ${this.#source.secrets} (--without-keys)`);
    return elsewhere;
  }

  #problem(text: string): void {
    if (this.#problems.length < problemsMax) this.#problems.push(text);
  }

  async #copyKeys(): Promise<void> {
    this.#output.progress('copying keys');
    await copyTree(
      this.#source.keys,
      this.#target.keys,
      (name) => !name.startsWith('.') && !name.startsWith('lock.sqlite') && !/\.(tmp|new)$/.test(name),
    );
    await copyTree(this.#source.secrets, this.#target.secrets, (name) => !name.startsWith('.'));
  }

  /** Databases, spool and sessions of one moment. */
  async #copyStored(): Promise<{ cutMs: number; folders: string[]; sessions: number }> {
    for (let round = 1; ; round += 1) {
      const cutMs = await this.#copyDatabases(round);
      this.#chunks = 0;
      const { folders, sessions, gone } = await this.#copySessions(round);
      if (gone === 0) return { cutMs, folders, sessions };
      if (round === roundsMax)
        throw new CliError('sessions are being deleted faster than they can be copied: run the backup again later');
      this.#problems.splice(0);
    }
  }

  async #copyDatabases(round: number): Promise<number> {
    this.#output.progress(`copying databases${round === 1 ? '' : ` (round ${round})`}`);
    const pairs = (['metadata', 'journal', 'jobs'] as const).map((name) => ({
      source: this.#source[name],
      target: this.#target[name],
    }));
    for (const path of [...pairs.map(({ target }) => target), this.#target.spool])
      await rm(path, { recursive: true, force: true });
    const snapshot = await Snapshot.cut(pairs);
    try {
      // Before the chunks: what is freed here meanwhile is stored there.
      this.#copiedBytes += await copyTree(this.#source.spool, this.#target.spool, (name) => !name.startsWith('.'));
      await snapshot.copy();
      return snapshot.cutMs;
    } finally {
      snapshot.close();
    }
  }

  /** Sessions are counted as `check` does: those that were not deleted, with or without a recording. */
  async #copySessions(round: number): Promise<{ folders: string[]; sessions: number; gone: number }> {
    if (!(await exists(this.#target.metadata))) return { folders: [], sessions: 0, gone: 0 };
    const rows = new MetadataRows(this.#target.metadata);
    const live = new MetadataRows(this.#source.metadata);
    const folders: string[] = [];
    let sessions = 0;
    let gone = 0;
    try {
      for (const id of rows.sessionIds()) {
        if (rows.session(id)?.status !== 'deleted') sessions += 1;
        const kept = await this.#copySession(id, rows, live);
        if (kept === 'gone') gone += 1;
        if (kept === 'kept') folders.push(id);
        this.#output.progress(
          `copying sessions: ${sessions}, ${formatBytes(this.#copiedBytes)}${round === 1 ? '' : ` (round ${round})`}`,
          sessions,
        );
      }
      this.#orphans = await this.#copyOrphans(rows, live);
    } finally {
      rows.close();
      live.close();
    }
    return { folders, sessions, gone };
  }

  async #copySession(id: string, rows: MetadataRows, live: MetadataRows): Promise<'kept' | 'gone' | 'nothing'> {
    const folder = sessionFolder(id);
    const count = rows.chunksCount(id);
    if (count === 0 && !(await exists(join(this.#source.chunks, folder)))) return 'nothing';
    const copy = await this.#copyFolder(id, count, (index) => rows.sealedLeaf(id, index));
    const isDeleted = rows.session(id)?.status === 'deleted';
    // Deleted between the databases and now: nothing was lost, but the databases name what is not there.
    if (copy.missing.length > 0 && !isDeleted && live.session(id)?.status === 'deleted') return 'gone';
    if (copy.missing.length > 0 && !isDeleted)
      this.#problem(`session ${id}: ${copy.missing.length} chunk files are missing, the first is ${copy.missing[0]}`);
    for (const what of copy.damaged) this.#problem(`session ${id}: ${what}`);
    if (!isDeleted) await completeRecords(join(this.#target.chunks, folder), rows.records(id));
    this.#chunks += copy.chunks;
    return 'kept';
  }

  async #copyFolder(id: string, count: number, rowLeaf: (index: number) => Uint8Array | null) {
    const folder = sessionFolder(id);
    const [source, target] = [join(this.#source.chunks, folder), join(this.#target.chunks, folder)];
    const copy = await copyFolder({ source, target, count, rowLeaf });
    if (copy.contradicted)
      throw new CliError(
        `${this.#directory} holds a later or another recording of session ${id} than this installation: it was set back, or two installations are backed up there. Keep that backup and name an empty directory`,
      );
    this.#copiedBytes += copy.copiedBytes;
    return copy;
  }

  /** Chunks nobody knows are kept too: they may be what is left of a lost database. */
  async #copyOrphans(rows: MetadataRows, live: MetadataRows): Promise<string[]> {
    const orphans: string[] = [];
    const store = new FsChunkStore({ path: this.#source.chunks });
    for await (const id of store.listSessions()) {
      // A session that began after the databases were copied belongs to the next backup.
      if (rows.session(id) !== null || live.session(id) !== null) continue;
      const copy = await this.#copyFolder(id, 0, () => null);
      this.#chunks += copy.chunks;
      this.#problem(`session ${id}: its chunks are stored and no row knows it`);
      orphans.push(id);
    }
    return orphans;
  }

  async #copyLog(): Promise<BackupDescription['log']> {
    if (!(await exists(join(this.#source.log, 'checkpoint')))) return null;
    this.#output.progress('copying the log');
    await makeDirectoryDurably(this.#target.log);
    const checkpoint = await copyLog(logFilesIn(this.#source.log), this.#target.log, join(this.#directory, 'log'));
    if (checkpoint === null) return null;
    await checkCopiedLog(backupLogFiles(this.#directory, this.#target.log), checkpoint, 'the log');
    return { origin: checkpoint.origin, size: checkpoint.size };
  }

  /** What was deleted from the installation goes from its backup, now that a newer one is whole. */
  async #removeOld(kept: ReadonlySet<string>): Promise<void> {
    this.#output.progress('removing what was deleted since');
    await removeRuns(this.#directory, this.#run);
    const store = new FsChunkStore({ path: this.#target.chunks });
    for await (const id of store.listSessions()) if (!kept.has(id)) await store.purgeSession(id);
  }
}
