/**
 * A backup directory:
 *
 * ```
 * backup.json        what the last whole run holds; replaced when a newer one is whole, so a run that was cut off spoils nothing
 * installation-id    whose it is
 * chunks/            chunk files, leaves, wraps, records: shared by the runs, never changed, added to
 * log/tile/          full tiles of the log: shared too
 * run-…/             databases, keys, secrets, spool, the end of the log of one run
 * ```
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileOrNull, syncDirectory, writeFileDurably } from '@lucid-sessions/node';
import { CliError } from '../cli/output.ts';
import { type FileFacts, filesIn, hashFile } from './files.ts';

export interface BackupDescription {
  v: 1;
  kind: 'lucid-sessions-backup';
  installation: string;
  run: string;
  software: string;
  /** The moment the databases are of: everything stored then is in it. */
  cut_at: string;
  finished_at: string;
  with_keys: boolean;
  sessions: number;
  chunks: number;
  log: { origin: string; size: number } | null;
  /** Sessions whose chunks lay there without a row. */
  orphans: string[];
  /** What the installation lacked when it was copied. */
  problems: string[];
  kept_elsewhere: string[];
  /** Of the run's own directory. */
  files: ({ name: string } & FileFacts)[];
}

export const descriptionName = 'backup.json';
export const installationName = 'installation-id';
export const runPattern = /^run-\d{8}T\d{6}-[0-9a-f]{8}$/;
/** Of the two files that are written whole: what a run that was cut off left of them. */
const cutOff = /^(?:backup\.json|installation-id)\.[0-9a-f-]+\.tmp$/;
const known = new Set([descriptionName, installationName, 'chunks', 'log', 'lock.sqlite', 'lock.sqlite-journal']);

export const isOfBackup = (name: string): boolean => known.has(name) || runPattern.test(name) || cutOff.test(name);

/** Null where no run was ever whole. */
export async function readDescription(directory: string): Promise<BackupDescription | null> {
  const bytes = await readFileOrNull(join(directory, descriptionName));
  if (bytes === null) return null;
  const spoiled = () => new CliError(`${join(directory, descriptionName)} can't be read: it is damaged`);
  let said: BackupDescription;
  try {
    said = JSON.parse(Buffer.from(bytes).toString()) as BackupDescription;
  } catch {
    throw spoiled();
  }
  if (said?.kind !== 'lucid-sessions-backup') throw spoiled();
  if (said.v !== 1) throw new CliError(`the backup in ${directory} is of version ${said.v}: use the newer program`);
  const isWhole =
    typeof said.run === 'string' &&
    runPattern.test(said.run) &&
    [said.files, said.orphans, said.problems].every((list) => Array.isArray(list));
  const safe = isWhole && said.files.every(({ name }) => typeof name === 'string' && isInside(name));
  if (!safe) throw spoiled();
  return said;
}

const isInside = (name: string): boolean =>
  !name.split('/').some((part) => part === '' || part === '.' || part === '..');

/** From here on the run is the backup. */
export async function commit(directory: string, description: BackupDescription): Promise<void> {
  const text = `${JSON.stringify(description, null, 1)}\n`;
  await writeFileDurably(join(directory, descriptionName), new TextEncoder().encode(text), 0o600);
}

export async function describeFiles(root: string): Promise<BackupDescription['files']> {
  const files: BackupDescription['files'] = [];
  for await (const { name, path } of filesIn(root)) {
    const facts = await hashFile(path);
    if (facts !== null) files.push({ name, ...facts });
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Runs that are not the backup: older ones, and ones that were cut off. */
export async function otherRuns(directory: string, run: string | null): Promise<string[]> {
  return (await readdir(directory)).filter((name) => runPattern.test(name) && name !== run);
}

export async function removeRuns(directory: string, keep: string | null): Promise<void> {
  for (const name of await otherRuns(directory, keep))
    await rm(join(directory, name), { recursive: true, force: true });
  await syncDirectory(directory);
}
