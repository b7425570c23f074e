/** `restore`: a backup into an empty data directory. A marker stands there from the first byte to the last. */
import { readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { checkNote, type SignedCheckpoint } from '@lucid-sessions/evidence';
import { sessionFolder } from '@lucid-sessions/files';
import { KeyDirectory, KeyError, KeyLock } from '@lucid-sessions/keys';
import type { Environment } from '@lucid-sessions/kit';
import { logFilesIn, readCheckpoint, rebuildLogHead } from '@lucid-sessions/log';
import {
  makeDirectoryDurably,
  nodeCrypto,
  readFileOrNull,
  syncDirectory,
  writeFileDurably,
} from '@lucid-sessions/node';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { nowUs } from '../server/embedded-parts.ts';
import { markRestored } from '../server/restored-log.ts';
import { isRestOfMarker, readRestoring, restoringPath } from '../server/restoring.ts';
import { absentAsNull, copyFile, copyTree, exists, hashFile } from './files.ts';
import { type BackupDescription, otherRuns, readDescription } from './layout.ts';
import { backupLogFiles, checkCopiedLog, copyLog } from './log-part.ts';
import { backupPlaces, installationPlaces, type Places } from './places.ts';
import { MetadataRows } from './rows.ts';
import { copyFolder, isSame } from './session-folder.ts';
import { settleSessions } from './settle.ts';

export interface RestoreOptions {
  /** Directory with a later copy of the log's public files. */
  log?: string;
}

export interface RestoreDone {
  directory: string;
  description: BackupDescription;
  sessions: number;
  unfinished: number;
  log: { origin: string; size: number } | null;
  problems: string[];
}

export async function restoreBackup(
  environment: Environment,
  path: string,
  options: RestoreOptions,
  output: Output,
): Promise<RestoreDone> {
  const directory = resolve(path);
  const description = await wholeBackup(directory);
  const source = backupPlaces(directory, description.run);
  const target = installationPlaces(environment);
  output.progress('checking the backup');
  await checkRun(source, description);
  await refuseTaken(target, description);
  await makeDirectoryDurably(target.root);
  const marker = { backup: directory, run: description.run };
  await writeFileDurably(restoringPath(target.root), new TextEncoder().encode(`${JSON.stringify(marker)}\n`), 0o600);
  await makeDirectoryDurably(target.keys);
  const lock = takeLock(target);
  try {
    return await new RestoreRun(directory, description, source, target, options, output).run();
  } finally {
    lock.release();
  }
}

function takeLock(target: Places): KeyLock {
  try {
    return KeyLock.take(target.keys, `services, or another restore, use ${target.root}: stop them first`);
  } catch (thrown) {
    throw thrown instanceof KeyError ? new CliError(thrown.message) : thrown;
  }
}

export async function wholeBackup(directory: string): Promise<BackupDescription> {
  const description = await readDescription(directory);
  if (description !== null) return description;
  const runs = (await exists(directory)) ? await otherRuns(directory, null) : [];
  throw new CliError(
    runs.length > 0
      ? `there is no whole backup in ${directory}: the first run was cut off; run "lucid-sessions backup" again`
      : `there is no backup in ${directory}`,
    exitCodes.usage,
  );
}

export async function checkRun(source: Places, { files }: BackupDescription): Promise<void> {
  for (const { name, ...facts } of files)
    if (!isSame(await hashFile(join(source.root, name)), facts))
      throw new CliError(`the backup is damaged: ${join(source.root, name)} is not what was written there`);
}

/** Names that may be there before anything was restored. */
async function namesBut(path: string, allowed: readonly string[]): Promise<string[]> {
  const names = (await absentAsNull(() => readdir(path))) ?? [];
  return names.filter((name) => name !== 'lost+found' && !isRestOfMarker(name) && !allowed.includes(name));
}

async function refuseTaken(target: Places, description: BackupDescription): Promise<void> {
  const restoring = await readRestoring(target.root);
  if (restoring !== null) {
    if (restoring.run === description.run) return;
    throw new CliError(
      `a restore of another backup (${restoring.backup}, ${restoring.run}) was cut off in ${target.root}: run that one again, or empty the directory`,
      exitCodes.usage,
    );
  }
  // Keys that are kept apart are put back first.
  const taken = await namesBut(target.root, description.with_keys ? [] : ['keys', 'secrets']);
  const inChunks = await namesBut(target.chunks, []);
  if (taken.length > 0 || inChunks.length > 0 || (await exists(target.metadata)))
    throw new CliError(
      `${taken.length > 0 ? target.root : inChunks.length > 0 ? target.chunks : target.metadata} is not empty (${taken[0] ?? inChunks[0] ?? 'a database'}): a backup is restored into an empty place, so that nothing is overwritten`,
      exitCodes.usage,
    );
  if (!description.with_keys && !(await exists(target.keys)))
    throw new CliError(
      `this backup was made without keys: put the installation's keys/ and secrets/ into ${target.root} first`,
      exitCodes.usage,
    );
}

class RestoreRun {
  readonly #directory: string;
  readonly #description: BackupDescription;
  readonly #source: Places;
  readonly #target: Places;
  readonly #options: RestoreOptions;
  readonly #output: Output;
  readonly #problems: string[] = [];

  constructor(
    directory: string,
    description: BackupDescription,
    source: Places,
    target: Places,
    options: RestoreOptions,
    output: Output,
  ) {
    this.#directory = directory;
    this.#description = description;
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#output = output;
  }

  async run(): Promise<RestoreDone> {
    const { root, installation, keys, secrets, spool } = this.#target;
    if (this.#description.with_keys) {
      await copyTree(this.#source.keys, keys);
      await copyTree(this.#source.secrets, secrets);
    }
    await copyTree(this.#source.spool, spool);
    await copyFile(this.#source.installation, installation);
    for (const name of ['metadata', 'journal', 'jobs'] as const) await this.#copyDatabase(name);
    const sessions = await this.#copySessions();
    const log = await this.#copyLog();
    // A newer run removes this one's files, perhaps before they were read.
    if ((await readDescription(this.#directory))?.run !== this.#description.run)
      throw new CliError(`a newer backup was made in ${this.#directory} meanwhile: empty ${root} and restore again`);
    const unfinished = await settleSessions(this.#target, nowUs());
    for (const name of (await readdir(root)).filter(isRestOfMarker)) await rm(join(root, name), { force: true });
    await rm(restoringPath(root));
    await syncDirectory(root);
    const problems = [...this.#description.problems, ...this.#problems];
    return { directory: root, description: this.#description, sessions, unfinished, log, problems };
  }

  async #copyDatabase(name: 'metadata' | 'journal' | 'jobs'): Promise<void> {
    const to = this.#target[name];
    await makeDirectoryDurably(dirname(to));
    // Of a restore that was cut off.
    for (const rest of ['-wal', '-shm', '-journal']) await rm(`${to}${rest}`, { force: true });
    await copyFile(this.#source[name], to);
    await syncDirectory(dirname(to));
  }

  async #copySessions(): Promise<number> {
    await makeDirectoryDurably(this.#target.chunks);
    if (!(await exists(this.#target.metadata))) return 0;
    const rows = new MetadataRows(this.#source.metadata);
    let sessions = 0;
    try {
      for (const id of rows.sessionIds()) {
        await this.#copySession(id, rows);
        if (rows.session(id)?.status !== 'deleted') sessions += 1;
        this.#output.progress(`restoring sessions: ${sessions} of ${this.#description.sessions}`, sessions);
      }
      for (const id of this.#description.orphans) await this.#copySession(id, rows);
    } finally {
      rows.close();
    }
    return sessions;
  }

  async #copySession(id: string, rows: MetadataRows): Promise<void> {
    const folder = sessionFolder(id);
    const [source, target] = [join(this.#source.chunks, folder), join(this.#target.chunks, folder)];
    const count = rows.chunksCount(id);
    if (count === 0 && !(await exists(source))) return;
    const copy = await copyFolder({ source, target, count, rowLeaf: (index) => rows.sealedLeaf(id, index) });
    if (copy.contradicted) throw new CliError(`${target} holds another recording: empty ${this.#target.chunks}`);
    for (const what of copy.damaged) this.#problems.push(`session ${id}: ${what}`);
    if (copy.missing.length > 0 && rows.session(id)?.status !== 'deleted')
      this.#problems.push(`session ${id}: ${copy.missing.length} chunk files are missing from the backup`);
  }

  async #copyLog(): Promise<RestoreDone['log']> {
    await makeDirectoryDurably(this.#target.log);
    const files = backupLogFiles(this.#directory, this.#source.log);
    const own = await readCheckpoint(files);
    const later = this.#options.log === undefined ? null : await this.#laterLog(this.#options.log, own);
    const { log } = this.#target;
    const copied = await copyLog(later ?? files, log, log);
    if (copied === null) return null;
    await rebuildLogHead(log);
    const restored = { origin: copied.origin, size: copied.size };
    await markRestored(log, { ...restored, cut_at: this.#description.cut_at });
    return restored;
  }

  /** A later copy of the same log, signed by its key and grown from the backup's. */
  async #laterLog(path: string, own: SignedCheckpoint | null) {
    const files = logFilesIn(resolve(path));
    const checkpoint = await readCheckpoint(files);
    if (checkpoint === null) throw new CliError(`there is no log (checkpoint, tile/) in ${path}`, exitCodes.usage);
    if ((await readFileOrNull(join(this.#target.keys, 'log.pem'))) === null)
      throw new CliError(`${join(this.#target.keys, 'log.pem')} is missing: whose log it is can't be checked`);
    const keys = await KeyDirectory.open(this.#target.keys);
    const { key } = await keys.logSigner(checkpoint.origin);
    const isOurs = own === null || own.origin === checkpoint.origin;
    if (!isOurs || (await checkNote(nodeCrypto, checkpoint.note, key)) !== 'good')
      throw new CliError(`the log in ${path} is not signed by this installation's key`);
    if (own !== null && checkpoint.size < own.size)
      throw new CliError(`the log in ${path} is older than the backup's: leave --log out`, exitCodes.usage);
    await checkCopiedLog(files, checkpoint, path, own);
    return files;
  }
}
