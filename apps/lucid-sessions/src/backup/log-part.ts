/** The log in a backup: public files of it, the full tiles shared by all runs. Its head is made again from them. */
import { dirname, join } from 'node:path';
import { narrowing, type SignedCheckpoint } from '@lucid-sessions/evidence';
import { checkLogFiles, LogError, type LogFiles, logFilesIn, readCheckpoint, tilesOf } from '@lucid-sessions/log';
import { makeDirectoryDurably, writeFileDurably } from '@lucid-sessions/node';
import { CliError } from '../cli/output.ts';
import { exists } from './files.ts';

/** A run's log: its own end, the rest shared. */
export function backupLogFiles(directory: string, runLog: string): LogFiles {
  const [own, shared] = [logFilesIn(runLog), logFilesIn(join(directory, 'log'))];
  return async (path) => (await own(path)) ?? shared(path);
}

async function put(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const target = join(directory, path);
  await makeDirectoryDurably(dirname(target));
  await writeFileDurably(target, bytes, 0o600);
}

/**
 * Copies the log up to its present checkpoint, while it grows. After the databases: what they know to be logged is in it.
 * `shared` gets full tiles, `own` all else.
 */
export async function copyLog(source: LogFiles, own: string, shared: string): Promise<SignedCheckpoint | null> {
  const witnessed = await source('witnessed');
  const bytes = await source('checkpoint');
  const checkpoint = await readCheckpoint(source);
  if (bytes === null || checkpoint === null) return null;
  const read = narrowing(source);
  for (const { path, full } of tilesOf(checkpoint.size)) {
    if (full && (await exists(join(shared, path)))) continue;
    const tile = await read(path);
    if (tile === null) throw new LogError('corrupt', `the log has no file ${path}`);
    await put(full ? shared : own, path, tile);
  }
  if (witnessed !== null) await put(own, 'witnessed', witnessed);
  await put(own, 'checkpoint', bytes);
  return checkpoint;
}

/** Throws in words of its own. */
export async function checkCopiedLog(
  files: LogFiles,
  checkpoint: SignedCheckpoint,
  where: string,
  earlier: SignedCheckpoint | null = null,
): Promise<void> {
  try {
    await checkLogFiles(files, checkpoint, earlier);
  } catch (thrown) {
    throw new CliError(`${where}: ${(thrown as Error).message}`);
  }
}
