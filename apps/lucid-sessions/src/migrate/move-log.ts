/** The log goes along: a directory as its files, into a bucket entry by entry, in their order, so that it is the same tree. */
import { resolve } from 'node:path';
import { parseSignedCheckpoint } from '@lucid-sessions/evidence';
import { readLogPath } from '@lucid-sessions/kit';
import { entryBundles, logFilesIn, readCheckpoint } from '@lucid-sessions/log';
import { equalBytes } from '@lucid-sessions/wire';
import { copyTree, exists } from '../backup/files.ts';
import { CliError } from '../cli/output.ts';
import { logOrigin, openKeyDirectory } from '../server/embedded-parts.ts';
import { isLogInBucket, openLog } from '../server/log-place.ts';
import type { Installation } from './installation.ts';

/** Answers where it is now. */
export async function moveLog(from: Installation, to: Installation): Promise<string> {
  const path = readLogPath(to.environment);
  if (isLogInBucket(from.environment)) {
    if (path !== readLogPath(from.environment))
      throw new CliError('LUCID_LOG_PATH is a bucket: name the same one there, the log stays where it is');
    return path!;
  }
  if (isLogInBucket(to.environment)) {
    await appendAll(from, to);
    return path!;
  }
  const target = resolve(to.directory.log);
  if ((await exists(from.directory.log)) && resolve(from.directory.log) !== target)
    await copyTree(from.directory.log, target);
  return target;
}

async function appendAll(from: Installation, to: Installation): Promise<void> {
  const files = logFilesIn(from.directory.log);
  const checkpoint = await readCheckpoint(files);
  if (checkpoint === null) return;
  const origin = logOrigin(from.environment, from.directory);
  const wanted = to.environment.LUCID_LOG_ORIGIN;
  if (wanted && wanted !== origin)
    throw new CliError(`LUCID_LOG_ORIGIN must be ${origin} there, too: a log keeps the name it began with`);
  const keys = await openKeyDirectory(from.directory);
  const { log, close } = await openLog(to.environment, keys, to.directory, origin);
  try {
    let index = 0;
    for await (const entries of entryBundles(files, checkpoint.size)) {
      const missing = entries.slice(Math.max(0, log.size - index));
      const first = index + entries.length - missing.length;
      const appended = await Promise.all(missing.map((entry) => log.append(entry)));
      if (!appended.every((at, place) => at === first + place))
        throw new CliError('the log there holds entries that are not of this installation');
      index += entries.length;
    }
    const there = log.checkpoint === null ? null : parseSignedCheckpoint(Buffer.from(log.checkpoint));
    if (there?.size !== checkpoint.size || !equalBytes(there.root, checkpoint.root))
      throw new CliError('the log there is not the one of this installation');
  } finally {
    await close();
  }
}
